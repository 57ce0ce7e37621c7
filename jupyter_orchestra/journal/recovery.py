"""What can be read of a journal, and how a damaged one is replaced by a whole one; knows nothing of owners."""

from __future__ import annotations

import os
import sqlite3
import struct
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import closing, suppress
from pathlib import Path

import msgspec

from ..core.events import AnyEvent, decode
from . import files, points, schema, trouble, wal
from .artifacts import digest_of

NAME = "journal.db"
REBUILDING, REBUILT = "journal.rebuilding.db", "journal.rebuilt.db"
LOST = "journal.lost"  # says what the log lost, until the journal is rebuilt
TAILS = ("-wal", "-shm", "-journal")

Record = tuple[int, float, bytes, bytes, int]  # seq, at, kind, data, crc


class Found(msgspec.Struct):
    """What a journal holds: the snapshot, and the events after it up to the first bad one."""

    version: int = 0  # 0: nothing is there yet
    epoch: int = 0
    snapshot: tuple[int, int, bytes] | None = None  # seq, chain, data
    records: list[Record] = []
    problem: str = ""  # why it is not whole
    skipped: dict[int, str] = {}  # events that are whole and yet can't be decoded, and why

    @property
    def last(self) -> tuple[int, int]:
        """Number and check sum of the last good event."""
        if self.records:
            return self.records[-1][0], self.records[-1][4]
        return self.snapshot[:2] if self.snapshot else (0, 0)

    def decoded(self) -> list[AnyEvent]:
        """The events but those that this program can't decode, which :attr:`skipped` then names."""
        events: list[AnyEvent] = []
        for record in self.records:
            event = event_of(record[3])
            if isinstance(event, str):
                self.skipped[record[0]] = event
            else:
                events.append(event)
        return events


def event_of(data: bytes) -> AnyEvent | str:
    """The event, or in one line why this program can't decode it."""
    try:
        return decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        return " ".join(str(error).split())


def inspect(path: Path) -> Found:
    """Read and check a journal without writing to it, but for a word beside it where its log lost something.

    Raises
    ------
    sqlite3.OperationalError, OSError
        It can't be opened now; says nothing about whether it is whole.
    """
    if not schema.size(path):  # SQLite would throw the log away unread
        log = schema.size(path.with_name(path.name + "-wal"))
        return Found(problem="the database is gone, its write-ahead log is not") if log else Found()
    lost = _lost(path)
    with closing(schema.reader(path, owned=True)) as connection:
        connection.text_factory = bytes
        found = read(connection)
    found.problem = lost or found.problem
    return found


def _lost(path: Path) -> str:
    """What the write-ahead log lost; written down, because SQLite soon spoils what shows it. Raises OSError."""
    note = path.with_name(LOST)
    if schema.size(note):
        return note.read_text(errors="replace")
    if lost := wal.damage(path):
        files.write(note, lost.encode())
    return lost


def read(connection: sqlite3.Connection) -> Found:
    """Read and check a journal through `connection`, whose text factory must be ``bytes``."""
    found = Found()
    try:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        found.version = min(version, schema.version())  # a newer one counts once the log says the same
        if (word := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != b"ok":
            found.problem = word.decode(errors="replace").splitlines()[-1]
        if version or connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            _read_log(connection, found, version)
    except sqlite3.DatabaseError as error:
        if trouble.passes(error):
            raise
        found.problem = found.problem or str(error)
    except (struct.error, TypeError, ValueError, OverflowError):  # a flipped bit may turn a number into text
        found.problem = found.problem or "a value has the wrong type"
    return found


def _read_log(connection: sqlite3.Connection, found: Found, version: int) -> None:
    meta: dict[object, object] = dict(connection.execute("SELECT key, value FROM meta"))
    if version > 0 and meta.get(b"version") == str(version).encode():
        found.version = version
    else:
        found.problem = found.problem or "its version is garbled"
        found.version = found.version if found.version > 0 else schema.version()
    epoch = meta.get(b"epoch")
    found.epoch = int(epoch) if isinstance(epoch, bytes) and epoch.isdigit() else 0
    for seq, chain, data, crc in connection.execute("SELECT seq, chain, data, crc FROM snapshot ORDER BY seq"):
        if schema.seal(seq, chain, data) == crc:
            found.snapshot = (seq, chain, data)
    if meta.get(b"snapshot", b"0") != str(found.snapshot[0] if found.snapshot else 0).encode():
        found.problem = found.problem or "its snapshot is damaged"
    seq, chain = found.last
    for record in connection.execute("SELECT seq, at, kind, data, crc FROM event WHERE seq > ? ORDER BY seq", (seq,)):
        seq += 1
        chain = schema.link(chain, seq, *record[1:4])
        if (seq, chain) != (record[0], record[4]):
            found.problem = found.problem or f"event {seq} is damaged"
            return
        found.records.append(record)


def inspect_copy(path: Path) -> Found:
    """Read a journal whose disk is full or read-only, by way of a copy elsewhere. Raises OSError, sqlite3.Error."""
    error: Exception = OSError("nowhere to copy the journal to")
    for place in (tempfile.gettempdir(), "/dev/shm", "/var/tmp"):
        try:
            with tempfile.TemporaryDirectory(dir=place, prefix="jupyter_orchestra-") as folder:
                copy = Path(folder) / path.name
                for tail in ("", "-wal", "-shm"):
                    with suppress(FileNotFoundError):
                        copy.with_name(copy.name + tail).write_bytes(path.with_name(path.name + tail).read_bytes())
                return inspect(copy)
        except (OSError, sqlite3.OperationalError) as problem:
            error = problem
    raise error


def rebuild(folder: Path, found: Found, now: float | None = None) -> str:
    """Put what `found` holds into a new database and set the old one aside; can be cut off anywhere and done again.

    Returns
    -------
    str
        The name under which the old one was set aside.

    Raises
    ------
    sqlite3.OperationalError, OSError
        The disk is full or read-only; nothing has changed.
    """
    fresh = folder / REBUILDING
    for tail in ("", *TAILS):
        with suppress(FileNotFoundError):
            os.unlink(folder / (REBUILDING + tail))
    with closing(schema.connect(fresh, wal=False)) as connection:
        points.reach("rebuild begun")
        schema.upgrade(connection, found.version or None)
        connection.execute("BEGIN IMMEDIATE")
        schema.set_meta(connection, "epoch", str(found.epoch))
        if found.snapshot is not None:
            put_snapshot(connection, *found.snapshot)
        connection.executemany("INSERT INTO event VALUES(?, ?, CAST(? AS TEXT), CAST(? AS TEXT), ?)", found.records)
        connection.executemany("INSERT OR IGNORE INTO blob VALUES(?, ?)", _blobs(folder / NAME))
        points.reach("rebuild filled")
        connection.execute("COMMIT")
    os.replace(fresh, folder / REBUILT)  # from here on the new one counts
    points.reach("rebuilt")
    files.sync_folder(folder)
    return finish(folder, now)


def finish(folder: Path, now: float | None = None) -> str:
    """Go on with a rebuild that was cut off once the new database was whole; the name of what was set aside."""
    if not (folder / REBUILT).exists():
        return ""
    aside = time.strftime("journal.corrupt-%Y%m%dT%H%M%SZ", time.gmtime(now))
    number = 0
    while (folder / (name := f"{aside}{f'-{number}' if number else ''}.db")).exists():
        number += 1
    for tail in (*TAILS, ""):
        with suppress(FileNotFoundError):
            os.rename(folder / (NAME + tail), folder / (name + tail))
            points.reach("set aside")
    (folder / LOST).unlink(missing_ok=True)
    os.rename(folder / REBUILT, folder / NAME)
    points.reach("rebuilt in place")
    files.sync_folder(folder)
    return name


def put_snapshot(
    connection: sqlite3.Connection, seq: int, chain: int, data: bytes, skipped: Collection[int] = ()
) -> None:
    """Make this the only snapshot, and remove the events that it stands for; inside the caller's transaction.

    The events `skipped` are in no snapshot: they stay, as do those skipped before an earlier one.
    """
    kept = ", ".join(map(str, skipped))
    connection.execute(
        "DELETE FROM event WHERE seq <= ? AND seq > (SELECT coalesce(max(seq), 0) FROM snapshot)"
        f" AND seq NOT IN ({kept})",
        (seq,),
    )
    connection.execute("DELETE FROM snapshot")
    connection.execute("INSERT INTO snapshot VALUES(?, ?, ?, ?)", (seq, chain, data, schema.seal(seq, chain, data)))
    schema.set_meta(connection, "snapshot", str(seq))


def _blobs(path: Path) -> Iterator[tuple[str, bytes]]:
    """The blobs that are whole, read from both ends towards what can't be read."""
    for order in ("ASC", "DESC"):
        try:
            with closing(schema.reader(path, owned=True)) as connection:
                connection.text_factory = bytes
                for digest, data in connection.execute(f"SELECT digest, data FROM blob ORDER BY rowid {order}"):
                    if isinstance(data, bytes) and digest_of(data).encode() == digest:
                        yield digest.decode(), data
                return
        except sqlite3.Error:
            continue
