from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import nbformat
import pytest

from jupyter_orchestra import cli, demo
from jupyter_orchestra.demo import DemoError, Report, TaskFigures

STAND_IN = """
import jupyter_orchestra, time
from types import SimpleNamespace
now = time.time()
done = dict(name="fit", worker="kernel", state="done", elapsed=2.0, dispatched_at=now, started_at=now, ended_at=now + 2)
jupyter_orchestra.tasks = lambda: [SimpleNamespace(**done), SimpleNamespace(name="odd", worker="shell", state="lost")]
"""


def write_notebook(path: Path, *sources: str) -> Path:
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Hello"), *cells]), path)
    return path


def test_notebook_asked_for_is_found_or_named_in_the_error(tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "mine.ipynb")
    assert demo.find_notebook(notebook) == notebook
    with pytest.raises(DemoError, match=r"no notebook at .*other\.ipynb; name one with --notebook"):
        demo.find_notebook(tmp_path / "other.ipynb")


def test_copy_brings_the_data_along_and_leaves_the_original(tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "mine.ipynb")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "table.csv").write_text("a,b\n")
    target = tmp_path / "copy"
    target.mkdir()
    assert demo.copy_to(target, notebook).read_bytes() == notebook.read_bytes()
    assert (target / "data" / "table.csv").read_text() == "a,b\n"


def test_our_notebooks_come_together_and_those_of_a_person_do_not(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    theirs.mkdir()
    demo.copy_to(ours, demo.find_notebook())
    assert {path.name for path in ours.glob("*.ipynb")} == set(demo.NOTEBOOKS)
    write_notebook(tmp_path / "private.ipynb")
    demo.copy_to(theirs, write_notebook(tmp_path / "mine.ipynb"))
    assert [path.name for path in theirs.iterdir()] == ["mine.ipynb"]


def test_no_browser_without_a_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo.sys, "platform", "linux")
    assert not demo.can_open_browser({})
    monkeypatch.setattr(demo.webbrowser, "get", lambda: object())
    assert demo.can_open_browser({"DISPLAY": ":0"})


def test_no_browser_where_python_finds_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing() -> None:
        raise demo.webbrowser.Error

    monkeypatch.setattr(demo.webbrowser, "get", nothing)
    assert not demo.can_open_browser({"DISPLAY": ":0"})


def test_headless_run_measures_tasks_and_dispatching_cells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dispatching = "import time  # jo.dispatch(...)\ntime.sleep(0.2)"
    notebook = write_notebook(tmp_path / "mine.ipynb", STAND_IN, dispatching, "time.sleep(0.3)")
    before = notebook.read_bytes()
    report = demo.run_headless(notebook)
    assert [(task.name, task.work) for task in report.tasks] == [("fit", pytest.approx(2.0)), ("odd", 0.0)]
    assert report.dispatching_cells == 1
    assert 0.2 <= report.blocked < report.seconds
    assert notebook.read_bytes() == before

    assert cli.main(["demo", "--headless", "--notebook", str(notebook)]) == 0
    assert "fit   kernel  done" in capsys.readouterr().out


def test_failing_cell_ends_the_command_with_its_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    notebook = write_notebook(tmp_path / "mine.ipynb", "1 / 0")
    assert cli.main(["demo", "--headless", "--notebook", str(notebook)]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_report_is_a_table_in_order_of_arrival() -> None:
    late = TaskFigures("late", "kernel", "done", 2.0, dispatched_at=101.0, started_at=101.0, ended_at=103.0)
    early = TaskFigures("early", "shell", "done", 1.0, dispatched_at=101.5, started_at=101.5, ended_at=102.5)
    text = demo.render(Report(100.0, 4.0, 2, 0.02, [late, early]))
    assert text.splitlines() == [
        "task   worker  state  dispatched  came back  work",
        "early  shell   done   1.50 s      2.50 s     1.00 s",
        "late   kernel  done   1.00 s      3.00 s     2.00 s",
        "",
        "Dispatching blocked the notebook for 0.02 s (2 cells), against 3.00 s of work in 2 tasks. "
        "The whole run took 4.00 s.",
    ]


def test_notebook_that_dispatched_nothing_says_so() -> None:
    assert demo.render(Report(100.0, 4.0, 0, 0.0, [])) == "The notebook dispatched nothing."


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("%%dispatch fit\n1", True),
        ("\n%%dispatch\n1", True),
        ("%%chat\nfit", True),
        ("t = jo.dispatch('1')", True),
        ("%gather", False),
    ],
)
def test_dispatching_cells_are_told_by_their_source(source: str, expected: bool) -> None:
    assert demo.is_dispatching(source) is expected


def test_missing_jupyterlab_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(demo, "find_spec", lambda _: None)
    with pytest.raises(DemoError, match=r"pip install 'jupyter_orchestra\[demo\]'"):
        demo.open_in_lab(tmp_path / "mine.ipynb")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[str]:
    """The demo's JupyterLab without its browser; yields its address."""
    notebook = write_notebook(tmp_path / "mine.ipynb")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [*demo.lab_command(notebook), "--no-browser", f"--ServerApp.port={port}", "--IdentityProvider.token="]
    with (tmp_path / "log").open("w") as log:
        env = {**os.environ, **demo.lab_settings(tmp_path), "JUPYTER_CONFIG_DIR": str(tmp_path / "config")}
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def get(url: str) -> dict[str, object]:
    deadline = time.monotonic() + 60
    while True:
        try:
            with urlopen(url, timeout=10) as answer:
                return json.load(answer)  # type: ignore[no-any-return]
        except URLError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def test_jupyterlab_of_the_demo_shows_no_news_and_finds_the_labextension(lab: str) -> None:
    news = get(f"{lab}/lab/api/settings/@jupyterlab/apputils-extension:notification")
    assert json.loads(str(news["raw"]))["fetchNews"] == "false"
    cleaning = get(f"{lab}/lab/api/settings/@jupyterlab/apputils-extension:sanitizer")
    assert json.loads(str(cleaning["raw"]))["allowCommandLinker"] is False
    assert get(f"{lab}/api/contents/mine.ipynb?content=0")["type"] == "notebook"
    with urlopen(f"{lab}/lab", timeout=10) as page:
        assert b"jupyter-orchestra" in page.read()
