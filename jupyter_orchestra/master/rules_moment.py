"""What the rules planner looks at: what the log says since its last words; it decides nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from ..models.values import Item
from .inbox import COLLECT, collected, is_tagged

Answer = tuple[str, str, str]  # a call's tool, arguments and output


class Moment(msgspec.Struct, frozen=True):
    """What is new, and the tasks that are known by name."""

    said: tuple[str, ...] = ()  # by the person, and not yet acted on
    results: tuple[dict[str, Any], ...] = ()
    answers: tuple[Answer, ...] = ()  # to own calls
    unfinished: dict[str, str] = {}  # name -> state
    more: int = 0  # unfinished ones that were not named
    ended: dict[str, dict[str, Any]] = {}  # name -> its newest result, of the whole log


def read_moment(items: Sequence[Item]) -> Moment:
    """What has come in since the planner last spoke or called; what stands in an inbox is never taken for speech."""
    spoke = max((n for n, item in enumerate(items) if _role(item) == "assistant"), default=-1)
    called = max((n for n, item in enumerate(items) if _is_own_call(item)), default=-1)
    calls = {str(item.get("call_id")): item for item in items if item.get("type") == "function_call"}
    said: list[str] = []
    answers: list[Answer] = []
    news: list[dict[str, Any]] = []
    ended: dict[str, dict[str, Any]] = {}
    roster: dict[str, Any] = {}
    for n, item in enumerate(items):
        if n > max(spoke, called) and _role(item) == "user" and not is_tagged(text := words(item)):
            said.append(text)
        if item.get("type") != "function_call_output":
            continue
        call = calls.get(str(item.get("call_id")), {})
        content = collected(call, item)
        if content is not None:
            results = [result for result in _list(content.get("results")) if isinstance(result.get("task"), str)]
            ended.update((result["task"], result) for result in results)
            if n > spoke:
                news += results
                roster = content if "unfinished" in content else roster
        elif n > spoke and _is_own_call(call):
            answers.append((str(call.get("name")), str(call.get("arguments")), str(item.get("output"))))
    return Moment(
        tuple(said),
        tuple(news),
        tuple(answers),
        _names(roster.get("unfinished")),
        more if isinstance(more := roster.get("more_unfinished", 0), int) else 0,
        ended,
    )


def words(item: Item) -> str:
    """The text of a message."""
    content = item.get("content")
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text", "")) for part in _list(content))


def loads(text: str) -> dict[str, Any]:
    """A JSON object; empty when it is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _role(item: Item) -> str:
    return str(item.get("role")) if item.get("type") == "message" else ""


def _is_own_call(item: Item) -> bool:
    return item.get("type") == "function_call" and item.get("name") != COLLECT


def _list(value: Any) -> list[dict[str, Any]]:
    return [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []


def _names(lines: Any) -> dict[str, str]:
    return {line["task"]: str(line.get("state")) for line in _list(lines) if isinstance(line.get("task"), str)}
