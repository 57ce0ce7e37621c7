"""Sums up the oldest part of a log that has grown too long for a model's window; it asks no model."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ..models.values import Item
from .envelope import clip

FULL = 0.7  # of the window: then the oldest part is summed up
LEFT = 0.35  # of the window: what stays
TURN_SAID = 400  # bytes of each message that the sum repeats
SUM = 12_000  # bytes of the sum, its newest part; never more than a quarter of the window
HEAD = "Earlier parts of this conversation, summed up by the notebook (whole results: read_result):"


def tokens(items: Sequence[Item]) -> int:
    """About how many tokens items take: bytes / 4."""
    return sum(len(json.dumps(item, ensure_ascii=False).encode("utf-8", "replace")) for item in items) // 4


def fold_point(items: Sequence[Item], window: int, before: int, whole: bool = False) -> int:
    """How many of the first items are to be summed up, 0 for none.

    The cut lies where the person speaks or an inbox comes, hence never between a call and its answer.

    Parameters
    ----------
    before
        Tokens of all that goes with them.
    whole
        Whether all of them may be: the person speaks, or an inbox comes, right behind them.
    """
    sizes = [tokens([item]) for item in items]
    total = before + sum(sizes)
    if total <= window * FULL:
        return 0
    cut = 0
    for index in range(1, len(items) + whole):
        total -= sizes[index - 1]
        # An inbox belongs to the message behind it.
        if (index == len(items) or is_begin(items[index])) and not is_inbox(items[index - 1]):
            cut = index
            if total <= window * LEFT:
                break
    return cut


def is_inbox(item: Item) -> bool:
    return item.get("type") == "inbox"


def is_begin(item: Item) -> bool:
    """Whether a turn may begin here: the person speaks, or an inbox comes."""
    return is_inbox(item) or (item.get("type") == "message" and item.get("role") == "user")


def summed_up(summary: str, items: Sequence[Item], window: int) -> str:
    """A longer sum: the one so far, then what these items said, each in a line."""
    most = min(SUM, window)
    lines = [summary.removeprefix(HEAD).strip()] if summary else []
    for item in items:
        lines += _lines(item)
    text = "\n".join(line for line in lines if line)
    data = text.encode()
    if len(data) > most:
        text = "…" + data[-most:].decode(errors="ignore")
    return f"{HEAD}\n{text}"


def summary_item(summary: str) -> Item:
    """The sum as the log's first item in a model's view."""
    return {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": summary}]}


def _lines(item: Item) -> list[str]:
    if is_inbox(item):
        results = item["content"].get("results", [])
        return [f"result: {clip(json.dumps(result, ensure_ascii=False), TURN_SAID)}" for result in results]
    if item.get("type") == "message":
        text = " ".join(str(part.get("text", "")) for part in item.get("content", ()) if isinstance(part, dict))
        who = {"user": "the person", "assistant": "you"}.get(str(item.get("role")), "the notebook")
        return [f"{who}: {clip(text, TURN_SAID)}"]
    if item.get("type") == "function_call":
        return [f"you called {item.get('name')}: {clip(str(item.get('arguments', '')), TURN_SAID // 2)}"]
    return []
