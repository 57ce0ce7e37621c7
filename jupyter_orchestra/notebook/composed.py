"""Dispatches what a person writes outside a cell, as a cell with ``%%dispatch`` would; it knows no page."""

from __future__ import annotations

from ..client.client import Client
from ..client.handle import TaskHandle
from ..client.request import Request, make_request
from ..errors import NotAvailableError, UsageError
from . import flags
from .context import CellContext, PageContext
from .conversation import LINE_MAGICS

OURS = tuple(f"%{name}" for name in LINE_MAGICS)  # no worker knows them


class Composer:
    """Dispatches texts, on any thread: nothing of it belongs to a cell that happens to run."""

    def __init__(self, client: Client, context: CellContext) -> None:
        self._client, self._context = client, context

    def dispatch(self, text: str, session: str) -> TaskHandle:
        """Start a task from a body, or from a cell that begins with ``%%dispatch``.

        Parameters
        ----------
        session
            That of the page in which it was written: where its result goes.

        Raises
        ------
        OrchestraError
            With the reason in one line; nothing was started.
        """
        client = self._client
        request = read(text, client)
        return Client(lambda: client.runtime, PageContext(self._context, session)).dispatch(request)


def read(text: str, client: Client) -> Request:
    """The dispatch that a text asks for. Raises UsageError or NotAvailableError."""
    first, _, rest = text.lstrip().partition("\n")
    magic, _, line = first.strip().partition(" ")
    workers = client.runtime.workers
    if magic in ("%%chat", "%chat"):
        raise NotAvailableError("the master is not available yet in this version: begin with %%dispatch")
    if magic != "%%dispatch":
        if magic.startswith("%%") or magic in OURS:
            raise UsageError(f"{magic} belongs into a cell: write a body here, or begin with %%dispatch")
        if not text.strip():
            raise UsageError("there is nothing to dispatch: write a body")
        return make_request(text, workers=workers)
    try:
        handle, _, options = flags.read_dispatch(line)  # nothing waits here
    except flags.HelpShown:
        raise UsageError("run %%dispatch --help in a cell: it shows all flags") from None
    if handle is not None:
        raise UsageError("-o names a variable of the notebook: dispatch it from a cell, or leave -o out")
    return make_request(rest, workers=workers, **options)
