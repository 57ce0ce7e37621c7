"""The table of every legal change of a task's state, and the picture of it; it decides nothing."""

from __future__ import annotations

from .model import State, Task

S = State

TRANSITIONS: dict[tuple[State, State], str] = {
    (S.WAITING, S.QUEUED): "the tasks and cells before it ended",
    (S.WAITING, S.PAUSED): "paused",
    (S.WAITING, S.CANCELLED): "cancelled, or a task before it ended the wrong way",
    (S.WAITING, S.FAILED): "its variables could not be copied",
    (S.QUEUED, S.RUNNING): "got its slots",
    (S.QUEUED, S.PAUSED): "paused",
    (S.QUEUED, S.CANCELLED): "cancelled",
    (S.RUNNING, S.DONE): "returned",
    (S.RUNNING, S.FAILED): "failed or ran out of time",
    (S.RUNNING, S.CANCELLED): "cancelled",
    (S.RUNNING, S.PAUSED): "paused",
    (S.RUNNING, S.QUEUED): "blocked from outside, or failed with a retry left",
    (S.RUNNING, S.LOST): "its worker vanished with the kernel",
    (S.PAUSED, S.WAITING): "resumed",
    (S.PAUSED, S.QUEUED): "resumed",
    (S.PAUSED, S.RUNNING): "resumed",
    (S.PAUSED, S.CANCELLED): "cancelled, or a task before it ended the wrong way",
    (S.PAUSED, S.DONE): "had returned before the pause reached it",
    (S.PAUSED, S.FAILED): "had failed before the pause reached it",
    (S.PAUSED, S.LOST): "its worker vanished with the kernel",
    (S.FAILED, S.WAITING): "retry; on to queued at once when nothing is before it",
    (S.CANCELLED, S.WAITING): "retry, or a task before it is run again",
    (S.LOST, S.WAITING): "rerun; on to queued at once when nothing is before it",
}


class IllegalTransition(Exception):
    """The machine tried a change that is not in the table: a bug, told with the task's story."""

    def __init__(self, task: Task, to: State) -> None:
        story = "; ".join(f"{step.at:.3f} {step.state} {step.reason}".rstrip() for step in task.story)
        super().__init__(f"task {task.name!r} ({task.uid}): {task.state} -> {to}; its story: {story}")


def draw() -> str:
    """The table as a Mermaid state diagram and a Markdown table: the text of ``docs/states.md``."""
    lines = [
        "# States of a task",
        "",
        "Drawn from `jupyter_orchestra/core/transitions.py` by `python -m jupyter_orchestra.core.transitions`.",
        "A dispatched task begins as `waiting` or `queued`. `done`, `failed`, `cancelled` and `lost` count as ended;",
        "`lost` asks the person: rerun (`%orchestra retry NAME`) or drop (`%orchestra forget NAME`).",
        "",
        "```mermaid",
        "stateDiagram-v2",
        "    [*] --> waiting",
        "    [*] --> queued",
    ]
    lines += [f"    {a} --> {b}" for a, b in TRANSITIONS]
    lines += ["    done --> [*]", "```", "", "| from | to | because |", "|---|---|---|"]
    lines += [f"| {a} | {b} | {why} |" for (a, b), why in TRANSITIONS.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(draw(), end="")
