"""Every fact that comes in (``Event``, past tense) and every wish that goes out (``Command``, imperative).

Longer than the other modules on purpose: a list of short declarations, to be read in one place.
"""

from __future__ import annotations

import msgspec

from .leases import Lease
from .limits import Amounts, Limits
from .model import Anchor, Ask, Blob, Capability, Capture, Failure, Kind, Process, Result, Spec
from .needs import Need


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


class TiersDeclared(Event, frozen=True):
    """The slots of the model tiers were changed."""

    tiers: dict[str, int]


class AdmissionDeclared(Event, frozen=True):
    """How many tasks may be unfinished at once was changed."""

    max_unfinished: int


class TasksDispatched(Asked, frozen=True, omit_defaults=True, kw_only=True):
    """Tasks were dispatched together; all are accepted or none."""

    tasks: tuple[Spec, ...]
    turn: int = 0  # the master's turn that dispatches, 0 for anyone else


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
    turn: int = 0  # the master's turn that wants it, 0 for the person


class PauseAsked(Asked, frozen=True, omit_defaults=True, kw_only=True):
    """Someone wants tasks held."""

    targets: tuple[str, ...] = ()
    all: bool = False
    turn: int = 0


class ResumeAsked(Asked, frozen=True, omit_defaults=True, kw_only=True):
    """Someone wants held tasks to go on."""

    targets: tuple[str, ...] = ()
    all: bool = False
    turn: int = 0


class RetryAsked(Asked, frozen=True, omit_defaults=True, kw_only=True):
    """Someone wants ended tasks run again."""

    targets: tuple[str, ...] = ()


class ForgetAsked(Asked, frozen=True, omit_defaults=True, kw_only=True):
    """Someone wants ended tasks and their results dropped; ``ended`` means every one that has ended."""

    targets: tuple[str, ...] = ()
    ended: bool = False


class SteerAsked(Asked, frozen=True, omit_defaults=True, kw_only=True):
    """Someone sends a running task a message."""

    target: str
    text: str
    turn: int = 0


class ApproveAsked(Asked, frozen=True, omit_defaults=True, kw_only=True):
    """The person says yes to what a task asks: to the question with that digest, or to the oldest."""

    target: str
    digest: str = ""
    always: bool = False  # also to the same question of that task again


class DeclineAsked(Asked, frozen=True, omit_defaults=True, kw_only=True):
    """The person says no to it."""

    target: str
    digest: str = ""
    why: str = ""


class RevokeAsked(Asked, frozen=True, omit_defaults=True, kw_only=True):
    """The person takes back what tasks may do; without a capability all that they approved for single actions."""

    targets: tuple[str, ...]
    capabilities: tuple[Capability, ...] = ()


class ApprovalNeeded(Reported, frozen=True):
    """A worker waits for the person's answer."""

    ask: Ask


class StepTaken(Reported, frozen=True):
    """An agent's worker finished a step: what it goes on from after a restart of the kernel."""

    items: Blob


class WorkerStarted(Reported, frozen=True):
    """A worker's process exists."""

    process: Process


class TaskUnsandboxed(Reported, frozen=True):
    """What a model wrote runs in it with all the person's rights: nothing confines it."""

    why: str


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


class TaskLost(Reported, frozen=True):
    """What an earlier kernel had started is gone, and nobody knows how it ended."""

    reason: str


class TaskHeld(Reported, frozen=True):
    """A pause took effect: nothing of that attempt runs on."""


class ResultShown(Event, frozen=True):
    """A result stands where the person sees it."""

    uid: str
    attempt: int


# leases


class ResourcesDeclared(Event, frozen=True, omit_defaults=True):
    """What there is to be leased was declared or has changed."""

    capacities: dict[str, int]
    preemptible: tuple[str, ...] = ()  # may be taken from a running task


class LeaseAsked(Asked, frozen=True, omit_defaults=True, kw_only=True):
    """Someone wants things to work with: a task's worker while it works, or the person's own code."""

    id: str
    needs: tuple[Need, ...]
    holder: str = ""  # uid of the task, empty for the person
    attempt: int = 0  # of that task
    priority: int = 0
    wait: bool = True  # False: now or not at all


class LeaseExtendAsked(Asked, frozen=True, kw_only=True):
    """A holder wants more, now or not at all: whoever holds something may not wait for everything."""

    id: str
    needs: tuple[Need, ...]


class LeaseDowngraded(Event, frozen=True):
    """A holder will only read from now on what it could write."""

    id: str
    need: Need


class LeaseReleased(Event, frozen=True):
    """A holder gave a lease back, or no longer waits for it."""

    id: str


class LeaseClaimed(Event, frozen=True, omit_defaults=True):
    """The machine's part of a lease is ours."""

    id: str
    token: int = 0  # of the machine, 0 where nothing is shared
    claim: int = 0  # the claim that this answers; 0: written by a version that did not number them


class LeaseRefused(Event, frozen=True, omit_defaults=True):
    """Another program holds a part of it; the request waits until that changes."""

    id: str
    busy: tuple[str, ...]
    by: str = ""  # who holds it, in words
    claim: int = 0  # as above


class LeaseOpened(Event, frozen=True):
    """What another program held may be had now."""

    id: str


class LeasesRenewed(Event, frozen=True):
    """The holders of these still live and work."""

    ids: tuple[str, ...]


class LeaseFenced(Event, frozen=True):
    """The former holder of an expired lease can do nothing any more."""

    id: str


class LeaseTaken(Event, frozen=True):
    """A lease was lost to another program."""

    id: str
    why: str


# budgets


class ReserveAsked(Asked, frozen=True, omit_defaults=True, kw_only=True):
    """Someone is about to spend at most so much: an attempt of a task, or a turn of the master."""

    id: str  # of the reservation, never used again
    amounts: Amounts
    uid: str = ""
    attempt: int = 0
    turn: int = 0
    tier: str = ""  # of the model that the turn asks


class Settled(Event, frozen=True, omit_defaults=True):
    """It was spent: so much, or nobody knows (then all that was reserved)."""

    id: str
    amounts: Amounts | None = None


class Spent(Event, frozen=True, omit_defaults=True, kw_only=True):
    """Someone has spent what they had not reserved."""

    amounts: Amounts
    uid: str = ""
    turn: int = 0
    tier: str = ""


class BudgetsDeclared(Event, frozen=True):
    """The limits of the notebook ("notebook"), of what is above it ("user") and of tiers ("tier:fast") were set."""

    limits: dict[str, Limits]


# the conversation


class MessageSent(Asked, frozen=True, omit_defaults=True, kw_only=True):
    """The person said something to the master."""

    uid: str
    text: str
    anchor: Anchor | None = None
    tier: str = ""
    model: str = ""


class ComposingChanged(Event, frozen=True):
    """The person began to type a message in a page, or no longer does."""

    page: str
    on: bool


class StopTurnAsked(Asked, frozen=True):
    """The person wants the running turn ended; the tasks run on."""


class RetryTurnAsked(Asked, frozen=True):
    """The person wants the turn that could not go on to go on."""


class StepAsked(Event, frozen=True, omit_defaults=True):
    """The master is about to make a request: what came in meanwhile goes with it."""

    turn: int
    step: int
    literal: bool = False  # who answers carries out the person's own words alone: no result can mislead it
    who: str = ""  # answers, in one line


class StepDone(Event, frozen=True, omit_defaults=True, kw_only=True):
    """A request of the master succeeded: what it carried and what came back are in the log from now on."""

    turn: int
    step: int
    items: tuple[str, ...]  # JSON of each item, what went in first
    messages: tuple[str, ...] = ()  # uids of messages that it carried
    results: tuple[tuple[str, int], ...] = ()  # (uid, attempt) of results that it carried
    text: str = ""
    calls: int = 0  # how many calls wait for an answer
    tokens_in: int = 0
    tokens_out: int = 0


class CallsAnswered(Event, frozen=True, omit_defaults=True):
    """The calls of a step were carried out, refused, or cut off."""

    turn: int
    step: int
    items: tuple[str, ...]
    lines: tuple[str, ...] = ()  # each call in one line, for the person
    read: bool = False  # one of them read what may hold a result, which has entered the turn by that


class TurnFailed(Event, frozen=True, omit_defaults=True):
    """A turn can't go on; it is kept."""

    turn: int
    message: str
    too_long: bool = False  # what it was to answer would not fit into the next request either
    text: str = ""  # what had come of the reply by then: shown, and no part of the log


class TurnStopped(Event, frozen=True, omit_defaults=True):
    """A turn was stopped; what had come of its reply by then is kept."""

    turn: int
    text: str = ""
    items: tuple[str, ...] = ()


class LogFolded(Event, frozen=True):
    """The oldest part of the log is summed up in one item."""

    upto: int  # index of the first item that stays
    item: str


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
    | TiersDeclared
    | AdmissionDeclared
    | TasksDispatched
    | SnapshotTaken
    | SnapshotFailed
    | CancelAsked
    | PauseAsked
    | ResumeAsked
    | RetryAsked
    | ForgetAsked
    | SteerAsked
    | ApproveAsked
    | DeclineAsked
    | RevokeAsked
    | ApprovalNeeded
    | StepTaken
    | MessageSent
    | ComposingChanged
    | StopTurnAsked
    | RetryTurnAsked
    | StepAsked
    | StepDone
    | CallsAnswered
    | TurnFailed
    | TurnStopped
    | LogFolded
    | WorkerStarted
    | TaskUnsandboxed
    | TaskProgressed
    | TaskFinished
    | TaskFailed
    | TaskBlocked
    | TaskStopped
    | TaskLost
    | TaskHeld
    | ResourcesDeclared
    | LeaseAsked
    | LeaseExtendAsked
    | LeaseDowngraded
    | LeaseReleased
    | LeaseClaimed
    | LeaseRefused
    | LeaseOpened
    | LeasesRenewed
    | LeaseFenced
    | LeaseTaken
    | ReserveAsked
    | Settled
    | Spent
    | BudgetsDeclared
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
    proposed: bool = False  # nothing happens before the person approves


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


class AnswerTask(Command, frozen=True):
    """A worker gets the person's answer."""

    uid: str
    attempt: int
    ask: str
    approved: bool
    why: str = ""


class LeaseCommand(Command, frozen=True):
    """A wish that concerns a lease."""

    lease: Lease


class ClaimLease(LeaseCommand, frozen=True):
    """What of it the whole machine shares is to be claimed."""

    since: float  # when it began to wait
    priority: int
    claim: int  # for the answer: the same lease may be claimed again before that to an earlier claim comes


class GiveLease(LeaseCommand, frozen=True):
    """It is granted: who asked for it may begin."""


class FreeLease(LeaseCommand, frozen=True):
    """It is over, or no longer wanted."""

    why: str = ""  # for its holder, when that did not give it back


class FenceLease(LeaseCommand, frozen=True):
    """Its holder has not been heard of: it must be unable to act before anyone else gets it."""


class TurnCommand(Command, frozen=True):
    """A wish that concerns the master."""

    turn: int


class BeginTurn(TurnCommand, frozen=True):
    """The master works on this turn, from wherever the log stands."""


class GiveInput(TurnCommand, frozen=True):
    """What goes with the request that the master is about to make."""

    step: int
    messages: tuple[str, ...]
    results: tuple[tuple[str, int], ...]


class StopTurn(TurnCommand, frozen=True):
    """The master leaves off."""


class EndTurn(TurnCommand, frozen=True):
    """Nothing is left to do in this turn; else, after a step without calls, the master goes on."""


class ShowTurn(TurnCommand, frozen=True):
    """A turn changed in a way that the person may see."""


class DeliverReply(TurnCommand, frozen=True):
    """A turn is over: its reply goes to where the person sees it."""


class ShowCard(Command, frozen=True):
    """A task changed in a way that the person may see."""

    uid: str


class ShowLeases(Command, frozen=True):
    """Who holds what, or who waits for it, has changed in a way that the person may see."""


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
