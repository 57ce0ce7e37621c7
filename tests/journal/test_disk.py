"""A disk that is full, read-only or broken: nothing is lost, and the person is told once what to do."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.model import Result
from jupyter_orchestra.journal import Journal, points, recovery

from .conftest import Watch, settle

Start = Callable[..., Journal]


def mount(folder: Path, options: str) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    return os.geteuid() == 0 and subprocess.run(command, capture_output=True).returncode == 0


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 6 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not mount(folder, "size=6m,mode=700"):
        pytest.skip("mounting a small disk takes root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def at(number: int) -> e.TaskProgressed:
    return e.TaskProgressed(number, "u", 1, line="x" * 900)


def numbers(journal: Journal) -> list[float]:
    return [event.at for event in journal.events()]


def fill(folder: Path) -> Path:
    ballast = folder / "ballast"
    with pytest.raises(OSError, match="No space left"):
        ballast.write_bytes(bytes(8 << 20))
    return ballast


def test_a_full_disk_keeps_everything_until_there_is_space(disk: Path, start: Start, watch: Watch) -> None:
    journal = start(base=disk / "base")
    journal.append(at(0))
    settle(journal)
    ballast = fill(disk)
    order: list[str] = []
    done = threading.Event()
    for number in range(1, 400):
        journal.append(at(number))
    journal.barrier(lambda: order.append("first"))
    assert watch.is_blocked.wait(20)
    big, row = journal.put(b"b" * 100_000), journal.put(b"r" * 5000)
    journal.append(e.TaskFinished(400, "u", 1, Result(value=big, outputs=row)))
    journal.barrier(lambda: order.append("second"))
    journal.barrier(done.set)
    assert order == []
    assert watch.blocked[0].startswith(f"disk full: free space on {disk} ")
    assert (journal.get(big), journal.get(row)) == (b"b" * 100_000, b"r" * 5000)
    assert journal.blocked
    ballast.unlink()
    assert done.wait(20)
    assert order == ["first", "second"]
    assert (len(watch.blocked), watch.freed, journal.blocked) == (1, 1, "")
    assert journal.close()
    journal = start(base=disk / "base")
    assert numbers(journal) == list(range(401))
    assert (journal.get(big), journal.get(row)) == (b"b" * 100_000, b"r" * 5000)


def test_a_disk_that_is_full_from_the_start(disk: Path, start: Start, watch: Watch) -> None:
    ballast = fill(disk)
    journal = start(base=disk / "base")
    assert journal.blocked.startswith("disk full")
    assert watch.is_blocked.wait(20)
    assert watch.blocked == [journal.blocked]
    for number in range(5):
        journal.append(at(number))
    ballast.unlink()
    settle(journal)
    assert watch.is_freed.wait(20)
    journal.close()
    journal = start(base=disk / "base")
    assert numbers(journal) == list(range(5))
    assert journal.epoch == 2


@pytest.mark.parametrize("full", [True, False])
def test_a_journal_is_read_even_where_it_cant_be_written(disk: Path, start: Start, watch: Watch, full: bool) -> None:
    journal = start(base=disk / "base")
    for number in range(5):
        journal.append(at(number))
    blob = journal.put(b"b" * 5000)
    journal.close()
    if full:
        ballast = fill(disk)
    else:
        remount(disk, "ro")
    journal = start(base=disk / "base")
    assert watch.is_blocked.wait(20)
    assert watch.blocked[0].startswith("disk full" if full else "read-only: make ")
    assert numbers(journal) == list(range(5))
    assert journal.epoch == 2
    assert journal.get(blob) == b"b" * 5000
    journal.append(at(5))
    if full:
        ballast.unlink()
    else:
        remount(disk, "rw")
    settle(journal)
    assert journal.epoch == 2
    journal.close()
    journal = start(base=disk / "base")
    assert numbers(journal) == list(range(6))
    assert journal.epoch == 3


def test_a_damaged_journal_on_a_full_disk_is_repaired_once_there_is_space(
    disk: Path, start: Start, watch: Watch
) -> None:
    journal = start(base=disk / "base")
    for number in range(30):
        journal.append(at(number))
    journal.close()
    path = journal.folder / recovery.NAME
    path.write_bytes(path.read_bytes().replace(b'"at":20', b'"at":21'))
    ballast = fill(disk)
    journal = start(base=disk / "base")
    assert watch.is_blocked.wait(20)
    assert numbers(journal) == list(range(20))
    journal.append(at(77))
    ballast.unlink()
    settle(journal)
    assert len(journal.notices) == 1
    journal.close()
    journal = start(base=disk / "base")
    assert numbers(journal) == [*range(20), 77]


class Breaks:
    """Raises at a point for a while."""

    def __init__(self, point: str, error: Exception, times: int) -> None:
        self.point, self.error, self.times = point, error, times

    def __call__(self, name: str) -> None:
        if name == self.point and self.times > 0:
            self.times -= 1
            raise self.error


def sqlite_error(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("injected")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize("point", ["begin", "events written", "views written", "commit", "committed"])
@pytest.mark.parametrize(
    "error",
    [
        sqlite_error(sqlite3.SQLITE_FULL),
        sqlite_error(sqlite3.SQLITE_IOERR_FSYNC),
        sqlite_error(sqlite3.SQLITE_READONLY),
        OSError(errno.EROFS, "injected"),
    ],
    ids=["full", "sync", "readonly", "system"],
)
def test_an_error_anywhere_in_a_commit_neither_loses_nor_doubles(
    start: Start, watch: Watch, point: str, error: Exception
) -> None:
    journal = start()
    journal.append(at(0))
    settle(journal)
    points.reach = Breaks(point, error, 2)
    for number in range(1, 50):
        journal.append(at(number))
    settle(journal)
    assert watch.is_freed.wait(20)
    assert (len(watch.blocked), watch.freed) == (1, 1)
    for number in range(50, 60):
        journal.append(at(number))
    journal.close()
    journal = start()
    assert numbers(journal) == list(range(60))
    assert journal.notices == []


def test_what_arrives_while_blocked_goes_behind_a_commit_in_doubt(start: Start, watch: Watch) -> None:
    journal = start(retry=(0.2, 0.2))
    points.reach = Breaks("committed", sqlite_error(sqlite3.SQLITE_IOERR), 1)
    told: list[int] = []
    journal.append(at(0))
    journal.barrier(lambda: told.append(0))
    assert watch.is_blocked.wait(20)
    journal.append(at(1))
    journal.barrier(lambda: told.append(1))
    settle(journal)
    assert told == [0, 1]
    journal.close()
    assert numbers(start()) == [0, 1]


def test_a_bug_stops_the_journal_and_drops_nothing(start: Start, watch: Watch) -> None:
    journal = start()
    journal.append(at(0))
    settle(journal)
    told: list[int] = []
    points.reach = Breaks("views written", sqlite3.IntegrityError("injected"), 1)
    journal.append(at(1))
    journal.barrier(lambda: told.append(1))
    assert watch.is_blocked.wait(20)
    assert "a bug in jupyter_orchestra's journal (IntegrityError: injected)" in watch.blocked[0]
    assert not journal.close(timeout=5)
    assert told == []
    assert len(journal._writer._entries) == 2


def test_a_folder_taken_away_is_noticed_and_may_come_back(start: Start, watch: Watch, tmp_path: Path) -> None:
    journal = start()
    journal.append(at(0))
    settle(journal)
    journal.folder.rename(tmp_path / "elsewhere")
    journal.append(at(1))
    assert watch.is_blocked.wait(20)
    assert "the journal's folder is gone" in watch.blocked[0]
    (tmp_path / "elsewhere").rename(journal.folder)
    settle(journal)
    journal.close()
    assert numbers(start()) == [0, 1]


def test_a_journal_changed_by_another_program_is_not_written(start: Start, watch: Watch) -> None:
    journal = start()
    journal.append(at(0))
    settle(journal)

    def meddle(name: str) -> None:
        if name == "begin":
            points.reach = points._pass
            with sqlite3.connect(journal.folder / recovery.NAME) as other:
                other.execute("DELETE FROM event")
            other.close()
            raise sqlite_error(sqlite3.SQLITE_IOERR)

    points.reach = meddle
    journal.append(at(1))
    while len(watch.blocked) < 2:
        assert watch.is_blocked.wait(20)
        watch.is_blocked.clear()
    assert "was changed by another program" in watch.blocked[1]


def test_closing_with_a_blocked_disk_says_so(start: Start, watch: Watch) -> None:
    journal = start()
    points.reach = Breaks("begin", sqlite_error(sqlite3.SQLITE_FULL), 10**9)
    journal.append(at(0))
    assert not journal.close(timeout=0.1)
    points.reach = points._pass
    assert journal.close(timeout=20)
    assert numbers(start()) == [0]


def test_a_journal_that_still_waits_for_the_disk_is_left_to_it(start: Start, watch: Watch) -> None:
    journal = start()
    points.reach = Breaks("commit", sqlite_error(sqlite3.SQLITE_FULL), 10**9)
    journal.append(at(0))
    assert watch.is_blocked.wait(20)
    second = start(on_blocked=lambda reason: None)
    assert second.private
    assert "still waits to be written (disk full" in second.notices[0]
    points.reach = points._pass
    assert journal.close(timeout=20)
    second.close()
    assert numbers(start()) == [0]


def test_a_folder_that_cant_be_made(start: Start, watch: Watch, tmp_path: Path) -> None:
    obstacle = tmp_path / "base"
    obstacle.write_text("a file where the folder should be")
    journal = start()
    assert watch.is_blocked.wait(20)
    journal.append(at(0))
    blob = journal.put(b"x" * 70_000)
    obstacle.unlink()
    settle(journal)
    assert journal.get(blob) == b"x" * 70_000
    journal.close()
    assert numbers(start()) == [0]
