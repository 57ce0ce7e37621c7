"""A supervisor that has nothing to say is not one that hangs."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from jupyter_orchestra.core.model import Process
from jupyter_orchestra.core.ports import Launch
from jupyter_orchestra.supervisor.launcher import SupervisedLauncher

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the supervisor is for Linux")


@pytest.fixture
def place() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="jo-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def launch(place: Path, script: str) -> Launch:
    folder = place / f"run-{time.monotonic_ns()}"
    return Launch(("bash", "-c", script), folder, "", {"PATH": os.environ["PATH"]}, folder / "spool", kept="lease")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def test_no_word_is_due_on_what_has_ended_and_one_is_on_what_lives(place: Path) -> None:
    async def main() -> None:
        launcher = SupervisedLauncher(place, "test")
        try:
            assert launcher.silence(Process(os.getpid(), 0.0)) == 0.0
            brief = await launcher.start(launch(place, "true"))
            await brief.wait()
            heard = asyncio.get_running_loop().time()
            await until(lambda: asyncio.get_running_loop().time() > heard + 0.05)
            assert launcher.silence(brief.process) == 0.0, "its end was told"
            lasting = await launcher.start(launch(place, "sleep 600"))
            supervisor = psutil.Process(lasting.process.pid).ppid()
            os.kill(supervisor, signal.SIGSTOP)
            await until(lambda: launcher.silence(lasting.process) > 0.5)
            assert launcher.silence(brief.process) == 0.0, "whatever becomes of its supervisor"
            assert launcher.silence(Process(os.getpid(), 0.0)) == 0.0, "which never had it"
            os.kill(supervisor, signal.SIGCONT)
            await brief.end()
            await lasting.end()
            assert launcher.silence(brief.process) == launcher.silence(lasting.process) == 0.0
        finally:
            await launcher.close()

    asyncio.run(main())
