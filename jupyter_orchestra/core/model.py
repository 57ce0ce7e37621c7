"""The values that everything speaks in: what a task is, what it returned, which states it may go through."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

import msgspec

from .limits import Limits
from .needs import Need


class State(StrEnum):
    """Where a task stands."""

    WAITING = "waiting"  # for other tasks, or for the cells sent before it
    QUEUED = "queued"  # for slots and leases
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"  # its worker vanished with a crash; asks: rerun or drop


class When(StrEnum):
    """Which ends of the tasks before it let a task begin."""

    SUCCESS = "success"
    FAILURE = "failure"
    ALWAYS = "always"


class Delivery(StrEnum):
    """When a result reaches the master (design: reintegration)."""

    NOW = "now"
    IDLE = "idle"
    TURN = "turn"
    SILENT = "silent"


class Origin(StrEnum):
    """Who dispatched a task."""

    PERSON = "person"
    MASTER = "master"
    TASK = "task"


class Capability(StrEnum):
    """What a task may do, or may not."""

    READ = "read"
    WRITE = "write"
    RUN = "run"  # code and commands
    NETWORK = "network"
    BROWSE = "browse"


class Stage(StrEnum):
    """How far a result has come on its way to the person and the master."""

    QUEUED = "queued"
    SHOWN = "shown"
    IN_CONTEXT = "in_context"
    DISCUSSED = "discussed"
    SUPERSEDED = "superseded"


TIERS = ("fast", "standard", "strong")
ROLES = ("explorer", "default", "worker")
ENDED = frozenset({State.DONE, State.FAILED, State.CANCELLED, State.LOST})
RETRYABLE = frozenset({State.FAILED, State.CANCELLED, State.LOST})


class Blob(msgspec.Struct, frozen=True, omit_defaults=True):
    """A reference to bytes: tiny ones inline, the others by the BLAKE2b digest under which the journal keeps them."""

    size: int
    data: bytes | None = None
    digest: str | None = None


class Artifact(msgspec.Struct, frozen=True):
    """A file that a task made, under the name that the person sees."""

    name: str
    blob: Blob
    mime: str = "application/octet-stream"


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a task cost. Seconds are wall time of the attempt, cost is in US dollars and None where unknown."""

    seconds: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float | None = None


class Result(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a task returned: value and variables (cloudpickle), outputs (JSON list of nbformat outputs)."""

    value: Blob | None = None
    returned: dict[str, Blob] = {}
    outputs: Blob | None = None
    artifacts: tuple[Artifact, ...] = ()
    text: str = ""  # a short repr of the value, clipped
    report: str = ""  # what an agent writes of it, markdown as it came: to be cleaned before anyone sees it
    notes: tuple[str, ...] = ()  # what the person must know, such as "output cut at 2 GiB"
    usage: Usage = Usage()


class Failure(msgspec.Struct, frozen=True):
    """Why an attempt did not succeed. ``kind``: exception, exit, killed, timeout, start, snapshot or budget."""

    kind: str
    name: str  # the exception's class, or the kind in one word
    message: str

    def line(self) -> str:
        """The failure in one line."""
        return " ".join(f"{self.name}: {self.message}".split()) if self.message else self.name


class Ask(msgspec.Struct, frozen=True, omit_defaults=True):
    """A question that the person alone answers, bound to the exact action by its digest."""

    id: str
    action: str  # what will be done, in one line
    detail: str  # the action itself, whole: a command, a file's text, a brief
    digest: str
    order: str = ""  # of a proposal: the fact that is handled once the person approves, as JSON; empty: the task begins
    proposal: bool = False  # of the master; else of the task's worker, which waits for the answer
    capabilities: tuple[Capability, ...] = (Capability.RUN,)  # that a yes grants for this action; none: it grants none


class Capture(msgspec.Struct, frozen=True, omit_defaults=True):
    """A snapshot of the notebook's variables: one pickle stream, big buffers beside it in a file."""

    names: tuple[str, ...]
    stream: Blob
    buffers: str | None = None  # path of the buffers' file
    sizes: tuple[int, ...] = ()  # bytes of each buffer in that file, in order


class Place(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where code runs: the notebook kernel's working directory and import path at dispatch."""

    cwd: str = ""
    path: tuple[str, ...] = ()


class Anchor(msgspec.Struct, frozen=True, omit_defaults=True):
    """The cell that dispatched a task, bound at dispatch."""

    notebook: str = ""
    cell: str = ""
    display: str = ""  # display_id of the card in that cell's output
    parent: dict[str, str] = {}  # header of the execute request, for late outputs


class Spec(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was asked for: a task as dispatched. Times in seconds."""

    uid: str
    name: str
    worker: str
    brief: str
    auto: bool = False  # the name was made up, so it may be made unique
    after: tuple[str, ...] = ()  # names or uids
    when: When = When.SUCCESS
    priority: int = 0
    timeout: float | None = None
    retries: int = 0
    returns: tuple[str, ...] = ()
    deliver: Delivery = Delivery.TURN
    origin: Origin = Origin.PERSON
    literal: bool = False  # the person's own words, which the rules planner dispatched: no model wrote them
    parent: str = ""
    cohort: str = ""
    tier: str = ""
    model: str = ""  # of an agent; empty: that of its tier
    role: str = ""
    inherit: bool = False  # an agent that also sees the master's conversation
    context: str = ""  # what it sees of that conversation, taken at dispatch
    base: str = ""  # commit of the project at dispatch, empty outside a repository
    replace: bool = False
    snapshot: bool = False  # the capture follows, as SnapshotTaken
    capture: Capture | None = None
    budget: Limits = Limits()  # what it may spend
    needs: tuple[Need, ...] = ()  # what it leases for as long as it runs
    place: Place = Place()
    anchor: Anchor | None = None

    @property
    def terminal(self) -> bool:
        """Whether it leases one."""
        return any(need.resource == "terminal" for need in self.needs)


class Kind(msgspec.Struct, frozen=True):
    """What the machine must know about a kind of worker."""

    name: str
    slots: int
    pausable: bool = True
    steerable: bool = False
    cooperative: bool = False  # stops only when its code lets it, so it is never called cancelled before
    agent: bool = False  # a model writes what comes of it: never trusted
    resumable: bool = False  # goes on after a kernel restart, from its last journaled step
    adoptable: bool = False  # its process outlives the kernel, and the next one takes it over
    terminal: bool = False  # what it runs may have one


class Process(msgspec.Struct, frozen=True, omit_defaults=True):
    """What finds a started worker again: identity of its process and where it spools."""

    pid: int
    started: float  # seconds since the system's start, where it counts them, so that the clock may be set; else POSIX
    spool: str = ""
    connection: str = ""  # a kernel's connection file


class Step(msgspec.Struct, frozen=True):
    """One line of a task's story."""

    at: float
    state: State
    reason: str = ""
    leases: bool = False  # from then on it waits for leases, and not for slots alone


class Input(msgspec.Struct, frozen=True):
    """What a task finds under one name in ``results``."""

    state: State
    value: Blob | None = None
    error: str = ""
    trusted: bool = True  # only what the person wrote had a hand in the value


class Task(msgspec.Struct):
    """One task as the machine knows it now. Changed by the machine alone."""

    spec: Spec
    name: str
    state: State
    dispatched_at: float
    attempt: int = 0
    number: int = 0  # of its result cell: counts the results that this journal has delivered
    counted: bool = False  # the next start has its number already: a retry gave it
    after: tuple[tuple[str, str], ...] = ()  # (the name under which its result is found, uid)
    order: int = 0  # dispatch order
    queued_at: float = 0.0
    started_at: float | None = None
    ended_at: float | None = None
    before: State | None = None  # the state before a pause
    paused_at: float | None = None
    held: float = 0.0  # seconds that the present attempt was paused
    deadline: float | None = None
    remaining: float | None = None  # seconds of its time-out that were left when it was paused
    retries_left: int = 0
    snapshot: bool = False  # still waiting for its snapshot
    capture: Capture | None = None
    progress: float | None = None
    line: str = ""  # last line or note of progress
    reason: str = ""  # why it is in this state
    because: str = ""  # uid of the task whose end cancelled it
    stopping: bool = False
    needs_you: str = ""
    turn: int = 0  # the master's turn at dispatch: the one that dispatched it, or the last one before
    proposed: bool = False  # dispatched by the master, and begins once the person approves
    asks: list[Ask] = []  # what the person is to answer, the oldest first
    intervened: bool = False  # the person talked to its worker
    preempted: int = 0  # how often the present attempt had to give something to another
    gave: tuple[Need, ...] = ()  # what it gave back when it was held, and needs to go on
    yielded: bool = False  # held for another task: it goes on by itself once it has that back
    steps: list[Blob] = []  # what an agent's worker has journaled of the present attempt
    entered: int = 0  # the turn in whose context its result is, 0 for none
    discussed: bool = False  # that turn has ended with a reply
    result: Result | None = None
    failure: Failure | None = None
    process: Process | None = None
    unsandboxed: str = ""  # why nothing confines what a model wrote in the present attempt
    stage: Stage | None = None
    story: list[Step] = []
    version: int = 0  # counts changes, so that views can be ordered

    @property
    def uid(self) -> str:
        return self.spec.uid

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    def blobs(self) -> Iterator[Blob]:
        """All bytes that belong to it."""
        captures = {id(capture): capture for capture in (self.spec.capture, self.capture) if capture is not None}
        yield from (capture.stream for capture in captures.values())
        if (result := self.result) is not None:
            yield from (blob for blob in (result.value, result.outputs) if blob is not None)
            yield from result.returned.values()
            yield from (artifact.blob for artifact in result.artifacts)
        yield from self.steps
