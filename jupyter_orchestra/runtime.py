"""The one loop: facts from the inbox go to the journal and the machine, its wishes to workers; it decides nothing."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from .attempt import Attempt, Reporter, after, emptied, made_up_for, outcome_of
from .board import Board
from .clock import Clock
from .core import events as e
from .core.machine import Machine
from .core.model import Capture, State, Task
from .core.ports import Blocked, Failed, Finished, Job, Journal, Master, Outcome, Sink, Verdict, Worker
from .core.talk import TurnView, view_turn
from .core.views import TaskView, view
from .errors import NO_ROOM
from .patience import PatientStore, no_room

T = TypeVar("T")
P = TypeVar("P", TaskView, TurnView)
log = logging.getLogger("jupyter_orchestra")

YIELD = 1e-5  # seconds: an answered cell gets the interpreter lock, so that its prompt is back first
PROMPT = 0.004  # seconds by which a task starts later that a cell with a card dispatched: its prompt comes first
THREADS = 8  # for what would block the loop: disks, mostly
DISK_EVERY = 2.0  # seconds between two looks at the disk while something runs


class Runtime:
    """The orchestra at work on one event loop.

    Parameters
    ----------
    journal : Journal
        Where every fact is kept.
    workers : iterable of Worker
        One for each kind of task.
    folder : Path
        Where attempts get their folders, on the journal's disk.
    machine : Machine, optional
        With the state that the journal replayed.
    epoch : int
        Number of this start of the journal.
    clock : callable
        Gives POSIX seconds.
    """

    def __init__(
        self,
        journal: Journal,
        workers: Iterable[Worker],
        folder: Path,
        *,
        machine: Machine | None = None,
        epoch: int = 1,
        clock: Callable[[], float] | None = None,
        max_unfinished: int = 10_000,
        tiers: Mapping[str, int] | None = None,
    ) -> None:
        self.journal, self.folder = journal, folder
        self.machine = machine or Machine()
        self.workers = {worker.kind.name: worker for worker in workers}
        self.now = clock or Clock()
        self.board = Board()
        self.sink: Sink | None = None
        self.master: Master | None = None
        self.epoch, self.max_unfinished, self.tiers = epoch, max_unfinished, dict(tiers or {})
        self.release: Callable[[Capture], None] = lambda capture: None  # told of snapshots that nobody needs any more
        self._inbox: deque[e.Event] = deque()
        self._awake = False
        self._answers: dict[str, Future[e.Answer]] = {}
        self._attempts: dict[tuple[str, int], Attempt] = {}
        self._controls: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._folders: list[Path] = []  # emptied ones, to be used again
        self._closing = False
        self._first: list[Callable[[], object]] = []
        self._periodic: list[tuple[float, Callable[[], None]]] = []

    # for any thread

    def post(self, event: e.Event) -> None:
        """Hand over a fact. Never blocks, never raises."""
        self._inbox.append(event)
        if not self._awake and self._loop is not None:
            self._awake = True
            try:
                self._loop.call_soon_threadsafe(self._drain, context=contextvars.Context())
            except RuntimeError:  # the loop has closed: nobody is there to hear it
                self._awake = False

    def ask(self, event: e.Asked) -> Future[e.Answer]:
        """Hand over a request; the answer comes in the future."""
        future: Future[e.Answer] = Future()
        self._answers[event.request] = future
        self.post(event)
        return future

    def on_loop(self, act: Callable[[], T]) -> Future[T]:
        """Call `act` on the loop, after all that it has been told so far. Any thread."""
        done: Future[T] = Future()

        def call() -> None:
            try:
                done.set_result(act())
            except Exception as error:
                done.set_exception(error)

        if self._loop is None or self._loop.is_closed():
            done.cancel()
        else:
            self._loop.call_soon_threadsafe(call, context=contextvars.Context())
        return done

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop. Raises RuntimeError before :meth:`run`."""
        if self._loop is None:
            raise RuntimeError("the runtime does not run yet")
        return self._loop

    @property
    def busy(self) -> bool:
        """Whether anything runs, a turn of the master included."""
        return bool(self._attempts) or self.machine.conversation.running is not None

    def every(self, seconds: float, act: Callable[[], None]) -> None:
        """Call `act` on the loop each `seconds`, from :meth:`run` on."""
        self._periodic.append((seconds, act))

    def after_start(self, act: Callable[[], object]) -> None:
        """Call `act` on the loop as soon as :meth:`run` works."""
        self._first.append(act)

    @staticmethod
    def new_request() -> str:
        """A fresh request id."""
        return uuid.uuid4().hex

    def stop(self) -> None:
        """Ask :meth:`run` to end everything and return. Any thread."""
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)

    # the loop

    async def run(self) -> None:
        """Work until :meth:`stop`."""
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._loop.set_default_executor(ThreadPoolExecutor(THREADS, thread_name_prefix="jo-disk"))
        self.every(DISK_EVERY, self._watch_disk)
        for first in self._first:
            self._loop.call_soon(first)
        for seconds, act in self._periodic:
            self._repeat(seconds, act)
        kinds = tuple(worker.kind for worker in self.workers.values())
        self._inbox.appendleft(
            e.KernelStarted(self.now(), self.epoch, kinds, tiers=self.tiers, max_unfinished=self.max_unfinished)
        )
        self._drain()
        for task in self.machine.tasks.values():  # nothing of this is news, so nothing waits for a commit
            self.board.announce(self._picture(task))
        for turn in self.machine.state.talk.turns:
            self.board.announce_turn(view_turn(turn))
        try:
            await self._stop.wait()
        finally:
            await self._close()

    def _drain(self) -> None:
        self._awake = False
        later: list[Callable[[], None]] = []
        changed: dict[str, None] = {}
        while self._inbox:
            event = self._inbox.popleft()
            try:
                self._take(event, later, changed)
            except Exception:
                log.exception("the orchestra could not handle %s", type(event).__name__)
                self._refuse(event, "a bug in jupyter_orchestra: see the kernel's log")
                if (instead := made_up_for(event, self.now())) is not None:
                    self._inbox.append(instead)
        try:
            self._write_down(changed, later)
        except Exception:
            log.exception("the journal could not be told")
            self._release(later)
        self._set_timer()

    def _write_down(self, changed: dict[str, None], later: list[Callable[[], None]]) -> None:
        if changed:
            tasks = self.machine.tasks
            self.journal.project(
                [tasks[uid] for uid in changed if uid in tasks], [uid for uid in changed if uid not in tasks]
            )
        if later:
            self.journal.barrier(partial(self._committed, later))

    def _take(self, event: e.Event, later: list[Callable[[], None]], changed: dict[str, None]) -> None:
        self.journal.append(event)
        wishes = self.machine.handle(event)
        self.board.blocked = self.machine.state.blocked
        for wish in wishes:
            match wish:
                case e.StartTask():
                    self._start(wish.uid, wish.attempt, PROMPT if isinstance(event, e.TasksDispatched) else 0.0)
                case e.StopTask():
                    self._stop_attempt(wish.uid, wish.attempt)
                case e.PauseTask() | e.ResumeTask() | e.SteerTask():
                    self._control(wish)
                case e.AnswerTask():
                    if (running := self._attempts.get((wish.uid, wish.attempt))) is not None:
                        running.reporter.answer(wish.ask, Verdict(wish.approved, wish.why))
                case e.Refused():
                    self._answer(wish)
                case e.Accepted():
                    # A dispatch is answered at once; what was done to tasks is answered when it stands.
                    if isinstance(event, e.TasksDispatched | e.MessageSent) or self.machine.state.blocked:
                        self._answer(wish)
                        time.sleep(YIELD)
                    else:
                        later.append(partial(self._answer, wish))
                case e.ShowCard():
                    changed[wish.uid] = None
                    self._show(wish.uid, later)
                case e.Deliver():
                    if (task := self.machine.tasks.get(wish.uid)) is not None:
                        later.append(partial(self._deliver, self._picture(task)))
                case e.DropTask():
                    changed[wish.uid] = None
                    later.append(partial(self._withdraw, wish.uid))
                case e.ShowTurn() | e.DeliverReply():
                    self._show_turn(wish, later)
                case e.GiveInput() if wish.results:  # what goes to a model is durable, and announced
                    later.append(partial(self._tell_master, wish))
                case e.TurnCommand():
                    self._tell_master(wish)

    def _committed(self, later: list[Callable[[], None]]) -> None:
        """On the journal's thread: what waited for the commit goes on, on the loop."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._release, later)

    @staticmethod
    def _release(later: list[Callable[[], None]]) -> None:
        for act in later:
            try:
                act()
            except Exception:
                log.exception("announcing failed")

    def _picture(self, task: Task) -> TaskView:
        state = self.machine.state
        return view(task, state.blocked, state.kinds.get(task.spec.worker))

    def _show(self, uid: str, later: list[Callable[[], None]]) -> None:
        task = self.machine.tasks.get(uid)
        if task is None:
            return
        picture = self._picture(task)
        blocked_cancel = self.machine.state.blocked and picture.state is State.CANCELLED
        if picture.ended and not blocked_cancel:
            later.append(partial(self._announce, picture))
        else:
            self._announce(picture)

    def _show_turn(self, wish: e.TurnCommand, later: list[Callable[[], None]]) -> None:
        turn = self.machine.conversation.turn(wish.turn)
        if turn is None:
            return
        picture = view_turn(turn)
        if isinstance(wish, e.DeliverReply):
            later.append(partial(self._reply, picture))
        elif picture.over:
            later.append(partial(self._announce_turn, picture))
        else:
            self._announce_turn(picture)

    def _tell_master(self, wish: e.TurnCommand) -> None:
        if self.master is not None:
            self.master.told(wish)

    def _announce_turn(self, picture: TurnView) -> None:
        if self.board.announce_turn(picture) and self.sink is not None:
            self._safely(self.sink.show_turn, picture)

    def _reply(self, picture: TurnView) -> None:
        if self.sink is not None:
            self._safely(self.sink.reply, picture)

    def _announce(self, picture: TaskView) -> None:
        if not self.board.announce(picture):
            return
        if picture.state is State.DONE and picture.capture is not None:
            self.release(picture.capture)
        if self.sink is not None:
            self._safely(self.sink.show, picture)

    def _withdraw(self, uid: str) -> None:
        picture = self.board.get(uid)
        self.board.withdraw(uid)
        if picture is not None and picture.capture is not None:
            self.release(picture.capture)
        if self.sink is not None:
            self.sink.drop(uid)

    def _deliver(self, picture: TaskView) -> None:
        if self.sink is not None:
            self._safely(self.sink.deliver, picture)

    @staticmethod
    def _safely(act: Callable[[P], None], picture: P) -> None:
        try:
            act(picture)
        except Exception:
            log.exception("showing %s failed", picture.uid)

    def _answer(self, answer: e.Answer) -> None:
        future = self._answers.pop(answer.request, None)
        if future is not None and not future.done():
            future.set_result(answer)

    def _refuse(self, event: e.Event, reason: str) -> None:
        if isinstance(event, e.Asked):
            self._answer(e.Refused(event.request, reason))

    def _repeat(self, seconds: float, act: Callable[[], None]) -> None:
        assert self._loop is not None

        def again() -> None:
            try:
                act()
            except Exception:
                log.exception("housekeeping failed")
            self._repeat(seconds, act)

        self._loop.call_later(seconds, again)

    def _watch_disk(self) -> None:
        """A running task whose result can't be written says so."""
        if self._attempts and (reason := no_room(self.folder.parent)):
            for attempt in self._attempts.values():
                attempt.job.reporter.progress(None, f"its result waits: {reason}")

    def _set_timer(self) -> None:
        due = self.machine.due()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due is not None and self._loop is not None:
            self._timer = self._loop.call_later(max(0.0, due - self.now()), self._ring, due)

    def _ring(self, due: float) -> None:
        self.post(e.TimePassed(max(due, self.now())))

    # attempts

    def _start(self, uid: str, attempt: int, delay: float) -> None:
        assert self._loop is not None
        task = self.machine.tasks[uid]
        reporter = Reporter(uid, attempt, self._report, self.now, self._show_output)
        store = PatientStore(self.journal, partial(self._say, reporter), threading.current_thread())
        job = Job(
            spec=msgspec.structs.replace(task.spec, capture=task.capture),
            name=task.name,
            attempt=attempt,
            folder=self._folders.pop() if self._folders else self.folder / f"{uid}-{attempt}",
            inputs=self.machine.inputs(task),
            store=store,
            reporter=reporter,
            steps=tuple(task.steps),
        )
        seen = task.spec.anchor is not None and bool(task.spec.anchor.display)
        begun = asyncio.Event()
        work = self._loop.create_task(self._work(job, delay if seen else 0.0, begun), name=f"{task.name}#{attempt}")
        self._attempts[uid, attempt] = Attempt(work, job, reporter, store, begun)
        work.add_done_callback(partial(self._ended, uid, attempt))

    def _report(self, event: e.Reported) -> None:
        """What an attempt says while it runs."""
        if (event.uid, event.attempt) in self._attempts:
            self.post(event)

    def _show_output(self, uid: str, attempt: int, output: dict[str, object]) -> None:
        if self.sink is not None:
            self.sink.output(uid, attempt, output)

    def _say(self, reporter: Reporter, line: str) -> None:
        """A line of progress from another thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(reporter.progress, None, line)

    async def _work(self, job: Job, delay: float, begun: asyncio.Event) -> Outcome:
        if delay:
            await asyncio.sleep(delay)
        begun.set()
        try:
            job.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            return Blocked(f"{NO_ROOM.get(error.errno or 0, error.strerror or str(error))} ({job.folder})")
        try:
            return Blocked(reason) if (reason := no_room(job.folder)) else await self._carry_out(job)
        finally:
            if emptied(job.folder):
                self._folders.append(job.folder)

    async def _carry_out(self, job: Job) -> Outcome:
        try:
            return await self.workers[job.spec.worker].run(job)
        except (SystemExit, KeyboardInterrupt) as error:  # asyncio would end the whole loop for these
            raise RuntimeError(f"the worker raised {type(error).__name__}: {error}") from error

    def _ended(self, uid: str, attempt: int, work: asyncio.Task[Outcome]) -> None:
        """An attempt is over: one fact says how, whatever the worker did."""
        del self._attempts[uid, attempt]
        now = self.now()
        outcome = None if work.cancelled() else outcome_of(work)
        if self._closing and not isinstance(outcome, Finished):
            return  # the kernel cut it off: the next one finds it lost, and asks
        match outcome:
            case None:
                self.post(e.TaskStopped(now, uid, attempt))
            case Finished(result):
                self.post(e.TaskFinished(now, uid, attempt, result))
            case Failed(failure, result):
                self.post(e.TaskFailed(now, uid, attempt, failure, result))
            case Blocked(reason):
                self.post(e.TaskBlocked(now, uid, attempt, reason))

    def _stop_attempt(self, uid: str, attempt: int) -> None:
        if (running := self._attempts.get((uid, attempt))) is not None:
            running.store.give_up()
            running.work.cancel()

    def _control(self, wish: e.PauseTask | e.ResumeTask | e.SteerTask) -> None:
        assert self._loop is not None
        if (running := self._attempts.get((wish.uid, wish.attempt))) is None:
            return
        job = running.job
        worker = self.workers[job.spec.worker]
        match wish:
            case e.PauseTask():
                act = worker.pause(job)
            case e.ResumeTask():
                act = worker.resume(job)
            case e.SteerTask():
                act = worker.steer(job, wish.text)
        name = f"{type(wish).__name__} {job.name}#{job.attempt}"
        control = self._loop.create_task(after(running.begun, act), name=name)
        self._controls.add(control)
        control.add_done_callback(self._controlled)

    def _controlled(self, control: asyncio.Task[None]) -> None:
        self._controls.discard(control)
        if not control.cancelled() and (error := control.exception()) is not None:
            log.error("%s failed: %r", control.get_name(), error)

    async def _close(self) -> None:
        """End what runs: workers first, then attempts, so that nothing waits for a ladder."""
        if self._timer is not None:
            self._timer.cancel()
        self._closing = True
        if self.master is not None:
            await self.master.close()
        works = [attempt.work for attempt in self._attempts.values()]
        for attempt in self._attempts.values():
            attempt.store.give_up()
        for worker in self.workers.values():
            try:
                await worker.close()
            except Exception:
                log.exception("closing the %s worker failed", worker.kind.name)
        for work in works:
            work.cancel()
        if works:
            await asyncio.wait(works, timeout=2.0)
        for future in self._answers.values():
            future.cancel()
        for folder in self._folders:
            with contextlib.suppress(OSError):
                folder.rmdir()
        self.board.close("the orchestra has ended")
