"""Shows the first notebook, in JupyterLab or run here; it knows notebooks and the public API, nothing of the rooms."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import webbrowser
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

if TYPE_CHECKING:
    from nbformat import NotebookNode

NOTEBOOK = "00_first_run.ipynb"
NOTEBOOKS = (NOTEBOOK, "01_talk_to_the_master.ipynb", "02_resources.ipynb")
CELL_TIMEOUT = 300  # seconds
MARK = "jupyter_orchestra.demo:"
SETTINGS: dict[str, dict[str, object]] = {  # of JupyterLab, by plugin of @jupyterlab/apputils-extension
    "notification": {"fetchNews": "false", "checkForUpdates": False},
    "sanitizer": {"allowCommandLinker": False},
}

# Runs in the notebook's kernel after its last cell; handles that lack a figure give null.
FIGURES = f"""
import json as _json
import jupyter_orchestra as _jo
_fields = ("name", "worker", "state", "elapsed", "dispatched_at", "started_at", "ended_at")
print({MARK!r} + _json.dumps([{{f: getattr(t, f, None) for f in _fields}} for t in _jo.tasks()], default=str))
"""


class DemoError(Exception):
    """The demo cannot be shown; the message says what to do."""


class TaskFigures(msgspec.Struct, frozen=True):
    """One task of the notebook; times in POSIX seconds, durations in seconds."""

    name: str
    worker: str
    state: str
    elapsed: float | None = None
    dispatched_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None

    @property
    def work(self) -> float:
        """Seconds from the task's start to its end."""
        if self.started_at is not None and self.ended_at is not None:
            return self.ended_at - self.started_at
        return self.elapsed or 0.0


class Report(msgspec.Struct, frozen=True):
    """What a headless run measured; times in POSIX seconds, durations in seconds."""

    started_at: float
    seconds: float
    dispatching_cells: int
    blocked: float
    tasks: list[TaskFigures]


def find_notebook(path: str | os.PathLike[str] | None = None) -> Path:
    """Return the notebook to show: the one asked for, else the checkout's, else the one inside the package."""
    package = Path(__file__).parent
    checkout = package.parents[1]
    candidates = [Path(path)] if path is not None else [package / NOTEBOOK]
    if path is None and (checkout / "pyproject.toml").is_file():
        candidates.insert(0, checkout / "notebooks" / NOTEBOOK)
    for candidate in candidates:
        if candidate.is_file():
            return candidate.resolve()
    raise DemoError(f"there is no notebook at {candidates[0]}; name one with --notebook PATH")


def copy_to(folder: Path, notebook: Path) -> Path:
    """Copy the notebook and the data folder beside it, so that the original stays as it is; ours come together."""
    data = notebook.parent / "data"
    if data.is_dir():
        shutil.copytree(data, folder / "data")
    for name in NOTEBOOKS if notebook.name in NOTEBOOKS else (notebook.name,):
        if (notebook.parent / name).is_file():
            shutil.copy(notebook.parent / name, folder / name)
    return folder / notebook.name


def can_open_browser(environ: Mapping[str, str] = os.environ) -> bool:
    """Tell whether a page would come up in front of the person."""
    if sys.platform == "linux" and not any(environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")):
        return False
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True


# --- in JupyterLab ----------------------------------------------------------------------------------------------------


def open_in_lab(notebook: Path) -> NoReturn:
    """Become a JupyterLab on loopback that shows a copy of the notebook; the copy stays for the person."""
    if find_spec("jupyterlab") is None:
        raise DemoError("JupyterLab is not installed; pip install 'jupyter_orchestra[demo]', or add --headless")
    folder = Path(tempfile.mkdtemp(prefix="jupyter-orchestra-demo-"))
    copy = copy_to(_made(folder / "notebooks"), notebook)
    print(f"The notebook is a copy, at {copy}. Ctrl-C twice ends JupyterLab.", flush=True)
    command = lab_command(copy)
    os.chdir(copy.parent)
    os.execve(command[0], command, {**os.environ, **lab_settings(folder)})


def lab_command(notebook: Path) -> list[str]:
    """Return the command line of a JupyterLab that shows this notebook, on loopback."""
    root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    address = ["--ServerApp.ip=127.0.0.1", f"--ServerApp.root_dir={notebook.parent}"]
    return [sys.executable, "-m", "jupyterlab", *address, *root, str(notebook)]


def lab_settings(folder: Path) -> dict[str, str]:
    """Write settings for the demo, and return the environment that makes JupyterLab read them.

    Nobody is asked about news, and no button in shown text runs a command of JupyterLab.

    Nothing of the person's own settings and workspaces is touched.
    """
    settings, workspaces = folder / "settings", _made(folder / "workspaces")
    for plugin, values in SETTINGS.items():
        file = _made(settings / "@jupyterlab" / "apputils-extension") / f"{plugin}.jupyterlab-settings"
        file.write_text(json.dumps(values), encoding="utf-8")
    return {"JUPYTERLAB_SETTINGS_DIR": str(settings), "JUPYTERLAB_WORKSPACES_DIR": str(workspaces)}


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


# --- headless ---------------------------------------------------------------------------------------------------------


def run_headless(notebook: Path) -> Report:
    """Run a copy of the notebook in a fresh kernel and measure it.

    Parameters
    ----------
    notebook : Path
        The notebook; it stays as it is.

    Returns
    -------
    Report
        The tasks of the notebook, and how long its dispatching cells took.

    Raises
    ------
    DemoError
        If a cell failed.
    """
    import nbformat

    with tempfile.TemporaryDirectory(prefix="jupyter-orchestra-demo-") as folder:
        copy = copy_to(Path(folder), notebook)
        document = nbformat.read(copy, as_version=4)
        document.cells.append(nbformat.v4.new_code_cell(FIGURES))
        _execute(document, copy.parent)
    *cells, figures = [cell for cell in document.cells if cell.cell_type == "code"]
    return measure(cells, _task_figures(figures))


def _execute(document: NotebookNode, folder: Path) -> None:
    import zmq
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError
    from traitlets.config import Config

    # Plain TCP on loopback can be read by every user of the machine, and the kernel warns of it.
    config = Config({"KernelManager": {"transport_encryption": "auto" if zmq.has("curve") else "disabled"}})
    resources = {"metadata": {"path": str(folder)}}
    try:
        NotebookClient(document, timeout=CELL_TIMEOUT, resources=resources, config=config).execute()
    except CellExecutionError as error:
        raise DemoError(f"a cell of the notebook failed:\n{error}") from error


def _task_figures(cell: NotebookNode) -> list[TaskFigures]:
    printed = "".join(output.text for output in cell.outputs if output.output_type == "stream")
    line = next(line for line in printed.splitlines() if line.startswith(MARK))
    return msgspec.json.decode(line.removeprefix(MARK), type=list[TaskFigures])


def measure(cells: Sequence[NotebookNode], tasks: list[TaskFigures]) -> Report:
    """Put the times of the executed code cells and of the tasks together."""
    spans = [(cell, *span) for cell in cells if (span := _span(cell)) is not None]
    started = min((begin for _, begin, _ in spans), default=0.0)
    ended = max((end for _, _, end in spans), default=started)
    dispatching = [end - begin for cell, begin, end in spans if is_dispatching(cell.source)]
    return Report(started, ended - started, len(dispatching), sum(dispatching), tasks)


def is_dispatching(source: str) -> bool:
    """Tell whether a cell hands out work, by its magic, by talking or through the API."""
    return source.lstrip().startswith(("%%dispatch", "%%chat")) or "dispatch(" in source


def _span(cell: NotebookNode) -> tuple[float, float] | None:
    """Return when the kernel took the cell up and when it answered, in POSIX seconds; None if it never ran."""
    times: dict[str, Any] = cell.metadata.get("execution", {})
    begin, end = times.get("iopub.status.busy"), times.get("shell.execute_reply")
    if begin is None or end is None:
        return None
    return datetime.fromisoformat(begin).timestamp(), datetime.fromisoformat(end).timestamp()


def render(report: Report) -> str:
    """Return the report as a table, with the sentence that it is about at its end."""
    rows: list[tuple[str, ...]] = [("task", "worker", "state", "dispatched", "came back", "work")]
    for task in sorted(report.tasks, key=lambda task: task.ended_at or float("inf")):
        since = [_seconds(at, report.started_at) for at in (task.dispatched_at, task.ended_at)]
        rows.append((task.name, task.worker, task.state, *since, f"{task.work:.2f} s"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    work = sum(task.work for task in report.tasks)
    summary = (
        f"Dispatching blocked the notebook for {report.blocked:.2f} s ({_count(report.dispatching_cells, 'cell')}), "
        f"against {work:.2f} s of work in {_count(len(report.tasks), 'task')}. "
        f"The whole run took {report.seconds:.2f} s."
    )
    return f"{table}\n\n{summary}" if report.tasks else "The notebook dispatched nothing."


def _seconds(at: float | None, start: float) -> str:
    return "-" if at is None else f"{at - start:.2f} s"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
