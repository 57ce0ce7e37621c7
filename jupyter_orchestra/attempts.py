"""All running attempts: starts them, hands them what is wanted of them, says how they ended; it decides nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Protocol

import msgspec

from .attempt import Attempt, Reporter, after, emptied, outcome_of
from .core import events as e
from .core.controller import lease_id, outlives
from .core.machine import Machine
from .core.model import Capability, Failure
from .core.ports import Blocked, Failed, Finished, Job, Journal, Keeper, Lost, Outcome, Sink, Verdict, Worker
from .core.purse import Allowance
from .errors import NO_ROOM
from .lending import UNKEPT, AttemptLender
from .metering import Meter
from .patience import PatientStore, no_room
from .processes.threads import in_thread
from .purse import AskingPurse
from .terminals import Terminals

log = logging.getLogger("jupyter_orchestra")
NOT_GRANTED = "it may not {}: that was taken back, or what it was dispatched by has ended"


class Home(Protocol):
    """What attempts need of the runtime."""

    machine: Machine
    journal: Journal
    folder: Path
    sink: Sink | None
    allowance: Allowance | None
    terminals: Terminals
    now: Callable[[], float]

    @property
    def workers(self) -> Mapping[str, Worker]: ...

    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...

    def post(self, event: e.Event) -> None: ...

    def ask(self, event: e.Asked) -> Future[e.Answer]: ...

    def new_request(self) -> str: ...

    @property
    def keeps(self) -> bool: ...

    async def kept(self) -> Keeper | None: ...


class Attempts:
    """The attempts of one runtime, on its loop."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._running: dict[tuple[str, int], Attempt] = {}
        self._controls: set[asyncio.Task[None]] = set()
        self._folders: list[Path] = []  # emptied ones, to be used again
        self._removing: set[asyncio.Task[None]] = set()
        self._closing = False
        self.leaving = False  # what outlives this kernel is left to the next one
        self.meter = Meter()

    def __len__(self) -> int:
        return len(self._running)

    def start(self, wish: e.StartTask, delay: float) -> None:
        """Let a worker have it; `delay` seconds later where a card shows it."""
        home, uid, attempt = self._home, wish.uid, wish.attempt
        task = home.machine.tasks[uid]
        reporter = Reporter(uid, attempt, self._report, home.now, self._show_output, home.terminals)
        store = PatientStore(home.journal, partial(self._say, reporter), threading.current_thread())
        job = Job(
            spec=msgspec.structs.replace(task.spec, capture=task.capture),
            name=task.name,
            attempt=attempt,
            folder=Path(task.process.spool).parent if task.process is not None else self._folder(uid, attempt),
            inputs=home.machine.inputs(task),
            store=store,
            reporter=reporter,
            steps=tuple(task.steps),
            process=task.process,
            purse=AskingPurse(
                home.machine.spending,
                home.ask,
                home.post,
                home.now,
                home.new_request,
                uid=uid,
                attempt=attempt,
                allowance=lambda: home.allowance,
            ),
            grants=home.machine.grants.permit(uid, attempt, home.now),
            lender=AttemptLender(home, uid, attempt) if home.keeps else None,
            kept=lease_id(task, attempt) if outlives(home.workers[task.spec.worker].kind, task.spec) else "",
        )
        seen = task.spec.anchor is not None and bool(task.spec.anchor.display)
        begun = asyncio.Event()
        noted = None if job.process is not None or home.workers[task.spec.worker].kind.resumable else self._note()
        working = self._work(job, delay if seen else 0.0, begun, noted)
        work = home.loop.create_task(working, name=f"{task.name}#{attempt}")
        self._running[uid, attempt] = Attempt(work, job, reporter, store, begun)
        work.add_done_callback(partial(self._ended, uid, attempt))

    def stop(self, wish: e.StopTask) -> None:
        """Cut an attempt off."""
        if (running := self._running.get((wish.uid, wish.attempt))) is not None:
            running.store.give_up()
            running.work.cancel()

    def control(self, wish: e.PauseTask | e.ResumeTask | e.SteerTask) -> None:
        """Hold an attempt, let it go on, or hand it a message."""
        if (running := self._running.get((wish.uid, wish.attempt))) is None:
            return
        job = running.job
        worker = self._home.workers[job.spec.worker]
        match wish:
            case e.PauseTask():
                act = self._hold(worker, job)
            case e.ResumeTask():
                act = worker.resume(job)
            case e.SteerTask():
                act = worker.steer(job, wish.text)
        name = f"{type(wish).__name__} {job.name}#{job.attempt}"
        control = self._home.loop.create_task(after(running.begun, act), name=name)
        self._controls.add(control)
        control.add_done_callback(self._controlled)

    def answer(self, wish: e.AnswerTask) -> None:
        """Hand an attempt the person's answer."""
        if (running := self._running.get((wish.uid, wish.attempt))) is not None:
            running.reporter.answer(wish.ask, Verdict(wish.approved, wish.why))

    def say(self, line: str) -> None:
        """Put a line on the card of each."""
        for attempt in self._running.values():
            attempt.job.reporter.progress(None, line)

    def closing(self) -> None:
        """From now on an end is none, unless it is a result."""
        self._closing = True
        for attempt in self._running.values():
            attempt.store.give_up()

    async def close(self) -> None:
        """Cut all off, and wait a little."""
        works = [attempt.work for attempt in self._running.values()]
        for work in works:
            work.cancel()
        if works:
            await asyncio.wait(works, timeout=2.0)
        if self._removing:
            await asyncio.wait(self._removing, timeout=2.0)
        for folder in self._folders:
            with contextlib.suppress(OSError):
                folder.rmdir()

    def _folder(self, uid: str, attempt: int) -> Path:
        return self._folders.pop() if self._folders else self._home.folder / f"{uid}-{attempt}"

    def _report(self, event: e.Reported) -> None:
        """What an attempt says while it runs."""
        if (running := self._running.get((event.uid, event.attempt))) is not None:
            if isinstance(event, e.WorkerStarted):
                self.meter.began(event.uid, event.attempt, event.process, running.job.process is not None)
            self._home.post(event)

    def _show_output(self, uid: str, attempt: int, output: dict[str, object]) -> None:
        if self._home.sink is not None:
            self._home.sink.output(uid, attempt, output)

    def _say(self, reporter: Reporter, line: str) -> None:
        """A line of progress from another thread."""
        with contextlib.suppress(RuntimeError):  # the loop has closed
            self._home.loop.call_soon_threadsafe(reporter.progress, None, line)

    async def _hold(self, worker: Worker, job: Job) -> None:
        await worker.pause(job)
        self._report(e.TaskHeld(self._home.now(), job.spec.uid, job.attempt))

    def _note(self) -> asyncio.Future[None]:
        """Done once it is durable that an attempt begins: what has begun is never begun again by the next kernel."""
        loop, noted = self._home.loop, self._home.loop.create_future()

        def durable() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has closed
                loop.call_soon_threadsafe(_settle, noted)

        self._home.journal.barrier(durable)
        return noted

    async def _work(self, job: Job, delay: float, begun: asyncio.Event, noted: asyncio.Future[None] | None) -> Outcome:
        if delay:
            await asyncio.sleep(delay)
        if noted is not None:
            await noted
        begun.set()
        try:
            job.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            return Blocked(f"{NO_ROOM.get(error.errno or 0, error.strerror or str(error))} ({job.folder})")
        try:
            return Blocked(reason) if (reason := no_room(job.folder)) else await self._carry_out(job)
        finally:
            if not job.kept or (self._closing and not self.leaving):
                self._tidy(job.folder)

    async def _carry_out(self, job: Job) -> Outcome:
        if not job.spec.needs or not self._home.keeps or job.process is not None:  # what was taken over has it all
            return await self._run(job)
        if (keeper := await self._home.kept()) is None:
            return UNKEPT
        try:
            provided = await keeper.provide(job)
            return provided if isinstance(provided, Failed) else await self._run(provided)
        finally:
            await keeper.withdraw(job)

    async def _run(self, job: Job) -> Outcome:
        worker = self._home.workers[job.spec.worker]
        needed = Capability.READ if worker.kind.agent else Capability.RUN
        if job.process is None and not job.grants.allows(needed):
            return Failed(Failure("start", "NotGranted", NOT_GRANTED.format(needed)))
        try:
            return await worker.run(job)
        except (SystemExit, KeyboardInterrupt) as error:  # asyncio would end the whole loop for these
            raise RuntimeError(f"the worker raised {type(error).__name__}: {error}") from error

    def _ended(self, uid: str, attempt: int, work: asyncio.Task[Outcome]) -> None:
        """An attempt is over: one fact says how, whatever the worker did."""
        job = self._running.pop((uid, attempt)).job
        self._home.terminals.end(uid, attempt)
        self.meter.ended(uid, attempt)
        home, now = self._home, self._home.now()
        outcome = None if work.cancelled() else outcome_of(work)
        if self._closing and not isinstance(outcome, Finished):
            return  # the kernel cut it off: the next one finds it, or finds it lost and asks
        match outcome:
            case None:
                home.post(e.TaskStopped(now, uid, attempt))
            case Finished(result):
                home.post(e.TaskFinished(now, uid, attempt, result))
            case Failed(failure, result):
                home.post(e.TaskFailed(now, uid, attempt, failure, result))
            case Blocked(reason):
                home.post(e.TaskBlocked(now, uid, attempt, reason))
            case Lost(reason):
                home.post(e.TaskLost(now, uid, attempt, reason))

        if job.kept and not self._closing:
            home.loop.call_soon(home.journal.barrier, partial(self._durable, job.folder))

    def _durable(self, folder: Path) -> None:
        """On the journal's thread: the next kernel won't have to read any more how it ended."""
        with contextlib.suppress(RuntimeError):  # the loop has closed
            self._home.loop.call_soon_threadsafe(self._tidy, folder)

    def _tidy(self, folder: Path) -> None:
        """The folder of an attempt is not needed any more; what is not emptied at once goes whole, beside the loop."""
        if emptied(folder):
            self._folders.append(folder)
            return
        removing = self._home.loop.create_task(in_thread(None, shutil.rmtree, folder, ignore_errors=True))
        self._removing.add(removing)
        removing.add_done_callback(self._removing.discard)

    def _controlled(self, control: asyncio.Task[None]) -> None:
        self._controls.discard(control)
        if not control.cancelled() and (error := control.exception()) is not None:
            log.error("%s failed: %r", control.get_name(), error)


def _settle(noted: asyncio.Future[None]) -> None:
    if not noted.done():
        noted.set_result(None)
