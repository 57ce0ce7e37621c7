"""How the details of a task, and a turn of the master, look on the wire; it sends nothing."""

from __future__ import annotations

from typing import Any

from ..core import wire
from ..core.plain import plain
from ..core.talk import TurnView
from ..core.views import TaskView

DETAIL_LIMIT = 16 << 20  # characters of outputs that a panel gets at once: those before are left out
LAST_WORDS = 300  # characters of a reply that the sidebar shows


def turn_of(turn: TurnView, text: str, note: str) -> wire.Turn:
    """A turn as the sidebar shows it; `text` is its reply so far."""
    return wire.Turn(
        number=turn.number,
        state=turn.state,
        wake=turn.wake,
        text=plain(text[-2 * LAST_WORDS :]).strip()[-LAST_WORDS:],
        note=note or turn.reason,
        cell=turn.anchor.cell if turn.anchor is not None else "",
    )


def artifacts_of(view: TaskView) -> tuple[wire.ArtifactLine, ...]:
    """The files of a result."""
    made = view.result.artifacts if view.result is not None else ()
    return tuple(wire.ArtifactLine(name=one.name, mime=one.mime, size=one.blob.size) for one in made)


def detail_of(
    view: TaskView, explanation: str, first: int, outputs: list[dict[str, Any]], terminal: bool = False
) -> wire.Detail:
    """What the panel of a task shows; `first` is the index of the first of the outputs."""
    left_out = _too_early(outputs)
    return wire.Detail(
        uid=view.uid,
        attempt=view.attempt,
        brief=view.brief,
        story=view.story,
        explanation=explanation,
        notes=view.result.notes if view.result is not None else (),
        artifacts=artifacts_of(view),
        trusted=view.trusted,
        kind="agent" if view.agent else "code",
        terminal=terminal,
        first=first + left_out,
        outputs=tuple(outputs[left_out:]),
    )


def _too_early(outputs: list[dict[str, Any]]) -> int:
    """How many of the first outputs do not fit; the last one always comes."""
    size = 0
    for index in range(len(outputs) - 1, -1, -1):
        size += _weight(outputs[index])
        if size > DETAIL_LIMIT:
            return min(index + 1, len(outputs) - 1)
    return 0


def _weight(output: dict[str, Any]) -> int:
    parts = [output.get("text", ""), *output.get("data", {}).values(), *output.get("traceback", ())]
    return sum(len(part) for part in parts if isinstance(part, str | list))
