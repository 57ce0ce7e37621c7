"""Compares the planner with `golden/rules.txt`; run as a program it writes the answers anew, to be read before use."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from jupyter_orchestra.master.inbox import inbox_item, output_item, user_item, view
from jupyter_orchestra.master.prompt import INSTRUCTIONS
from jupyter_orchestra.master.rules import RulesPlanner
from jupyter_orchestra.master.tools import TOOLS
from jupyter_orchestra.models.values import Item, Reply, Request, TextDelta

GOLDEN = Path(__file__).parent / "golden" / "rules.txt"
SPOKEN = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "said before"}]}


def cases() -> dict[str, list[str]]:
    """The lines of each case by its title."""
    _, *parts = GOLDEN.read_text("utf-8").split("\n== ")
    return {part.split("\n")[0]: part.split("\n")[1:] for part in parts}


def given(line: str) -> bool:
    return line == "< (said before)" or not line.startswith("<")


def log_of(lines: list[str]) -> list[Item]:
    """The log that a case describes, an inbox before what was said."""
    items: list[Item] = []
    content: dict[str, Any] = {}
    said: list[str] = []
    for n, line in enumerate(lines):
        kind, _, rest = line.partition(" ")
        if kind == "tasks:":
            pairs = [pair.split(" ") for pair in rest.split(", ")]
            content["unfinished"] = [{"task": name, "state": state} for name, state in pairs]
        elif kind == "result:":
            content.setdefault("results", []).append(json.loads(rest))
        elif kind == "call:":
            asked, _, answer = rest.partition(" => ")
            name, _, arguments = asked.partition(" ")
            items += [
                {"type": "function_call", "call_id": f"c{n}", "name": name, "arguments": arguments},
                output_item(f"c{n}", answer),
            ]
        elif line == "< (said before)":
            items += [inbox_of(content.pop("results"), n), SPOKEN]
        elif kind == ">":
            said.append(rest)
    if content:
        items.append(inbox_of(content.pop("results", []), 0, content))
    return [*items, *(user_item(text.strip("\n")) for text in "\n".join(said).split("\n==\n") if text)]


def inbox_of(results: list[dict[str, Any]], n: int, more: dict[str, Any] | None = None) -> Item:
    item = inbox_item(f"in_{n}", results)
    item["content"].update(more or {})
    return item


async def ask(items: tuple[Item, ...]) -> tuple[list[str], Reply]:
    """The pieces that streamed, and the reply."""
    *pieces, reply = [event async for event in RulesPlanner().stream(Request(INSTRUCTIONS, items, TOOLS, ""))]
    assert isinstance(reply, Reply)
    return [piece.text for piece in pieces if isinstance(piece, TextDelta)], reply


def reply_to(items: tuple[Item, ...]) -> Reply:
    return asyncio.run(ask(items))[1]


def answer(lines: list[str]) -> list[str]:
    reply = reply_to(view(log_of(lines), "pair"))
    return [
        *(f"< {line}".rstrip() for line in reply.text.split("\n") if reply.text),
        *(f"< {call.name} {call.arguments}" for call in reply.calls),
    ]


@pytest.mark.parametrize("title", cases())
def test_the_planner_answers_as_written(title: str) -> None:
    lines = cases()[title]
    assert answer(lines) == [line for line in lines if not given(line)]


def write_anew() -> None:
    head = GOLDEN.read_text("utf-8").split("\n== ")[0]
    parts = [head.rstrip("\n")]
    for title, lines in cases().items():
        kept = [line for line in lines if given(line) and line.strip()]
        parts.append("\n".join([f"== {title}", *kept, *answer(lines)]))
    GOLDEN.write_text("\n\n".join(parts) + "\n", "utf-8")


if __name__ == "__main__":
    write_anew()
