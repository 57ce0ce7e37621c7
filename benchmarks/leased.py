"""What runs inside the measured kernels, for leases and for tasks that are taken over."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import jupyter_orchestra as jo

T = TypeVar("T")
HOLDERS = {  # they say which process they are, then work for ever
    "kernel": "import os, time\nwith open({file!r} + '~', 'w') as file: file.write(str(os.getpid()))\n"
    "os.replace({file!r} + '~', {file!r})\nwhile True: time.sleep(0.1)",
    "shell": "echo $$ > {file}~ && mv {file}~ {file}\nwhile true; do sleep 0.1; done",
}
own: list[Any] = []  # leases of the notebook's own code


def singles(n: int, need: str) -> list[float]:
    """Take a lease that nobody else wants and give it back, one time after the other; seconds."""
    found = []
    for _ in range(n):
        began = time.perf_counter()
        with jo.controller.lease(need):
            pass
        found.append(time.perf_counter() - began)
    return found


def crowd(waiters: int, n: int, need: str) -> list[float]:
    """Give one lease on while so many others wait for it: seconds from its release to the next grant."""
    return _in_thread(lambda: asyncio.run(_Crowd(n, need).run(waiters)))


class _Crowd:
    """Coroutines of the person's own code that want the same; who has had it is replaced by a new one."""

    def __init__(self, n: int, need: str) -> None:
        self._n, self._need = n, need
        self._found: list[float] = []
        self._released: float | None = None
        self._over = asyncio.Event()
        self._everybody: set[asyncio.Task[None]] = set()

    async def run(self, waiters: int) -> list[float]:
        """Wait until it was given on `n` times."""
        async with jo.controller.lease(self._need):
            for _ in range(waiters):
                self._add()
            await asyncio.to_thread(_until, lambda: _waiting(self._need) == waiters)
        await asyncio.wait_for(self._over.wait(), 120.0)
        for task in self._everybody:
            task.cancel()
        await asyncio.gather(*self._everybody, return_exceptions=True)
        return self._found

    def _add(self) -> None:
        self._everybody.add(task := asyncio.create_task(self._wait()))
        task.add_done_callback(self._everybody.discard)

    async def _wait(self) -> None:
        async with jo.controller.lease(self._need):
            granted = time.perf_counter()
            if self._released is not None and not self._over.is_set():
                self._found.append(granted - self._released)
                if len(self._found) == self._n:
                    self._over.set()
            self._add()
            await asyncio.sleep(0.001)  # the new one is in line
            self._released = time.perf_counter()


def hold(worker: str, need: str, file: str) -> int:
    """Start a task that holds that for ever; the process that works."""
    task = jo.dispatch(HOLDERS[worker].format(file=file), worker=worker, needs=need)
    _until(lambda: Path(file).exists() or task.ready())
    assert not task.ready(), task.error
    return int(Path(file).read_text())


def own_lease(need: str) -> int:
    """Hold that in this kernel; its process."""
    own.append(jo.controller.lease(need))
    own[-1].__enter__()
    return os.getpid()


def freed(number: int, pids: list[int], needs: list[str]) -> list[float]:
    """Send a signal to holders, while somebody waits for what each of them has: seconds until it is granted."""
    with ThreadPoolExecutor(len(needs)) as threads:
        taking = [threads.submit(_take, need) for need in needs]
        _until(lambda: all(_waiting(need) for need in needs))
        sent = []
        for pid in pids:
            sent.append(time.monotonic())
            os.kill(pid, number)
        return [future.result() - began for future, began in zip(taking, sent, strict=True)]


def suites(n: int, command: str, project: str) -> float:
    """Run the same tests in so many tasks that take turns; seconds until the last one has passed."""
    began = time.perf_counter()
    script = f"cd {project} && {command}"
    codes = jo.gather([jo.dispatch(script, worker="shell", needs="test-runner") for _ in range(n)])
    seconds = time.perf_counter() - began
    assert codes == [0] * n, codes
    return seconds


def ticking(names: list[str]) -> None:
    """Wait until these tasks print."""
    _until(lambda: all(len(_ticks(name)) > 10 for name in names))


def taken_over(names: list[str], loaded: float) -> dict[str, float]:
    """Seconds after which each task runs again and all that it has printed is there."""
    found: dict[str, float] = {}
    while len(found) < len(names):
        for name in set(names) - set(found):
            ticks = _ticks(name) if jo.task(name).state == "running" else []
            if ticks and ticks[-1][1] >= loaded:
                found[name] = time.time() - loaded
                assert [number for number, _ in ticks] == list(range(1, len(ticks) + 1))
        assert time.time() < loaded + 60, {name: str(jo.task(name).state) for name in names}
        time.sleep(0.005)
    return found


def whole(names: list[str]) -> None:
    """Wait for their ends, which must be good, with each line once and in order."""
    for name in names:
        jo.task(name).get(60)
        numbers = [number for number, _ in _ticks(name)]
        assert numbers == list(range(1, len(numbers) + 1)), name


def _ticks(name: str) -> list[tuple[int, float]]:
    """The whole lines that it has printed."""
    lines = jo.task(name).stdout.rpartition("\n")[0].splitlines()
    return [(int(number), float(at.replace(",", "."))) for number, at in map(str.split, lines)]


def _take(need: str) -> float:
    with jo.controller.lease(need):
        return time.monotonic()


def _waiting(need: str) -> int:
    """How many wait for it; paths are told in full."""
    queues = (view.waiting for view in jo.controller.resources())
    return sum(view.what.rpartition("/")[2] == need.removeprefix("path:") for queue in queues for view in queue)


def _until(condition: Callable[[], Any], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "never true"
        time.sleep(0.005)


def _in_thread(act: Callable[[], T]) -> T:
    with ThreadPoolExecutor(1) as thread:  # the kernel's own thread has a loop that runs
        return thread.submit(act).result()
