"""Cards with buttons in the cells' outputs, for pages without the extension; it decides nothing about tasks.

A card begins as a line of text. Once widgets are imported (that takes a second, on another thread) it becomes a widget,
whose state is then kept up to date; when its task has ended the line is put back and the model is closed, so that the
notebook holds no model that nobody answers for. What was cancelled keeps its Retry button for half a minute.
"""

from __future__ import annotations

import asyncio
import contextvars
import importlib
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any

from ..core import events as e
from ..core.lines import MARKS, card, said
from ..core.model import State
from ..core.views import TaskView
from .cards import bundle
from .publisher import Publisher

if TYPE_CHECKING:
    from .inline_widget import CardWidget

log = logging.getLogger("jupyter_orchestra")

EACH = 0.25  # seconds between two updates of one card
ALL = 0.05  # seconds between two updates of any
UNSEEN = 2.0  # seconds between two lines for a page that may not know widgets
GRACE = 30.0  # seconds that a cancelled task's card keeps its Retry button
LONG = 500  # characters of one text in a card
ACTIONS: dict[State, tuple[str, ...]] = {
    State.WAITING: ("pause", "cancel"),
    State.QUEUED: ("pause", "cancel"),
    State.RUNNING: ("pause", "cancel"),
    State.PAUSED: ("resume", "cancel"),
    State.CANCELLED: ("retry",),
}
Act = Callable[[str, str], "Future[e.Answer] | None"]


class InlineCards:
    """The cards of one kernel. Everything but :meth:`close` is called on the runtime's loop.

    Parameters
    ----------
    publisher
        Updates displays of cells that have ended.
    act
        Posts what a button asks for: (``cancel``, ``pause``, ``resume`` or ``retry``; uid). Called on any thread, must
        not block; the reason of a refusal is shown in the card when it gives the answer's future.
    now
        POSIX seconds by the clock of the views.
    """

    def __init__(self, publisher: Publisher, act: Act, now: Callable[[], float] = time.time) -> None:
        self._publisher, self._act, self._now = publisher, act, now
        self._cards: dict[str, _Card] = {}
        self._dirty: dict[str, None] = {}
        self._make: Callable[..., CardWidget] | None = None
        self._importing = self._broken = False
        self._seen = False  # a page has drawn one of them
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def show(self, view: TaskView, display: str, parent: dict[str, str]) -> None:
        """A task changed, and is shown in this display of the cell with that request header. Returns at once."""
        self._loop = asyncio.get_running_loop()
        one = self._cards.get(view.uid)
        if one is None:
            if view.ended:
                if view.stage is None:  # else its result stands there, or will
                    self._publisher.update_late(bundle(card(view, self._now())), display, parent)
                return
            one = self._cards[view.uid] = _Card(view)
        one.places.setdefault(display, parent)
        if (view.state, view.attempt) != (one.view.state, one.view.attempt):
            one.note = ""
        was, one.view = one.view, view
        if view.ended and (one.widget is None or view.stage is not None or view.state not in ACTIONS):
            self._finish(view.uid)
            return
        if view.ended != was.ended:
            one.put.clear()  # the line that stands for the widget, in a saved notebook too, says so
        if view.ended and not was.ended:
            self._loop.call_later(GRACE, self._expire, view.uid, view.attempt, context=contextvars.Context())
        self._touch(view.uid)

    def drop(self, uid: str) -> None:
        """A task is forgotten."""
        if uid in self._cards:
            self._finish(uid)

    def close(self) -> None:
        """Put the lines back: the kernel ends, or a page has come that shows cards itself. Any thread once it ends."""
        for uid in list(self._cards):
            self._finish(uid)

    # on the loop

    def _touch(self, uid: str) -> None:
        self._dirty[uid] = None
        self._arm()

    def _arm(self) -> None:
        if self._timer is None and self._loop is not None:
            self._timer = self._loop.call_later(ALL, self._flush, context=contextvars.Context())

    def _flush(self) -> None:
        """Update the card that has waited longest."""
        self._timer = None
        assert self._loop is not None
        moment = self._loop.time()
        due = next((uid for uid in self._dirty if moment - self._cards[uid].sent_at >= EACH), "")
        if due:
            del self._dirty[due]
            self._cards[due].sent_at = moment
            try:
                self._update(due, self._cards[due], moment)
            except Exception:
                log.exception("an inline card could not be shown")
                self._broken = True
        if self._dirty:
            self._arm()

    def _update(self, uid: str, one: _Card, moment: float) -> None:
        line = card(one.view, self._now())
        if one.widget is None and not self._can_make():
            for display, parent in one.places.items():
                self._publisher.update_late(bundle(line), display, parent)
            return
        if one.widget is None:
            assert self._make is not None
            parent = next(iter(one.places.values()))
            one.widget = self._make(self._state(one), partial(self._hear, uid), parent)
        else:
            one.widget.card = self._state(one)
        again = not self._seen and moment - one.put_at >= UNSEEN
        places = {display: parent for display, parent in one.places.items() if again or display not in one.put}
        if places:
            one.put_at = moment
        for display, parent in places.items():
            one.put.add(display)
            self._publisher.update_late(one.widget.bundle(line), display, parent)

    def _can_make(self) -> bool:
        """Whether widgets are imported; the first time, the import begins."""
        if not self._importing and self._loop is not None:
            self._importing = True
            self._loop.run_in_executor(None, _import).add_done_callback(self._imported)
        return self._make is not None and not self._broken

    def _imported(self, future: asyncio.Future[Any]) -> None:
        if future.cancelled():
            return
        if (error := future.exception()) is not None:
            log.warning("cards stay lines of text, widgets can't be imported: %r", error)
            return
        self._make = future.result()
        for uid, one in self._cards.items():
            if not one.view.ended:
                self._touch(uid)

    def _state(self, one: _Card) -> dict[str, Any]:
        view, now = one.view, self._now()
        head = f"{MARKS[view.state]} {view.name} · {view.worker} · "
        return {
            "name": view.name,
            "worker": view.worker,
            "state": str(view.state),
            "mark": MARKS[view.state],
            "status": card(view, now).removeprefix(head)[:LONG],
            "ticking": view.state is State.RUNNING,
            "seconds": view.seconds(now),
            "at": now,
            "progress": view.progress,
            "stopping": view.stopping,
            "line": said(view)[:LONG] if view.state is State.RUNNING else "",
            "note": one.note[:LONG],
            "actions": [a for a in ACTIONS.get(view.state, ()) if a != "pause" or view.pausable],
        }

    def _expire(self, uid: str, attempt: int) -> None:
        one = self._cards.get(uid)
        if one is not None and one.view.ended and one.view.attempt == attempt:
            self._finish(uid)

    def _finish(self, uid: str) -> None:
        one = self._cards.pop(uid)
        self._dirty.pop(uid, None)
        line = card(one.view, self._now())
        for display, parent in one.places.items():
            self._publisher.update_late(bundle(line), display, parent)
        if one.widget is not None:
            one.widget.close()

    def _note(self, uid: str, reason: str) -> None:
        if (one := self._cards.get(uid)) is not None:
            one.note = reason
            self._touch(uid)

    # on any thread

    def _hear(self, uid: str, content: Any) -> None:
        """The page said something on a card's comm. What it says is checked: anyone may have sent it."""
        if not isinstance(content, dict):
            return
        if content.get("seen") is True:
            self._seen = True
        action = content.get("action")
        if isinstance(action, str) and any(action in actions for actions in ACTIONS.values()):
            answer = self._act(action, uid)
            if answer is not None:
                answer.add_done_callback(lambda done: self._answered(uid, done))

    def _answered(self, uid: str, done: Future[e.Answer]) -> None:
        if done.cancelled() or done.exception() is not None or self._loop is None:
            return
        answer = done.result()
        if isinstance(answer, e.Refused):
            self._loop.call_soon_threadsafe(self._note, uid, answer.reason, context=contextvars.Context())


class _Card:
    """One task, and the displays that show it."""

    def __init__(self, view: TaskView) -> None:
        self.view = view
        self.places: dict[str, dict[str, str]] = {}  # display id -> header of its cell's request
        self.put: set[str] = set()  # the displays that show the widget
        self.widget: CardWidget | None = None
        self.note = ""
        self.sent_at = self.put_at = -EACH  # by the loop's clock


def _import() -> Callable[..., CardWidget]:
    module = importlib.import_module("jupyter_orchestra.notebook.inline_widget")
    made: Callable[..., CardWidget] = module.CardWidget
    return made
