"""How a folder becomes an open journal: owned, checked, repaired, up to date; knows nothing of threads or entries."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from ..core.events import AnyEvent
from . import files, owner, points, recovery, schema, trouble
from .location import Place, record
from .recovery import Found

Position = tuple[int, int]
_REST = "what could be read goes on, the rest is"


class Newer(Exception):
    """A newer version of the program wrote it."""


class Opening:
    """One journal on its way to an open connection; may be tried again until the disk lets it through.

    Parameters
    ----------
    place : Place
    notices : list of str
        Those that there are already; more are added.
    readable : callable
        Whether the program can decode this snapshot.

    Attributes
    ----------
    epoch : int
        Number of this start.
    found : Found or None
        What the journal held, once it was read.
    events : list of AnyEvent
        The events after the snapshot.
    notices : list of str
        One line each for the person.
    stale : bool
        Whether the views must be made anew from the log.
    """

    def __init__(
        self, place: Place, notices: list[str], readable: Callable[[bytes], bool] = lambda snapshot: True
    ) -> None:
        self.place, self.notices, self._readable = place, notices, readable
        self.path = place.folder / recovery.NAME
        self.epoch = 0
        self.found: Found | None = None
        self.events: list[AnyEvent] = []
        self.stale = False
        self._peeked: Position | None = None  # where the journal ended that was read without touching it
        self.owned = self.opened = False

    def connect(self) -> sqlite3.Connection:
        """The connection that writes, for the first time.

        Raises
        ------
        Held, Newer
            It can't be had, and won't be.
        sqlite3.OperationalError, OSError
            It can't be opened now.
        Changed
            It is not what was read of it before.
        """
        folder = self.place.folder
        files.private_folder(folder)
        if not self.owned:
            self.epoch = owner.take(folder, at_least=max(1, self.epoch))
            self.owned = True
        if self.place.notebook:
            record(folder, Path(self.place.notebook))
        self._tell_aside(recovery.finish(folder), "the journal was damaged", _REST)
        found = recovery.inspect(self.path)
        if found.version > schema.version():
            self.release()
            raise Newer
        if self._peeked is not None and found.last != self._peeked:
            raise trouble.Changed("it was written by another kernel meanwhile")
        if found.problem:
            why = f"the journal was damaged ({found.problem}; {found.last[0]} events were read)"
            self._tell_aside(self._rebuild(found), why, _REST)
        connection = schema.connect(self.path)
        try:
            points.reach("connected")
            if schema.upgrade(connection) and found.version:
                found = self._reread()
            self.stale = self.stale or schema.has_meta(connection, schema.STALE)
            if not self._is_readable(found):
                connection.close()
                found = Found(epoch=found.epoch)
                why = "the state in this notebook's journal can't be read by this version of jupyter_orchestra"
                self._tell_aside(self._rebuild(found), why, "a new journal begins, the old one is")
                connection = schema.connect(self.path)
            events = found.decoded()
            if found.epoch >= self.epoch:
                self.epoch = owner.take(folder, at_least=found.epoch + 1)
            connection.execute("BEGIN IMMEDIATE")
            schema.set_meta(connection, "epoch", str(self.epoch))
            connection.execute("COMMIT")
            points.reach("opened")
        except BaseException:
            connection.close()
            raise
        self.found, self.events, self.opened = found, events, True
        self._tell_skipped(found.skipped)
        return connection

    def again(self, expected: Position) -> tuple[sqlite3.Connection, Position]:
        """The connection that writes and the position found, after trouble. Raises as :meth:`connect` does."""
        if not self.opened:
            connection = self._connect_late()
        elif self.path.exists():
            connection = schema.connect(self.path)
        elif expected == (0, 0):
            return self.connect(), expected  # nothing was in it
        else:
            raise trouble.Gone(f"{self.path} is gone")
        try:
            return connection, _last(connection)
        except BaseException:
            connection.close()
            raise

    def peek(self) -> None:
        """Read what the journal holds without touching it, as far as possible, because it can't be opened now."""
        self.epoch = max(self.epoch, owner.look(self.place.folder).epoch + (not self.owned))
        if self.found is None:
            try:
                found = recovery.inspect_copy(self.path)
            except (OSError, sqlite3.Error):
                return
            if found.version <= schema.version():  # the log is the same in all of them
                self._peeked = found.last
                self.found = found = found if self._is_readable(found) else Found(epoch=found.epoch)
                self.events = found.decoded()
                self.epoch = max(self.epoch, found.epoch + 1)

    def release(self) -> None:
        """Give the journal up. Raises OSError."""
        if self.owned:
            owner.release(self.place.folder)
            self.owned = False

    def _connect_late(self) -> sqlite3.Connection:
        try:
            return self.connect()
        except (owner.Held, Newer) as error:
            raise trouble.Changed(str(error)) from error

    def _reread(self) -> Found:
        """What the journal holds after an upgrade."""
        self.stale = True
        with closing(schema.reader(self.path, owned=True)) as reader:
            reader.text_factory = bytes
            return recovery.read(reader)

    def _is_readable(self, found: Found) -> bool:
        return found.snapshot is None or self._readable(found.snapshot[2])

    def _rebuild(self, found: Found) -> str:
        self.stale = True
        return recovery.rebuild(self.place.folder, found)

    def _tell_aside(self, aside: str, why: str, rest: str) -> None:
        if aside:
            self.notices.append(f"{why}: {rest} in {aside}")

    def _tell_skipped(self, skipped: dict[int, str]) -> None:
        if skipped:
            number, why = next(iter(skipped.items()))
            more = f" and {len(skipped) - 1} more" if len(skipped) > 1 else ""
            self.notices.append(
                f"event {number}{more} of the journal can't be decoded by this version ({why}):"
                " skipped and left in the database, everything after it is kept"
            )


def _last(connection: sqlite3.Connection) -> Position:
    row = connection.execute(
        "SELECT seq, crc FROM event UNION ALL SELECT seq, chain FROM snapshot ORDER BY seq DESC LIMIT 1"
    ).fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)
