"""Group commit: the order of the calls, barriers after what came before them, and no event that waits for ever."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

import pytest

from jupyter_orchestra.core import events as e
from jupyter_orchestra.journal import Journal, points, recovery, schema

from .conftest import crash, settle

Start = Callable[..., Journal]


def at(number: float) -> e.TimePassed:
    return e.TimePassed(float(number))


def durable(journal: Journal) -> int:
    """How many events another process would find."""
    connection = schema.reader(journal.folder / recovery.NAME)
    count = connection.execute("SELECT count(*) FROM event").fetchone()[0]
    connection.close()
    return int(count)


class Commits:
    """Counts commits, and holds them back while it is told to."""

    def __init__(self) -> None:
        self.count = 0
        self.go = threading.Event()
        self.go.set()
        self.held = threading.Event()

    def __call__(self, name: str) -> None:
        if name == "begin":
            self.held.set()
            assert self.go.wait(20)
        self.count += name == "committed"


def test_a_barrier_comes_after_everything_before_it_is_durable(start: Start) -> None:
    journal = start()
    seen: list[tuple[int, int]] = []
    done = threading.Event()

    def look(number: int) -> None:
        seen.append((number, durable(journal)))

    for number in range(1, 31):
        journal.append(at(number))
        journal.barrier(partial(look, number))
    journal.barrier(done.set)
    assert done.wait(20)
    assert [number for number, _ in seen] == list(range(1, 31))
    assert all(found >= number for number, found in seen)


def test_what_comes_during_a_commit_goes_together_into_the_next(start: Start) -> None:
    journal = start(delay=1000.0)
    settle(journal)
    commits = points.reach = Commits()
    commits.go.clear()
    journal.append(at(0))
    journal.barrier(lambda: None)
    assert commits.held.wait(20)
    for number in range(1, 1000):
        journal.append(at(number))
        journal.barrier(lambda: None)
    commits.go.set()
    settle(journal)
    assert commits.count <= 3
    assert [event.at for event in journal.events()] == []  # found at the opening: none
    assert [event.at for event in journal.events()] == list(range(1000))


def test_an_event_becomes_durable_without_a_barrier(start: Start) -> None:
    journal = start(delay=0.1)
    settle(journal)
    begun = time.monotonic()
    journal.append(at(0))
    while durable(journal) == 0:
        assert time.monotonic() < begun + 20
    assert time.monotonic() - begun > 0.09


def test_without_a_barrier_events_wait_for_each_other(start: Start) -> None:
    journal = start(delay=1000.0)
    settle(journal)
    commits = points.reach = Commits()
    for number in range(500):
        journal.append(at(number))
    assert (commits.count, durable(journal)) == (0, 0)
    journal.close()
    assert commits.count == 1


def test_a_long_queue_does_not_wait(start: Start) -> None:
    journal = start(delay=1000.0)
    settle(journal)
    journal.append(at(0))
    journal._writer.call(lambda connection: None)
    while not journal._writer._wake._waiters:  # type: ignore[attr-defined]
        time.sleep(0)  # until it waits for the others
    for number in range(1, 2001):
        journal.append(at(number))
    while durable(journal) < 2000:
        time.sleep(0)
    settle(journal)
    assert durable(journal) == 2001


def test_eight_threads_keep_their_order(start: Start) -> None:
    journal = start()
    told = Counter[int]()

    def add(thread: int) -> None:
        for number in range(200):
            journal.append(e.TaskProgressed(float(number), f"u{thread}", 1))
            if number % 7 == 0:
                journal.barrier(lambda: told.update([thread]))

    threads = [threading.Thread(target=add, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    crash(journal)
    journal = start()
    events = list(journal.events())
    assert len(events) == 1600
    for uid in (f"u{number}" for number in range(8)):
        assert [event.at for event in events if getattr(event, "uid", "") == uid] == list(range(200))
    assert told == dict.fromkeys(range(8), 29)


def test_a_caller_that_fails_does_not_end_the_writer(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    journal = start()
    journal.barrier(lambda: 1 / 0)  # type: ignore[arg-type]
    settle(journal)
    assert "ZeroDivisionError" in caplog.text


def test_a_barrier_may_use_the_journal(start: Start) -> None:
    journal = start()
    blob = journal.put(b"x" * 5000)
    settle(journal)
    journal._store._cache.clear()
    found: list[bytes] = []
    done = threading.Event()
    journal.append(at(0))

    def use() -> None:
        found.append(journal.get(blob))
        journal.append(at(1))
        journal.barrier(done.set)

    journal.barrier(use)
    assert done.wait(20)
    assert (found, durable(journal)) == ([b"x" * 5000], 2)


def test_what_the_journal_says_of_itself_is_kept_in_its_place_so_that_a_replay_starts_what_was_started(
    start: Start,
) -> None:
    journal = start()
    story = [e.JournalBlocked(1.0, "full"), at(2), e.JournalFreed(3.0)]
    for event in story:
        journal.append(event)
    journal.close()
    assert list(start().events()) == story


def test_an_event_that_cant_be_encoded_is_the_callers_mistake(start: Start) -> None:
    journal = start()
    with pytest.raises(UnicodeEncodeError):
        journal.append(e.TaskProgressed(1.0, "u", 1, line="\ud800"))
    journal.append(at(1))
    settle(journal)
    assert durable(journal) == 1


def test_a_reader_outside_disturbs_nothing(start: Start) -> None:
    journal = start()
    journal.append(at(0))
    settle(journal)
    outside = schema.reader(journal.folder / recovery.NAME)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        outside.execute("DELETE FROM event")
    outside.execute("BEGIN")
    assert outside.execute("SELECT count(*) FROM event").fetchone() == (1,)
    journal.append(at(1))
    settle(journal)
    assert outside.execute("SELECT count(*) FROM event").fetchone() == (1,)
    outside.execute("COMMIT")
    assert outside.execute("SELECT count(*) FROM event").fetchone() == (2,)
    outside.close()
