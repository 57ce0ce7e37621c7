"""Lays a reply of the master out as a cell of the notebook; it knows neither the page nor the conversation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..clean.escapes import line
from ..clean.replies import reply_data
from ..clean.untrusted import clean_markdown
from ..core.naming import cell_id
from ..core.replies import reply_markdown, reply_metadata
from ..core.talk import TurnView
from ..core.views import TaskView
from ..core.wire import NewCell

NAMED = 8  # tasks in a heading
QUOTED = 2_000  # characters of what the person said


def reply_cell(turn: TurnView) -> NewCell:
    """For the cell in which the person spoke: its source stays, and of its outputs one becomes this."""
    output = {
        "output_type": "display_data",
        "data": reply_data(turn.text, turn.lines, turn.reason),
        "metadata": reply_metadata(turn.anchor.display if turn.anchor is not None else ""),
    }
    return NewCell(
        id=_id(turn),
        cell_type="code",
        source="",
        metadata={"orchestra": _mark(turn, "reply", None)},
        outputs=(output,),
    )


def master_cell(turn: TurnView, about: Sequence[TaskView]) -> NewCell:
    """A cell of its own, for a reply that no cell waits for; `about` are the tasks whose results it speaks of."""
    reply = clean_markdown(reply_markdown(turn.text, turn.lines, turn.reason)).rstrip("\n")
    parts = [_heading(about), *map(_quote, turn.said), reply]
    return NewCell(
        id=_id(turn),
        cell_type="markdown",
        source="\n\n".join(part for part in parts if part),
        metadata={"orchestra": _mark(turn, "master", about[-1] if about else None)},
    )


def _id(turn: TurnView) -> str:
    number = turn.number_of_cell
    return cell_id("master", number) if number else cell_id(f"master-{turn.uid}"[:40], turn.tries)


def _heading(about: Sequence[TaskView]) -> str:
    names = list(dict.fromkeys(view.name for view in about))
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    on = f" · on {', '.join(names[:NAMED])}{more}" if names else ""
    return f"#### {line(f'◆ master{on}', in_title=True)}"


def _quote(said: str) -> str:
    lines = [words for one in said[:QUOTED].split("\n") if (words := line(one))]
    if len(said) > QUOTED:
        lines.append("…")
    return "\\\n".join(f"> {one}" for one in lines)


def _mark(turn: TurnView, kind: str, about: TaskView | None) -> dict[str, Any]:
    """Of a wake: among the results of the cell that dispatched what it speaks of, so that a later run replaces it."""
    mark: dict[str, Any] = {"task": "", "uid": turn.uid, "kind": kind, "attempt": turn.tries, "part": 0}
    if about is not None:
        cell = about.anchor.cell if about.anchor is not None else ""
        return mark | {"cell": cell, "cohort": about.cohort, "at": about.dispatched_at}
    cell = turn.anchor.cell if turn.anchor is not None else ""
    return mark | {"cell": cell, "cohort": "", "at": turn.begun_at}
