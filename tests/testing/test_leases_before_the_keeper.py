"""An attempt that begins before anybody keeps leases takes nothing without one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.leases import Lease
from jupyter_orchestra.core.leasing import Held
from jupyter_orchestra.core.model import Failure, Kind, Result, Spec, State
from jupyter_orchestra.core.needs import Need, parse_all
from jupyter_orchestra.core.ports import Failed, Finished, Job, Outcome
from jupyter_orchestra.errors import ResourceError
from jupyter_orchestra.lending import WHY
from jupyter_orchestra.runtime import Runtime
from jupyter_orchestra.testing import MemoryJournal, ScriptedWorker, run, settle

PRESS = Need("press")


class Borrower(ScriptedWorker):
    """Takes the press while it works, as an agent does."""

    def __init__(self) -> None:
        super().__init__(Kind("kernel", 2), {})
        self.begun, self.lent = False, False

    async def run(self, job: Job) -> Outcome:
        self.begun = True
        if job.lender is None:
            return Finished(Result())
        try:
            async with job.lender.lease(PRESS):
                self.lent = True
        except ResourceError as error:
            return Failed(Failure("start", "ResourceError", str(error)))
        return Finished(Result())


class Lends:
    @asynccontextmanager
    async def lease(self, *needs: Need) -> AsyncIterator[Held]:
        yield Held(Lease("lease", "uid-one", needs), {})


class Keeps:
    def lender(self, uid: str, attempt: int) -> Lends:
        return Lends()

    def told(self, wish: object) -> None: ...

    async def close(self) -> None: ...


async def dispatch(runtime: Runtime, **more: Any) -> None:
    task = Spec("uid-one", "one", "kernel", "pass", **more)
    runtime.ask(e.TasksDispatched(runtime.now(), request=runtime.new_request(), tasks=(task,)))
    await settle(lambda: "uid-one" in runtime.machine.tasks, what="it is there")


def play(folder: Path, worker: Borrower, story: Callable[[Runtime], Awaitable[None]], awaited: bool) -> State:
    journal = MemoryJournal()
    runtime = Runtime(journal, [worker], folder, clock=lambda: 1_000 + asyncio.get_running_loop().time())
    if awaited:
        runtime.await_keeper()

    async def main() -> None:
        work = asyncio.create_task(runtime.run(), name="runtime")
        await settle(lambda: journal.events, what="the runtime works")
        await dispatch(runtime)
        await settle(lambda: worker.begun, what="it has begun")
        await story(runtime)
        await settle(lambda: runtime.machine.tasks["uid-one"].ended, what="it has ended")
        runtime.stop()
        await work

    run(main())
    return runtime.machine.tasks["uid-one"].state


def test_it_waits_for_the_keeper(tmp_path: Path) -> None:
    worker = Borrower()

    async def story(runtime: Runtime) -> None:
        for _ in range(100):
            await asyncio.sleep(0.1)
        assert not worker.lent
        assert not runtime.machine.tasks["uid-one"].ended
        keeper: Any = Keeps()
        runtime.keep(keeper)

    assert play(tmp_path, worker, story, awaited=True) is State.DONE
    assert worker.lent


@pytest.mark.parametrize(("awaited", "state"), [(True, State.FAILED), (False, State.DONE)])
def test_it_fails_where_leases_should_be_kept_and_are_not(tmp_path: Path, awaited: bool, state: State) -> None:
    worker = Borrower()

    async def story(runtime: Runtime) -> None:
        runtime.keep(None)

    assert play(tmp_path, worker, story, awaited) is state
    assert not worker.lent


@pytest.mark.parametrize("late", [False, True], ids=["dispatched before that is known", "dispatched later"])
def test_a_task_with_needs_fails_at_once_and_says_why_where_leases_can_not_be_kept(tmp_path: Path, late: bool) -> None:
    worker = Borrower()
    runtime = Runtime(MemoryJournal(), [worker], tmp_path, clock=lambda: 1_000 + asyncio.get_running_loop().time())
    runtime.await_keeper()

    async def main() -> None:
        work = asyncio.create_task(runtime.run(), name="runtime")
        await settle(lambda: runtime.machine.state.kinds, what="the runtime works")
        if late:
            runtime.keep(None)
        await dispatch(runtime, needs=parse_all("port:3000"))
        if not late:
            assert [lease.state for lease in runtime.machine.controller.leases.values()] == ["claiming"]
            runtime.keep(None)
        await settle(lambda: runtime.machine.tasks["uid-one"].ended, what="it has ended")
        runtime.stop()
        await work

    run(main())
    failure = runtime.machine.tasks["uid-one"].failure
    assert failure is not None
    assert failure.message == WHY
    assert not worker.begun
    assert not runtime.machine.controller.leases
