"""The launcher whose processes outlive this kernel: it asks the supervisor of its folder; knows no tasks."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import secrets
import signal
import time
from collections.abc import Callable, Collection, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from ..core.model import Process
from ..core.ports import Launch, Limits
from ..processes.launcher import MARK, around
from ..processes.threads import in_thread
from ..processes.tree import Root, end_tree, members
from .guardian import BY_ITSELF
from .link import Link, connect, reach
from .main import await_rest, remove_rest
from .running import LOST, End, SupervisedRunning, merged
from .values import SAME, Beat, Held
from .wire import Message

GRACE = 600.0  # seconds that processes may run on without a kernel
ENDING = 3.0  # seconds in which a supervisor has ended a tree
CLOSING = 8.0  # seconds in which everything has ended
R = TypeVar("R", SupervisedRunning, SupervisedRunning | None)


class SupervisedLauncher:
    """Starts processes through the supervisor of a folder, which it starts at the first need. For Linux.

    Belongs to the loop on which it is first used. What an earlier kernel has left there and is not to be adopted is
    ended before anything else is done.

    Parameters
    ----------
    folder
        Private to the person and this notebook, with a path short enough for a socket in it.
    mark
        What the supervisor's environment carries as ``ORCHESTRA_SUPERVISOR``, so that it can be found.
    grace
        Seconds that what outlives a kernel runs on after this one is gone, for the next one to adopt it.
    adopted
        The first processes of what will be adopted.
    environment
        What all that it starts has in its environment, unless the launch says otherwise.
    limits
        What each launch may take, unless it says otherwise.
    """

    outlived = True

    def __init__(
        self,
        folder: Path,
        mark: str,
        *,
        grace: float = GRACE,
        adopted: Collection[int] = (),
        environment: Mapping[str, str] | None = None,
        limits: Limits = Limits(),  # noqa: B008 (it never changes)
    ) -> None:
        self.on_beat: Callable[[Beat], None] = lambda beat: None
        self._folder, self._mark, self._grace = folder, mark, grace
        self._adopted, self._environment, self.limits = tuple(adopted), dict(environment or {}), limits
        self._marks = [f"{name}={value}" for name, value in self._environment.items()]
        self._heard = 0.0  # when the supervisor last said something, on the loop's clock
        self._link: Link | None = None
        self._reaching = asyncio.Lock()
        self._closed = False
        self.leaving = False  # what is kept is left to the next kernel
        self._held: dict[int, Held] = {}  # what is ours: started here, or adopted
        self._ends: dict[int, asyncio.Future[End]] = {}
        self.beats: dict[int, Beat] = {}
        self._sweeps: set[asyncio.Task[None]] = set()  # of what died with a supervisor
        self._unwanted: set[asyncio.Task[None]] = set()  # ends of what nobody waited for
        self._looked = False  # for a supervisor of an earlier kernel
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="orchestra-sweep")

    async def start(self, launch: Launch) -> SupervisedRunning:
        """Start it. Its environment gets one more variable, ``ORCHESTRA_LAUNCH``. Raises OSError."""
        return await self._or_ended(self._start(launch))

    async def adopt(self, process: Process, spool: Path) -> SupervisedRunning | None:
        """What an earlier kernel started, whether it still runs or has ended meanwhile; None when it is gone.

        Parameters
        ----------
        spool
            What `read` reads.
        """
        return await self._or_ended(self._adopt(process, spool))

    async def _adopt(self, process: Process, spool: Path) -> SupervisedRunning | None:
        for held in await self.launches():
            if _is(held, process):
                return self._taken(held, spool)
        return None

    async def launches(self) -> tuple[Held, ...]:
        """All that the supervisor knows of, also what has ended; nothing when there is no supervisor."""
        link = await self._reached(boot=False)
        if link is None:
            return ()
        with contextlib.suppress(OSError):
            return tuple(_held(fields) for fields in (await link.ask("list"))["launches"])
        await asyncio.gather(*self._sweeps)
        return ()

    async def look(self) -> None:
        """End what earlier kernels have left and is not to be adopted."""
        await self._reached(boot=False)

    def silence(self, process: Process) -> float:
        """Seconds for which the supervisor has said nothing though a word is due on this process.

        It speaks every 5 s while anything lives. 0: no word is due, since it has told the end of this process, never
        had it, or is not there.
        """
        ours = [held for held in self._held.values() if _is(held, process)]
        if self._link is None or all(self._end_of(held.launch).done() for held in ours):
            return 0.0
        return asyncio.get_running_loop().time() - self._heard

    async def hear(self) -> None:
        """Have `on_beat` told how everything is now."""
        if self._link is not None:
            with contextlib.suppress(OSError):
                await self._link.ask("look")

    async def release(self) -> None:
        """Leave what outlives this kernel to the next one; from now on nothing here touches it."""
        self.leaving = True

    async def forsake(self) -> None:
        """From now on nothing outlives this kernel, whenever it ends."""
        if (link := await self._reached(boot=False)) is not None:
            with contextlib.suppress(OSError):
                link.tell("grace", grace=0.0)

    async def close(self) -> None:
        """End everything but what was left, and the supervisor when nothing was."""
        link = await self._reached(boot=False)
        self._closed = True
        if link is not None:
            try:
                await link.ask("settle" if self.leaving else "close", CLOSING)
            except OSError:  # it was killed, or hung
                await self._end_lost(list(self._held.values()), link.pid)
            link.close()
        await asyncio.gather(*self._sweeps, *self._unwanted)
        if not self.leaving:
            await in_thread(self._threads, remove_rest, self._folder)
        self._threads.shutdown(wait=False)

    # for what runs

    async def end(self, held: Held) -> None:
        if self._link is not None:
            answer = asyncio.ensure_future(self._link.ask("end", launch=held.launch))
            answer.add_done_callback(_taken_note_of)
            done, _ = await asyncio.wait({answer}, timeout=ENDING)
            if not done:  # a supervisor that hangs is not waited for
                await self._kill(held)
                return
            if answer.exception() is None:
                return
        await asyncio.gather(*self._sweeps)

    async def settle(self) -> None:
        if self._link is not None:
            with contextlib.suppress(OSError):
                await self._link.ask("settle")
                return
        await asyncio.gather(*self._sweeps)  # it is gone, and so is what was signalled

    async def _kill(self, held: Held) -> None:
        await in_thread(self._threads, end_tree, held.mark, Root(held.pid, held.started))

    def tell(self, op: str, launch: int, **fields: Any) -> None:
        if self._link is not None:
            with contextlib.suppress(OSError):  # it is gone, and with it what this was for
                self._link.tell(op, launch=launch, **fields)

    def _end_of(self, launch: int) -> asyncio.Future[End]:
        if launch not in self._ends:
            self._ends[launch] = asyncio.get_running_loop().create_future()
        return self._ends[launch]

    def forget(self, launch: int) -> None:
        self._held.pop(launch, None)
        self._ends.pop(launch, None)
        self.beats.pop(launch, None)

    # starting

    async def _start(self, launch: Launch) -> SupervisedRunning:
        launch.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        mark = f"{MARK}={secrets.token_hex(8)}"
        os.close(os.open(launch.spool, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        order = _order(launch, mark, self._environment, self.limits)
        try:
            reply = await self._ask_to_start(order)
        except (ConnectionError, TimeoutError):  # the supervisor was killed, came to its end, or hung
            reply = await self._ask_to_start(order)
        spool = os.fspath(launch.spool)
        held = Held(reply["launch"], reply["pid"], reply["started"], spool, mark, None, kept=launch.kept)
        return self._taken(held, launch.spool)

    async def _ask_to_start(self, order: Message) -> Message:
        link = await self._reached()
        assert link is not None
        return await link.ask("start", **order)

    async def _reached(self, boot: bool = True) -> Link | None:
        async with self._reaching:
            if self._link is not None or self._closed:
                return self._link
            await asyncio.gather(*self._sweeps)  # what died with the last one has ended before anything new begins
            self._link = await self._found()
            if self._link is None and boot:
                self._link = await reach(self._folder, self._mark, self._grace, self._new_link)
            self._heard = asyncio.get_running_loop().time()
            return self._link

    async def _found(self) -> Link | None:
        """The connection to a supervisor that is there, which has ended what is not to be adopted."""
        link = await connect(self._folder, self._grace, self._new_link)
        if link is not None:
            try:
                await link.ask("drop", kept=self._adopted)
            except OSError:  # it was killed just now, or hung
                link, self._looked = None, False
        if link is None and not self._looked:  # it is gone, but perhaps not all that it owned
            await in_thread(self._threads, _await_end, self._marks)
            await self._end_lost([])
        self._looked = True
        return link

    def _new_link(self) -> Link:
        return Link(self._on_event, self._on_lost)

    def _taken(self, held: Held, spool: Path) -> SupervisedRunning:
        self._held[held.launch] = held
        self._heard = asyncio.get_running_loop().time()
        end = self._end_of(held.launch)
        if held.code is not None and not end.done():
            end.set_result((held.code, held.killed_for))
        return SupervisedRunning(self, held, spool, end)

    async def _or_ended(self, coming: Coroutine[object, object, R]) -> R:
        """What comes. Who is cancelled meanwhile waits until it has come and ended: it may not live unknown."""
        task = asyncio.ensure_future(coming)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.shield(_keep(self._unwanted, self._end_unwanted(task)))
            raise

    @staticmethod
    async def _end_unwanted(coming: asyncio.Task[R]) -> None:
        with contextlib.suppress(OSError):
            if (running := await coming) is not None:
                await running.end()

    # what the supervisor says

    def _on_event(self, message: Message) -> None:
        self._heard = asyncio.get_running_loop().time()
        if message["event"] == "beat":
            for fields in message["launches"]:
                self._on_beat(fields)
            return
        self._on_beat(message["beat"])
        end = self._end_of(message["launch"])
        if not end.done():
            end.set_result((message["code"], message["killed_for"]))

    def _on_beat(self, fields: dict[str, Any]) -> None:
        launch = fields.pop("launch")
        if (held := self._held.get(launch)) is not None:
            self.beats[launch] = beat = Beat(held.pid, held.started, **fields)
            self.on_beat(beat)

    def _on_lost(self, link: Link) -> None:
        """The supervisor was killed: its processes die with it; whatever can't is killed here."""
        if link is not self._link:
            return
        self._link = None
        if not self._closed:
            _keep(self._sweeps, self._end_lost(list(self._held.values()), link.pid))

    async def _end_lost(self, lost: list[Held], supervisor: int = 0) -> None:
        """Kill what is left of these launches, and of those that nobody has adopted yet; its guardian does the rest."""
        ends = [self._end_of(held.launch) for held in lost]
        rest = [in_thread(self._threads, end_tree, mark) for mark in self._marks]
        await asyncio.gather(*map(self._kill, lost), *rest)
        await in_thread(self._threads, await_rest, self._folder, supervisor)
        for end in ends:
            if not end.done():
                end.set_result((-signal.SIGKILL, LOST))


def _order(launch: Launch, mark: str, environment: Mapping[str, str], limits: Limits) -> Message:
    name, _, value = mark.partition("=")
    if launch.pty and launch.spooled:
        raise OSError(errno.EINVAL, "a terminal's output is spooled for it")
    return {
        "argv": list(launch.argv if launch.spooled else around(launch, mark)),
        "cwd": launch.cwd,
        "environment": {**environment, **launch.environment, name: value},
        "log": os.fspath(launch.folder / "raw.txt"),
        "spool": os.fspath(launch.spool),
        "mark": mark,
        "around": not launch.spooled,
        "kept": launch.kept,
        **merged(launch.limits, limits),
    }


def _await_end(marks: Collection[str]) -> None:
    """Give those a moment that end by themselves, with their files, since their lifeline is broken; blocks."""
    deadline = time.monotonic() + BY_ITSELF
    while any(map(members, marks)) and time.monotonic() < deadline:
        time.sleep(0.01)


def _taken_note_of(answer: asyncio.Future[Message]) -> None:
    if not answer.cancelled():
        answer.exception()


def _keep(tasks: set[asyncio.Task[None]], work: Coroutine[object, object, None]) -> asyncio.Task[None]:
    task = asyncio.ensure_future(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    return task


def _is(held: Held, process: Process) -> bool:
    return held.pid == process.pid and abs(held.started - process.started) < SAME


def _held(fields: dict[str, Any]) -> Held:
    return Held(**fields)
