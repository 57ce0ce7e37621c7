"""The Responses wire, stateless: a request as its body, its events as a reply; it opens no connection."""

from __future__ import annotations

from typing import Any

from .endpoint import Endpoint
from .failures import from_event
from .reading import Reading, function_call, message, text_of
from .values import Item, Request

PATH = "/responses"
INCOMPLETE = {"max_output_tokens": "output limit", "content_filter": "content filter"}


def body_of(request: Request, endpoint: Endpoint) -> dict[str, Any]:
    """The body of the POST. Encrypted reasoning comes from and goes to OpenAI's own host alone."""
    own = endpoint.is_openai
    body: dict[str, Any] = {
        "model": request.model,
        "instructions": request.instructions,
        "input": [item for item in request.items if own or item.get("type") != "reasoning"],
        "stream": True,
        "store": False,
    }
    if request.tools:
        body["tools"] = [
            {
                "type": "function",
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.parameters,
                "strict": True,
            }
            for tool in request.tools
        ]
    if request.max_tokens:
        body["max_output_tokens"] = request.max_tokens
    if own:
        body["include"] = ["reasoning.encrypted_content"]
    return body


class ResponsesReading(Reading):
    """Reads ``response.*`` events."""

    def __init__(self, request: Request, endpoint: Endpoint) -> None:
        super().__init__(request)
        self._endpoint = endpoint
        self._output: dict[int, dict[str, Any]] = {}  # output_index -> item, as far as it has come
        self._final: list[dict[str, Any]] = []

    def take(self, event: Any) -> str:
        """Read one event; the text that it adds."""
        kind = event.get("type")
        match kind:
            case "response.output_text.delta" | "response.refusal.delta":
                piece = self._add_text(event["delta"])
                self._output.setdefault(event["output_index"], {"type": "message"}).setdefault("said", []).append(piece)
                return piece
            case "response.output_item.added":
                self._output[event["output_index"]] = {**event["item"]}
                self._count_call(sum(item.get("type") == "function_call" for item in self._output.values()))
            case "response.function_call_arguments.delta":
                item = self._output[event["output_index"]]
                item["arguments"] = item.get("arguments", "") + event["delta"]
                self._count_arguments(event["delta"])
            case "response.output_item.done":
                self._output[event["output_index"]] = event["item"]
            case "response.completed" | "response.incomplete":
                return self._end(event["response"])
            case "response.failed":
                raise from_event(event["response"].get("error"), self._endpoint, self.request)
            case "error":
                raise from_event(event.get("error") or event, self._endpoint, self.request)
        if kind is None and event.get("error"):
            raise from_event(event["error"], self._endpoint, self.request)
        return ""

    def items(self) -> list[Item]:
        """What the endpoint says it put out, or else what came in pieces."""
        seen: set[str] = set()
        output = self._final or [self._output[index] for index in sorted(self._output)]
        return [item for raw in output if (item := self._item(raw, seen)) is not None]

    def _end(self, response: dict[str, Any]) -> str:
        self.complete = True
        self.raw_usage = response.get("usage")
        self._final = response.get("output") or []
        self._count_call(sum(item.get("type") == "function_call" for item in self._final))
        if response.get("status") == "incomplete":
            reason = str((response.get("incomplete_details") or {}).get("reason") or "incomplete")
            self.cut = self.cut or INCOMPLETE.get(reason, reason[:80])
        if self._text:
            return ""
        return self._add_text("".join(text_of(i.get("content")) for i in self._final if i.get("type") == "message"))

    def _item(self, raw: dict[str, Any], seen: set[str]) -> Item | None:
        """An item of the output with what can be sent again; ids and states are the endpoint's own and stay away."""
        match raw.get("type"):
            case "message":
                text = text_of(raw.get("content")) or "".join(raw.get("said", ()))
                return message(text) if text else None
            case "function_call":
                return function_call(raw.get("call_id") or raw.get("id"), raw["name"], raw.get("arguments"), seen)
            case "reasoning" if raw.get("encrypted_content") and self._endpoint.is_openai:
                return {
                    "type": "reasoning",
                    "summary": raw.get("summary") or [],
                    "encrypted_content": raw["encrypted_content"],
                }
        return None
