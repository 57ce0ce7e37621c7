import asyncio
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from worker_doubles import FolderStore, Remembering, make_job

from jupyter_orchestra.core.ports import Blocked, Failed, Finished, Job, Outcome
from jupyter_orchestra.processes.launcher import LocalLauncher
from jupyter_orchestra.processes.tree import members
from jupyter_orchestra.values import ShellResult
from jupyter_orchestra.workers.shell import ShellWorker

EARLY = 0.9


def run(job: Job, meanwhile: Callable[[ShellWorker, asyncio.Task[Outcome]], Awaitable[None]] | None = None) -> Outcome:
    async def main() -> Outcome:
        launcher = LocalLauncher()
        worker = ShellWorker(launcher, runtime="here", limit=3_000_000)
        task = asyncio.ensure_future(worker.run(job))
        try:
            if meanwhile:
                await meanwhile(worker, task)
            return await task
        finally:
            await launcher.close()

    return asyncio.run(main())


def finished(job: Job) -> tuple[Finished, ShellResult, FolderStore]:
    outcome = run(job)
    assert isinstance(outcome, Finished)
    store = cast(FolderStore, job.store)
    return outcome, store.value(outcome.result), store


def failed(job: Job) -> Failed:
    outcome = run(job)
    assert isinstance(outcome, Failed)
    return outcome


def reporter(job: Job) -> Remembering:
    return cast(Remembering, job.reporter)


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.005)


def test_a_script_that_succeeds(tmp_path: Path) -> None:
    job = make_job(tmp_path, "echo out; echo err >&2; pwd; echo $ORCHESTRA_TASK_UID $ORCHESTRA_TASK", "shell")
    outcome, value, store = finished(job)
    assert (value, value.stdout, value.stderr) == (0, f"out\n{tmp_path}\nuid-{tmp_path.name} fit\n", "err\n")
    assert {output["name"] for output in store.outputs(outcome.result)} == {"stdout", "stderr"}
    assert outcome.result.text == "exit code 0"
    assert outcome.result.usage.seconds > 0
    assert reporter(job).processes[0].started > 0
    assert reporter(job).told[-1][1] in (f"uid-{tmp_path.name} fit", "err")
    assert "".join(str(output["text"]) for output in reporter(job).outputs if output["name"] == "stderr") == "err\n"


def test_a_script_that_is_paused_before_it_begins_does_not_begin(tmp_path: Path) -> None:
    job = make_job(tmp_path, "echo ran", "shell")

    async def meanwhile(worker: ShellWorker, task: asyncio.Task[Outcome]) -> None:
        await worker.pause(job)
        await until((job.folder / "script.sh").exists)
        for _ in range(20):
            await asyncio.sleep(0.005)
        assert reporter(job).processes == []
        await worker.resume(job)

    assert isinstance(run(job, meanwhile), Finished)
    assert len(reporter(job).processes) == 1


def test_a_script_sees_the_persons_environment_as_it_is_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE", "yes")
    assert finished(make_job(tmp_path, "echo $MINE $ORCHESTRA_RUNTIME", "shell"))[1].stdout == "yes here\n"


def test_a_script_is_not_told_which_notebook_its_kernel_belongs_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", "/somewhere/mine.ipynb")
    assert finished(make_job(tmp_path, "echo ${JPY_SESSION_NAME-none}", "shell"))[1].stdout == "none\n"


ENDING = """
import asyncio, atexit, sys, threading
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from worker_doubles import make_job
from jupyter_orchestra.processes.launcher import LocalLauncher
from jupyter_orchestra.workers.shell import ShellWorker

job = make_job(Path(sys.argv[2]), "trap 'echo no' INT; echo up; while true; do sleep 1000; done", "shell")
ready, stopped = threading.Event(), asyncio.Event()

async def main():
    global loop
    loop, launcher = asyncio.get_running_loop(), LocalLauncher()
    task = asyncio.create_task(ShellWorker(launcher).run(job))
    while not job.reporter.outputs:
        await asyncio.sleep(0.01)
    ready.set()
    await stopped.wait()
    if sys.argv[3] == "cancel":
        task.cancel()
        await asyncio.wait({task})
    await launcher.close()

def stop():
    loop.call_soon_threadsafe(stopped.set)
    thread.join(20)

thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
atexit.register(stop)
thread.start()
assert ready.wait(20)
"""


@pytest.mark.parametrize("how", ["cancel", "close"])
def test_an_interpreter_that_ends_leaves_nothing_and_complains_of_nothing(tmp_path: Path, how: str) -> None:
    here = os.fspath(Path(__file__).parent)
    command = [sys.executable, "-c", ENDING, here, os.fspath(tmp_path), how]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert not members(f"ORCHESTRA_TASK_UID=uid-{tmp_path.name}")


@pytest.mark.parametrize(
    ("script", "kind", "name", "message"),
    [
        ("echo first >&2; echo no such thing >&2; exit 3", "exit", "ExitCode", "exit code 3: no such thing"),
        ("false", "exit", "ExitCode", "exit code 1"),
        ("kill -TERM $$", "killed", "Killed", "killed by SIGTERM"),
        ("kill -SEGV $$", "killed", "Killed", "killed by SIGSEGV"),
        (
            "(exec sh -c 'kill -9 $$'); exit $?",
            "exit",
            "ExitCode",
            "exit code 137 (a command in it was killed by SIGKILL)",
        ),
    ],
)
def test_a_script_that_fails(tmp_path: Path, script: str, kind: str, name: str, message: str) -> None:
    failure = failed(make_job(tmp_path, script, "shell")).failure
    assert (failure.kind, failure.name) == (kind, name)
    assert failure.message.startswith(message)


def test_a_failure_keeps_its_output(tmp_path: Path) -> None:
    job = make_job(tmp_path, "echo before; exit 1", "shell")
    result = failed(job).result
    assert cast(FolderStore, job.store).outputs(result)[0]["text"] == "before\n"
    assert result.value is None


def test_much_output_is_kept_as_a_file(tmp_path: Path) -> None:
    outcome, value, _ = finished(make_job(tmp_path, "yes | head -c 5000000; echo the end", "shell"))
    (artifact,) = outcome.result.artifacts
    assert (artifact.name, artifact.blob.size) == ("fit.txt", 3_000_000)
    assert outcome.result.notes == (
        "3.0 MB of output: the whole is in artifact fit.txt",
        "output cut at 3.0 MB: 2,000,008 bytes dropped",
    )
    assert value.stdout.endswith("the end\n")
    assert len(value.stdout) < 2 << 20


def test_a_missing_directory_fails_the_start(tmp_path: Path) -> None:
    failure = failed(make_job(tmp_path, "true", "shell", cwd="/nowhere")).failure
    assert failure.kind == "start"
    assert "/nowhere" in failure.message


def test_the_value_is_a_number_and_survives_pickling() -> None:
    value = pickle.loads(pickle.dumps(ShellResult(3, "o" * 100, "e")))
    assert (value, value.stdout, value.stderr, type(value)) == (3, "o" * 100, "e", ShellResult)
    assert value + 1 == 4
    assert repr(value) == f"ShellResult(3, stdout='{'o' * 40}…{'o' * 19}', stderr='e')"


@pytest.mark.parametrize(
    ("brief", "wrong"),
    [("echo 1", ""), ("  \n", "the body is empty"), ("if true; then", "line 2: syntax error"), ("echo 'a", "line 1:")],
)
def test_check(brief: str, wrong: str) -> None:
    said = ShellWorker(LocalLauncher()).check(brief)
    assert wrong in said
    assert bool(said) == bool(wrong)
    assert "\n" not in said


def test_cancel_leaves_nothing_and_lets_the_cancellation_through(tmp_path: Path) -> None:
    job = make_job(tmp_path, "(setsid sleep 1000 &); echo ready; sleep 1000; :", "shell")
    mark = f"ORCHESTRA_TASK_UID={job.spec.uid}"

    async def cancel(worker: ShellWorker, task: asyncio.Task[Outcome]) -> None:
        await until(lambda: reporter(job).outputs and len(members(mark)) >= 4)
        begin = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - begin < EARLY
        assert not members(mark)

    with pytest.raises(asyncio.CancelledError):
        run(job, cancel)


def test_pause_and_resume(tmp_path: Path) -> None:
    job = make_job(tmp_path, "i=0; while [ ! -e stop ]; do echo $((i++)) >> count; sleep 0.01; done", "shell")
    count, mark = tmp_path / "count", f"ORCHESTRA_TASK_UID={job.spec.uid}"

    def stopped() -> bool:
        pids = members(mark) - {reporter(job).processes[0].pid}
        try:
            return {Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] for pid in pids} == {"T"}
        except FileNotFoundError:  # one has just ended by itself
            return False

    async def hold(worker: ShellWorker, task: asyncio.Task[Outcome]) -> None:
        await until(lambda: count.exists())
        await worker.pause(job)
        await until(stopped)
        held = count.read_bytes()
        await asyncio.sleep(0.1)
        assert count.read_bytes() == held
        await worker.resume(job)
        await until(lambda: count.read_bytes() != held)
        (tmp_path / "stop").touch()

    assert isinstance(run(job, hold), Finished)


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("no right to mount")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def fill(disk: Path) -> None:
    with open(disk / "filler", "wb", buffering=0) as file:
        while True:
            try:
                file.write(b"x" * 4096)
            except OSError:
                return


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a tmpfs")
def test_a_full_disk_blocks_until_there_is_room(full_disk: Path) -> None:
    job = make_job(full_disk, "echo hello", "shell")
    fill(full_disk)
    outcome = run(job)
    assert isinstance(outcome, Blocked)
    assert "the disk is full: free some space" in outcome.reason
    (full_disk / "filler").unlink()
    assert isinstance(run(job), Finished)


def test_steering_is_refused_in_one_line(tmp_path: Path) -> None:
    job: Any = make_job(tmp_path, "true", "shell")
    with pytest.raises(NotImplementedError, match="takes no messages"):
        asyncio.run(ShellWorker(LocalLauncher()).steer(job, "x"))
