"""Schedules by chance, with holders that go on writing after their lease has expired until they are really ended."""

from __future__ import annotations

import random
from typing import NamedTuple

import pytest

from jupyter_orchestra.core.leases import AGEING, TTL, Lease, LeaseTable
from jupyter_orchestra.core.needs import Need, conflicts, parse_all

CAPACITIES = {"slots:kernel": 2, "slots:tier:fast": 1, "press": 1, "pool": 3, "gpu": 2, "mem": 8 << 30}
WISHES = [
    "slots:kernel", "slots:kernel,press", "press", "pool=2", "pool", "pool=3,press", "port:3000-3001", "port:3000",
    "gpu", "gpu:2,slots:kernel", "path:a:w", "path:a/b:r", "path:a/b/c:w,press", "path:d:r",
    "slots:kernel,slots:tier:fast", "mem=6GiB", "mem=3GiB,pool",
]  # fmt: skip
SEEDS = 5_000
GROUPS = 20


class Holder(NamedTuple):
    """A process as it really is, whatever the table believes of it."""

    id: str
    token: int
    needs: tuple[Need, ...]


class World:
    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.table = LeaseTable()
        self.table.declare(CAPACITIES)
        self.now = 1000.0
        self.count = 0
        self.alive: dict[str, Holder] = {}
        self.stopped: set[str] = set()
        self.seen = 0
        self.asked: dict[str, tuple[float, int, int, tuple[Need, ...]]] = {}

    def step(self) -> None:
        act = self.chance.choice(
            [
                self.ask,
                self.ask,
                self.ask,
                self.finish,
                self.finish,
                self.stop,
                self.go_on,
                self.die,
                self.wait,
                self.cancel,
            ]
        )
        act()
        self.grant()
        self.check()

    def ask(self) -> None:
        self.count += 1
        id, needs = f"t{self.count}", parse_all(self.chance.choice(WISHES))
        priority = self.chance.choice([0, 0, 0, 1, 3])
        self.asked[id] = (self.now, priority, self.count, needs)
        self.table.add(id, id, needs, priority, self.now, self.count)

    def grant(self) -> None:
        while (lease := self.table.take(self.now)) is not None:
            if lease.state == "claiming":
                if self.chance.random() < 0.15:
                    unit = next((f"{n.resource}/{n.units[0]}" for n in lease.needs if n.units), "press|/project")
                    self.table.refused(lease.id, (unit,), self.now)
                    continue
                self.table.claimed(lease.id, 0, self.now)
            self.check_order(lease)
            assert lease.token > self.seen
            self.seen = lease.token
            del self.asked[lease.id]
            self.alive[lease.id] = Holder(lease.id, lease.token, lease.needs)

    def finish(self) -> None:
        running = [id for id in self.alive if id not in self.stopped]
        if running:
            self.end(self.chance.choice(running))

    def end(self, id: str) -> None:
        """A process is really gone, and that is told."""
        del self.alive[id]
        self.stopped.discard(id)
        self.table.release(id)

    def stop(self) -> None:
        if self.alive:
            self.stopped.add(self.chance.choice(list(self.alive)))

    def go_on(self) -> None:
        """A stopped holder wakes, perhaps long after its time: it writes with the token that it has."""
        for id in list(self.stopped):
            lease = self.table.state.leases[id]
            assert self.table.valid(id, self.alive[id].token) == (lease.state == "held")
            self.stopped.discard(id)

    def die(self) -> None:
        if self.alive:
            self.end(self.chance.choice(list(self.alive)))

    def cancel(self) -> None:
        waiting = [id for id in self.asked if self.table.request(id) is not None]
        if waiting:
            id = self.chance.choice(waiting)
            self.table.remove(id)
            del self.asked[id]

    def wait(self) -> None:
        self.now += self.chance.choice([0.1, 4.0, 5.0, 5.0, 16.0])
        self.table.renew([id for id in self.alive if id not in self.stopped], self.now)
        for id in [id for id in self.table.state.barred if self.chance.random() < 0.5]:
            self.table.open(id)
        for lease in self.table.expire(self.now):
            assert not self.table.valid(lease.id, lease.token)
        # Ending a hung process takes a while: sometimes the others are looked at before.
        for lease in [one for one in self.table.state.leases.values() if one.state == "fencing"]:
            if self.chance.random() < 0.6:
                self.end(lease.id)

    def check(self) -> None:
        """By what really lives, never by what the table says."""
        used = dict.fromkeys(CAPACITIES, 0)
        units: list[tuple[str, int]] = []
        holders = list(self.alive.values())
        for holder in holders:
            for need in holder.needs:
                if need.resource in used:
                    used[need.resource] += need.amount
                units += [(need.resource, unit) for unit in need.units]
        assert all(used[name] <= most for name, most in CAPACITIES.items())
        assert len(units) == len(set(units))
        for index, one in enumerate(holders):
            for other in holders[index + 1 :]:
                assert not any(conflicts(a, b) for a in one.needs for b in other.needs if a.path and b.path)
        assert {lease.id for lease in self.table.state.leases.values()} == set(self.alive)
        assert all(self.table.used(name) == amount for name, amount in used.items())

    def check_order(self, lease: Lease) -> None:
        """Nobody who wants a part of the same, besides slots, has waited before it with a better claim."""
        since, priority, order, _ = self.asked[lease.id]
        mine = (since / AGEING - priority, order)
        for id, (other_since, other_priority, other_order, needs) in self.asked.items():
            if id == lease.id or (other_since / AGEING - other_priority, other_order) >= mine:
                continue
            for a in lease.needs:
                for b in needs:
                    if a.resource != b.resource or a.resource.startswith("slots:"):
                        continue
                    if a.resource == "path":
                        assert not conflicts(a, b)
                    elif a.resource == "port":
                        assert not (b.choice and b.choice[0] <= a.units[0] <= b.choice[1]) or self.is_set_aside(
                            id, a.resource
                        )
                    else:
                        assert self.is_set_aside(id, a.resource)

    def is_set_aside(self, id: str, resource: str) -> bool:
        """Whether an earlier one keeps its part of it: what went past it is left over."""
        return id in self.table._lines[resource].open

    def settle(self) -> None:
        """Everybody comes to an end: nobody starves, nobody waits for nothing."""
        for _ in range(10 * self.count + 100):
            if not self.asked:
                break
            self.now += TTL
            for id in list(self.table.state.barred):
                self.table.open(id)
            self.table.renew(list(self.alive), self.now)
            self.table.expire(self.now)
            for id in list(self.alive):
                self.end(id)
            self.grant()
            self.check()
        assert not self.asked


@pytest.mark.parametrize("group", range(GROUPS))
def test_never_two_hold_the_same_whatever_stops_hangs_or_dies(group: int) -> None:
    for seed in range(group * SEEDS // GROUPS, (group + 1) * SEEDS // GROUPS):
        world = World(seed)
        for _ in range(60):
            world.step()
        world.settle()


def test_one_with_a_high_priority_does_not_keep_the_old_ones_waiting_for_ever() -> None:
    table = LeaseTable()
    table.declare({"press": 1})
    table.add("old", "old", parse_all("press"), 0, 0.0, 0)
    now, order, running = 0.0, 0, ""
    while running != "old":
        order += 1
        table.add(f"new{order}", "", parse_all("press"), 5, now, order)
        table.release(running)
        lease = table.take(now)
        assert lease is not None
        table.claimed(lease.id, 0, now)
        running, now = lease.id, now + 10.0
        assert now < 6 * AGEING
