"""What of a task's result enters the master's context: a small allow-list, cleaned and bounded; it sends nothing.

Nothing of how a task was run is in it (process, path, lease, queue, attempt): fields are picked, never filtered.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ..core.model import Failure, State
from ..core.plain import plain
from ..core.views import TaskView

LIMIT = 1200  # bytes of an envelope as it is sent, some 300 tokens
ROOMS = (720, 540, 400, 300, 220, 160, 110, 80, 56, 40, 28, 20, 12)  # bytes for its longest text, tried in order
DEPTH = 3  # levels of a described value that are kept
LARGEST = 2**53  # of whole numbers that every JSON reader keeps exactly


def envelope(
    view: TaskView,
    *,
    turn_now: int = 0,
    dispatched_turn: int = 0,
    intervened: bool = False,
    stale: str = "",
    value: Mapping[str, Any] | None = None,
    output: str = "",
) -> dict[str, Any]:
    """The result of an ended task as the master sees it.

    Parameters
    ----------
    view
        The task.
    turn_now, dispatched_turn
        The turn that it enters and the one that dispatched it, 0 for none.
    intervened
        Whether the person talked to its worker meanwhile.
    stale
        What has changed since the dispatch, in words; empty when nothing has.
    value
        What is known of its live value, such as type, shape and head; without it the value's short text stands.
    output
        What it printed; not of an agent's, whose report says more.

    Returns
    -------
    dict
        Plain JSON of at most 1200 bytes as `compact` writes it.
    """
    for room in ROOMS:
        found = _body(view, value, output, room)
        found["from"] = _source(view, turn_now, dispatched_turn, room)
        if intervened:
            found["person_talked_to_it"] = True
        if stale:
            found["stale"] = clip(stale, min(room, 160))
        if len(compact(found).encode()) <= LIMIT:
            break
    return found


def compact(value: Any) -> str:
    """JSON without spaces, and without a single ``<``: no tag and no role marker can stand in it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def clip(text: str, room: int) -> str:
    """At most `room` bytes of what a person would see of `text`: its beginning and, if it is long, its end."""
    seen = plain(text[: 8 * LIMIT] + text[-LIMIT:] if len(text) > 10 * LIMIT else text).strip()
    data = seen.encode()
    if len(data) <= room:
        return seen
    tail = room // 4 if room > 100 else 0
    head = data[: room - tail - 3].decode(errors="ignore")
    return head + "…" + (data[-tail:].decode(errors="ignore") if tail else "")


def one_line(text: str, room: int) -> str:
    """The same on one line."""
    return " ".join(clip(text, room).split())


def _body(view: TaskView, value: Mapping[str, Any] | None, output: str, room: int) -> dict[str, Any]:
    """What came of the task, its longest text in `room` bytes; what is empty is left out."""
    result = view.result
    many = max(1, room // 60)
    headline, summary = _report(view)
    tokens = 0 if result is None else result.usage.tokens_in + result.usage.tokens_out
    fields = {
        "task": clip(view.name, 48),
        "handle": f'jo.task("{clip(view.name, 48)}")',
        "state": str(view.state),
        "worker": one_line(view.worker, min(room, 40)),
        "seconds": round(view.seconds(view.ended_at or view.dispatched_at), 1),
        "headline": one_line(headline, min(room, 200)),
        "summary": clip(summary, room),
        "printed": "" if summary else clip(output, room),
        "value": None if result is None else _value(value, result.text, room),
        "variables": [] if result is None else _names(result.returned, many, room),
        "error": one_line(_error(view), room),
        "skipped": one_line(view.reason, room) if view.because and view.state is State.CANCELLED else "",
        "artifacts": [] if result is None else _names((found.name for found in result.artifacts), many, room),
        "notes": [] if result is None else [one_line(note, min(room, 160)) for note in result.notes[: min(many, 4)]],
        "tokens": tokens,
    }
    return {name: found for name, found in fields.items() if found not in (None, "", [], 0) or name == "seconds"}


def _report(view: TaskView) -> tuple[str, str]:
    """The first line of what an agent wrote, and the rest; of other tasks the state in words."""
    written = "" if view.result is None else view.result.report.strip()
    if not written:
        return f"{view.name} is {view.state}", ""
    first, _, rest = written.partition("\n")
    return first.strip(" #*_"), rest


def _error(view: TaskView) -> str:
    if view.state is State.DONE or (view.because and view.state is State.CANCELLED):
        return ""
    if view.failure is None:
        return view.reason
    if view.failure.kind == "start":  # its message speaks of our own files and processes
        return Failure("start", view.failure.name, "its worker could not start").line()
    return view.failure.line()


def _value(value: Mapping[str, Any] | None, text: str, room: int) -> Any:
    """What is known of the value; as text where it would take more than `room` bytes."""
    if value is None:
        return clip(text, room) or None
    known = _plain_json(value, room, DEPTH)
    written = compact(known)
    return known if len(written.encode()) <= room else clip(written, room)


def _plain_json(value: Any, room: int, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if abs(value) <= LARGEST else "a large whole number"
    if isinstance(value, float):
        return value if value - value == 0 else str(value)  # infinities and NaN are no JSON
    if isinstance(value, str):
        return clip(value, room)
    if depth == 0:
        return "…"
    if isinstance(value, Mapping):
        pairs = list(value.items())[:12]
        return {clip(str(key), 40): _plain_json(inner, room, depth - 1) for key, inner in pairs}
    if isinstance(value, list | tuple):
        return [_plain_json(inner, room, depth - 1) for inner in value[:12]]
    return type(value).__name__


def _names(names: Iterable[str], many: int, room: int) -> list[str]:
    found = list(names)
    left = len(found) - many
    return [one_line(name, min(room, 60)) for name in found[:many]] + ([f"and {left} more"] if left > 0 else [])


def _source(view: TaskView, turn_now: int, dispatched_turn: int, room: int) -> str:
    """Where the result comes from, in words."""
    worker = one_line(view.worker, min(room, 40))
    if view.origin != "master":
        who = "the person" if view.origin == "person" else "another task"
        return f"{worker} task dispatched by {who}"
    when = "in this turn" if turn_now and turn_now == dispatched_turn else f"in turn {dispatched_turn}"
    return f"{worker} task dispatched " + (when if dispatched_turn else "by you")
