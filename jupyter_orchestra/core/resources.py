"""The picture of what is leased: each resource with its holders and its queue; it decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from .lacking import OWN_CODE, Lack
from .leases import Lease
from .needs import Need, spell

if TYPE_CHECKING:
    from .machine import Machine

ALL = 1 << 30
# of one picture for a page
RESOURCES = 50
NAMED = 20  # holders of one resource, and those who wait for it
EXPLAINED = 100  # tasks of which it says why they wait


class HolderView(msgspec.Struct, frozen=True):
    """Someone who has a part of a resource, or waits for it."""

    name: str  # of the task, empty for the person's own code; elsewhere: who it is, in words
    uid: str
    since: float | None  # POSIX seconds, None where unknown
    what: str  # as a need is written: "port:3000", "db:main:w"
    state: str = "held"  # or "claiming", "fencing", "waiting", "elsewhere": in another notebook or program


class ResourceView(msgspec.Struct, frozen=True):
    """One resource."""

    name: str
    used: int
    capacity: int | None  # units, bytes of "mem"; None where each is one of its own, as of paths and ports
    holders: tuple[HolderView, ...] = ()
    waiting: tuple[HolderView, ...] = ()  # who is first comes first
    slots: bool = False  # of a worker kind or a tier, no real thing
    more_holders: int = 0  # that are left out
    more_waiting: int = 0


class LeasePicture(msgspec.Struct, frozen=True):
    """What is held or waited for: slots only while somebody waits for them and for nothing else."""

    resources: tuple[ResourceView, ...] = ()
    more: int = 0  # resources that are left out
    lacks: tuple[Lack, ...] = ()  # why the first ones of each queue wait


def view_resources(machine: Machine) -> tuple[ResourceView, ...]:
    """Each resource that is declared or used, the real things first."""
    return tuple(_views(machine, machine.state.control.leases.capacities, ALL))


def picture(machine: Machine, watched: Iterable[str] = ()) -> LeasePicture:
    """What a page shows; why they wait is said of the first ones of each queue, and of the tasks that are watched."""
    seen = [view for view in _views(machine, (), NAMED) if view.waiting or (view.holders and not view.slots)]
    seen.sort(key=lambda view: (view.slots, not view.waiting))
    first = [one.uid for view in seen[:RESOURCES] if not view.slots for one in view.waiting]
    return LeasePicture(tuple(seen[:RESOURCES]), max(0, len(seen) - RESOURCES), _lacks(machine, (*watched, *first)))


def lines_of(views: tuple[ResourceView, ...], now: float) -> Iterator[str]:
    """The same as lines of text."""
    for view in views:
        if view.slots and not view.waiting and not view.holders:
            continue
        yield f"{view.name}: {_amount(view)}"
        for holder in view.holders:
            state = "" if holder.state in ("held", "elsewhere") else f" ({holder.state})"
            long = "" if holder.since is None else f" for {now - holder.since:.0f} s"
            yield f"    {holder.what} held by {holder.name or OWN_CODE}{long}{state}"
        for waiter in view.waiting:
            yield f"    {waiter.name or OWN_CODE} waits for {waiter.what} ({now - (waiter.since or now):.0f} s)"


def _views(machine: Machine, names: Iterable[str], most: int) -> Iterator[ResourceView]:
    table, capacities = machine.controller.table, machine.state.control.leases.capacities
    holders: dict[str, list[HolderView]] = {}
    for lease in table.state.leases.values():
        for need in lease.needs:
            holders.setdefault(need.resource, []).append(_holder(machine, lease, need))
    for name, view in _elsewhere(machine):
        holders.setdefault(name, []).append(view)
    found = dict.fromkeys([*names, *holders, *table.queued_for()])
    for name in sorted(found, key=lambda name: name.startswith("slots:")):
        requests, count = table.queue(name, most)
        waiting = [
            HolderView(machine.controller.name(request.holder), request.holder, request.since, spell(need), "waiting")
            for request in requests
            for need in request.needs
            if need.resource == name
        ]
        held = holders.get(name, [])
        yield ResourceView(
            name, table.used(name), capacities.get(name), tuple(held[:most]), tuple(waiting[:most]),
            name.startswith("slots:"), max(0, len(held) - most), count - len(requests),
        )  # fmt: skip


def _elsewhere(machine: Machine) -> Iterator[tuple[str, HolderView]]:
    """Who has what in another notebook or program, as far as those know who wait for it."""
    seen: set[tuple[str, str]] = set()
    for id in machine.state.control.refused:
        request = machine.controller.table.request(id)
        who = machine.controller.elsewhere(id) or "another program"
        for need in request.needs if request is not None else ():
            if request is not None and need.resource in request.busy and (who, spell(need)) not in seen:
                seen.add((who, spell(need)))
                yield need.resource, HolderView(who, "", None, spell(need), "elsewhere")


def _lacks(machine: Machine, uids: Iterable[str]) -> tuple[Lack, ...]:
    tasks = (machine.tasks.get(uid) for uid in dict.fromkeys(uids))
    found = (machine.controller.lack_of(task) for task in tasks if task is not None)
    return tuple(islice(filter(None, found), EXPLAINED))


def _amount(view: ResourceView) -> str:
    if view.capacity is None:
        return f"{len(view.holders)} held"
    if view.name == "mem":
        return f"{view.used / (1 << 30):.1f} of {view.capacity / (1 << 30):.1f} GiB"
    here = " here" if any(holder.state == "elsewhere" for holder in view.holders) else ""
    return f"{view.used} of {view.capacity} in use{here}"


def _holder(machine: Machine, lease: Lease, need: Need) -> HolderView:
    return HolderView(machine.controller.name(lease.holder), lease.holder, lease.granted_at, spell(need), lease.state)
