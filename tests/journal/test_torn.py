"""Torn, flipped and zeroed files: what is read back is always a prefix of what was committed."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.model import Blob, Result
from jupyter_orchestra.journal import Journal, recovery, schema
from jupyter_orchestra.journal.location import Place
from jupyter_orchestra.journal.opening import Opening

from .conftest import crash, settle

Start = Callable[..., Journal]
CASES = 500


def fill(journal: Journal, number: int) -> list[bytes]:
    written = []
    for index in range(number):
        event: e.AnyEvent = e.TaskProgressed(index, f"u{index}", 1, line="x" * random.Random(index).randrange(200, 900))
        if index % 5 == 0:
            event = e.TaskFinished(index, f"u{index}", 1, Result(value=journal.put(b"%d" % index * 1500)))
        journal.append(event)
        written.append(e.encode(event))
        if index % 3 == 0:
            settle(journal)
    settle(journal)
    return written


def spoil(data: bytes, chance: random.Random) -> bytes:
    way, where = chance.random(), chance.randrange(len(data))
    if way < 0.3:
        return data[:where]
    if way < 0.7:
        return data[:where] + bytes([data[where] ^ (1 << chance.randrange(8))]) + data[where + 1 :]
    length = min(chance.choice((512, 4096)), len(data) - where)
    return data[:where] + bytes(length) + data[where + length :]


@pytest.mark.parametrize("index", [True, False], ids=["killed", "no index"])
@pytest.mark.parametrize("way", ["TRUNCATE", "PASSIVE"])
def test_500_spoiled_files_recover_to_a_committed_prefix(room: Path, start: Start, way: str, index: bool) -> None:
    journal = start()
    journal._writer.call(lambda connection: connection.execute("PRAGMA wal_autocheckpoint=0").fetchall())
    written = fill(journal, 60)
    journal._writer.call(lambda connection: connection.execute(f"PRAGMA wal_checkpoint({way})").fetchall())
    written += fill(journal, 60)
    path = journal.folder / recovery.NAME
    tails = ("", "-wal", "-shm") if index else ("", "-wal")
    files = {tail: path.with_name(path.name + tail).read_bytes() for tail in tails}
    crash(journal)
    chance, seen, kept = random.Random(1), Counter[str](), 0
    for number in range(CASES):
        folder = room / "case"
        folder.mkdir()
        which = ("", "-wal")[number % 2]
        for tail, data in files.items():
            (folder / (recovery.NAME + tail)).write_bytes(spoil(data, chance) if tail == which else data)
        opening = Opening(Place(folder, private=True), [])
        opening.connect().close()
        assert opening.found is not None
        read = [record[3] for record in opening.found.records]
        assert read == written[: len(read)]
        assert len(opening.notices) <= 1
        cut = which == "-wal" and not index  # without an index, a log that was cut short looks as if a kill had done so
        assert read == written or opening.notices or cut
        again = recovery.inspect(folder / recovery.NAME)
        assert (again.records, again.problem) == (opening.found.records, "")
        kept += len(read)
        seen["set aside" if opening.notices else "whole" if read == written else "shorter"] += 1
        shutil.rmtree(folder)
    assert seen["set aside"] > 50
    assert seen["whole"] > 50
    assert (seen["shorter"] > 0) == (not index)
    assert kept > CASES * len(written) * 0.3


def test_a_flipped_event_is_found_and_said(start: Start) -> None:
    journal = start()
    fill(journal, 40)
    blob = journal.put(b"kept" * 1000)
    journal.append(e.TaskFinished(99.0, "last", 1, Result(value=blob)))
    journal.close()
    path = journal.folder / recovery.NAME
    data = path.read_bytes()
    spot = data.index(b'"uid":"u33"')
    path.write_bytes(data[: spot + 7] + b"v" + data[spot + 8 :])
    journal = start()
    assert len(list(journal.events())) == 33
    (notice,) = journal.notices
    assert "event 34 is damaged" in notice
    assert "\n" not in notice
    assert journal.stale
    assert journal.get(blob) == b"kept" * 1000
    assert len(list(journal.folder.glob("journal.corrupt-*.db"))) == 1
    journal.append(e.TimePassed(1.0))
    journal.close()
    journal = start()
    assert (len(list(journal.events())), journal.notices) == (34, [])


def test_a_gap_is_found(start: Start) -> None:
    journal = start()
    fill(journal, 20)
    journal._writer.call(lambda connection: connection.execute("DELETE FROM event WHERE seq = 11"))
    journal.close()
    journal = start()
    assert len(list(journal.events())) == 10
    assert len(journal.notices) == 1


@pytest.mark.parametrize(("garbage", "log"), [(b"", True), (b"no database at all" * 1000, False), (bytes(8192), False)])
def test_where_nothing_can_be_read_a_new_journal_begins(start: Start, garbage: bytes, log: bool) -> None:
    journal = start()
    fill(journal, 5)
    epoch = journal.epoch
    wal = (journal.folder / "journal.db-wal").read_bytes()
    crash(journal)
    (journal.folder / recovery.NAME).write_bytes(garbage)
    if log:
        (journal.folder / "journal.db-wal").write_bytes(wal)
    journal = start()
    assert list(journal.events()) == []
    assert len(journal.notices) == 1
    assert journal.epoch == epoch + 1
    journal.append(e.TimePassed(1.0))
    settle(journal)


@pytest.mark.parametrize("version", [0, 1, 3, 1 << 20])
def test_a_garbled_version_loses_nothing(start: Start, version: int) -> None:
    journal = start()
    fill(journal, 5)
    journal.close()
    with sqlite3.connect(journal.folder / recovery.NAME) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    journal = start()
    assert len(list(journal.events())) == 5
    assert "version is garbled" in journal.notices[0]
    assert not journal.private


def test_a_damaged_blob_is_gone_rather_than_wrong(start: Start) -> None:
    journal = start()
    blob, big = journal.put(b"abcdefgh" * 400), journal.put(b"abcdefgh" * 40_000)
    settle(journal)
    journal.close()
    path = journal.folder / recovery.NAME
    path.write_bytes(path.read_bytes().replace(b"abcdefgh" * 20, b"abcdefgX" * 20, 1))
    file = journal.file(big)
    assert file is not None
    file.write_bytes(b"X" * big.size)
    journal = start()
    for damaged in (blob, big, Blob(600, digest="0" * 40)):
        with pytest.raises(KeyError):
            journal.get(damaged)


def test_snapshots_are_checked_too(start: Start) -> None:
    journal = start()
    fill(journal, 5)
    journal.checkpoint(b"the state of everything")
    journal.append(e.TimePassed(9.0))
    journal.close()
    path = journal.folder / recovery.NAME
    path.write_bytes(path.read_bytes().replace(b"the state of everything", b"the state of everythinh"))
    journal = start()
    assert (journal.snapshot, list(journal.events())) == (None, [])
    assert "snapshot" in journal.notices[0]


def test_a_newer_journal_is_left_alone(start: Start) -> None:
    journal = start()
    fill(journal, 3)
    journal._writer.call(lambda connection: connection.execute("PRAGMA user_version = 99"))
    journal._writer.call(lambda connection: schema.set_meta(connection, "version", "99"))
    journal.close()
    before = (journal.folder / recovery.NAME).read_bytes()
    other = start()
    assert other.private
    assert other.folder != journal.folder
    assert "newer version" in other.notices[0]
    other.append(e.TimePassed(1.0))
    settle(other)
    assert (journal.folder / recovery.NAME).read_bytes() == before
