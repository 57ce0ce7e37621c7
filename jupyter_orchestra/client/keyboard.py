"""What the person says to a task: typed into its terminal, where there is one, else sent to its worker."""

from __future__ import annotations

from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TYPE_CHECKING

from ..core import events as e
from ..core.model import Kind
from ..core.views import TaskView
from ..errors import OrchestraError, RefusedError, UsageError
from .request import Request

if TYPE_CHECKING:
    from .client import Client

ENTER = "\r"
PATIENCE = 5.0  # seconds


def steer(client: Client, name: str, text: str) -> None:
    """Send a task a message; where it has a terminal, type the text and Enter, of which nothing is journaled.

    Raises
    ------
    RefusedError
        When it takes none now, with the reason.
    """
    view = client.board.find(name)
    if view is not None and view.terminal:
        _type(client, view, text + ENTER)
    else:
        client.control(e.SteerAsked, target=name, text=text)


def refuse_terminal(request: Request, kind: Kind) -> None:
    """Raises UsageError where a task is to have a terminal and can have none."""
    if kind.terminal or not any(need.resource == "terminal" for need in request.needs):
        return
    if kind.name == "shell":
        from ..processes.launcher import NO_TERMINAL

        raise UsageError(f"{NO_TERMINAL}: leave out --needs terminal")
    raise UsageError(f"{kind.name} tasks have no terminal: dispatch it with -w shell, or leave out --needs terminal")


def _type(client: Client, view: TaskView, text: str) -> None:
    runtime = client.runtime
    try:
        why_not = runtime.on_loop(lambda: runtime.terminals.type(view, view.attempt, text)).result(PATIENCE)
    except (FutureTimeout, CancelledError):
        raise OrchestraError("the orchestra does not answer: nothing was typed, or it still will be") from None
    if why_not:
        raise RefusedError(why_not)
