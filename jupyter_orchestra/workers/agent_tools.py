"""What an agent may ask for: each tool as one type, which gives its strict JSON schema and reads its calls.

Which role has which tool is said here; nothing is carried out here.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Annotated, Any, Final, NamedTuple

import msgspec
from msgspec import Meta

from ..models.values import Call, ToolSpec
from .agent_files import Told

LONGEST: Final = 400_000  # characters of a call's arguments
SCRATCH: Final = "@scratch"  # how an explorer names its own folder
SECONDS: Final = 120  # that a run may take when nothing else is said


class Arguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a call says. The docstring of a subclass is what the model is told of the tool."""


Text = Annotated[str, Meta(max_length=LONGEST)]
Path = Annotated[str, Meta(description="Relative to the project's folder.")]
Seconds = Annotated[int, Meta(ge=1, le=600, description="That it may take; 120 when null, at most 600.")]


class ListFiles(Arguments, frozen=True):
    """List what is in a folder."""

    path: Annotated[str, Meta(description="The folder; the whole project when null.")] = "."
    depth: Annotated[int, Meta(ge=1, le=8, description="How many levels; 2 when null.")] = 2


class ReadFile(Arguments, frozen=True):
    """Read lines of a text file."""

    path: Path
    start: Annotated[int, Meta(ge=1, description="First line; 1 when null.")] = 1
    lines: Annotated[int, Meta(ge=1, le=5000, description="How many; 400 when null.")] = 400


class Search(Arguments, frozen=True):
    """Find the lines of text files that match a regular expression."""

    pattern: str
    path: Annotated[str, Meta(description="The folder to search in; the whole project when null.")] = "."
    glob: Annotated[str, Meta(description="Only in files whose name is like this, such as *.py.")] = ""
    ignore_case: bool = False


class WriteFile(Arguments, frozen=True):
    """Write a whole text file; one that is there is replaced."""

    path: Path
    text: Text


class RunPython(Arguments, frozen=True):
    """Run Python in your own kernel, in your workspace. Variables stay from call to call; results["NAME"] holds the
    value of a task before yours. Printed text and the value of the last expression come back."""

    code: Text
    seconds: Seconds = SECONDS


class RunCommand(Arguments, frozen=True):
    """Run a script with bash, in your workspace."""

    command: Text
    seconds: Seconds = SECONDS


class ReadCell(Arguments, frozen=True):
    """Read a cell of the notebook: its source and the text of its output."""

    cell: Annotated[str, Meta(description="Its id.")]


class ReadInputs(Arguments, frozen=True):
    """Read what the tasks before yours gave."""


class FinalResult(Arguments, frozen=True):
    """Give your result and end. It alone is passed on: nothing else that you write is."""

    headline: Annotated[str, Meta(min_length=1, description="The result in one line.")]
    summary: Annotated[
        str, Meta(max_length=20_000, description="What was found or done, and how sure that is. Markdown.")
    ]
    findings: Annotated[
        list[Annotated[str, Meta(max_length=2_000)]],
        Meta(max_length=200, description="Single findings, with file and line where there is one."),
    ] = []
    data: Annotated[str, Meta(description="Figures or records to compute on, as a JSON text.")] = ""
    artifacts: Annotated[list[str], Meta(max_length=20, description="Paths of files to be kept.")] = []


TYPES: Final[dict[str, type[Arguments]]] = {
    "list_files": ListFiles,
    "read_file": ReadFile,
    "search": Search,
    "read_cell": ReadCell,
    "read_inputs": ReadInputs,
    "write_file": WriteFile,
    "run_python": RunPython,
    "run_command": RunCommand,
    "final_result": FinalResult,
}


class Role(NamedTuple):
    """What an agent may do."""

    name: str
    works: bool  # has a workspace, a copy of the project, and runs code and commands there
    asks: bool  # the person, before each write

    @property
    def tools(self) -> tuple[str, ...]:
        """The tools that it has."""
        return tuple(name for name in TYPES if self.works or name not in ("run_python", "run_command"))


ROLES: Final = {
    "explorer": Role("explorer", works=False, asks=False),
    "default": Role("default", works=True, asks=True),
    "worker": Role("worker", works=True, asks=False),
}


@cache
def spec_of(name: str) -> ToolSpec:
    """A tool as the model is told of it."""
    kind = TYPES[name]
    return ToolSpec(name, " ".join((kind.__doc__ or "").split()), _strict(kind))


def read_call(call: Call, names: tuple[str, ...]) -> Arguments:
    """What a call says. Raises Told, which says what is wrong with it."""
    if call.name not in names:
        raise Told(f"you have no tool {call.name[:60]!r}; you have: {', '.join(names)}")
    if len(call.arguments) > LONGEST:
        raise Told(f"the arguments have {len(call.arguments):,} characters, at most {LONGEST:,} are read: send less")
    try:
        found = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError) as error:
        raise Told(f"the arguments of {call.name} are no JSON ({error}): send the call again") from None
    if not isinstance(found, dict):
        raise Told(f"the arguments of {call.name} must be a JSON object: send the call again")
    try:
        return msgspec.convert({key: value for key, value in found.items() if value is not None}, TYPES[call.name])
    except msgspec.ValidationError as error:
        raise Told(f"{call.name}: {error}; nothing was done, send the call again") from None


def line_of(call: Call) -> str:
    """A call in one line for the person, whatever its arguments are."""
    try:
        found = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError):
        return call.name
    keys = ("path", "pattern", "command", "code", "cell", "headline")
    said = next((found[key] for key in keys if isinstance(found.get(key), str)), "") if isinstance(found, dict) else ""
    first = re.split(r"[\r\n]", said.strip(), maxsplit=1)[0]
    return f"{call.name} {first}".strip()


def _strict(kind: type[Arguments]) -> dict[str, Any]:
    """The schema with every property required: what has a default may be null instead."""
    _, parts = msgspec.json.schema_components([kind])
    (found,) = parts.values()
    needed = found.get("required", [])
    properties = {name: _property(part, name in needed) for name, part in found["properties"].items()}
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _property(part: dict[str, Any], needed: bool) -> dict[str, Any]:
    kept = {key: value for key, value in part.items() if key in ("type", "description")}
    if "items" in part:
        kept["items"] = {"type": part["items"]["type"]}
    return kept if needed else {**kept, "type": [kept["type"], "null"]}
