"""A store that waits for the disk: while it is full, a finished result is held back, said so, and never lost."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from .core.model import Blob
from .core.ports import Store
from .errors import NO_ROOM

T = TypeVar("T")
LEAST = 128 << 10  # bytes that must be free for a task to begin
AGAIN = 1.0  # seconds between two tries


def no_room(folder: Path) -> str:
    """Why nothing can be written below `folder` now; empty when something can."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return ""
    if disk.f_flag & os.ST_RDONLY:
        return f"{NO_ROOM[errno.EROFS]} ({folder})"
    return f"{NO_ROOM[errno.ENOSPC]} ({folder})" if disk.f_bavail * disk.f_frsize < LEAST else ""


class PatientStore:
    """The store that one attempt keeps its result in.

    Parameters
    ----------
    store
        Where the bytes go.
    say
        Told, on whatever thread, why the result waits.
    owner
        The thread that must never wait: there a full disk is an OSError at once.
    """

    def __init__(self, store: Store, say: Callable[[str], None], owner: threading.Thread) -> None:
        self._store, self._say, self._owner = store, say, owner
        self._over = threading.Event()

    def give_up(self) -> None:
        """The attempt is over: nobody waits for its result any more."""
        self._over.set()

    def put(self, data: bytes) -> Blob:
        """Keep `data`, as soon as the disk takes it."""
        return self._patiently(lambda: self._store.put(data))

    def adopt(self, path: Path) -> Blob:
        """Move the file at `path` in, as soon as the disk takes it."""
        return self._patiently(lambda: self._store.adopt(path))

    def get(self, blob: Blob) -> bytes:
        """The bytes. Raises KeyError when they are gone."""
        return self._store.get(blob)

    def file(self, blob: Blob) -> Path | None:
        """The file that holds the bytes, None where they are not in a file of their own."""
        return self._store.file(blob)

    def _patiently(self, act: Callable[[], T]) -> T:
        while True:
            try:
                return act()
            except OSError as error:
                if error.errno not in NO_ROOM or self._over.is_set() or threading.current_thread() is self._owner:
                    raise
                self._say(f"its result waits: {NO_ROOM[error.errno]}")
                self._over.wait(AGAIN)
