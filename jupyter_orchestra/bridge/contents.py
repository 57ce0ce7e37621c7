"""What is in the parcels on their way to pages: results of tasks and replies of the master. It sends nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ..client.client import Client
from ..core import events as e
from ..core.model import Anchor, Stage
from ..core.offers import ITSELF, Key, Parcel
from ..core.talk import TurnView
from ..core.views import TaskView
from ..core.wire import NewCell
from .details import outputs_or_why
from .pictures import artifacts_of

HasCome = Callable[[Key], bool]


class Content(Protocol):
    """What one parcel holds."""

    cohort: str

    def cells(self, anchored: bool) -> tuple[NewCell, ...]:
        """Lay it out; `anchored`: the document holds the cell that it is meant for. For another thread."""

    def is_last(self, has_come: HasCome) -> bool:
        """Whether nothing else of its cohort is left to come; `has_come`: a page has that result."""


class Contents:
    """Finds what a parcel holds. Everything but `cells` is for the runtime's loop."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._replies: dict[str, TurnView] = {}

    def parcel(self, view: TaskView, into: str = "", filled: bool = False) -> Parcel:
        """For a task's result."""
        return _parcel(view.uid, view.attempt, view.anchor, into=into, filled=filled, cohort=view.cohort)

    def reply(self, turn: TurnView) -> Parcel:
        """For the reply of a turn, which is known from now on."""
        self._replies[turn.uid] = turn
        anchor = turn.anchor
        if anchor is not None:
            into = anchor.cell or (ITSELF if anchor.display else "")
            return _parcel(turn.uid, turn.tries, anchor, into=into, cohort=anchor.parent.get("msg_id", ""))
        about = self._about(turn)
        return _parcel(turn.uid, turn.tries, about[-1].anchor if about else None)

    def forget(self, uid: str) -> None:
        """It is on its way no longer."""
        self._replies.pop(uid, None)

    def get(self, uid: str, attempt: int) -> Content | None:
        """What is in a parcel; None when a later attempt has taken its place."""
        if (turn := self._replies.get(uid)) is not None:
            return Reply(turn, self._about(turn), self._client) if turn.tries == attempt else None
        view = self._client.board.get(uid)
        fresh = view is not None and view.attempt == attempt and view.stage is not None
        return TaskResult(view, self._client) if view is not None and fresh else None

    def shown(self, uid: str, attempt: int) -> None:
        """It stands in a document, or the person deleted it there."""
        self.forget(uid)
        runtime = self._client.runtime
        runtime.post(e.ResultShown(runtime.now(), uid, attempt))

    def _about(self, turn: TurnView) -> list[TaskView]:
        views = (self._client.board.get(uid) for uid, _ in turn.results)
        return [view for view in views if view is not None]


class TaskResult:
    """The result of a task."""

    def __init__(self, view: TaskView, client: Client) -> None:
        self._view, self._client = view, client
        self.cohort = view.cohort

    def cells(self, anchored: bool) -> tuple[NewCell, ...]:
        """Read what came of it, from the disk it may be, and lay it out."""
        from .cells import result_cells  # what cleans is slow to import

        outputs = outputs_or_why(self._client.outputs, self._view)
        return result_cells(self._view, outputs, artifacts_of(self._view))

    def is_last(self, has_come: HasCome) -> bool:
        """Whether no other task of its cohort is unfinished or undelivered."""
        if not self.cohort:
            return True
        others = [task for task in self._client.runtime.machine.cohort(self.cohort) if task.uid != self._view.uid]
        return all(
            task.ended and (task.stage is not Stage.QUEUED or has_come((task.uid, task.attempt))) for task in others
        )


class Reply:
    """The reply of a turn."""

    def __init__(self, turn: TurnView, about: list[TaskView], client: Client) -> None:
        self._turn, self._about, self._client = turn, about, client
        self.cohort = about[-1].cohort if turn.anchor is None and about else ""

    def cells(self, anchored: bool) -> tuple[NewCell, ...]:
        """In the cell in which the person spoke, if there is one; else in one of its own."""
        from .replies import master_cell, reply_cell

        turn = self._turn
        if turn.anchor is None:
            return (master_cell(turn, self._about),)
        return (reply_cell(turn),) if anchored and turn.anchor.display else (master_cell(turn, []),)

    def is_last(self, has_come: HasCome) -> bool:
        """Whether the results of its cohort are all there; of a reply to the person: it replaces nothing."""
        return bool(self.cohort) and all(task.ended for task in self._client.runtime.machine.cohort(self.cohort))


def _parcel(
    uid: str, attempt: int, anchor: Anchor | None, *, into: str = "", filled: bool = False, cohort: str = ""
) -> Parcel:
    anchor = anchor or Anchor()
    session = anchor.parent.get("session", "")
    return Parcel(uid, attempt, anchor.notebook, anchor.cell, session, into, filled, cohort)
