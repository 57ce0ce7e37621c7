"""One attempt as one process, from launch to outcome; knows neither what runs nor what its end means."""

from __future__ import annotations

import asyncio
import errno
import signal
import time
from pathlib import Path
from typing import Final

import msgspec

from ..core.model import Failure, Kind, Origin, Usage
from ..core.ports import Blocked, Failed, Finished, Job, Launch, Launcher, Limits, Lost, Outcome, Running
from ..errors import NO_ROOM
from ..processes.ladder import end_gently
from ..processes.spool import Frame
from ..processes.threads import in_thread
from ..processes.tree import age
from .follower import TICK, follow
from .leaving import clean
from .outputs import Collector
from .passing import passed_on, passed_on_safely
from .remains import Remains

GONE: Final = "the kernel died while it ran, and its process with it"
DISOWNED: Final = "the supervisor, which owns all processes of tasks, was killed, and its process with it"


class Attempt:
    """What is particular to a kind of work. `prepare` and `conclude` run in a thread and may block on the disk."""

    tick = TICK  # seconds between two looks at what it puts out

    def __init__(self, job: Job) -> None:
        self.job = job
        self.collector = Collector(job.name, job.folder / "spool")

    def prepare(self) -> Launch:
        """Write what the process needs. Raises OSError."""
        raise NotImplementedError

    def began(self, running: Running) -> None:
        """It runs, started or taken over."""

    def seen(self, frame: Frame) -> None:
        """A frame came, which the collector has had."""

    def looked(self) -> None:
        """All frames that are there so far were seen."""

    def conclude(self, code: int) -> Outcome:
        """What an exit code and the collected output come to. Raises OSError."""
        raise NotImplementedError


class _Held:
    """One attempt: its process, once that is there, and whether it may go on."""

    def __init__(self) -> None:
        self.running: Running | None = None
        self.starting = asyncio.Lock()
        self.free = asyncio.Event()  # not paused
        self.free.set()

    async def signal(self, number: int) -> None:
        """Have it hold or go on, and come back when it does."""
        if number == signal.SIGCONT:
            self.free.set()
        else:
            self.free.clear()
        async with self.starting:
            if self.running is not None:
                self.running.signal(number)
                await self.running.settle()


class ProcessWorker:
    """The worker whose attempts are one process each."""

    def __init__(self, launcher: Launcher, kind: Kind) -> None:
        self.kind = kind
        self._launcher = launcher
        self._held: dict[tuple[str, int], _Held] = {}

    def attempt(self, job: Job) -> Attempt:
        """The work to be done."""
        raise NotImplementedError

    async def run(self, job: Job) -> Outcome:
        """Launch, follow, conclude. Cancelled: ends the tree in at most 6 s."""
        try:
            return clean(await self._outcome(job, self._hold(job)))
        finally:
            self._held.pop((job.spec.uid, job.attempt), None)

    async def _outcome(self, job: Job, held: _Held) -> Outcome:
        began = time.monotonic()
        attempt = self.attempt(job)
        try:
            running = await self._begun(attempt, held)
        except OSError as error:
            return not_started(error)
        if job.process is not None:
            began -= age(job.process.started)
        code = await self._followed(running, attempt)
        disowned = running.lost or isinstance(running, Remains)
        if disowned and attempt.collector.exit is None:
            return Lost(DISOWNED if running.lost else GONE)
        outcome = await in_thread(None, attempt.conclude, attempt.collector.exit or 0 if disowned else code)
        if running.killed_for and not disowned and isinstance(outcome, Finished | Failed):
            outcome = Failed(over_limit(running), outcome.result)
        return _timed(outcome, time.monotonic() - began)

    async def _begun(self, attempt: Attempt, held: _Held) -> Running:
        """Its process, started, taken over, or what is left of it. What is paused is not started. Raises OSError."""
        job = attempt.job
        if (process := job.process) is not None:
            async with held.starting:
                held.running = await self._launcher.adopt(process, Path(process.spool))
                return held.running or Remains(process, Path(process.spool))
        launch = await in_thread(None, attempt.prepare)
        launch = msgspec.structs.replace(launch, kept=job.kept, limits=limits_of(job))
        await held.free.wait()
        async with held.starting:
            held.running = await self._launcher.start(launch)
            return held.running

    def _hold(self, job: Job) -> _Held:
        return self._held.setdefault((job.spec.uid, job.attempt), _Held())

    async def pause(self, job: Job) -> None:
        """Stop its processes where they are."""
        await self._hold(job).signal(signal.SIGSTOP)

    async def resume(self, job: Job) -> None:
        """Let them go on."""
        await self._hold(job).signal(signal.SIGCONT)

    async def steer(self, job: Job, text: str) -> None:
        """It takes no messages."""
        raise NotImplementedError(f"a {self.kind.name} task takes no messages")

    async def close(self) -> None:
        """Nothing is kept between tasks."""

    async def _followed(self, running: Running, attempt: Attempt) -> int:
        job = attempt.job
        try:
            job.reporter.started(running.process)
            attempt.began(running)
            await follow(running, attempt.collector, job.reporter, attempt.seen, attempt.looked, attempt.tick)
            await running.end()
            return await running.wait()
        except asyncio.CancelledError:
            await end_gently(running)
            raise


def not_started(error: OSError) -> Blocked | Failed:
    """What an error at the start means: wait for the disk, or give up."""
    if error.errno in NO_ROOM:
        where = f" ({error.filename})" if error.filename else ""
        return Blocked(f"{NO_ROOM[error.errno]}{where}")
    if error.errno == errno.ENOTSUP:
        return Failed(Failure("start", "NotSupported", error.strerror or "not supported here"))
    return Failed(Failure("start", type(error).__name__, str(error)))


def limits_of(job: Job) -> Limits:
    """What its processes may take: of memory what it has leased."""
    return Limits(memory=next((need.amount for need in job.spec.needs if need.resource == "mem"), None))


def over_limit(running: Running) -> Failure:
    """Why it failed that took more than it may."""
    return Failure("killed", "OverLimit", running.killed_for)


def environment(job: Job, runtime: str) -> dict[str, str]:
    """What a task's code may have of this process's environment, and what tells a program which task is its."""
    given = passed_on() if job.spec.origin is Origin.PERSON else passed_on_safely()
    mine = {"ORCHESTRA_TASK": job.name, "ORCHESTRA_TASK_UID": job.spec.uid}
    return {**given, **mine, **({"ORCHESTRA_RUNTIME": runtime} if runtime else {}), **job.environment}


def _timed(outcome: Outcome, seconds: float) -> Outcome:
    if isinstance(outcome, Finished | Failed):
        return msgspec.structs.replace(
            outcome, result=msgspec.structs.replace(outcome.result, usage=Usage(seconds=seconds))
        )
    return outcome
