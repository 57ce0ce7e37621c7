"""The part of the machine that grants: slots and leases to tasks, leases to who asks; it knows no clock and no I/O."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import msgspec

from . import events as e
from .lacking import NAMED, Holding, Lack
from .leases import Lease, LeaseState, LeaseTable, is_shared
from .model import Kind, Spec, State, Task
from .naming import Refusal
from .needs import Need, spell_all
from .plain import visible
from .preemption import Preemption

NESTED = ": who holds something may wait for later things only, so this is not waited for"
OURS = frozenset({"server", "db", "container"})  # what is kept for a task, and ends with the kernel
ELSEWHERE = 120  # characters of what another notebook says of itself


class Wanted(msgspec.Struct, frozen=True):
    """A lease that someone asked for and waits for."""

    ask: e.LeaseAsked
    order: int


class ControllerState(msgspec.Struct):
    """What is granted, and what is waited for by others than tasks."""

    leases: LeaseState = msgspec.field(default_factory=LeaseState)
    declared: dict[str, int] = {}
    preemptible: tuple[str, ...] = ()
    wanted: dict[str, Wanted] = {}
    refused: dict[str, str] = {}  # id of a request -> who else holds it, in words
    regained: dict[str, str] = {}  # id of the request of a held task for what it gave up -> its uid
    asked: int = 0


class Controller:
    """Slots and leases.

    Parameters
    ----------
    begin
        Called with a task whose start is granted.
    go_on
        Called with a held task that has got back what it gave.
    hold
        Called with a running task, the time and why: another needs what it has.
    expired
        Called with a task whose lease has expired or was lost, the time and why.
    show
        Called with a task that has changed.
    lacks
        Called with a task, the time and what it waits for besides slots, each time that this may have changed.
    blocked
        Whether nothing new may start at present.
    """

    def __init__(
        self,
        state: ControllerState,
        tasks: Mapping[str, Task],
        kind_of: Callable[[Task], Kind],
        *,
        begin: Callable[[Task, float], None],
        go_on: Callable[[Task, float], None],
        hold: Callable[[Task, float, str], None],
        expired: Callable[[Task, float, str], None],
        show: Callable[[Task], None],
        lacks: Callable[[Task, float, tuple[Need, ...]], None],
        blocked: Callable[[], bool],
    ) -> None:
        self.state, self._tasks, self._kind_of = state, tasks, kind_of
        self._begin, self._go_on, self._hold, self._expired, self._show = begin, go_on, hold, expired, show
        self._lacks, self._blocked = lacks, blocked
        self.table = LeaseTable(state.leases)
        self._preemption = Preemption(self.table, tasks, kind_of, lambda: state.preemptible)
        self._out: list[e.Command] = []
        self._slots: dict[str, int] = {}
        self._below: dict[str, int] = {}  # slots for what single tasks dispatch, where their budgets limit them
        self._restore()

    # what the machine asks

    def due(self) -> float | None:
        """When it must be told the time."""
        taking = [] if self._blocked() else [at for _, at in self._preemption.to_take()]
        moments = [self.table.due(), *taking]
        return min((at for at in moments if at is not None), default=None)

    def declare_slots(self, slots: Mapping[str, int]) -> None:
        """How many tasks of each kind and tier may run at once."""
        self._slots = {f"slots:{name}": count for name, count in slots.items()}
        self._declare()

    def impossible(self, needs: Collection[Need]) -> str:
        """Why something can never be granted, empty when it can be."""
        return self.table.impossible(tuple(needs))

    def enqueue(self, task: Task) -> None:
        """A task waits for its slots and leases."""
        self.table.add(
            next_lease(task), task.uid, (*needs_of(task), *self._slots_below(task)), task.spec.priority,
            task.queued_at, task.order,
        )  # fmt: skip

    def leave(self, task: Task) -> None:
        """A task waits no longer, or is no longer to begin with what it was granted. What its worker asks for stays."""
        id = next_lease(task)
        for request in (id, *self._regained(task)):
            if (lease := self.state.leases.leases.get(request)) is not None and lease.state == "claiming":
                self._free(lease)
            self._want_no_more(request)

    @property
    def leases(self) -> Mapping[str, Lease]:
        """All that is granted, by id. To be read, never changed."""
        return self.state.leases.leases

    def ahead(self, task: Task) -> int:
        """How many requests come before a task's."""
        return self.table.ahead(next_lease(task))

    def holds(self, uid: str, attempt: int) -> list[Lease]:
        """What an attempt has."""
        leases = self.state.leases.leases.values()
        return [lease for lease in leases if lease.holder == uid and _is_of(lease.id, uid, attempt)]

    def awaited(self, id: str, claim: int) -> Lease | None:
        """The lease for which the answer to that claim is waited for; None: for an answer to that, nobody waits."""
        lease = self.state.leases.leases.get(id)
        return lease if lease is not None and lease.state == "claiming" and claim in (0, lease.token) else None

    def release(self, uid: str, attempt: int) -> None:
        """An attempt is over: all that it had is free."""
        for lease in self.holds(uid, attempt):
            self._free(lease)
        for id, wanted in list(self.state.wanted.items()):
            if wanted.ask.holder == uid and wanted.ask.attempt == attempt:
                self._leave_wanted(id)
        for id in [id for id in self.state.regained if _is_of(id, uid, attempt)]:
            self._want_no_more(id)

    def give_up(self, task: Task) -> None:
        """A held task gives back what may be taken from it; nothing of it runs on."""
        gave: list[Need] = []
        for lease in self.holds(task.uid, task.attempt):
            part = self._preemption.part(lease.needs)
            if part and lease.state == "held":
                self.table.shrink(lease.id, lambda need: need.resource not in self.state.preemptible)
                self._out.append(e.FreeLease(msgspec.structs.replace(lease, needs=part)))
                gave += part
        task.gave += tuple(msgspec.structs.replace(need, units=()) for need in gave)

    def regain(self, task: Task) -> None:
        """A held task wants back what it gave."""
        if self._regained(task):
            return
        self.state.asked += 1
        id = f"{lease_id(task, task.attempt)}+{self.state.asked}"
        self.state.regained[id] = task.uid
        self._ask_back(id, task)

    def kernel_started(self, going_on: Collection[str], now: float) -> None:
        """A kernel took over: what no task goes on with is free, and nobody of before waits."""
        for lease in list(self.state.leases.leases.values()):
            claiming = lease.state == "claiming"
            task = self._tasks.get(lease.holder)
            if lease.holder in going_on and not claiming and task is not None and self._outlives(lease, task):
                self.table.renew((lease.id,), now)
                continue
            self._free(lease)
            if claiming and task is not None and task.state is State.QUEUED:
                self.enqueue(task)
        for id in list(self.state.leases.barred):
            self.table.open(id)
        self.state.refused.clear()  # who waited in line went with its process
        for id in list(self.state.wanted):
            self._leave_wanted(id)
        for id in list(self.state.regained):
            self.table.remove(id)
        self.state.regained.clear()

    def take(self) -> list[e.Command]:
        """The wishes so far."""
        out, self._out = self._out, []
        if self.table.take_changed():
            out.append(e.ShowLeases())
        return out

    def grant(self, now: float) -> None:
        """Grant whatever can be granted, and say who lacks what now."""
        self._grant(now)
        for uid in self.table.take_moved():
            if (task := self._tasks.get(uid)) is not None:
                self.look_at(task, now)

    def look_at(self, task: Task, now: float) -> None:
        """Say what a task lacks."""
        missing = (need for id in self._requests(task) for need in self.table.lacks(id))
        self._lacks(task, now, tuple(dict.fromkeys(missing)))

    def _grant(self, now: float) -> None:
        if self._blocked():
            return
        while (lease := self.table.take(now)) is not None:
            if lease.state == "claiming":
                since, priority = self.seniority(lease)
                self._out.append(e.ClaimLease(lease, since, priority, lease.token))
            else:
                self._granted(lease, now)
        for task, at in list(self._preemption.to_take()):
            if at <= now:
                task.preempted += 1
                gave = self._preemption.contested(self.holds(task.uid, task.attempt))
                self._hold(task, now, f"gave {gave} to a task of higher priority")

    def tick(self, now: float) -> None:
        """Time has passed."""
        for lease in self.table.expire(now):
            self._out.append(e.FenceLease(lease))
            task = self._tasks.get(lease.holder)
            if task is not None and lease in self.holds(task.uid, task.attempt):
                self._expired(task, now, "its processes hung")

    # facts

    def handle(self, event: e.Event) -> None:
        """Take a fact in."""
        handler: Callable[[Any], None] = OF_CONTROLLER[type(event)].__get__(self)
        handler(event)

    def _on_resources_declared(self, event: e.ResourcesDeclared) -> None:
        self.state.declared, self.state.preemptible = dict(event.capacities), event.preemptible
        self._declare()

    def _on_lease_asked(self, event: e.LeaseAsked) -> None:
        if event.id in self.state.leases.leases or event.id in self.state.wanted:
            raise Refusal(f"a lease with the id {event.id} exists")
        if not event.needs:
            raise Refusal("a lease of what? name something, such as port:3000-3010")
        if why := self.impossible(event.needs):
            raise Refusal(why)
        may_wait = event.wait and self.table.may_wait(event.holder, event.needs)
        self.state.asked += 1
        self._wait_for(wanted := Wanted(event, self.state.asked))
        self.state.wanted[event.id] = wanted
        self._grant(event.at)
        if event.id in self.state.wanted and not may_wait and event.id not in self.state.leases.leases:
            why = self.explain(event.id, event.at)
            self._leave_wanted(event.id)
            raise Refusal(f"{why}{NESTED if event.wait else ''}")
        self._out.append(e.Accepted(event.request))

    def _on_lease_extend_asked(self, event: e.LeaseExtendAsked) -> None:
        if event.id not in self.state.leases.leases:
            raise Refusal("the lease is no longer held: ask for a new one")
        if any(is_shared(need) for need in event.needs):
            raise Refusal("what the whole machine shares can't be added to a lease: release it and ask for all at once")
        found = self.table.extend(event.id, event.needs, event.at)
        if isinstance(found, str):
            raise Refusal(found)
        self._out += [e.Accepted(event.request), e.GiveLease(found)]

    def _on_lease_downgraded(self, event: e.LeaseDowngraded) -> None:
        lease = self.state.leases.leases.get(event.id)
        if lease is not None and self.table.downgrade(event.id, event.need):
            self._out.append(e.GiveLease(lease))

    def _on_lease_released(self, event: e.LeaseReleased) -> None:
        if (lease := self.state.leases.leases.get(event.id)) is not None:
            self._free(lease)
        self._leave_wanted(event.id)

    def _on_lease_claimed(self, event: e.LeaseClaimed) -> None:
        if (lease := self.awaited(event.id, event.claim)) is not None:
            self.table.claimed(event.id, event.token, event.at)
            self._granted(lease, event.at)

    def _on_lease_refused(self, event: e.LeaseRefused) -> None:
        if (lease := self.awaited(event.id, event.claim)) is None:
            return
        self.table.refused(event.id, event.busy, event.at)
        self.state.refused[event.id] = event.by
        wanted = self.state.wanted.get(event.id)
        if wanted is not None and not (wanted.ask.wait and self.table.may_wait(lease.holder, lease.needs)):
            why = f"{spell_all(wanted.ask.needs)} is held by {event.by or 'another program'}"
            self._leave_wanted(event.id, f"{why}{NESTED if wanted.ask.wait else ''}")
        if (task := self._tasks.get(lease.holder)) is not None:
            self._show(task)

    def _on_lease_opened(self, event: e.LeaseOpened) -> None:
        self.table.open(event.id)

    def _on_leases_renewed(self, event: e.LeasesRenewed) -> None:
        self.table.renew(event.ids, event.at)

    def _on_lease_fenced(self, event: e.LeaseFenced) -> None:
        lease = self.state.leases.leases.get(event.id)
        if lease is not None and lease.state == "fencing":
            self._free(lease, "it expired")

    def _on_lease_taken(self, event: e.LeaseTaken) -> None:
        lease = self.state.leases.leases.get(event.id)
        if lease is None:  # it waited there
            self.table.open(event.id)
            return
        self._out.append(e.FenceLease(lease))
        task = self._tasks.get(lease.holder)
        if task is not None and lease in self.holds(task.uid, task.attempt):
            self._expired(task, event.at, event.why)
        else:
            self._free(lease, event.why)

    # words

    def explain(self, id: str, now: float) -> str:
        """Who holds what a request waits for, since when, and what is ahead; empty when it waits for nothing."""
        found = self.lack(id)
        return "" if found is None else found.words(now)

    def explain_task(self, task: Task, now: float) -> str:
        """The same for a task, whatever it waits for."""
        found = self.lack_of(task)
        return "" if found is None else found.words(now)

    def lack_of(self, task: Task) -> Lack | None:
        """Why a task waits for leases; None when it waits for none."""
        for id in self._requests(task):
            request = self.table.request(id)
            if request is not None and not all(map(is_slot, request.needs)):
                return self.lack(id)
        return None

    def lack(self, id: str) -> Lack | None:
        """Why a request waits."""
        found, request = self.table.explain(id), self.table.request(id)
        if found is None or request is None:
            return None
        holders = tuple(Holding(self.name(holder), since) for holder, since in found.holders[:NAMED])
        more = max(0, len(found.holders) - NAMED)
        return Lack(request.holder, found.missing, holders, more, self.elsewhere(id), found.ahead)

    def elsewhere(self, id: str) -> str:
        """Who else on the machine has what a request waits for, in words; empty when nobody is known."""
        return visible(self.state.refused.get(id, ""))[:ELSEWHERE]

    def name(self, holder: str) -> str:
        """The name of a task that holds or waits, empty for the person's own code."""
        task = self._tasks.get(holder)
        return task.name if task is not None else ""

    # the rest

    def _restore(self) -> None:
        """Who waited in the state, for more than the start of a task, waits on."""
        for wanted in self.state.wanted.values():
            if wanted.ask.id not in self.leases:
                self._wait_for(wanted)
        for id, uid in self.state.regained.items():
            if id not in self.leases:
                self._ask_back(id, self._tasks[uid])

    def _declare(self) -> None:
        self.table.declare({**self.state.declared, **self._slots, **self._below})

    def _slots_below(self, task: Task) -> tuple[Need, ...]:
        """What a task needs of the slots that the one above it has for all that it dispatches."""
        above = self._tasks.get(task.spec.parent)
        if above is None or above.spec.budget.slots is None:
            return ()
        name = f"slots:below:{above.uid}"
        if name not in self._below:
            self._below[name] = above.spec.budget.slots
            self._declare()
        return (Need(name),)

    def _wait_for(self, wanted: Wanted) -> None:
        ask = wanted.ask
        self.table.add(ask.id, ask.holder, ask.needs, ask.priority, ask.at, wanted.order)

    def _ask_back(self, id: str, task: Task) -> None:
        self.table.add(id, task.uid, task.gave, task.spec.priority, task.queued_at, task.order)

    def _want_no_more(self, request: str) -> None:
        self.table.remove(request)
        self.state.regained.pop(request, None)
        self._leave_line(request)

    def _leave_wanted(self, id: str, why: str = "") -> None:
        if self.state.wanted.pop(id, None) is not None:
            self.table.remove(id)
            self._leave_line(id, why)

    def _leave_line(self, id: str, why: str = "") -> None:
        """What was refused waits in the machine's line, where nobody may wait for one that is gone."""
        if self.state.refused.pop(id, None) is not None:
            self._out.append(e.FreeLease(Lease(id, "", ()), why))

    def seniority(self, lease: Lease) -> tuple[float, int]:
        """Since when it has been wanted, and with which priority."""
        if (wanted := self.state.wanted.get(lease.id)) is not None:
            return wanted.ask.at, wanted.ask.priority
        task = self._tasks[lease.holder]
        return task.queued_at, task.spec.priority

    def _granted(self, lease: Lease, now: float) -> None:
        self.state.refused.pop(lease.id, None)
        if lease.id in self.state.wanted:
            del self.state.wanted[lease.id]
            self._out.append(e.GiveLease(lease))
        elif self.state.regained.pop(lease.id, None) is not None:
            self._go_on(self._tasks[lease.holder], now)
        else:
            self._begin(self._tasks[lease.holder], now)

    def _free(self, lease: Lease, why: str = "") -> None:
        self.table.release(lease.id)
        self.state.refused.pop(lease.id, None)
        if why or not all(is_slot(need) for need in lease.needs):
            self._out.append(e.FreeLease(lease, why))

    def _requests(self, task: Task) -> Iterator[str]:
        yield next_lease(task)
        yield from self._regained(task)
        yield from [id for id, wanted in self.state.wanted.items() if wanted.ask.holder == task.uid]

    def _outlives(self, lease: Lease, task: Task) -> bool:
        """Whether a task that goes on still has it: what a worker asked for in the dead kernel is asked for anew."""
        return lease.id == lease_id(task, task.attempt) or self._kind_of(task).adoptable

    def _regained(self, task: Task) -> list[str]:
        """Its requests for what it gave up."""
        return [id for id, uid in self.state.regained.items() if uid == task.uid]


def is_slot(need: Need) -> bool:
    """Whether it is a slot of this runtime, and no real thing."""
    return need.resource.startswith("slots:")


def lease_id(task: Task, attempt: int) -> str:
    """The id of what an attempt begins with."""
    return f"{task.uid}#{attempt}"


def _is_of(lease: str, uid: str, attempt: int) -> bool:
    """Whether a lease, by its id, is an attempt's: what it began with, got back or asked for."""
    return lease.partition("+")[0] == f"{uid}#{attempt}"


def outlives(kind: Kind, spec: Spec) -> bool:
    """Whether the process of a running task goes on without the kernel, for the next one to take it over."""
    return kind.adoptable and not any(need.word in OURS for need in spec.needs)


def next_lease(task: Task) -> str:
    """The id of what the next attempt of a task waits for."""
    return lease_id(task, task.attempt + (not task.counted))


def needs_of(task: Task) -> tuple[Need, ...]:
    """All that a task must have to run: slots and leases."""
    slots = (task.spec.worker, f"tier:{task.spec.tier}") if task.spec.tier else (task.spec.worker,)
    return (*(Need(f"slots:{name}") for name in slots), *task.spec.needs)


OF_CONTROLLER: dict[type[e.Event], Callable[..., None]] = {
    e.ResourcesDeclared: Controller._on_resources_declared,
    e.LeaseAsked: Controller._on_lease_asked,
    e.LeaseExtendAsked: Controller._on_lease_extend_asked,
    e.LeaseDowngraded: Controller._on_lease_downgraded,
    e.LeaseReleased: Controller._on_lease_released,
    e.LeaseClaimed: Controller._on_lease_claimed,
    e.LeaseRefused: Controller._on_lease_refused,
    e.LeaseOpened: Controller._on_lease_opened,
    e.LeasesRenewed: Controller._on_leases_renewed,
    e.LeaseFenced: Controller._on_lease_fenced,
    e.LeaseTaken: Controller._on_lease_taken,
}
