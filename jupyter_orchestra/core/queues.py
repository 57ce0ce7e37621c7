"""Who waits for what, in which order and why: a table of leases as it is read; it grants nothing and knows no time."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterator
from heapq import merge
from itertools import islice

import msgspec

from .needs import Need, conflicts, spell
from .stock import Counted, Needs, Ports, Stock
from .waiting import Line, Paths, Pool, Pools, Request, Waiter


class Lease(msgspec.Struct):
    """Somebody's right to things."""

    id: str
    holder: str  # uid of a task, empty for the person's own code
    needs: tuple[Need, ...]  # with the units that were chosen
    token: int = 0
    state: str = "held"  # or "claiming": the machine's part is not ours yet; "fencing": expired
    granted_at: float = 0.0
    expires: float | None = None  # None: nobody needs to renew it


class LeaseState(msgspec.Struct):
    """What a table knows and can't find out anew."""

    leases: dict[str, Lease] = {}
    capacities: dict[str, int] = {}
    token: int = 0
    outside: dict[str, float] = {}  # "port/3000": until when it counts as another program's
    claiming: dict[str, Request] = {}  # what was granted here, and may be refused by the machine
    barred: dict[str, float] = {}  # ids of requests that the machine refused; when to try again, 0: when it is told


class Explanation(msgspec.Struct, frozen=True):
    """Why a request waits."""

    missing: str  # needs, as they are written
    holders: tuple[tuple[str, float], ...]  # of it, and since when
    ahead: int
    barred: bool


class Queues:
    """All that is held and waited for. Changed by :class:`~.leases.LeaseTable` alone."""

    def __init__(self, state: LeaseState) -> None:
        self.state = state
        self._stocks: dict[str, Stock] = {}
        self._lines: dict[str, Line] = {}
        self._paths = Paths()
        self._pools: dict[Pools, Pool] = {}
        self._slots: Counter[str] = Counter()
        self._waiting: dict[str, Waiter] = {}

    def used(self, resource: str) -> int:
        """How much of it is held."""
        if resource.startswith("slots:"):
            return self._slots[resource]
        stock = self._stocks.get(resource)
        return stock.used if isinstance(stock, Counted) else len(stock.units) if isinstance(stock, Ports) else 0

    # who waits, and why

    def lacks(self, id: str) -> tuple[Need, ...]:
        """What a request waits for when it lacks more than slots, be it only the machine's word."""
        if (waiter := self._waiting.get(id)) is not None:
            needs = () if self._is_ready(waiter) else waiter.request.needs
        else:
            needs = self.state.claiming[id].needs if id in self.state.claiming else ()
        return tuple(filter(is_thing, needs))

    def ahead(self, id: str) -> int:
        """How many that want a part of the same come before it."""
        waiter = self._waiting.get(id)
        return 0 if waiter is None else self._ahead(waiter, {need.resource for need in waiter.request.needs})

    def _ahead(self, waiter: Waiter, wanted: Collection[str]) -> int:
        """How many that want a part of these come before it."""
        if not any(name.startswith("slots:") for name in wanted):
            lines = [self._lines[name].everyone for name in wanted if name in self._lines]
            before = {uid for line in lines for _, uid in line[: bisect_left(line, (waiter.place,))]}
            paths = waiter.paths if "path" in wanted else []
            before.update(*(self._paths.all_before(need, waiter.place) for need in paths))
            return len(before & self._waiting.keys())
        return sum(
            1
            for other in self._waiting.values()
            if other.place < waiter.place and any(need.resource in wanted for need in other.request.needs)
        )

    def explain(self, id: str) -> Explanation | None:
        """What is missing, who has it, and who is ahead; None when nobody waits under that id."""
        waiter = self._waiting.get(id)
        if waiter is None:
            return None
        blockers = self.blockers(id)
        short = self._short(waiter)
        held = [need for lease in blockers for need in lease.needs if need.resource == "path"]
        needs = waiter.request.needs
        missing = [
            need
            for need in needs
            if need.resource in short or any(need.resource == "path" and conflicts(need, one) for one in held)
        ]
        if not missing:  # what it wants is there, and others come before it, or another program has it
            busy = [need for need in needs if need.resource in waiter.request.busy]
            missing = busy or [need for need in needs if is_thing(need)] or list(needs)
        holders = tuple((lease.holder, lease.granted_at) for lease in blockers)
        ahead = self._ahead(waiter, {need.resource for need in missing})
        return Explanation(", ".join(map(spell, missing)), holders, ahead, waiter.request.barred)

    def blockers(self, id: str) -> list[Lease]:
        """The leases that stand in the way of a request."""
        waiter = self._waiting.get(id)
        if waiter is None:
            return []
        short = self._short(waiter)
        return [lease for lease in self.state.leases.values() if self._blocks(lease, waiter, short)]

    def _short(self, waiter: Waiter) -> set[str]:
        """The resources of which there is not enough for it now."""
        short = {name for name, wants in waiter.wants.items() if self._stock(name).choose(wants) is None}
        return short | {name for name, count in waiter.pools if self._slots[name] + count > self._capacity(name)}

    def heads(self, resources: Collection[str]) -> list[Request]:
        """Who is first in the line of one of these, and waits."""
        found = {}
        for name in resources:
            line = self._lines.get(name)
            if line is not None and line.everyone:
                request = self._waiting[line.everyone[0][1]].request
                found[request.id] = request
        return list(found.values())

    def request(self, id: str) -> Request | None:
        """The request that waits under an id."""
        waiter = self._waiting.get(id)
        return None if waiter is None else waiter.request

    def requests(self) -> Iterator[Request]:
        """All that wait, the first one first."""
        return (waiter.request for waiter in sorted(self._waiting.values(), key=lambda waiter: waiter.place))

    def queued_for(self) -> Iterator[str]:
        """The resources for which someone waits; slots are waited for by who lacks nothing else."""
        yield from (name for name, line in self._lines.items() if line.everyone)
        yield from ["path"] if self._paths.everyone() else []
        yield from dict.fromkeys(name for slots, pool in self._pools.items() if len(pool) for name, _ in slots)

    def queue(self, name: str, most: int) -> tuple[list[Request], int]:
        """The first ones of those who wait for a resource, and how many there are."""
        if name.startswith("slots:"):
            pools = [pool for slots, pool in self._pools.items() if name in dict(slots)]
            first = [uid for _, uid in islice(merge(*(pool.lead(most, self._waiting) for pool in pools)), most)]
            count = sum(map(len, pools))
        else:
            line = self._lines.get(name)
            everyone = self._paths.everyone() if name == "path" else [uid for _, uid in line.everyone] if line else []
            first, count = everyone[:most], len(everyone)
        return [self._waiting[id].request for id in first], count

    # the rest

    def _is_ready(self, waiter: Waiter) -> bool:
        """Whether it lacks nothing but slots."""
        id = waiter.request.id
        if waiter.request.barred or any(id not in self._lines[name].open for name in waiter.wants):
            return False
        return not any(self._paths.before(need, waiter.place, id) for need in waiter.paths)

    def _has_slots(self, waiter: Waiter) -> bool:
        return all(self._slots[name] + count <= self._capacity(name) for name, count in waiter.pools)

    def _fits(self, needs: tuple[Need, ...]) -> bool:
        wants = Waiter(Request("", "", needs, 0, 0.0, 0)).wants
        return all(self._stock(name).choose(part) is not None for name, part in wants.items())

    def _blocks(self, lease: Lease, waiter: Waiter, short: set[str]) -> bool:
        for need in lease.needs:
            if need.resource == "path":
                if any(conflicts(need, wanted) for wanted in waiter.paths):
                    return True
            elif need.resource in short and _meet(need, waiter.wants.get(need.resource, ())):
                return True
        return False

    def _stock(self, name: str) -> Stock:
        stock = self._stocks.get(name)
        if stock is None:
            stock = self._stocks[name] = Ports() if name == "port" else Counted(self._capacity(name), name == "gpu")
        return stock

    def _line(self, name: str) -> Line:
        line = self._lines.get(name)
        if line is None:
            line = self._lines[name] = Line(self._stock(name))
        return line

    def _capacity(self, name: str) -> int:
        return self.state.capacities.get(name, 1 if name.startswith(("container:", "port")) else 0)


def is_thing(need: Need) -> bool:
    """Whether it is more than a slot."""
    return not need.resource.startswith("slots:")


def _meet(held: Need, wanted: Needs) -> bool:
    """Whether what is held is a part of what is wanted."""
    if held.resource != "port":
        return True
    ranges = [need.choice for need in wanted if need.choice is not None]
    return any(first <= unit <= last for unit in held.units for first, last in ranges)
