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

from ..core.model import Blob, Failure, Kind, Origin, Process, Result, Usage
from ..core.ports import Blocked, Failed, Finished, Job, Outcome
from ..errors import NO_ROOM
from ..processes.ladder import end_gently
from ..processes.launcher import describe
from ..processes.spool import Frame
from ..processes.threads import in_thread
from .confining import around_task, sandbox_of
from .follower import TICK, Follower
from .kernel_order import difference, make_order
from .kernel_spool import Found, Tail
from .leaving import clean
from .outputs import Collector
from .passing import passed_on_safely
from .pool import KernelPool
from .pool_kernel import ROOT, PooledKernel, StartError
from .starting import not_started

LIMIT: Final = 2 << 30  # bytes of output kept
TRIES: Final = 3  # kernels that may be found dead
QUICK: Final = 4 << 10  # bytes that are put in the journal without the detour of a thread


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
    """

    def __init__(self, pool: KernelPool, slots: int = 4, *, runtime: str = "", limit: int = LIMIT) -> None:
        self.kind = Kind("kernel", slots)
        self._pool = pool
        self._models_pool = pool.beside(passed_on_safely)
        self._environment = {"ORCHESTRA_RUNTIME": runtime} if runtime else {}
        self._limit = limit
        self._attempts: dict[tuple[str, int], _Attempt] = {}

    def check(self, brief: str) -> str:
        """What is wrong with the code, in one line."""
        from .source import check

        return check(brief)

    async def run(self, job: Job) -> Outcome:
        """Run the code. Cancelled: interrupts it and ends its kernel with everything that it started."""
        key = job.spec.uid, job.attempt
        pool = await self._pool_for(job)
        attempt = self._attempts[key] = _Attempt(job, pool, self._limit)
        try:
            return clean(await attempt.run(self._environment))
        finally:
            del self._attempts[key]
            if not pool.reuses:
                await asyncio.shield(asyncio.ensure_future(pool.close()))

    async def pause(self, job: Job) -> None:
        """Stop its kernel, and what that started, where they are."""
        if attempt := self._attempts.get((job.spec.uid, job.attempt)):
            attempt.pause()

    async def resume(self, job: Job) -> None:
        """Let them go on."""
        if attempt := self._attempts.get((job.spec.uid, job.attempt)):
            attempt.resume()

    async def steer(self, job: Job, text: str) -> None:
        """Code takes no messages."""
        raise NotImplementedError("a kernel task takes no messages")

    async def close(self) -> None:
        """End the kernels."""
        await asyncio.gather(self._pool.close(), self._models_pool.close())

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
        self._collector = Collector(job.name, self._spool)
        self._found = Found()
        self._kernel: PooledKernel | None = None
        self._free = asyncio.Event()  # to run: not paused
        self._free.set()

    def pause(self) -> None:
        self._free.clear()
        if self._kernel is not None:
            self._kernel.running.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._free.set()
        if self._kernel is not None:
            self._kernel.running.signal(signal.SIGCONT)

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
        if isinstance(trouble, Blocked):
            return trouble
        return await self._conclude(trouble, time.monotonic() - began)

    async def _find_kernel(self, order: dict[str, Any]) -> Failure | Blocked | None:
        """Have a kernel do it; another one when that was found dead before it had begun."""
        for _ in range(TRIES):
            kernel = await self._pool.take()
            trouble = await self._carry_out(kernel, order)
            if kernel.alive or self._spool.exists():
                break
        return trouble

    async def _carry_out(self, kernel: PooledKernel, order: dict[str, Any]) -> Failure | Blocked | None:
        """Have the kernel do it; what went wrong. The kernel is given back or ended."""
        tail = Tail(self._spool, kernel.running)
        follower = Follower(tail, self._collector, self._job.reporter, self._found.take)
        reply: asyncio.Future[dict[str, Any]] | None = None
        try:
            await self._free.wait()
            self._kernel = kernel
            order["environment"] |= difference(kernel.environment, self._pool.environment())
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
        trouble = self._trouble(kernel, reply.result() if reply.done() else None)
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
        if not self._pool.reuses or not self._found.end.get("reusable") or not kernel.alive:
            await asyncio.shield(self._pool.retire(kernel))  # at once, as its leases are free after this
            return
        if not self._free.is_set():  # paused while it ended
            kernel.running.signal(signal.SIGCONT)
        self._pool.give(kernel)

    def _trouble(self, kernel: PooledKernel, reply: dict[str, Any] | None) -> Failure | Blocked | None:
        end = self._found.end
        if end.get("status") == "ok":
            return None
        if end:
            return Failure(end["failure"], end["ename"], end["evalue"])
        if reply is None:
            code = kernel.code
            how = f"was {describe(code)}" if code < 0 else f"ended with {describe(code)}"
            return Failure("killed" if code < 0 else "exit", "KernelEnded", f"its kernel {how}")
        if reply["status"] == "blocked":
            outcome = not_started(OSError(reply["errno"], reply["reason"], os.fspath(self._spool)))
            return outcome if isinstance(outcome, Blocked) else outcome.failure
        return Failure("exception", "KernelError", f"its kernel could not report: {reply.get('reason', reply)}")

    async def _conclude(self, failure: Failure | None, seconds: float) -> Outcome:
        if self._found.size > QUICK or self._found.files:
            return await in_thread(None, self._outcome, failure, seconds)
        return self._outcome(failure, seconds)

    def _outcome(self, failure: Failure | None, seconds: float) -> Outcome:
        found, usage = self._found, Usage(seconds=round(seconds, 6))
        try:
            result = self._collector.finish(self._job.store)
            result = msgspec.structs.replace(result, usage=usage, notes=result.notes + found.notes)
            if failure is not None:
                return Failed(failure, result)
            value = self._blob(found.value) if found.value else None
            returned = {name: self._blob(frame) for name, frame in found.returned.items()}
        except OSError as error:
            why = NO_ROOM.get(error.errno or 0, str(error))
            message = f"its result could not be kept ({why}); then retry the task"
            return Failed(failure or Failure("exception", type(error).__name__, message), Result(usage=usage))
        return Finished(msgspec.structs.replace(result, value=value, returned=returned, text=found.text))

    def _blob(self, frame: Frame) -> Blob:
        file = os.path.basename(frame.fields.get("file", ""))  # whatever a frame says, nothing outside is moved
        return self._job.store.adopt(self._job.folder / file) if file else self._job.store.put(frame.payload)

    def _process(self, kernel: PooledKernel) -> Process:
        return msgspec.structs.replace(
            kernel.running.process, spool=os.fspath(self._spool), connection=kernel.connection
        )
