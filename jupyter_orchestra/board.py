"""What has been announced of all tasks, for any thread to read and wait on; it decides nothing and never looks ahead.

An ended state stands here only once the journal holds it, so nothing is reported done before it is durable.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable

from .core.model import State
from .core.talk import TurnView
from .core.views import TaskView


class Board:
    """The newest announced view of each task."""

    def __init__(self) -> None:
        self._views: dict[str, TaskView] = {}
        self._names: dict[str, str] = {}
        self._lost: set[str] = set()
        self._turns: dict[int, TurnView] = {}
        self._changed = threading.Condition()
        self._waiters: set[Callable[[], None]] = set()
        self.closed = ""  # why the runtime no longer runs
        self._blocked = ""

    @property
    def blocked(self) -> str:
        """Why the journal can't be written; empty when it can."""
        return self._blocked

    @blocked.setter
    def blocked(self, reason: str) -> None:
        if reason != self._blocked:
            with self._changed:
                self._blocked = reason
                self._notify()

    def announce(self, view: TaskView) -> bool:
        """Put up a view, unless a newer one of that task hangs there. Says whether it was put up."""
        with self._changed:
            old = self._views.get(view.uid)
            if old is not None and old.version >= view.version:
                return False
            if old is not None and old.name != view.name and self._names.get(old.name) == view.uid:
                del self._names[old.name]
            self._views[view.uid] = view
            (self._lost.add if view.state is State.LOST else self._lost.discard)(view.uid)
            if self._may_bear(view):
                self._names[view.name] = view.uid
            self._notify()
        return True

    def _may_bear(self, view: TaskView) -> bool:
        """A newer task keeps its name: an older one may be announced under it, late, before it is renamed."""
        holder = self._views.get(self._names.get(view.name, ""))
        return holder is None or holder.name != view.name or holder.order <= view.order

    def withdraw(self, uid: str) -> None:
        """Take a forgotten task down."""
        with self._changed:
            view = self._views.pop(uid, None)
            self._lost.discard(uid)
            if view is not None and self._names.get(view.name) == uid:
                del self._names[view.name]
            self._notify()

    def close(self, reason: str) -> None:
        """The runtime has ended: nobody need wait any longer."""
        with self._changed:
            self.closed = reason
            self._notify()

    def announce_turn(self, turn: TurnView) -> bool:
        """Put up a turn of the master, unless a newer picture of it hangs there. Says whether it was put up."""
        with self._changed:
            old = self._turns.get(turn.number)
            if old is not None and old.version >= turn.version:
                return False
            self._turns[turn.number] = turn
            self._notify()
        return True

    def turn(self, number: int) -> TurnView | None:
        """The turn with that number; -1 is the newest."""
        with self._changed:
            return self._turns.get(max(self._turns, default=0) if number == -1 else number)

    def wait_turn(self, timeout: float) -> None:
        """Wait up to `timeout` seconds until anything changes. Interruptible."""
        with self._changed:
            if not self.closed:
                self._changed.wait(timeout)

    def find(self, name: str) -> TaskView | None:
        """The view of the task with that name or uid."""
        with self._changed:
            return self._views.get(self._names.get(name, name))

    def get(self, uid: str) -> TaskView | None:
        """The view of the task with that uid."""
        return self._views.get(uid)

    def all(self) -> list[TaskView]:
        """All views, in the order of dispatch."""
        with self._changed:
            views = list(self._views.values())
        return sorted(views, key=lambda view: view.order)

    def lost(self) -> list[TaskView]:
        """The views of those that are lost, in the order of dispatch."""
        with self._changed:
            views = [self._views[uid] for uid in self._lost]
        return sorted(views, key=lambda view: view.order)

    def names(self) -> list[str]:
        """All present names."""
        with self._changed:
            return list(self._names)

    def wait(self, uids: Iterable[str], ready: Callable[[TaskView | None], bool], timeout: float) -> bool:
        """Wait up to `timeout` seconds until each task is `ready`; True when they are. Interruptible."""
        wanted = list(uids)

        def over() -> bool:
            while wanted and ready(self._views.get(wanted[-1])):
                wanted.pop()
            return not wanted or bool(self.closed)

        with self._changed:
            self._changed.wait_for(over, timeout)
            return not wanted

    def any_ended(self, uids: Iterable[str]) -> bool:
        """Whether one of these has ended or is gone."""
        return any((view := self._views.get(uid)) is None or view.ended for uid in uids)

    def wait_any(self, uids: Collection[str], timeout: float) -> None:
        """Wait up to `timeout` seconds until one of these has ended. Interruptible."""
        with self._changed:
            self._changed.wait_for(lambda: self.any_ended(uids) or bool(self.closed), timeout)

    def watch(self, waiter: Callable[[], None]) -> Callable[[], None]:
        """Call `waiter` (on some thread, must return at once) at each change; gives what ends that."""
        with self._changed:
            self._waiters.add(waiter)

        def end() -> None:
            with self._changed:
                self._waiters.discard(waiter)

        return end

    def _notify(self) -> None:
        self._changed.notify_all()
        for waiter in tuple(self._waiters):
            waiter()
