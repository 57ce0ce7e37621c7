"""What never comes back (a database, a program, a process that can't be killed) holds nobody else up."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from keepers_home import Home

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.leases import Lease
from jupyter_orchestra.core.model import Process, Spec, State, Task
from jupyter_orchestra.core.needs import Need
from jupyter_orchestra.core.ports import Grant
from jupyter_orchestra.errors import ResourceError
from jupyter_orchestra.processes.threads import in_thread
from jupyter_orchestra.resources import database, engines, keeper
from jupyter_orchestra.resources.database import DatabaseProvider
from jupyter_orchestra.resources.declared import Database, Declared
from jupyter_orchestra.resources.keeper import LeaseKeeper

DATABASE = Need("db:main")
THREADS = 2  # that everybody shares
SCRIPT = """
import asyncio, threading
from jupyter_orchestra.processes.threads import APART, in_thread

async def main():
    for _ in range(3):
        asyncio.ensure_future(in_thread(APART, threading.Event().wait))
    assert await in_thread(APART, lambda: 7) == 7

asyncio.run(main())
print("over")
"""


@pytest.fixture
def hanging() -> Iterator[threading.Event]:
    over = threading.Event()
    yield over
    over.set()


async def yes(action: str, detail: str) -> bool:
    return True


def go(act: Callable[[], Awaitable[None]], hanging: threading.Event) -> None:
    """Run it where few threads are shared."""

    async def main() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS))
        try:
            await asyncio.wait_for(act(), 30.0)
        finally:
            hanging.set()

    asyncio.run(main())


async def gets_a_thread() -> None:
    assert await asyncio.wait_for(in_thread(None, lambda: 7), 10.0) == 7


def test_databases_that_never_answer_hold_up_nobody_else(
    tmp_path: Path, hanging: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sqlalchemy")
    monkeypatch.setattr(database, "_greet", lambda *_: hanging.wait())
    monkeypatch.setattr(database, "PATIENCE", 0.05)
    declared = Declared(tmp_path / "pyproject.toml", databases={"main": Database("sqlite:///app.db")})
    grant = Grant("lease", "uid", "task", tmp_path, tmp_path, (DATABASE,), lambda line: None)

    async def act() -> None:
        provider = DatabaseProvider(declared, yes, "owner", lambda lease: False)
        for _ in range(2 * THREADS):
            with pytest.raises(ResourceError, match="does not answer"):
                await provider.provide(DATABASE, grant)
        await gets_a_thread()

    go(act, hanging)


def test_programs_that_take_long_hold_up_nobody_else(hanging: threading.Event) -> None:
    async def act() -> None:
        calls = [asyncio.ensure_future(engines.call(("sleep", "60"), 60.0)) for _ in range(2 * THREADS)]
        await asyncio.sleep(0)
        await gets_a_thread()
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)

    go(act, hanging)


def test_holders_that_can_not_be_killed_hold_up_nobody_else(
    tmp_path: Path, hanging: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "end_tree", lambda *_: not hanging.wait(0.01))

    async def act() -> None:
        home = Home()
        keeps = LeaseKeeper(home, (), None, tmp_path, tmp_path)
        for number in range(2 * THREADS):
            uid = f"uid-{number}"
            spec = Spec(uid, uid, "kernel", "pass")
            process = Process(os.getpid(), 1.0)
            home.machine.state.tasks[uid] = Task(spec, uid, State.RUNNING, 0.0, process=process)
            keeps.told(e.FenceLease(Lease(f"{uid}#1", uid, (Need("press"),))))
        await asyncio.sleep(0)
        await gets_a_thread()
        assert not home.posted
        hanging.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(keeps.close(), 10.0)

    go(act, hanging)


def test_what_never_comes_back_does_not_keep_the_process_from_ending() -> None:
    ran = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=30.0)
    assert (ran.stdout, ran.stderr, ran.returncode) == ("over\n", "", 0)
