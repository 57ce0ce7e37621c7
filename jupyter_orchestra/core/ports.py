"""The seams between the rooms: what a worker, a launcher, a journal and a sink must be able to do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from .events import Event, TurnCommand
from .model import Ask, Blob, Failure, Input, Kind, Process, Result, Spec, Task
from .talk import TurnView
from .views import TaskView


class Store(Protocol):
    """Keeps bytes by content. Every method may be called from any thread; those that touch the disk may block it."""

    def put(self, data: bytes) -> Blob:
        """Keep `data`; durable with the next commit of the journal."""

    def adopt(self, path: Path) -> Blob:
        """Move the file at `path` in, synced to disk. Raises OSError when that fails."""

    def get(self, blob: Blob) -> bytes:
        """The bytes. Raises KeyError when they are gone."""

    def file(self, blob: Blob) -> Path | None:
        """The file that holds the bytes, None where they are not in a file of their own."""


class Journal(Store, Protocol):
    """The event log, and what it keeps beside it."""

    def append(self, event: Event) -> None:
        """Add an event at the end; durable within 0.1 s, or as soon as a barrier asks for it."""

    def project(self, tasks: Iterable[Task] = (), dropped: Iterable[str] = ()) -> None:
        """What readers outside may see of these tasks changed, or of these uids is no more."""

    def barrier(self, done: Callable[[], None]) -> None:
        """Call `done` (on the writer's thread) once everything appended so far is durable."""


class Finished(msgspec.Struct, frozen=True):
    """An attempt that succeeded."""

    result: Result


class Failed(msgspec.Struct, frozen=True):
    """An attempt that did not, and what it had put out by then."""

    failure: Failure
    result: Result = Result()


class Blocked(msgspec.Struct, frozen=True):
    """An attempt that could not begin: it is tried again by itself."""

    reason: str


Outcome = Finished | Failed | Blocked


class Verdict(msgspec.Struct, frozen=True):
    """The person's answer to a question, and why not."""

    approved: bool
    why: str = ""


class Reporter(Protocol):
    """What a worker says while it works. Every method is for the runtime's loop and returns at once."""

    def started(self, process: Process) -> None:
        """A process of this attempt exists."""

    def progress(self, fraction: float | None, line: str = "") -> None:
        """How far it is (0 to 1) and the last line of output; coalesced to 4 a second."""

    def output(self, output: dict[str, object]) -> None:
        """One nbformat output, live; not journaled."""

    def step(self, items: Blob) -> None:
        """A step is over: what the attempt goes on from after a restart of the kernel."""

    def ask(self, ask: Ask) -> Awaitable[Verdict]:
        """Put a question to the person and wait for the answer."""


class Job(msgspec.Struct, frozen=True):
    """One attempt, as a worker gets it."""

    spec: Spec
    name: str
    attempt: int
    folder: Path  # exists, 0700, empty, this attempt's alone; removed when the attempt is over
    inputs: Mapping[str, Input]  # what `results` holds
    store: Store
    reporter: Reporter
    steps: tuple[Blob, ...] = ()  # what this attempt journaled before the kernel restarted


class Worker(Protocol):
    """Carries tasks of one kind out, on the runtime's loop."""

    kind: Kind

    def check(self, brief: str) -> str:
        """What is wrong with a brief, in one line; empty when nothing is. Called in the dispatching cell."""

    async def run(self, job: Job) -> Outcome:
        """Do it. Cancelled: end everything that was started (bound: 6 s), then let CancelledError through."""

    async def pause(self, job: Job) -> None:
        """Hold a running attempt."""

    async def resume(self, job: Job) -> None:
        """Let it go on."""

    async def steer(self, job: Job, text: str) -> None:
        """Hand it a message."""

    async def close(self) -> None:
        """End what is kept between tasks, such as idle kernels."""


class Master(Protocol):
    """Carries out turns of the conversation, on the runtime's loop."""

    def told(self, wish: TurnCommand) -> None:
        """A turn begins, goes on with its next input, is to stop, or is over. Returns at once."""

    async def close(self) -> None:
        """Leave off: a turn that runs is cut off, and goes on with the next kernel."""


class Sink(Protocol):
    """Where the person sees tasks. Called on the runtime's loop; must return at once."""

    def show(self, view: TaskView) -> None:
        """A task changed."""

    def deliver(self, view: TaskView) -> None:
        """A task's result is durable and wants to be shown; the sink posts ``ResultShown`` when it was."""

    def output(self, uid: str, attempt: int, output: dict[str, object]) -> None:
        """Live output of a running attempt."""

    def show_turn(self, turn: TurnView) -> None:
        """A turn of the master changed."""

    def reply(self, turn: TurnView) -> None:
        """A turn's reply is durable and wants to be shown; ``ResultShown`` with its uid and tries says that it was."""

    def drop(self, uid: str) -> None:
        """A task was forgotten."""


class Launch(msgspec.Struct, frozen=True):
    """A process to start. It gets its own session, ``environment`` and nothing else, and a lifeline as its stdin."""

    argv: tuple[str, ...]
    folder: Path  # its private folder
    cwd: str
    environment: Mapping[str, str]
    spool: Path  # where it (or the spooler around it) writes frames
    spooled: bool = False  # True: it writes its spool by itself; False: a spooler is put around it
    limit: int = 2 << 30  # bytes of output kept, the rest is dropped and marked


class Running(Protocol):
    """A started process."""

    process: Process

    async def wait(self) -> int:
        """Its exit code, once it has ended; minus the signal that ended it."""

    def signal(self, number: int) -> None:
        """Send a signal to its process group; nothing when it is gone."""

    async def end(self) -> None:
        """Kill its whole tree, and come back when nothing of it lives."""

    def read(self, offset: int, size: int = 1 << 20) -> bytes:
        """Up to `size` bytes of its spool from `offset`."""


class Launcher(Protocol):
    """Starts processes. Workers start nothing in any other way."""

    async def start(self, launch: Launch) -> Running:
        """Start it. Raises OSError when that fails."""

    async def close(self) -> None:
        """End everything that still runs."""
