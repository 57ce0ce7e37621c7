"""Decides which page inserts a result, so that it comes once: offer, claim, grant, ack. It knows no comm, no clock.

A result is offered to every live page. The best of those that claim it gets the grant, and a page that may hold it
already is heard before anyone else gets it. The result is shown once a page says that it stands in a saved document.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from heapq import heappop, heappush
from typing import Literal

import msgspec

CLAIM_WITHIN = 0.25  # seconds that better pages are waited for
ACK_WITHIN = 4.0  # seconds after which a result is offered again
OPEN = 64  # results that are under way at once
ITSELF = "itself"  # in place of a cell: the one that spoke, which the page finds by its request
Key = tuple[str, int]  # (uid, attempt)
Rank = tuple[bool, bool, bool, bool, float]


class Page(msgspec.Struct, frozen=True):
    """A live page. ``path`` as the contents API has it; ``front`` is when it was last in front, POSIX seconds."""

    client: str
    session: str
    path: str
    visible: bool
    front: float = 0.0


class Parcel(msgspec.Struct, frozen=True):
    """A result on its way, and the cell that dispatched it: ``session`` is that of its execute request."""

    uid: str
    attempt: int
    notebook: str = ""  # absolute path
    cell: str = ""
    session: str = ""
    into: str = ""  # the cell that is to become its result cell; of a reply: the very cell in which the person spoke
    filled: bool = False  # that cell shows the outputs already
    cohort: str = ""

    @property
    def key(self) -> Key:
        return self.uid, self.attempt

    @property
    def is_reply(self) -> bool:
        """Whether it goes into the very cell that it comes from."""
        return self.into != "" and self.into in (self.cell, ITSELF)

    @property
    def lane(self) -> tuple[str, str]:
        """Results of one lane are granted in the order of their arrival; a reply is in the order of nothing."""
        return self.notebook, self.uid if self.is_reply else self.into or self.cell


class SendOffer(msgspec.Struct, frozen=True):
    """This page is asked whether it can take the result."""

    client: str
    parcel: Parcel
    round: int


class SendGrant(msgspec.Struct, frozen=True):
    """This page inserts the result; ``anchored``: its document holds the cell that it belongs to."""

    client: str
    parcel: Parcel
    anchored: bool


class Shown(msgspec.Struct, frozen=True):
    """The result stands in a document, or the person deleted it there."""

    parcel: Parcel


Wish = SendOffer | SendGrant | Shown
Standing = Literal["absent", "present", "deleted"]


class _Phase(Enum):
    QUEUED = 1  # too much else is under way, or nobody is there
    OFFERED = 2
    RESTING = 3  # no page that is there may take it
    HELD = 4  # granted, or found in a document: the ack is awaited


class _Item:
    """A parcel and how far it is."""

    __slots__ = ("claims", "due", "granted", "holder", "order", "parcel", "phase", "round", "since", "suspects")

    def __init__(self, parcel: Parcel, order: int) -> None:
        self.parcel, self.order = parcel, order
        self.phase = _Phase.QUEUED
        self.round = 0
        self.since = 0.0  # when the round began
        self.due: float | None = None  # when it is offered again
        self.claims: dict[str, bool] = {}  # client -> anchored, of those whose documents do not hold it
        self.holder = ""
        self.granted = False  # a file may hold it, so that pages opened from there may
        self.suspects: set[str] = set()  # clients whose documents may hold it


class Offers:
    """The results that are on their way. Each method takes a fact and gives what is to be done about it."""

    def __init__(self) -> None:
        self._pages: dict[str, Page] = {}
        self._paths: set[str] = set()  # of notebooks that pages have shown and, so far as is known, did not rename
        self._items: dict[Key, _Item] = {}
        self._lanes: dict[tuple[str, str], dict[Key, _Item]] = {}
        self._queue: list[tuple[int, Key]] = []
        self._timers: list[tuple[float, Key]] = []  # may hold moments that no longer matter
        self._open = 0  # how many are OFFERED or HELD
        self._arrivals = 0
        self._out: list[Wish] = []

    # what others ask

    def due(self) -> float | None:
        """When :meth:`passed` is wanted, POSIX seconds."""
        return self._timers[0][0] if self._timers else None

    def held(self, uid: str) -> bool:
        """Whether a page has been told to insert it, or holds it."""
        return any(item.phase is _Phase.HELD for item in self._of(uid))

    @property
    def pending(self) -> tuple[Parcel, ...]:
        """What is on its way, in the order of arrival."""
        return tuple(item.parcel for item in self._items.values())

    # facts

    def came(self, page: Page, now: float) -> list[Wish]:
        """A page says hello; it replaces an older one with the same client id."""
        if page.client in self._pages:
            self._leave(page.client, now)
        self._pages[page.client] = page
        self._paths.add(page.path)
        for item in list(self._items.values()):
            if item.phase is _Phase.OFFERED:
                self._out.append(SendOffer(page.client, item.parcel, item.round))
        self._wake(now)
        return self._told()

    def changed(self, page: Page, now: float) -> list[Wish]:
        """A page was renamed, or came to the front or left it."""
        if (before := self._pages.get(page.client)) is not None:
            if page.path != before.path:
                self._paths.discard(before.path)
                self._paths.add(page.path)
            self._pages[page.client] = page
            self._wake(now)
            self._advance_all(now)
        return self._told()

    def left(self, client: str, now: float) -> list[Wish]:
        """A page has gone."""
        if client in self._pages:
            self._leave(client, now)
            self._wake(now)  # those that stay may all show one path now
            self._advance_all(now)
        return self._told()

    def ready(self, parcel: Parcel, now: float) -> list[Wish]:
        """A result wants a place; older attempts no longer do. Told again, it may name another cell."""
        for older in list(self._of(parcel.uid)):
            if older.parcel.key != parcel.key:
                self._drop(older)
        known = self._items.get(parcel.key)
        if known is None:
            self._add(parcel)
        elif known.parcel != parcel and known.phase is not _Phase.HELD:
            self._lanes[known.parcel.lane].pop(parcel.key)
            known.parcel = parcel
            self._lanes.setdefault(parcel.lane, {})[parcel.key] = known
            if known.phase is _Phase.OFFERED:
                self._offer(known, now)
        self._fill(now)
        return self._told()

    def withdrawn(self, uid: str, now: float) -> list[Wish]:
        """It wants no place any more: superseded, forgotten, or shown elsewhere."""
        for item in list(self._of(uid)):
            self._drop(item)
            self._advance(item.parcel.lane, now)
        self._fill(now)
        return self._told()

    def claimed(
        self, client: str, key: Key, standing: Standing, anchored: bool, now: float, round: int = 0
    ) -> list[Wish]:
        """A page answers an offer; `round` is that of the offer, 0 where it does not say."""
        item = self._items.get(key)
        if item is None or client not in self._pages:
            return []
        if standing == "deleted":
            self._show(item, now)
        elif standing == "present":
            self._hold(item, client)
            self._wait_for_ack(item, now)
            self._advance(item.parcel.lane, now)
        elif item.phase in (_Phase.OFFERED, _Phase.RESTING) and round in (0, item.round):
            item.claims[client] = anchored
            item.suspects.discard(client)
            if item.phase is _Phase.RESTING:
                self._open += 1
                item.phase = _Phase.OFFERED
            self._advance(item.parcel.lane, now)
        self._fill(now)
        return self._told()

    def sent(self, client: str, key: Key, now: float) -> list[Wish]:
        """The grant is on its way to the page: its ack is due."""
        item = self._items.get(key)
        if item is not None and item.phase is _Phase.HELD and item.holder == client and item.due is None:
            self._wait_for_ack(item, now)
        return []

    def acked(self, key: Key, now: float) -> list[Wish]:
        """A page says that the result stands in a saved document."""
        if (item := self._items.get(key)) is not None:
            self._show(item, now)
            self._fill(now)
        return self._told()

    def passed(self, now: float) -> list[Wish]:
        """A moment that was asked for has come."""
        while self._timers and self._timers[0][0] <= now:
            _, key = heappop(self._timers)
            item = self._items.get(key)
            if item is None:
                continue
            if item.due is not None and item.due <= now:
                self._ask_again(item, now)
            self._advance(item.parcel.lane, now)
        self._fill(now)
        return self._told()

    # moves

    def _add(self, parcel: Parcel) -> None:
        item = _Item(parcel, self._arrivals)
        self._arrivals += 1
        self._items[parcel.key] = item
        self._lanes.setdefault(parcel.lane, {})[parcel.key] = item
        heappush(self._queue, (item.order, parcel.key))

    def _drop(self, item: _Item) -> None:
        self._open -= item.phase in (_Phase.OFFERED, _Phase.HELD)
        del self._items[item.parcel.key]
        lane = self._lanes[item.parcel.lane]
        del lane[item.parcel.key]
        if not lane:
            del self._lanes[item.parcel.lane]

    def _show(self, item: _Item, now: float) -> None:
        self._drop(item)
        self._out.append(Shown(item.parcel))
        self._advance(item.parcel.lane, now)

    def _fill(self, now: float) -> None:
        """Open as many as may be under way."""
        while self._pages and self._open < OPEN and self._queue:
            order, key = heappop(self._queue)
            item = self._items.get(key)
            if item is not None and item.order == order and item.phase is _Phase.QUEUED:
                self._open += 1
                self._offer(item, now)

    def _wake(self, now: float) -> None:
        """Who may take what has changed."""
        for item in self._items.values():
            if item.phase is _Phase.RESTING:
                self._enqueue(item)
        self._fill(now)

    def _enqueue(self, item: _Item) -> None:
        item.phase, item.due = _Phase.QUEUED, None
        heappush(self._queue, (item.order, item.parcel.key))

    def _offer(self, item: _Item, now: float) -> None:
        """Begin a round: every live page is asked, but for one that is alone, in the first."""
        item.phase, item.claims, item.holder = _Phase.OFFERED, {}, ""
        item.round += 1
        item.since = now
        if item.round == 1 and (client := self._sole_home(item)):
            # It looks into its document before it inserts: asking it would cost a round trip and tell nothing more.
            item.claims[client] = False
            self._set_due(item, now + ACK_WITHIN)
            self._advance(item.parcel.lane, now)
            return
        self._remind(item, now)
        heappush(self._timers, (now + CLAIM_WITHIN, item.parcel.key))

    def _sole_home(self, item: _Item) -> str:
        """The page that is alone and shows the notebook; none for a result that is meant for a certain cell."""
        if len(self._pages) != 1 or item.parcel.into:
            return ""
        (page,) = self._pages.values()
        return page.client if self._is_home(page, item) else ""

    def _remind(self, item: _Item, now: float) -> None:
        for client in self._pages:
            if client not in item.claims:
                self._out.append(SendOffer(client, item.parcel, item.round))
        self._set_due(item, now + ACK_WITHIN)

    def _ask_again(self, item: _Item, now: float) -> None:
        if item.phase is _Phase.OFFERED:
            self._remind(item, now)
        elif item.phase is _Phase.HELD:
            self._offer(item, now)

    def _set_due(self, item: _Item, at: float) -> None:
        item.due = at
        heappush(self._timers, (at, item.parcel.key))

    def _wait_for_ack(self, item: _Item, now: float) -> None:
        self._set_due(item, now + ACK_WITHIN)

    def _hold(self, item: _Item, client: str) -> None:
        self._open += item.phase not in (_Phase.OFFERED, _Phase.HELD)
        item.phase, item.holder, item.due = _Phase.HELD, client, None
        item.suspects.add(client)

    def _leave(self, client: str, now: float) -> None:
        del self._pages[client]
        for item in list(self._items.values()):
            item.claims.pop(client, None)
            item.suspects.discard(client)
            if item.phase is _Phase.HELD and item.holder == client and self._pages:
                self._offer(item, now)
        if not self._pages:
            self._open = 0
            for item in self._items.values():
                item.claims.clear()
                self._enqueue(item)

    # decisions

    def _advance_all(self, now: float) -> None:
        for lane in list(self._lanes):
            self._advance(lane, now)

    def _advance(self, lane: tuple[str, str], now: float) -> None:
        """Grant what can be granted, in the order of arrival."""
        for item in list(self._lanes.get(lane, {}).values()):
            if item.phase is _Phase.OFFERED and not self._decide(item, now):
                return

    def _decide(self, item: _Item, now: float) -> bool:
        """Grant it, or lay it aside when nobody may take it. Says whether later results of the lane may go on."""
        if not item.suspects <= item.claims.keys():
            return False
        eligible = [
            client for client, anchored in item.claims.items() if anchored or self._is_home(self._pages[client], item)
        ]
        silent = self._pages.keys() - item.claims.keys()
        if not eligible:
            if not silent:
                item.phase, item.due = _Phase.RESTING, None
                self._open -= 1
            return not silent
        best = max(eligible, key=lambda client: self._rank(client, item, item.claims[client]))
        rank = self._rank(best, item, item.claims[best])
        patience = ACK_WITHIN if item.granted else CLAIM_WITHIN
        if now < item.since + patience and any(self._rank(other, item, True) > rank for other in silent):
            return False
        anchored = item.claims[best]
        self._hold(item, best)
        item.granted = True
        self._out.append(SendGrant(best, item.parcel, anchored))
        return True

    def _rank(self, client: str, item: _Item, anchored: bool) -> Rank:
        page, parcel = self._pages[client], item.parcel
        # That page writes the stream into the cell: two that write at once would leave the reply twice.
        streams = parcel.is_reply and parcel.session != "" and page.session == parcel.session
        return anchored, streams, self._is_home(page, item), page.visible, page.front

    def _is_home(self, page: Page, item: _Item) -> bool:
        """Whether the page shows the notebook that dispatched it."""
        parcel = item.parcel
        if _is_at(parcel.notebook, page.path) or (parcel.session and page.session == parcel.session):
            return True
        # The kernel may know its notebook by the name of yore; but not as long as that name is another notebook's.
        alone = all(other.path == page.path for other in self._pages.values())
        return alone and not any(_is_at(parcel.notebook, path) for path in self._paths)

    # helpers

    def _of(self, uid: str) -> Iterator[_Item]:
        return (item for item in tuple(self._items.values()) if item.parcel.uid == uid)

    def _told(self) -> list[Wish]:
        out, self._out = self._out, []
        return out


def _is_at(notebook: str, path: str) -> bool:
    """Whether a notebook's absolute path may be that which the contents API has."""
    return bool(path) and (notebook == path or notebook.endswith("/" + path.lstrip("/")))
