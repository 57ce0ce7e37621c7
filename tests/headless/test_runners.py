from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import papermill
import psutil
import pytest
from live_kernel import marked, wait_until
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

FIRST_RUN = Path(__file__).parents[2] / "notebooks" / "00_first_run.ipynb"
RESOURCES = FIRST_RUN.with_name("02_resources.ipynb")
MARK = "JO_TEST_HEADLESS"
ANSI = re.compile(r"\x1b\[[0-9;]*m")
SLEEP = "import time\ntime.sleep({0})"

pytestmark = [
    # Of the runners themselves.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def no_process_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test has a data folder of its own, and leaves neither a process nor a journal."""
    monkeypatch.setenv(MARK, tmp_path.name)
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    before = {process.pid for process in marked("ORCHESTRA_RUNTIME")}
    yield

    def left() -> list[psutil.Process]:
        fresh = [process for process in marked("ORCHESTRA_RUNTIME") if process.pid not in before]
        return [process for process in fresh if process.environ().get(MARK) == tmp_path.name] + [
            process for process in marked(MARK, tmp_path.name) if process.pid != os.getpid()
        ]

    wait_until(lambda: not left(), 10, lambda: f"left: {left()}")
    journals = tmp_path / "data" / "orchestra"
    if "nbval" not in request.node.name:  # it kills its kernel, and what a killed one leaves is kept for a week
        assert not journals.exists() or not [entry for entry in journals.iterdir() if entry.is_dir()]


def notebook(*cells: str) -> NotebookNode:
    spec = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    first = "%load_ext jupyter_orchestra\nimport jupyter_orchestra as jo\njo.tasks();"
    return new_notebook(cells=[new_code_cell(code) for code in (first, *cells)], metadata=spec)


def execute(document: NotebookNode, folder: Path) -> NotebookNode:
    NotebookClient(document, timeout=60, resources={"metadata": {"path": str(folder)}}).execute()
    nbformat.validate(document)
    return document


def read(cell: NotebookNode) -> str:
    """All that a person reads below a cell."""
    parts = []
    for output in cell.get("outputs", []):
        if output.output_type == "stream":
            parts.append(output.text)
        elif output.output_type == "error":
            parts.append("\n".join(output.traceback))
        else:
            parts.append(output.data.get("text/plain", ""))
    return ANSI.sub("", "\n".join(parts))


def texts(document: NotebookNode) -> list[str]:
    return [read(cell) for cell in document.cells]


def count(document: NotebookNode, text: str) -> int:
    return sum(part.count(text) for part in texts(document))


def test_gather_brings_each_result_once_and_updates_the_cards(tmp_path: Path) -> None:
    document = execute(
        notebook(
            "%%dispatch one\nprint('result', 'of one')\n'value ' 'of one'",
            "%%dispatch two -w shell\necho result of two",
            "%%dispatch three -w loop\nprint('result', 'of three')",
            "%%dispatch four --after one\nprint('result', 'of four')",
            "%gather",
            "1",
        ),
        tmp_path,
    )
    for name in ("one", "two", "three", "four"):
        assert count(document, f"result of {name}") == 1
    assert count(document, "value of one") == 1
    cards = texts(document)[1:5]
    assert [card.split(" · ")[0] for card in cards] == ["✓ one", "✓ two", "✓ three", "✓ four"]
    assert all("done in" in card for card in cards)


def test_a_later_cell_shows_what_has_arrived(tmp_path: Path) -> None:
    document = execute(
        notebook(
            "%%dispatch early -w shell\necho result of early",
            "import time\nwhile not jo.task('early').ready():\n    time.sleep(0.02)",
            "'a later cell'",
            "%gather",
        ),
        tmp_path,
    )
    assert count(document, "result of early") == 1
    assert "result of early" in "".join(texts(document)[2:4])
    assert texts(document)[1].startswith("✓ early · shell · done")


def test_b_shows_the_result_in_the_dispatching_cell(tmp_path: Path) -> None:
    document = execute(notebook("%%dispatch here -b\nprint('result', 'of here')\n6 * 7", "%gather", "1"), tmp_path)
    assert count(document, "result of here") == 1
    assert "result of here" in texts(document)[1]
    assert texts(document)[1].rstrip().endswith("42")


def test_a_value_taken_with_get_is_shown_once_where_it_was_taken(tmp_path: Path) -> None:
    document = execute(
        notebook(
            'h = jo.dispatch(\'print("printed", "by it"); "value " "of it"\', \'taken\')',
            "h.get()",
            "1",
            "%gather",
            "%%dispatch carded -o c\n'value ' 'of carded'",
            "value = c.get()",
            "%gather",
        ),
        tmp_path,
    )
    assert count(document, "value of it") == 1
    assert "value of it" in texts(document)[2]
    assert count(document, "value of carded") == 1
    assert texts(document)[5].startswith("✓ carded · kernel · done")


def test_task_shows_a_result_again_and_waits_for_one(tmp_path: Path) -> None:
    document = execute(
        notebook("%%dispatch late -w shell\nsleep 0.3; echo result of late", "%task late", "%task late"), tmp_path
    )
    assert ["result of late" in text for text in texts(document)] == [False, False, True, True]


def test_what_was_not_awaited_is_cut_off_and_leaves_nothing(tmp_path: Path) -> None:
    document = execute(
        notebook(
            "%%dispatch long\nimport subprocess\nsubprocess.run(['sleep', '600'])",
            "%%dispatch script -w shell\nsetsid sleep 600 & sleep 600",
            "import time\nwhile jo.task('long').state != 'running':\n    time.sleep(0.02)",
        ),
        tmp_path,
    )
    assert "running" in texts(document)[1]


def test_plots_and_errors_come_as_they_are(tmp_path: Path) -> None:
    document = execute(
        notebook(
            "%%dispatch plot\nimport matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()",
            "%%dispatch bad\nundefined_name",
            "%gather",
        ),
        tmp_path,
    )
    outputs = document.cells[3].outputs
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 1
    assert count(document, "NameError: name 'undefined_name' is not defined") == 3  # card, line, traceback
    assert not [output for output in outputs if output.output_type == "error"]


def test_a_refused_dispatch_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(CellExecutionError, match="did you mean --retry"):
        execute(notebook("%%dispatch x --retri 2\n1"), tmp_path)


def test_a_failed_task_does_not_make_papermill_fail(tmp_path: Path) -> None:
    source, target = tmp_path / "in.ipynb", tmp_path / "out.ipynb"
    nbformat.write(
        notebook(
            "number = 1",
            "%%dispatch bad\nraise RuntimeError('number', number)",
            "%%dispatch good\nprint('result', 'number', number)",
            "%gather",
            "assert jo.task('bad').state == 'failed'",
        ),
        source,
    )
    document = nbformat.read(source, 4)
    document.cells[1].metadata["tags"] = ["parameters"]
    nbformat.write(document, source)
    papermill.execute_notebook(source, target, parameters={"number": 7}, progress_bar=False, cwd=tmp_path)
    done = nbformat.read(target, 4)
    nbformat.validate(done)
    assert count(done, "result number 7") == 1
    assert count(done, "RuntimeError: ('number', 7)") >= 1


def test_a_value_taken_from_a_failed_task_makes_papermill_fail(tmp_path: Path) -> None:
    source = tmp_path / "in.ipynb"
    nbformat.write(notebook("jo.dispatch('1 / 0', 'bad').get()"), source)
    with pytest.raises(papermill.PapermillExecutionError, match="ZeroDivisionError"):
        papermill.execute_notebook(source, tmp_path / "out.ipynb", progress_bar=False, cwd=tmp_path)


# the first notebook


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> NotebookNode:
    """The first notebook, executed."""
    folder = tmp_path_factory.mktemp("first")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_DATA_DIR", str(folder / "data"))
        patch.delenv("JPY_SESSION_NAME", raising=False)
        return execute(nbformat.read(FIRST_RUN, 4), FIRST_RUN.parent)


def test_the_first_notebook_runs_and_shows_each_result_once(first_run: NotebookNode) -> None:
    for text in (
        "array([849.9, 848. , 840.5",  # bootstrap
        "(0.0, 852.4, ", "(0.05, 852.88", "(0.1, 852.25, ", "(0.2, 849.83", "(0.3, 849.25, ",  # the sweep
        "10 880\n",  # the shell task
        "<Figure size 600x300 with 1 Axes>",
        "trim  30%:  849.2",
        "smallest standard error when",
        "raise LookupError",
        "831.5\n",
        "'looked 10 times'",
    ):  # fmt: skip
        assert count(first_run, text) == 1, text
    assert sum("image/png" in o.get("data", {}) for cell in first_run.cells for o in cell.get("outputs", [])) == 1


def test_every_card_of_the_first_notebook_says_how_its_task_ended(first_run: NotebookNode) -> None:
    cards = [read(cell).splitlines()[0] for cell in first_run.cells if cell.source.startswith("%%dispatch")]
    assert len(cards) == 8
    for card in cards:
        assert card.startswith(("✓", "✗", "⊘")), card


def test_the_first_notebook_is_saved_clean() -> None:
    document = nbformat.read(FIRST_RUN, 4)
    nbformat.validate(document)
    for cell in document.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


def test_papermill_runs_the_first_notebook(tmp_path: Path) -> None:
    papermill.execute_notebook(FIRST_RUN, tmp_path / "out.ipynb", progress_bar=False, cwd=FIRST_RUN.parent)
    done = nbformat.read(tmp_path / "out.ipynb", 4)
    assert count(done, "'looked 10 times'") == 1


def test_nbval_runs_the_first_notebook(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-W", "default", "-p", "no:cacheprovider", "--nbval-lax", str(FIRST_RUN)]
    done = subprocess.run(command, cwd=FIRST_RUN.parent, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "failed" not in done.stdout


# the notebook about what tasks share


def test_the_notebook_about_resources_ends_with_its_picture_and_leaves_no_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    done = execute(nbformat.read(RESOURCES, 4), RESOURCES.parent)
    shown = {cell.id: cell.outputs for cell in done.cells if cell.cell_type == "code"}
    assert "blue waits for test-runner" in shown["leases"][0].text
    assert "it waits for press, held by stuck" in shown["waits"][0].text
    assert {"image/svg+xml", "text/html"} <= set(shown["timeline"][0].data)
    assert list(tmp_path.glob("orchestra-shop-*")) == []
