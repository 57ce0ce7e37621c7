"""Follows a kernel task that an earlier kernel of the notebook began, to its end; starts nothing, knows no pool."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import time
from pathlib import Path

from ..core.model import Origin
from ..core.ports import Blocked, Job, Outcome, Running
from ..processes.ladder import end_gently
from .follower import TICK, Follower
from .kernel_ending import Ending
from .kernel_spool import Tail
from .pool_kernel import code_of


class AdoptedKernel:
    """A kernel that was left running with its task. It has no other one: it ends with this.

    Parameters
    ----------
    connection
        Its connection file, in a folder of its own.
    """

    def __init__(self, job: Job, running: Running, connection: str) -> None:
        self._job, self._running = job, running
        self._folder = Path(connection).parent if connection else None
        self._ending = Ending(job)

    async def pause(self) -> None:
        """Stop it, and what it started, where they are."""
        self._running.signal(signal.SIGSTOP)
        await self._running.settle()

    async def resume(self) -> None:
        """Let them go on."""
        self._running.signal(signal.SIGCONT)
        await self._running.settle()

    async def run(self) -> Outcome:
        """Follow it. Cancelled: interrupts it and ends it with everything that it started."""
        tail = Tail(self._job.folder / "spool", self._running)
        follower = Follower(tail, self._ending.collector, self._job.reporter, self._ending.found.take)
        ended = asyncio.ensure_future(self._running.wait())
        try:
            self._job.reporter.started(self._job.process or self._running.process)
            while not (ended.done() or self._ending.found.end):
                await asyncio.wait({ended}, timeout=TICK)
                await follower.drain()
            await follower.drain()
        except asyncio.CancelledError:
            await end_gently(self._running)
            raise
        finally:
            tail.close()
            await asyncio.shield(asyncio.ensure_future(self._end()))
        confined = self._job.spec.origin is not Origin.PERSON and not self._job.spec.literal
        trouble = self._ending.trouble(None, code_of(ended.result(), confined) if ended.done() else None)
        if isinstance(trouble, Blocked):
            return trouble
        started = self._job.process.started if self._job.process is not None else 0.0
        return await self._ending.conclude(trouble, max(0.0, time.time() - started))

    async def _end(self) -> None:
        await self._running.end()
        if self._folder is None or self._running.left:
            return
        shutil.rmtree(self._folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # others are in it
            self._folder.parent.rmdir()
