"""The table of grants at work: what a worker sees of it while it carries a task out, and who is not even begun."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.grants import LASTS
from jupyter_orchestra.core.model import Ask, Capability, Kind, Origin, Result, Spec, State, Task
from jupyter_orchestra.core.ports import Finished, Job, Outcome
from jupyter_orchestra.core.rights import Consent
from jupyter_orchestra.runtime import Runtime
from jupyter_orchestra.testing import MemoryJournal, ScriptedWorker, run, settle

C, S = Capability, State
FETCH = Ask("q1", "run with network: fetch", "fetch", "d1", capabilities=(C.RUN, C.NETWORK))


class Worker(ScriptedWorker):
    """Keeps what it was given; each attempt lasts until it is told to end."""

    def __init__(self, kind: Kind) -> None:
        super().__init__(kind, {})
        self.jobs: dict[str, Job] = {}
        self.ends: dict[str, asyncio.Event] = {}

    async def run(self, job: Job) -> Outcome:
        self.jobs[job.name] = job
        self.ends[job.name] = asyncio.Event()
        await self.ends[job.name].wait()
        return Finished(Result())


class House:
    def __init__(self, folder: Path) -> None:
        self.agents, self.shells = Worker(Kind("agent", 4, agent=True)), Worker(Kind("shell", 1))
        loop_time = lambda: 1_000 + asyncio.get_running_loop().time()  # noqa: E731
        self.runtime = Runtime(MemoryJournal(), [self.agents, self.shells], folder, clock=loop_time)

    async def ask(self, kind: Callable[..., e.Asked], **more: object) -> e.Answer:
        event = kind(self.runtime.now(), self.runtime.new_request(), **more)
        return await asyncio.wrap_future(self.runtime.ask(event))

    async def dispatch(self, name: str, worker: str = "shell", **more: object) -> None:
        spec = Spec(f"uid-{name}", name, worker, "x", **{"origin": Origin.MASTER, **more})  # type: ignore[arg-type]
        assert isinstance(await self.ask(e.TasksDispatched, tasks=(spec,)), e.Accepted)

    def task(self, name: str) -> Task:
        return self.runtime.machine.tasks[f"uid-{name}"]

    async def until(self, name: str, state: State) -> None:
        await settle(lambda: self.task(name).state is state, 60, f"{name} is {state}")


Tell = Callable[[Callable[[House], Awaitable[None]]], None]


@pytest.fixture
def tell(tmp_path: Path) -> Tell:
    def play(story: Callable[[House], Awaitable[None]]) -> None:
        async def main() -> None:
            house = House(tmp_path)
            work = asyncio.create_task(house.runtime.run())
            await settle(lambda: house.runtime.board is not None)
            await story(house)
            house.runtime.stop()
            await work

        run(main(), seed=1)

    return play


def test_a_task_of_the_master_whose_grant_is_gone_does_not_start(tell: Tell) -> None:
    async def story(house: House) -> None:
        await house.dispatch("first")
        await house.dispatch("second")
        await settle(lambda: "first" in house.shells.jobs)
        assert isinstance(await house.ask(e.RevokeAsked, targets=("second",), capabilities=(C.RUN,)), e.Accepted)
        house.shells.ends["first"].set()
        await house.until("second", S.FAILED)
        assert "second" not in house.shells.jobs
        failure = house.task("second").failure
        assert failure is not None
        assert failure.line() == (
            "NotGranted: it may not run: that was taken back, or what it was dispatched by has ended"
        )
        await house.ask(e.RetryAsked, targets=("second",))
        await settle(lambda: "second" in house.shells.jobs, what="the person let it run again")

    tell(story)


@pytest.mark.parametrize("worker", ["shell", "agent"])
def test_what_is_below_a_task_that_has_ended_does_not_start(tell: Tell, worker: str) -> None:
    async def story(house: House) -> None:
        await house.dispatch("boss", "agent", role="worker")
        await house.dispatch("first")
        await settle(lambda: {*house.shells.jobs, *house.agents.jobs} == {"boss", "first"})
        below = {"origin": Origin.TASK, "parent": "uid-boss", "role": "worker" if worker == "agent" else ""}
        await house.dispatch("below", worker, after=("first",), **below)
        house.agents.ends["boss"].set()
        await house.until("boss", S.DONE)
        house.shells.ends["first"].set()
        await house.until("below", S.FAILED)
        assert "NotGranted" in house.task("below").reason
        assert "below" not in {*house.shells.jobs, *house.agents.jobs}

    tell(story)


def test_an_attempt_sees_what_is_approved_taken_back_and_over_at_that_moment(tell: Tell) -> None:
    async def story(house: House) -> None:
        await house.dispatch("scan", "agent", role="worker")
        await settle(lambda: "scan" in house.agents.jobs)
        job = house.agents.jobs["scan"]
        once, again = Consent("d1", "q1"), Consent("d1", "q2")
        asked = asyncio.ensure_future(job.reporter.ask(FETCH))
        await settle(lambda: house.task("scan").asks)
        assert not job.grants.allows(C.NETWORK, once)
        await house.ask(e.ApproveAsked, target="scan")
        assert (await asked).approved
        assert (job.grants.allows(C.NETWORK, once), job.grants.allows(C.NETWORK, again)) == (True, False)
        await asyncio.sleep(LASTS)
        assert not job.grants.allows(C.NETWORK, once)
        assert job.grants.allows(C.RUN)
        await house.ask(e.RevokeAsked, targets=("scan",), capabilities=(C.RUN,))
        assert not job.grants.allows(C.RUN)
        assert job.grants.allows(C.READ)
        await house.ask(e.CancelAsked, targets=("scan",))
        assert not job.grants.allows(C.READ)

    tell(story)


def test_the_answer_for_good_is_given_by_itself_and_only_to_that_action(tell: Tell) -> None:
    async def story(house: House) -> None:
        await house.dispatch("scan", "agent", role="default")
        await settle(lambda: "scan" in house.agents.jobs)
        reporter = house.agents.jobs["scan"].reporter
        first = asyncio.ensure_future(reporter.ask(FETCH))
        await settle(lambda: house.task("scan").asks)
        await house.ask(e.ApproveAsked, target="scan", always=True)
        assert (await first).approved
        same = Ask("q2", FETCH.action, FETCH.detail, FETCH.digest, capabilities=FETCH.capabilities)
        assert (await reporter.ask(same)).approved
        other = asyncio.ensure_future(reporter.ask(Ask("q3", "run: rm", "rm", "d2")))
        await settle(lambda: house.task("scan").asks)
        assert not other.done()
        other.cancel()

    tell(story)


def test_what_a_role_may_not_is_answered_without_the_person(tell: Tell) -> None:
    async def story(house: House) -> None:
        await house.dispatch("look", "agent", role="explorer")
        await settle(lambda: "look" in house.agents.jobs)
        verdict = await house.agents.jobs["look"].reporter.ask(FETCH)
        assert (verdict.approved, verdict.why) == (False, "it may not run")
        assert not house.task("look").needs_you

    tell(story)
