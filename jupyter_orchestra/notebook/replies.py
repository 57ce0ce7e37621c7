"""Shows the master's replies: streaming into the cell that asked, in the end by whoever shows results; decides no turn.

While a reply streams it stands in the cell's display, at most ten times a second. The whole reply is offered to pages,
which write it into the cell by the cell's id; without a page the display is all there is; headless it comes with the
next cell.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from ..client.client import Client
from ..core import events as e
from ..core.model import Anchor, Stage
from ..core.replies import reply_metadata
from ..core.talk import TurnState, TurnView
from .publisher import Publisher

REFRESH = 0.12  # seconds between two updates of a reply; with its end, which never waits, at most ten in a second
THINKING = "…"
Bundle = dict[str, Any]


class Pages(Protocol):
    """The pages, as far as replies go to them. Everything is for the runtime's loop."""

    @property
    def attached(self) -> bool:
        """Whether one is there."""

    @property
    def seen(self) -> bool:
        """Whether one was ever there."""

    def show_turn(self, turn: TurnView, text: str, note: str) -> None:
        """A turn changed; the reply so far, and what it waits for."""

    def offer_reply(self, turn: TurnView) -> None:
        """A reply wants its cell."""

    def take_back_reply(self, uid: str) -> bool:
        """It is shown elsewhere; False when a page has it already."""


class Replies:
    """The replies of one notebook's master.

    Parameters
    ----------
    late
        Whether a front end is there that takes late updates of a cell's output.
    page_within
        Seconds within which a first page may come; 0 when one was there, None when none is waited for.
    """

    def __init__(
        self, client: Client, publisher: Publisher, late: Callable[[], bool], page_within: Callable[[], float | None]
    ) -> None:
        self._client, self._publisher, self._late, self._page_within = client, publisher, late, page_within
        self._pages: Pages | None = None
        self._saying: dict[int, tuple[str, str]] = {}  # turn -> (text of its present step, note)
        self._dirty: dict[int, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._drawing: asyncio.Task[None] | None = None
        self._drawn = 0.0
        self._hurry = False  # a reply has come to its end
        self._offered: dict[str, TurnView] = {}
        self._arrived: list[TurnView] = []
        self._known: set[tuple[str, int]] = set()  # replies that have come here
        self._lock = threading.Lock()

    # on the runtime's loop

    def attach(self, pages: Pages | None) -> None:
        """Say who brings replies to pages; None: nobody any more."""
        self._pages = pages
        if pages is None:
            return
        for turn in self._offered.values():
            pages.offer_reply(turn)
        if (newest := self._client.board.turn(-1)) is not None:
            pages.show_turn(newest, newest.text, newest.reason)

    def say(self, number: int, text: str, note: str = "") -> None:
        """What has come of the present step of a turn."""
        self._saying[number] = text, note
        self._mark(number)

    def show_turn(self, turn: TurnView) -> None:
        """A turn changed; what a step has said is part of it once the step is over."""
        self._saying.pop(turn.number, None)
        if turn.stage is not Stage.QUEUED and self._offered.pop(turn.uid, None) is not None and self._pages is not None:
            self._pages.take_back_reply(turn.uid)
        self._mark(turn.number, at_once=turn.stage is Stage.QUEUED)

    def reply(self, turn: TurnView) -> None:
        """A whole reply is durable."""
        with self._lock:
            self._known.add((turn.uid, turn.tries))
        wait = self._page_within()
        if wait is None:
            self._keep(turn)
            return
        self._offered[turn.uid] = turn
        if self._pages is not None:
            self._pages.offer_reply(turn)
        if wait:
            asyncio.get_running_loop().call_later(wait, self._fall_back, turn)

    def _fall_back(self, turn: TurnView) -> None:
        """No page has come in time."""
        seen = self._pages is not None and self._pages.seen
        if not seen and self._offered.get(turn.uid) is turn:
            del self._offered[turn.uid]
            if self._pages is None or self._pages.take_back_reply(turn.uid):
                self._keep(turn)

    def _keep(self, turn: TurnView) -> None:
        """What stands in a cell's display was seen there, the rest comes with the next cell."""
        if self._late() and turn.anchor is not None and turn.anchor.display:
            self._was_shown(turn)
            return
        with self._lock:
            self._arrived.append(turn)

    def _mark(self, number: int, at_once: bool = False) -> None:
        """Have it drawn; `at_once`: as soon as nothing else is being drawn."""
        self._dirty[number] = None
        self._hurry = self._hurry or at_once
        if self._hurry and self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._timer is None and self._drawing is None:
            loop = asyncio.get_running_loop()
            wait = 0.0 if self._hurry else max(0.0, self._drawn + REFRESH - loop.time())
            self._timer = loop.call_later(wait, self._draw_soon)

    def _draw_soon(self) -> None:
        self._timer, self._hurry = None, False
        loop = asyncio.get_running_loop()
        self._drawn = loop.time()
        self._drawing = loop.create_task(self._draw(), name="jo-reply")

    async def _draw(self) -> None:
        try:
            numbers, self._dirty = list(self._dirty), {}
            for number in numbers:
                turn = self._client.board.turn(number)
                if turn is not None:
                    await self._draw_one(turn)
        finally:
            self._drawing = None
            if self._dirty:
                self._mark(next(iter(self._dirty)))

    async def _draw_one(self, turn: TurnView) -> None:
        said, note = self._saying.get(turn.number, ("", ""))
        text = "\n\n".join(part for part in (turn.text, said) if part)
        if self._pages is not None:
            self._pages.show_turn(turn, text, note or turn.reason)
        if not self._late():
            return
        data = await asyncio.get_running_loop().run_in_executor(None, partial(bundle, turn, text, note))
        if turn.anchor is not None and turn.anchor.display:
            display = turn.anchor.display
            self._publisher.update_late(data, display, turn.anchor.parent, reply_metadata(display))
        for anchor in turn.joined:
            self._publisher.update_late(_plain("↑ joined the reply above"), anchor.display, anchor.parent)

    def _was_shown(self, turn: TurnView) -> None:
        runtime = self._client.runtime
        runtime.post(e.ResultShown(runtime.now(), turn.uid, turn.tries))

    # in a cell

    def first(self, anchor: Anchor) -> None:
        """Put the display up that the reply fills."""
        self._publisher.display_first(_plain(THINKING), anchor.display, reply_metadata(anchor.display))

    def flush(self) -> None:
        """Show the replies that have come, in the running cell."""
        while True:
            with self._lock:
                turn = self._arrived.pop(0) if self._arrived else None
            if turn is None:
                return
            data = bundle(turn, turn.text, "")
            if turn.anchor is not None and turn.anchor.display:  # runners take updates of earlier cells so, and only so
                self._publisher.update_here(data, turn.anchor.display)
            else:
                self._publisher.display(data)
            self._was_shown(turn)

    def wait_for_delivery(self) -> None:
        """Wait until replies of turns that are over have come here, at most 1 s: they come after the commit."""
        end = time.monotonic() + 1.0
        self._client.settled()
        while self._is_owed() and not self._client.board.blocked and time.monotonic() < end:
            time.sleep(0.005)

    def _is_owed(self) -> bool:
        turn = self._client.runtime.machine.conversation.last
        return turn is not None and turn.stage is Stage.QUEUED and (turn.uid, turn.tries) not in self._known


def bundle(turn: TurnView, text: str, note: str) -> Bundle:
    """A reply as a MIME bundle, cleaned; slow for long ones, so to be called off the loop."""
    from ..clean.replies import reply_data  # slow to import

    if turn.state is TurnState.RUNNING and not (text or turn.lines or note):
        return _plain(THINKING)
    return reply_data(text, turn.lines, turn.reason, note)


def _plain(text: str) -> Bundle:
    return {"text/plain": text}
