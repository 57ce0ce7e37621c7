"""How a task reads in one line, and how much of a long text a cell shows; knows no cell and no page."""

from __future__ import annotations

from .model import State
from .views import TaskView

MARKS = {
    State.WAITING: "…",
    State.QUEUED: "…",
    State.RUNNING: "▶",
    State.PAUSED: "‖",
    State.DONE: "✓",
    State.FAILED: "✗",
    State.CANCELLED: "⊘",
    State.LOST: "?",
}
UNSANDBOXED = "UNSANDBOXED"  # nothing confines what a model wrote
SHOWN = 64_000  # characters of one stream that a cell shows


def card(view: TaskView, now: float) -> str:
    """The task in one line: mark, name, worker, state, and what matters in that state."""
    return f"{MARKS[view.state]} {view.name} · {view.worker} · {status(view, now)}"


def status(view: TaskView, now: float) -> str:
    """The state in words, and what matters in it."""
    seconds = f"{view.seconds(now):.1f} s"
    if view.state is State.RUNNING and view.ask is None:
        done = f" {view.progress:.0%}" if view.progress is not None else ""
        stopping = ", stopping" if view.stopping else ""
        return f"running{done} · {seconds}{stopping}" + (f" · {words}" if (words := said(view)) else "")
    if view.state is State.DONE:
        return f"done in {seconds}"
    if view.ask is not None:
        return f"{view.state} · {view.needs_you}"
    if view.needs_you and not view.ended:
        return f"{view.state} · blocked: {view.needs_you}"
    if view.state is State.WAITING:
        return "waiting for the cell above" if view.snapshot else f"waiting for {', '.join(view.after)}"
    if view.state is State.QUEUED and view.lacks:
        return f"queued · {view.lacks}"
    if view.state is State.LOST:
        return f"lost: {view.reason}; {view.needs_you}"
    if view.state is State.FAILED and view.started_at is not None:
        return f"failed after {seconds}: {view.reason}"
    if view.reason.startswith(view.state):
        return view.reason
    return str(view.state) + (f": {view.reason}" if view.reason else "")


def said(view: TaskView) -> str:
    """The last line of a task, behind what the person must know of it; of one in the queue, which leases it lacks."""
    lacks = view.lacks if view.state is State.QUEUED else ""
    return " · ".join(part for part in (view.unsandboxed and UNSANDBOXED, lacks, view.line) if part)


def clipped(text: str) -> str:
    """A stream's text for a cell: beyond 64,000 characters, its two ends and what is missing between them."""
    if len(text) <= SHOWN:
        return text
    left_out = len(text) - SHOWN
    hint = f"[… {left_out:,} characters are not shown here; the handle's stdout and the artifacts have them …]"
    return f"{text[: SHOWN // 2]}\n{hint}\n{text[-SHOWN // 2 :]}"


def joined(text: str | list[str]) -> str:
    """A multi-line string of nbformat as one string."""
    return text if isinstance(text, str) else "".join(text)
