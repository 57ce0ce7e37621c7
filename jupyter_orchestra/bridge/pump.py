"""Brings what changes to the pages, at most 20 messages a second in all: what changes meanwhile is put together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

import msgspec

from ..core import wire
from ..core.cards import card_of
from ..core.resources import LeasePicture
from ..core.views import TaskView
from .pages import LivePage

BURST = 5  # messages that may go at once after a quiet time
RATE = 15.0  # messages a second after that; both together never make more than 20 within a second
CARDS = 200  # cards of one message, so that no message holds the loop up


class Bucket:
    """A permission to send that fills up with time."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now, self._level, self._at = now, float(BURST), now()

    def wait(self) -> float:
        """Seconds until a message may go; 0 when one may go now."""
        now = self._now()
        self._level = min(float(BURST), self._level + (now - self._at) * RATE)
        self._at = now
        return 0.0 if self._level >= 1.0 - 1e-9 else (1.0 - self._level) / RATE

    def take(self) -> None:
        """A message goes."""
        self._level -= 1.0


class Panel(Protocol):
    """What a page watches besides its cards."""

    def next(self) -> wire.ToPage | None:
        """The next message for it, None when there is nothing to say."""


class Feed:
    """What one page has yet to hear."""

    def __init__(self, page: LivePage, blocked: str) -> None:
        self.page = page
        self.seq = 0
        self.blocked = blocked
        self.dirty: dict[str, None] = {}
        self.gone: dict[str, None] = {}
        self.master: str | None = None  # who answers, when it has yet to hear of it
        self.turn: wire.Turn | None = None  # the newest one, when it has yet to hear of it
        self.leases: LeasePicture | None = None  # what it was told of them
        self.leases_changed = True  # perhaps
        self.panels: dict[str, Panel] = {}
        self.panels_first = False  # whose turn it is: cards that change all the time must not silence the panels


class Pump:
    """Coalesces changes. Everything is for the runtime's loop.

    Parameters
    ----------
    view
        The newest announced view of a task by its uid.
    now
        POSIX seconds for the page.
    blocked
        Why the journal can't be written.
    leases
        Who holds things and who waits for them.
    """

    def __init__(
        self,
        view: Callable[[str], TaskView | None],
        now: Callable[[], float],
        blocked: Callable[[], str],
        leases: Callable[[], LeasePicture],
    ) -> None:
        self._view, self._now, self._blocked, self._leases = view, now, blocked, leases
        self._loop = asyncio.get_running_loop()
        self._bucket = Bucket(self._loop.time)
        self._feeds: deque[Feed] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._soon: asyncio.Handle | None = None

    def add(self, page: LivePage, snapshot: wire.Snapshot) -> None:
        """A page came: it gets everything at once, then what changes."""
        self._feeds.append(Feed(page, snapshot.blocked))
        self._feeds[-1].leases = snapshot.leases
        page.say(snapshot)

    def renew(self, page: LivePage, snapshot: wire.Snapshot) -> None:
        """A page that is there gets everything again."""
        if (feed := self.feed(page)) is not None:
            feed.dirty.clear()
            feed.gone.clear()
            feed.master = feed.turn = None
            feed.blocked, feed.leases = snapshot.blocked, snapshot.leases
            page.say(msgspec.structs.replace(snapshot, seq=feed.seq))

    def remove(self, page: LivePage) -> None:
        """A page has gone."""
        self._feeds = deque(feed for feed in self._feeds if feed.page is not page)

    def feed(self, page: LivePage) -> Feed | None:
        """What that page has yet to hear."""
        return next((feed for feed in self._feeds if feed.page is page), None)

    @property
    def feeds(self) -> Iterable[Feed]:
        """Those of all pages."""
        return tuple(self._feeds)

    def changed(self, uid: str) -> None:
        """A task changed."""
        for feed in self._feeds:
            feed.dirty[uid] = None
        self.run()

    def gone(self, uid: str) -> None:
        """A task was forgotten."""
        for feed in self._feeds:
            feed.dirty.pop(uid, None)
            feed.gone[uid] = None
            feed.panels.pop(uid, None)
        self.run()

    def master(self, line: str) -> None:
        """Another one answers."""
        for feed in self._feeds:
            feed.master = line
        self.run()

    def turn(self, turn: wire.Turn) -> None:
        """The master's newest turn changed."""
        for feed in self._feeds:
            feed.turn = turn
        self.run()

    def leases(self) -> None:
        """Who holds things, or who waits for them, has changed."""
        for feed in self._feeds:
            feed.leases_changed = True
        self.run()

    def run(self) -> None:
        """Send what there is as soon as it may go: at once, with all that comes in the same turn of the loop."""
        if self._timer is None and self._soon is None and self._feeds:
            self._soon = self._loop.call_soon(self._go)

    def _go(self) -> None:
        self._soon = None
        while (wait := self._bucket.wait()) == 0.0:
            if not self._send_one():
                return
            self._bucket.take()
        self._timer = self._loop.call_later(wait, self._again)

    def close(self) -> None:
        """Send no more."""
        self._feeds.clear()
        for handle in (self._timer, self._soon):
            if handle is not None:
                handle.cancel()

    def _again(self) -> None:
        self._timer = None
        self._go()

    def _send_one(self) -> bool:
        """Each page in its turn; says whether there was anything to say."""
        for _ in range(len(self._feeds)):
            feed = self._feeds[0]
            self._feeds.rotate(-1)
            if (message := self._next(feed)) is not None:
                feed.page.say(message)
                return True
        return False

    def _next(self, feed: Feed) -> wire.ToPage | None:
        turns = [self._changes, self._from_panels]
        for say in turns[::-1] if feed.panels_first else turns:
            if (message := say(feed)) is not None:
                feed.panels_first = isinstance(message, wire.Changes)
                return message
        return None

    @staticmethod
    def _from_panels(feed: Feed) -> wire.ToPage | None:
        for uid, panel in list(feed.panels.items()):
            if (message := panel.next()) is not None:
                feed.panels[uid] = feed.panels.pop(uid)  # each panel in its turn
                return message
        return None

    def _changes(self, feed: Feed) -> wire.Changes | None:
        blocked = self._blocked()
        told = (feed.master, feed.turn, self._news_of_leases(feed))
        if not feed.dirty and not feed.gone and blocked == feed.blocked and told == (None, None, None):
            return None
        uids = list(feed.dirty)[:CARDS]
        for uid in uids:
            del feed.dirty[uid]
        views = (view for uid in uids if (view := self._view(uid)) is not None)
        gone = tuple(feed.gone)
        feed.gone.clear()
        feed.master = feed.turn = None
        feed.blocked = blocked
        feed.seq += 1
        cards = tuple(map(card_of, views))
        master, turn, leases = told
        return wire.Changes(
            seq=feed.seq, now=self._now(), blocked=blocked, cards=cards, gone=gone, master=master, turn=turn,
            leases=leases,
        )  # fmt: skip

    def _news_of_leases(self, feed: Feed) -> LeasePicture | None:
        """All of it, when it is not what the page has heard."""
        if not feed.leases_changed:
            return None
        leases, before, feed.leases_changed = self._leases(), feed.leases, False
        feed.leases = leases
        return None if leases == before else leases
