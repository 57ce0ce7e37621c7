"""What is whole and yet can't be decoded: one event is skipped, a snapshot sets the journal aside."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.model import Result
from jupyter_orchestra.journal import Journal, points, recovery, schema
from jupyter_orchestra.journal.writer import Recorded

from .conftest import Watch, crash, settle

Start = Callable[..., Journal]

BAD = (
    b'{"type":"Unheard","at":1.0}',
    b'{"type":"TaskFinished","at":"soon","uid":7}',
    b'{"type":"TaskProgressed","at":1.0,"uid":"u","attempt":1,"line":' + b"[" * 5000 + b"]" * 5000 + b"}",
)
DONE = e.TaskFinished(9.0, "later", 1, Result(text="kept"))


def add_raw(journal: Journal, data: bytes) -> None:
    """Write an event as a bug or another version might: whole, with a good check sum."""
    journal._writer.add(Recorded(1.0, "Raw", data))


def raw(journal: Journal) -> list[bytes]:
    """Every event in the database, as another process finds it."""
    connection = schema.reader(journal.folder / recovery.NAME)
    found = [row[0].encode() for row in connection.execute("SELECT data FROM event ORDER BY seq")]
    connection.close()
    return found


def cant_read(snapshot: bytes) -> bool:
    return False


@pytest.mark.parametrize("bad", BAD, ids=["unheard", "wrong types", "too deep"])
@pytest.mark.parametrize("end", [Journal.close, crash], ids=["closed", "killed"])
def test_an_event_that_cant_be_decoded_is_skipped_and_named(
    start: Start, bad: bytes, end: Callable[[Journal], object]
) -> None:
    journal = start()
    journal.append(e.TimePassed(1.0))
    add_raw(journal, bad)
    journal.append(DONE)
    end(journal)
    journal = start()
    assert list(journal.events()) == [e.TimePassed(1.0), DONE]
    (notice,) = journal.notices
    assert notice.startswith("event 2 of the journal can't be decoded by this version (")
    assert "\n" not in notice
    assert list(journal.folder.glob("journal.corrupt-*")) == []
    journal.append(e.TimePassed(2.0))
    settle(journal)
    assert raw(journal)[1] == bad
    assert list(journal.events()) == [e.TimePassed(1.0), DONE, e.TimePassed(2.0)]


def test_several_are_named_in_one_line(start: Start) -> None:
    journal = start()
    for bad in BAD:
        add_raw(journal, bad)
    journal.append(DONE)
    journal.close()
    journal = start()
    assert list(journal.events()) == [DONE]
    (notice,) = journal.notices
    assert notice.startswith("event 1 and 2 more of the journal can't be decoded")


def test_what_was_skipped_stays_in_the_database_when_a_snapshot_stands_for_the_rest(start: Start) -> None:
    journal = start()
    journal.append(e.TimePassed(1.0))
    add_raw(journal, BAD[0])
    journal.close()
    journal = start()
    journal.append(DONE)
    journal.checkpoint(b"first")
    journal.append(e.TimePassed(2.0))
    journal.checkpoint(b"second")
    crash(journal)
    assert raw(journal) == [BAD[0]]
    journal = start()
    assert (journal.snapshot, list(journal.events()), journal.notices) == (b"second", [], [])
    journal.append(e.TimePassed(3.0))
    journal.checkpoint(b"third")
    journal.append(e.TimePassed(4.0))
    settle(journal)
    assert raw(journal) == [BAD[0], e.encode(e.TimePassed(4.0))]
    assert list(journal.events()) == [e.TimePassed(4.0)]


def test_a_disk_that_fails_behind_a_snapshot_finds_its_place_again(start: Start, watch: Watch) -> None:
    journal = start()
    add_raw(journal, BAD[0])
    journal.append(DONE)
    journal.close()
    journal = start()
    journal.checkpoint(b"state")
    settle(journal)
    failures = iter([OSError(5, "injected")])

    def fail(name: str) -> None:
        if name == "begin" and (error := next(failures, None)) is not None:
            raise error

    points.reach = fail
    journal.append(e.TimePassed(2.0))
    settle(journal)
    assert (len(watch.blocked), watch.freed) == (1, 1)
    crash(journal)
    journal = start()
    assert (journal.snapshot, list(journal.events())) == (b"state", [e.TimePassed(2.0)])


def test_a_broken_check_sum_still_ends_it(start: Start) -> None:
    journal = start()
    journal.append(e.TimePassed(1.0))
    add_raw(journal, BAD[0])
    journal.append(DONE)
    journal.close()
    path = journal.folder / recovery.NAME
    path.write_bytes(path.read_bytes().replace(b'"Unheard"', b'"Unheart"'))
    journal = start()
    assert list(journal.events()) == [e.TimePassed(1.0)]
    assert "event 2 is damaged" in journal.notices[0]


def test_a_snapshot_that_cant_be_read_sets_the_journal_aside(start: Start) -> None:
    journal = start()
    journal.append(e.TimePassed(1.0))
    journal.checkpoint(b"from another version")
    journal.append(e.TimePassed(2.0))
    journal.close()
    asked: list[bytes] = []

    def ask(snapshot: bytes) -> bool:
        asked.append(snapshot)
        return False

    journal = start(readable=ask)
    assert asked == [b"from another version"]
    assert (journal.snapshot, list(journal.events()), journal.epoch) == (None, [], 2)
    (notice,) = journal.notices
    assert "can't be read by this version" in notice
    assert "a new journal begins" in notice
    (aside,) = journal.folder.glob("journal.corrupt-*.db")
    assert aside.name in notice
    found = recovery.inspect(aside)
    assert found.snapshot is not None
    assert (found.snapshot[2], found.problem) == (b"from another version", "")
    journal.append(e.TimePassed(3.0))
    journal.close()
    journal = start(readable=cant_read)
    assert (list(journal.events()), journal.notices) == ([e.TimePassed(3.0)], [])


def test_a_snapshot_that_can_be_read_is_kept(start: Start) -> None:
    journal = start()
    journal.append(e.TimePassed(1.0))
    journal.checkpoint(b"mine")
    journal.close()
    journal = start(readable=lambda snapshot: snapshot == b"mine")
    assert (journal.snapshot, journal.notices) == (b"mine", [])


def test_a_snapshot_that_cant_be_read_on_a_disk_that_cant_be_written(start: Start, watch: Watch) -> None:
    journal = start()
    journal.append(e.TimePassed(1.0))
    journal.checkpoint(b"from another version")
    journal.close()
    allowed = threading.Event()

    def full(name: str) -> None:
        if name == "file begun" and not allowed.is_set():
            raise OSError(28, "injected")

    points.reach = full
    journal = start(readable=cant_read)
    assert watch.is_blocked.wait(20)
    assert (journal.snapshot, list(journal.events())) == (None, [])
    journal.append(e.TimePassed(2.0))
    allowed.set()
    settle(journal)
    assert len(journal.notices) == 1
    journal.close()
    assert list(start().events()) == [e.TimePassed(2.0)]
