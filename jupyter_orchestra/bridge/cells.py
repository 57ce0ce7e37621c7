"""Lays a task's result out as cells of the notebook; it knows neither the page nor the journal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from ..clean.escapes import code_span, line
from ..clean.outputs import IMAGES, Output, error_output, kept_output, stream_output
from ..clean.untrusted import clean_markdown
from ..core.lines import MARKS, card, status
from ..core.model import State
from ..core.naming import cell_id
from ..core.plain import plain
from ..core.views import TaskView
from ..core.wire import ArtifactLine, NewCell

CELL_LIMIT = 4 << 20  # bytes of outputs of one cell, in all
IMAGE_LIMIT = 4_000_000  # bytes of one image, as a file
ARTIFACTS = 50  # named in a cell
REASON = 300  # characters of a reason in a heading
WIDGET = "application/vnd.jupyter.widget-view+json"


def result_cells(view: TaskView, outputs: Sequence[Output], artifacts: Sequence[ArtifactLine]) -> tuple[NewCell, ...]:
    """The cells that a result becomes; slow for long reports, so to be called off the loop.

    Parameters
    ----------
    view
        A task that has ended.
    outputs
        Its outputs as they came, as nbformat has them.
    artifacts
        The files of its result.

    Returns
    -------
    cells
        A code cell ``%task NAME`` that holds the outputs, or for an agent's task a markdown cell that holds its
        report, cleaned. Outputs of what no person wrote are cleaned as well, and none of them is trusted.
    """
    if view.agent:
        return (_agent_cell(view, artifacts),)
    return (_code_cell(view, outputs),)


def _code_cell(view: TaskView, outputs: Iterable[Output]) -> NewCell:
    read = [found for output in outputs if (found := kept_output(output, view.trusted)) is not None]
    if view.worker != "loop":  # what else makes widgets does so in another kernel, where no page finds them
        read = [_without_widget(output) for output in read]
    return NewCell(
        id=cell_id(view.name, view.number),
        cell_type="code",
        source=f"%task {view.name}",
        metadata={"jupyter": {"source_hidden": True}, "orchestra": _mark(view, "code")},
        outputs=tuple(_fitting([*read, *_ending(view, read)], view.name)),
        trusted=view.trusted,
    )


def _mark(view: TaskView, kind: str) -> dict[str, Any]:
    return {
        "task": view.name,
        "uid": view.uid,
        "kind": kind,
        "attempt": view.attempt,
        "part": 0,
        "cell": view.anchor.cell if view.anchor is not None else "",
        "cohort": view.cohort,
        "at": view.dispatched_at,  # by which a page tells an earlier run of the dispatching cell from a later one
    }


# --- outputs -------------------------------------------------------------------------------------------------------


def _without_widget(output: Output) -> Output:
    if WIDGET not in output.get("data", {}):
        return output
    data = {mime: value for mime, value in output["data"].items() if mime != WIDGET}
    return output | {"data": data or {"text/plain": "a widget of another kernel: with -w loop it lives in this one"}}


def _ending(view: TaskView, outputs: Sequence[Output]) -> list[Output]:
    """What the outputs do not say: notes, why it failed, and that there is nothing else."""
    notes = view.result.notes if view.result is not None else ()
    said = [stream_output("".join(f"{plain(note)}\n" for note in notes), "stderr")] if notes else []
    failed = view.state is State.FAILED and view.failure is not None
    if failed and not any(output["output_type"] == "error" for output in outputs):
        assert view.failure is not None
        said.append(error_output(view.failure.name, view.failure.message, [plain(view.failure.line())]))
    if outputs or said:
        return said
    now = view.ended_at or 0.0
    done = f"{MARKS[view.state]} {view.name} · {status(view, now)} · no output"
    return [stream_output(f"{done if view.state is State.DONE else card(view, now)}\n", "stdout")]


def _fitting(outputs: list[Output], name: str) -> list[Output]:
    """The outputs, the biggest replaced by a line that says where they are, as far as they are too much."""
    weights = [_weight(output) for output in outputs]
    total = sum(weights)
    dropped: set[int] = set()
    for index in sorted(range(len(outputs)), key=weights.__getitem__, reverse=True):
        if total <= CELL_LIMIT and not _has_large_image(outputs[index]):
            continue
        dropped.add(index)
        total -= weights[index]
    kept: list[Output] = []
    size = 0
    for index, output in enumerate(outputs):
        if index not in dropped:
            kept.append(output)
            continue
        size += weights[index]
        if index + 1 not in dropped:
            kept.append(_elsewhere(size, name))
            size = 0
    return kept


def _elsewhere(size: int, name: str) -> Output:
    text = (
        f'{size / 1e6:,.1f} MB are too much for this cell: %task {name} shows them, jo.task("{name}").outputs has them'
    )
    return {"output_type": "display_data", "data": {"text/plain": text}, "metadata": {}}


def _weight(output: Output) -> int:
    """Bytes that an output takes; an image counts as the file that it is."""
    data = output.get("data", {})
    images = sum(len(data[mime]) for mime in IMAGES if isinstance(data.get(mime), str))
    return len(json.dumps(output, ensure_ascii=False).encode(errors="replace")) - images // 4


def _has_large_image(output: Output) -> bool:
    data = output.get("data", {})
    images = (data[mime] for mime in IMAGES if isinstance(data.get(mime), str))
    return any(len(image.rstrip("=\n")) * 3 // 4 > IMAGE_LIMIT for image in images)


# --- reports -------------------------------------------------------------------------------------------------------


def _agent_cell(view: TaskView, artifacts: Sequence[ArtifactLine]) -> NewCell:
    parts = [_heading(view), _report(view), "***", *_notes(view), _files(artifacts), _handle(view.name)]
    return NewCell(
        id=cell_id(view.name, view.number),
        cell_type="markdown",
        source="\n\n".join(part for part in parts if part),
        metadata={"orchestra": _mark(view, "agent")},
    )


def _heading(view: TaskView) -> str:
    title = f"{MARKS[view.state]} {view.name} · {short(status(view, view.ended_at or 0.0))}"
    return f"#### {line(title, in_title=True)}"


def _report(view: TaskView) -> str:
    result = view.result
    report = clean_markdown(result.report or result.text).rstrip("\n") if result is not None else ""
    return report or "no report"


def _notes(view: TaskView) -> list[str]:
    return [line(short(note)) for note in (view.result.notes if view.result is not None else ())]


def _files(artifacts: Sequence[ArtifactLine]) -> str:
    if not artifacts:
        return ""
    names = [code_span(short(plain(artifact.name))) for artifact in artifacts[:ARTIFACTS]]
    more = f" and {len(artifacts) - ARTIFACTS} more" if len(artifacts) > ARTIFACTS else ""
    return f"artifacts: {', '.join(names)}{more}"


def _handle(name: str) -> str:
    handle = f'jo.task("{name}")'
    return f"the task's handle: {code_span(handle)}"


def short(text: str) -> str:
    """As much of a text as a heading holds."""
    return text if len(text) <= REASON else f"{text[:REASON]}…"
