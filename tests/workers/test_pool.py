"""The pool of spawned kernels, with real ones."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from kernels import alive, kernels, until
from test_kernel import go

from jupyter_orchestra.processes.launcher import LocalLauncher
from jupyter_orchestra.workers import pool as pools
from jupyter_orchestra.workers.pool import KernelPool
from jupyter_orchestra.workers.pool_kernel import PooledKernel, StartError, write_connection


def test_nothing_starts_before_the_first_need_and_nothing_is_left() -> None:
    async def test() -> None:
        async with kernels(warm=1) as k:
            assert k.pool._folder is None
            await k.value("1")
            await until(lambda: len(k.pool._idle) == 2)
            folder = k.pool._folder
            assert folder is not None
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            assert all(len(os.fsencode(path)) < 107 for path in folder.rglob("*"))
            pids = [kernel.running.process.pid for kernel in k.pool._kernels]
        assert not any(map(alive, pids))
        assert not folder.exists()

    go(test())


def test_a_spare_that_is_starting_is_taken_over() -> None:
    async def test() -> None:
        async with kernels(warm=1) as k:
            one = await k.pool.take()
            two = await k.pool.take()
            assert one is not two
            await until(lambda: k.pool._idle)
            assert len(k.pool._kernels) == 3

    go(test())


def test_a_kernel_that_dies_idle_is_replaced() -> None:
    async def test() -> None:
        async with kernels() as k:
            await k.value("1")
            pid = k.told.processes[0].pid
            os.kill(pid, signal.SIGKILL)
            await until(lambda: not alive(pid))
            assert await k.value("2") == 2
            assert k.told.processes[-1].pid != pid

    go(test())


def test_a_kernel_that_no_longer_answers_after_a_rest_is_replaced() -> None:
    async def test() -> None:
        async with kernels() as k:
            await k.value("1")
            (kernel,) = k.pool._idle
            pid = kernel.running.process.pid
            kernel.idle_since -= pools.RESTED
            os.kill(pid, signal.SIGSTOP)
            assert await k.value("2") == 2
            assert k.told.processes[-1].pid != pid
            await until(lambda: not alive(pid))

    go(test())


def test_a_kernel_that_still_answers_after_a_rest_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []
    answers = PooledKernel.answers

    async def remembered(kernel: PooledKernel, seconds: float) -> bool:
        asked.append(seconds)
        return await answers(kernel, seconds)

    monkeypatch.setattr(PooledKernel, "answers", remembered)

    async def test() -> None:
        async with kernels() as k:
            await k.value("1")
            pid = k.told.processes[0].pid
            asked.clear()
            await k.value("2")
            assert asked == []  # it was used just before
            k.pool._idle[0].idle_since -= pools.RESTED
            assert await k.value("3") == 3
            assert asked == [pools.PATIENCE]
            assert k.told.processes[0].pid == pid

    go(test())


def test_a_kernel_that_is_asked_when_the_task_is_cancelled_stays_idle() -> None:
    async def test() -> None:
        async with kernels() as k:
            await k.value("1")
            (kernel,) = k.pool._idle
            kernel.idle_since -= pools.RESTED
            os.kill(kernel.running.process.pid, signal.SIGSTOP)
            take = asyncio.create_task(k.pool.take())
            await until(lambda: not k.pool._idle, 5)
            take.cancel()
            await asyncio.wait({take})
            assert k.pool._idle == [kernel]
            os.kill(kernel.running.process.pid, signal.SIGCONT)
            assert await k.value("2") == 2

    go(test())


def test_idle_kernels_above_the_spare_one_are_ended_after_a_while() -> None:
    async def test() -> None:
        launcher = LocalLauncher()
        pool = KernelPool(launcher, warm=1, linger=0.05)
        taken = [await pool.take() for _ in range(2)]
        for kernel in taken:
            pool.give(kernel)
        await until(lambda: len(pool._idle) == 1 and len(pool._kernels) == 1)
        await pool.close()
        await launcher.close()

    go(test())


def test_a_kernel_that_can_not_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        launcher = LocalLauncher()
        pool = KernelPool(launcher)
        monkeypatch.setenv("PYTHONHOME", "/does/not/exist")
        with pytest.raises(StartError, match=r"exit code 1: .*Error"):
            await pool.take()
        monkeypatch.delenv("PYTHONHOME")
        pool.give(await pool.take())
        await pool.close()
        await launcher.close()

    go(test())


def test_where_a_socket_path_would_be_too_long_tcp_is_encrypted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    assert write_connection(folder)["curve_publickey"]

    async def test() -> None:
        monkeypatch.setattr(pools, "private_folder", lambda: Path(tempfile.mkdtemp(dir=folder)))
        async with kernels() as k:
            assert await k.value("40 + 2") == 42

    go(test())


def test_the_person_s_files_do_not_shadow_what_a_kernel_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "random.py").write_text("raise RuntimeError('mine')")
    monkeypatch.chdir(tmp_path)

    async def test() -> None:
        async with kernels() as k:
            assert await k.value("1") == 1

    go(test())


def test_everything_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    script = """
import asyncio, sys, os, signal
sys.path[:0] = sys.argv[1:3]
from kernels import Kernels, until
async def main():
    k = Kernels()
    run = asyncio.create_task(k.worker.run(k.job(sys.argv[3])))
    await until(lambda: k.told.outputs)
    print(k.pool._folder, k.told.outputs[0]["text"], flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
    root = str(Path(__file__).parents[2])
    code = "import subprocess, os, time\np = subprocess.Popen(['setsid', 'sleep', '1000'])\nprint(os.getpid(), p.pid)"
    done = subprocess.run(
        [sys.executable, "-c", script, root, str(Path(__file__).parent), f"{code}\ntime.sleep(1000)"],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "TMPDIR": str(tmp_path), "XDG_RUNTIME_DIR": ""},
    )
    folder, *words = done.stdout.split() or [done.stderr]
    pids = [int(word) for word in words]
    assert len(pids) == 2, folder
    asyncio.run(until(lambda: not any(map(alive, pids)) and not Path(folder).exists(), 5))


def test_a_kernel_is_smaller_than_a_bare_one() -> None:
    def size(pid: int) -> int:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))

    async def test() -> None:
        async with kernels() as k:
            kernel = await k.pool.take()
            assert size(kernel.running.process.pid) < 37 * 1024

    go(test())
