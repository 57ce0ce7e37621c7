"""How a folder becomes an open journal: owned, checked, repaired, up to date; knows nothing of threads or entries."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from ..core.events import AnyEvent
from . import files, owner, points, recovery, schema, trouble
from .location import Place, record
from .recovery import Found

Position = tuple[int, int]


class Newer(Exception):
    """A newer version of the program wrote it."""


class Opening:
    """One journal on its way to an open connection; may be tried again until the disk lets it through.

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

    def __init__(self, place: Place, notices: list[str]) -> None:
        self.place, self.notices = place, notices
        self.path = place.folder / recovery.NAME
        self.epoch = 0
        self.found: Found | None = None
        self.events: list[AnyEvent] = []
        self.stale = False
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
        self._tell(recovery.finish(folder), "")
        found = recovery.inspect(self.path)
        if found.version > schema.version():
            self.release()
            raise Newer
        if self.found is not None and found.last != self.found.last:
            raise trouble.Changed("it was written by another kernel meanwhile")
        if found.problem:
            self._rebuild(found)
        connection = schema.connect(self.path)
        try:
            points.reach("connected")
            if schema.upgrade(connection) and found.version:
                found = self._reread()
            rebuilt = bool(found.problem)
            events = found.decoded()
            if found.problem and not rebuilt:  # an event that can't be decoded
                connection.close()
                self._rebuild(found)
                connection = schema.connect(self.path)
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
            if found.version in (0, schema.version()):
                self.events = found.decoded()
                self.found = found
                self.epoch = max(self.epoch, found.epoch + 1)

    def release(self) -> None:
        """Give the journal up. Raises OSError."""
        if self.owned:
            owner.release(self.place.folder)
            self.owned = False

    def clear_runs(self) -> None:
        """Remove the folders of attempts that earlier epochs left."""
        for folder in (self.place.folder / "runs").glob("*"):
            if folder.name != str(self.epoch):
                shutil.rmtree(folder, ignore_errors=True)

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

    def _rebuild(self, found: Found) -> None:
        self._tell(recovery.rebuild(self.place.folder, found), f" ({found.problem}; {found.last[0]} events were read)")
        self.stale = True

    def _tell(self, aside: str, why: str) -> None:
        if aside:
            self.notices.append(f"the journal was damaged{why}: what could be read goes on, the rest is in {aside}")


def _last(connection: sqlite3.Connection) -> Position:
    for query in ("SELECT seq, crc FROM event ORDER BY seq DESC LIMIT 1", "SELECT seq, chain FROM snapshot"):
        if (row := connection.execute(query).fetchone()) is not None:
            return int(row[0]), int(row[1])
    return 0, 0
