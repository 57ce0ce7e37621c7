"""The seams between the rooms: what a worker, a launcher, a journal and a sink must be able to do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import msgspec

from .budget import Figure
from .elsewhere import Elsewhere
from .events import Event, LeaseCommand, TurnCommand
from .leasing import Held
from .model import Ask, Blob, Failure, Input, Kind, Process, Result, Spec, Task
from .needs import Need
from .purse import UNLIMITED, Purse
from .report import TestReport
from .rights import NOTHING, Permit
from .talk import TurnView
from .views import TaskView

if TYPE_CHECKING:
    from concurrent.futures import Future
    from contextlib import AbstractAsyncContextManager


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

    def project(
        self,
        tasks: Iterable[Task] = (),
        dropped: Iterable[str] = (),
        accounts: Mapping[str, tuple[Figure, ...]] | None = None,
    ) -> None:
        """What readers outside may see of these tasks and accounts changed, or of these uids is no more."""

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


class Lost(msgspec.Struct, frozen=True):
    """An attempt of an earlier kernel that could not be taken over: nobody knows how it ended."""

    reason: str


Outcome = Finished | Failed | Blocked | Lost


class Verdict(msgspec.Struct, frozen=True):
    """The person's answer to a question, and why not."""

    approved: bool
    why: str = ""


@runtime_checkable
class Pty(Protocol):
    """The terminal of what runs. Both return at once, also when nothing is there any more."""

    def write(self, data: bytes) -> None:
        """Type into it."""

    def resize(self, rows: int, columns: int) -> None:
        """Give it another size, in characters."""


class Audience(Protocol):
    """Who hears of what a program puts out. On the runtime's loop; both return at once."""

    def progress(self, fraction: float | None, line: str = "") -> None:
        """How far it is (0 to 1) and the last line of output; coalesced to 4 a second."""

    def output(self, output: dict[str, object]) -> None:
        """One nbformat output, live; not journaled."""


class Reporter(Audience, Protocol):
    """What a worker says while it works. Every method is for the runtime's loop and returns at once."""

    def started(self, process: Process) -> None:
        """A process of this attempt exists."""

    def unsandboxed(self, why: str) -> None:
        """What a model wrote runs with all the person's rights, and why nothing confines it."""

    def terminal(self, pty: Pty) -> None:
        """What runs has a terminal, into which the person may type from now on."""

    def show(self, text: str) -> None:
        """What that terminal shows, as it came; not journaled."""

    def step(self, items: Blob) -> None:
        """A step is over: what the attempt goes on from after a restart of the kernel."""

    def ask(self, ask: Ask) -> Awaitable[Verdict]:
        """Put a question to the person and wait for the answer."""


class Lender(Protocol):
    """Gives one attempt what it needs while it works."""

    async def needs_of(self, command: str) -> tuple[Need, ...]:
        """What a script for the shell must hold while it runs. Raises ResourceError."""

    def lease(self, *needs: Need) -> AbstractAsyncContextManager[Held]:
        """Wait for all of it, and hold it as long as the block runs. Raises RefusedError or ResourceError."""


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
    purse: Purse = UNLIMITED  # what it may spend
    grants: Permit = NOTHING  # what it may do: to be looked at before each act
    process: Process | None = None  # what an earlier kernel started for this very attempt: to be taken over
    environment: Mapping[str, str] = {}  # what its leases bring along, such as PORT
    lender: Lender | None = None
    kept: str = ""  # the lease under which its process outlives this kernel; empty: it ends with it


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


class Keeper(Protocol):
    """Acts on leases, on the runtime's loop: claims what the machine shares, keeps real things, ends holders."""

    def told(self, wish: LeaseCommand) -> None:
        """A lease is to be claimed, was given, given back, or its holder is to be fenced. Returns at once."""

    async def provide(self, job: Job) -> Job | Failed:
        """The job with what its leases bring along, or why that can't be had."""

    def lender(self, uid: str, attempt: int) -> Lender:
        """Who gives one attempt what it needs while it works."""

    async def withdraw(self, job: Job) -> None:
        """End what was provided for a job."""

    def expect(self, id: str, command: str = "") -> Future[Held]:
        """The lease with that id, once it is given with its things and the server of that command. Any thread."""

    async def others(self) -> tuple[Elsewhere, ...]:
        """What other notebooks hold and wait for. Raises ResourceError where that can't be known."""

    def provided(self, id: str) -> tuple[Provision, ...]:
        """The real things that such a lease has brought along. Any thread."""

    def give_back(self, id: str) -> Future[None] | None:
        """End what such a lease brought along, then the lease. None where nothing is to be waited for. Any thread."""

    async def close(self) -> None:
        """End everything that is kept."""


class Sink(Protocol):
    """Where the person sees tasks. Called on the runtime's loop; must return at once."""

    def show(self, view: TaskView) -> None:
        """A task changed."""

    def show_leases(self) -> None:
        """Who holds things, or who waits for them, has changed."""

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


class Limits(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a tree of processes may take; beyond it is killed. None: no limit but its launcher's."""

    memory: int | None = None  # bytes of resident memory, the whole tree
    processes: int | None = None  # living at once


class Launch(msgspec.Struct, frozen=True):
    """A process to start. It gets its own session, ``environment`` and nothing else, and a lifeline as its stdin."""

    argv: tuple[str, ...]
    folder: Path  # its private folder
    cwd: str
    environment: Mapping[str, str]
    spool: Path  # where it (or the spooler around it) writes frames
    spooled: bool = False  # True: it writes its spool by itself; False: a spooler is put around it
    limit: int = 2 << 30  # bytes of output kept, the rest is dropped and marked
    limits: Limits = Limits()
    pty: bool = False  # its standard streams are a terminal
    kept: str = ""  # the lease under which it outlives this kernel; empty: it ends with it


class Running(Protocol):
    """A started process."""

    process: Process

    @property
    def left(self) -> bool:
        """Whether it was left to the next kernel: from then on nothing here touches it."""

    @property
    def lost(self) -> bool:
        """Whether it ended because who owned it was killed."""

    @property
    def killed_for(self) -> str:
        """Why it was killed when neither its user nor itself did that, such as a limit that it exceeded; empty else."""

    async def wait(self) -> int:
        """Its exit code, once it has ended; minus the signal that ended it."""

    def signal(self, number: int) -> None:
        """Send a signal to its process group; nothing when it is gone."""

    async def settle(self) -> None:
        """Come back when the signals sent so far have arrived."""

    def keep(self, lease: str) -> None:
        """Let it outlive this kernel, under that lease; empty: let it not."""

    def limit(self, limits: Limits) -> None:
        """Set what its tree may take from now on. Memory that it has already does not count."""

    async def end(self) -> None:
        """Kill its whole tree, and come back when nothing of it lives."""

    def read(self, offset: int, size: int = 1 << 20) -> bytes:
        """Up to `size` bytes of its spool from `offset`."""


class Launcher(Protocol):
    """Starts processes. Workers start nothing in any other way."""

    @property
    def outlived(self) -> bool:
        """Whether what is kept outlives this kernel."""

    async def start(self, launch: Launch) -> Running:
        """Start it. Raises OSError when that fails."""

    async def adopt(self, process: Process, spool: Path) -> Running | None:
        """What an earlier kernel started, whether it runs or has ended meanwhile; None when nobody knows of it."""

    async def release(self) -> None:
        """Leave what outlives this kernel to the next one."""

    async def forsake(self) -> None:
        """From now on nothing outlives this kernel, whenever it ends."""

    async def close(self) -> None:
        """End everything that still runs, but what was left."""


class Grant(msgspec.Struct, frozen=True):
    """A lease as the provider of its real things gets it."""

    lease: str  # its id
    holder: str  # uid of the task, empty for the person's own
    name: str  # of the task
    folder: Path  # 0700, this grant's alone; removed after its end
    project: Path
    needs: tuple[Need, ...]  # all that was granted together, with their units
    show: Callable[[str], None]  # a line for the card
    command: str = ""  # of a server that whoever holds it names by itself; it has a port then


class Provision(Protocol):
    """A real thing that is there as long as its lease."""

    @property
    def environment(self) -> Mapping[str, str]:
        """For who works with it, such as PORT or DATABASE_URL."""

    @property
    def notes(self) -> tuple[str, ...]:
        """For the person."""

    async def end(self) -> None:
        """End it; nothing of it is left (bound: 6 s)."""


@runtime_checkable
class Logged(Protocol):
    """A real thing that puts something out."""

    def log(self) -> str:
        """The end of it. On the runtime's loop."""


@runtime_checkable
class RunsTests(Protocol):
    """What who holds the test runner has."""

    async def run(self, arguments: Sequence[str], seen: Callable[[list[str]], object]) -> TestReport:
        """Run the project's tests, with these arguments more, and hand over their lines. Raises ResourceError."""


class Provider(Protocol):
    """Starts real things of one kind, each with its lease."""

    @property
    def resource(self) -> str:
        """The first word of the needs that it serves."""

    def capacities(self) -> Mapping[str, int]:
        """How much there is, by the name of the resource."""

    def check(self, need: Need) -> str:
        """What is wrong with a need, in one line; empty when nothing is."""

    async def provide(self, need: Need, grant: Grant) -> Provision:
        """Make it ready. Raises ResourceError, with what to do next, when that fails."""
