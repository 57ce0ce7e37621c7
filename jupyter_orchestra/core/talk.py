"""The values of the conversation with the master: messages, turns and the log; what they mean is decided elsewhere."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from .model import Anchor, Delivery, Stage

Key = tuple[str, int]  # (uid, attempt) of a task's result


class TurnState(StrEnum):
    """Where a turn of the master stands."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"  # kept: it goes on when the person says so
    STOPPED = "stopped"


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the person said."""

    uid: str
    text: str
    at: float
    anchor: Anchor | None = None
    tier: str = ""
    model: str = ""
    returned: bool = False  # of a turn that failed before a request carried it


class LogItem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One item of the log, as JSON, and the results that it brings into the context."""

    turn: int
    data: str
    results: tuple[Key, ...] = ()


class Arrival(msgspec.Struct, frozen=True):
    """A result that is not in the context yet."""

    uid: str
    attempt: int
    at: float
    cohort: str
    deliver: Delivery  # as it holds for this result

    @property
    def key(self) -> Key:
        return self.uid, self.attempt


class Turn(msgspec.Struct):
    """One wake of the master, from its input to its reply. Changed by the conversation alone."""

    number: int
    uid: str
    begun_at: float
    anchor: Anchor | None = None  # the cell to which it replies; of a wake: none
    messages: list[Message] = []  # that it answers
    carried: list[str] = []  # uids of those that a request has carried
    results: list[Key] = []  # that it has brought into the context
    wake: bool = False  # no message of the person began it
    tainted: bool = False  # a result has entered it: what it asks for is proposed only
    state: TurnState = TurnState.RUNNING
    step: int = 0  # requests that have succeeded
    open_calls: int = 0  # of the last step, not answered yet
    settled: bool = False  # its last step made no calls: it goes on for what comes in, or not at all
    dispatched: int = 0  # tasks so far
    tries: int = 1
    stopping: bool = False
    text: str = ""  # its reply so far
    partial: str = ""  # what had come of a reply that broke off
    lines: list[str] = []  # its calls, each in a line
    reason: str = ""  # why it failed, or ended early
    ended_at: float | None = None
    stage: Stage | None = None  # of its reply
    number_of_cell: int = 0  # of the cell of a wake's reply
    tier: str = ""
    model: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    version: int = 0


class Talk(msgspec.Struct):
    """All that is known of the conversation."""

    started: bool = False  # the person has said something
    log: list[LogItem] = []  # only ever grows
    folded: int = 0  # the items before this one are summed up
    summary: str = ""
    messages: list[Message] = []  # that wait for a turn
    arrivals: dict[str, Arrival] = {}  # uid -> its result, in the order of arrival
    who: str = ""  # answers, in one line
    turns: list[Turn] = []
    composing: dict[str, float] = {}  # page -> since when the person types there
    wakes: int = 0  # since the person's last message
    ready_since: float | None = None  # when the wake became due that is held while the person types


class TurnView(msgspec.Struct, frozen=True):
    """A turn at one moment."""

    number: int
    uid: str
    tries: int
    state: TurnState
    begun_at: float
    ended_at: float | None
    anchor: Anchor | None
    joined: tuple[Anchor, ...]  # the cells of messages that joined it later
    wake: bool
    text: str
    lines: tuple[str, ...]
    reason: str
    results: tuple[Key, ...]
    stage: Stage | None
    number_of_cell: int
    version: int
    said: tuple[str, ...] = ()  # by the person: the messages that it answers

    @property
    def over(self) -> bool:
        """Whether it has come to an end, a failure included."""
        return self.state is not TurnState.RUNNING


def view_turn(turn: Turn) -> TurnView:
    """The picture of a turn."""
    anchors = [message.anchor for message in turn.messages if message.anchor is not None]
    return TurnView(
        number=turn.number,
        uid=turn.uid,
        tries=turn.tries,
        state=turn.state,
        begun_at=turn.begun_at,
        ended_at=turn.ended_at,
        anchor=turn.anchor,
        joined=tuple(anchor for anchor in anchors if anchor != turn.anchor),
        wake=turn.wake,
        text="\n\n".join(part for part in (turn.text, turn.partial) if part),
        lines=tuple(turn.lines),
        reason=turn.reason,
        results=tuple(turn.results),
        stage=turn.stage,
        number_of_cell=turn.number_of_cell,
        version=turn.version,
        said=tuple(message.text for message in turn.messages),
    )
