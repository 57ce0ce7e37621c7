"""How a request reads in short, and what must hold of every one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from jupyter_orchestra.master.inbox import COLLECT, is_tagged
from jupyter_orchestra.models.reading import text_of
from jupyter_orchestra.models.values import Item


def shape(items: Iterable[Item]) -> list[str]:
    """Each item in a few words; an inbox, in whatever form, names its results."""
    found: list[str] = []
    names: dict[str, str] = {}
    for item in items:
        match item["type"]:
            case "message":
                found.append(_said(item["role"], text_of(item["content"])))
            case "function_call":
                names[item["call_id"]] = item["name"]
                if item["name"] != COLLECT:
                    found.append(f"call {item['name']}")
            case "function_call_output" if names[item["call_id"]] == COLLECT:
                found.append(_inbox("inbox", json.loads(text_of(item["output"]))))
            case "function_call_output":
                found.append(f"output {names[item['call_id']]}")
            case other:
                found.append(str(other))
    return found


def inboxes(items: Iterable[Item]) -> list[dict[str, Any]]:
    """The contents of all inboxes."""
    found = []
    for item in items:
        if item["type"] == "function_call_output" and item["call_id"].startswith("inbox_"):
            found.append(json.loads(text_of(item["output"])))
        elif item["type"] == "message":
            text = text_of(item["content"])
            if is_tagged(text):
                found.append(json.loads(text.splitlines()[2]))
    return found


def results(items: Iterable[Item]) -> list[str]:
    """The names of all results in it, in order."""
    return [result["task"] for inbox in inboxes(items) for result in inbox.get("results", ())]


def _said(role: str, text: str) -> str:
    if is_tagged(text):
        form = "tagged" if role == "user" else "developer"
        return _inbox(form, json.loads(text.splitlines()[2]))
    return {"user": "person", "assistant": "master"}.get(role, role) + f": {text}"


def _inbox(form: str, content: dict[str, Any]) -> str:
    parts = [form, *(result["task"] for result in content.get("results", ()))]
    if "unfinished" in content:
        parts.append("+ " + ",".join(task["task"] for task in content["unfinished"]))
    return " ".join(parts)


def plain_items(items: Iterable[Item]) -> list[tuple[str, ...]]:
    """Items as both wires have them, to be compared."""
    found: list[tuple[str, ...]] = []
    for item in items:
        match item["type"]:
            case "message":
                role = "system" if item["role"] == "developer" else str(item["role"])
                found.append(("message", role, text_of(item["content"])))
            case "function_call":
                found.append(("call", item["call_id"], item["name"], item["arguments"]))
            case "function_call_output":
                found.append(("output", item["call_id"], text_of(item["output"])))
    return found


def check_pairs(items: Sequence[Item]) -> None:
    """Each call is followed by its one output before anybody speaks again, and each output has its call."""
    open_calls: list[str] = []
    for item in items:
        match item["type"]:
            case "function_call":
                open_calls.append(item["call_id"])
            case "function_call_output":
                assert item["call_id"] in open_calls, f"an output without its call: {item}"
                open_calls.remove(item["call_id"])
            case "message":
                assert not open_calls or item["role"] == "assistant", f"not answered: {open_calls}"
    assert not open_calls, f"not answered: {open_calls}"
