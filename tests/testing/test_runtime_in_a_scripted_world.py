import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.limits import Amounts
from jupyter_orchestra.core.model import Failure, Kind, Result, Spec, State, Task
from jupyter_orchestra.core.ports import Failed, Finished, Job, Outcome
from jupyter_orchestra.runtime import Runtime
from jupyter_orchestra.testing import (
    Block,
    Hang,
    IgnoreStop,
    MemoryJournal,
    Progress,
    Raise,
    Return,
    ScriptedWorker,
    Sleep,
    run,
    settle,
)

S = State
KIND = Kind("kernel", 2)


class Orchestra:
    def __init__(self, folder: Path, worker: ScriptedWorker) -> None:
        self.journal, self.worker = MemoryJournal(), worker
        self.runtime = Runtime(self.journal, [worker], folder, clock=lambda: 1_000 + asyncio.get_running_loop().time())
        self.journal.on_blocked = lambda reason: self.runtime.post(e.JournalBlocked(self.runtime.now(), reason))
        self.journal.on_freed = lambda: self.runtime.post(e.JournalFreed(self.runtime.now()))

    async def ask(self, event: e.Asked) -> e.Answer:
        return await asyncio.wrap_future(self.runtime.ask(event))

    async def dispatch(self, *names: str, after: tuple[str, ...] = (), timeout: float | None = None) -> e.Answer:  # noqa: ASYNC109
        tasks = tuple(Spec(f"uid-{n}", n, "kernel", "pass", after=after, timeout=timeout) for n in names)
        return await self.ask(e.TasksDispatched(self.runtime.now(), request=self.runtime.new_request(), tasks=tasks))

    async def cancel(self, *names: str) -> e.Answer:
        return await self.ask(e.CancelAsked(self.runtime.now(), request=self.runtime.new_request(), targets=names))

    def task(self, name: str) -> Task:
        task = self.runtime.machine.find(name)
        assert task is not None
        return task

    async def until(self, name: str, state: State) -> None:
        await settle(lambda: self.task(name).state is state, 3_600, f"{name} is {state}")


Story = Callable[[Orchestra], Awaitable[None]]


@pytest.fixture(params=range(3))
def play(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[ScriptedWorker, Story], Orchestra]:
    def tell(worker: ScriptedWorker, story: Story) -> Orchestra:
        orchestra = Orchestra(tmp_path, worker)

        async def main() -> None:
            work = asyncio.create_task(orchestra.runtime.run(), name="runtime")
            await settle(lambda: orchestra.journal.events, what="the runtime works")
            await story(orchestra)
            orchestra.runtime.stop()
            await work

        run(main(), seed=request.param)
        assert not list(tmp_path.iterdir()), "folders of attempts are left over"
        return orchestra

    return tell


Tell = Callable[[ScriptedWorker, Story], Orchestra]


def test_tasks_run_in_the_order_of_their_dependencies(play: Tell) -> None:
    worker = ScriptedWorker(KIND, {"a": [Sleep(60), Return(1)], "b": [Progress(0.5), Return(2)]})

    async def story(orchestra: Orchestra) -> None:
        await orchestra.dispatch("a")
        await orchestra.dispatch("b", after=("a",))
        await orchestra.until("b", S.DONE)
        assert asyncio.get_running_loop().time() >= 60

    orchestra = play(worker, story)
    worker.assert_exhausted()
    kinds = [type(event).__name__ for event in orchestra.journal.durable]
    assert kinds[:3] == ["KernelStarted", "TasksDispatched", "TasksDispatched"]
    assert kinds.count("TaskFinished") == 2
    assert orchestra.journal.views.keys() == {"uid-a", "uid-b"}


def test_a_cancel_holds_the_slot_while_the_worker_ignores_it(play: Tell) -> None:
    worker = ScriptedWorker(Kind("kernel", 1), {"a": [IgnoreStop(5), Hang()], "b": [Return()]})

    async def story(orchestra: Orchestra) -> None:
        await orchestra.dispatch("a", "b")
        await settle(lambda: worker.running)
        await asyncio.sleep(1)
        await orchestra.cancel("a")
        assert orchestra.task("a").state is S.CANCELLED
        assert orchestra.task("b").state is S.QUEUED
        await orchestra.until("b", S.DONE)
        assert asyncio.get_running_loop().time() >= 6

    play(worker, story)
    worker.assert_exhausted()


def test_a_cancel_that_comes_before_the_worker_was_called_still_frees_the_slot(play: Tell) -> None:
    worker = ScriptedWorker(KIND, {})

    async def story(orchestra: Orchestra) -> None:
        orchestra.runtime.post(e.TasksDispatched(1_000.0, tasks=(Spec("uid-a", "a", "kernel", "pass"),)))
        orchestra.runtime.post(e.CancelAsked(1_000.0, targets=("a",)))
        await settle(lambda: orchestra.journal.events[-1:] == [e.TaskStopped(1_000.0, "uid-a", 1)])
        await settle(lambda: orchestra.runtime.machine.free_slots("kernel") == (0, 2))

    play(worker, story)
    worker.assert_exhausted()


def test_a_task_out_of_time_fails(play: Tell) -> None:
    worker = ScriptedWorker(KIND, {"a": [Hang()]})

    async def story(orchestra: Orchestra) -> None:
        await orchestra.dispatch("a", timeout=30.0)
        await orchestra.until("a", S.FAILED)
        assert 30 <= asyncio.get_running_loop().time() < 31

    play(worker, story)


def test_a_blocked_attempt_is_tried_again(play: Tell) -> None:
    worker = ScriptedWorker(KIND, {"a": [[Block()], [Raise("ValueError", "wrong")]]})

    async def story(orchestra: Orchestra) -> None:
        await orchestra.dispatch("a")
        await orchestra.until("a", S.FAILED)
        assert orchestra.task("a").attempt == 2

    play(worker, story)
    worker.assert_exhausted()


def test_nothing_is_reported_done_before_it_is_durable(play: Tell) -> None:
    worker = ScriptedWorker(KIND, {"a": [Sleep(1), Return()]})

    async def story(orchestra: Orchestra) -> None:
        await orchestra.dispatch("a")
        await settle(lambda: worker.running)
        orchestra.journal.block()
        await orchestra.until("a", S.DONE)
        await asyncio.sleep(10)
        picture = orchestra.runtime.board.get("uid-a")
        assert picture is not None
        assert picture.state is S.RUNNING
        orchestra.journal.free()
        await settle(lambda: (found := orchestra.runtime.board.get("uid-a")) and found.state is S.DONE)

    play(worker, story)


def test_what_begins_does_so_once_that_is_durable(play: Tell) -> None:
    worker = ScriptedWorker(KIND, {"a": [Return()]})

    async def story(orchestra: Orchestra) -> None:
        orchestra.journal.on_blocked = None  # nobody has noticed yet
        orchestra.journal.block()
        await orchestra.dispatch("a")
        await asyncio.sleep(10)
        assert orchestra.task("a").state is S.RUNNING
        assert not worker.running
        orchestra.journal.free()
        await orchestra.until("a", S.DONE)

    play(worker, story)


def test_the_folder_of_what_outlives_a_kernel_stays_until_its_end_is_durable(play: Tell) -> None:
    worker = ScriptedWorker(Kind("kernel", 2, adoptable=True), {"a": [Sleep(1), Return()], "b": [Return()]})

    async def story(orchestra: Orchestra) -> None:
        await orchestra.dispatch("a")
        await settle(lambda: worker.running)
        (job,) = worker.running.values()
        spool = job.folder / "spool"
        spool.write_text("what it put out")
        orchestra.journal.on_blocked = None
        orchestra.journal.block()
        await orchestra.until("a", S.DONE)
        await asyncio.sleep(10)
        assert spool.exists()
        orchestra.journal.free()
        await settle(lambda: not spool.exists())

    play(worker, story)


def test_what_is_to_be_spent_is_durable_before_it_may_be(play: Tell) -> None:
    worker = ScriptedWorker(KIND, {"a": [Hang()]})

    async def story(orchestra: Orchestra) -> None:
        async def reserve(id: str) -> e.Answer:
            now, amounts = orchestra.runtime.now(), Amounts(tokens_in=5)
            return await orchestra.ask(e.ReserveAsked(now, id, id=id, amounts=amounts, uid="uid-a", attempt=1))

        await orchestra.dispatch("a")
        await settle(lambda: worker.running)
        assert isinstance(await reserve("first"), e.Accepted)
        assert any(isinstance(event, e.ReserveAsked) for event in orchestra.journal.durable)
        orchestra.journal.block()
        waits = asyncio.ensure_future(reserve("second"))
        await asyncio.sleep(10)
        assert not waits.done()
        orchestra.journal.free()
        assert isinstance(await waits, e.Accepted)
        assert {one.quantity: one.reserved for one in orchestra.journal.accounts["notebook"]}["tokens"] == 10
        await orchestra.cancel("a")

    play(worker, story)


class Unruly(ScriptedWorker):
    async def run(self, job: Job) -> Outcome:
        match job.name:
            case "raises":
                raise ValueError("out of order")
            case "exits":
                raise SystemExit(3)
            case "nonsense":
                return 5  # type: ignore[return-value]
            case "no-text":
                return Failed(Failure("exception", "Odd", "half of a pair: \ud800"))
            case "cancels-itself":
                raise asyncio.CancelledError
        return Finished(Result())


def test_whatever_a_worker_does_its_task_ends_and_the_runtime_goes_on(play: Tell) -> None:
    wrong = ("raises", "exits", "nonsense", "no-text", "cancels-itself")

    async def story(orchestra: Orchestra) -> None:
        await orchestra.dispatch(*wrong)
        for name in wrong:
            await orchestra.until(name, S.FAILED)
        await orchestra.dispatch("good")
        await orchestra.until("good", S.DONE)
        assert orchestra.runtime.machine.state.holds == {}
        assert "no outcome" in orchestra.task("nonsense").reason

    play(Unruly(KIND, {}), story)
