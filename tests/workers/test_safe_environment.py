"""What code that a model wrote gets of the person's environment and values, with real processes."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import msgspec
import nbformat
import pytest
from kernels import kernels
from test_kernel import go
from test_shell import finished
from worker_doubles import FolderStore, make_job

from jupyter_orchestra.core.model import Blob, Input, Origin, State
from jupyter_orchestra.core.ports import Finished, Job
from jupyter_orchestra.processes.launcher import LocalLauncher
from jupyter_orchestra.sandbox.values import Sandbox
from jupyter_orchestra.workers import confining
from jupyter_orchestra.workers.notebook import NotebookWorker
from jupyter_orchestra.workers.safe_environment import KEPT, SECRETS, safe_environment

CANARY = "canary-5ca1ab1e"
EVERYWHERE = """import os, subprocess
str(dict(os.environ)) + open('/proc/self/environ').read() + subprocess.run('env', capture_output=True, text=True).stdout
"""


@pytest.fixture(autouse=True)
def _a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_API_KEY", CANARY)


def of_a_model(job: Job) -> Job:
    return msgspec.structs.replace(job, spec=msgspec.structs.replace(job.spec, origin=Origin.MASTER))


def test_what_can_hold_a_key_is_not_kept() -> None:
    assert not [name for name in KEPT if any(secret in name for secret in SECRETS)]
    tuning = {"OMP_NUM_THREADS": "2", "CUDA_VISIBLE_DEVICES": "0", "LC_CTYPE": "C.UTF-8"}
    other = {"CUDA_TOKEN": "x", "MKL_LICENSE_FILE": "x", "LC_SECRET": "x", "path": "x", "XDG_RUNTIME_DIR": "x", "": "x"}
    assert safe_environment({**tuning, **other}) == tuning


@pytest.mark.parametrize("origin", [Origin.MASTER, Origin.TASK])
def test_no_key_is_in_a_models_kernel(monkeypatch: pytest.MonkeyPatch, origin: Origin) -> None:
    async def test() -> None:
        async with kernels(warm=1) as k:
            assert (await k.value(EVERYWHERE)).count(CANARY) == 3
            seen = await k.value(EVERYWHERE, origin=origin)
            assert CANARY not in seen
            assert seen.count("ORCHESTRA_TASK_UID") == 2  # the process is older than the task
            assert seen.count("PATH=") >= 2
            monkeypatch.setenv("LATER_TOKEN", CANARY)  # since the kernel began
            monkeypatch.setenv("OMP_NUM_THREADS", "3")
            assert CANARY not in await k.value(EVERYWHERE, origin=origin)
            assert await k.value("import os; os.environ['OMP_NUM_THREADS']", origin=origin) == "3"
            assert (await k.value(EVERYWHERE)).count(CANARY) == 5

    go(test())


@pytest.fixture
def _unconfined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confining, "probe", lambda: Sandbox("none"))


@pytest.mark.usefixtures("_unconfined")
def test_no_kernel_runs_what_the_person_and_what_a_model_wrote() -> None:
    async def test() -> None:
        async with kernels() as k:
            origins = [Origin.PERSON, Origin.MASTER, Origin.PERSON, Origin.TASK]
            mine, models, mine_again, models_again = [
                await k.value("import os; os.getpid()", origin=o) for o in origins
            ]
            assert (mine, models) == (mine_again, models_again)
            assert mine != models

    go(test())


@pytest.mark.usefixtures("_unconfined")
def test_no_warm_kernel_waits_for_a_model_before_the_first_need() -> None:
    async def test() -> None:
        async with kernels(warm=1) as k:
            await k.value("1")
            assert k.worker._models_pool._kernels == set()
            await k.value("1", origin=Origin.MASTER)
            assert k.worker._models_pool._kernels

    go(test())


class Trap:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self._path}",)


def test_a_trap_among_the_results_does_nothing_in_the_persons_kernel(tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"

    def found(value: object, *, trusted: bool) -> Input:
        data = cloudpickle.dumps(value)
        return Input(State.DONE, Blob(len(data), data), trusted=trusted)

    async def test() -> None:
        async with kernels() as k:
            inputs = {"trap": found(Trap(sprung), trusted=False), "data": found({"a": [1]}, trusted=False)}
            inputs["large"] = found(b"x" * 100_000, trusted=False)
            outcome = await k.fail("results['trap']", inputs=inputs)
            assert outcome.failure.message == (
                "the value of 'trap' holds posix.system, which is not loaded from what a model wrote: "
                "dispatch its code yourself, or have it return plain data"
            )
            assert not sprung.exists()
            assert await k.value("results['data'], len(results['large'])", inputs=inputs) == ({"a": [1]}, 100_000)
            mine = {"mine": found(lambda: 7, trusted=True)}
            assert await k.value("results['mine']()", inputs=mine) == 7
            models = {"models": found(lambda: 8, trusted=False)}
            assert await k.value("results['models']()", inputs=models, origin=Origin.MASTER) == 8

    go(test())


def test_no_key_is_in_a_models_script(tmp_path: Path) -> None:
    script = (
        "env; cat /proc/$$/environ /proc/$PPID/environ | tr '\\0' ' '; echo; echo $ORCHESTRA_RUNTIME $ORCHESTRA_TASK"
    )
    mine, models = tmp_path / "mine", tmp_path / "models"
    mine.mkdir()
    models.mkdir()
    assert finished(make_job(mine, script, "shell"))[1].stdout.count(CANARY) == 3
    said = finished(of_a_model(make_job(models, script, "shell")))[1].stdout
    assert CANARY not in said
    assert said.endswith("\nhere fit\n")


@pytest.mark.parametrize("origin", [Origin.PERSON, Origin.MASTER])
def test_no_key_is_in_a_models_notebook(tmp_path: Path, origin: Origin) -> None:
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    cell = nbformat.v4.new_code_cell(f"{EVERYWHERE.rstrip()}")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata=kernel), tmp_path / "n.ipynb")
    job = make_job(tmp_path, "n.ipynb", "notebook")
    job = job if origin is Origin.PERSON else of_a_model(job)

    async def run() -> Any:
        launcher = LocalLauncher()
        try:
            return await NotebookWorker(launcher).run(job)
        finally:
            await launcher.close()

    outcome = asyncio.run(run())
    assert isinstance(outcome, Finished)
    store = job.store
    assert isinstance(store, FolderStore)
    (shown,) = [output for output in store.outputs(outcome.result) if output["output_type"] == "execute_result"]
    assert shown["data"]["text/plain"].count(CANARY) == (3 if origin is Origin.PERSON else 0)
