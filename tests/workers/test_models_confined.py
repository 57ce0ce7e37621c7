"""What code that the master wrote can do to the person: kernel and shell tasks in the sandbox, with real processes."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from pathlib import Path

import cloudpickle  # type: ignore[import-untyped]
import msgspec
import pytest
from kernels import Kernels, alive, kernels, until
from test_kernel import go
from worker_doubles import FolderStore, Remembering, make_job

from jupyter_orchestra.core.model import Input, Origin, Place, State
from jupyter_orchestra.core.ports import Failed, Finished, Job, Outcome
from jupyter_orchestra.processes.launcher import LocalLauncher
from jupyter_orchestra.sandbox.probing import rungs
from jupyter_orchestra.sandbox.values import Sandbox
from jupyter_orchestra.workers import capture, confining
from jupyter_orchestra.workers.shell import ShellWorker

RUNGS = {rung.sandbox.kind: rung for rung in rungs()}
MASTER = Origin.MASTER


@pytest.fixture(params=["bubblewrap", "landlock"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    rung = RUNGS[request.param]
    if rung.trouble:
        pytest.skip(f"{request.param}: {rung.trouble}")
    monkeypatch.setattr(confining, "probe", lambda: rung.sandbox)
    return str(request.param)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "data.csv").write_text("data")
    (folder / ".env").write_text("canary")
    return folder


def script(folder: Path, text: str, origin: Origin = MASTER, cwd: Path | None = None) -> tuple[Outcome, Job]:
    job = make_job(folder, text, "shell", cwd=str(cwd or ""))
    job = msgspec.structs.replace(job, spec=msgspec.structs.replace(job.spec, origin=origin))

    async def run() -> Outcome:
        launcher = LocalLauncher()
        try:
            return await ShellWorker(launcher, runtime="here").run(job)
        finally:
            await launcher.close()

    return asyncio.run(run()), job


def test_what_the_rules_planner_took_from_the_persons_words_is_not_confined(kind: str, tmp_path: Path) -> None:
    job = make_job(tmp_path, "echo x > made", "shell", cwd=str(tmp_path))
    job = msgspec.structs.replace(job, spec=msgspec.structs.replace(job.spec, origin=MASTER, literal=True))

    async def run() -> Outcome:
        launcher = LocalLauncher()
        try:
            return await ShellWorker(launcher, runtime="here").run(job)
        finally:
            await launcher.close()

    assert isinstance(asyncio.run(run()), Finished)
    assert (tmp_path / "made").read_text() == "x\n"


def text_of(outcome: Outcome, job: Job, stream: str = "stdout") -> str:
    assert isinstance(outcome, Finished | Failed)
    assert isinstance(job.store, FolderStore)
    return "".join(output["text"] for output in job.store.outputs(outcome.result) if output.get("name") == stream)


def test_a_models_script_reads_the_project_and_changes_nothing(kind: str, tmp_path: Path, project: Path) -> None:
    text = f"cat data.csv .env; echo x > data.csv; echo x > new; echo x > {tmp_path}/out; touch $(mktemp) && echo kept"
    outcome, job = script(tmp_path, text, cwd=project)
    said = text_of(outcome, job)
    assert said == ("datakept\n" if kind == "bubblewrap" else "datacanarykept\n")
    assert (project / "data.csv").read_text() == "data"
    assert not (project / "new").exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("kind")
def test_a_models_script_has_no_network(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        text = f"(echo > /dev/tcp/127.0.0.1/{server.getsockname()[1]}) 2> /dev/null && echo in || echo out"
        assert text_of(*script(tmp_path, text)) == "out\n"


@pytest.mark.usefixtures("kind")
def test_the_persons_script_is_not_confined(tmp_path: Path) -> None:
    outcome, _ = script(tmp_path, f"echo x > {tmp_path}/out", Origin.PERSON)
    assert isinstance(outcome, Finished)
    assert (tmp_path / "out").read_text() == "x\n"


@pytest.mark.usefixtures("kind")
def test_a_models_script_ends_as_it_ends(tmp_path: Path) -> None:
    outcome, _ = script(tmp_path, "exit 3")
    assert isinstance(outcome, Failed)
    assert outcome.failure.message.startswith("exit code 3")


@pytest.mark.usefixtures("kind")
def test_a_cancel_is_heeded_by_a_models_script(tmp_path: Path) -> None:
    job = make_job(tmp_path, "trap 'echo heeded; exit 5' INT; echo begun; while :; do sleep 0.05; done", "shell")
    job = msgspec.structs.replace(job, spec=msgspec.structs.replace(job.spec, origin=MASTER))
    reporter = job.reporter
    assert isinstance(reporter, Remembering)

    async def main() -> None:
        launcher = LocalLauncher()
        work = asyncio.ensure_future(ShellWorker(launcher).run(job))
        await until(lambda: reporter.outputs)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert b"heeded" in (job.folder / "spool").read_bytes()
        assert not alive(reporter.processes[0].pid)
        await launcher.close()

    asyncio.run(main())


def test_where_nothing_confines_the_card_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confining, "probe", lambda: Sandbox("none"))
    _, job = script(tmp_path, "true")
    assert isinstance(job.reporter, Remembering)
    assert job.reporter.bare == ["this machine offers nothing that confines"]


def test_a_models_kernel_reads_the_project_and_changes_nothing(kind: str, tmp_path: Path, project: Path) -> None:
    code = f"""
import os, socket
def tried(act):
    try: return act()
    except OSError as error: return type(error).__name__
[open('data.csv').read(), tried(lambda: open('.env').read()), tried(lambda: open('new', 'w')),
 tried(lambda: open({str(tmp_path / "out")!r}, 'w').close()), tried(lambda: os.kill({{pid}}, 0)),
 tried(lambda: socket.create_connection(('127.0.0.1', {{port}}), 5))]
"""

    async def test() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            async with kernels() as k:
                told = await k.value(code.format(pid=os.getpid(), port=port), origin=MASTER, cwd=str(project))
        assert told[0] == "data"
        assert told[1] == ("PermissionError" if kind == "bubblewrap" else "canary")
        assert told[3] in (None, "PermissionError")  # what it writes to a private folder for temporary files is gone
        assert all(isinstance(word, str) and word.endswith("Error") for word in (told[2], *told[4:]))

    go(test())
    assert not (project / "new").exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("kind")
def test_large_values_go_in_and_out(project: Path) -> None:
    async def test() -> None:
        async with kernels() as k:
            blob = k.store.adopt(written(k, cloudpickle.dumps(b"x" * 300_000)))
            inline = k.store.put(cloudpickle.dumps(b"y" * 100_000))
            inputs = {"a": Input(State.DONE, blob), "b": Input(State.DONE, inline)}
            result = await k.finish(
                "both = results['a'] + results['b']; both", inputs=inputs, origin=MASTER, returns=("both",),
                place=Place(str(project)),
            )  # fmt: skip
            assert k.load(result.value) == k.load(result.returned["both"]) == b"x" * 300_000 + b"y" * 100_000

    go(test())


@pytest.mark.usefixtures("kind")
def test_variables_of_the_notebook_that_lie_in_shared_memory_are_there(project: Path) -> None:
    numpy = pytest.importorskip("numpy")
    big = numpy.arange(500_000.0)

    async def test() -> None:
        async with kernels() as k:
            taken = capture.take(
                "big.sum()", {"big": big}, share=None, no_share=False, store=k.store, folder=k.store.folder / "captures"
            )
            assert taken is not None
            assert (taken.buffers or "").startswith("/dev/shm/")
            try:
                told = await k.value(
                    "big[0] = 5; float(big.sum())", capture=taken, origin=MASTER, place=Place(str(project))
                )
            finally:
                shutil.rmtree(capture.shared_memory(k.store.folder / "captures"))
            assert told == float(big.sum()) + 5

    go(test())


def written(k: Kernels, data: bytes) -> Path:
    path = k.store.folder / "fresh"
    path.write_bytes(data)
    return path


@pytest.mark.usefixtures("kind")
def test_each_task_of_a_model_has_a_kernel_of_its_own_and_nothing_is_left() -> None:
    async def test() -> None:
        async with kernels(warm=1) as k:
            await k.value("open('/tmp/left', 'w').write('x') if False else 1", origin=MASTER)
            one = k.told.processes[0].pid
            await k.value("1", origin=MASTER)
            assert k.told.processes[0].pid != one
            assert not alive(one)
            assert not alive(k.told.processes[0].pid)
            assert k.pool._kernels == k.worker._models_pool._kernels == set()

    go(test())


@pytest.mark.usefixtures("kind")
def test_a_models_kernel_that_is_killed_failed_as_killed() -> None:
    async def test() -> None:
        async with kernels() as k:
            failure = (await k.fail("import os; os.kill(os.getpid(), 9)", origin=MASTER)).failure
            assert (failure.kind, failure.message) == ("killed", "its kernel was killed by SIGKILL")

    go(test())


@pytest.mark.usefixtures("kind")
def test_a_cancel_interrupts_a_models_kernel() -> None:
    code = "import time\ntry:\n    print('begun')\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    print('heeded')"

    async def test() -> None:
        async with kernels() as k:
            job = k.job(code, origin=MASTER)
            work = asyncio.ensure_future(k.worker.run(job))
            await until(lambda: k.told.outputs)
            work.cancel()
            with pytest.raises(asyncio.CancelledError):
                await work
            assert b"heeded" in (job.folder / "spool").read_bytes()
            assert not alive(k.told.processes[0].pid)

    go(test())


@pytest.mark.usefixtures("kind")
@pytest.mark.parametrize("place", ["{folder}/secret", "../secret", "../{folder}/secret"])
def test_no_file_outside_is_taken_for_a_value(tmp_path: Path, place: str) -> None:
    """Its spool is its own to write, so that what it says there is not believed."""
    (tmp_path / "secret").write_bytes(cloudpickle.dumps("canary"))
    named = place.format(folder=tmp_path)
    code = f"""
import json, os, glob
(spool,) = [os.readlink(path) for path in glob.glob('/proc/self/fd/*') if os.path.exists(path)
            and os.readlink(path).endswith('/spool')][-1:]
from jupyter_orchestra.processes.spool import SpoolWriter
SpoolWriter(spool, 1 << 20).frame('return', b'', name='it', file={named!r})
"""

    async def test() -> None:
        async with kernels() as k:
            outcome = await k.run(code, origin=MASTER)
            found = outcome.result.returned.get("it") if isinstance(outcome, Finished) else None
            assert found is None or b"canary" not in k.store.get(found)

    go(test())
    assert b"canary" in (tmp_path / "secret").read_bytes()
