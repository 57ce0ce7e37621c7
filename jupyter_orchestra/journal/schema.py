"""The tables of a journal and how older ones are brought up to date; knows nothing of threads or folders.

The log (meta, event, snapshot, blob) is the truth, and its columns stay as they are in every version, because recovery
reads them before anything is upgraded. The other tables are views of it for readers outside, and can be made anew.
"""

from __future__ import annotations

import os
import sqlite3
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

_FIRST = (
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
    """CREATE TABLE event(seq INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL, data TEXT NOT NULL,
    crc INTEGER NOT NULL) STRICT""",
    """CREATE TABLE snapshot(seq INTEGER PRIMARY KEY, chain INTEGER NOT NULL, data BLOB NOT NULL,
    crc INTEGER NOT NULL) STRICT""",
    "CREATE TABLE blob(digest TEXT PRIMARY KEY, data BLOB NOT NULL) STRICT",
    """CREATE TABLE task(uid TEXT PRIMARY KEY, name TEXT NOT NULL, worker TEXT NOT NULL, state TEXT NOT NULL,
    reason TEXT NOT NULL, attempt INTEGER NOT NULL, origin TEXT NOT NULL, parent TEXT NOT NULL, cohort TEXT NOT NULL,
    notebook TEXT NOT NULL, cell TEXT NOT NULL, dispatched_at REAL NOT NULL, started_at REAL, ended_at REAL) STRICT""",
    """CREATE TABLE attempt(uid TEXT NOT NULL REFERENCES task ON DELETE CASCADE, attempt INTEGER NOT NULL,
    state TEXT NOT NULL, pid INTEGER, pid_started REAL, spool TEXT, PRIMARY KEY(uid, attempt)) STRICT""",
    """CREATE TABLE result(uid TEXT NOT NULL REFERENCES task ON DELETE CASCADE, attempt INTEGER NOT NULL,
    text TEXT NOT NULL, error TEXT NOT NULL, data TEXT NOT NULL, PRIMARY KEY(uid, attempt)) STRICT""",
    """CREATE TABLE outbox(uid TEXT NOT NULL REFERENCES task ON DELETE CASCADE, attempt INTEGER NOT NULL,
    stage TEXT NOT NULL, PRIMARY KEY(uid, attempt)) STRICT""",
    """CREATE TABLE usage(uid TEXT NOT NULL REFERENCES task ON DELETE CASCADE, attempt INTEGER NOT NULL,
    seconds REAL NOT NULL, tokens_in INTEGER NOT NULL, tokens_out INTEGER NOT NULL,
    PRIMARY KEY(uid, attempt)) STRICT""",
)
# What stands behind every budget: whatever the machine decides, no account is written down overdrawn. It holds for the
# limits that hold: where a limit is set below what is used already, what is used is the limit until it holds. What cost
# more than was kept for it and than was left (a reply that was longer than allowed, time that passed before a stop) is
# ``over``, and no part of it.
ACCOUNTS = """CREATE TABLE account(account TEXT NOT NULL, quantity TEXT NOT NULL, most INTEGER,
    reserved INTEGER NOT NULL, spent INTEGER NOT NULL, over INTEGER NOT NULL, PRIMARY KEY(account, quantity),
    CONSTRAINT "nothing is less than nothing" CHECK(reserved >= 0 AND spent >= 0 AND over >= 0),
    CONSTRAINT "no budget is overdrawn" CHECK(most IS NULL OR reserved + spent <= most)) STRICT, WITHOUT ROWID"""
LOG_PAGES = 200  # after so many the log goes into the database, so that damage to it reaches little
VIEWS = ("usage", "outbox", "result", "attempt", "task", "account")  # children first
STALE = "views"  # the word about a journal whose views are not what its log says


def _first(connection: sqlite3.Connection) -> None:
    for statement in _FIRST:
        connection.execute(statement)


def _accounts(connection: sqlite3.Connection) -> None:
    connection.execute(ACCOUNTS)


STEPS: list[Callable[[sqlite3.Connection], None]] = [_first, _accounts]
"""The n-th step makes version n of version n - 1, inside one transaction. Never change one that was released."""


def version() -> int:
    """The version that this program writes."""
    return len(STEPS)


def connect(path: Path, wal: bool = True) -> sqlite3.Connection:
    """The one connection that writes; every commit is on the disk when it returns. Raises sqlite3.Error."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=2.0, check_same_thread=False, cached_statements=64)
    try:
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")  # holds for a new file only
        connection.execute(f"PRAGMA journal_mode={'WAL' if wal else 'DELETE'}")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA journal_size_limit=4194304")
        connection.execute(f"PRAGMA wal_autocheckpoint={LOG_PAGES}")
    except BaseException:
        connection.close()
        raise
    return connection


def reader(path: Path, owned: bool = False) -> sqlite3.Connection:
    """A connection that only reads, for any process; `owned`: nobody else can write meanwhile. Raises sqlite3.Error.

    SQLite before 3.51.3 can damage a database that two connections write: only the owner may open it otherwise.
    """
    # On a full or read-only disk SQLite can't make the index of a log; where there is no log, none is needed.
    still = "&immutable=1" if owned and not size(path.with_name(f"{path.name}-wal")) else ""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro{still}", uri=True, isolation_level=None, timeout=2.0)


def size(path: Path) -> int:
    """Bytes of a file that need not be there."""
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def upgrade(connection: sqlite3.Connection, to: int | None = None) -> bool:
    """Bring the tables to version `to` (by default the newest), a transaction a step; whether any was needed."""
    found = int(connection.execute("PRAGMA user_version").fetchone()[0])
    for number in range(found + 1, (version() if to is None else to) + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            STEPS[number - 1](connection)
            set_meta(connection, "version", str(number))
            connection.execute(f"PRAGMA user_version={number}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    return found < version()


def set_meta(connection: sqlite3.Connection, key: str, value: str) -> None:
    """Keep one word about the journal itself."""
    connection.execute("INSERT INTO meta VALUES(?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", (key, value))


def has_meta(connection: sqlite3.Connection, key: str) -> bool:
    """Whether there is such a word."""
    return connection.execute("SELECT 1 FROM meta WHERE key = ?", (key,)).fetchone() is not None


def link(chain: int, seq: int, at: float, kind: bytes, data: bytes) -> int:
    """The event's check sum: it covers the event and the sum before it, so that gaps show as flipped bits do."""
    return zlib.crc32(data, zlib.crc32(kind, zlib.crc32(struct.pack("<qd", seq, at), chain)))


def seal(seq: int, chain: int, data: bytes) -> int:
    """The check sum of a snapshot."""
    return zlib.crc32(data, zlib.crc32(struct.pack("<qQ", seq, chain)))
