import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from jupyter_orchestra.core.model import Failure, Kind, Process, Result, Spec
from jupyter_orchestra.core.ports import Blocked, Failed, Finished, Job, Outcome, Worker
from jupyter_orchestra.testing import (
    Block,
    Hang,
    IgnoreStop,
    MemoryJournal,
    Output,
    Progress,
    Raise,
    Return,
    ScriptedWorker,
    Sleep,
    Started,
    run,
)


class Heard:
    def __init__(self) -> None:
        self.all: list[Any] = []

    def started(self, process: Process) -> None:
        self.all.append(process)

    def progress(self, fraction: float | None, line: str = "") -> None:
        self.all.append((fraction, line))

    def output(self, output: dict[str, object]) -> None:
        self.all.append(output)


def job(name: str = "a", attempt: int = 1, heard: Heard | None = None) -> Job:
    spec = Spec(f"uid-{name}", name, "kernel", "pass")
    return Job(spec, name, attempt, Path("/nowhere"), {}, MemoryJournal(), heard or Heard())


def now() -> float:
    return asyncio.get_running_loop().time()


def carry_out(worker: ScriptedWorker, *jobs: Job) -> list[Outcome]:
    async def main() -> list[Outcome]:
        return [await worker.run(one) for one in jobs]

    return run(main())


def test_it_is_a_worker() -> None:
    worker: Worker = ScriptedWorker(Kind("shell", 2), {}, {"rm": "too dangerous"})
    assert worker.kind.slots == 2
    assert worker.check("ls") == ""
    assert worker.check("rm") == "too dangerous"


def test_it_follows_its_script() -> None:
    heard = Heard()
    stream = {"output_type": "stream", "name": "stdout", "text": "hello\n"}
    worker = ScriptedWorker("kernel", {"a": [Started(), Sleep(3), Progress(0.5, "half"), Output(stream), Return([42])]})
    one = job(heard=heard)
    (outcome,) = carry_out(worker, one)
    assert isinstance(outcome, Finished)
    result = outcome.result
    assert result.value is not None
    assert result.outputs is not None
    assert cloudpickle.loads(one.store.get(result.value)) == [42]
    assert json.loads(one.store.get(result.outputs)) == [stream]
    assert result.text == "[42]"
    assert heard.all == [Process(1, 0.0), (0.5, "half"), stream]
    worker.assert_exhausted()


@pytest.mark.parametrize(
    ("step", "outcome"),
    [
        (Raise("KeyError", "'x'"), Failed(Failure("exception", "KeyError", "'x'"))),
        (Block("no space"), Blocked("no space")),
    ],
)
def test_it_fails_as_it_is_told(step: Raise | Block, outcome: Outcome) -> None:
    worker = ScriptedWorker("kernel", {"a": [step]})
    assert carry_out(worker, job()) == [outcome]


def test_a_script_that_is_at_its_end_has_ended_well() -> None:
    assert carry_out(ScriptedWorker("kernel", {"a": []}), job()) == [Finished(Result())]


def test_each_attempt_has_its_own_steps() -> None:
    worker = ScriptedWorker("kernel", {"a": [[Raise()], [Return(1)]]})
    outcomes = carry_out(worker, job(attempt=1), job(attempt=2))
    assert [type(outcome) for outcome in outcomes] == [Failed, Finished]
    worker.assert_exhausted()


def test_it_complains_about_steps_that_were_not_reached() -> None:
    worker = ScriptedWorker("kernel", {"a": [Return(1), Sleep(5)], "b": [Sleep(1)], "c": [[Return()], [Raise()]]})
    carry_out(worker, job("a"), job("c"))
    with pytest.raises(AssertionError) as caught:
        worker.assert_exhausted()
    assert [line.strip() for line in str(caught.value).splitlines()[1:]] == [
        "never reached: a#1: Sleep(seconds=5)",
        "never reached: b: Sleep(seconds=1)",
        "never reached: c: Raise(name='ValueError', message='')",
    ]


@pytest.mark.parametrize("name", ["a", "nobody"])
def test_it_complains_about_an_attempt_that_no_script_knows(name: str) -> None:
    worker = ScriptedWorker("kernel", {"a": [Return()]})
    carry_out(worker, job("a"))
    with pytest.raises(AssertionError, match="unexpected attempt 2"):
        carry_out(worker, job(name, 2))
    with pytest.raises(AssertionError, match="unexpected attempt 2"):
        worker.assert_exhausted()


def test_it_complains_about_calls_for_what_does_not_run() -> None:
    worker = ScriptedWorker("kernel", {})

    async def main() -> None:
        await worker.pause(job())
        await worker.resume(job())
        await worker.steer(job(), "left")
        await worker.close()
        await worker.close()

    run(main())
    assert worker.complaints == [
        "pause of a#1, which does not run",
        "resume of a#1, which does not run",
        "steer of a#1, which does not run",
        "closed twice",
    ]


def test_a_mixture_of_steps_and_lists_is_refused() -> None:
    with pytest.raises(TypeError, match="not a mixture"):
        ScriptedWorker("kernel", {"a": [Sleep(1), [Return()]]})  # type: ignore[dict-item,list-item]


def stopped_after(seconds: float, worker: ScriptedWorker) -> tuple[float, Outcome | str]:
    async def main() -> tuple[float, Outcome | str]:
        work = asyncio.create_task(worker.run(job()))
        await asyncio.sleep(seconds)
        work.cancel()
        try:
            return now(), await work
        except asyncio.CancelledError:
            return now(), "stopped"

    when, how = run(main())
    return when, how


def test_a_stop_ends_an_attempt_at_once_and_what_was_left_is_no_complaint() -> None:
    worker = ScriptedWorker("kernel", {"a": [Sleep(5), Return()]})
    assert stopped_after(2, worker) == (2, "stopped")
    worker.assert_exhausted()
    assert not worker.running


def test_a_hanging_attempt_waits_for_its_stop() -> None:
    worker = ScriptedWorker("kernel", {"a": [Hang()]})
    assert stopped_after(1_000, worker)[1] == "stopped"


def test_an_ignored_stop_takes_effect_late() -> None:
    worker = ScriptedWorker("kernel", {"a": [IgnoreStop(30), Hang()]})

    async def main() -> float:
        work = asyncio.create_task(worker.run(job()))
        await asyncio.sleep(1)
        work.cancel()
        await asyncio.wait({work})
        assert work.cancelled()
        return now()

    assert run(main()) == 31


def test_an_attempt_that_ignores_its_stop_may_come_to_its_own_end() -> None:
    worker = ScriptedWorker("kernel", {"a": [IgnoreStop(30), Sleep(5), Return(1)]})
    _, outcome = stopped_after(2, worker)
    assert isinstance(outcome, Finished)


def test_paused_time_does_not_count() -> None:
    worker, one = ScriptedWorker("kernel", {"a": [Sleep(10)]}), job()

    async def at(seconds: float, act: Callable[[Job], Awaitable[None]]) -> None:
        await asyncio.sleep(seconds)
        await act(one)

    async def main() -> float:
        async with asyncio.TaskGroup() as group:
            group.create_task(at(4, worker.pause))
            group.create_task(at(104, worker.resume))
            group.create_task(worker.run(one))
        return now()

    assert run(main()) == pytest.approx(110)


def test_it_notes_what_was_said_to_it() -> None:
    worker, one = ScriptedWorker("agent", {"a": [Sleep(2)]}), job()

    async def main() -> None:
        work = asyncio.create_task(worker.run(one))
        await asyncio.sleep(1)
        await worker.steer(one, "left")
        await work

    run(main())
    assert worker.steered == [("a", "left")]
