"""A journal in memory that can be told to block, and from which a successor can start as after a kill."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from pathlib import Path

from ..core.budget import Figure
from ..core.events import Event, decode, encode
from ..core.model import Blob, Task

INLINE = 512  # bytes that travel inside the blob, as in the real one


class MemoryJournal:
    """Implements :class:`jupyter_orchestra.core.ports.Journal` without a disk.

    Every event goes through its JSON, so what can't be journaled fails here, too. Any thread.

    Parameters
    ----------
    on_blocked : callable, optional
        Called with the reason by :meth:`block`.
    on_freed : callable, optional
        Called by :meth:`free`.

    Attributes
    ----------
    events : list of Event
        All that were appended, as they are read back.
    durable : list of Event
        Those that would survive a kill now.
    views : dict
        uid to what readers outside last saw of that task.
    accounts : dict
        Name to what they last saw of that account.
    """

    def __init__(
        self,
        on_blocked: Callable[[str], None] | None = None,
        on_freed: Callable[[], None] | None = None,
    ) -> None:
        self.events: list[Event] = []
        self.views: dict[str, Task] = {}
        self.accounts: dict[str, tuple[Figure, ...]] = {}
        self.on_blocked, self.on_freed = on_blocked, on_freed
        self.blocked = ""
        self._durable = 0
        self._waiting: list[Callable[[], None]] = []
        self._blobs: dict[str, bytes] = {}
        self._mutex = threading.RLock()

    @property
    def durable(self) -> list[Event]:
        return self.events[: self._durable]

    def append(self, event: Event) -> None:
        """Add an event at the end; it is durable at the next barrier."""
        with self._mutex:
            self.events.append(decode(encode(event)))

    def project(
        self,
        tasks: Iterable[Task] = (),
        dropped: Iterable[str] = (),
        accounts: Mapping[str, tuple[Figure, ...]] | None = None,
    ) -> None:
        """Keep what readers outside may see."""
        with self._mutex:
            self.accounts.update(accounts or {})
            self.views.update({task.uid: task for task in tasks})
            for uid in dropped:
                self.views.pop(uid, None)

    def barrier(self, done: Callable[[], None]) -> None:
        """Make everything durable and call `done` at once, or when the journal is free again."""
        with self._mutex:
            if self.blocked:
                self._waiting.append(done)
                return
            self._durable = len(self.events)
        done()

    def block(self, reason: str = "the disk is full") -> None:
        """Let nothing become durable from now on."""
        self.blocked = reason
        if self.on_blocked is not None:
            self.on_blocked(reason)

    def free(self) -> None:
        """Write what waited, and let those that wait for a barrier go on."""
        with self._mutex:
            self.blocked = ""
            self._durable = len(self.events)
            waiting, self._waiting = self._waiting, []
        for done in waiting:
            done()
        if self.on_freed is not None:
            self.on_freed()

    def put(self, data: bytes) -> Blob:
        """Keep `data`; up to 512 bytes travel inside the blob."""
        data = bytes(data)
        if len(data) <= INLINE:
            return Blob(len(data), data)
        digest = blake2b(data, digest_size=20).hexdigest()
        with self._mutex:
            self._blobs[digest] = data
        return Blob(len(data), digest=digest)

    def adopt(self, path: Path) -> Blob:
        """Take the file's bytes in and remove it. Raises OSError."""
        blob = self.put(path.read_bytes())
        path.unlink()
        return blob

    def get(self, blob: Blob) -> bytes:
        """The bytes. Raises KeyError when they are gone."""
        return blob.data if blob.data is not None else self._blobs[blob.digest or ""]

    def file(self, blob: Blob) -> Path | None:
        """None: nothing is in a file here."""
        return None

    def lose(self, blob: Blob) -> None:
        """Let the bytes of a blob be gone. Raises KeyError for one whose bytes travel inside it."""
        del self._blobs[blob.digest or ""]
