"""What the scripted model server is to say, and what it was asked; it opens no socket."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from ..models.reading import text_of
from ..models.usage import estimate_tokens
from ..models.values import Item, ModelUsage

Fault = Literal[
    "", "401", "404_model", "429", "500", "drop", "cut", "malformed", "hang", "overflow", "empty", "invalid"
]


class ToolCall(msgspec.Struct, frozen=True):
    """A call that the model makes; a string is sent as it is, broken or not."""

    name: str
    arguments: dict[str, Any] | str = {}

    @property
    def text(self) -> str:
        """The arguments as they are sent."""
        return self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments, ensure_ascii=False)


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one request is answered.

    Attributes
    ----------
    say : str
        Text, sent token by token.
    call : list of ToolCall
        Calls, after the text.
    when : str, optional
        Only for a request whose last text of the person holds this.
    output_of : str, optional
        Only for a request that ends with the output of a call of that tool; empty: that ends with no output.
    delay : float
        Seconds before the first token.
    fault : str
        What goes wrong instead, or in the midst of it ("cut", "malformed").
    repeat : bool
        Whether it may be used more than once.
    usage : ModelUsage, optional
        The figures that the answer states; default: a quarter of the bytes.
    retry_after : float
        Seconds that a 429 asks to wait.
    gate : threading.Event, optional
        What is waited for, after ``tokens`` tokens.
    tokens : int
        See ``gate``.
    """

    say: str = ""
    call: list[ToolCall] = []
    when: str | None = None
    output_of: str | None = None
    delay: float = 0.0
    fault: Fault = ""
    repeat: bool = False
    usage: ModelUsage | None = None
    retry_after: float = 0.02
    gate: Any = None
    tokens: int = 0


class SeenRequest(msgspec.Struct, frozen=True):
    """A request as it came. ``headers`` without keys; ``at``: monotonic seconds; ``items``: the same on both wires."""

    wire: Literal["responses", "chat"]
    path: str
    body: dict[str, Any]
    headers: dict[str, str]
    at: float
    items: list[Item]

    @property
    def model(self) -> str:
        """The model that was asked."""
        return str(self.body.get("model", ""))

    @property
    def tools(self) -> list[str]:
        """The names of the tools that were offered."""
        return [tool.get("function", tool)["name"] for tool in self.body.get("tools") or ()]

    @property
    def instructions(self) -> str:
        """What comes before the items."""
        if self.wire == "responses":
            return str(self.body.get("instructions") or "")
        first = (self.body.get("messages") or [{}])[0]
        return text_of(first.get("content")) if first.get("role") == "system" else ""

    @property
    def last_user(self) -> str:
        """The last text of the person."""
        texts = (text_of(item["content"]) for item in reversed(self.items) if item.get("role") == "user")
        return next(texts, "")

    @property
    def results(self) -> list[Any]:
        """The outputs of calls, from JSON where they are JSON."""
        return [_decoded(item["output"]) for item in self.items if item["type"] == "function_call_output"]

    @property
    def output_of(self) -> str:
        """The tool whose output the request ends with; empty when it ends with something else."""
        last = self.items[-1] if self.items else {"type": ""}
        if last["type"] != "function_call_output":
            return ""
        calls = (i["name"] for i in self.items if i["type"] == "function_call" and i["call_id"] == last["call_id"])
        return str(next(calls, "?"))


Script = Callable[[SeenRequest], "Step | list[Step]"] | Sequence[Step] | str | Path


class ScriptError(Exception):
    """The script does not know what to answer."""


class Player:
    """Chooses the steps that answer a request; complains about what was not foreseen."""

    def __init__(self, script: Script) -> None:
        if isinstance(script, str | Path):
            script = load_script(Path(script))
        self._answer = script if callable(script) else None
        self._left = [] if callable(script) else list(script)
        self._used: set[int] = set()
        self._mutex = threading.Lock()
        self.complaints: list[str] = []

    def steps(self, request: SeenRequest) -> list[Step]:
        """The steps whose texts and calls make the answer. Raises ScriptError."""
        if self._answer is None:
            return [self._next(request)]
        try:
            answer = self._answer(request)
        except Exception as error:
            raise self._complain(f"the script failed: {type(error).__name__}: {error}") from error
        return [answer] if isinstance(answer, Step) else list(answer)

    def unused(self) -> list[Step]:
        """The steps that no request has come to."""
        return [step for step in self._left if not (step.repeat and id(step) in self._used)]

    def _next(self, request: SeenRequest) -> Step:
        with self._mutex:
            step = next((step for step in self._left if _fits(step, request)), None)
            if step is None:
                raise self._complain(f"no step for {request.wire}: {request.last_user[:200]!r}")
            self._used.add(id(step))
            if not step.repeat:
                self._left.remove(step)
            return step

    def _complain(self, line: str) -> ScriptError:
        self.complaints.append(line)
        return ScriptError(line)


def load_script(path: Path) -> list[Step]:
    """The steps of a JSON file: a list of objects with the fields of Step."""
    return msgspec.json.decode(path.read_bytes(), type=list[Step])


def usage_of(steps: list[Step], body: dict[str, Any]) -> ModelUsage:
    """The figures that an answer states."""
    said = "".join(step.say + "".join(call.text for call in step.call) for step in steps)
    stated = (step.usage for step in steps if step.usage is not None)
    return next(stated, ModelUsage(estimate_tokens(body), 0, estimate_tokens(said)))


def items_of(body: dict[str, Any]) -> list[Item]:
    """What was said so far, as items, from the body of either wire."""
    if "messages" not in body:
        given = body.get("input") or []
        if isinstance(given, str):
            return [{"type": "message", "role": "user", "content": given}]
        return [{"type": "message", **item} for item in given]
    items: list[Item] = []
    for index, message in enumerate(body["messages"]):
        role, content = message["role"], message.get("content")
        if role == "tool":
            items.append({"type": "function_call_output", "call_id": message["tool_call_id"], "output": content})
        elif content and not (role == "system" and index == 0):
            items.append({"type": "message", "role": role, "content": content})
        for call in message.get("tool_calls") or ():
            items.append({"type": "function_call", "call_id": call["id"], **call["function"]})
    return items


def _fits(step: Step, request: SeenRequest) -> bool:
    if step.output_of is not None and step.output_of != request.output_of:
        return False
    return step.when is None or step.when in request.last_user


def _decoded(output: Any) -> Any:
    text = text_of(output)
    try:
        return json.loads(text)
    except ValueError:
        return text
