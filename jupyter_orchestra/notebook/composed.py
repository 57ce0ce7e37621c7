"""Dispatches what a person writes outside a cell, as a cell with ``%%dispatch`` would; it knows no page."""

from __future__ import annotations

import msgspec

from ..client.client import Client
from ..client.handle import TaskHandle
from ..client.request import Request, make_request
from ..core.model import Anchor
from ..errors import NotAvailableError, UsageError
from . import flags
from .context import CellContext, PageContext

LATER = ("tier", "model", "role", "needs", "budget", "on", "allow", "review")


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
        return Client(lambda: client.runtime, _Written(self._context, session)).dispatch(request)


class _Written(PageContext):
    """What a person writes in one page."""

    def __init__(self, cells: CellContext, session: str) -> None:
        super().__init__(cells)
        self._session = session

    def anchor(self, uid: str, request: Request) -> Anchor:
        """The notebook, and the page."""
        return msgspec.structs.replace(super().anchor(uid, request), parent={"session": self._session})


def read(text: str, client: Client) -> Request:
    """The dispatch that a text asks for. Raises UsageError or NotAvailableError."""
    first, _, rest = text.lstrip().partition("\n")
    magic, _, line = first.strip().partition(" ")
    workers = client.runtime.workers
    if magic == "%%chat":
        raise NotAvailableError("the master is not available yet in this version: begin with %%dispatch")
    if magic != "%%dispatch":
        if magic.startswith("%%"):
            raise UsageError(f"{magic} belongs into a cell: write a body here, or begin with %%dispatch")
        if not text.strip():
            raise UsageError("there is nothing to dispatch: write a body")
        return make_request(text, workers=workers)
    try:
        options = flags.dispatch_flags().read(line)
    except flags.HelpShown:
        raise UsageError("run %%dispatch --help in a cell: it shows all flags") from None
    if options.pop("handle") is not None:
        raise UsageError("-o names a variable of the notebook: dispatch it from a cell, or leave -o out")
    del options["block"]  # nothing waits here
    later = {name: options.pop(name) for name in LATER}
    return make_request(rest, workers=workers, later=later, **options)
