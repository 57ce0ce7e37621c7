"""The file in which the claims of all brokers of a person are; knows its damage and its locks, not who may have what.

A rollback journal, since older SQLite may damage a write-ahead log that several processes write; never synced, since no
lease outlives the boot.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from ..journal import trouble
from . import broker_place as place
from .broker_place import Damaged, Stuck
from .broker_rules import Claim, Row

T = TypeVar("T")
VERSION = 1
LOCKED = 2.0  # seconds of waiting for a lock before that is trouble
SETTLE = 1.0  # seconds in which a file that took the place of another grants nothing: the holders write themselves in
_SCHEMA = (
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    """CREATE TABLE claim(party TEXT NOT NULL, id TEXT NOT NULL, seq INTEGER NOT NULL, state TEXT NOT NULL,
    token INTEGER NOT NULL, changed REAL NOT NULL, expires REAL NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY(party, id)) WITHOUT ROWID""",
)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Claim).decode


class Ledger:
    """What can be read and changed within one transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self) -> list[Row]:
        """All claims of the machine."""
        found = self._connection.execute("SELECT party, body, seq, state, token, changed, expires FROM claim")
        try:
            return [Row(party, _decode(body), *rest) for party, body, *rest in found]
        except (msgspec.MsgspecError, TypeError) as error:
            raise Damaged(str(error)) from error

    def put(self, row: Row) -> None:
        """Write a claim, or what has become of it."""
        self._connection.execute(
            "INSERT OR REPLACE INTO claim VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
            (row.party, row.claim.id, row.seq, row.state, row.token, row.changed, row.expires, _encode(row.claim)),
        )

    def renew(self, party: str, id: str, token: int, expires: float) -> bool:
        """Put off the end of what is held; False when it is not any more."""
        sql = "UPDATE claim SET expires=? WHERE party=? AND id=? AND token=? AND state='held'"
        return self._connection.execute(sql, (expires, party, id, token)).rowcount > 0

    def drop(self, party: str, id: str) -> None:
        """Remove a claim, if it is there."""
        self._connection.execute("DELETE FROM claim WHERE party=? AND id=?", (party, id))

    def next(self, key: str) -> int:
        """A number that was never given before on this machine: "token" or "seq"."""
        sql = "UPDATE meta SET value=value+1 WHERE key=? RETURNING value"
        found = self._connection.execute(sql, (key,)).fetchall()
        if not found:
            raise Damaged(f"no {key}")
        return int(found[0][0])

    def settled(self) -> float:
        """The machine's time from which on claims are granted."""
        found = self._connection.execute("SELECT value FROM meta WHERE key='settled'").fetchall()
        if not found:
            raise Damaged("no settled")
        return float(found[0][0]) / 1e6


class BrokerFile:
    """One connection, of one thread. `restore` writes into a file that is newly opened what its owner had."""

    def __init__(self, folder: Path, restore: Callable[[Ledger], None], clock: Callable[[], float]) -> None:
        self._folder, self._restore, self._clock = folder, restore, clock
        self._path: Path | None = None
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._version = -1
        self._sign = -1

    def write(self, act: Callable[[Ledger], T]) -> T:
        """What `act` gives, in one transaction.

        Raises
        ------
        OSError
            When that can't be done now; one line, it says what to do. Nothing has changed.
        """
        return self._try(lambda: self._write(act))

    def read(self, act: Callable[[Ledger], T]) -> T:
        """What `act` gives, from one statement. Raises OSError like :meth:`write`."""
        return self._try(lambda: self._patiently(lambda connection: act(Ledger(connection))))

    def changed(self) -> bool:
        """Whether others have written since the last call, or the file is another one. Raises OSError."""
        return self._try(self._has_changed)

    def close(self) -> None:
        """Let go of the file; the last one who does removes it, when nothing is held or waits."""
        if self._connection is not None:
            with suppress(OSError, sqlite3.Error, Damaged):
                self._write(self._remove_unused)
            self._connection.close()
            self._connection = None
        if self._sign >= 0:
            os.close(self._sign)
            self._sign = -1

    def _try(self, act: Callable[[], T]) -> T:
        """Open anew where the file was taken away, make a new one where it is damaged; once."""
        try:
            for _ in range(2):
                try:
                    self._open()
                    return act()
                except (Damaged, sqlite3.Error) as error:
                    if not (place.is_damage(error) or self._is_another()):
                        raise
                    self._discard()
            self._open()
            return act()
        except (Damaged, sqlite3.Error, OSError) as error:
            if isinstance(error, sqlite3.Error):
                self._drop_connection()
            raise OSError(place.explain(error, self._folder)) from error

    def _open(self) -> None:
        """Make sure that the connection is to the file that is at the path now."""
        if self._connection is not None and not self._is_another():
            return
        self._drop_connection()
        if self._sign < 0:
            self._sign = place.hang_out_sign(self._folder)
        self._path = path = place.prepare(self._folder)
        self._inode, self._version = place.inode(path), -1
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=0, cached_statements=32)
        self._patiently(lambda connection: connection.execute("PRAGMA journal_mode=TRUNCATE").fetchall())
        self._connection.execute("PRAGMA synchronous=OFF")
        self._write(self._begin)

    def _begin(self, ledger: Ledger) -> None:
        connection = self._connected()
        if connection.execute("PRAGMA quick_check(1)").fetchall() != [("ok",)]:
            raise Damaged("quick_check")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            now = self._clock()
            settled = now + SETTLE if self._has_others() else now
            for statement in _SCHEMA:
                connection.execute(statement)
            # Time counts up faster than grants, so tokens rise also over files that were lost.
            values = (("token", int(now * 1e6)), ("seq", 0), ("settled", int(settled * 1e6)))
            connection.executemany("INSERT INTO meta VALUES(?, ?)", values)
            connection.execute(f"PRAGMA user_version={VERSION}")
        elif version != VERSION:
            raise OSError(f"{self._path} is of another version of jupyter_orchestra: restart the older kernels")
        self._restore(ledger)

    def _write(self, act: Callable[[Ledger], T]) -> T:
        connection = self._connected()
        self._patiently(lambda connection: connection.execute("BEGIN IMMEDIATE"))
        try:
            if self._is_another():  # the last one who let go of it removes it under this lock
                raise Damaged("it was removed")
            result = act(Ledger(connection))
            self._patiently(lambda connection: connection.execute("COMMIT"))
            return result
        except BaseException:
            if connection.in_transaction:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
            raise

    def _patiently(self, act: Callable[[sqlite3.Connection], T]) -> T:
        """Wait for others' locks by short sleeps: SQLite's own grow to a tenth of a second."""
        deadline = time.monotonic() + LOCKED
        while True:
            try:
                return act(self._connected())
            except sqlite3.OperationalError as error:
                if trouble.code(error) not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                    raise
                if time.monotonic() > deadline:
                    pid = place.locker(self._file())
                    raise Stuck(
                        f"process {pid or '?'} has stopped while it wrote the leases: continue it "
                        f"(kill -CONT {pid or 'PID'}) or end it"
                    ) from error
            time.sleep(0.0005)

    def _has_changed(self) -> bool:
        (version,) = self._patiently(lambda connection: connection.execute("PRAGMA data_version").fetchone())
        before, self._version = self._version, version
        return bool(before != version)

    def _remove_unused(self, ledger: Ledger) -> None:
        path = self._file()
        if not ledger.rows() and not self._has_others():
            path.unlink()
            for name in (f"{path}-journal", f"{path}.lock"):
                with suppress(OSError):
                    os.unlink(name)
            with suppress(OSError):
                path.parent.rmdir()

    def _has_others(self) -> bool:
        return self._sign < 0 or place.others(self._folder)

    def _discard(self) -> None:
        """Remove a damaged file, unless another has done so and put a new one there."""
        path = place.prepare(self._folder)
        with _alone(path):
            if place.inode(path) == self._inode:  # while the connection is there, no other file can get this number
                for name in (path, f"{path}-journal"):
                    with suppress(FileNotFoundError):
                        os.unlink(name)
        self._drop_connection()

    def _is_another(self) -> bool:
        return self._path is not None and place.inode(self._path) != self._inode

    def _drop_connection(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _connected(self) -> sqlite3.Connection:
        assert self._connection is not None
        return self._connection

    def _file(self) -> Path:
        assert self._path is not None
        return self._path


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the lock of those who remove damaged files."""
    handle = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        deadline = time.monotonic() + LOCKED
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Stuck(f"a process has stopped while it held {path}.lock: continue it or end it") from None
                time.sleep(0.001)
        yield
    finally:
        os.close(handle)
