"""What becomes of a thing that takes long to begin when nobody wants it any more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from pathlib import Path

import pytest
from keepers_home import Home

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.leases import Lease
from jupyter_orchestra.core.leasing import Held
from jupyter_orchestra.core.needs import Need
from jupyter_orchestra.core.ports import Grant
from jupyter_orchestra.errors import RefusedError, ResourceError
from jupyter_orchestra.resources.keeper import LeaseKeeper
from jupyter_orchestra.testing import run, settle

QUICK, SLOW = Need("quick"), Need("slow")
LEASE = Lease("lease", "", (QUICK, SLOW))
RELEASED = e.LeaseReleased(1_000.0, "lease")


class Things:
    """A provider of things that are there when the test says so."""

    def __init__(self, resource: str, living: list[str], gate: asyncio.Event) -> None:
        self.resource, self._living, self._gate = resource, living, gate
        self.ends = asyncio.Event()
        self.ends.set()

    def capacities(self) -> Mapping[str, int]:
        return {self.resource: 1}

    def check(self, need: Need) -> str:
        return ""

    async def provide(self, need: Need, grant: Grant) -> Thing:
        self._living.append(self.resource)
        try:
            await self._gate.wait()
        except BaseException:
            await self.ends.wait()
            self._living.remove(self.resource)
            raise
        return Thing(self)

    async def end(self) -> None:
        await self.ends.wait()
        self._living.remove(self.resource)


class Thing:
    notes = ()

    def __init__(self, things: Things) -> None:
        self._things, self.environment = things, {things.resource.upper(): "yes"}

    async def end(self) -> None:
        await self._things.end()


class World(Home):
    """The keeper's home, and what lives in it."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.seen: list[tuple[e.Event, list[str]]] = []  # what was posted, and what lived at that moment
        self.living: list[str] = []
        self.gate, opened = asyncio.Event(), asyncio.Event()
        opened.set()
        self.slow = Things("slow", self.living, self.gate)
        quick = Things("quick", self.living, opened)
        self.keeper = LeaseKeeper(self, (quick, self.slow), None, folder / "project", folder / "grants")

    def post(self, event: e.Event) -> None:
        self.seen.append((event, list(self.living)))

    async def begin(self, lease: Lease = LEASE) -> Future[Held]:
        """It is wanted and given, and the slow thing is being made."""
        future = self.keeper.expect("lease")
        self.keeper.told(e.GiveLease(lease))
        await settle(lambda: "slow" in self.living, what="the slow thing begins")
        return future

    async def turns(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)


Story = Callable[[World], Awaitable[None]]


@pytest.fixture(params=range(5))
def seed(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def play(folder: Path, story: Story, seed: int) -> None:
    async def main() -> None:
        world = World(folder)
        await story(world)
        await world.keeper.close()
        assert world.living == []
        assert not [*(folder / "grants").glob("*")]

    run(main(), seed, allow_threads=True)


@pytest.mark.parametrize("needs", [(QUICK, SLOW), (SLOW,)], ids=["with another", "alone"])
def test_it_is_ended_before_the_lease_is_free(tmp_path: Path, needs: tuple[Need, ...], seed: int) -> None:
    async def story(world: World) -> None:
        await world.begin(Lease("lease", "", needs))
        over = world.keeper.give_back("lease")
        assert over is not None
        await asyncio.wrap_future(over)
        assert {event for event, _ in world.seen} == {RELEASED}
        assert all(living == [] for _, living in world.seen)

    play(tmp_path, story, seed)


def test_it_is_ended_though_it_takes_long_to_end(tmp_path: Path, seed: int) -> None:
    async def story(world: World) -> None:
        world.slow.ends.clear()
        await world.begin()
        over = world.keeper.give_back("lease")
        await world.turns()
        assert world.seen == []
        world.slow.ends.set()
        assert over is not None
        await asyncio.wrap_future(over)
        assert all(living == [] for _, living in world.seen)

    play(tmp_path, story, seed)


def test_what_is_there_when_nobody_waits_any_more_is_ended(tmp_path: Path, seed: int) -> None:
    async def story(world: World) -> None:
        future = await world.begin()
        assert future.cancel()
        world.gate.set()
        await settle(lambda: world.seen, what="it is free")
        assert world.seen == [(RELEASED, [])]

    play(tmp_path, story, seed)


def test_one_whose_lease_was_lost_meanwhile_is_ended_and_who_waits_is_told(tmp_path: Path, seed: int) -> None:
    async def story(world: World) -> None:
        future = await world.begin()
        world.keeper.told(e.FenceLease(LEASE))
        world.keeper.told(e.FreeLease(LEASE, "another has it"))
        with pytest.raises(RefusedError, match="another has it"):
            await asyncio.wrap_future(future)
        await settle(lambda: not world.living, what="it is ended")
        await settle(lambda: e.LeaseFenced(1_000.0, "lease") in [event for event, _ in world.seen])
        assert all(living == [] for _, living in world.seen)

    play(tmp_path, story, seed)


def test_one_that_is_given_back_before_it_begins_does_not_begin(tmp_path: Path, seed: int) -> None:
    async def story(world: World) -> None:
        world.keeper.expect("lease")
        world.keeper.told(e.GiveLease(LEASE))
        over = world.keeper.give_back("lease")
        if over is not None:
            await asyncio.wrap_future(over)
        await world.turns()
        assert world.living == []
        assert [event for event, _ in world.seen].count(RELEASED) >= 1

    play(tmp_path, story, seed)


def test_who_gives_back_twice_waits_twice_for_its_end(tmp_path: Path, seed: int) -> None:
    async def story(world: World) -> None:
        future = await world.begin()
        world.gate.set()
        assert (await asyncio.wrap_future(future)).environment == {"QUICK": "yes", "SLOW": "yes"}
        world.slow.ends.clear()
        overs = [world.keeper.give_back("lease") for _ in range(2)]
        await world.turns()
        assert world.seen == []
        world.slow.ends.set()
        for over in overs:
            if over is not None:
                await asyncio.wrap_future(over)
        assert all(living == [] for _, living in world.seen)

    play(tmp_path, story, seed)


def test_what_could_not_be_made_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    async def fails(need: Need, grant: Grant) -> Thing:
        raise ResourceError("the slow thing is broken")

    async def story(world: World) -> None:
        monkeypatch.setattr(world.slow, "provide", fails)
        future = world.keeper.expect("lease")
        world.keeper.told(e.GiveLease(LEASE))
        with pytest.raises(ResourceError, match="is broken"):
            await asyncio.wrap_future(future)
        await settle(lambda: world.seen, what="it is free")
        assert world.seen == [(RELEASED, [])]

    play(tmp_path, story, seed)
