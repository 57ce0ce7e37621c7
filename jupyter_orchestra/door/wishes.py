"""What a program outside may ask of tasks, as the fact that is posted for it; it posts nothing."""

from __future__ import annotations

import msgspec

from ..board import Board
from ..core import events as e
from ..errors import RefusedError, UsageError
from .words import AskedEvent

ONE_TASK = "this token is about one task alone: name that one"


def event_of(asked: AskedEvent, at: float, request: str, task: str, board: Board) -> AskedEvent:
    """The fact to post for what was asked by a program whose token is about `task` alone, or about any (empty).

    Raises
    ------
    UsageError
        When it claims to come from the master, or does not say what it answers.
    RefusedError
        When it is about another task.
    """
    if getattr(asked, "turn", 0):
        raise UsageError("a turn is the master's: leave it 0")
    if isinstance(asked, e.ApproveAsked | e.DeclineAsked) and not asked.digest:
        raise UsageError("which question is that the answer to? give the digest of the one that was read")
    if task and getattr(asked, "all", False):
        raise RefusedError(ONE_TASK)
    is_about(task, (asked.target,) if isinstance(asked, e.ApproveAsked | e.DeclineAsked) else asked.targets, board)
    return msgspec.structs.replace(asked, at=at, request=request)


def is_about(task: str, names: tuple[str, ...], board: Board) -> None:
    """Raises RefusedError when a token is about `task` alone and one of `names` means another."""
    for name in names if task else ():
        view = board.find(name)
        if view is None or view.uid != task:
            raise RefusedError(ONE_TASK)
