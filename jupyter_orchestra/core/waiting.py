"""Who waits for what, and who of them may go without overtaking anyone; it grants nothing and knows no time.

A place is a tuple that sorts like the queue. What an earlier one waits for counts as held, so nobody takes it away;
what is left over is for whoever fits. One who holds something already is never held up by one who holds nothing (and
might wait for just that), and among those who hold something the one with the highest rank goes first: both together
keep every chain of waiting free of circles.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Iterator, Mapping
from heapq import heapify, heappop, heappush, merge
from operator import itemgetter

import msgspec

from .needs import Need
from .stock import Needs, Stock

AGEING = 30.0  # seconds of waiting that are worth one step of priority
PATIENCE = 10.0  # steps: after that nobody takes the slots of one who lacks nothing but slots
LOOK = 64  # how many of one line may go past others that still wait for something else

Place = tuple[float, ...]
Pools = tuple[tuple[str, int], ...]  # (slots, how many), sorted
HELD: Place = (float("-inf"),)  # of who has a path already: before all that wait
END: Place = (float("inf"),)


class Request(msgspec.Struct):
    """Someone who waits. Since all age alike, the order of two of them never changes."""

    id: str
    holder: str
    needs: tuple[Need, ...]
    priority: int
    since: float
    order: int
    seq: int = 0  # so that one who comes back is another
    barred: bool = False  # until the rest of the machine lets it go
    busy: tuple[str, ...] = ()  # the resources that somebody else on the machine has, for as long as it is barred
    rank: int = -1  # the highest rank of what its holder has; -1: nothing
    opened: bool = False  # it was let go while it was claimed: a refusal that comes now is older than that

    @property
    def place(self) -> Place:
        return (self.since / AGEING - self.priority, self.order, self.seq)

    @property
    def inner(self) -> Place:
        """Its place among those that hold something."""
        return (-self.rank, *self.place)


class Waiter:
    """A request, taken apart."""

    __slots__ = ("inner", "listed", "paths", "place", "pools", "request", "wants")

    def __init__(self, request: Request) -> None:
        self.request, self.place = request, request.place
        self.inner = request.inner if request.rank >= 0 else None
        self.listed = False  # stands in the heap of its pools
        slots: Counter[str] = Counter()
        self.wants: dict[str, Needs] = {}
        self.paths: list[Need] = []
        for need in request.needs:
            if need.resource.startswith("slots:"):
                slots[need.resource] += need.amount
            elif need.resource == "path":
                self.paths.append(need)
            else:
                self.wants[need.resource] = (*self.wants.get(need.resource, ()), need)
        self.pools: Pools = tuple(sorted(slots.items()))


class Line:
    """Those who wait for one resource, and who of them may have it now."""

    def __init__(self, stock: Stock) -> None:
        self.stock = stock
        self.open: dict[str, Needs] = {}  # who may have it, with the units meant for it
        self.everyone: list[tuple[Place, str]] = []
        self.inside: list[tuple[Place, str]] = []  # those who hold something
        self._wants: dict[str, Needs] = {}

    def add(self, waiter: Waiter, wants: Needs) -> None:
        """Let one wait."""
        uid = waiter.request.id
        self._wants[uid] = wants
        insort(self.everyone, (waiter.place, uid))
        if waiter.inner is not None:
            insort(self.inside, (waiter.inner, uid))

    def remove(self, waiter: Waiter) -> None:
        """Let one wait no longer."""
        uid = waiter.request.id
        del self._wants[uid]
        self.open.pop(uid, None)
        _cut(self.everyone, (waiter.place, uid))
        if waiter.inner is not None:
            _cut(self.inside, (waiter.inner, uid))

    def look(self) -> list[str]:
        """Find out who may have it now; those who could not before."""
        before, self.open = self.open, {}
        self._walk(self.inside, ())
        self._walk(self.everyone, {uid for _, uid in self.inside})
        return [uid for uid in self.open if uid not in before]

    def _walk(self, line: list[tuple[Place, str]], known: Mapping[str, object] | set[str] | tuple[()]) -> None:
        spare = self.stock.copy()
        for _, uid in line[:LOOK]:
            chosen = spare.choose(self._wants[uid])
            if chosen is not None:
                spare.put(chosen)
                if uid not in known:
                    self.open[uid] = chosen
            elif not spare.keep(self._wants[uid]):
                return


class Paths:
    """Paths and whose they are; whoever asks learns who stands before it with one that conflicts."""

    def __init__(self) -> None:
        self._at: dict[tuple[tuple[str, ...], str], list[tuple[Place, str]]] = {}
        self._under: dict[tuple[tuple[str, ...], str], list[tuple[Place, str]]] = {}

    def add(self, need: Need, place: Place, uid: str) -> None:
        """A path that `uid` has, or wants at `place`."""
        insort(self._at.setdefault((need.path, need.mode), []), (place, uid))
        for end in range(len(need.path) + 1):
            insort(self._under.setdefault((need.path[:end], need.mode), []), (place, uid))

    def remove(self, need: Need, place: Place, uid: str) -> None:
        """The opposite of :meth:`add`."""
        _cut_of(self._at, (need.path, need.mode), (place, uid))
        for end in range(len(need.path) + 1):
            _cut_of(self._under, (need.path[:end], need.mode), (place, uid))

    def before(self, need: Need, place: Place, own: str) -> str:
        """The last one before `place`, not `own`, whose path conflicts with `need`; empty when there is none."""
        found: tuple[Place, str] | None = None
        for line in self._conflicting(need):
            index = bisect_left(line, (place,))
            while index and line[index - 1][1] == own:
                index -= 1
            if index and (found is None or line[index - 1] > found):
                found = line[index - 1]
        return found[1] if found is not None else ""

    def all_before(self, need: Need, place: Place) -> Iterator[str]:
        """All before `place` whose paths conflict with `need`."""
        for line in self._conflicting(need):
            yield from (uid for _, uid in line[: bisect_left(line, (place,))])

    def everyone(self) -> list[str]:
        """All that wait for a path, in order."""
        lines = [self._under.get(((), mode), []) for mode in ("r", "w")]
        waiting = (line[bisect_right(line, HELD, key=itemgetter(0)) :] for line in lines)
        return list(dict.fromkeys(uid for _, uid in merge(*waiting)))

    def all_after(self, need: Need, place: Place) -> Iterator[str]:
        """All after `place` whose paths conflict with `need`."""
        for line in self._conflicting(need):
            yield from (uid for _, uid in line[bisect_right(line, place, key=itemgetter(0)) :])

    def _conflicting(self, need: Need) -> Iterator[list[tuple[Place, str]]]:
        for mode in ("w",) if need.mode == "r" else ("r", "w"):
            if below := self._under.get((need.path, mode)):
                yield below
            for end in range(len(need.path)):
                if above := self._at.get((need.path[:end], mode)):
                    yield above


class Pool:
    """Those who want the same slots and may lack nothing but slots."""

    def __init__(self) -> None:
        self.heap: list[tuple[Place, str]] = []
        self._dead = 0

    def push(self, waiter: Waiter) -> None:
        """Let one come up for its turn."""
        if not waiter.listed:
            waiter.listed = True
            heappush(self.heap, (waiter.place, waiter.request.id))

    def pop(self) -> None:
        """Take the first one out."""
        heappop(self.heap)

    def drop(self, waiter: Waiter, waiting: Mapping[str, Waiter]) -> None:
        """Take anyone out; the entry dies, and goes when many are dead."""
        waiter.listed = False
        self._dead += 1
        if self._dead > 64 and self._dead * 2 > len(self.heap):
            self.heap[:] = [entry for entry in self.heap if is_live(entry, waiting)]
            heapify(self.heap)
            self._dead = 0

    def lead(self, most: int, waiting: Mapping[str, Waiter]) -> list[tuple[Place, str]]:
        """The first ones, in order."""
        found: list[tuple[Place, str]] = []
        edge = [(entry, 0) for entry in self.heap[:1]]
        while edge and len(found) < most:
            entry, index = heappop(edge)
            if is_live(entry, waiting):
                found.append(entry)
            for child in (2 * index + 1, 2 * index + 2):
                if child < len(self.heap):
                    heappush(edge, (self.heap[child], child))
        return found

    def __len__(self) -> int:
        return len(self.heap) - self._dead

    def first(self, waiting: Mapping[str, Waiter]) -> Waiter | None:
        """Whose turn it is; the dead before it go."""
        while self.heap:
            if is_live(self.heap[0], waiting):
                return waiting[self.heap[0][1]]
            heappop(self.heap)
            self._dead -= 1
        return None


def is_live(entry: tuple[Place, str], waiting: Mapping[str, Waiter]) -> bool:
    """Whether an entry of a pool still stands for someone."""
    waiter = waiting.get(entry[1])
    return waiter is not None and waiter.listed and waiter.place == entry[0]


def _cut(line: list[tuple[Place, str]], entry: tuple[Place, str]) -> None:
    index = bisect_left(line, entry)
    if index < len(line) and line[index] == entry:
        del line[index]


def _cut_of(
    lines: dict[tuple[tuple[str, ...], str], list[tuple[Place, str]]],
    key: tuple[tuple[str, ...], str],
    entry: tuple[Place, str],
) -> None:
    line = lines[key]
    _cut(line, entry)
    if not line:
        del lines[key]
