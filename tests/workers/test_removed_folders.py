"""Folders in which a task may have left any number of files, and the loop that everything else waits for."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kernels import kernels
from test_kernel import go

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.model import Kind, Process, Result, Spec, State
from jupyter_orchestra.core.ports import Finished, Job, Lost, Outcome
from jupyter_orchestra.processes.launcher import LocalLauncher
from jupyter_orchestra.runtime import Runtime
from jupyter_orchestra.testing import MemoryJournal, ScriptedWorker, run, settle
from jupyter_orchestra.workers.kernel_adopted import AdoptedKernel

MANY = 200


@pytest.fixture
def removed(monkeypatch: pytest.MonkeyPatch) -> dict[bool, list[str]]:
    """What is removed, by whether a loop waited for it meanwhile."""
    found: dict[bool, list[str]] = {True: [], False: []}
    for name in ("unlink", "rmdir"):
        real: Callable[..., None] = getattr(os, name)

        def noted(path: Any, *rest: Any, real: Callable[..., None] = real, **how: Any) -> None:
            found[asyncio._get_running_loop() is not None].append(os.fspath(path))
            real(path, *rest, **how)

        monkeypatch.setattr(os, name, noted)
    return found


def fill(folder: Path) -> None:
    for number in range(MANY):
        (folder / f"file-{number}").touch()
    (folder / "deep").mkdir()
    (folder / "deep" / "file").touch()


class Filling(ScriptedWorker):
    """Leaves many files, or one."""

    def __init__(self, fills: Callable[[Path], None]) -> None:
        super().__init__(Kind("kernel", 2), {})
        self._fills = fills

    async def run(self, job: Job) -> Outcome:
        self._fills(job.folder)
        return Finished(Result())


def end_one(folder: Path, fills: Callable[[Path], None]) -> None:
    journal = MemoryJournal()
    runtime = Runtime(journal, [Filling(fills)], folder, clock=lambda: 1_000 + asyncio.get_running_loop().time())

    async def main() -> None:
        work = asyncio.create_task(runtime.run(), name="runtime")
        await settle(lambda: journal.events, what="the runtime works")
        task = Spec("uid-one", "one", "kernel", "pass")
        asked = e.TasksDispatched(runtime.now(), request=runtime.new_request(), tasks=(task,))
        await asyncio.wrap_future(runtime.ask(asked))
        await settle(lambda: runtime.machine.tasks["uid-one"].state is State.DONE, what="it is done")
        runtime.stop()
        await work

    run(main(), allow_threads=True)
    assert not list(folder.iterdir())


def test_what_an_attempt_left_in_its_folder_is_removed_beside_the_loop(
    tmp_path: Path, removed: dict[bool, list[str]]
) -> None:
    end_one(tmp_path, fill)
    assert len(removed[True]) < MANY / 10
    assert len(removed[False] + removed[True]) > MANY


def test_a_folder_with_next_to_nothing_in_it_is_used_again_at_once(
    tmp_path: Path, removed: dict[bool, list[str]]
) -> None:
    end_one(tmp_path, lambda folder: (folder / "file").touch())
    assert not removed[False]


def test_what_is_in_the_folder_of_a_kernel_is_removed_beside_the_loop(removed: dict[bool, list[str]]) -> None:
    async def test() -> None:
        async with kernels() as k:
            kernel = await k.pool.take()
            folder = Path(kernel.connection).parent
            fill(folder)
            removed[True].clear()
            await k.pool.retire(kernel)
            assert not folder.exists()
            assert not [path for path in removed[True] if "file" in path]

    go(test())


def test_what_is_in_the_folder_of_a_kernel_that_was_taken_over_is_removed_beside_the_loop(
    tmp_path: Path, removed: dict[bool, list[str]]
) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    folder = tmp_path / "pool" / "kernel"
    folder.mkdir(parents=True)
    fill(folder)
    process = Process(ended.pid, 1.0, spool=os.fspath(tmp_path / "spool"), connection=os.fspath(folder / "c"))

    async def test() -> None:
        async with kernels() as k:
            launcher = LocalLauncher()
            outcome = await AdoptedKernel(k.job("1"), process).run(launcher)
            assert isinstance(outcome, Lost)
            assert not folder.parent.exists()
            await launcher.close()

    go(test())
    assert not [path for path in removed[True] if "file" in path]
