"""Owns the format of a spool, the file where a worker process leaves its output; knows no tasks, nor what frames mean.

It must be importable by its path alone in ``python -I -S``, so it uses nothing but the standard library.
"""

from __future__ import annotations

import json
import os
import threading
import time
import weakref
from typing import Any, NamedTuple

QUIET = 0.005  # seconds without a write after which the next one goes out at once
LINGER = 0.015  # seconds that a write may wait for others to join it
BURST = 256 << 10  # bytes that wait for nothing
TAIL = 16 << 10  # bytes of the end of each stream that frames still show after a spill
LINE = 1 << 10  # bytes from which a "line" frame is made
LINE_EVERY = 0.5  # seconds between "line" frames after a spill
DROPPABLE = frozenset({"display", "update_display", "clear", "progress"})  # kinds that the limit holds for


class Frame(NamedTuple):
    """One entry of a spool."""

    kind: str
    fields: dict[str, Any]
    payload: bytes


class SpoolWriter:
    """Appends frames to a spool; `write` is for text in great numbers, `frame` for everything else.

    Frames that it adds by itself: "spilled" (text goes on in the side file), "line" (now and then after that: the last
    text), and at the close "tail" (the end of a stream, after ``skipped`` bytes since the spill) and "cut".
    """

    def __init__(self, path: str | os.PathLike[str], limit: int = 2 << 30, inline: int = 1 << 20) -> None:
        self._path = os.fspath(path)
        self._limit = limit
        self._inline = inline
        self._frames = _Appender(self._path)
        self._side: _Appender | None = None
        self._seen: list[bytes] = []  # the text before a spill
        self._tails: dict[str, bytes] = {}  # the end of each stream since a spill
        self._spilled: dict[str, int] = {}  # bytes of each stream since a spill
        self._pending: list[tuple[str, bytes]] = []
        self._waiting = 0  # bytes in _pending
        self._kept = 0
        self._dropped = 0
        self._written_at = 0.0
        self._lined_at = 0.0
        self._concluded = self._closed = False
        self._renew()
        _writers.add(self)

    def _renew(self) -> None:
        # Reentrant, for a signal handler or finaliser that prints while its own thread is in here.
        self._lock = threading.RLock()
        self._due = threading.Event()
        self._flusher: threading.Thread | None = None

    def write(self, stream: str, data: str | bytes) -> None:
        """Add text of "stdout" or "stderr". Never raises for a full disk: what is lost is counted as cut."""
        chunk = data if isinstance(data, bytes) else encode(data)
        with self._lock:
            if self._closed or not chunk:
                return
            self._pending.append((stream, chunk))
            self._waiting += len(chunk)
            if self._waiting >= BURST or time.monotonic() - self._written_at >= QUIET:
                self._flush()
            elif not self._due.is_set():
                self._flush_soon()

    def frame(self, kind: str, payload: bytes = b"", **fields: Any) -> None:
        """Add a frame after all text written so far. Raises OSError when the disk does not take it."""
        with self._lock:
            if self._closed:
                return
            self._flush()
            if kind in DROPPABLE:
                if self._kept + len(payload) > self._limit:
                    self._dropped += len(payload)
                    return
                self._kept += len(payload)
            self._frames.append(pack(kind, payload, fields))

    def flush(self) -> None:
        """Write what waits."""
        with self._lock:
            self._flush()

    def conclude(self) -> None:
        """Write what waits and the closing frames. What is written later stands in no tail."""
        with self._lock:
            if self._concluded or self._closed:
                return
            self._concluded = True
            self._flush()
            for stream, tail in self._tails.items():
                skipped = self._spilled[stream] - len(tail)
                self._try(pack("tail", _whole(tail), {"stream": stream, "skipped": skipped}))
            if self._dropped:
                self._try(pack("cut", b"", {"dropped": self._dropped, "limit": self._limit}))

    def close(self) -> None:
        """Conclude it; later writes do nothing."""
        with self._lock:
            if self._closed:
                return
            self.conclude()
            self._flush()
            self._closed = True
            self._due.set()
            self._frames.close()
            if self._side:
                self._side.close()

    def _flush(self) -> None:
        pending, self._pending = self._pending, []
        self._waiting = 0
        for stream, chunk in _joined(pending):
            self._put(stream, chunk)
        self._written_at = time.monotonic()

    def _put(self, stream: str, chunk: bytes) -> None:
        room = max(self._limit - self._kept, 0)
        if self._side is None and self._kept + len(chunk) > self._inline:
            self._spill()
        if self._side is not None:
            self._remember_tail(stream, chunk)
        if len(chunk) > room:
            self._dropped += len(chunk) - room
            chunk = chunk[:room]
        self._kept += len(chunk)
        if self._side is not None:
            if not _tried(self._side, chunk):
                self._dropped += len(chunk)
            self._put_line(stream)
        elif chunk:
            self._seen.append(chunk)
            if not self._try(pack(stream, chunk, {})):
                self._dropped += len(chunk)

    def _remember_tail(self, stream: str, chunk: bytes) -> None:
        self._tails[stream] = (self._tails.get(stream, b"") + chunk[-TAIL:])[-TAIL:]
        self._spilled[stream] = self._spilled.get(stream, 0) + len(chunk)

    def _spill(self) -> None:
        side = _Appender(self._path + ".txt")
        seen, self._seen = self._seen, []
        for chunk in seen:
            _tried(side, chunk)
        self._side = side
        self._try(pack("spilled", b"", {}))

    def _put_line(self, stream: str) -> None:
        now = time.monotonic()
        if now - self._lined_at >= LINE_EVERY:
            self._lined_at = now
            self._try(pack("line", _whole(self._tails[stream][-LINE:]), {"stream": stream}))

    def _try(self, frame: bytes) -> bool:
        return _tried(self._frames, frame)

    def _flush_soon(self) -> None:
        self._due.set()
        if self._flusher is None:
            self._flusher = threading.Thread(target=self._flush_when_due, name="spool", daemon=True)
            self._flusher.start()

    def _flush_when_due(self) -> None:
        while not self._closed:
            self._due.wait()
            time.sleep(LINGER)
            with self._lock:
                self._due.clear()
                if not self._closed:
                    self._flush()

    def _after_fork(self) -> None:
        # The child has no such thread, and perhaps a lock that nobody frees; what waits is its parent's to write.
        self._renew()
        self._pending, self._waiting, self._seen = [], 0, []


class SpoolReader:
    """Makes frames of a spool's bytes as they come; an unfinished last frame waits for its rest."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes."""
        self._buffer += data
        frames: list[Frame] = []
        at = 0
        while (line := self._buffer.find(b"\n", at)) >= 0:
            header = _header(bytes(self._buffer[at:line]))
            if header is None:  # not ours: go on with the next line
                at = line + 1
                continue
            kind, size, fields = header
            end = line + 1 + size
            if len(self._buffer) <= end:
                break
            frames.append(Frame(kind, fields, bytes(self._buffer[line + 1 : end])))
            at = end + 1
        del self._buffer[:at]
        return frames


class _Appender:
    """A file that only grows, never with half of an entry before another one."""

    def __init__(self, path: str) -> None:
        # O_APPEND: a forked child may write to the same file.
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._owed = b""  # the rest of an entry that a full disk cut in two

    def append(self, data: bytes) -> None:
        """Write all of `data`; raises OSError when nothing, or only a part that is completed later, was written."""
        while self._owed:
            self._owed = self._owed[os.write(self._file, self._owed) :]
        done = os.write(self._file, data)
        if done < len(data):
            self._owed = data[done:]
            while self._owed:
                self._owed = self._owed[os.write(self._file, self._owed) :]

    def close(self) -> None:
        os.close(self._file)


_CONTINUATION = bytes(range(0x80, 0xC0))  # bytes inside a UTF-8 character
_writers: weakref.WeakSet[SpoolWriter] = weakref.WeakSet()


def encode(text: str) -> bytes:
    """`text` in UTF-8; pairs of surrogates are joined, lone ones become U+FFFD."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def pack(kind: str, payload: bytes, fields: dict[str, Any]) -> bytes:
    """A frame as it stands on disk."""
    header = json.dumps({"k": kind, "n": len(payload), **fields}, separators=(",", ":"))
    return b"%b\n%b\n" % (header.encode("ascii"), payload)


def _whole(text: bytes) -> bytes:
    """`text` without the rest of a UTF-8 character that it begins with."""
    return text[:4].lstrip(_CONTINUATION) + text[4:]


def _header(line: bytes) -> tuple[str, int, dict[str, Any]] | None:
    try:
        fields = json.loads(line)
        return str(fields.pop("k")), int(fields.pop("n")), fields
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _joined(pending: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """Neighbours of one stream joined."""
    groups: list[tuple[str, list[bytes]]] = []
    for stream, chunk in pending:
        if groups and groups[-1][0] == stream:
            groups[-1][1].append(chunk)
        else:
            groups.append((stream, [chunk]))
    return [(stream, b"".join(chunks)) for stream, chunks in groups]


def _tried(file: _Appender, data: bytes) -> bool:
    try:
        file.append(data)
    except OSError:
        return False
    return True


def _renew_writers() -> None:
    for writer in list(_writers):
        writer._after_fork()


os.register_at_fork(after_in_child=_renew_writers)
