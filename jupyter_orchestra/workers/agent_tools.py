"""What an agent may ask for: each tool as one type, which gives its strict JSON schema and reads its calls.

Which role has which tool is said here; nothing is carried out here.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta

from ..core import rights
from ..core.model import Capability
from ..models import calls
from ..models.calls import LONGEST, Arguments
from ..models.values import Call, ToolSpec
from .agent_files import Told

SCRATCH: Final = "@scratch"  # how an explorer names its own folder
SECONDS: Final = 120  # that a run may take when nothing else is said


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
    network: Annotated[bool, Meta(description="Whether it needs the network: the person is then asked.")] = False


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
    ] = msgspec.field(default_factory=list)
    data: Annotated[str, Meta(description="Figures or records to compute on, as a JSON text.")] = ""
    artifacts: Annotated[list[str], Meta(max_length=20, description="Paths of files to be kept.")] = msgspec.field(
        default_factory=list
    )


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
    """How an agent works. What it may do stands in the table of grants, which has it from the same rights."""

    name: str
    works: bool  # has a workspace, a copy of the project, and runs code and commands there
    asks: bool  # the person, before each write, command and piece of code

    @property
    def tools(self) -> tuple[str, ...]:
        """The tools that it has."""
        return tuple(name for name in TYPES if self.works or name not in ("run_python", "run_command"))


ROLES: Final = {
    name: Role(name, works=Capability.RUN in (*has.may, *has.asks), asks=Capability.RUN in has.asks)
    for name, has in rights.ROLES.items()
}


@cache
def spec_of(name: str) -> ToolSpec:
    """A tool as the model is told of it."""
    return calls.spec_of(name, TYPES[name])


def read_call(call: Call, names: tuple[str, ...]) -> Arguments:
    """What a call says. Raises Told, which says what is wrong with it."""
    try:
        return calls.read(call, {name: TYPES[name] for name in names})
    except calls.BadCall as error:
        raise Told(str(error)) from None


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
