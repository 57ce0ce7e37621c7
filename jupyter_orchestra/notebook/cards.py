"""How a task reads in a cell: its card in one line, its result as displays; it sends nothing."""

from __future__ import annotations

import html
import re
from typing import Any

import msgspec

from ..core.lines import MARKS, joined, said
from ..core.model import State
from ..core.views import TaskView

ANSI = re.compile(r"\x1b\[[0-9;]*m")
LARGE = 4_000_000  # characters of HTML that a card takes; %task shows more
NO_TASKS = "no tasks yet: %%dispatch NAME at the top of a cell starts one"
CLIP = 20_000  # characters of text in a card that fills itself; %task shows the whole


def bundle(text: str) -> dict[str, Any]:
    """A line as a MIME bundle."""
    return {"text/plain": text}


def page_bundle(text: str, view: TaskView) -> dict[str, Any]:
    """A line as a MIME bundle which a page links to its own card of the task."""
    from ..core.wire import CARD_MIME, CardLine  # a page is there, and with it all that the wire needs

    line = view.needs_you or view.reason or said(view)
    link = CardLine(uid=view.uid, name=view.name, worker=view.worker, state=view.state, line=line)
    return {**bundle(text), CARD_MIME: msgspec.to_builtins(link)}


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


def table(views: list[TaskView], now: float) -> str:
    """Tasks as lines of columns, for ``%tasks``."""
    if not views:
        return NO_TASKS
    rows = [("", "name", "worker", "state", "time", "")]
    for view in views:
        state = f"{view.state} {view.progress:.0%}" if _shows_progress(view) else str(view.state)
        note = view.needs_you or view.reason or said(view)
        rows.append((MARKS[view.state], view.name, view.worker, state, f"{view.seconds(now):.1f} s", note[:100]))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[5]]).rstrip()
        for row in rows
    )


def _shows_progress(view: TaskView) -> bool:
    return view.progress is not None and view.state in (State.RUNNING, State.PAUSED)
