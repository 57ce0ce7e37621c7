from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from jupyter_orchestra.errors import ModelError
from jupyter_orchestra.models.pressure import OPEN, QUIET, ROW, Pressed, Pressure, Pressures
from jupyter_orchestra.models.values import ModelUsage, Reply, Request, StreamEvent, Waiting


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_failure_halves_the_slots_and_quiet_gives_them_back_one_by_one() -> None:
    clock = Clock()
    pressure = Pressure(lambda: 8, clock)
    pressure.failed("rate")
    assert pressure.slots == 4
    pressure.failed("rate")  # of those under way at the same time
    assert pressure.slots == 4
    clock.now += 3.0
    pressure.failed("rate")
    assert pressure.slots == 2
    seen = []
    for _ in range(8):
        clock.now += QUIET
        pressure.ease()
        seen.append(pressure.slots)
    assert seen == [3, 4, 5, 6, 7, 8, 8, 8]
    assert pressure.due() is None


def test_there_is_always_one_slot() -> None:
    clock = Clock()
    pressure = Pressure(lambda: 2, clock)
    for _ in range(6):
        clock.now += 3.0
        pressure.failed("server")
    assert pressure.slots == 1


def test_failures_in_a_row_open_the_circuit_and_one_request_finds_out() -> None:
    clock = Clock()
    pressure = Pressure(lambda: 8, clock)
    for _ in range(ROW):
        assert pressure.admit() == 0.0
        pressure.failed("server")
    assert pressure.admit() == OPEN
    clock.now += OPEN
    assert pressure.admit() == 0.0
    assert pressure.admit() > 0.0  # one only
    pressure.failed("server", trial=True)
    assert pressure.admit() == 2 * OPEN
    clock.now += 2 * OPEN
    assert pressure.admit() == 0.0
    pressure.went_well()
    assert not pressure.is_open
    assert pressure.admit() == 0.0


def test_failures_far_apart_open_nothing() -> None:
    clock = Clock()
    pressure = Pressure(lambda: 8, clock)
    for _ in range(3 * ROW):
        clock.now += 20.0
        pressure.failed("server")
    assert pressure.admit() == 0.0


class Scripted:
    """A model that fails, or answers, as it is told."""

    def __init__(self) -> None:
        self.fails: str = ""
        self.asked = 0

    async def stream(self, request: Request) -> AsyncIterator[StreamEvent]:
        self.asked += 1
        if self.fails:
            yield Waiting(0.0, "again", "server")
            raise ModelError("server", "it failed")
        yield Reply((), "well", (), ModelUsage(), "m")


def test_a_model_that_fails_in_a_row_is_asked_no_more_for_a_while() -> None:
    clock, told = Clock(), list[tuple[str, int]]()
    later: list[Callable[[], None]] = []
    pressures = Pressures(
        lambda tier: 4, lambda tier, slots: told.append((tier, slots)), clock, lambda s, act: later.append(act)
    )
    scripted = Scripted()
    model = Pressed(scripted, "fast", "a model", pressures)
    request = Request("", (), (), "m")

    async def ask() -> list[StreamEvent]:
        return [event async for event in model.stream(request)]

    scripted.fails = "yes"
    for _ in range(3):
        with pytest.raises(ModelError):
            asyncio.run(ask())
    asked = scripted.asked
    with pytest.raises(ModelError, match="it is tried again in 30 s") as caught:
        asyncio.run(ask())
    assert scripted.asked == asked
    assert caught.value.kind == "server"
    assert told == [("fast", 2)]
    scripted.fails = ""
    clock.now += OPEN
    assert isinstance(asyncio.run(ask())[-1], Reply)
    clock.now += 10 * QUIET
    later[0]()
    assert told[-1] == ("fast", 4)


def test_what_says_nothing_of_the_endpoint_counts_for_nothing() -> None:
    pressures = Pressures(lambda tier: 4, lambda tier, slots: None, Clock(), lambda s, act: None)

    class Invalid:
        async def stream(self, request: Request) -> AsyncIterator[StreamEvent]:
            raise ModelError("invalid", "refused")
            yield

    model = Pressed(Invalid(), "fast", "a model", pressures)
    for _ in range(2 * ROW):
        with pytest.raises(ModelError, match="refused"):
            asyncio.run(anext(model.stream(Request("", (), (), "m"))))  # type: ignore[arg-type]
    assert pressures.slots("fast") == 4
