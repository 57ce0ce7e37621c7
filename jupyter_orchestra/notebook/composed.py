"""Takes what a person writes outside a cell: a message to the master, or a ``%%dispatch``; it knows no page."""

from __future__ import annotations

from ..client.client import Client
from ..client.request import Request, make_request
from ..core.composed import Composed
from ..errors import UsageError
from . import flags
from .context import CellContext, PageContext
from .conversation import LINE_MAGICS

OURS = tuple(f"%{name}" for name in LINE_MAGICS)  # no worker knows them


class Composer:
    """Takes texts, on any thread: nothing of it belongs to a cell that happens to run."""

    def __init__(self, client: Client, context: CellContext) -> None:
        self._client, self._context = client, context

    def take(self, text: str, session: str) -> Composed:
        """Say it to the master; a text that begins with ``%%dispatch`` starts a task.

        Parameters
        ----------
        session
            That of the page in which it was written: where what comes of it goes.

        Raises
        ------
        OrchestraError
            With the reason in one line; nothing was started.
        """
        client = Client(lambda: self._client.runtime, PageContext(self._context, session))
        first, _, rest = text.lstrip().partition("\n")
        magic, _, line = first.strip().partition(" ")
        if magic == "%%dispatch":
            handle = client.dispatch(read(line, rest, client))
            return Composed((handle.uid,), (handle.name,), f"dispatched {handle.name}")
        if magic in ("%%chat", "%chat"):
            options = flags.chat_flags().read(line)
            text = "\n".join(part for part in (" ".join(options["text"]), rest) if part)
            return Composed((client.say(text, options["tier"] or "", options["model"] or ""),), (), "")
        if magic.startswith("%%") or magic in OURS:
            raise UsageError(f"{magic} belongs into a cell: write a message here, or begin with %%dispatch")
        return Composed((client.say(text),), (), "")


def read(line: str, body: str, client: Client) -> Request:
    """The dispatch that a ``%%dispatch`` line and a body ask for. Raises UsageError or NotAvailableError."""
    try:
        handle, _, options = flags.read_dispatch(line)  # nothing waits here
    except flags.HelpShown:
        raise UsageError("run %%dispatch --help in a cell: it shows all flags") from None
    if handle is not None:
        raise UsageError("-o names a variable of the notebook: dispatch it from a cell, or leave -o out")
    if not body.strip():
        raise UsageError("there is nothing to dispatch: write a body below the line")
    return make_request(body, workers=client.runtime.workers, **options)
