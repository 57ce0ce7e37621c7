"""The Chat Completions wire: items as messages and back; it opens no connection."""

from __future__ import annotations

from typing import Any

from .endpoint import Endpoint
from .failures import from_event
from .reading import Reading, function_call, message, text_of
from .values import Item, Request

PATH = "/chat/completions"
FINISHES = {"length": "output limit", "content_filter": "content filter"}


def body_of(request: Request, endpoint: Endpoint) -> dict[str, Any]:
    """The body of the POST."""
    body: dict[str, Any] = {
        "model": request.model,
        "messages": messages_of(request.instructions, request.items, endpoint),
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if request.tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.parameters,
                    "strict": True,
                },
            }
            for tool in request.tools
        ]
    if request.max_tokens:
        body["max_completion_tokens" if endpoint.is_openai else "max_tokens"] = request.max_tokens
    return body


def messages_of(instructions: str, items: tuple[Item, ...], endpoint: Endpoint) -> list[dict[str, Any]]:
    """The conversation as messages; what the assistant says and calls in one go is one message."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": instructions}] if instructions else []
    for item in items:
        match item.get("type", "message"):
            case "message":
                role = item["role"]
                if role == "developer" and not endpoint.is_openai:
                    role = "system"  # the templates of local models know no developer
                messages.append({"role": role, "content": text_of(item["content"])})
            case "function_call":
                if not messages or messages[-1]["role"] != "assistant":
                    messages.append({"role": "assistant", "content": None})
                function = {"name": item["name"], "arguments": item["arguments"]}
                call = {"id": item["call_id"], "type": "function", "function": function}
                messages[-1].setdefault("tool_calls", []).append(call)
            case "function_call_output":
                content = text_of(item["output"])
                messages.append({"role": "tool", "tool_call_id": item["call_id"], "content": content})
    return messages


class ChatReading(Reading):
    """Reads ``chat.completion.chunk`` events."""

    def __init__(self, request: Request, endpoint: Endpoint) -> None:
        super().__init__(request)
        self._endpoint = endpoint
        self._calls: dict[int, dict[str, str]] = {}  # index -> id, name, arguments

    def take(self, event: Any) -> str:
        """Read one event; the text that it adds."""
        if event.get("error"):
            raise from_event(event["error"], self._endpoint, self.request)
        self.raw_usage = event.get("usage") or self.raw_usage
        added = ""
        for choice in event.get("choices") or ():
            delta = choice.get("delta") or {}
            added += self._add_text(delta.get("content")) + self._add_text(delta.get("refusal"))
            for piece in delta.get("tool_calls") or ():
                self._add_call(piece)
            if finish := choice.get("finish_reason"):
                self.complete = True
                self.cut = self.cut or FINISHES.get(finish, "")
        return added

    def items(self) -> list[Item]:
        """The text, then the calls."""
        seen: set[str] = set()
        text = "".join(self._text)
        calls = (self._calls[index] for index in sorted(self._calls))
        return [
            *([message(text)] if text else ()),
            *(function_call(call["id"], call["name"], call["arguments"], seen) for call in calls),
        ]

    def _add_call(self, piece: dict[str, Any]) -> None:
        call = self._calls.setdefault(piece.get("index", len(self._calls)), {"id": "", "name": "", "arguments": ""})
        self._count_call(len(self._calls))
        function = piece.get("function") or {}
        arguments = function.get("arguments") or ""
        call["id"] = call["id"] or piece.get("id") or ""
        call["name"] += function.get("name") or ""
        call["arguments"] += arguments
        self._count_arguments(arguments)
