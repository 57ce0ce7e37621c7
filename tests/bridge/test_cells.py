import base64
import json
from typing import Any

import msgspec
import nbformat
import pytest
from hostile import CONTROLS, DESYNC, HTML

from jupyter_orchestra.bridge import cells
from jupyter_orchestra.bridge.cells import CELL_LIMIT, IMAGE_LIMIT, result_cells
from jupyter_orchestra.clean.untrusted import clean_markdown
from jupyter_orchestra.core.lines import SHOWN
from jupyter_orchestra.core.model import Anchor, Delivery, Failure, Origin, Result, Stage, State
from jupyter_orchestra.core.naming import cell_id
from jupyter_orchestra.core.views import TaskView
from jupyter_orchestra.core.wire import ArtifactLine, NewCell

STREAM = {"output_type": "stream", "name": "stdout", "text": "hello\n"}
VALUE = {"output_type": "execute_result", "execution_count": 7, "data": {"text/plain": "42"}, "metadata": {}}
PLOT = {"output_type": "display_data", "data": {"image/png": "iVBORw0KGgo=", "text/plain": "<Figure>"}, "metadata": {}}
WIDGET = {
    "output_type": "display_data",
    "data": {
        "application/vnd.jupyter.widget-view+json": {"model_id": "x", "version_major": 2},
        "text/html": "<script>",
    },
    "metadata": {"isolated": True},
}
ERROR = {"output_type": "error", "ename": "ValueError", "evalue": "no", "traceback": ["\x1b[31mValueError\x1b[0m: no"]}


def view(**more: Any) -> TaskView:
    values: dict[str, Any] = {
        "uid": "u1",
        "name": "fit_all",
        "worker": "kernel",
        "brief": "",
        "state": State.DONE,
        "origin": Origin.PERSON,
        "deliver": Delivery.TURN,
        "attempt": 2,
        "version": 1,
        "order": 1,
        "dispatched_at": 1.0,
        "started_at": 2.0,
        "ended_at": 3.5,
        "after": (),
        "returns": (),
        "cohort": "c1",
        "anchor": Anchor("a.ipynb", "cell-1"),
        "capture": None,
        "paused_at": None,
        "held": 0.0,
        "progress": None,
        "line": "",
        "reason": "",
        "needs_you": "",
        "stopping": False,
        "snapshot": False,
        "because": "",
        "stage": Stage.QUEUED,
        "result": Result(),
        "failure": None,
        "story": (),
        "number": 3,
        "agent": False,
    }
    return TaskView(**values | more)


def agent(report: str, **more: Any) -> NewCell:
    return one(view(worker="agent", agent=True, result=Result(report=report), **more))


def one(task: TaskView, *outputs: dict[str, Any], artifacts: tuple[ArtifactLine, ...] = ()) -> NewCell:
    (cell,) = result_cells(task, list(outputs), artifacts)
    validate(cell)
    return cell


def validate(cell: NewCell) -> None:
    """As a notebook's file would hold it."""
    plain = msgspec.to_builtins(cell)
    node = {key: plain[key] for key in ("id", "cell_type", "source", "metadata")}
    if cell.cell_type == "code":
        node |= {"outputs": list(plain["outputs"]), "execution_count": None}
    nbformat.validate({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [node]})
    json.dumps(plain, allow_nan=False)


def texts(cell: NewCell) -> str:
    return json.dumps(cell.outputs, ensure_ascii=False)


def test_a_code_cell_shows_its_task_and_hides_its_input() -> None:
    cell = one(view(), STREAM)
    assert (cell.id, cell.cell_type, cell.source) == ("jo-fit_all-3", "code", "%task fit_all")
    assert cell.metadata == {
        "jupyter": {"source_hidden": True},
        "orchestra": {
            "task": "fit_all",
            "uid": "u1",
            "kind": "code",
            "attempt": 2,
            "part": 0,
            "cell": "cell-1",
            "cohort": "c1",
            "at": 1.0,
        },
    }


@pytest.mark.parametrize(
    ("name", "wanted"), [("a b/c", "jo-a-b-c-1"), ("x@2", "jo-x-1"), ("n" * 40, f"jo-{'n' * 40}-1")]
)
def test_an_id_has_the_characters_that_a_file_allows(name: str, wanted: str) -> None:
    assert cell_id(name, 1) == wanted
    assert cell_id(name, 1) == view(name=name, number=1).result_cell


def test_a_task_of_no_cell_has_no_place_in_its_mark() -> None:
    assert one(view(anchor=None), STREAM).metadata["orchestra"]["cell"] == ""


def test_outputs_of_a_person_come_as_they_were() -> None:
    cell = one(view(worker="loop"), STREAM, PLOT, WIDGET, ERROR, VALUE)
    assert cell.outputs == (STREAM, PLOT, WIDGET, ERROR, VALUE | {"execution_count": None})


def test_a_widget_of_another_kernel_comes_as_what_else_it_says() -> None:
    lonely = WIDGET | {"data": {"application/vnd.jupyter.widget-view+json": {"model_id": "x"}}}
    shown = [output["data"] for output in one(view(), WIDGET, lonely).outputs]
    assert shown[0] == {"text/html": WIDGET["data"]["text/html"]}
    assert "-w loop" in shown[1]["text/plain"]


@pytest.mark.parametrize(
    ("origin", "is_agent", "trusted"),
    [
        (Origin.PERSON, False, True),
        (Origin.MASTER, False, False),
        (Origin.TASK, False, False),
        (Origin.PERSON, True, False),
        (Origin.MASTER, True, False),
    ],
)
def test_only_code_of_a_person_is_trusted(origin: Origin, is_agent: bool, trusted: bool) -> None:
    assert one(view(origin=origin, agent=is_agent), STREAM).trusted is trusted


def test_outputs_of_no_person_keep_words_and_images_alone() -> None:
    html = {
        "output_type": "display_data",
        "data": {"text/html": "<b>x</b><script>y</script>"},
        "metadata": {"isolated": True},
    }
    svg = {"output_type": "display_data", "data": {"image/svg+xml": "<svg onload=x>"}, "metadata": {}}
    shown = one(view(origin=Origin.MASTER), PLOT, html, svg, WIDGET).outputs
    assert [output["data"] for output in shown] == [
        PLOT["data"],
        {"text/html": "<b>x</b>"},
        {"text/plain": "not shown: image/svg+xml"},
        {"text/plain": "not shown: application/vnd.jupyter.widget-view+json, text/html"},
    ]
    assert all(output["metadata"] == {} for output in shown)


def test_what_is_only_a_message_is_no_output() -> None:
    update = {"output_type": "update_display_data", "data": {}, "metadata": {}, "transient": {"display_id": "x"}}
    clear = {"output_type": "clear_output", "wait": False}
    assert one(view(), update, clear, STREAM).outputs == (STREAM,)


def test_what_a_file_could_not_hold_is_put_right() -> None:
    lists = {"output_type": "stream", "name": "stdout", "text": ["a\n", "b\n"]}
    number = {
        "output_type": "display_data",
        "data": {"text/plain": 3, "text/html": ["<p>", "</p>"], "application/json": 3},
    }
    first, second = one(view(), lists, number | {"transient": {"display_id": "x"}}).outputs
    assert first["text"] == "a\nb\n"
    assert second == {
        "output_type": "display_data",
        "data": {"text/plain": "3", "text/html": "<p></p>", "application/json": 3},
        "metadata": {},
    }


def test_a_result_without_output_says_so_in_one_line() -> None:
    (line,) = one(view()).outputs
    assert line == {"output_type": "stream", "name": "stdout", "text": "✓ fit_all · done in 1.5 s · no output\n"}


def test_a_cancelled_task_says_why() -> None:
    (line,) = one(view(state=State.CANCELLED, reason="cancelled: load failed", started_at=None, result=None)).outputs
    assert line["text"] == "⊘ fit_all · kernel · cancelled: load failed\n"


def test_a_failure_that_left_no_traceback_is_shown_as_an_error() -> None:
    failed = view(state=State.FAILED, failure=Failure("killed", "Killed", "out of memory"), result=None)
    assert one(failed, STREAM).outputs == (
        STREAM,
        {"output_type": "error", "ename": "Killed", "evalue": "out of memory", "traceback": ["Killed: out of memory"]},
    )
    assert one(failed, ERROR).outputs == (ERROR,)


def test_notes_come_as_a_stream_of_their_own() -> None:
    noted = view(result=Result(notes=("output cut at 2 GiB", "a\x1b[31mb")))
    assert one(noted, STREAM).outputs[1:] == (
        {"output_type": "stream", "name": "stderr", "text": "output cut at 2 GiB\nab\n"},
    )
    assert len(one(noted).outputs) == 1


def test_a_long_stream_keeps_its_two_ends() -> None:
    (output,) = one(view(), STREAM | {"text": "first" + "x" * SHOWN + "last"}).outputs
    assert output["text"].startswith("first")
    assert output["text"].endswith("last")
    assert len(output["text"]) < SHOWN + 200


def image(size: int) -> dict[str, Any]:
    data = base64.b64encode(b"\0" * size).decode()
    return {"output_type": "display_data", "data": {"image/png": data, "text/plain": "<Figure>"}, "metadata": {}}


def test_an_image_as_large_as_allowed_is_kept_and_a_larger_one_is_not() -> None:
    kept, dropped = image(IMAGE_LIMIT), image(IMAGE_LIMIT + 3)
    assert one(view(), STREAM, kept).outputs == (STREAM, kept)
    (first, line) = one(view(), STREAM, dropped).outputs
    assert first == STREAM
    assert line["data"].keys() == {"text/plain"}
    assert "%task fit_all" in line["data"]["text/plain"]
    assert 'jo.task("fit_all").outputs' in line["data"]["text/plain"]


def test_the_biggest_outputs_go_first_until_the_rest_fits() -> None:
    table = {"output_type": "display_data", "data": {"text/html": "x" * (CELL_LIMIT // 2)}, "metadata": {}}
    big = {"output_type": "display_data", "data": {"text/html": "y" * (CELL_LIMIT - 1000)}, "metadata": {}}
    cell = one(view(), STREAM, big, table, VALUE)
    assert [output["output_type"] for output in cell.outputs] == [
        "stream",
        "display_data",
        "display_data",
        "execute_result",
    ]
    assert cell.outputs[2] == table
    assert "%task" in cell.outputs[1]["data"]["text/plain"]


def test_many_outputs_that_are_too_much_leave_one_line_for_each_row_of_them() -> None:
    table = {"output_type": "display_data", "data": {"text/html": "x" * 50_000}, "metadata": {}}
    cell = one(view(), STREAM, *[table] * 900, VALUE)
    assert len(texts(cell).encode()) <= CELL_LIMIT
    assert cell.outputs[0] == STREAM
    assert cell.outputs[-1]["data"] == VALUE["data"]
    assert sum("%task" in output.get("data", {}).get("text/plain", "") for output in cell.outputs) == 1


def test_an_agents_cell_names_task_artifacts_and_handle() -> None:
    task = view(worker="agent", agent=True, result=Result(report="# Found\n\n- `x` is *wrong*", notes=("cut_here",)))
    files = tuple(ArtifactLine(name=name, mime="text/csv", size=1) for name in ("a b.csv", "`x`.csv"))
    (cell,) = result_cells(task, [], files)
    validate(cell)
    assert cell.source == (
        "#### ✓ fit_all · done in 1.5 s\n\n# Found\n\n- `x` is *wrong*\n\n***\n\ncut_here\n\n"
        'artifacts: `a b.csv`, `\u02cbx\u02cb.csv`\n\nthe task\'s handle: `jo.task("fit_all")`'
    )
    assert (cell.id, cell.cell_type, cell.outputs, cell.trusted) == ("jo-fit_all-3", "markdown", (), False)
    assert cell.metadata["orchestra"]["kind"] == "agent"


def test_an_agent_without_a_report_says_so() -> None:
    assert "no report" in agent("").source
    assert "no report" in one(view(agent=True, state=State.FAILED, reason="exit 1", result=None)).source


@pytest.mark.parametrize("report", [*HTML.values(), *DESYNC.values(), *CONTROLS.values()])
def test_the_whole_of_an_agents_cell_is_clean(report: str) -> None:
    source = agent(report, state=State.FAILED, reason=f"failed: {report}").source
    assert clean_markdown(source) == source + "\n"


def test_names_of_artifacts_are_few_and_short() -> None:
    files = tuple(ArtifactLine(name="n" * 1000, mime="", size=1) for _ in range(1000))
    (cell,) = result_cells(view(agent=True), [], files)
    assert len(cell.source) < cells.ARTIFACTS * (cells.REASON + 10) + 500
    assert "and 950 more" in cell.source
