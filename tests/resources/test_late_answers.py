"""Answers of the machine's broker that come when something else is wished already."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, cast

import pytest

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.leases import Lease
from jupyter_orchestra.core.machine import Machine
from jupyter_orchestra.core.needs import Need
from jupyter_orchestra.resources.broker import Broker, Busy, Claim
from jupyter_orchestra.resources.keeper import LeaseKeeper
from jupyter_orchestra.testing import run

LEASE = Lease("lease", "", (Need("press"),))


class SlowBroker:
    """Answers when the test says so."""

    def __init__(self) -> None:
        self.claims: list[Future[int | Busy]] = []
        self.released: list[str] = []

    def claim(self, claim: Claim) -> Future[int | Busy]:
        self.claims.append(Future())
        return self.claims[-1]

    def release(self, id: str) -> Future[None]:
        self.released.append(id)
        return Future()


class Hearing:
    def __init__(self) -> None:
        self.machine = Machine()
        self.posted: list[e.Event] = []

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    def now(self) -> float:
        return 1_000.0

    def post(self, event: e.Event) -> None:
        self.posted.append(event)

    def ask(self, event: e.Asked) -> Future[e.Answer]:
        raise AssertionError(event)

    def new_request(self) -> str:
        return "request"


def play(folder: Path, steps: Iterable[object]) -> tuple[Hearing, SlowBroker]:
    """Wishes for the keeper, and (number of a claim, answer) for who waits for it."""
    home, broker = Hearing(), SlowBroker()

    async def main() -> None:
        keeper = LeaseKeeper(home, (), lambda opened, lost: cast(Broker, broker), folder, folder)
        for step in steps:
            if isinstance(step, e.LeaseCommand):
                keeper.told(step)
            else:
                number, answer = cast(Any, step)
                broker.claims[number].set_result(answer)
            for _ in range(10):
                await asyncio.sleep(0)

    run(main())
    return home, broker


def claim() -> e.ClaimLease:
    return e.ClaimLease(LEASE, 900.0, 0)


def test_an_answer_is_told(tmp_path: Path) -> None:
    home, _ = play(tmp_path, [claim(), (0, 7)])
    assert home.posted == [e.LeaseClaimed(1_000.0, "lease", 7)]


@pytest.mark.parametrize("first", [7, Busy(("press",), "another")])
def test_an_answer_to_what_was_taken_back_is_not_taken_for_that_to_the_next_claim(
    tmp_path: Path, first: object
) -> None:
    again = [claim(), e.FreeLease(LEASE), claim()]
    home, broker = play(tmp_path, [*again, (0, first)])
    assert home.posted == []
    assert broker.released == ["lease"]
    home, _ = play(tmp_path, [*again, (0, first), (1, Busy(("press",), "another"))])
    assert home.posted == [e.LeaseRefused(1_000.0, "lease", ("press",), "another")]


def test_an_answer_to_what_nobody_wants_any_more_is_told_to_nobody(tmp_path: Path) -> None:
    home, broker = play(tmp_path, [claim(), e.FreeLease(LEASE), (0, 7)])
    assert home.posted == []
    assert broker.released == ["lease"]
