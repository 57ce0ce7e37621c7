import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import msgspec
import nbformat
import pytest
from worker_doubles import FolderStore, Remembering, make_job

from jupyter_orchestra.core.ports import Failed, Finished, Job, Outcome
from jupyter_orchestra.errors import UsageError
from jupyter_orchestra.processes.launcher import LocalLauncher
from jupyter_orchestra.processes.tree import members
from jupyter_orchestra.workers.notebook import NotebookWorker, read_brief


def write(path: Path, *sources: str, parameters: str = "") -> Path:
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    if parameters:
        cells.insert(0, nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    path.parent.mkdir(exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), path)
    return path


def run(job: Job, ready: Callable[[], object] | None = None) -> Outcome:
    """The outcome; with `ready` the task is cancelled as soon as that holds."""

    async def main() -> Outcome:
        launcher = LocalLauncher()
        task = asyncio.ensure_future(NotebookWorker(launcher).run(job))
        try:
            if ready:
                while not ready():  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                task.cancel()
            return await task
        finally:
            await launcher.close()

    return asyncio.run(main())


def executed(job: Job, outcome: Finished | Failed) -> Any:
    (artifact,) = (artifact for artifact in outcome.result.artifacts if artifact.name == "fit.ipynb")
    assert artifact.mime == "application/x-ipynb+json"
    return nbformat.reads(job.store.get(artifact.blob).decode(), as_version=4)


def test_a_notebook_runs_with_its_parameters_in_its_folder(tmp_path: Path) -> None:
    source = write(
        tmp_path / "a {dir}" / "note.ipynb",
        "import os; print(os.getcwd(), words)",
        "rate * 2",
        "",
        parameters="rate = 0.1\nwords = []",
    )
    before = source.read_bytes()
    job = make_job(tmp_path, 'a {dir}/note.ipynb\n\nrate = 21\nwords = ["é", ("b",)]\nother = None', "notebook")
    outcome = run(job)
    assert isinstance(outcome, Finished)
    store = cast(FolderStore, job.store)
    first, last = store.outputs(outcome.result)
    assert first["data"]["text/plain"] == "42"
    assert last["text"] == "note.ipynb: 4 cells executed, kept as fit.ipynb\n"
    assert outcome.result.notes == ("no parameters cell defines other",)
    notebook = executed(job, outcome)
    assert f"{source.parent} ['é', ['b']]" in notebook.cells[2].outputs[0].text
    assert nbformat.read(store.value(outcome.result), as_version=4) == notebook
    assert source.read_bytes() == before
    assert (1.0, "cell 5 of 5") in cast(Remembering, job.reporter).told


def test_a_notebook_that_names_no_kernel_runs_in_python(tmp_path: Path) -> None:
    path = write(tmp_path / "note.ipynb", "a + 1", parameters="a = 1")
    notebook = nbformat.read(path, as_version=4)
    del notebook.metadata["kernelspec"]
    nbformat.write(notebook, path)
    job = make_job(tmp_path, "note.ipynb\na = 41\nother = 1", "notebook")
    outcome = run(job)
    assert isinstance(outcome, Finished), outcome
    assert cast(FolderStore, job.store).outputs(outcome.result)[0]["data"]["text/plain"] == "42"
    assert outcome.result.notes == ("no parameters cell defines other",)


def test_its_kernel_is_not_told_which_notebook_ours_belongs_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", "/somewhere/mine.ipynb")
    write(tmp_path / "note.ipynb", "import os; os.environ.get('JPY_SESSION_NAME', 'none')")
    job = make_job(tmp_path, "note.ipynb", "notebook")
    outcome = run(job)
    assert isinstance(outcome, Finished), outcome
    assert cast(FolderStore, job.store).outputs(outcome.result)[0]["data"]["text/plain"] == "'none'"


def test_a_message_that_is_no_text_can_be_encoded(tmp_path: Path) -> None:
    write(tmp_path / "note.ipynb", "raise ValueError('a\\ud800b')")
    outcome = run(make_job(tmp_path, "note.ipynb", "notebook"))
    assert isinstance(outcome, Failed)
    assert msgspec.json.encode(outcome.failure)


def test_a_cell_that_fails_is_named_and_the_notebook_kept(tmp_path: Path) -> None:
    write(tmp_path / "note.ipynb", "1", "raise ValueError('no \\n way')", "2")
    job = make_job(tmp_path, "note.ipynb", "notebook")
    outcome = run(job)
    assert isinstance(outcome, Failed)
    assert (outcome.failure.kind, outcome.failure.name) == ("exception", "ValueError")
    assert outcome.failure.message == "no \n way (in cell [2] of note.ipynb)"
    assert [output["output_type"] for output in cast(FolderStore, job.store).outputs(outcome.result)] == [
        "error",
        "stream",
    ]
    assert any("raise ValueError" in cell.source for cell in executed(job, outcome).cells)


def test_a_missing_kernel_fails_the_start(tmp_path: Path) -> None:
    path = write(tmp_path / "note.ipynb", "1")
    path.write_text(path.read_text().replace("python3", "no-such-kernel"))
    outcome = run(make_job(tmp_path, "note.ipynb", "notebook"))
    assert isinstance(outcome, Failed)
    assert (outcome.failure.kind, outcome.failure.name) == ("start", "NoSuchKernel")


def test_a_kernel_that_dies_fails_the_task(tmp_path: Path) -> None:
    write(tmp_path / "note.ipynb", "import os; os.kill(os.getpid(), 9)")
    outcome = run(make_job(tmp_path, "note.ipynb", "notebook"))
    assert isinstance(outcome, Failed)
    assert (outcome.failure.kind, outcome.failure.name) == ("killed", "DeadKernelError")


def test_a_notebook_that_went_away_fails_the_start(tmp_path: Path) -> None:
    outcome = run(make_job(tmp_path, "note.ipynb", "notebook"))
    assert isinstance(outcome, Failed)
    assert outcome.failure.kind == "start"
    assert f"there is no notebook {tmp_path / 'note.ipynb'}" in outcome.failure.message


def test_cancel_ends_papermill_and_its_kernel(tmp_path: Path) -> None:
    write(tmp_path / "note.ipynb", "open('up', 'w').close(); import time\nwhile True: time.sleep(1)")
    job = make_job(tmp_path, "note.ipynb", "notebook")
    mark = f"ORCHESTRA_TASK_UID={job.spec.uid}"
    seen: list[float] = []

    def ready() -> bool:
        if (tmp_path / "up").exists():
            assert len(members(mark)) >= 2
            seen.append(time.monotonic())
        return bool(seen)

    with pytest.raises(asyncio.CancelledError):
        run(job, ready)
    assert time.monotonic() - seen[0] < 6.5
    assert not members(mark)


@pytest.mark.parametrize(
    ("brief", "wrong"),
    [
        ("", "the body is empty"),
        ("n.ipynb\nx", "line 2 is not of the form `name = literal`: x"),
        ("n.ipynb\n\nclass = 1", "line 3 is not of the form"),
        ("n.ipynb\nx = y", "line 2: the value of x is not a Python literal: y"),
        ("n.ipynb\nx = [{1}]", "line 2: x holds a set"),
        ("n.ipynb\nx = {1: 2}", "line 2: x holds the key 1"),
    ],
)
def test_a_brief_that_can_not_be_right(brief: str, wrong: str) -> None:
    with pytest.raises(UsageError, match=r"^.+$") as caught:
        read_brief(brief)
    assert str(caught.value).startswith(wrong)


def test_a_brief_is_read() -> None:
    order = read_brief("\n a b.ipynb \n# note\nx = 1\n y='= 2'\nz=-1e3")
    assert order == ("a b.ipynb", {"x": 1, "y": "= 2", "z": -1000.0})


def test_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    worker = NotebookWorker(LocalLauncher())
    write(tmp_path / "note.ipynb", "1")
    (tmp_path / "bad.ipynb").write_text("{")
    (tmp_path / "list.ipynb").write_text("[]")
    assert worker.check("note.ipynb\nx = 1") == ""
    assert worker.check("other.ipynb") == "there is no notebook other.ipynb"
    assert "can't be read as a notebook" in worker.check("bad.ipynb")
    assert worker.check("list.ipynb") == "list.ipynb is not a notebook"
    assert "line 2" in worker.check("note.ipynb\nx")
