"""Bytes kept by their content: inline, as rows, as files; knows nothing of what they mean or who names them."""

from __future__ import annotations

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Collection
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path

from ..core.model import Blob
from . import points
from .artifacts import Artifacts, digest_of
from .writer import Barrier, Change, Position, Writer

INLINE = 512  # bytes that travel inside the event
ROW = 64 << 10  # bytes that are a row of the database; more are a file
CACHE = 16 << 20  # bytes kept in memory


class Store:
    """Implements :class:`jupyter_orchestra.core.ports.Store`.

    Nothing is removed but by :meth:`drop` and :meth:`sweep`, and these spare what no event names yet.
    """

    def __init__(self, writer: Writer, folder: Path) -> None:
        self._writer, self.artifacts = writer, Artifacts(folder)
        self._mutex = threading.Lock()
        self._pending: dict[str, bytes] = {}  # not yet on the disk
        self._unnamed: set[str] = set()  # kept by this process, not yet named by an event
        self._sweeps: list[set[str]] = []  # what each sweep that is under way must spare
        self._cache: OrderedDict[str, bytes] = OrderedDict()
        self._cached = 0

    def put(self, data: bytes) -> Blob:
        """Keep `data`; durable with the next commit of the journal.

        Up to 512 bytes come back inside the blob, up to 64 kB become a row, more becomes a file at once, in the calling
        thread. While the disk does not take the file, it waits in memory like everything else that is to be written.
        """
        size = len(data)
        if size <= INLINE:
            return Blob(size, data=bytes(data))
        data = bytes(data)
        digest = digest_of(data)
        with self._mutex:
            self._touch(digest)
            self._pending[digest] = data
        if size > ROW:
            try:
                self.artifacts.put(digest, data)
            except OSError:
                self._writer.add(Change(lambda *_: self.artifacts.put(digest, data), lambda: self._kept(digest)))
            else:
                self._kept(digest)
        else:
            self._writer.add(Change(_Insert(digest, data), lambda: self._kept(digest)))
        return Blob(size, digest=digest)

    def adopt(self, path: Path) -> Blob:
        """Move the file at `path` in, synced to disk. Raises OSError when that fails; the file is then still there."""
        digest, size = self.artifacts.adopt(path)
        with self._mutex:
            self._touch(digest)
        return Blob(size, digest=digest)

    def get(self, blob: Blob) -> bytes:
        """The bytes.

        Raises
        ------
        KeyError
            They are gone or damaged.
        OSError
            They can't be read now.
        """
        if blob.digest is None:
            return blob.data or b""
        digest = blob.digest
        with self._mutex:
            data = self._pending.get(digest) or self._cache.get(digest)
            if data is not None and digest in self._cache:
                self._cache.move_to_end(digest)
        if data is None:
            data = self._read(digest, blob.size)
            self._remember(digest, data)
        return data

    def file(self, blob: Blob) -> Path | None:
        """The file that holds the bytes, None where they are not in a file of their own."""
        if blob.digest is None or not self.artifacts.has(blob.digest, blob.size):
            return None
        return self.artifacts.path(blob.digest)

    def named(self, data: bytes) -> None:
        """An event with these bytes is on its way: what it names may be swept once nothing names it any more."""
        with self._mutex:
            if self._unnamed:
                self._unnamed -= {digest for digest in self._unnamed if digest.encode() in data}

    def sweep(self, keep: Collection[str] | None = None, drop: Collection[str] = ()) -> Future[int]:
        """Remove all but `keep`, or where that is None only `drop`, once what was appended before is durable.

        Returns
        -------
        Future of int
            Bytes freed.
        """
        freed: Future[int] = Future()
        freed.set_running_or_notify_cancel()  # it can't be called off
        with self._mutex:
            spared = set(self._unnamed)
            self._sweeps.append(spared)

        def goes(digest: str) -> bool:
            return digest not in spared and (digest in drop if keep is None else digest not in keep)

        rows = 0

        def apply(connection: sqlite3.Connection, _: Position) -> None:
            nonlocal rows
            found = connection.execute("SELECT digest, length(data) FROM blob").fetchall()
            gone = [(digest, size) for digest, size in found if goes(digest)]
            connection.executemany("DELETE FROM blob WHERE digest = ?", [(digest,) for digest, _ in gone])
            rows = sum(size for _, size in gone)

        def after() -> None:
            points.reach("rows swept")
            total = rows
            for digest in list(self.artifacts.digests()):
                with self._mutex:  # so that nobody finds the file there just before it goes
                    if goes(digest):
                        self._forget(digest)
                        with suppress(OSError):
                            total += self.artifacts.remove(digest)
                points.reach("file swept")
            with self._mutex:
                self._sweeps.remove(spared)
                for digest in [digest for digest in self._cache if goes(digest)]:
                    self._forget(digest)
            freed.set_result(total)

        self._writer.add(Change(apply, after))
        self._writer.add(Barrier(lambda: None))  # someone waits for it
        return freed

    def _touch(self, digest: str) -> None:
        self._unnamed.add(digest)
        for spared in self._sweeps:
            spared.add(digest)

    def _kept(self, digest: str) -> None:
        with self._mutex:
            data = self._pending.pop(digest, None)
        if data is not None:
            self._remember(digest, data)

    def _read(self, digest: str, size: int) -> bytes:
        data = self.artifacts.get(digest) if size > ROW else None
        if data is None:
            row = self._writer.call(
                lambda connection: connection.execute("SELECT data FROM blob WHERE digest = ?", (digest,)).fetchone()
            )
            data = bytes(row[0]) if row is not None and digest_of(row[0]) == digest else None
        if data is None and size <= ROW:  # a small file that was adopted
            data = self.artifacts.get(digest)
        if data is None:
            raise KeyError(f"{size} bytes are gone from the journal ({digest})")
        return data

    def _remember(self, digest: str, data: bytes) -> None:
        if len(data) > CACHE // 4:
            return
        with self._mutex:
            if digest not in self._cache:
                self._cache[digest] = data
                self._cached += len(data)
            while self._cached > CACHE:
                self._cached -= len(self._cache.popitem(last=False)[1])

    def _forget(self, digest: str) -> None:
        self._cached -= len(self._cache.pop(digest, b""))


class _Insert:
    """Puts one row; does so again without harm."""

    def __init__(self, digest: str, data: bytes) -> None:
        self._row = (digest, data)

    def __call__(self, connection: sqlite3.Connection, _: Position) -> None:
        connection.execute("INSERT OR IGNORE INTO blob VALUES(?, ?)", self._row)
