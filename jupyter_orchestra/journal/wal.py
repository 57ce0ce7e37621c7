"""Whether SQLite's write-ahead log still holds all that was committed to it; reads files, opens no database.

SQLite goes on with what stands before the first bad frame, and says nothing of what stood behind it. A transaction that
a kill cut off looks alike, so more is asked: commits behind the bad frame, and the log's index (``-shm``), which names
the last commit. The index outlives a kill, and is never ahead of a log that was synced first.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

HEADER, FRAME = 32, 24  # bytes of the log's header, and of each frame's
INDEX = 48  # bytes of the index's header, which stands there twice
MAGIC, VERSION = 0x377F0682, 3007000
_MASK = 0xFFFFFFFF

Sums = tuple[int, int]


class Index(msgspec.Struct, frozen=True):
    """What the log's index says."""

    last: int  # frame of the last commit
    salts: bytes
    copied: int  # frames that are in the database, too


class Log:
    """The bytes of a log whose header is whole.

    Raises
    ------
    ValueError
        The header is not.
    """

    def __init__(self, data: bytes) -> None:
        if len(data) < HEADER:
            raise ValueError("too short")
        magic: int
        version: int
        self.page: int  # bytes
        magic, version, self.page = struct.unpack_from(">III", data)
        self._order = ">" if magic & 1 else "<"
        self._sums = _add((0, 0), data[: HEADER - 8], self._order)
        if (
            magic & ~1 != MAGIC
            or version != VERSION
            or self.page % 512
            or not self.page
            or self._sums != struct.unpack_from(">II", data, HEADER - 8)
        ):
            raise ValueError("garbled")
        self.data, self.salts = data, data[16:24]
        self.frames = (len(data) - HEADER) // (FRAME + self.page)

    def ends(self) -> tuple[int, int]:
        """The last good frame, and the last good one that is a commit; frames count from 1, 0 is none."""
        sums, commit = self._sums, 0
        for number in range(1, self.frames + 1):
            at = self._at(number)
            page = self.data[at + FRAME : at + FRAME + self.page]
            sums = _add(_add(sums, self.data[at : at + 8], self._order), page, self._order)
            if not self._is_here(at) or sums != struct.unpack_from(">II", self.data, at + 16):
                return number - 1, commit
            commit = number if self._commits(at) else commit
        return self.frames, commit

    def commits(self, after: int) -> bool:
        """Whether a frame behind `after` is a commit, good or not."""
        places = (self._at(number) for number in range(after + 1, self.frames + 1))
        return any(self._is_here(at) and self._commits(at) for at in places)

    def _at(self, number: int) -> int:
        return HEADER + (number - 1) * (FRAME + self.page)

    def _is_here(self, at: int) -> bool:
        """Whether the frame belongs to this log; SQLite leaves those of earlier ones behind the last."""
        return self.data[at + 8 : at + 16] == self.salts and self.data[at : at + 4] != bytes(4)

    def _commits(self, at: int) -> bool:
        return self.data[at + 4 : at + 8] != bytes(4)


def damage(database: Path) -> str:
    """What was committed to the log of `database` and is lost, in words; empty where nothing is. Raises OSError.

    To be called before SQLite opens the database, which makes the index anew.
    """
    data = _read(database, "-wal")
    indexes = list(_indexes(_read(database, "-shm")))
    if not data:
        return "its write-ahead log is gone" if any(index.last > index.copied for index in indexes) else ""
    try:
        log = Log(data)
    except ValueError:
        return "its write-ahead log can't be read"
    good, commit = log.ends()
    if log.commits(after=good + 1) or any(index.salts == log.salts and index.last > commit for index in indexes):
        return f"its write-ahead log is damaged at frame {good + 1}"
    return ""


def _indexes(data: bytes) -> Iterator[Index]:
    """The index's two headers, where they are whole; everything in them is in the machine's own byte order."""
    order = "<" if sys.byteorder == "little" else ">"
    for start in (0, INDEX):
        header = data[start : start + INDEX]
        if len(data) >= 2 * INDEX + 4 and _add((0, 0), header[:-8], order) == struct.unpack("=II", header[-8:]):
            (last,), (copied,) = struct.unpack_from("=I", header, 16), struct.unpack_from("=I", data, 2 * INDEX)
            yield Index(last, header[32:40], copied)


def _add(sums: Sums, data: bytes, order: str) -> Sums:
    """SQLite's check sum, carried on over `data`."""
    first, second = sums
    for even, odd in struct.iter_unpack(f"{order}II", data):
        first = (first + even + second) & _MASK
        second = (second + odd + first) & _MASK
    return first, second


def _read(database: Path, tail: str) -> bytes:
    try:
        return database.with_name(database.name + tail).read_bytes()
    except FileNotFoundError:
        return b""
