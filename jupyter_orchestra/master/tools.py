"""What the master may ask for: each tool as one type, which gives its strict JSON schema and reads its calls.

It carries nothing out, and knows of no task whether it is there.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from ..core.model import Delivery, When
from ..models.values import Call, ToolSpec

LONGEST = 400_000  # characters of a call's arguments
MOST = 20_000  # characters of a result that one call reads


class BadCall(Exception):
    """A call that can't be read; says to the model what is wrong with it."""


class Arguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a call says. The docstring of a subclass is what the model is told of the tool."""


Worker = Literal["kernel", "shell", "notebook", "agent"]  # not loop: the notebook's own process is the person's
Role = Literal["", "explorer", "default", "worker"]
Tier = Literal["", "fast", "standard", "strong"]
TaskName = Annotated[str, Meta(description="Name of a task.")]


class DispatchTask(Arguments, frozen=True):
    """One task to start in the background."""

    name: Annotated[str, Meta(description="1 to 40 of A-Z a-z 0-9 _ -; no unfinished task may bear it.")]
    worker: Annotated[
        Worker,
        Meta(
            description="kernel: Python in a process of its own, which sees copies of the notebook's variables that it "
            "uses. shell: a script for bash. notebook: the path of an .ipynb, then `name = literal` lines. agent: a "
            "language model with tools."
        ),
    ]
    brief: Annotated[
        str,
        Meta(
            description="The code, script or path; for an agent, all that it must know, in plain words. The value of "
            "the last expression of Python is the result."
        ),
    ]
    after: Annotated[
        list[str],
        Meta(description="Tasks that must end first, of this call or older; Python finds a value as results['NAME']."),
    ] = []
    when: Annotated[When, Meta(description="Which ends of those let it begin; success when null.")] = When.SUCCESS
    role: Annotated[
        Role,
        Meta(
            description="Of an agent. explorer (when null): reads the project, runs nothing. default: also writes and "
            "runs in its workspace, asks the person before each. worker: asks for what lies outside."
        ),
    ] = ""
    tier: Annotated[Tier, Meta(description="Of an agent's model; standard when null.")] = ""
    model: Annotated[str, Meta(description="An agent's model by its name, only if the person named it.")] = ""
    inherit: Annotated[bool, Meta(description="Whether an agent also sees this conversation; false when null.")] = False
    returns: Annotated[list[str], Meta(description="Variables of a kernel task to bring back into the notebook.")] = []
    deliver: Annotated[
        Delivery,
        Meta(
            description="When the result comes to you. now: at your next step. idle (when null): wakes you. turn: with "
            "the person's next message. silent: never, the person sees it."
        ),
    ] = Delivery.IDLE
    timeout: Annotated[float, Meta(gt=0, description="Seconds that it may run.")] | None = None


class Dispatch(Arguments, frozen=True):
    """Start up to 16 tasks in the background: side by side, or in the order that `after` gives. Answers at once;
    the results come by themselves. All are accepted or none."""

    tasks: Annotated[list[DispatchTask], Meta(min_length=1)]


class Steer(Arguments, frozen=True):
    """Send a running agent a message, which it reads at its next step."""

    task: TaskName
    text: str


class TaskNames(Arguments, frozen=True):
    """Which tasks are meant."""

    tasks: Annotated[list[str], Meta(description="Their names; empty with all.")] = []
    all: Annotated[bool, Meta(description="Every task that has not ended.")] = False


class Pause(TaskNames, frozen=True):
    """Hold tasks where they are."""


class Resume(TaskNames, frozen=True):
    """Let held tasks go on."""


class Cancel(TaskNames, frozen=True):
    """End tasks for good. What they have put out is kept; no result will come."""


class ReadResult(Arguments, frozen=True):
    """Read a part of what an ended task put out: its report or the text of its outputs."""

    task: TaskName
    start: Annotated[int, Meta(ge=0, description="First character; 0 when null.")] = 0
    length: Annotated[int, Meta(ge=1, le=MOST, description="Characters; 4000 when null, at most 20000.")] = 4000


class ReadCell(Arguments, frozen=True):
    """Read a cell of the notebook that the person ran: its source and the text of its output."""

    cell: Annotated[str, Meta(description="As the inbox names it.")]


class InspectVariable(Arguments, frozen=True):
    """Look at a variable of the notebook: its type, shape, dtype and head."""

    name: str


ToolArguments = Dispatch | Steer | Pause | Resume | Cancel | ReadResult | ReadCell | InspectVariable
TYPES: dict[str, type[ToolArguments]] = {
    "dispatch": Dispatch,
    "steer": Steer,
    "pause": Pause,
    "resume": Resume,
    "cancel": Cancel,
    "read_result": ReadResult,
    "read_cell": ReadCell,
    "inspect_variable": InspectVariable,
}


def strict_schema(kind: type[Arguments]) -> dict[str, Any]:
    """A type's JSON schema as strict tool calls want it: no references, nothing else allowed, everything required.

    What has a default may be null instead.
    """
    (found,), parts = msgspec.json.schema_components([kind])
    return _strict(found, parts)


def _strict(schema: dict[str, Any], parts: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        beside = {key: part for key, part in schema.items() if key != "$ref"}
        return _strict({**parts[schema["$ref"].rpartition("/")[2]], **beside}, parts)
    kept = {key: part for key, part in schema.items() if key not in ("title", "default")}
    if kinds := kept.pop("anyOf", None):  # a reference with words beside it, or something or null
        inner = [_strict(kind, parts) for kind in kinds if kind != {"type": "null"}]
        return {**(inner[0] if len(inner) == len(kinds) else _nullable(inner[0])), **kept}
    if "enum" in kept:
        kept.update(type="string", enum=[word for word in kept["enum"] if word])
    if "items" in kept:
        kept["items"] = _strict(kept["items"], parts)
    if "properties" in kept:
        needed = kept.get("required", [])
        inside = {name: _strict(part, parts) for name, part in kept["properties"].items()}
        kept["properties"] = {name: part if name in needed else _nullable(part) for name, part in inside.items()}
        kept.update(required=list(inside), additionalProperties=False)
        kept.pop("description", None)
    return kept


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    if isinstance(schema["type"], list):
        return schema
    found = {**schema, "type": [schema["type"], "null"]}
    if "enum" in schema:
        found["enum"] = [*schema["enum"], None]
    return found


TOOLS: tuple[ToolSpec, ...] = tuple(
    ToolSpec(name, " ".join((kind.__doc__ or "").split()), strict_schema(kind)) for name, kind in TYPES.items()
)


def read_call(call: Call) -> ToolArguments:
    """What a call says. Raises BadCall, which says what is wrong with it and how it is made right."""
    kind = TYPES.get(call.name)
    if kind is None:
        raise BadCall(f"there is no tool {call.name[:60]!r}; there are: {', '.join(TYPES)}")
    found = _load(call)
    try:
        return msgspec.convert(_without_nulls(found), kind, strict=False)
    except msgspec.ValidationError as error:
        raise BadCall(f"{call.name}: {_explain(str(error), kind)}; nothing was done, send the call again") from None


def _load(call: Call) -> dict[str, Any]:
    text = call.arguments
    if len(text) > LONGEST:
        raise BadCall(
            f"the arguments of {call.name} have {len(text):,} characters, at most {LONGEST:,} are read: "
            "send less, or several calls"
        )
    try:
        found = json.loads(text or "{}")
    except json.JSONDecodeError as error:
        near = text[max(0, error.pos - 20) : error.pos + 20]
        raise BadCall(
            f"the arguments of {call.name} are no JSON: {error.msg} at character {error.pos + 1}, near {near!r}; "
            "nothing was done, send the call again"
        ) from None
    except (ValueError, RecursionError):
        raise BadCall(f"the arguments of {call.name} can't be read: too deep, or a number too long") from None
    if not isinstance(found, dict):
        raise BadCall(f"the arguments of {call.name} must be a JSON object, not {type(found).__name__}")
    return found


def _without_nulls(found: dict[str, Any]) -> dict[str, Any]:
    """Null stands for what is left out; within a list of tasks too."""
    return {
        key: [_without_nulls(part) if isinstance(part, dict) else part for part in value]
        if isinstance(value, list)
        else value
        for key, value in found.items()
        if value is not None
    }


def _explain(message: str, kind: type[Arguments]) -> str:
    """A message of msgspec's with the place first, and what is allowed there."""
    what, _, path = message.partition(" - at `$")
    what = what if len(what) < 300 else f"{what[:300]}…"
    keys = re.findall(r"[A-Za-z_]+", path)
    said = f"{path.strip('`.')}: {what}" if keys else what
    part = strict_schema(kind)
    for key in keys:
        part = part.get("properties", {}).get(key, {})
        part = part.get("items", part)
    if "enum" in part:
        return f"{said}; it is one of {', '.join(word for word in part['enum'] if word)}"
    if "unknown field" in what:
        return f"{said}; there are: {', '.join(part.get('properties', {}))}"
    return said
