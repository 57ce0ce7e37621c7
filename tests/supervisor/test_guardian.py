"""What a killed supervisor owned ends with it, though nothing but its descent tells whose it was."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from live_kernel import wait_until

from jupyter_orchestra.core.ports import Launch
from jupyter_orchestra.supervisor.launcher import SupervisedLauncher
from jupyter_orchestra.supervisor.main import living

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the supervisor is for Linux")

# In a session of its own, with an environment that tells nothing, deaf, and soon without a parent of its tree.
STRAY = "setsid env -i bash -c 'trap \"\" INT TERM HUP; echo $$ > .pid; mv .pid pid; sleep 600' > /dev/null 2>&1 & wait"


@pytest.fixture
def place() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="jo-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_what_lost_its_parents_just_before_its_supervisor_was_killed_ends_before_its_launch_is_over(
    place: Path,
) -> None:
    async def main() -> None:
        launcher = SupervisedLauncher(place, "test")
        folder = place / "run"
        running = await launcher.start(
            Launch(("bash", "-c", STRAY), folder, os.fspath(place), {"PATH": os.environ["PATH"]}, folder / "spool")
        )
        await asyncio.to_thread(wait_until, (place / "pid").exists)
        stray = psutil.Process(int((place / "pid").read_text()))
        supervisor = living(place)
        above = [process for process in stray.parents() if psutil.Process(supervisor) in process.parents()]
        assert above != []
        os.kill(supervisor, signal.SIGSTOP)  # so that it can't look after what falls to it now
        for process in above:
            process.kill()
        await asyncio.to_thread(wait_until, lambda: stray.ppid() == supervisor)
        os.kill(supervisor, signal.SIGKILL)
        code = await running.wait()
        assert not stray.is_running() or stray.status() == psutil.STATUS_ZOMBIE
        assert code == -signal.SIGKILL
        assert living(place) == 0
        await launcher.close()

    asyncio.run(main())
    assert [path.name for path in place.iterdir() if path.name.startswith("supervisor")] == []


def test_so_it_does_when_nobody_is_there_any_more(place: Path) -> None:
    async def main() -> psutil.Process:
        launcher = SupervisedLauncher(place, "test", grace=60.0)
        folder = place / "run"
        await launcher.start(
            Launch(
                ("bash", "-c", STRAY),
                folder,
                os.fspath(place),
                {"PATH": os.environ["PATH"]},
                folder / "spool",
                kept="x",
            )
        )
        await asyncio.to_thread(wait_until, (place / "pid").exists)
        await launcher.release()
        await launcher.close()
        return psutil.Process(int((place / "pid").read_text()))

    stray = asyncio.run(main())
    assert stray.is_running()
    os.kill(living(place), signal.SIGKILL)
    wait_until(lambda: living(place) == 0)
    assert not stray.is_running()
    assert [path.name for path in place.iterdir() if path.name.startswith("supervisor")] == []
