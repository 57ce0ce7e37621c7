"""How a task reads in a cell: its card in one line, its result as displays; it sends nothing."""

from __future__ import annotations

import html
import re
from typing import Any

from ..core.model import State
from ..core.views import TaskView

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
ANSI = re.compile(r"\x1b\[[0-9;]*m")
LARGE = 4_000_000  # characters of HTML that a card takes; %task shows more
SHOWN = 64_000  # characters of one stream that a cell shows
CLIP = 20_000  # characters of text in a card that fills itself; %task shows the whole


def card(view: TaskView, now: float) -> str:
    """The task in one line: mark, name, worker, state, and what matters in that state."""
    return f"{MARKS[view.state]} {view.name} · {view.worker} · {_status(view, now)}"


def _status(view: TaskView, now: float) -> str:
    seconds = f"{view.seconds(now):.1f} s"
    if view.state is State.RUNNING:
        done = f" {view.progress:.0%}" if view.progress is not None else ""
        stopping = ", stopping" if view.stopping else ""
        return f"running{done} · {seconds}{stopping}" + (f" · {view.line}" if view.line else "")
    if view.state is State.DONE:
        return f"done in {seconds}"
    if view.needs_you and not view.ended:
        return f"{view.state} · blocked: {view.needs_you}"
    if view.state is State.WAITING:
        return "waiting for the cell above" if view.snapshot else f"waiting for {', '.join(view.after)}"
    if view.state is State.LOST:
        return f"lost: {view.reason}; {view.needs_you}"
    if view.state is State.FAILED and view.started_at is not None:
        return f"failed after {seconds}: {view.reason}"
    if view.reason.startswith(view.state):
        return view.reason
    return str(view.state) + (f": {view.reason}" if view.reason else "")


def bundle(text: str) -> dict[str, Any]:
    """A line as a MIME bundle."""
    return {"text/plain": text}


def result_bundle(line: str, outputs: list[dict[str, Any]]) -> dict[str, Any]:
    """A whole result as one bundle, for the one display that a cell that has ended still has."""
    if not outputs:
        return bundle(line)
    plain = "\n".join([line, *(plain_text(output) for output in outputs)]).rstrip()[:CLIP]
    parts = [f"<div><code>{html.escape(line)}</code></div>", *(_as_html(output) for output in outputs)]
    return {"text/plain": plain, "text/html": "".join(parts)}


def plain_text(output: dict[str, Any]) -> str:
    """An output as plain text."""
    match output["output_type"]:
        case "stream":
            return ANSI.sub("", joined(output["text"]))
        case "error":
            return ANSI.sub("", "\n".join(output["traceback"])) or f"{output['ename']}: {output['evalue']}"
        case _:
            return joined(output["data"].get("text/plain", ""))


def _as_html(output: dict[str, Any]) -> str:
    data = output.get("data", {})
    for mime in ("image/png", "image/jpeg", "image/gif"):
        if mime in data:
            return (
                f'<img alt="{html.escape(plain_text(output))}" src="data:{mime};base64,{joined(data[mime]).strip()}"/>'
            )
    for mime in ("text/html", "image/svg+xml"):
        if mime in data and len(joined(data[mime])) <= LARGE:
            return f"<div>{joined(data[mime])}</div>"
    return f"<pre>{html.escape(plain_text(output)[:CLIP])}</pre>"


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


def table(views: list[TaskView], now: float) -> str:
    """Tasks as lines of columns, for ``%tasks``."""
    if not views:
        return "no tasks yet: %%dispatch NAME at the top of a cell starts one"
    rows = [("", "name", "worker", "state", "time", "")]
    for view in views:
        state = f"{view.state} {view.progress:.0%}" if _shows_progress(view) else str(view.state)
        note = view.needs_you or view.reason or view.line
        rows.append((MARKS[view.state], view.name, view.worker, state, f"{view.seconds(now):.1f} s", note[:100]))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[5]]).rstrip()
        for row in rows
    )


def _shows_progress(view: TaskView) -> bool:
    return view.progress is not None and view.state in (State.RUNNING, State.PAUSED)
