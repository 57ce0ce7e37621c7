"""Who holds what: grants slots and leases all or nothing, in one queue; it knows no clock, tasks or real things.

A lease that is not renewed expires, and that frees nothing: its holder is fenced first (it can do nothing any more),
and only then somebody else gets what it had. Tokens rise with every grant.

A little longer than other modules: one class, so that all that is granted can be read in one place. What is only read
of it stands in ``queues``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from difflib import get_close_matches

import msgspec

from .needs import PORTS, Need, spell
from .queues import Explanation, Lease, LeaseState, Queues, is_thing
from .stock import Needs
from .waiting import AGEING, END, HELD, PATIENCE, Pool, Request, Waiter

__all__ = ["AGEING", "TTL", "Explanation", "Lease", "LeaseState", "LeaseTable", "Request", "is_shared"]

TTL = 15.0  # seconds that a lease lasts unless it is renewed
BUSY = 5.0  # seconds for which a unit that another program has is not tried again
RANKS = ("slots", "db", "container", "path", "test-runner", "server", "port", "terminal", "gpu", "mem")


class LeaseTable(Queues):
    """All leases of one runtime, and who waits for one."""

    def __init__(self, state: LeaseState | None = None) -> None:
        super().__init__(state or LeaseState())
        self._seq = 0
        self._touched = self._changed = False
        self._moved: dict[str, str] = {}  # id of a request -> its holder: it may lack more, or less, than before
        for lease in self.state.leases.values():
            self._put(lease)

    # what there is

    def declare(self, capacities: Mapping[str, int]) -> None:
        """Say how much there is; what is held stays held."""
        held = (need for lease in self.state.leases.values() for need in lease.needs)
        self._changed = self._changed or bool(self._waiting) or any(map(is_thing, held))
        self.state.capacities = dict(capacities)
        for name, stock in self._stocks.items():
            stock.capacity = self._capacity(name)
            self._look(name)

    def impossible(self, needs: Iterable[Need]) -> str:
        """Why these needs can never be granted; empty when they can."""
        for need in needs:
            word = need.word
            if word in ("path", "container") or (word == "port" and _is_port(need)):
                continue
            if word == "port":
                return f"{spell(need)} can never be had: ports go from {PORTS[0]} to {PORTS[1]}"
            capacity = self.state.capacities.get(need.resource)
            if capacity is None:
                return self._unknown(need.resource)
            if need.amount > capacity:
                most = spell(msgspec.structs.replace(need, amount=capacity))
                return f"{spell(need)} can never be had: there is {most} at most" if capacity else _none(need)
        return ""

    # waiting

    def add(self, id: str, holder: str, needs: tuple[Need, ...], priority: int, since: float, order: int) -> None:
        """Let a request wait."""
        self._seq += 1
        self._wait(Request(id, holder, needs, priority, since, order, self._seq, rank=self._rank(holder)))

    def remove(self, id: str) -> None:
        """Let it wait no longer."""
        self.state.barred.pop(id, None)
        if (waiter := self._waiting.pop(id, None)) is not None:
            self._changed = True
            self._leave(waiter)
            self._move(waiter)

    def take(self, now: float) -> Lease | None:
        """Grant the next request that can be granted; None when none can."""
        self._forget_busy(unit for unit, until in self.state.outside.items() if until <= now)
        while (waiter := self._next(now)) is not None:
            if self._is_ready(waiter):
                return self._grant(waiter, now)
            self._pools[waiter.pools].pop()
            waiter.listed = False
        return None

    def may_wait(self, holder: str, needs: Collection[Need]) -> bool:
        """Whether a holder may wait for more: only for what ranks after all that it has, so that no circle closes."""
        return not holder or self._rank(holder) < min((rank_of(need) for need in needs), default=0)

    def take_moved(self) -> list[str]:
        """Whose requests may have begun or ceased to lack more than slots since this was asked last."""
        moved, self._moved = self._moved, {}
        return list(dict.fromkeys(moved.values()))

    def take_changed(self) -> bool:
        """Whether who holds things, or who waits for anything, has changed since this was asked last."""
        changed = self._changed or (self._touched and bool(self._waiting))
        self._touched = self._changed = False
        return changed

    # the machine's part

    def claimed(self, id: str, token: int, now: float) -> None:
        """The machine's part is ours too."""
        lease = self.state.leases[id]
        self.state.claiming.pop(id, None)
        self._changed = True
        lease.state, lease.granted_at, lease.expires = "held", now, now + TTL
        self._moved[id] = lease.holder
        if token:
            lease.token = token

    def refused(self, id: str, busy: Collection[str], now: float) -> None:
        """It is another program's: the request waits again, barred until it may be tried again."""
        lease, request = self.state.leases[id], self.state.claiming[id]
        self.release(id)
        request.busy = tuple(dict.fromkeys(unit.partition("|")[0].partition("/")[0] for unit in busy))
        for unit in busy:
            name, _, number = unit.partition("/")
            if number.isdigit() and name in self._stocks:
                self.state.outside[unit] = now + BUSY
                self._stocks[name].busy.add(int(number))
        others = {need.resource for need in lease.needs if need.units}
        alone = all(map(_is_unit, busy))
        elsewhere = (
            busy and alone and all(unit.partition("/")[0] in others for unit in busy) and self._fits(request.needs)
        )
        if not elsewhere:
            # Where it is a matter of units alone, nobody may tell when they are free: they are tried again.
            self.state.barred[id] = now + BUSY if alone else 0.0
        opened, request.opened = request.opened, False
        self._wait(request)
        if opened:
            self.open(id)

    def open(self, id: str) -> None:
        """It may be tried again."""
        self.state.barred.pop(id, None)
        if (waiter := self._waiting.get(id)) is not None and waiter.request.barred:
            self._changed = True
            names, waiter.request.barred, waiter.request.busy = waiter.request.busy, False, ()
            self._forget_busy(unit for unit in self.state.outside if unit.partition("/")[0] in names)
            self._consider(id)
        elif (claimed := self.state.claiming.get(id)) is not None:
            claimed.opened = True

    # what is held

    def renew(self, ids: Iterable[str], now: float) -> None:
        """Their holders still live."""
        for id in ids:
            lease = self.state.leases.get(id)
            if lease is not None and lease.state == "held" and lease.expires is not None:
                lease.expires = now + TTL

    def due(self) -> float | None:
        """When the next lease expires, or a unit is tried again."""
        moments = [lease.expires for lease in self.state.leases.values() if lease.state == "held"]
        moments += [until or None for until in self.state.barred.values()]
        moments += self.state.outside.values() if self._waiting else ()
        return min((at for at in moments if at is not None), default=None)

    def expire(self, now: float) -> list[Lease]:
        """The leases whose time is over. What they are for is not free before they are released."""
        held = (lease for lease in self.state.leases.values() if lease.state == "held")
        over = [lease for lease in held if lease.expires is not None and lease.expires <= now]
        for lease in over:
            lease.state = "fencing"
        self._changed = self._changed or bool(over)
        for id in [id for id, until in self.state.barred.items() if 0.0 < until <= now]:
            self.open(id)
        self._forget_busy(unit for unit, until in self.state.outside.items() if until <= now)
        return over

    def release(self, id: str) -> bool:
        """Free what it held, whatever its state; whether there was such a lease."""
        lease = self.state.leases.pop(id, None)
        if lease is None:
            return False
        self._note(lease.needs)
        if self.state.claiming.pop(id, None) is not None:
            self._moved[id] = lease.holder
        self._drop(lease.id, lease.needs)
        return True

    def valid(self, id: str, token: int) -> bool:
        """Whether it is held by this token."""
        lease = self.state.leases.get(id)
        return lease is not None and lease.state == "held" and lease.token == token

    def downgrade(self, id: str, need: Need) -> bool:
        """From now on only read a path or database; whether it was held for writing."""
        lease = self.state.leases.get(id)
        if lease is None or lease.state != "held":
            return False
        written = [one for one in lease.needs if (one.resource, one.path, one.mode) == (need.resource, need.path, "w")]
        if not written:
            return False
        self._changed = True
        found = written[0]
        reads = msgspec.structs.replace(found, mode="r")
        lease.needs = tuple(reads if one is found else one for one in lease.needs)
        if reads.resource == "path":
            self._paths.add(reads, HELD, id)
        else:
            self._stock(reads.resource).put((reads,))
        self._drop(id, (found,))
        return True

    def extend(self, id: str, needs: tuple[Need, ...], now: float) -> Lease | str:
        """Hold more, now or not at all: the lease, or why not."""
        lease = self.state.leases.get(id)
        if lease is None or lease.state != "held":
            return "the lease is not held any more"
        trial = f"{id}!"
        self.add(trial, lease.holder, needs, 0, now, 0)
        waiter = self._waiting[trial]
        if not self._is_ready(waiter) or not self._has_slots(waiter):
            why = self.explain(trial)
            self.remove(trial)
            return f"{why.missing if why else spell(needs[0])} is not free now"
        self._changed = True
        more = self._grant(waiter, now)
        del self.state.leases[trial]
        self._drop(trial, more.needs)
        lease.needs += more.needs
        lease.expires = lease.expires or more.expires
        self._hold(id, more.needs)
        return lease

    def shrink(self, id: str, keep: Callable[[Need], bool]) -> None:
        """Give back the part that is not kept."""
        self._changed = True
        lease = self.state.leases[id]
        gone = tuple(need for need in lease.needs if not keep(need))
        lease.needs = tuple(need for need in lease.needs if keep(need))
        self._drop(id, gone)

    # the rest

    def _wait(self, request: Request) -> None:
        request.barred = request.id in self.state.barred
        waiter = Waiter(request)
        self._note(request.needs)
        self._waiting[request.id] = waiter
        self._move(waiter)
        for need in waiter.paths:
            self._paths.add(need, waiter.place, request.id)
            for later in self._paths.all_after(need, waiter.place):
                self._move(self._waiting.get(later))
        for name, wants in waiter.wants.items():
            self._line(name).add(waiter, wants)
        for name in waiter.wants:
            self._look(name)
        self._consider(request.id)

    def _note(self, needs: Needs) -> None:
        """Something becomes of these: to be shown when it concerns things, or others that wait."""
        self._touched = True
        self._changed = self._changed or bool(self._waiting) or any(map(is_thing, needs))

    def _move(self, waiter: Waiter | None) -> None:
        if waiter is not None and (waiter.wants or waiter.paths):
            self._moved[waiter.request.id] = waiter.request.holder

    def _leave(self, waiter: Waiter) -> None:
        id = waiter.request.id
        if waiter.listed:
            self._pools[waiter.pools].drop(waiter, self._waiting)
        for name in waiter.wants:
            self._lines[name].remove(waiter)
        for name in waiter.wants:
            self._look(name)
        for need in waiter.paths:
            self._paths.remove(need, waiter.place, id)
            self._consider_paths(need)

    def _look(self, name: str) -> None:
        if (line := self._lines.get(name)) is not None:
            before = line.open
            for id in line.look():
                self._consider(id)
            for id in before:
                if id not in line.open:
                    self._move(self._waiting.get(id))

    def _consider(self, id: str) -> None:
        waiter = self._waiting.get(id)
        if waiter is not None and self._is_ready(waiter):
            self._move(waiter)
            self._pools.setdefault(waiter.pools, Pool()).push(waiter)

    def _consider_paths(self, need: Need) -> None:
        for id in list(self._paths.all_before(need, END)):
            self._consider(id)

    def _next(self, now: float) -> Waiter | None:
        firsts = [first for pool in self._pools.values() if (first := pool.first(self._waiting)) is not None]
        kept: set[str] = set()
        for waiter in sorted(firsts, key=lambda waiter: waiter.place):
            names = {name for name, _ in waiter.pools}
            if names & kept:
                continue
            if self._has_slots(waiter):
                return waiter
            if now - waiter.request.since > AGEING * PATIENCE:
                kept |= names
        return None

    def _grant(self, waiter: Waiter, now: float) -> Lease:
        request = waiter.request
        chosen = {name: iter(self._lines[name].open[request.id]) for name in waiter.wants}
        needs = tuple(next(chosen[need.resource]) if need.resource in chosen else need for need in request.needs)
        del self._waiting[request.id]
        self._note(request.needs)
        self._changed = self._changed or request.since < now
        shared = any(map(is_shared, needs))
        self.state.token += 1
        lasts = now + TTL if any(map(is_thing, needs)) else None
        lease = Lease(request.id, request.holder, needs, self.state.token, "held", now, lasts)
        if shared:
            lease.state, lease.expires = "claiming", None
            self.state.claiming[request.id] = request
        self.state.leases[lease.id] = lease
        self._hold(lease.id, needs)
        self._leave(waiter)
        self._move(waiter)
        return lease

    def _put(self, lease: Lease) -> None:
        self._hold(lease.id, lease.needs)

    def _hold(self, id: str, needs: tuple[Need, ...]) -> None:
        for need in needs:
            if need.resource.startswith("slots:"):
                self._slots[need.resource] += need.amount
            elif need.resource == "path":
                self._paths.add(need, HELD, id)
            else:
                self._stock(need.resource).put((need,))

    def _drop(self, id: str, needs: tuple[Need, ...]) -> None:
        for need in needs:
            if need.resource.startswith("slots:"):
                self._slots[need.resource] -= need.amount
            elif need.resource == "path":
                self._paths.remove(need, HELD, id)
                self._consider_paths(need)
            else:
                self._stock(need.resource).drop((need,))
                self._look(need.resource)

    def _forget_busy(self, units: Iterable[str]) -> None:
        """They may be free again: whoever gets one of them finds out."""
        for unit in list(units):
            del self.state.outside[unit]
            name, _, number = unit.partition("/")
            if name in self._stocks:
                self._stocks[name].busy.discard(int(number))
                self._look(name)

    def _rank(self, holder: str) -> int:
        if not holder:
            return -1
        leases = (lease for lease in self.state.leases.values() if lease.holder == holder)
        return max((rank_of(need) for lease in leases for need in lease.needs if is_thing(need)), default=-1)

    def _unknown(self, name: str) -> str:
        known = [one for one in self.state.capacities if not one.startswith("slots:")]
        near = get_close_matches(name, known, 1, 0.5)
        where = "declare it in [tool.jupyter_orchestra.resources] of pyproject.toml"
        hint = f"did you mean {near[0]}?" if near else where
        return f"there is no resource {name!r}: {hint}"


def is_shared(need: Need) -> bool:
    """Whether all notebooks of the machine share it."""
    return is_thing(need) and need.resource != "terminal"


def rank_of(need: Need) -> int:
    """Where it stands in the order in which things are asked for one after the other."""
    word = need.word
    return RANKS.index(word) if word in RANKS else len(RANKS)


def _is_unit(busy: str) -> bool:
    """Whether it is one port or card, and nothing that has a name or is counted."""
    return "/" in busy and "|" not in busy


def _is_port(need: Need) -> bool:
    first, last = need.choice or (0, -1)
    return PORTS[0] <= first <= last <= PORTS[1]


def _none(need: Need) -> str:
    return f"{spell(need)} can never be had: there is none on this machine"
