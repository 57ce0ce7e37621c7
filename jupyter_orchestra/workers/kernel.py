"""Carries out kernel tasks: Python cells in spawned kernels; knows nothing of scheduling and where results go."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from ..core.model import Failure, Kind, Origin, Process
from ..core.ports import Blocked, Failed, Job, Launcher, Lost, Outcome
from ..processes.ladder import end_gently
from .confining import around_task, sandbox_of
from .follower import TICK, Follower
from .kernel_adopted import AdoptedKernel
from .kernel_ending import Ending
from .kernel_order import difference, make_order
from .kernel_spool import Tail
from .leaving import clean
from .passing import passed_on_safely
from .pool import KernelPool
from .pool_kernel import ROOT, PooledKernel, StartError
from .starting import GONE, limits_of, not_started

LIMIT: Final = 2 << 30  # bytes of output kept
TRIES: Final = 3  # kernels that may be found dead


class KernelWorker:
    """Runs code in kernels of a pool, one task at a time in each.

    Parameters
    ----------
    pool
        Where kernels for the person's tasks come from; closed with this worker. What a model wrote runs without
        keys, each task in a kernel of its own in the sandbox; where there is none, in kernels of a pool beside this
        one, which are never given to the person's tasks.
    slots
        Tasks that may run at once.
    runtime
        The runtime's name, for programs that a task starts (``ORCHESTRA_RUNTIME``).
    limit
        Bytes of output kept of each task.
    adopter
        Takes over kernels that an earlier kernel of the notebook has left running; None: none are left.
    """

    def __init__(
        self,
        pool: KernelPool,
        slots: int = 4,
        *,
        runtime: str = "",
        limit: int = LIMIT,
        adopter: Launcher | None = None,
    ) -> None:
        self.kind = Kind("kernel", slots, adoptable=adopter is not None)
        self._adopter = adopter
        self._pool = pool
        self._models_pool = pool.beside(passed_on_safely)
        self._environment = {"ORCHESTRA_RUNTIME": runtime} if runtime else {}
        self._limit = limit
        self._attempts: dict[tuple[str, int], _Attempt | AdoptedKernel] = {}
        self._paused: set[tuple[str, int]] = set()

    def check(self, brief: str) -> str:
        """What is wrong with the code, in one line."""
        from .source import check

        return check(brief)

    async def run(self, job: Job) -> Outcome:
        """Run the code. Cancelled: interrupts it and ends its kernel with everything that it started."""
        key = job.spec.uid, job.attempt
        try:
            return clean(await (self._begin(job) if job.process is None else self._take_over(job, job.process)))
        finally:
            self._attempts.pop(key, None)
            self._paused.discard(key)

    async def pause(self, job: Job) -> None:
        """Stop its kernel, and what that started, where they are."""
        key = job.spec.uid, job.attempt
        self._paused.add(key)
        if attempt := self._attempts.get(key):
            await attempt.pause()

    async def resume(self, job: Job) -> None:
        """Let them go on."""
        key = job.spec.uid, job.attempt
        self._paused.discard(key)
        if attempt := self._attempts.get(key):
            await attempt.resume()

    async def steer(self, job: Job, text: str) -> None:
        """Code takes no messages."""
        raise NotImplementedError("a kernel task takes no messages")

    async def close(self) -> None:
        """End the kernels."""
        await asyncio.gather(self._pool.close(), self._models_pool.close())

    async def _take_over(self, job: Job, process: Process) -> Outcome:
        if self._adopter is None:
            return Lost(GONE)
        attempt = self._attempts[job.spec.uid, job.attempt] = AdoptedKernel(job, process)
        return await attempt.run(self._adopter)

    async def _begin(self, job: Job) -> Outcome:
        key = job.spec.uid, job.attempt
        pool = await self._pool_for(job)
        attempt = self._attempts[key] = _Attempt(job, pool, self._limit)
        if key in self._paused:  # before its worker had it
            await attempt.pause()
        try:
            return await attempt.run(self._environment)
        finally:
            if not pool.reuses:
                await asyncio.shield(asyncio.ensure_future(pool.close()))

    async def _pool_for(self, job: Job) -> KernelPool:
        if job.spec.origin is Origin.PERSON:
            return self._pool
        sandbox = await sandbox_of(job)
        if sandbox.kind == "none":
            return self._models_pool

        def around(argv: tuple[str, ...], folder: Path) -> tuple[str, ...]:
            return around_task(sandbox, job, argv, (folder,), Path(ROOT))

        return self._pool.confined(passed_on_safely, around)


class _Attempt:
    """One run of a piece of code."""

    def __init__(self, job: Job, pool: KernelPool, limit: int) -> None:
        self._job = job
        self._pool = pool
        self._limit = limit
        self._spool = job.folder / "spool"
        self._ending = Ending(job)
        self._kernel: PooledKernel | None = None
        self._free = asyncio.Event()  # to run: not paused
        self._free.set()

    async def pause(self) -> None:
        self._free.clear()
        if (kernel := self._kernel) is not None:
            kernel.running.signal(signal.SIGSTOP)
            await kernel.running.settle()

    async def resume(self) -> None:
        self._free.set()
        if (kernel := self._kernel) is not None:
            kernel.running.signal(signal.SIGCONT)
            await kernel.running.settle()

    async def run(self, environment: Mapping[str, str]) -> Outcome:
        began = time.monotonic()
        try:
            order = await make_order(self._job, environment, self._limit)
            trouble = await self._find_kernel(order)
        except OSError as error:
            return not_started(error)
        except StartError as error:
            return Failed(Failure("start", "StartError", str(error)))
        except KeyError:
            return Failed(Failure("snapshot", "SnapshotGone", "the captured variables are gone; dispatch again"))
        if isinstance(trouble, Blocked | Lost):
            return trouble
        return await self._ending.conclude(trouble, time.monotonic() - began)

    async def _find_kernel(self, order: dict[str, Any]) -> Failure | Blocked | Lost | None:
        """Have a kernel do it; another one when that was found dead before it had begun."""
        for _ in range(TRIES):
            kernel = await self._pool.take()
            trouble = await self._carry_out(kernel, order)
            if kernel.alive or self._spool.exists():
                break
        return trouble

    async def _carry_out(self, kernel: PooledKernel, order: dict[str, Any]) -> Failure | Blocked | Lost | None:
        """Have the kernel do it; what went wrong. The kernel is given back or ended."""
        tail = Tail(self._spool, kernel.running)
        follower = Follower(tail, self._ending.collector, self._job.reporter, self._ending.found.take)
        reply: asyncio.Future[dict[str, Any]] | None = None
        try:
            await self._free.wait()
            self._kernel = kernel
            order["environment"] |= difference(kernel.environment, self._pool.environment())
            kernel.running.keep(self._job.kept)
            kernel.running.limit(limits_of(self._job))
            reply = kernel.line.send("execute_request", {"code": self._job.spec.brief}, {"orchestra": order})
            self._job.reporter.started(self._process(kernel))
            waiting: set[asyncio.Future[Any]] = {reply, kernel.death}
            while not (await asyncio.wait(waiting, timeout=TICK, return_when=asyncio.FIRST_COMPLETED))[0]:
                await follower.drain()
            await follower.drain()
        except asyncio.CancelledError:
            self._kernel = None
            await self._stop(kernel, reply)
            raise
        finally:
            tail.close()
        self._kernel = None
        code = None if kernel.alive else kernel.code
        trouble = self._ending.trouble(reply.result() if reply.done() else None, code, kernel.running)
        await self._hand_back(kernel)
        return trouble

    async def _stop(self, kernel: PooledKernel, reply: asyncio.Future[dict[str, Any]] | None) -> None:
        if reply is None:  # it has begun nothing
            self._pool.give(kernel)
            return
        try:
            if self._spool.exists():  # else its code has not begun, and a waiting kernel ignores an interrupt
                await end_gently(kernel.running, interrupted=reply)
        finally:
            await asyncio.shield(self._pool.retire(kernel))

    async def _hand_back(self, kernel: PooledKernel) -> None:
        if not self._pool.reuses or not self._ending.found.end.get("reusable") or not kernel.alive:
            await asyncio.shield(self._pool.retire(kernel))  # at once, as its leases are free after this
            return
        if not self._free.is_set():  # paused while it ended
            kernel.running.signal(signal.SIGCONT)
        self._pool.give(kernel)

    def _process(self, kernel: PooledKernel) -> Process:
        return msgspec.structs.replace(
            kernel.running.process, spool=os.fspath(self._spool), connection=kernel.connection
        )
