"""Every fact that comes in (``Event``, past tense) and every wish that goes out (``Command``, imperative)."""

from __future__ import annotations

import msgspec

from .model import Capture, Failure, Kind, Process, Result, Spec


class Event(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """A fact. ``at`` is POSIX seconds."""

    at: float


class Asked(Event, frozen=True, omit_defaults=True):
    """A fact that someone waits for an answer to."""

    request: str = ""


class Reported(Event, frozen=True, omit_defaults=True):
    """A fact from the worker of one attempt; dropped when that attempt is over."""

    uid: str
    attempt: int


class KernelStarted(Event, frozen=True, omit_defaults=True):
    """A kernel took the journal over: what ran before is lost. Carries the settings that decide scheduling."""

    epoch: int
    kinds: tuple[Kind, ...]
    tiers: dict[str, int] = {}
    max_unfinished: int = 10_000


class KindDeclared(Event, frozen=True):
    """A kind of worker was added or its slots were changed."""

    kind: Kind


class TasksDispatched(Asked, frozen=True, kw_only=True):
    """Tasks were dispatched together; all are accepted or none."""

    tasks: tuple[Spec, ...]


class SnapshotTaken(Event, frozen=True):
    """The variables that a waiting task captures were copied."""

    uid: str
    capture: Capture | None


class SnapshotFailed(Event, frozen=True):
    """They could not be copied."""

    uid: str
    message: str


class CancelAsked(Asked, frozen=True, omit_defaults=True, kw_only=True):
    """Someone wants tasks cancelled; no target and ``all`` means every task that has not ended."""

    targets: tuple[str, ...] = ()
    all: bool = False
    reason: str = "cancelled by you"


class PauseAsked(Asked, frozen=True, omit_defaults=True, kw_only=True):
    """Someone wants tasks held."""

    targets: tuple[str, ...] = ()
    all: bool = False


class ResumeAsked(Asked, frozen=True, omit_defaults=True, kw_only=True):
    """Someone wants held tasks to go on."""

    targets: tuple[str, ...] = ()
    all: bool = False


class RetryAsked(Asked, frozen=True, omit_defaults=True, kw_only=True):
    """Someone wants ended tasks run again."""

    targets: tuple[str, ...] = ()


class ForgetAsked(Asked, frozen=True, omit_defaults=True, kw_only=True):
    """Someone wants ended tasks and their results dropped; ``ended`` means every one that has ended."""

    targets: tuple[str, ...] = ()
    ended: bool = False


class SteerAsked(Asked, frozen=True, kw_only=True):
    """Someone sends a running task a message."""

    target: str
    text: str


class WorkerStarted(Reported, frozen=True):
    """A worker's process exists."""

    process: Process


class TaskProgressed(Reported, frozen=True, omit_defaults=True):
    """A worker says how far it is: ``fraction`` from 0 to 1, or a line only."""

    fraction: float | None = None
    line: str = ""


class TaskFinished(Reported, frozen=True):
    """An attempt succeeded."""

    result: Result


class TaskFailed(Reported, frozen=True):
    """An attempt did not succeed; what it put out before is kept."""

    failure: Failure
    result: Result


class TaskBlocked(Reported, frozen=True):
    """An attempt could not begin for want of something outside, such as disk space; it is tried again by itself."""

    reason: str


class TaskStopped(Reported, frozen=True):
    """After a stop: nothing of that attempt runs any more."""


class ResultShown(Event, frozen=True):
    """A result stands where the person sees it."""

    uid: str
    attempt: int


class TimePassed(Event, frozen=True):
    """A moment that the machine asked for (``Machine.due``) has come."""


class JournalBlocked(Event, frozen=True):
    """The journal can't be written; kept in order and written with the rest once it can."""

    reason: str


class JournalFreed(Event, frozen=True):
    """The journal can be written again."""


AnyEvent = (
    KernelStarted
    | KindDeclared
    | TasksDispatched
    | SnapshotTaken
    | SnapshotFailed
    | CancelAsked
    | PauseAsked
    | ResumeAsked
    | RetryAsked
    | ForgetAsked
    | SteerAsked
    | WorkerStarted
    | TaskProgressed
    | TaskFinished
    | TaskFailed
    | TaskBlocked
    | TaskStopped
    | ResultShown
    | TimePassed
    | JournalBlocked
    | JournalFreed
)


class Command(msgspec.Struct, frozen=True, tag=True):
    """A wish of the machine."""


class Accepted(Command, frozen=True):
    """What was asked for will be done; ``names`` are the tasks it concerns, by their present names."""

    request: str
    uids: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


class Refused(Command, frozen=True):
    """What was asked for can't be done; nothing has changed."""

    request: str
    reason: str


class StartTask(Command, frozen=True):
    uid: str
    attempt: int


class StopTask(Command, frozen=True):
    uid: str
    attempt: int


class PauseTask(Command, frozen=True):
    uid: str
    attempt: int


class ResumeTask(Command, frozen=True):
    uid: str
    attempt: int


class SteerTask(Command, frozen=True):
    uid: str
    attempt: int
    text: str


class ShowCard(Command, frozen=True):
    """A task changed in a way that the person may see."""

    uid: str


class Deliver(Command, frozen=True):
    """A task ended: its result goes to where the person sees it."""

    uid: str
    attempt: int


class DropTask(Command, frozen=True):
    """A task is forgotten: so are its results and files."""

    uid: str


Answer = Accepted | Refused

_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


def encode(event: Event) -> bytes:
    """The event as JSON."""
    return msgspec.json.encode(event)


def decode(data: bytes) -> AnyEvent:
    """The event that :func:`encode` wrote.

    Raises
    ------
    msgspec.ValidationError
        When `data` is not an event of this version.
    """
    return _decoder.decode(data)
