"""Owns where text goes inside a spawned kernel: sys.stdout, sys.stderr, file descriptors 1 and 2; knows no task."""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Callable, Iterator
from select import POLLIN, poll
from typing import Any, Final

from ..processes.spool import SpoolWriter

CHUNK: Final = 1 << 16
DRAIN: Final = 4 << 20  # bytes read in one go, so that a child that never stops printing does not hold the task's end
PROMPT: Final = 100  # lines a second that go to disk at once; a flood is left to the spool's own rhythm


class Console:
    """Puts text in the spool of the running task, in the order in which it was written."""

    def __init__(self) -> None:
        self.spool: SpoolWriter | None = None
        self.idle: Callable[[], None] = lambda: None  # called about once a second, for what else waits to be written
        self._lock = threading.RLock()
        self._partial: tuple[str, str] = ("", "")  # stream and text of a line that has no end yet
        self._prompt = PROMPT
        self._second = 0.0
        self._pipes = {name: _Pipe(fd) for name, fd in (("stdout", 1), ("stderr", 2))}
        self._waiting = poll()
        for pipe in self._pipes.values():
            self._waiting.register(pipe.reader, POLLIN)
        os.register_at_fork(after_in_child=self._after_fork)

    @property
    def descriptors(self) -> list[int]:
        """What becomes readable when a child or C code has printed."""
        return [pipe.reader for pipe in self._pipes.values()]

    def write(self, name: str, text: str) -> None:
        """Text of "stdout" or "stderr"."""
        with self._lock:
            stream, partial = self._partial
            if partial and stream != name:
                self._emit(stream, partial)
                partial = ""
            text = partial + text
            if "\n" in text or "\r" in text or len(text) > CHUNK:
                self._partial = ("", "")
                self._emit(name, text)
            else:
                self._partial = (name, text)

    def flush(self) -> None:
        """Let everything written so far reach the spool."""
        with self._lock:
            stream, text = self._partial
            if text:
                self._partial = ("", "")
                self._emit(stream, text)

    def drain(self) -> None:
        """Move what children and C code have printed to the spool."""
        with self._lock:
            self.flush()
            self._drain()

    def open(self, spool: SpoolWriter) -> None:
        """Text goes to `spool` from now on; what came before it belongs to nobody."""
        with self._lock:
            self._partial = ("", "")
            if self._pipes and self._waiting.poll(0):
                self._drain()
            self.spool = spool

    def close(self) -> None:
        """Move the last text to the spool and leave it."""
        with self._lock:
            self.drain()
            self.spool = None

    def _emit(self, name: str, text: str) -> None:
        if self._pipes and self._waiting.poll(0):
            self._drain()
        if self.spool is None:
            return
        self.spool.write(name, text)
        now = time.monotonic()
        if now - self._second > 1:
            self._second, self._prompt = now, PROMPT
        if self._prompt:  # so that a killed process leaves its last words
            self._prompt -= 1
            self.spool.flush()

    def _drain(self) -> None:
        for name, pipe in self._pipes.items():
            for data in pipe.read():
                if self.spool is not None:
                    self.spool.write(name, data)

    def _after_fork(self) -> None:
        self._lock = threading.RLock()
        self._partial = ("", "")
        self._pipes = {}  # the parent reads them


class _Pipe:
    """A pipe in place of a file descriptor of this process."""

    def __init__(self, fd: int) -> None:
        self.reader, writer = os.pipe()
        os.set_blocking(self.reader, False)
        os.dup2(writer, fd)
        os.close(writer)

    def read(self) -> Iterator[bytes]:
        """What waits in it."""
        for _ in range(DRAIN // CHUNK):
            try:
                data = os.read(self.reader, CHUNK)
            except BlockingIOError:
                return
            if not data:
                return
            yield data
            if len(data) < CHUNK:
                return


class Stream(io.TextIOBase):
    """sys.stdout or sys.stderr of a spawned kernel."""

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, console: Console, name: str, fd: int) -> None:
        super().__init__()
        self._console = console
        self._fd = fd
        self.name = name
        self.buffer = _Bytes(console, name, fd)

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if text:
            self._console.write(self.name, text)
        return len(text)

    def flush(self) -> None:
        self._console.flush()

    def fileno(self) -> int:
        return self._fd

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        """Nobody closes the streams of a kernel: the next task needs them."""

    def set_parent(self, parent: dict[str, Any]) -> None:
        """Part of ipykernel's interface; this kernel has one task at a time."""


class _Bytes(io.RawIOBase):
    """sys.stdout.buffer: bytes for the same place."""

    def __init__(self, console: Console, name: str, fd: int) -> None:
        super().__init__()
        self._console = console
        self._name = name
        self._fd = fd

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self._console.write(self._name, bytes(view).decode("utf-8", "replace"))
        return len(view)

    def flush(self) -> None:
        self._console.flush()

    def fileno(self) -> int:
        return self._fd

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        """As for the stream."""
