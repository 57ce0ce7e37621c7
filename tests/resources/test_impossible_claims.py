"""Claims that the machine's broker can never take are no reason to wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.model import Kind, Spec, State, Task
from jupyter_orchestra.core.needs import Need
from jupyter_orchestra.errors import ResourceError
from jupyter_orchestra.resources.broker import Broker
from jupyter_orchestra.resources.keeper import LeaseKeeper
from jupyter_orchestra.runtime import Runtime
from jupyter_orchestra.testing import MemoryJournal, Return, ScriptedWorker, run, settle

PLACE = ("/", "project", "src")
TWICE = (Need("path", mode="r", path=PLACE), Need("path", mode="w", path=PLACE))
ONCE = TWICE[1:]
Story = Callable[[Runtime, LeaseKeeper], Awaitable[None]]


def play(folder: Path, worker: ScriptedWorker, story: Story) -> None:
    runtime = Runtime(MemoryJournal(), [worker], folder, clock=lambda: 1_000 + asyncio.get_running_loop().time())

    async def main() -> None:
        keeper = LeaseKeeper(
            runtime,
            (),
            lambda opened, lost: Broker(folder / "leases", opened=opened, lost=lost),
            folder,
            folder / "grants",
        )
        runtime.await_keeper()
        work = asyncio.create_task(runtime.run(), name="runtime")
        await asyncio.sleep(0)
        runtime.keep(keeper)
        await story(runtime, keeper)
        runtime.stop()
        await work

    run(main(), allow_threads=True)


async def dispatch(runtime: Runtime, name: str, needs: tuple[Need, ...]) -> Task:
    task = Spec(f"uid-{name}", name, "kernel", "pass", needs=needs)
    asked = e.TasksDispatched(runtime.now(), request=runtime.new_request(), tasks=(task,))
    await asyncio.wrap_future(runtime.ask(asked))
    return runtime.machine.tasks[f"uid-{name}"]


def test_a_task_fails_with_the_reason_and_the_next_one_has_the_place(tmp_path: Path) -> None:
    worker = ScriptedWorker(Kind("kernel", 2), {"once": [Return(1)]})

    async def story(runtime: Runtime, keeper: LeaseKeeper) -> None:
        twice = await dispatch(runtime, "twice", TWICE)
        await settle(lambda: twice.state is State.FAILED, what="it fails")
        assert "each once" in twice.reason
        once = await dispatch(runtime, "once", ONCE)
        await settle(lambda: once.state is State.DONE, what="the next one has it")

    play(tmp_path, worker, story)


def test_the_persons_own_code_is_refused_with_the_reason(tmp_path: Path) -> None:
    async def story(runtime: Runtime, keeper: LeaseKeeper) -> None:
        future = keeper.expect("lease")
        await asyncio.wrap_future(
            runtime.ask(e.LeaseAsked(runtime.now(), runtime.new_request(), id="lease", needs=TWICE))
        )
        with pytest.raises(ResourceError, match="each once"):
            await asyncio.wait_for(asyncio.wrap_future(future), 5.0)
        await settle(lambda: not runtime.machine.controller.leases, what="it is free")

    play(tmp_path, ScriptedWorker(Kind("kernel", 2), {}), story)
