"""What a reply used: by the endpoint's own figures, or an estimate; its cost only where the price is known."""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib import import_module
from typing import Any

import msgspec

from .values import Item, ModelUsage, Request, ToolSpec


def estimate_tokens(value: Any) -> int:
    """About how many tokens a text, or a value as JSON, is: a quarter of its bytes."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=msgspec.to_builtins)
    return (len(text.encode("utf-8", "replace")) + 3) // 4


def estimate_request(instructions: str, items: Iterable[Item], tools: Iterable[ToolSpec] = ()) -> int:
    """About how many tokens a request is."""
    return estimate_tokens(instructions) + estimate_tokens(list(items)) + estimate_tokens(list(tools))


def most_tokens(value: Any) -> int:
    """More tokens than a text, or a value as JSON, is likely to be with any tokenizer.

    Letters and spaces come to two bytes a token at the least, in any language's words; each digit, sign and byte beyond
    ASCII may be a token of its own. Only text that is no text, such as random letters, is ever more.
    """
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=msgspec.to_builtins)
    data = text.encode("utf-8", "replace")
    others = len(data.translate(None, _WORDS))
    return others + (len(data) - others + 1) // 2


_WORDS = b" \nabcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
INCREDIBLE = 10**12  # tokens of one request: whoever says more is not believed, as sums of it are kept in 64 bits
MARGIN = 64  # tokens that a wire puts around a request


class Meter:
    """Says beforehand how many tokens a request of one conversation is at most.

    What was sent before needs no guess: the endpoint has said how many tokens it was.
    """

    def __init__(self) -> None:
        self._last: Request | None = None
        self.last = 0  # tokens of the last request

    def most(self, request: Request) -> int:
        """At most so many."""
        last = self._last
        if last is not None and _begins_with(request, last):
            return self.last + most_tokens(list(request.items[len(last.items) :])) + MARGIN
        tools = most_tokens(list(request.tools)) if request.tools else 0
        return most_tokens(request.instructions) + most_tokens(list(request.items)) + tools + MARGIN

    def learn(self, request: Request, usage: ModelUsage) -> None:
        """It was so many."""
        if usage.tokens_in:
            self._last, self.last = request, usage.tokens_in


def _begins_with(request: Request, last: Request) -> bool:
    head = last.instructions, last.tools, last.model
    same = head == (request.instructions, request.tools, request.model)
    return same and request.items[: len(last.items)] == last.items


def read_usage(raw: Any, request: Request, items: list[Item]) -> ModelUsage:
    """The ``usage`` of either wire; where it is missing, an estimate."""
    if not isinstance(raw, dict):
        asked = estimate_request(request.instructions, request.items, request.tools)
        return ModelUsage(tokens_in=asked, tokens_out=estimate_tokens(items) if items else 0)
    details_in = raw.get("input_tokens_details") or raw.get("prompt_tokens_details")
    details_out = raw.get("output_tokens_details") or raw.get("completion_tokens_details")
    return ModelUsage(
        tokens_in=_count(raw, "input_tokens") or _count(raw, "prompt_tokens"),
        cached=_count(details_in, "cached_tokens"),
        tokens_out=_count(raw, "output_tokens") or _count(raw, "completion_tokens"),
        reasoning=_count(details_out, "reasoning_tokens"),
    )


def _count(raw: Any, name: str) -> int:
    value = raw.get(name) if isinstance(raw, dict) else None
    return min(max(0, value), INCREDIBLE) if isinstance(value, int) else 0


class Prices:
    """What tokens cost at one URL, by ``genai-prices`` where that is installed; no request is made for it."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._library: Any = None

    def load(self) -> None:
        """Import the library, which takes half a second: for a thread, not for the loop."""
        try:
            self._library = import_module("genai_prices")
        except ImportError:
            return
        self.add_cost(ModelUsage(1, 0, 1), "gpt-4o")  # the first look-up reads the tables

    def add_cost(self, usage: ModelUsage, model: str) -> ModelUsage:
        """`usage` with its cost; as it is where the library or the model is not known."""
        if self._library is None:
            return usage
        tokens = self._library.Usage(
            input_tokens=usage.tokens_in, cache_read_tokens=usage.cached, output_tokens=usage.tokens_out
        )
        try:
            price = self._library.calc_price(tokens, model, provider_api_url=self._base_url)
        except (LookupError, ValueError):
            return usage
        return msgspec.structs.replace(usage, cost=float(price.total_price))
