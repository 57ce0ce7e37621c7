"""Damage in the write-ahead log is found and said; what a kill cuts off, and what an earlier log left, is no damage."""

from __future__ import annotations

import os
import signal
import sqlite3
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from jupyter_orchestra.core import events as e
from jupyter_orchestra.journal import Journal, open_journal, points, recovery, schema, wal

from .conftest import crash, settle
from .test_disk import Breaks

Start = Callable[..., Journal]
FRAME = wal.FRAME + 4096
Files = dict[str, bytes]


def at(number: int) -> e.TaskProgressed:
    return e.TaskProgressed(number, "u", 1, line="x" * 900)


def commit(journal: Journal, first: int, last: int) -> None:
    """Commit these events, one by one."""
    for number in range(first, last):
        journal.append(at(number))
        settle(journal)


def files(journal: Journal) -> Files:
    """The journal as a kill would leave it now."""
    path = journal.folder / recovery.NAME
    return {tail: path.with_name(path.name + tail).read_bytes() for tail in ("", "-wal", "-shm")}


def put(journal: Journal, left: Files) -> None:
    """Let go of the journal and leave these files in its place."""
    if not journal.ended:
        crash(journal)
    path = journal.folder / recovery.NAME
    for tail, data in left.items():
        path.with_name(path.name + tail).write_bytes(data)


def numbers(journal: Journal) -> list[float]:
    return [event.at for event in journal.events()]


def flip(data: bytes, where: int) -> bytes:
    return data[:where] + bytes([data[where] ^ 1]) + data[where + 1 :]


def commits(data: bytes) -> list[int]:
    """Numbers of the log's frames that end a transaction, from 1."""
    frames = range((len(data) - wal.HEADER) // FRAME)
    return [number + 1 for number in frames if struct.unpack_from(">I", data, wal.HEADER + number * FRAME + 4)[0]]


def end_of(frame: int) -> int:
    return wal.HEADER + frame * FRAME


def test_a_killed_kernel_whose_log_is_damaged(tmp_path: Path, notebook: Path) -> None:
    pid = os.fork()
    if pid == 0:
        journal = open_journal(notebook, "kernel", base=tmp_path / "base")
        commit(journal, 0, 20)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    (log,) = tmp_path.glob("base/*/journal.db-wal")
    log.write_bytes(damaged := flip(log.read_bytes(), 40))
    journal = open_journal(notebook, "kernel", base=tmp_path / "base")
    assert numbers(journal) == []
    (notice,) = journal.notices
    assert "its write-ahead log is damaged at frame 1" in notice
    assert "\n" not in notice
    (aside,) = journal.folder.glob("journal.corrupt-*.db")
    assert aside.name in notice
    assert aside.with_name(f"{aside.name}-wal").read_bytes() == damaged
    journal.append(at(0))
    journal.close()
    journal = open_journal(notebook, "kernel", base=tmp_path / "base")
    assert (numbers(journal), journal.notices) == ([0], [])
    journal.close()


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"garbage" * (len(data) // 7),
        lambda data: b"garbage",
        lambda data: bytes(len(data)),
        lambda data: flip(data, 20),
        lambda data: flip(data, end_of(commits(data)[-2]) - 1),
        lambda data: data[: end_of(2)] + bytes(FRAME) + data[end_of(3) :],
    ],
    ids=["garbage", "little garbage", "zeros", "salt", "last but one", "a frame of zeros"],
)
def test_a_log_that_lost_commits_is_said(start: Start, spoil: Callable[[bytes], bytes], index: bool) -> None:
    journal = start()
    commit(journal, 0, 20)
    left = files(journal)
    put(journal, {**left, "-wal": spoil(left["-wal"]), "-shm": left["-shm"] if index else b""})
    journal = start()
    found = numbers(journal)
    assert found == list(range(len(found)))
    assert len(found) < 20
    (notice,) = journal.notices
    assert "its write-ahead log" in notice


@pytest.mark.parametrize("where", [lambda data: 0, lambda data: end_of(commits(data)[-3]), lambda data: len(data) - 1])
def test_a_log_cut_short_is_said_because_its_index_knows_more(start: Start, where: Callable[[bytes], int]) -> None:
    journal = start()
    commit(journal, 0, 20)
    left = files(journal)
    put(journal, {**left, "-wal": left["-wal"][: where(left["-wal"])]})
    journal = start()
    assert len(numbers(journal)) < 20
    assert len(journal.notices) == 1


def test_what_only_the_index_knows_is_not_forgotten_when_a_repair_is_cut_off(start: Start) -> None:
    journal = start()
    commit(journal, 0, 20)
    left = files(journal)
    put(journal, {**left, "-wal": left["-wal"][: end_of(commits(left["-wal"])[-3])]})
    for _ in range(3):
        found = recovery.inspect(journal.folder / recovery.NAME)
        assert found.problem.startswith("its write-ahead log is damaged")
        assert len(found.records) > 10
    points.reach = Breaks("rebuild filled", OSError(28, "injected"), 2)
    journal = start()
    settle(journal)
    assert len(journal.notices) == 1
    assert len(numbers(journal)) == len(found.records)


@pytest.mark.parametrize("index", [True, False])
def test_a_transaction_that_a_kill_cut_off_is_no_damage(start: Start, index: bool) -> None:
    journal = start(delay=1000.0)
    commit(journal, 0, 10)
    before = files(journal)
    for number in range(10, 60):
        journal.append(at(number))
    settle(journal)
    longer = files(journal)["-wal"]
    begun, last = commits(longer)[-2:]
    assert begun == commits(before["-wal"])[-1]
    assert last - begun > 3
    for cut in (end_of(begun) + 10, end_of(begun + 1), end_of(last) - 4096, end_of(last) - 1):
        put(journal, {**before, "-wal": longer[:cut], "-shm": before["-shm"] if index else b""})
        found = recovery.inspect(journal.folder / recovery.NAME)
        assert (len(found.records), found.problem) == (10, "")


def test_what_an_earlier_log_left_behind_the_last_frame_is_no_damage(start: Start) -> None:
    journal = start()
    commit(journal, 0, 30)
    journal._writer.call(lambda connection: connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall())
    commit(journal, 30, 33)
    left = files(journal)
    old = end_of(commits(left["-wal"])[5])
    put(journal, {**left, "-wal": flip(left["-wal"], len(left["-wal"]) - 5000)})
    assert len(left["-wal"]) > old
    journal = start()
    assert (numbers(journal), journal.notices) == (list(range(33)), [])


def test_a_log_that_is_in_the_database_may_go(start: Start) -> None:
    journal = start()
    commit(journal, 0, 20)
    journal._writer.call(lambda connection: connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall())
    put(journal, {**files(journal), "-wal": b""})
    journal = start()
    assert (numbers(journal), journal.notices) == (list(range(20)), [])


def test_a_damaged_index_says_nothing(start: Start) -> None:
    journal = start()
    commit(journal, 0, 20)
    left = files(journal)
    put(journal, {**left, "-shm": flip(flip(left["-shm"], 16), 16 + wal.INDEX)})
    journal = start()
    assert (numbers(journal), journal.notices) == (list(range(20)), [])


@pytest.mark.parametrize("size", [512, 1024, 65536])
def test_every_page_size_is_understood(tmp_path: Path, size: int) -> None:
    path = tmp_path / "some.db"
    with sqlite3.connect(path, isolation_level=None) as connection:
        connection.execute(f"PRAGMA page_size={size}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE t(a)")
        connection.executemany("INSERT INTO t VALUES(?)", [("x" * 700,) for _ in range(10)])
        log = wal.Log(path.with_name("some.db-wal").read_bytes())
        assert log.page == size
        assert log.ends() == (log.frames, log.frames)
        assert wal.damage(path) == ""
    connection.close()


def test_the_log_does_not_hold_the_whole_history(start: Start) -> None:
    journal = start()
    for number in range(30):
        for line in range(100):
            journal.append(at(100 * number + line))
        settle(journal)
    log = (journal.folder / "journal.db-wal").stat().st_size
    assert log < (schema.LOG_PAGES + 100) * FRAME
    assert (journal.folder / recovery.NAME).stat().st_size > 20 * log / 10
