"""The picture of what is leased: each resource with its holders and its queue; it decides nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from .leases import Lease
from .needs import Need, spell

if TYPE_CHECKING:
    from .machine import Machine


class HolderView(msgspec.Struct, frozen=True, omit_defaults=True):
    """Someone who has a part of a resource, or waits for it."""

    name: str  # of the task, empty for the person's own code
    uid: str
    since: float  # POSIX seconds
    what: str  # as a need is written: "port:3000", "db:main:w"
    state: str = "held"  # or "claiming", "fencing", "waiting"


class ResourceView(msgspec.Struct, frozen=True, omit_defaults=True):
    """One resource."""

    name: str
    used: int
    capacity: int | None  # units, bytes of "mem"; None where each is one of its own, as of paths and ports
    holders: tuple[HolderView, ...] = ()
    waiting: tuple[HolderView, ...] = ()  # who is first comes first
    slots: bool = False  # of a worker kind or a tier, no real thing


def view_resources(machine: Machine) -> tuple[ResourceView, ...]:
    """Each resource that is declared or used, the real things first."""
    table, state = machine.controller.table, machine.state.control.leases
    found: dict[str, list[HolderView]] = {}
    queues: dict[str, list[HolderView]] = {}
    for lease in state.leases.values():
        for need in lease.needs:
            found.setdefault(need.resource, []).append(_holder(machine, lease, need))
    for request in table.requests():
        for need in request.needs:
            name = _name(machine, request.holder)
            waits = HolderView(name, request.holder, request.since, spell(need), "waiting")
            queues.setdefault(need.resource, []).append(waits)
    names = dict.fromkeys([*state.capacities, *found, *queues])
    views = [
        ResourceView(
            name, table.used(name), state.capacities.get(name), tuple(found.get(name, ())),
            tuple(queues.get(name, ())), name.startswith("slots:"),
        )
        for name in names
    ]  # fmt: skip
    return tuple(sorted(views, key=lambda view: view.slots))


def lines_of(views: tuple[ResourceView, ...], now: float) -> Iterator[str]:
    """The same as lines of text."""
    for view in views:
        if view.slots and not view.waiting and not view.holders:
            continue
        yield f"{view.name}: {_amount(view)}"
        for holder in view.holders:
            state = "" if holder.state == "held" else f" ({holder.state})"
            yield f"    {holder.what} held by {holder.name or 'your own code'} for {now - holder.since:.0f} s{state}"
        for waiter in view.waiting:
            yield f"    {waiter.name or 'your own code'} waits for {waiter.what} ({now - waiter.since:.0f} s)"


def _amount(view: ResourceView) -> str:
    if view.capacity is None:
        return f"{len(view.holders)} held"
    if view.name == "mem":
        return f"{view.used / (1 << 30):.1f} of {view.capacity / (1 << 30):.1f} GiB"
    return f"{view.used} of {view.capacity} in use"


def _holder(machine: Machine, lease: Lease, need: Need) -> HolderView:
    return HolderView(_name(machine, lease.holder), lease.holder, lease.granted_at, spell(need), lease.state)


def _name(machine: Machine, uid: str) -> str:
    task = machine.tasks.get(uid)
    return task.name if task is not None else ""
