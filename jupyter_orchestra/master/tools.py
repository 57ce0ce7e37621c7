"""What the master may ask for: each tool as one type, which gives its strict JSON schema and reads its calls.

It carries nothing out, and knows of no task whether it is there.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ..core.model import Delivery, When
from ..models.calls import Arguments, read, spec_of
from ..models.values import Call, ToolSpec

MOST = 20_000  # characters of a result that one call reads


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
            "uses. shell: a script for bash. Both read the project, write temporary files only, and have no network. "
            "notebook: the path of an .ipynb, then `name = literal` lines. agent: a language model with tools."
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
    ] = msgspec.field(default_factory=list)
    when: Annotated[When, Meta(description="Which ends of those let it begin; success when null.")] = When.SUCCESS
    role: Annotated[
        Role,
        Meta(
            description="Of an agent. explorer (when null): reads the project, runs nothing. default: also writes and "
            "runs in its workspace, asks the person before each. worker: asks for the network only."
        ),
    ] = ""
    tier: Annotated[Tier, Meta(description="Of an agent's model; standard when null.")] = ""
    model: Annotated[str, Meta(description="An agent's model by its name, only if the person named it.")] = ""
    inherit: Annotated[bool, Meta(description="Whether an agent also sees this conversation; false when null.")] = False
    returns: Annotated[list[str], Meta(description="Variables of a kernel task to bring back into the notebook.")] = (
        msgspec.field(default_factory=list)
    )
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

    tasks: Annotated[list[str], Meta(description="Their names; empty with all.")] = msgspec.field(default_factory=list)
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


TOOLS: tuple[ToolSpec, ...] = tuple(spec_of(name, kind) for name, kind in TYPES.items())


def read_call(call: Call) -> ToolArguments:
    """What a call says. Raises BadCall, which says what is wrong with it and how it is made right."""
    return read(call, TYPES)
