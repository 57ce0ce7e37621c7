"""Puts a reply together from a stream's events and keeps it within bounds; each wire adds how its events are read."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from .usage import read_usage
from .values import Call, Item, Reply, Request

TEXT_LIMIT = 256 * 1024  # bytes of text, and of the arguments of all calls
MOST_CALLS = 64


class Reading:
    """What a stream has said so far.

    Attributes
    ----------
    complete : bool
        Whether the event that ends a reply has come.
    cut : str
        Why the reply is not whole; also what bound it has passed.
    full : bool
        Whether it has passed a bound: whoever reads stops.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.complete = False
        self.cut = ""
        self.full = False
        self.raw_usage: Any = None
        self._text: list[str] = []
        self._room = self._room_for_arguments = TEXT_LIMIT

    def take(self, event: Any) -> str:
        """Read one event; the text that it adds. Raises ModelError for one that ends the stream badly."""
        raise NotImplementedError

    def items(self) -> list[Item]:
        """What has come, as items that can be sent again."""
        raise NotImplementedError

    def reply(self) -> Reply:
        """What has come, as the last event of a stream."""
        items = self._bounded(self.items())
        calls = tuple(Call(i["call_id"], i["name"], i["arguments"]) for i in items if i["type"] == "function_call")
        usage = read_usage(self.raw_usage, self.request, items)
        return Reply(tuple(items), "".join(self._text), calls, usage, self.request.model, self.cut)

    def _add_text(self, text: Any) -> str:
        """Keep a piece of text as far as there is room."""
        piece = encodable(text) if isinstance(text, str) else ""
        size = len(piece.encode())
        if size > self._room:
            self._stop(f"longer than {TEXT_LIMIT // 1024} kB")
            piece = piece.encode()[: self._room].decode(errors="ignore")
        self._room -= min(size, self._room)
        self._text.append(piece)
        return piece

    def _count_call(self, calls: int) -> None:
        if calls > MOST_CALLS:
            self._stop(f"more than {MOST_CALLS} calls")

    def _count_arguments(self, piece: str) -> None:
        self._room_for_arguments -= len(piece)
        if self._room_for_arguments < 0:
            self._stop(f"arguments longer than {TEXT_LIMIT // 1024} kB")

    def _stop(self, why: str) -> None:
        self.cut, self.full = why, True

    def _bounded(self, items: list[Item]) -> list[Item]:
        """The items with no more than a reply may hold: some endpoints say at the end what they did not stream."""
        kept: list[Item] = []
        room, calls = TEXT_LIMIT, 0
        for item in items:
            if item["type"] == "function_call":
                calls += 1
                if calls > MOST_CALLS:
                    continue
                item = {**item, "arguments": encodable(item["arguments"][:TEXT_LIMIT])}
            elif item["type"] == "message":
                text = text_of(item["content"]).encode("utf-8", "replace")[:room].decode(errors="ignore")
                room -= len(text.encode())
                item = message(text)
            kept.append(item)
        return kept


def message(text: str) -> Item:
    """What the assistant said, as an item."""
    return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}


def function_call(call_id: Any, name: Any, arguments: Any, seen: set[str]) -> Item:
    """A call as an item, under an id that no other call of the reply has."""
    if not isinstance(call_id, str) or not call_id or call_id in seen:
        call_id = f"call_{uuid4().hex[:16]}"
    seen.add(call_id)
    arguments = arguments if isinstance(arguments, str) else ""
    return {"type": "function_call", "call_id": call_id, "name": encodable(str(name)), "arguments": arguments}


def encodable(text: str) -> str:
    """`text` without halves of surrogate pairs, which no UTF-8 can hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def text_of(content: Any) -> str:
    """The text of an item's content or output, which is a string or a list of parts."""
    if isinstance(content, str):
        return content
    return "".join(str(part.get("text") or part.get("refusal") or "") for part in content or ())
