"""One notebook's journal as the runtime sees it; knows no machine: events go in, and come out again after a kill."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path

from ..core.budget import Figure
from ..core.events import AnyEvent, Event, encode
from ..core.model import Blob, Task
from . import files, location, owner, projection, recovery
from .opening import Opening
from .store import Store
from .writer import Barrier, Change, Position, Recorded, Writer

PAGE = 1000  # events read at once


class Journal:
    """The event log of one notebook, and what it keeps beside it. Made by :func:`.open_journal`.

    Implements :class:`jupyter_orchestra.core.ports.Journal`. Every method may be called from any thread.

    Attributes
    ----------
    folder : Path
        Where everything lies (0700).
    runs : Path
        Where attempts get their folders; those of earlier epochs are removed.
    epoch : int
        Number of this start, larger than all before.
    private : bool
        Whether it belongs to this kernel alone and goes at a clean end; after a kill it is kept for a week.
    snapshot : bytes or None
        The state to begin the replay from.
    notices : list of str
        One line each that the person must be told.
    stale : bool
        Whether :meth:`rebuild` is due, because the views were lost or changed their shape.
    """

    def __init__(self, opening: Opening, writer: Writer) -> None:
        place, found = opening.place, opening.found
        self.folder, self.private, self.epoch = place.folder, place.private, opening.epoch
        self.runs = place.folder / "runs" / str(opening.epoch)
        self.snapshot = found.snapshot[2] if found and found.snapshot else None
        self.notices, self.stale = opening.notices, opening.stale
        self.backlog = sum(len(record[3]) for record in found.records) if found else 0
        self._opening, self._writer = opening, writer
        self._replay: list[AnyEvent] | None = opening.events
        self._notebook = Path(place.notebook) if place.notebook else None
        self._store = Store(writer, place.folder / "artifacts")

    # the log

    def append(self, event: Event, tasks: Iterable[Task] = (), dropped: Iterable[str] = ()) -> None:
        """Add an event at the end; durable within a moment (30 ms), or as soon as a barrier asks for it.

        Parameters
        ----------
        event : Event
            While the disk takes nothing, it waits in memory, in its place.
        tasks : iterable of Task
            Those that the event changed: what readers outside see of them changes in the same commit.
        dropped : iterable of str
            The uids of those that are no more.

        Raises
        ------
        RuntimeError
            The journal is closed.
        """
        data = encode(event)
        self._writer.add(Recorded(event.at, type(event).__name__, data, _rows(tasks), tuple(dropped)))
        self._store.named(data)
        self.backlog += len(data)

    def project(
        self,
        tasks: Iterable[Task] = (),
        dropped: Iterable[str] = (),
        accounts: Mapping[str, tuple[Figure, ...]] | None = None,
    ) -> None:
        """Change what readers outside see, without an event.

        An account that is overdrawn stops the journal, whatever the machine has decided.
        """
        self._writer.add(Recorded(0.0, "", b"", _rows(tasks), tuple(dropped), accounts))

    def rebuild(self, tasks: Iterable[Task]) -> None:
        """Make all that readers outside see anew, from every task that there is; accounts are told at each start."""
        self._writer.add(Recorded(0.0, "", b"", _rows(tasks), fresh=True))
        self.stale = False

    def barrier(self, done: Callable[[], None]) -> None:
        """Call `done` (on the writer's thread) once everything appended so far is durable."""
        self._writer.add(Barrier(done))

    def events(self) -> Iterator[AnyEvent]:
        """The events after the snapshot in order: at first those found at the opening, later all durable ones."""
        replay, self._replay = self._replay, None
        if replay is not None:
            self._opening.events = []
            yield from replay
            return
        seq = -1
        while page := self._writer.call(partial(_page, after=seq)):
            seq = page[-1][0]
            for _, data in page:
                if not isinstance(event := recovery.event_of(data.encode()), str):
                    yield event

    def checkpoint(self, state: bytes) -> None:
        """Keep `state` as what everything appended so far amounts to, and drop those events but undecodable ones."""

        def apply(connection: sqlite3.Connection, position: Position) -> None:
            found = self._opening.found
            recovery.put_snapshot(connection, *position, state, skipped=found.skipped if found else ())

        self._writer.add(Change(apply, self._shrink))
        self.backlog = 0

    @property
    def blocked(self) -> str:
        """Why the disk does not take anything now; empty when it does."""
        return self._writer.blocked

    @property
    def ended(self) -> bool:
        """Whether nothing will be written any more."""
        return self._writer.closed.is_set()

    # the store

    def put(self, data: bytes) -> Blob:
        """Keep `data`; durable with the next commit of the journal."""
        return self._store.put(data)

    def adopt(self, path: Path) -> Blob:
        """Move the file at `path` in, synced to disk. Raises OSError when that fails; the file is then still there."""
        return self._store.adopt(path)

    def get(self, blob: Blob) -> bytes:
        """The bytes. Raises KeyError when they are gone or damaged, OSError when they can't be read now."""
        return self._store.get(blob)

    def file(self, blob: Blob) -> Path | None:
        """The file that holds the bytes, None where they are not in a file of their own."""
        return self._store.file(blob)

    def drop(self, digests: Collection[str]) -> Future[int]:
        """Remove what nothing names any more, once all before is durable; the future gives the bytes freed."""
        return self._store.sweep(drop=frozenset(digests))

    def clean(self, keep: Collection[str]) -> Future[int]:
        """Remove everything stored but `keep` (digests), and journals that were set aside as damaged.

        Call it where the events come from, with all that the state names at that moment: what is put or named later is
        spared. The future gives the bytes freed; it waits while the disk is full.
        """
        freed, total = self._store.sweep(keep=frozenset(keep)), Future[int]()
        total.set_running_or_notify_cancel()

        def finish(swept: Future[int]) -> None:
            aside = 0
            for file in self.folder.glob("journal.corrupt-*"):
                with suppress(OSError):
                    size = file.stat().st_size
                    file.unlink()
                    aside += size
            self._shrink()
            total.set_result(swept.result() + aside)

        freed.add_done_callback(finish)
        return total

    # the folder

    def size(self) -> int:
        """Bytes on the disk, all files counted. Reads the folder: not for the loop."""
        return files.size(self.folder)

    def refresh(self, notebook: Path | None = None) -> None:
        """Write down where the notebook is now, so that a rename is followed. Raises OSError."""
        self._notebook = notebook or self._notebook
        if self._notebook is not None:
            location.record(self.folder, self._notebook)

    def close(self, delete: bool | None = None, timeout: float = 5.0, keep_runs: bool = False) -> bool:
        """Write everything, end the writer, and give the journal up.

        Parameters
        ----------
        delete : bool, optional
            Whether the folder goes; by default that of a private journal does.
        timeout : float
            Seconds to wait for a disk that does not take the rest; the writer goes on trying.
        keep_runs : bool
            Whether the folders of attempts stay, since some go on.

        Returns
        -------
        bool
            Whether everything is durable.
        """
        if not self._writer.close(timeout):
            return False
        with suppress(OSError, owner.Held):
            if not keep_runs:
                shutil.rmtree(self.runs, ignore_errors=True)
            if self.private if delete is None else delete:
                shutil.rmtree(self.folder, ignore_errors=True)
            else:
                self._opening.release()
        return True

    def _shrink(self) -> None:
        """Give free pages back to the disk; where that fails they are used again anyway."""
        with suppress(OSError, sqlite3.Error):
            # A script, because `execute` would free one page only.
            self._writer.call(lambda connection: connection.executescript("PRAGMA incremental_vacuum"))


def _page(connection: sqlite3.Connection, after: int) -> list[tuple[int, str]]:
    return connection.execute(
        "SELECT seq, data FROM event WHERE seq > max(?, (SELECT coalesce(max(seq), 0) FROM snapshot))"
        " ORDER BY seq LIMIT ?",
        (after, PAGE),
    ).fetchall()


def _rows(tasks: Iterable[Task]) -> list[projection.Row]:
    return [row for task in tasks for row in projection.rows(task)]
