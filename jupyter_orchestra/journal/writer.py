"""The one connection that writes, on a thread of its own with group commit; knows nothing of what events mean."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path
from typing import TypeVar

import msgspec

from . import points, schema, trouble
from .projection import Accounts, Row, Views
from .trouble import explain

log = logging.getLogger(__name__)
T = TypeVar("T")

LIMIT = 2000  # entries in one transaction
Position = tuple[int, int]  # number and check sum of the last event


class Recorded(msgspec.Struct, gc=False):
    """An event, and rows that change with it. Without a kind: rows alone."""

    at: float
    kind: str
    data: bytes
    rows: Iterable[Row] = ()
    dropped: Iterable[str] = ()
    accounts: Accounts | None = None
    fresh: bool = False  # these rows are all that there is


class Change(msgspec.Struct):
    """Something else to write: ``apply`` in the transaction, again after a failure; ``after`` once it is durable."""

    apply: Callable[[sqlite3.Connection, Position], None]
    after: Callable[[], None] | None = None


class Barrier(msgspec.Struct):
    """Someone waits for everything before it."""

    done: Callable[[], None]


Entry = Recorded | Change | Barrier


class Writer:
    """Writes entries in the order in which they come; keeps them while the disk does not take them.

    Parameters
    ----------
    path : Path
        The database.
    reopen : callable
        Gives a new connection and the position found, for a journal whose position should be the one it is called with.
    connection : sqlite3.Connection or None
        The first connection; None when it could not be opened.
    last : (int, int)
        The position to go on from.
    on_blocked, on_freed : callable
        Called on the writer's thread, once each time the disk stops and starts to take entries.
    delay : float
        Seconds that an entry may wait for others when no barrier asks for it.
    retry : (float, float)
        Seconds until the first and between later attempts while the disk does not take anything.
    """

    def __init__(
        self,
        path: Path,
        reopen: Callable[[Position], tuple[sqlite3.Connection, Position]],
        connection: sqlite3.Connection | None,
        last: Position,
        *,
        trouble: BaseException | None = None,
        on_blocked: Callable[[str], None],
        on_freed: Callable[[], None],
        delay: float = 0.1,
        retry: tuple[float, float] = (0.5, 2.0),
    ) -> None:
        self.path, self._reopen, self._connection, self._last = path, reopen, connection, last
        self._on_blocked, self._on_freed, self._delay, self._retry = on_blocked, on_freed, delay, retry
        self._inode = _inode(path) if connection is not None else 0
        self._first_trouble = trouble
        self._entries: deque[Entry] = deque()
        self._reads: deque[Callable[[], None]] = deque()
        self._wake = threading.Condition(threading.Lock())
        self._barriers = 0  # in the queue
        self._due = 0.0  # when the oldest entry must be written
        self._again = 0.0  # when to try again; used while blocked
        self._pause = retry[0]
        self._doubt: tuple[Position, int] | None = None  # a commit of which it is not known whether it came through
        self.blocked = explain(trouble, path.parent) if trouble is not None else ""
        self._told = False  # that it is blocked
        self.stopped = False  # by a bug or damage: nothing is written any more
        self._closing = False
        self.closed = threading.Event()
        self.thread = threading.Thread(target=self._run, name="jupyter_orchestra journal", daemon=True)
        self.thread.start()

    # any thread

    def add(self, entry: Entry) -> None:
        """Put an entry at the end. Raises RuntimeError after :meth:`close`."""
        with self._wake:
            if self._closing:
                raise RuntimeError("the journal is closed")
            first = not self._entries
            self._entries.append(entry)
            if first:
                self._due = time.monotonic() + self._delay
            if isinstance(entry, Barrier):
                self._barriers += 1
            if first or isinstance(entry, Barrier) or len(self._entries) == LIMIT:
                self._wake.notify()

    def call(self, act: Callable[[sqlite3.Connection], T]) -> T:
        """What `act` gives, run between transactions. Raises OSError without a connection, else what `act` raises."""
        if threading.current_thread() is self.thread:
            return self._read(act)
        future: Future[T] = Future()

        def serve() -> None:
            try:
                future.set_result(self._read(act))
            except BaseException as error:
                future.set_exception(error)

        with self._wake:
            if self.closed.is_set():
                raise OSError("the journal is closed")
            self._reads.append(serve)
            self._wake.notify()
        return future.result()

    def close(self, timeout: float) -> bool:
        """Write everything and end. False when the disk does not take it in `timeout` seconds: it goes on trying."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        return self.closed.wait(timeout) and not self._entries

    # the writer's thread

    def _run(self) -> None:
        if self._first_trouble is not None:
            self._fail(self._first_trouble)
        while True:
            reads, batch, end = self._next()
            for serve in reads:
                serve()
            if end:
                break
            if batch is not None:
                self._commit(batch)
        if self._connection is not None:
            self._connection.close()
        points.reach("closed")
        with self._wake:
            self.closed.set()
            reads = list(self._reads)
        self._connection = None
        for serve in reads:
            serve()

    def _next(self) -> tuple[list[Callable[[], None]], list[Entry] | None, bool]:
        """Wait for something to do: reads, a batch to write (empty: open the journal), or the end."""
        with self._wake:
            while True:
                now = time.monotonic()
                wait = self._wait(now)
                reads = list(self._reads)
                self._reads.clear()
                if wait is not None and wait <= 0:
                    return reads, list(islice(self._entries, LIMIT)), False
                if (self._closing and not self._entries) or (self._closing and self.stopped):
                    return reads, None, True
                if reads:
                    return reads, None, False
                self._wake.wait(wait)

    def _wait(self, now: float) -> float | None:
        """Seconds until something must be written; None: nothing is waiting."""
        if self.stopped:
            return None
        if self.blocked:
            return self._again - now if self._entries or not self._closing else None
        if not self._entries:
            return None
        return 0.0 if self._barriers or self._closing or len(self._entries) >= LIMIT else self._due - now

    def _commit(self, batch: list[Entry]) -> None:
        taken = time.monotonic()
        try:
            if self.blocked and (through := self._open()) is not None:
                position, count = through
                del batch[count:]
            else:
                position = self._write(self._connected(), batch)
        except trouble.Contradiction as error:
            self._contradict(error, batch)
            return
        except Exception as error:
            self._fail(error)
            return
        self._settle(batch, position, taken)

    def _contradict(self, error: trouble.Contradiction, batch: list[Entry]) -> None:
        """What the rows say can't be true, which is a bug of ours: the facts are kept, and nothing follows them."""
        self._roll_back()
        try:
            position = self._write(self._connected(), batch, views=False)
        except Exception as worse:
            log.error("the journal refused what it should say of itself", exc_info=error)
            self._fail(worse)
            return
        self._settle(batch, position, time.monotonic())
        self._fail(error)

    def _settle(self, batch: list[Entry], position: Position, taken: float) -> None:
        """It is durable: whoever waits for it is told."""
        self._doubt, self._last, self._pause = None, position, self._retry[0]
        with self._wake:
            for _ in batch:
                self._entries.popleft()
            self._barriers -= sum(isinstance(entry, Barrier) for entry in batch)
            self._due = taken + self._delay
        if self.blocked:
            self.blocked, self._told = "", False
            _safely(self._on_freed)
        for entry in batch:
            if isinstance(entry, Barrier):
                _safely(entry.done)
            elif isinstance(entry, Change) and entry.after is not None:
                _safely(entry.after)
        points.reach("told")

    def _write(self, connection: sqlite3.Connection, batch: list[Entry], views: bool = True) -> Position:
        """One transaction; without ``views`` a word is left that they are not what the log says."""
        if not batch:
            return self._last
        if _inode(self.path) != self._inode:
            raise trouble.Gone(f"{self.path} is gone")
        events: list[tuple[int, float, str, str, int]] = []
        changes: list[tuple[Change, Position]] = []
        shown, (seq, chain) = Views(), self._last
        for entry in batch:
            if isinstance(entry, Recorded):
                shown = Views(fresh=True) if entry.fresh else shown
                shown.add(entry.rows, entry.dropped, entry.accounts)
                if entry.kind:
                    seq += 1
                    chain = schema.link(chain, seq, entry.at, entry.kind.encode(), entry.data)
                    events.append((seq, entry.at, entry.kind, entry.data.decode(), chain))
            elif isinstance(entry, Change):
                changes.append((entry, (seq, chain)))
        points.reach("begin")
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO event VALUES(?, ?, ?, ?, ?)", events)
        points.reach("events written")
        if views:
            _show(shown, connection)
        else:
            schema.set_meta(connection, schema.STALE, "stale")
        points.reach("views written")
        for change, position in changes:
            change.apply(connection, position)
            points.reach("change applied")
        self._doubt = ((seq, chain), len(batch))
        points.reach("commit")
        connection.execute("COMMIT")
        points.reach("committed")
        return seq, chain

    def _open(self) -> tuple[Position, int] | None:
        """Connect anew after trouble; what was written after all: the position, and how many entries that are."""
        expected = self._last
        connection, found = self._reopen(expected)
        old, self._connection, self._inode = self._connection, connection, _inode(self.path)
        if old is not None:
            old.close()
        if found == expected:
            self._doubt = None
            return None
        if self._doubt is None or self._doubt[0] != found:
            raise trouble.Changed(f"it ends at event {found[0]}, not {expected[0]}")
        # Its sync may have failed: checkpointing writes it once more, and syncs again.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return self._doubt

    def _fail(self, error: BaseException) -> None:
        """Nothing of the batch is lost: it stays in the queue."""
        self._roll_back()
        if not trouble.passes(error):
            self.stopped = True
            log.error("the journal stopped", exc_info=error)
        self._again = time.monotonic() + self._pause
        self._pause = min(self._pause * 2, self._retry[1])
        if not self._told or self.stopped:
            self._told, self.blocked = True, explain(error, self.path.parent)
            _safely(lambda: self._on_blocked(self.blocked))

    def _roll_back(self) -> None:
        if self._connection is not None and self._connection.in_transaction:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")

    def _read(self, act: Callable[[sqlite3.Connection], T]) -> T:
        if self._connection is not None or self.closed.is_set():
            return act(self._connected())
        try:  # what was written before can be read even where nothing can be written
            with closing(schema.reader(self.path, owned=True)) as connection:
                return act(connection)
        except sqlite3.OperationalError as error:
            raise OSError(f"the journal can't be read now: {error}") from error

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            raise OSError(self.blocked or "the journal is closed")
        return self._connection


def _show(views: Views, connection: sqlite3.Connection) -> None:
    try:
        views.write(connection)
    except sqlite3.IntegrityError as error:
        raise trouble.Contradiction(str(error)) from error


def _safely(act: Callable[[], None]) -> None:
    """A caller's mistake must not end the writer."""
    try:
        act()
    except Exception:
        log.exception("the journal's caller failed")


def _inode(path: Path) -> int:
    try:
        return os.stat(path).st_ino
    except OSError:
        return 0
