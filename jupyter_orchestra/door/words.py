"""What a program outside and the door say to each other, and how it is framed; it knows no socket.

A frame is four bytes, the length of what follows (big-endian), and one message as JSON. A program says :class:`Hello`
first and is answered by :class:`Welcome`; then it may want one thing after another. Times are POSIX seconds by the
kernel's clock.
"""

from __future__ import annotations

import struct

import msgspec

from ..core import events as e
from ..core.wire import Card

PROTOCOL = 1  # raised when a door and a program of different versions would misunderstand each other
LIMIT = 1 << 20  # bytes of one message, in either direction
HEAD = struct.Struct(">I")

AskedEvent = e.CancelAsked | e.PauseAsked | e.ResumeAsked | e.RetryAsked | e.ApproveAsked | e.DeclineAsked


class BadFrame(ValueError):
    """No message: where the next one begins is not known."""


class BadMessage(ValueError):
    """No message of this version; the next one may be."""


class Said(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """A message of a program."""


class Hello(Said, frozen=True, kw_only=True):
    """Who speaks, and by what right."""

    protocol: int
    token: str


class Want(Said, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that is answered under the same ``request``."""

    request: str


class Ask(Want, frozen=True, kw_only=True):
    """Something is to be done to tasks: answered by Accepted or Refused. The door sets its ``at`` and ``request``."""

    event: AskedEvent


class Tasks(Want, frozen=True, kw_only=True):
    """All tasks are wanted: they come as :class:`Cards`, of which the last one says so."""


class Watch(Want, frozen=True, kw_only=True):
    """The same, and then every change until the program goes; nothing else can be wanted on that connection."""


class Explain(Want, frozen=True, kw_only=True):
    """Why a task is where it is: answered by :class:`Lines`."""

    name: str


class Leases(Want, frozen=True, kw_only=True):
    """Who holds what, and who waits for it: answered by :class:`Lines`."""


ToDoor = Hello | Ask | Tasks | Watch | Explain | Leases


class FromDoor(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """A message of the door."""


class Welcome(FromDoor, frozen=True, kw_only=True):
    """The program is known, and may do this."""

    protocol: int
    version: str
    notebook: str  # path, empty when the kernel knows none
    allows: tuple[str, ...]
    task: str  # uid of the only task that it may act on; empty: any


class Cards(FromDoor, frozen=True, kw_only=True):
    """Some tasks; ``last`` ends a list, or a batch of changes."""

    request: str
    now: float
    blocked: str  # why the journal can't be written, empty while it can
    cards: tuple[Card, ...]
    gone: tuple[str, ...] = ()  # uids of forgotten tasks
    last: bool = False


class Lines(FromDoor, frozen=True, kw_only=True):
    """An answer in words."""

    request: str
    lines: tuple[str, ...]


class Problem(FromDoor, frozen=True, kw_only=True):
    """A message was not understood, or could not be answered; ``request`` is empty when it has none."""

    message: str
    request: str = ""


Answer = Welcome | Cards | Lines | Problem | e.Accepted | e.Refused

_encoder = msgspec.json.Encoder()
_said: msgspec.json.Decoder[ToDoor] = msgspec.json.Decoder(ToDoor)
_answers: msgspec.json.Decoder[Answer] = msgspec.json.Decoder(Answer)


def frame(message: Said | FromDoor | e.Command) -> bytes:
    """A message as it goes over the socket. Raises BadFrame for one that is too long."""
    body = _encoder.encode(message)
    if len(body) > LIMIT:
        raise BadFrame(f"a message has at most {LIMIT} bytes, this one has {len(body)}")
    return HEAD.pack(len(body)) + body


def answer_to(request: str, answer: e.Answer) -> e.Answer:
    """What the machine said, under the program's own request."""
    return msgspec.structs.replace(answer, request=request)


def length(head: bytes) -> int:
    """How many bytes follow. Raises BadFrame when that is more than a message may have."""
    (size,) = HEAD.unpack(head)
    if size > LIMIT:
        raise BadFrame(f"a message has at most {LIMIT} bytes, not {size}")
    return int(size)


def read_said(body: bytes) -> ToDoor:
    """The message of a program. Raises BadMessage."""
    try:
        return _said.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadMessage(f"this is no message of this version: {error}") from None


def read_answer(body: bytes) -> Answer:
    """The message of a door. Raises BadMessage."""
    try:
        return _answers.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadMessage(f"this is no answer of this version: {error}") from None
