"""The supervisor by real processes: what it starts outlives who asked for it, and nothing outlives the supervisor."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from jupyter_orchestra.core.ports import Launch, Limits
from jupyter_orchestra.processes.ladder import end_gently
from jupyter_orchestra.processes.spool import SpoolReader
from jupyter_orchestra.processes.tree import started
from jupyter_orchestra.resources import steward
from jupyter_orchestra.supervisor.launcher import SupervisedLauncher
from jupyter_orchestra.supervisor.main import BEAT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the supervisor is for Linux")


def removed(folder: Path) -> bool:
    """Whether it is gone; a supervisor that is about to end may still take its socket away."""
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


@pytest.fixture
def place() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="jo-", dir="/tmp"))
    yield folder
    wait_for(lambda: removed(folder))


def launch(place: Path, script: str, **more: object) -> Launch:
    folder = place / f"run-{time.monotonic_ns()}"
    more = {"kept": "lease", **more}
    return Launch(("bash", "-c", script), folder, "", {"PATH": os.environ["PATH"]}, folder / "spool", **more)  # type: ignore[arg-type]


def text(data: bytes) -> str:
    return "".join(frame.payload.decode() for frame in SpoolReader().feed(data) if frame.kind == "stdout")


def supervised(place: Path, act: Callable[[SupervisedLauncher], Awaitable[None]], grace: float = 60.0) -> None:
    async def main() -> None:
        launcher = SupervisedLauncher(place, "test", grace=grace)
        try:
            await act(launcher)
        finally:
            await launcher.close()

    asyncio.run(main())


async def leave(launcher: SupervisedLauncher) -> None:
    """What a kernel that is restarted does."""
    await launcher.release()
    await launcher.close()


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_command_runs_and_its_exit_code_and_output_come_back(place: Path) -> None:
    async def act(launcher: SupervisedLauncher) -> None:
        running = await launcher.start(launch(place, "echo hello; exit 3"))
        assert await running.wait() == 3
        assert "hello" in text(running.read(0))
        await running.end()

    supervised(place, act)


def test_it_says_of_a_process_what_everybody_finds(place: Path) -> None:
    async def act(launcher: SupervisedLauncher) -> None:
        running = await launcher.start(launch(place, "sleep 600"))
        assert running.process.started == started(running.process.pid)
        await running.end()

    supervised(place, act)


def test_what_runs_is_taken_over_with_all_of_its_output(place: Path) -> None:
    async def act(launcher: SupervisedLauncher) -> None:
        job = launch(place, "echo one; while [ ! -e go ]; do sleep 0.05; done; echo two; exit 5")
        job = msgspec.structs.replace(job, cwd=str(place))
        running = await launcher.start(job)
        process = running.process
        other = await launcher.start(launch(place, "sleep 600", kept=""))
        await leave(launcher)
        await asyncio.to_thread(wait_for, lambda: gone(other.process.pid))
        later = SupervisedLauncher(place, "test", adopted=[process.pid])
        found = await later.adopt(process, job.spool)
        assert found is not None
        await asyncio.to_thread((place / "go").touch)
        assert await found.wait() == 5
        said = text(found.read(0))
        assert (said.count("one"), said.count("two")) == (1, 1)
        await later.close()

    supervised(place, act)


def test_what_ended_meanwhile_keeps_its_exit_code(place: Path) -> None:
    async def act(launcher: SupervisedLauncher) -> None:
        job = launch(place, "exit 9")
        running = await launcher.start(job)
        process = running.process
        await leave(launcher)
        await asyncio.to_thread(wait_for, lambda: gone(process.pid))
        later = SupervisedLauncher(place, "test", adopted=[process.pid])
        found = await later.adopt(process, job.spool)
        assert found is not None
        assert await found.wait() == 9
        await later.close()

    supervised(place, act)


def test_a_tree_that_left_its_session_and_ignores_signals_is_ended(place: Path) -> None:
    async def act(launcher: SupervisedLauncher) -> None:
        stray = "import os,signal,time\nsignal.signal(15,1)\nopen('pid','w').write(str(os.getpid()))\ntime.sleep(600)"
        script = (
            f'setsid env -i {sys.executable} -I -S -c "{stray}" & while [ ! -s pid ]; do sleep 0.05; done; sleep 600'
        )
        job = launch(place, script)
        job = msgspec.structs.replace(job, cwd=str(place))
        running = await launcher.start(job)
        await asyncio.to_thread(wait_for, lambda: (place / "pid").exists() and bool((place / "pid").read_text()))
        pid = int(await asyncio.to_thread((place / "pid").read_text))
        await running.end()
        assert gone(pid)
        assert gone(running.process.pid)

    supervised(place, act)


def test_its_workers_die_with_a_killed_supervisor(place: Path) -> None:
    async def act(launcher: SupervisedLauncher) -> None:
        running = await launcher.start(launch(place, "sleep 600"))
        supervisor = psutil.Process(running.process.pid).ppid()
        os.kill(supervisor, signal.SIGKILL)
        async with asyncio.timeout(10):
            await running.wait()
        await asyncio.to_thread(wait_for, lambda: gone(running.process.pid))

    supervised(place, act)


def test_a_kernel_that_ends_leaves_nothing_of_a_killed_supervisor(place: Path) -> None:
    folder = place / "own"
    folder.mkdir(mode=0o700)

    async def act() -> None:
        launcher = SupervisedLauncher(folder, "test")
        running = await launcher.start(launch(place, "sleep 600"))
        os.kill(psutil.Process(running.process.pid).ppid(), signal.SIGKILL)
        async with asyncio.timeout(10):
            await running.wait()
        assert running.lost
        await running.end()
        await launcher.close()

    asyncio.run(act())
    assert not folder.exists()


def test_a_tree_that_takes_more_memory_than_it_may_is_killed(place: Path) -> None:
    async def act(launcher: SupervisedLauncher) -> None:
        hog = f"{sys.executable} -I -S -c 'import time\nx = bytearray(300 << 20)\ntime.sleep(60)'"
        running = await launcher.start(launch(place, hog, limits=Limits(memory=100 << 20)))
        async with asyncio.timeout(20):
            assert await running.wait() != 0
        assert "memory" in running.killed_for
        await running.end()

    supervised(place, act)


def test_after_the_grace_time_everything_ends(place: Path) -> None:
    pids: list[int] = []

    async def act() -> None:
        launcher = SupervisedLauncher(place, "test", grace=0.5)
        running = await launcher.start(launch(place, "sleep 600"))
        pids.extend([running.process.pid, psutil.Process(running.process.pid).ppid()])
        await leave(launcher)

    asyncio.run(act())
    wait_for(lambda: all(map(gone, pids)))


def test_sixty_four_processes_end_at_once(place: Path) -> None:
    pids: list[int] = []

    async def act(launcher: SupervisedLauncher) -> None:
        for _ in range(64):
            pids.append((await launcher.start(launch(place, "sleep 600"))).process.pid)

    supervised(place, act)
    wait_for(lambda: all(map(gone, pids)), 6.0)


def test_what_is_not_adopted_is_ended_before_anything_else_starts(place: Path) -> None:
    async def act(launcher: SupervisedLauncher) -> None:
        jobs = [launch(place, "sleep 600") for _ in range(2)]
        one, two = [await launcher.start(job) for job in jobs]
        await leave(launcher)
        later = SupervisedLauncher(place, "test", adopted=[two.process.pid])
        three = await later.start(launch(place, "true"))
        assert gone(one.process.pid)
        assert not gone(two.process.pid)
        assert [job.folder.exists() for job in jobs] == [False, True]
        assert await three.wait() == 0
        assert await later.adopt(one.process, place) is None
        await later.close()
        assert gone(two.process.pid)

    supervised(place, act)


def test_what_had_ended_keeps_its_folder_in_which_another_may_be_by_now(place: Path) -> None:
    async def act(launcher: SupervisedLauncher) -> None:
        job = launch(place, "true")
        over = await launcher.start(job)
        await over.wait()
        await over.end()
        later = await launcher.start(msgspec.structs.replace(job, argv=("sleep", "600")))
        (job.folder / "mine").touch()
        await leave(launcher)
        successor = SupervisedLauncher(place, "test", adopted=[later.process.pid])
        await successor.look()
        assert (job.folder / "mine").exists()
        await successor.close()

    supervised(place, act)


def test_what_starts_after_a_killed_supervisor_is_not_taken_for_what_that_owned(place: Path) -> None:
    async def act(launcher: SupervisedLauncher) -> None:
        lost = [await launcher.start(launch(place, "sleep 600")) for _ in range(3)]
        os.kill(psutil.Process(lost[0].process.pid).ppid(), signal.SIGKILL)
        async with asyncio.timeout(10):
            await asyncio.gather(*(running.wait() for running in lost))
        fresh = [await launcher.start(launch(place, "sleep 600")) for _ in range(3)]
        await asyncio.gather(*(running.end() for running in lost))
        assert not any(gone(running.process.pid) for running in fresh)
        assert not any(running.lost for running in fresh)
        await asyncio.gather(*(running.end() for running in fresh))

    supervised(place, act)


def test_who_is_cancelled_while_it_starts_waits_until_that_has_ended(place: Path) -> None:
    async def act(launcher: SupervisedLauncher) -> None:
        await (await launcher.start(launch(place, "true"))).end()
        job = launch(place, f"echo $$ >> {place}/pids; exec sleep 600")
        starting = asyncio.ensure_future(launcher.start(job))
        await asyncio.sleep(0)
        starting.cancel()
        await asyncio.wait({starting})
        assert starting.cancelled()
        pids = (place / "pids").read_text().split() if (place / "pids").exists() else []
        assert all(gone(int(pid)) for pid in pids)
        assert not [held for held in await launcher.launches() if held.code is None]

    supervised(place, act)


def test_what_was_left_is_not_touched_any_more(place: Path) -> None:
    async def act(launcher: SupervisedLauncher) -> None:
        kept, other = await launcher.start(launch(place, "sleep 600")), await launcher.start(launch(place, "sleep 600"))
        other.keep("")
        await launcher.release()
        kept.signal(signal.SIGKILL)
        await kept.end()
        await end_gently(kept)
        await other.end()
        await other.settle()
        assert (kept.left, other.left) == (True, False)
        assert not gone(kept.process.pid)
        assert gone(other.process.pid)
        await launcher.close()
        later = SupervisedLauncher(place, "test")
        await later.look()
        assert gone(kept.process.pid)
        await later.close()

    supervised(place, act)


def test_a_kernel_that_ends_for_good_takes_everything_with_it_however_it_ends(place: Path) -> None:
    pids: list[int] = []

    async def act() -> None:
        launcher = SupervisedLauncher(place, "test")
        pids.append((await launcher.start(launch(place, "sleep 600"))).process.pid)
        await launcher.forsake()
        await launcher.release()
        await launcher.close()

    asyncio.run(act())
    wait_for(lambda: all(map(gone, pids)))


def test_a_pause_is_told_once_it_has_come_about(place: Path) -> None:
    async def act(launcher: SupervisedLauncher) -> None:
        running = await launcher.start(launch(place, "sleep 600 & sleep 601"))
        below = psutil.Process(running.process.pid)
        await asyncio.to_thread(wait_for, lambda: len(below.children(recursive=True)) == 3)
        running.signal(signal.SIGSTOP)
        await running.settle()
        states = [process.status() for process in below.children(recursive=True)]
        assert states == [psutil.STATUS_STOPPED] * 3
        await running.end()

    supervised(place, act)


def test_the_beat_says_under_which_leases_something_lives_without_a_kernel(place: Path) -> None:
    beat = place / BEAT

    async def act(launcher: SupervisedLauncher) -> None:
        job = launch(place, "touch up; while [ ! -e go ]; do sleep 0.05; done; sleep 60 & exit 0", kept="kept#1")
        await launcher.start(msgspec.structs.replace(job, cwd=str(place)))
        await launcher.start(launch(place, "sleep 600", kept=""))
        told = steward.read(beat)
        assert told is not None
        assert told.clients == {os.getpid()}
        await leave(launcher)
        await asyncio.to_thread(wait_for, lambda: not getattr(steward.read(beat), "clients", True))
        await asyncio.to_thread(wait_for, lambda: not getattr(steward.read(beat), "settling", True))
        told = steward.read(beat)
        assert told is not None
        assert set(told.living) == {"kept#1"}
        assert told.living["kept#1"].ran <= told.spoken <= time.monotonic()
        await asyncio.to_thread((place / "go").touch)
        await asyncio.to_thread(wait_for, lambda: getattr(steward.read(beat), "living", None) == {})
        later = SupervisedLauncher(place, "test")
        await later.look()
        await later.close()
        await asyncio.to_thread(wait_for, lambda: steward.read(beat) is None)

    supervised(place, act)
