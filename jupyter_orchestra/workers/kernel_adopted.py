"""Follows a kernel task that an earlier kernel of the notebook began, to its end; starts nothing, knows no pool."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
from pathlib import Path

from ..core.model import Origin, Process
from ..core.ports import Blocked, Job, Launcher, Lost, Outcome, Running
from ..processes.ladder import end_gently
from ..processes.threads import in_thread
from ..processes.tree import age
from .follower import TICK, Follower
from .kernel_ending import Ending
from .kernel_spool import Tail
from .pool_kernel import code_of
from .remains import Remains
from .starting import GONE


class AdoptedKernel:
    """A kernel that was left running with its task. It has no other one: it ends with this."""

    def __init__(self, job: Job, process: Process) -> None:
        self._job, self._process = job, process
        self._running: Running | None = None
        self._adopting = asyncio.Lock()
        self._folder = Path(process.connection).parent if process.connection else None
        self._ending = Ending(job)

    async def pause(self) -> None:
        """Stop it, and what it started, where they are."""
        await self._signal(signal.SIGSTOP)

    async def resume(self) -> None:
        """Let them go on."""
        await self._signal(signal.SIGCONT)

    async def run(self, launcher: Launcher) -> Outcome:
        """Take it over and follow it. Cancelled: interrupts it and ends it with everything that it started."""
        async with self._adopting:
            self._running = await launcher.adopt(self._process, self._job.folder / "spool")
        return await self._follow(self._running or Remains(self._process, self._job.folder / "spool"))

    async def _signal(self, number: int) -> None:
        async with self._adopting:
            if self._running is not None:
                self._running.signal(number)
                await self._running.settle()

    async def _follow(self, running: Running) -> Outcome:
        tail = Tail(self._job.folder / "spool", running)
        follower = Follower(tail, self._ending.collector, self._job.reporter, self._ending.found.take)
        ended = asyncio.ensure_future(running.wait())
        try:
            self._job.reporter.started(self._process)
            while not (ended.done() or self._ending.found.end):
                await asyncio.wait({ended}, timeout=TICK)
                await follower.drain()
            await follower.drain()
        except asyncio.CancelledError:
            await end_gently(running)
            raise
        finally:
            tail.close()
            await asyncio.shield(asyncio.ensure_future(self._end(running)))
        begun = (self._job.folder / "spool").exists()
        if not self._ending.found.end and (isinstance(running, Remains) or not begun):
            return Lost(GONE)
        confined = self._job.spec.origin is not Origin.PERSON and not self._job.spec.literal
        trouble = self._ending.trouble(None, code_of(ended.result(), confined) if ended.done() else None, running)
        if isinstance(trouble, Blocked | Lost):
            return trouble
        return await self._ending.conclude(trouble, age(self._process.started))

    async def _end(self, running: Running) -> None:
        await running.end()
        if self._folder is None or running.left:
            return
        await in_thread(None, shutil.rmtree, self._folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # others are in it
            self._folder.parent.rmdir()
