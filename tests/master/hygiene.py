"""What a request to a model may hold: an allow-list of keys, roles and kinds, and no canary."""

from __future__ import annotations

import json
from typing import Any

from house import CANARIES, House
from shapes import inboxes

from jupyter_orchestra.master.envelope import LIMIT, compact
from jupyter_orchestra.master.inbox import COLLECT
from jupyter_orchestra.master.tools import TYPES
from jupyter_orchestra.testing.model_server import SeenRequest

RESPONSES = {"model", "instructions", "input", "stream", "store", "tools"}
CHAT = {"model", "messages", "stream", "stream_options", "tools"}
ITEMS = {
    "message": {"type", "role", "content"},
    "function_call": {"type", "call_id", "name", "arguments"},
    "function_call_output": {"type", "call_id", "output"},
}
MESSAGES = {
    "system": {"role", "content"},
    "user": {"role", "content"},
    "assistant": {"role", "content", "tool_calls"},
    "tool": {"role", "tool_call_id", "content"},
}
INBOX = {"note", "results", "unfinished", "more_unfinished", "cells_the_person_ran", "earlier_cells"}
RESULT = {
    "task", "handle", "state", "worker", "seconds", "headline", "summary", "printed", "value", "variables", "error",
    "skipped", "artifacts", "notes", "tokens", "from", "person_talked_to_it", "stale",
}  # fmt: skip
STATES = {"waiting", "queued", "running", "paused", "done", "failed", "cancelled", "lost"}


def check_request(house: House, seen: SeenRequest) -> None:
    """One request, whole."""
    (_check_responses if seen.wire == "responses" else _check_chat)(seen.body)
    for inbox in inboxes(seen.items):
        check_inbox(inbox)
    check_canaries(json.dumps(seen.body, ensure_ascii=False), house)


def check_inbox(content: dict[str, Any]) -> None:
    """What the notebook tells of itself."""
    assert set(content) <= INBOX
    for result in content.get("results", ()):
        assert set(result) <= RESULT, result
        assert len(compact(result).encode()) <= LIMIT
    for task in content.get("unfinished", ()):
        assert set(task) == {"task", "state"}
        assert task["state"] in STATES
    for cell in content.get("cells_the_person_ran", ()):
        assert set(cell) <= {"cell", "source", "output"}


def check_canaries(text: str, house: House) -> None:
    """Nothing of how the notebook does its work."""
    tasks = house.runtime.machine.tasks
    secrets = {*CANARIES, str(house.folder), *tasks, *(task.spec.cohort for task in tasks.values())}
    secrets |= {message.uid for turn in house.talk.turns for message in turn.messages}
    secrets |= {turn.uid for turn in house.talk.turns}
    for secret in filter(None, secrets):
        assert secret not in text, f"{secret} is in a request"


def _check_responses(body: dict[str, Any]) -> None:
    assert set(body) - {"max_output_tokens"} == RESPONSES  # which a budget adds
    assert (body["stream"], body["store"]) == (True, False)
    for item in body["input"]:
        assert set(item) == ITEMS[item["type"]], item
        if item["type"] == "message":
            assert item["role"] in ("user", "assistant", "developer")
            kind = "output_text" if item["role"] == "assistant" else "input_text"
            assert all(set(part) == {"type", "text"} and part["type"] == kind for part in item["content"]), item
    assert [tool["name"] for tool in body["tools"]] == list(TYPES)


def _check_chat(body: dict[str, Any]) -> None:
    assert set(body) - {"max_tokens"} == CHAT  # which a budget adds
    for index, message in enumerate(body["messages"]):
        assert set(message) <= MESSAGES[message["role"]], message
        assert (message["role"] != "system") or index == 0 or COLLECT not in message["content"]
        for call in message.get("tool_calls", ()):
            assert set(call) == {"id", "type", "function"}
            assert set(call["function"]) == {"name", "arguments"}
    assert [tool["function"]["name"] for tool in body["tools"]] == list(TYPES)
