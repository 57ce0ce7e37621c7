from pathlib import Path

import pytest

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.model import Blob
from jupyter_orchestra.core.ports import Journal
from jupyter_orchestra.testing import MemoryJournal


def test_it_is_a_journal() -> None:
    journal: Journal = MemoryJournal()
    journal.append(e.TimePassed(1.0))


def test_events_are_durable_once_a_barrier_was_passed() -> None:
    journal, done = MemoryJournal(), []
    journal.append(e.TimePassed(1.0))
    assert journal.durable == []
    journal.barrier(lambda: done.append(len(journal.durable)))
    journal.append(e.TimePassed(2.0))
    assert done == [1]
    assert journal.durable == [e.TimePassed(1.0)]
    assert journal.events == [e.TimePassed(1.0), e.TimePassed(2.0)]


def test_while_it_is_blocked_nothing_becomes_durable_and_barriers_wait() -> None:
    said: list[str] = []
    journal = MemoryJournal(said.append, lambda: said.append("free"))
    journal.block("the disk is full")
    journal.append(e.TimePassed(1.0))
    journal.barrier(lambda: said.append("first"))
    journal.barrier(lambda: said.append("second"))
    assert (said, journal.durable, journal.blocked) == (["the disk is full"], [], "the disk is full")
    journal.free()
    assert said == ["the disk is full", "first", "second", "free"]
    assert journal.durable == [e.TimePassed(1.0)]


def test_small_bytes_travel_inside_and_large_ones_by_digest() -> None:
    journal = MemoryJournal()
    small, large = journal.put(b"x" * 512), journal.put(b"x" * 513)
    assert (small.data, small.digest) == (b"x" * 512, None)
    assert (large.data, large.size) == (None, 513)
    assert journal.get(small) == b"x" * 512
    assert journal.get(large) == b"x" * 513
    assert journal.put(b"x" * 513) == large
    assert journal.file(large) is None


def test_what_was_lost_or_never_kept_is_a_key_error() -> None:
    journal = MemoryJournal()
    large = journal.put(b"x" * 1_000)
    journal.lose(large)
    for blob in (large, Blob(3, digest="00")):
        with pytest.raises(KeyError):
            journal.get(blob)


def test_a_file_is_moved_in(tmp_path: Path) -> None:
    journal, path = MemoryJournal(), tmp_path / "plot.png"
    path.write_bytes(b"png" * 1_000)
    blob = journal.adopt(path)
    assert journal.get(blob) == b"png" * 1_000
    assert not path.exists()
    with pytest.raises(FileNotFoundError):
        journal.adopt(path)
