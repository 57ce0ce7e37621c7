"""A scripted answer as the events of either wire; it opens no socket and reads no script."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

from ..models.values import ModelUsage
from .model_script import Step

Event = dict[str, Any]
_ids = itertools.count(1)
_PIECE = 2000  # characters that one event brings at most


def tokens_of(text: str) -> list[str]:
    """The pieces in which a text is streamed; together they are the text."""
    words = re.findall(r"\S+\s*|\s+", text)
    return [word[at : at + _PIECE] for word in words for at in range(0, len(word), _PIECE)]


def responses_events(steps: list[Step], model: str, usage: ModelUsage) -> Iterator[tuple[Event, bool]]:
    """Each event, and whether it is a token."""
    response: Event = {
        "id": _new("resp"),
        "object": "response",
        "created_at": 0,
        "model": model,
        "status": "in_progress",
        "output": [],
        "error": None,
        "incomplete_details": None,
    }
    sequence = itertools.count()

    def event(kind: str, **fields: Any) -> Event:
        return {"type": kind, "sequence_number": next(sequence), **fields}

    yield event("response.created", response=response), False
    output: list[Event] = []
    for kind, what in _parts(steps):
        at = {"output_index": len(output), "item_id": _new("item")}
        item: Event = {"id": at["item_id"], "type": kind, "status": "in_progress"}
        if kind == "message":
            item |= {"role": "assistant", "content": []}
            part = {"type": "output_text", "text": what, "annotations": []}
            yield event("response.output_item.added", output_index=len(output), item=item), False
            yield event("response.content_part.added", content_index=0, part={**part, "text": ""}, **at), False
            for token in tokens_of(what):
                yield event("response.output_text.delta", content_index=0, delta=token, **at), True
            yield event("response.output_text.done", content_index=0, text=what, **at), False
            yield event("response.content_part.done", content_index=0, part=part, **at), False
            item = {**item, "content": [part]}
        else:
            item |= {"call_id": _new("call"), "name": what.name, "arguments": ""}
            yield event("response.output_item.added", output_index=len(output), item=item), False
            for piece in _pieces(what.text):
                yield event("response.function_call_arguments.delta", delta=piece, **at), True
            yield event("response.function_call_arguments.done", arguments=what.text, **at), False
            item = {**item, "arguments": what.text}
        item = {**item, "status": "completed"}
        yield event("response.output_item.done", output_index=len(output), item=item), False
        output.append(item)
    figures = {
        "input_tokens": usage.tokens_in,
        "input_tokens_details": {"cached_tokens": usage.cached},
        "output_tokens": usage.tokens_out,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.tokens_in + usage.tokens_out,
    }
    yield (
        event("response.completed", response={**response, "status": "completed", "output": output, "usage": figures}),
        False,
    )


def chat_events(steps: list[Step], model: str, usage: ModelUsage) -> Iterator[tuple[Event, bool]]:
    """Each event, and whether it is a token."""
    head = {"id": _new("chatcmpl"), "object": "chat.completion.chunk", "created": 0, "model": model}

    def chunk(delta: Event, finish: str | None = None) -> Event:
        return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    yield chunk({"role": "assistant", "content": ""}), False
    calls = 0
    for kind, what in _parts(steps):
        if kind == "message":
            for token in tokens_of(what):
                yield chunk({"content": token}), True
            continue
        function = {"name": what.name, "arguments": ""}
        call = {"index": calls, "id": _new("call"), "type": "function", "function": function}
        yield chunk({"tool_calls": [call]}), False
        for piece in _pieces(what.text):
            yield chunk({"tool_calls": [{"index": calls, "function": {"arguments": piece}}]}), True
        calls += 1
    yield chunk({}, "tool_calls" if calls else "stop"), False
    yield {**head, "choices": [], "usage": _chat_usage(usage)}, False


def responses_whole(steps: list[Step], model: str, usage: ModelUsage) -> Event:
    """The answer to a request that does not stream."""
    *_, (last, _token) = responses_events(steps, model, usage)
    return dict(last["response"])


def chat_whole(steps: list[Step], model: str, usage: ModelUsage) -> Event:
    """The same on the other wire."""
    parts = list(_parts(steps))
    message: Event = {
        "role": "assistant",
        "content": "".join(what for kind, what in parts if kind == "message") or None,
    }
    calls = [
        {"id": _new("call"), "type": "function", "function": {"name": what.name, "arguments": what.text}}
        for kind, what in parts
        if kind == "function_call"
    ]
    if calls:
        message["tool_calls"] = calls
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}
    head = {"id": _new("chatcmpl"), "object": "chat.completion", "created": 0, "model": model}
    return {**head, "choices": [choice], "usage": _chat_usage(usage)}


def _parts(steps: list[Step]) -> Iterator[tuple[str, Any]]:
    for step in steps:
        if step.say:
            yield "message", step.say
        for call in step.call:
            yield "function_call", call


def _pieces(text: str) -> list[str]:
    size = max(20, len(text) // 50)
    return [text[at : at + size] for at in range(0, len(text), size)]


def _chat_usage(usage: ModelUsage) -> Event:
    return {
        "prompt_tokens": usage.tokens_in,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
        "completion_tokens": usage.tokens_out,
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.tokens_in + usage.tokens_out,
    }


def _new(prefix: str) -> str:
    return f"{prefix}_{next(_ids)}"
