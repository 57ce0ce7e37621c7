"""Owns the terminal of a command and the form in which it is typed into; knows neither spool nor launcher.

It must be importable by its path alone in ``python -I -S``, so it uses nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import termios
from collections.abc import Iterator

ROWS, COLUMNS = 24, 80  # characters, until somebody gives it another size
TYPED, RESIZED = 0, 1
PART = 1 << 15  # bytes typed in one entry
UNTYPED = 1 << 20  # bytes that wait for a program to read them; what is more gets lost
_HEADER = struct.Struct(">BI")
_SIZE = struct.Struct(">HH")


def typed(data: bytes) -> Iterator[bytes]:
    """What is typed, as entries for `Terminal.take`."""
    for at in range(0, len(data), PART):
        part = data[at : at + PART]
        yield _HEADER.pack(TYPED, len(part)) + part


def resized(rows: int, columns: int) -> bytes:
    """A new size, as an entry for `Terminal.take`."""
    size = _SIZE.pack(min(max(rows, 1), 9999), min(max(columns, 1), 9999))
    return _HEADER.pack(RESIZED, len(size)) + size


class Terminal:
    """A pseudo-terminal: `file` is our end, `path` the command's."""

    def __init__(self) -> None:
        self.file, end = os.openpty()
        self.path = os.ttyname(end)
        self._end = end  # open until the command has it, or its first read would be the end
        self._resize(ROWS, COLUMNS)
        self._entries = bytearray()
        self._untyped = bytearray()
        os.set_blocking(self.file, False)

    @property
    def full(self) -> bool:
        """Whether something typed waits."""
        return bool(self._untyped)

    def started(self) -> None:
        """The command has it now."""
        os.close(self._end)

    def take(self, data: bytes) -> None:
        """Carry out what entries say, as they come."""
        self._entries += data
        while len(self._entries) >= _HEADER.size:
            kind, length = _HEADER.unpack_from(self._entries)
            entry = bytes(self._entries[_HEADER.size : _HEADER.size + length])
            if len(entry) < length:
                return
            del self._entries[: _HEADER.size + length]
            if kind == RESIZED:
                self._resize(*_SIZE.unpack(entry))
            elif len(self._untyped) + length <= UNTYPED:
                self._untyped += entry
        self.type()

    def type(self) -> None:
        """Write what waits, as far as it is taken."""
        try:
            while self._untyped:
                del self._untyped[: os.write(self.file, self._untyped)]
        except BlockingIOError:
            return
        except OSError:  # nobody is there any more
            self._untyped.clear()

    def _resize(self, rows: int, columns: int) -> None:
        with contextlib.suppress(OSError):
            fcntl.ioctl(self.file, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
