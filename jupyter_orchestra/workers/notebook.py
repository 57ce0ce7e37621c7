"""Carries out notebook tasks: the brief names a notebook and its parameters; knows nothing of how papermill works."""

from __future__ import annotations

import ast
import json
import keyword
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import cloudpickle  # type: ignore[import-untyped]
import msgspec

from ..core.model import Artifact, Blob, Failure, Kind
from ..core.ports import Failed, Finished, Job, Launch, Launcher, Outcome, Store
from ..errors import UsageError
from ..processes.launcher import describe
from ..processes.spool import Frame
from .starting import Attempt, ProcessWorker, environment

MIME = "application/x-ipynb+json"


class Order(NamedTuple):
    """A brief, read."""

    path: str
    parameters: dict[str, Any]


def read_brief(brief: str) -> Order:
    """The path on the first line, then one ``name = literal`` a line. Raises UsageError."""
    lines = [(number, line.strip()) for number, line in enumerate(brief.splitlines(), 1)]
    lines = [(number, line) for number, line in lines if line and not line.startswith("#")]
    if not lines:
        raise UsageError("the body is empty: write the path of a notebook on its first line")
    parameters = dict(_parameter(number, line) for number, line in lines[1:])
    return Order(lines[0][1], parameters)


class NotebookWorker(ProcessWorker):
    """Executes notebooks with papermill, each in its own kernel and folder; the notebook itself stays as it is."""

    def __init__(self, launcher: Launcher, slots: int = 2, *, runtime: str = "") -> None:
        super().__init__(launcher, Kind("notebook", slots))
        self._runtime = runtime

    def check(self, brief: str) -> str:
        """What is wrong with a brief, in one line."""
        try:
            path = Path(read_brief(brief).path).expanduser()
        except UsageError as error:
            return str(error)
        return _unreadable(path)

    def attempt(self, job: Job) -> Attempt:
        """One execution."""
        return _Execution(job, self._runtime)


class _Execution(Attempt):
    def __init__(self, job: Job, runtime: str) -> None:
        super().__init__(job)
        self._order = read_brief(job.spec.brief)
        self._runtime = runtime
        self._summary: dict[str, Any] = {}
        self._output = job.folder / "executed.ipynb"

    def prepare(self) -> Launch:
        """Write the job file of the program that executes it."""
        job = self.job
        notebook = Path(job.spec.place.cwd, os.path.expanduser(self._order.path)).resolve()
        if wrong := _unreadable(notebook):
            raise FileNotFoundError(wrong)
        file = job.folder / "job.json"
        work = {
            "notebook": os.fspath(notebook),
            "output": os.fspath(self._output),
            "folder": os.fspath(notebook.parent),
            "spool": os.fspath(job.folder / "spool"),
            "parameters": self._order.parameters,
        }
        file.write_text(json.dumps(work))
        return Launch(
            argv=(sys.executable, "-m", "jupyter_orchestra.workers.notebook_run", os.fspath(file)),
            folder=job.folder,
            cwd=os.fspath(job.folder),  # not the notebook's: with -m, modules there would come before ours
            environment=environment(job, self._runtime),
            spool=job.folder / "spool",
            spooled=True,
        )

    def seen(self, frame: Frame) -> None:
        """The last frame says how it went."""
        if frame.kind == "summary":
            self._summary = json.loads(frame.payload)

    def conclude(self, code: int) -> Outcome:
        """The executed notebook becomes an artifact, whether it succeeded or not."""
        summary, store, name = self._summary, self.job.store, f"{self.job.name}.ipynb"
        line = f"{Path(self._order.path).name}: {summary.get('cells', 0)} cells executed"
        self.collector.feed(Frame("stdout", {}, f"{line}, kept as {name}\n".encode()))
        result = self.collector.finish(store)
        notes = tuple(f"no parameters cell defines {unknown}" for unknown in summary.get("unknown", ()))
        result = msgspec.structs.replace(result, text=line, notes=(*result.notes, *notes))
        notebook = store.adopt(self._output) if self._output.exists() else None
        if notebook:
            result = msgspec.structs.replace(result, artifacts=(*result.artifacts, Artifact(name, notebook, MIME)))
        if "failure" in summary:
            return Failed(Failure(**summary["failure"]), result)
        if code or not notebook:
            return Failed(self._crash(code), result)
        return Finished(msgspec.structs.replace(result, value=_value(store, notebook, name)))

    def _crash(self, code: int) -> Failure:
        said = (self.job.folder / "raw.txt").read_text(errors="replace").strip().rpartition("\n")[2]
        message = f"{describe(code)}: {said[:200]}" if said else describe(code)
        return Failure("killed", "Killed", message) if code < 0 else Failure("exit", "ExitCode", message)


def _value(store: Store, notebook: Blob, name: str) -> Blob:
    """What a dependent task can open: the path of the executed notebook."""
    return store.put(cloudpickle.dumps(os.fspath(store.file(notebook) or name)))


def _parameter(number: int, line: str) -> tuple[str, Any]:
    name, equals, literal = (part.strip() for part in line.partition("="))
    if not equals or not name.isidentifier() or keyword.iskeyword(name):
        raise UsageError(f"line {number} is not of the form `name = literal`: {line}")
    try:
        value = ast.literal_eval(literal)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise UsageError(f"line {number}: the value of {name} is not a Python literal: {literal}") from None
    if wrong := _not_json(value):
        raise UsageError(f"line {number}: {name} holds {wrong}, which papermill can't pass on; use a list or a string")
    return name, value


def _not_json(value: object) -> str:
    """Something in a value that JSON has no form for."""
    if isinstance(value, dict):
        return next((f"the key {key!r}" for key in value if not isinstance(key, str)), "") or _not_json(
            [*value.values()]
        )
    if isinstance(value, list | tuple):
        return next(filter(None, map(_not_json, value)), "")
    return "" if value is None or isinstance(value, str | int | float) else f"a {type(value).__name__}"


def _unreadable(path: Path) -> str:
    """Why the file at `path` is no notebook, in one line."""
    if not path.is_file():
        return f"there is no notebook {path}"
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        return f"{path} can't be read as a notebook: {error}"
    if not isinstance(content, dict) or ("cells" not in content and "worksheets" not in content):
        return f"{path} is not a notebook"
    return ""
