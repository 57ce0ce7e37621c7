"""Answers of the machine's broker that come when something else is wished already."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from pathlib import Path
from typing import cast

import pytest
from keepers_home import Home

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.model import Kind, Spec
from jupyter_orchestra.core.needs import Need
from jupyter_orchestra.resources.broker import Broker, Busy, Claim
from jupyter_orchestra.resources.keeper import LeaseKeeper
from jupyter_orchestra.testing import run

ID = "uid#1"
BUSY = Busy(("press",), "another")
PAUSE, RESUME = e.PauseAsked(1_000.0, "r", targets=("fit",)), e.ResumeAsked(1_000.0, "r", targets=("fit",))
HEAR = "all that was posted is heard"

Step = e.Event | tuple[int, int | Busy] | str


class SlowBroker:
    """Answers when the test says so."""

    def __init__(self) -> None:
        self.claims: list[Future[int | Busy]] = []
        self.calls: list[str] = []

    def claim(self, claim: Claim) -> Future[int | Busy]:
        self.calls.append(f"claim {claim.id}")
        self.claims.append(Future())
        return self.claims[-1]

    def release(self, id: str) -> Future[None]:
        self.calls.append(f"release {id}")
        return Future()


class Hearing(Home):
    """A machine that hears what is posted when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.posted = [
            e.KernelStarted(1_000.0, 1, (Kind("kernel", 1),)),
            e.ResourcesDeclared(1_000.0, {"press": 1}),
            e.TasksDispatched(1_000.0, "r", tasks=(Spec("uid", "fit", "kernel", "pass", needs=(Need("press"),)),)),
        ]

    @property
    def state(self) -> str:
        lease = self.machine.controller.leases.get(ID)
        return lease.state if lease is not None else "none"

    def hear(self, keeper: LeaseKeeper, *events: e.Event) -> None:
        for event in events:
            for wish in self.machine.handle(event):
                if isinstance(wish, e.LeaseCommand):
                    keeper.told(wish)

    def hear_all(self, keeper: LeaseKeeper) -> None:
        events, self.posted = self.posted, []
        self.hear(keeper, *events)


def play(folder: Path, *steps: Step) -> tuple[Hearing, SlowBroker]:
    """A task wants the press, which is claimed; then what the person asks, and (number of a claim, its answer)."""
    home, broker = Hearing(), SlowBroker()

    async def main() -> None:
        keeper = LeaseKeeper(home, (), lambda opened, lost: cast(Broker, broker), folder, folder)
        for step in (HEAR, *steps):
            if isinstance(step, e.Event):
                home.hear(keeper, step)
            elif isinstance(step, tuple):
                broker.claims[step[0]].set_result(step[1])
            else:
                home.hear_all(keeper)
            for _ in range(10):
                await asyncio.sleep(0)

    run(main())
    return home, broker


def test_an_answer_is_told(tmp_path: Path) -> None:
    home, _ = play(tmp_path, (0, 7), HEAR)
    assert home.state == "held"
    assert home.machine.controller.leases[ID].token == 7


@pytest.mark.parametrize("first", [7, BUSY])
@pytest.mark.parametrize("posted", [False, True], ids=["asked", "posted"])
def test_an_answer_to_what_was_taken_back_is_not_taken_for_that_to_the_next_claim(
    tmp_path: Path, first: int | Busy, posted: bool
) -> None:
    late = ((0, first), PAUSE, RESUME) if posted else (PAUSE, RESUME, (0, first))
    home, broker = play(tmp_path, *late, HEAR)
    assert home.state == "claiming"
    assert broker.calls == [f"claim {ID}", f"release {ID}", f"claim {ID}"]
    home, _ = play(tmp_path, *late, HEAR, (1, BUSY), HEAR)
    assert home.state == "none"
    home, _ = play(tmp_path, *late, HEAR, (1, 8), HEAR)
    assert home.machine.controller.leases[ID].token == 8


def test_an_answer_to_what_nobody_wants_any_more_changes_nothing(tmp_path: Path) -> None:
    home, broker = play(tmp_path, PAUSE, (0, 7), HEAR)
    assert home.state == "none"
    assert broker.calls == [f"claim {ID}", f"release {ID}"]


def test_who_gives_up_waits_for_it_in_no_line_of_the_machine(tmp_path: Path) -> None:
    _, broker = play(tmp_path, (0, BUSY), HEAR, PAUSE)
    assert broker.calls == [f"claim {ID}", f"release {ID}"]


def test_what_is_taken_back_before_it_is_claimed_is_not_claimed(tmp_path: Path) -> None:
    home = Hearing()
    broker = SlowBroker()

    async def main() -> None:
        keeper = LeaseKeeper(home, (), lambda opened, lost: cast(Broker, broker), tmp_path, tmp_path)
        home.hear_all(keeper)
        home.hear(keeper, PAUSE)
        for _ in range(10):
            await asyncio.sleep(0)

    run(main())
    assert broker.calls == []
