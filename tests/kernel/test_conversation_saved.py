from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from live_kernel import LiveKernel

from jupyter_orchestra.notebook.saved import show_saved

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n and more").decode()
HOSTILE = {
    "text/html": "<script>1</script>",
    "text/markdown": "![x](https://example.org/x)",
    "image/svg+xml": "<svg onload='1'/>",
    "application/javascript": "1",
    "application/vnd.jupyter.widget-view+json": {"model_id": "1"},
    "application/json": {"a": 1},
    "text/latex": "$1$",
}


class Shown:
    """A publisher that keeps what it is given."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []
        self.displays: list[dict[str, Any]] = []

    def stream(self, text: str, name: str = "stdout") -> None:
        self.said.append((name, text))

    def display(self, data: dict[str, Any]) -> None:
        self.displays.append(data)


def result_cell(name: str, outputs: list[dict[str, Any]], cell: str = "jo-it-1") -> dict[str, Any]:
    return {
        "cell_type": "code", "id": cell, "source": f"%task {name}", "outputs": outputs, "execution_count": 1,
        "metadata": {"orchestra": {"task": name}},
    }  # fmt: skip


def write(path: Path, *cells: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return path


def show(*files: Path, cell: str = "jo-it-1", name: str = "it") -> Shown | None:
    shown = Shown()
    return shown if show_saved(shown, files, cell, name) else None  # type: ignore[arg-type]


def data(bundle: dict[str, Any]) -> dict[str, Any]:
    return {"output_type": "display_data", "data": bundle, "metadata": {"isolated": True}}


def test_saved_outputs_are_shown_below_one_line_that_says_so(tmp_path: Path) -> None:
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": ["one\n", "two\n"]},
        {"output_type": "stream", "name": "stderr", "text": "warned\n"},
        data({"text/plain": "a plot", "image/png": PNG}),
        {"output_type": "execute_result", "data": {"text/plain": "42"}, "metadata": {}, "execution_count": 1},
        {"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["\x1b[31mE\x1b[0m: v"]},
    ]
    shown = show(write(tmp_path / "copy.ipynb", result_cell("it", outputs)))
    assert shown is not None
    first, *rest = shown.said
    assert first == ("stdout", "it: the saved result; to make it anew, run the cell that dispatches it\n")
    assert rest == [("stdout", "one\ntwo\n"), ("stderr", "warned\n"), ("stderr", "E: v\n")]
    assert shown.displays == [{"text/plain": "a plot", "image/png": PNG}, {"text/plain": "42"}]


def test_nothing_that_could_run_or_load_is_shown(tmp_path: Path) -> None:
    spoofs = {"image/png": base64.b64encode(b"<svg onload='1'/>").decode(), "image/gif": "no base64!", "image/jpeg": 7}
    outputs = [data(HOSTILE), data({**HOSTILE, "text/plain": "plain"}), data(spoofs), {"output_type": "other"}]
    shown = show(write(tmp_path / "copy.ipynb", result_cell("it", outputs)))
    assert shown is not None
    assert shown.displays == [{"text/plain": "plain"}]
    assert len(shown.said) == 1


@pytest.mark.parametrize(
    "text", ["\x1b]52;c;aGk=\x07", "\x1b]8;;http://x\x1b\\", "\x1b[2J", "\x00\x08\r", "\u202e\u2066"]
)
def test_no_text_commands_its_reader(tmp_path: Path, text: str) -> None:
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": f"a{text}b"},
        data({"text/plain": f"a{text}b"}),
        {"output_type": "error", "ename": "E", "evalue": "v", "traceback": [f"a{text}b"]},
    ]
    shown = show(write(tmp_path / "copy.ipynb", result_cell("it", outputs)))
    assert shown is not None
    assert [said for _, said in shown.said[1:]] == ["ab", "ab\n"]
    assert shown.displays == [{"text/plain": "ab"}]


def test_sizes_are_limited(tmp_path: Path) -> None:
    long = {"output_type": "stream", "name": "stdout", "text": "x" * 1_000_000}
    huge = data({"text/plain": "y" * 1_000_000, "image/png": PNG + "A" * 9_000_000})
    shown = show(write(tmp_path / "copy.ipynb", result_cell("it", [long, huge, *[data({})] * 200, long])))
    assert shown is not None
    assert len(shown.said) == 2
    assert all(len(said) < 70_000 for _, said in shown.said)
    assert shown.displays[0].keys() == {"text/plain"}
    assert len(shown.displays[0]["text/plain"]) < 70_000


def test_outputs_that_were_cleared_are_one_line(tmp_path: Path) -> None:
    shown = show(write(tmp_path / "copy.ipynb", result_cell("it", [])))
    assert shown is not None
    assert shown.said == [("stdout", "it: nothing is saved here; run the cell that dispatches it\n")]


def test_without_an_id_the_cell_is_found_by_what_it_says(tmp_path: Path) -> None:
    path = write(tmp_path / "copy.ipynb", {"cell_type": "markdown", "source": "%task it"}, result_cell("it", []))
    assert show(path, cell="") is not None
    assert show(path, cell="", name="other") is None


@pytest.mark.parametrize(
    "content",
    ["", "[", "[]", "1", '{"cells": 1}', '{"cells": [1, {"id": "jo-it-1", "metadata": 1}]}', "[" * 100_000,
     '{"cells": [{"id": "jo-it-1", "metadata": {"orchestra": {"task": "another"}}}]}',
     '{"cells": [{"id": "another", "metadata": {"orchestra": {"task": "it"}}}]}'],
    ids=range(9),
)  # fmt: skip
def test_a_file_without_such_a_cell_shows_nothing(tmp_path: Path, content: str) -> None:
    path = tmp_path / "copy.ipynb"
    path.write_text(content)
    assert show(path) is None


def test_what_is_no_file_shows_nothing(tmp_path: Path) -> None:
    assert show() is None
    assert show(tmp_path / "none.ipynb") is None
    assert show(tmp_path) is None


def test_the_first_file_that_holds_the_cell_counts(tmp_path: Path) -> None:
    said = [data({"text/plain": text}) for text in ("newer", "older")]
    newer, older = (write(tmp_path / f"{n}.ipynb", result_cell("it", [one])) for n, one in enumerate(said))
    shown = show(tmp_path / "none.ipynb", newer, older)
    assert shown is not None
    assert shown.displays == [{"text/plain": "newer"}]


def test_a_copy_shows_the_saved_result_in_a_real_kernel(
    tmp_path: Path, start_kernel: Callable[..., LiveKernel]
) -> None:
    outputs = [data({"text/plain": "the old value", "text/html": "<b>the old value</b>"})]
    copy = write(tmp_path / "copy.ipynb", result_cell("it", outputs), result_cell("gone", [], "jo-gone-2"))
    nb = start_kernel(copy)
    ran = nb.finish(nb.send("%task it", cell="jo-it-1"))
    assert ran.status == "ok"
    assert ran.displays == [{"text/plain": "the old value"}]
    assert ran.text == "it: the saved result; to make it anew, run the cell that dispatches it\n"
    assert "nothing is saved" in nb.finish(nb.send("%task gone", cell="jo-gone-2")).text
    assert "UnknownTaskError" in nb.fail("%task it")
    assert "UnknownTaskError" in nb.fail("%task nobody")
    nb.run("%%dispatch it -w shell\necho anew")
    nb.until_state("it", "done")
    assert "anew" in nb.finish(nb.send("%task it", cell="jo-it-1")).shown
