"""A real process is killed at every failpoint; what it reported durable is there afterwards, once and in order."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jupyter_orchestra.core.events import encode
from jupyter_orchestra.journal import open_journal, recovery

from . import scenario

ROOT = Path(__file__).parents[2]
STAGES = ("dispatched", "finished", "shown")

Kill = Callable[[str, Path, int], int]


@pytest.fixture
def kill() -> Iterator[Kill]:
    """Runs a scenario in a process of its own, killed at its k-th failpoint (0: never); gives its exit code."""
    command, environment = [sys.executable, scenario.__file__], {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None

        def kill(name: str, folder: Path, at: int) -> int:
            assert server.stdin is not None
            assert server.stdout is not None
            server.stdin.write(f"{name} {folder} {at}\n")
            server.stdin.flush()
            return int(server.stdout.readline())

        yield kill
        server.stdin.close()
        assert server.wait(20) == 0


def check(folder: Path, whole: bool = False) -> None:
    journal = scenario.open_in(folder)
    tasks = scenario.fold(journal.snapshot, list(journal.events()))
    ledger = (folder / "ledger").read_text().splitlines() if (folder / "ledger").exists() else []
    assert journal.notices == []
    assert len(ledger) == len(set(ledger)), "reported twice"
    for line in ledger:
        stage, uid = line.split()
        assert STAGES.index(str(tasks[uid]["stage"])) >= STAGES.index(stage), f"lost: {line}"
    for uid, task in tasks.items():
        if task["stage"] != "dispatched":
            assert journal.get(scenario.blob_of(task)) == scenario.content(int(uid[1:]))
    if whole:
        assert [task["stage"] for task in tasks.values()] == ["shown"] * len(scenario.SIZES)
    assert not journal.private
    journal.close()


@pytest.mark.timeout(120)
def test_nothing_is_lost_or_doubled_whenever_the_kernel_is_killed(room: Path, kill: Kill) -> None:
    at, killed = 0, -signal.SIGKILL
    while killed == -signal.SIGKILL:
        at += 1
        folder = room / str(at)
        folder.mkdir()
        (folder / "n.ipynb").write_text("{}")
        killed = kill("live", folder, at)
        check(folder)
        assert kill("live", folder, 0) == 0
        check(folder, whole=True)
        shutil.rmtree(folder)
    assert killed == 0
    assert at > 100


def test_a_second_kill_while_the_first_is_recovered_from(room: Path, kill: Kill) -> None:
    for first in range(20, 260, 24):
        folder = room / str(first)
        folder.mkdir()
        (folder / "n.ipynb").write_text("{}")
        kill("live", folder, first)
        for again in (5, 9, 14, 30):
            kill("live", folder, again)
            check(folder)
        assert kill("live", folder, 0) == 0
        check(folder, whole=True)


def test_a_repair_can_be_cut_off_anywhere(room: Path, kill: Kill) -> None:
    folder, origin = room / "work", room / "origin"
    folder.mkdir()
    (folder / "n.ipynb").write_text("{}")
    assert kill("live", folder, 0) == 0
    (database,) = folder.glob(f"base/*/{recovery.NAME}")
    whole = recovery.inspect(database).records
    data = database.read_bytes()
    spot = data.index(b'"uid":"t5"')
    database.write_bytes(data[: spot + 7] + b"#" + data[spot + 8 :])
    folder.rename(origin)
    at, killed = 0, -signal.SIGKILL
    while killed == -signal.SIGKILL:
        at += 1
        shutil.copytree(origin, folder)
        killed = kill("mend", folder, at)
        journal = scenario.open_in(folder)
        events = list(journal.events())
        aside = list(journal.folder.glob("journal.corrupt-*.db"))
        journal.close()
        assert 0 < len(events) < len(whole)
        assert [record[3] for record in whole[: len(events)]] == [encode(event) for event in events]
        assert len(aside) == 1
        shutil.rmtree(folder)
    assert at > 10


def test_following_a_rename_can_be_cut_off_anywhere(room: Path, kill: Kill) -> None:
    at, killed = 0, -signal.SIGKILL
    while killed == -signal.SIGKILL:
        at += 1
        folder = room / str(at)
        folder.mkdir()
        (folder / "n.ipynb").write_text("{}")
        assert kill("mend", folder, 0) == 0
        (folder / "n.ipynb").rename(folder / "renamed.ipynb")
        killed = kill("rename", folder, at)
        journal = open_journal(folder / "renamed.ipynb", "kernel", base=folder / "base")
        assert journal.epoch >= 2
        assert len(list((folder / "base").iterdir())) == 1
        journal.close()
    assert at > 3
