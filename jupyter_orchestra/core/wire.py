"""What kernel and page say to each other; ``labextension/src/protocol.ts`` is made from it. It knows no comm.

The page opens two comms for each kernel that it looks at: ``jupyter_orchestra.up``, on which it alone speaks
(:data:`ToKernel`), and ``jupyter_orchestra.down``, on which the kernel alone speaks (:data:`ToPage`). Times are POSIX
seconds by the kernel's clock.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from .model import Delivery, Origin, Stage, State, Step
from .resources import LeasePicture
from .talk import TurnState

PROTOCOL = 3  # raised when a page and a kernel of different versions would misunderstand each other
UP = "jupyter_orchestra.up"
DOWN = "jupyter_orchestra.down"
ANNOUNCE = "jupyter_orchestra.announce"  # opened by the kernel when the extension is loaded, and closed at once
CARD_MIME = "application/vnd.jupyter-orchestra.card+json"  # a card in a cell's output: see CardLine
RESULT_KINDS = Literal["code", "agent", "master", "reply"]


class Wire(msgspec.Struct, frozen=True, kw_only=True):
    """A value inside messages."""


class Question(Wire, frozen=True, kw_only=True):
    """What a task asks the person: the answer names the digest, so that it is an answer to this very action."""

    action: str  # in one line
    detail: str  # the action itself, whole
    digest: str
    proposal: bool  # of the master; else of the task's worker
    more: int  # how many questions come after it


class Turn(Wire, frozen=True, kw_only=True):
    """The newest turn of the master; ``text`` is the end of its reply so far, as plain text."""

    number: int
    state: TurnState
    wake: bool  # no message of the person began it
    text: str
    note: str  # what it waits for, or why it is over
    cell: str  # to which it replies, empty for none


class Wait(Wire, frozen=True, kw_only=True):
    """A time of waiting; it still goes on where it has no end."""

    since: float
    until: float | None


class Card(Wire, frozen=True, kw_only=True):
    """A task as the sidebar shows it. ``progress`` is from 0 to 1; ``held`` counts paused seconds."""

    uid: str
    name: str
    worker: str
    role: str
    tier: str
    model: str
    state: State
    origin: Origin
    deliver: Delivery
    attempt: int
    version: int
    order: int
    dispatched_at: float
    queued_at: float | None
    started_at: float | None
    ended_at: float | None
    paused_at: float | None
    held: float
    lacks: str  # what it waits for besides slots, such as "waits for press"; empty when it lacks nothing else
    waits: tuple[Wait, ...]  # for leases, of the present attempt, in the queue and while it runs; the last 20
    after: tuple[str, ...]  # uids
    cell: str  # id of the dispatching cell, empty when there is none
    result_cell: str  # id of the cell that holds, or will hold, its result; empty when none is due
    progress: float | None
    line: str
    reason: str
    needs_you: str
    question: Question | None
    stopping: bool
    unsandboxed: str  # why nothing confines what a model wrote and it runs; empty where it is none's, or confined
    stage: Stage | None
    pausable: bool
    steerable: bool
    tokens: int | None  # None where unknown
    cost: float | None  # US dollars, None where unknown


class CardLine(Wire, frozen=True, kw_only=True):
    """What the card in a cell's output holds, under CARD_MIME."""

    uid: str
    name: str
    worker: str
    state: State
    line: str


class ArtifactLine(Wire, frozen=True, kw_only=True):
    """A file of a result; ``size`` in bytes."""

    name: str
    mime: str
    size: int


class NewCell(Wire, frozen=True, kw_only=True):
    """A cell to insert, as nbformat has it; ``outputs`` are nbformat outputs, empty for markdown."""

    id: str
    cell_type: Literal["code", "markdown"]
    source: str
    metadata: dict[str, Any]
    outputs: tuple[dict[str, Any], ...] = ()
    trusted: bool = False  # outputs of what the person wrote are trusted like a run of it, nothing else is


# --- what the page says --------------------------------------------------------------------------------------------


class FromPage(msgspec.Struct, frozen=True, tag=True, kw_only=True, forbid_unknown_fields=True):
    """A message on ``up``."""


class FromPageAsked(FromPage, frozen=True, kw_only=True):
    """A message that is answered by :class:`Answer` with the same ``request``."""

    request: str


class Hello(FromPage, frozen=True, kw_only=True):
    """The data of the comm_open on ``up`` (``down`` is opened first, with ``{"client": …}``)."""

    client: str  # one for each browser tab and notebook, kept over a reload; a new hello replaces the older one
    protocol: int
    version: str
    session: str  # the session id with which this page's execute requests come
    path: str  # of the notebook, as the contents API has it
    visible: bool
    down: str  # the id of the other comm: of an opening that came before the extension was there, one half may be heard


class PageChanged(FromPage, frozen=True, kw_only=True):
    """The notebook was renamed, or came to the front or left it."""

    path: str
    visible: bool


class Pong(FromPage, frozen=True, kw_only=True):
    """The answer to :class:`Ping`."""


class Act(FromPageAsked, frozen=True, kw_only=True):
    """The person wants something done to tasks (uids or names); ``all`` is for cancel, pause and resume."""

    action: Literal["cancel", "pause", "resume", "retry", "forget", "approve", "decline"]
    tasks: tuple[str, ...] = ()
    all: bool = False
    ended: bool = False  # with forget: every task that has ended and been shown
    digest: str = ""  # with approve and decline: of the question that was read
    always: bool = False  # with approve: to the same question of that task again as well
    why: str = ""  # with decline


class Steer(FromPageAsked, frozen=True, kw_only=True):
    """A message of the person to one worker."""

    task: str
    text: str


class Compose(FromPageAsked, frozen=True, kw_only=True):
    """What the person wrote into the composer: a message to the master, or a cell that begins with ``%%dispatch``."""

    text: str


class Composing(FromPage, frozen=True, kw_only=True):
    """The person began to type a message (in the composer or a conversation cell), or no longer does."""

    on: bool


class TurnAct(FromPageAsked, frozen=True, kw_only=True):
    """The person wants the master's running turn stopped, or the one that failed to go on."""

    action: Literal["stop", "retry"]


class Watch(FromPage, frozen=True, kw_only=True):
    """A panel of that task is open (or no longer): answered by :class:`Detail`, then :class:`Output` as it comes."""

    task: str
    on: bool = True


class Type(FromPageAsked, frozen=True, kw_only=True):
    """The person types into the terminal of a running attempt, at most 64 kB at once; it may be a password."""

    task: str
    attempt: int
    text: str

    def __repr__(self) -> str:
        """Without what was typed, which no log may hold."""
        return f"Type(request={self.request!r}, task={self.task!r}, attempt={self.attempt})"


class Resize(FromPage, frozen=True, kw_only=True):
    """The terminal of a running attempt is shown in another size, in characters."""

    task: str
    attempt: int
    rows: int
    columns: int


class Fetch(FromPageAsked, frozen=True, kw_only=True):
    """The bytes of an artifact are wanted: they come as :class:`Chunk` messages, and the Answer after them."""

    task: str
    artifact: str


class Claim(FromPage, frozen=True, kw_only=True):
    """An offered result: does this page's document hold it, was it deleted by the person, or can it be inserted?"""

    uid: str
    attempt: int
    standing: Literal["absent", "present", "deleted"]
    anchored: bool  # whether the document holds the dispatching cell (or the cell it is meant for)
    round: int = 0  # that of the offer which this answers


class Ack(FromPage, frozen=True, kw_only=True):
    """The result stands in a saved document (with collaboration: in the shared one)."""

    uid: str
    attempt: int


class Bye(FromPage, frozen=True, kw_only=True):
    """The page goes."""


ToKernel = (
    Hello
    | PageChanged
    | Pong
    | Act
    | Steer
    | Compose
    | Composing
    | TurnAct
    | Watch
    | Type
    | Resize
    | Fetch
    | Claim
    | Ack
    | Bye
)

# --- what the kernel says ------------------------------------------------------------------------------------------


class FromKernel(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """A message on ``down``."""


class Snapshot(FromKernel, frozen=True, kw_only=True):
    """All tasks, in the order of dispatch; the first message to each page, and again when it may have missed one."""

    seq: int  # the next Changes has seq + 1
    protocol: int
    version: str
    now: float
    private: bool  # the journal goes when the kernel ends
    blocked: str  # why the journal can't be written, empty while it can
    workers: tuple[str, ...]
    master: str  # who answers, in one line; empty before it is known
    turn: Turn | None
    leases: LeasePicture
    cards: tuple[Card, ...]


class Changes(FromKernel, frozen=True, kw_only=True):
    """What changed since the message before; at most 20 messages a second leave a kernel for each page."""

    seq: int
    now: float
    blocked: str
    cards: tuple[Card, ...] = ()
    gone: tuple[str, ...] = ()
    master: str | None = None  # when it changed
    turn: Turn | None = None  # when it changed
    leases: LeasePicture | None = None  # when it changed


class Mismatch(FromKernel, frozen=True, kw_only=True):
    """The page's protocol is another: nothing else will be said."""

    protocol: int
    version: str
    message: str


class Answer(FromKernel, frozen=True, kw_only=True):
    """To a request: ``ok`` and the tasks concerned, or ``message`` says in one line why not."""

    request: str
    ok: bool
    message: str = ""
    uids: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


class Problem(FromKernel, frozen=True, kw_only=True):
    """A message of the page was unknown or malformed."""

    message: str


class Detail(FromKernel, frozen=True, kw_only=True):
    """What the panel of a task shows; again at each change of state. ``outputs`` of an ended task are its result's."""

    uid: str
    attempt: int
    brief: str
    story: tuple[Step, ...]
    explanation: str  # why it is where it is, in one line
    notes: tuple[str, ...]
    artifacts: tuple[ArtifactLine, ...]
    trusted: bool
    kind: RESULT_KINDS
    terminal: bool  # it has one: what that shows follows as Terminal, and no Output
    first: int  # index of the first of the outputs that follow: earlier ones are no longer kept
    outputs: tuple[dict[str, Any], ...]


class Output(FromKernel, frozen=True, kw_only=True):
    """More live output of a watched task; ``index`` counts the outputs of the attempt from 0."""

    uid: str
    attempt: int
    index: int
    outputs: tuple[dict[str, Any], ...]


class Terminal(FromKernel, frozen=True, kw_only=True):
    """More of what a watched terminal shows, escape sequences and all; what does not go on from before begins anew."""

    uid: str
    attempt: int
    start: int  # characters that the attempt had put out before this
    end: int  # and with it
    text: str


class Chunk(FromKernel, frozen=True, kw_only=True):
    """A piece of a fetched artifact, base64; ``last`` ends it. ``size`` is that of the whole in bytes."""

    request: str
    offset: int
    size: int
    data: str
    last: bool


class Offer(FromKernel, frozen=True, kw_only=True):
    """A result wants a place. Every live page answers with a Claim; one of them gets the Grant.

    The first time, a page that is alone and shows the dispatching notebook gets the Grant without one.
    """

    uid: str
    attempt: int
    cell: str  # the dispatching cell
    into: str = ""  # the cell that is to become its result cell, empty for a new one
    round: int = 0  # counts the times that it was offered: the Claim says it back
    cohort: str = ""  # the id of the execute request, by which a page may know the cell where the kernel does not


class Grant(FromKernel, frozen=True, kw_only=True):
    """This page inserts the cells (each marked with uid, attempt and part), saves, and sends the Ack.

    Result cells of the same dispatching cell but of another cohort are replaced: one in its place, by name first; when
    ``last`` (nothing of this cohort is left to come) those that remain go, unless the person edited or pinned them.
    """

    uid: str
    attempt: int
    cell: str
    cohort: str
    last: bool
    into: str
    filled: bool  # the cell `into` shows the outputs already: only its mark is missing
    cells: tuple[NewCell, ...]


class Ping(FromKernel, frozen=True, kw_only=True):
    """Is anyone there? A page that does not answer for 30 s is forgotten, and its comms closed."""


ToPage = Snapshot | Changes | Mismatch | Answer | Problem | Detail | Output | Terminal | Chunk | Offer | Grant | Ping


def read(data: object) -> ToKernel:
    """The message of a page from the plain data of a comm message.

    Raises
    ------
    msgspec.ValidationError
        When it is none of this version.
    """
    message: ToKernel = msgspec.convert(data, ToKernel)
    return message


def write(message: ToPage) -> dict[str, Any]:
    """The plain data of a comm message."""
    data: dict[str, Any] = msgspec.to_builtins(message)
    return data
