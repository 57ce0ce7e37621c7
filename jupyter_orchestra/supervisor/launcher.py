"""The launcher whose processes outlive this kernel: it asks the supervisor of its folder; knows no tasks."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import secrets
import signal
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ..core.model import Process
from ..core.ports import Launch
from ..processes.launcher import MARK, around, read_spool
from ..processes.terminal import resized, typed
from ..processes.threads import in_thread
from ..processes.tree import Root, end_tree
from .link import Link, connect, reach
from .values import Beat, Held
from .wire import Message

GRACE = 600.0  # seconds that processes may run on without a kernel
CLOSING = 8.0  # seconds in which everything has ended
SAME = 0.001  # seconds by which two notes of one start may differ
LOST = "its supervisor was killed"
End = tuple[int, str]  # exit code, and why it was killed


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
    ) -> None:
        self.on_beat: Callable[[Beat], None] = lambda beat: None
        self._folder, self._mark, self._grace = folder, mark, grace
        self._adopted, self._environment = tuple(adopted), dict(environment or {})
        self._heard = 0.0  # when the supervisor last said something, on the loop's clock
        self._link: Link | None = None
        self._reaching = asyncio.Lock()
        self._leaving = self._closed = False
        self._held: dict[int, Held] = {}  # what is ours: started here, or adopted
        self._ends: dict[int, asyncio.Future[End]] = {}
        self._beats: dict[int, Beat] = {}
        self._sweeps: set[asyncio.Task[None]] = set()
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="orchestra-sweep")

    async def start(self, launch: Launch) -> SupervisedRunning:
        """Start it. Its environment gets one more variable, ``ORCHESTRA_LAUNCH``. Raises OSError."""
        starting = asyncio.ensure_future(self._start(launch))
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            starting.add_done_callback(self._unwanted)
            raise

    async def adopt(self, process: Process, spool: Path) -> SupervisedRunning | None:
        """What an earlier kernel started, whether it still runs or has ended meanwhile; None when it is gone.

        Parameters
        ----------
        spool
            What `read` reads.
        """
        for held in await self.launches():
            if held.pid == process.pid and abs(held.started - process.started) < SAME:
                return self._taken(held, spool)
        return None

    async def launches(self) -> tuple[Held, ...]:
        """All that the supervisor knows of, also what has ended; nothing when there is no supervisor."""
        link = await self._reached(boot=False)
        if link is None:
            return ()
        with contextlib.suppress(ConnectionError):
            return tuple(_held(fields) for fields in (await link.ask("list"))["launches"])
        return ()

    async def look(self) -> None:
        """End what earlier kernels have left and is not to be adopted."""
        await self._reached(boot=False)

    @property
    def silent(self) -> float:
        """Seconds since the supervisor was last heard; it speaks every 5 s while anything lives. 0: there is none."""
        return 0.0 if self._link is None else asyncio.get_running_loop().time() - self._heard

    async def release(self) -> None:
        """Leave what outlives this kernel to the next one; from now on nothing here touches it."""
        self._leaving = True

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
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(CLOSING):
                    await (link.ask("settle") if self._leaving else link.ask("close"))
            link.close()
        await asyncio.gather(*self._sweeps)
        self._threads.shutdown(wait=False)

    # for what runs

    async def _end(self, launch: int) -> None:
        if self._link is not None:
            with contextlib.suppress(OSError):
                await self._link.ask("end", launch=launch)
                return
        await asyncio.gather(*self._sweeps)

    async def _settle(self) -> None:
        if self._link is not None:
            with contextlib.suppress(OSError):  # it is gone, and so is what was signalled
                await self._link.ask("settle")

    def _tell(self, op: str, launch: int, **fields: Any) -> None:
        if self._link is not None:
            with contextlib.suppress(OSError):  # it is gone, and with it what this was for
                self._link.tell(op, launch=launch, **fields)

    def _end_of(self, launch: int) -> asyncio.Future[End]:
        if launch not in self._ends:
            self._ends[launch] = asyncio.get_running_loop().create_future()
        return self._ends[launch]

    def _forget(self, launch: int) -> None:
        self._held.pop(launch, None)
        self._ends.pop(launch, None)
        self._beats.pop(launch, None)

    # starting

    async def _start(self, launch: Launch) -> SupervisedRunning:
        launch.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        mark = f"{MARK}={secrets.token_hex(8)}"
        os.close(os.open(launch.spool, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        order = _order(launch, mark, self._environment)
        try:
            reply = await self._ask_to_start(order)
        except ConnectionError:  # the supervisor was killed, or came to its end, just now
            reply = await self._ask_to_start(order)
        self._heard = asyncio.get_running_loop().time()
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
            self._link = await connect(self._folder, self._grace, self._new_link)
            if self._link is not None:
                await self._link.ask("drop", kept=self._adopted)
            elif boot:
                self._link = await reach(self._folder, self._mark, self._grace, self._new_link)
            self._heard = asyncio.get_running_loop().time()
            return self._link

    def _new_link(self) -> Link:
        return Link(self._on_event, self._on_lost)

    def _taken(self, held: Held, spool: Path) -> SupervisedRunning:
        self._held[held.launch] = held
        end = self._end_of(held.launch)
        if held.code is not None and not end.done():
            end.set_result((held.code, held.killed_for))
        return SupervisedRunning(self, held, spool, end)

    def _unwanted(self, starting: asyncio.Task[SupervisedRunning]) -> None:
        """Nobody waits for it any more."""
        if not starting.cancelled() and starting.exception() is None:
            self._sweep(starting.result().end())

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
            self._beats[launch] = beat = Beat(held.pid, held.started, **fields)
            self.on_beat(beat)

    def _on_lost(self, link: Link) -> None:
        """The supervisor was killed: its processes die with it; whatever can't is killed here."""
        if link is not self._link:
            return
        self._link = None
        if not self._closed:
            lost = [held for held in self._held.values() if not self._end_of(held.launch).done()]
            self._sweep(self._end_lost(lost))

    async def _end_lost(self, lost: list[Held]) -> None:
        ends = [self._end_of(held.launch) for held in lost]
        roots = [(held.mark, Root(held.pid, held.started)) for held in lost]
        await asyncio.gather(*(in_thread(self._threads, end_tree, mark, root) for mark, root in roots))
        for end in ends:
            if not end.done():
                end.set_result((-signal.SIGKILL, LOST))

    def _sweep(self, work: Any) -> None:
        sweep = asyncio.ensure_future(work)
        self._sweeps.add(sweep)
        sweep.add_done_callback(self._sweeps.discard)


class SupervisedRunning:
    """A process of the supervisor's, and everything that it started. Its user calls `end` at last, however it ended."""

    process: Process

    def __init__(self, launcher: SupervisedLauncher, held: Held, spool: Path, end: asyncio.Future[End]) -> None:
        self.process = Process(held.pid, held.started, os.fspath(spool))
        self._launcher, self._launch, self._spool, self._ended = launcher, held.launch, spool, end
        self._over = False
        self._kept = held.kept
        self._last: Beat | None = None

    @property
    def left(self) -> bool:
        """Whether it was left to the next kernel."""
        return self._launcher._leaving and bool(self._kept)

    @property
    def killed_for(self) -> str:
        """Why it was killed, when neither its user nor itself did that; empty else."""
        return self._ended.result()[1] if self._ended.done() else ""

    @property
    def beat(self) -> Beat | None:
        """The last word on how it is."""
        return self._launcher._beats.get(self._launch, self._last)

    async def wait(self) -> int:
        """Its exit code, once it has ended; minus the signal that ended it."""
        return (await asyncio.shield(self._ended))[0]

    def signal(self, number: int) -> None:
        """Send a signal to its tree; nothing when it is gone."""
        if not (self._ended.done() or self._over or self.left):
            self._launcher._tell("signal", self._launch, number=int(number))

    async def settle(self) -> None:
        """Come back when the signals sent so far have arrived."""
        await self._launcher._settle()

    def keep(self, lease: str) -> None:
        """Let it outlive this kernel, under that lease; empty: let it not."""
        if lease != self._kept:
            self._kept = lease
            self._launcher._tell("keep", self._launch, kept=lease)

    def climb_down(self) -> None:
        """Have it interrupted (0 s), terminated (2 s), killed (5 s), whether or not this process lives so long."""
        if not self.left:
            self._launcher._tell("ladder", self._launch)

    async def end(self) -> None:
        """Kill its whole tree, and come back when nothing of it lives (or 2 s have not sufficed)."""
        if self._over or self.left:
            return
        await self._launcher._end(self._launch)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.wait(), 0.5)
        self._over = True
        self._last = self.beat
        self._launcher._forget(self._launch)

    def read(self, offset: int, size: int = 1 << 20) -> bytes:
        """Up to `size` bytes of its spool from `offset`; none when the spool is not there."""
        return read_spool(self._spool, offset, size)

    def write(self, data: bytes) -> None:
        """Type into its terminal."""
        for part in typed(data):
            self._launcher._tell("write", self._launch, data=part.decode("latin-1"))

    def resize(self, rows: int, columns: int) -> None:
        """Give its terminal another size, in characters."""
        self._launcher._tell("write", self._launch, data=resized(rows, columns).decode("latin-1"))


def _order(launch: Launch, mark: str, environment: Mapping[str, str]) -> Message:
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
        "memory": launch.limits.memory,
        "processes": launch.limits.processes,
        "kept": launch.kept,
    }


def _held(fields: dict[str, Any]) -> Held:
    return Held(**fields)
