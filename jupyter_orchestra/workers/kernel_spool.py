"""Owns how a kernel task's spool is read: its file, and what it says besides outputs; knows no kernel."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

from ..core.ports import Running
from ..processes.spool import Frame


class Found:
    """What a task's spool says besides its outputs."""

    def __init__(self) -> None:
        self.value: Frame | None = None
        self.returned: dict[str, Frame] = {}
        self.text = ""
        self.end: dict[str, Any] = {}
        self.size = 0
        self.files = False

    @property
    def notes(self) -> tuple[str, ...]:
        """What the person must know of how it ended."""
        left = str(self.end.get("left", ""))
        running = left.startswith(("a child process", "thread"))
        return (f"{left} that it left running was ended with its kernel",) if running else ()

    def take(self, frame: Frame) -> None:
        """Every frame passes here."""
        self.size += len(frame.payload)
        self.files = self.files or "file" in frame.fields or frame.kind == "spilled"
        if frame.kind == "value":
            self.value = frame
        elif frame.kind == "return":
            self.returned[frame.fields["name"]] = frame
        elif frame.kind == "text":
            self.text = frame.payload.decode("utf-8", "replace")
        elif frame.kind == "end":
            self.end = frame.fields


class Tail:
    """A task's spool, read as the spool of the process that writes it."""

    def __init__(self, spool: Path, running: Running) -> None:
        self.process = running.process
        self.wait, self.signal, self.end = running.wait, running.signal, running.end
        self._path = spool
        self._file: int | None = None

    def read(self, offset: int, size: int = 1 << 20) -> bytes:
        """Up to `size` bytes from `offset`."""
        if self._file is None:
            # No link and no pipe: what runs in a sandbox may put one there, to have it read outside or to hold us up.
            try:
                file = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ELOOP):
                    return b""
                raise
            if not stat.S_ISREG(os.fstat(file).st_mode):
                os.close(file)
                return b""
            self._file = file
        return os.pread(self._file, size, offset)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
