"""The one loop: facts from the inbox go to the journal and the machine, its wishes to workers; it decides nothing."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from .attempt import made_up_for
from .attempts import Attempts
from .board import Board
from .clock import Clock
from .core import events as e
from .core.machine import Machine
from .core.model import Capture, State, Task
from .core.ports import Journal, Keeper, Master, Sink, Worker
from .core.purse import Allowance
from .core.talk import TurnView, view_turn
from .core.views import TaskView, view
from .lending import answer_unkept
from .metering import Meter
from .patience import no_room
from .terminals import Terminals

T = TypeVar("T")
P = TypeVar("P", TaskView, TurnView)
log = logging.getLogger("jupyter_orchestra")

YIELD = 1e-5  # seconds: an answered cell gets the interpreter lock, so that its prompt is back first
PROMPT = 0.004  # seconds by which a task starts later that a cell with a card dispatched: its prompt comes first
THREADS = 8  # for what would block the loop: disks, mostly
AT_ONCE = (e.TasksDispatched, e.MessageSent, e.LeaseAsked, e.LeaseExtendAsked)  # what need not stand to be answered
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
        self.terminals = Terminals()
        self.sink: Sink | None = None
        self.master: Master | None = None
        self.keeper: Keeper | None = None
        self.allowance: Allowance | None = None
        self._unkept: list[e.LeaseCommand] = []  # what the keeper is told when it comes
        self._keeping: asyncio.Event | None = None  # None: no keeper is to come
        self.epoch, self.max_unfinished, self.tiers = epoch, max_unfinished, dict(tiers or {})
        self.release: Callable[[Capture], None] = lambda capture: None  # told of snapshots that nobody needs any more
        self._inbox: deque[e.Event] = deque()
        self._awake = False
        self._answers: dict[str, Future[e.Answer]] = {}
        self._attempts = Attempts(self)
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._first: list[Callable[[], object]] = []
        self._last: list[Callable[[], Awaitable[None]]] = []
        self._after: list[Callable[[], Awaitable[None]]] = []
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

    @property
    def meter(self) -> Meter:
        """What running attempts use. On the loop."""
        return self._attempts.meter

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
        return bool(len(self._attempts)) or self.machine.conversation.running is not None

    def every(self, seconds: float, act: Callable[[], None]) -> None:
        """Call `act` on the loop each `seconds`, from :meth:`run` on."""
        self._periodic.append((seconds, act))

    def after_start(self, act: Callable[[], object]) -> None:
        """Call `act` on the loop as soon as :meth:`run` works."""
        self._first.append(act)

    def before_end(self, act: Callable[[], Awaitable[None]]) -> None:
        """Call `act` on the loop when everything is about to end."""
        self._last.append(act)

    def after_end(self, act: Callable[[], Awaitable[None]]) -> None:
        """Call `act` on the loop when everything has ended."""
        self._after.append(act)

    def leave(self) -> None:
        """On the loop, before the end: the folders of attempts that outlive this kernel stay."""
        self._attempts.leaving = True

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
        tasks, accounts = self.machine.tasks, self.machine.spending.budget.take_changed()
        if changed or accounts:
            self.journal.project(
                [tasks[uid] for uid in changed if uid in tasks], [uid for uid in changed if uid not in tasks], accounts
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
                    self._attempts.start(wish, PROMPT if isinstance(event, e.TasksDispatched) else 0.0)
                case e.StopTask():
                    self._attempts.stop(wish)
                case e.PauseTask() | e.ResumeTask() | e.SteerTask():
                    self._attempts.control(wish)
                case e.AnswerTask():
                    self._attempts.answer(wish)
                case e.LeaseCommand():
                    self._tell_keeper(wish)
                case e.Refused():
                    self._answer(wish)
                case e.Accepted():
                    # A dispatch or a lease is answered at once; what was done to tasks is answered when it stands,
                    # and nothing is spent before it is written down that it was going to be.
                    blocked = bool(self.machine.state.blocked) and not isinstance(event, e.ReserveAsked)
                    if isinstance(event, AT_ONCE) or blocked:
                        self._answer(wish)
                        if not isinstance(event, e.LeaseAsked):
                            time.sleep(YIELD)
                    else:
                        later.append(partial(self._answer, wish))
                case e.ShowCard():
                    changed[wish.uid] = None
                    self._show(wish.uid, later)
                case e.ShowLeases() if self.sink is not None:
                    self.sink.show_leases()
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

    def _tell_keeper(self, wish: e.LeaseCommand) -> None:
        if self.keeper is not None:
            self.keeper.told(wish)
        elif self._keeping is None or not self._keeping.is_set():
            self._unkept.append(wish)
        elif (answer := answer_unkept(wish, self.now())) is not None:
            self.post(answer)

    def await_keeper(self) -> None:
        """Before :meth:`run`: a keeper is to come, and nobody takes anything before it is there."""
        self._keeping = asyncio.Event()

    @property
    def keeps(self) -> bool:
        """Whether leases are kept, or are going to be."""
        return self.keeper is not None or self._keeping is not None

    async def kept(self) -> Keeper | None:
        """Who acts on leases, once that is known; None: nobody."""
        if self.keeper is None and self._keeping is not None:
            await self._keeping.wait()
        return self.keeper

    def keep(self, keeper: Keeper | None) -> None:
        """On the loop: from now on this one acts on leases; None: nobody ever will."""
        self.keeper = keeper
        if self._keeping is not None:
            self._keeping.set()
        wishes, self._unkept = self._unkept, []
        for wish in wishes:
            self._tell_keeper(wish)

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
        self.terminals.drop(uid)
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
        if len(self._attempts) and (reason := no_room(self.folder.parent)):
            self._attempts.say(f"its result waits: {reason}")

    def _set_timer(self) -> None:
        due = self.machine.due()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due is not None and self._loop is not None:
            self._timer = self._loop.call_later(max(0.0, due - self.now()), self._ring, due)

    def _ring(self, due: float) -> None:
        self.post(e.TimePassed(max(due, self.now())))

    async def _close(self) -> None:
        """End what runs: workers first, then attempts, so that nothing waits for a ladder."""
        if self._timer is not None:
            self._timer.cancel()
        for act in self._last:
            await act()
        if self.master is not None:
            await self.master.close()
        self._attempts.closing()
        for worker in self.workers.values():
            try:
                await worker.close()
            except Exception:
                log.exception("closing the %s worker failed", worker.kind.name)
        await self._attempts.close()
        if self.keeper is not None:
            await self.keeper.close()
        for act in self._after:
            await act()
        for future in self._answers.values():
            future.cancel()
        self.board.close("the orchestra has ended")
