"""Cancel, pause and resume of kernel tasks, with real kernels."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path

import pytest
from kernels import Kernels, alive, kernels, until
from test_kernel import go


async def cancel(k: Kernels, code: str) -> float:
    """Seconds that the cancelling of a running task takes; everything that it printed as a pid is dead then."""
    run = asyncio.create_task(k.worker.run(k.job(code)))
    await until(lambda: "ready" in str(k.told.outputs))
    told = "".join(str(output.get("text")) for output in k.told.outputs)
    pids = [k.told.processes[0].pid, *(int(word) for word in told.split() if word.isdigit())]
    began = time.monotonic()
    run.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await run
    assert run.cancelled()
    took = time.monotonic() - began
    assert [pid for pid in pids if alive(pid)] == []
    return took


@pytest.mark.parametrize(
    "code",
    [
        "import time\nprint('ready')\ntime.sleep(1000)",
        "print('ready')\nwhile True: pass",
        "import asyncio\nprint('ready')\nawait asyncio.sleep(1000)",
        "import asyncio\nawait asyncio.sleep(0)\nprint('ready')\nwhile True: pass",
        "import subprocess\np = subprocess.Popen(['setsid', 'sleep', '1000'])\nprint('ready', p.pid)\np.wait()",
        "!echo ready $$; sleep 1000",
    ],
)
def test_a_cancelled_task_and_all_it_started_is_dead_soon(code: str) -> None:
    async def test() -> None:
        async with kernels() as k:
            assert await cancel(k, code) < 1.5
            assert await k.value("1") == 1

    go(test())


def test_code_may_clean_up_when_it_is_cancelled(tmp_path: Path) -> None:
    mark = tmp_path / "cleaned"

    async def test() -> None:
        async with kernels() as k:
            clean = f"open({str(mark)!r}, 'w')"
            await cancel(k, f"import time\ntry:\n    print('ready')\n    time.sleep(1000)\nfinally:\n    {clean}")
            assert mark.exists()

    go(test())


def test_code_that_ignores_the_interrupt_is_ended_all_the_same() -> None:
    code = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready")
while True:
    try:
        time.sleep(1000)
    except KeyboardInterrupt:
        pass
"""

    async def test() -> None:
        async with kernels() as k:
            assert await cancel(k, code) < 7

    go(test())


def test_a_paused_task_stands_still_and_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "beats"
    code = f"""
import time
print("ready")
while True:
    with open({str(file)!r}, "a") as f:
        f.write(".")
    time.sleep(0.01)
"""

    def beats() -> int:
        return file.stat().st_size if file.exists() else 0

    def stopped(pid: int) -> bool:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    async def test() -> None:
        async with kernels() as k:
            job = k.job(code)
            run = asyncio.create_task(k.worker.run(job))
            await until(lambda: beats() > 3)
            pid = k.told.processes[0].pid
            await k.worker.pause(job)
            await until(lambda: stopped(pid))
            before = beats()
            await k.worker.resume(job)
            await until(lambda: beats() > before)
            await k.worker.pause(job)
            run.cancel()  # a paused task can be cancelled
            with pytest.raises(asyncio.CancelledError):
                await run
            assert not alive(pid)

    go(test())


def test_a_task_paused_before_its_kernel_is_there_waits() -> None:
    async def test() -> None:
        async with kernels() as k:
            job = k.job("1")
            run = asyncio.create_task(k.worker.run(job))
            await asyncio.sleep(0)
            await k.worker.pause(job)
            await until(lambda: k.pool._kernels and not k.pool._starting)
            await until(lambda: all(kernel.alive for kernel in k.pool._kernels))
            assert k.told.processes == []
            await k.worker.resume(job)
            await run
            assert k.told.processes

    go(test())


def test_a_task_cancelled_before_its_kernel_is_there_leaves_a_spare() -> None:
    async def test() -> None:
        async with kernels() as k:
            run = asyncio.create_task(k.worker.run(k.job("1")))
            await until(lambda: k.pool._kernels)
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run
            await until(lambda: k.pool._idle)
            assert await k.value("1") == 1
            assert len(k.pool._kernels) == 1

    go(test())
