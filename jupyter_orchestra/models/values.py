"""What is asked of a model and what it answers; it knows no endpoint and no wire but the shape of its items."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol, runtime_checkable

import msgspec

Item = dict[str, Any]  # of the Responses wire, as plain JSON: message, function_call, function_call_output, reasoning


class ToolSpec(msgspec.Struct, frozen=True):
    """A tool that the model may call. ``parameters``: a strict JSON schema (all required, nothing additional)."""

    name: str
    description: str
    parameters: dict[str, Any]


class Call(msgspec.Struct, frozen=True):
    """One call of a tool. ``arguments`` is what the model wrote, which may be broken JSON."""

    call_id: str
    name: str
    arguments: str


class ModelUsage(msgspec.Struct, frozen=True):
    """Tokens of one reply by the endpoint's own figures, an estimate where it gives none; cost in USD where known."""

    tokens_in: int = 0
    cached: int = 0
    tokens_out: int = 0
    reasoning: int = 0
    cost: float | None = None


class Request(msgspec.Struct, frozen=True):
    """One request, complete: nothing is kept at the endpoint. ``max_tokens`` 0: the endpoint's own limit."""

    instructions: str
    items: tuple[Item, ...]
    tools: tuple[ToolSpec, ...]
    model: str
    max_tokens: int = 0


class TextDelta(msgspec.Struct, frozen=True):
    """The next piece of the text."""

    text: str


class Waiting(msgspec.Struct, frozen=True):
    """Nothing comes for now, and why: the next try, or the end of patience, is due in so many seconds."""

    seconds: float
    reason: str
    trouble: str = ""  # kind of the ModelError that a try has failed with; empty while the first one still waits


class Reply(msgspec.Struct, frozen=True):
    """The last event of a stream. ``cut``: why the reply is incomplete, empty when it is complete."""

    items: tuple[Item, ...]
    text: str
    calls: tuple[Call, ...]
    usage: ModelUsage
    model: str
    cut: str = ""


StreamEvent = TextDelta | Waiting | Reply


@runtime_checkable
class Priced(Protocol):
    """A model that knows what it costs."""

    async def cost(self, usage: ModelUsage, model: str) -> float | None:
        """What that many tokens cost in USD; 0 on this machine, None where nobody knows."""
        ...


class Model(Protocol):
    """Whoever answers requests."""

    def stream(self, request: Request) -> AsyncIterator[StreamEvent]:
        """The answer as it comes: ends with exactly one Reply, or raises ModelError."""
        ...
