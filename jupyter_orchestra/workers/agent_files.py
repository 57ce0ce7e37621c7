"""Owns an agent's files: reads and writes below one folder, and never leaves it; knows neither agent nor role.

Every path is walked one component at a time from a folder that stays open, and no component may be a link: so what is
exchanged meanwhile leads nowhere else. Everything here blocks, and is for threads.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ..core.plain import plain
from .agent_search import BINARY, SKIPPED, is_kept

LARGEST: Final = 10 << 20  # bytes of a file that is read
LISTED: Final = 500  # entries of one list
CHUNK: Final = 1 << 20  # bytes copied at a time

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Told(Exception):
    """What an agent asked for can't be done, or may not be; the message is for its model."""


class Tree:
    """A folder, and what is below it.

    Parameters
    ----------
    place
        Its path, without links in it.
    name
        What the model knows it as, such as "the project".
    """

    def __init__(self, place: Path, name: str) -> None:
        self.place, self.name = place, name
        self._root = os.open(place, _FOLDER)

    def __del__(self) -> None:
        # Not sooner: a thread that still walks would walk on in whatever gets this number next.
        if hasattr(self, "_root"):
            os.close(self._root)

    def read(self, path: str, most: int = LARGEST) -> bytes:
        """A file's bytes. Raises Told when it is larger than `most`."""
        with _explained(path), self._opened(path) as (file, size):
            if size > most:
                raise Told(f"{path} has {size:,} bytes, at most {most:,} are read: search in it, or read another file")
            with open(file, "rb", closefd=False) as opened:
                return opened.read(most)

    def write(self, path: str, data: bytes) -> None:
        """Make a file, or put another in its place in one step; folders above it are made."""
        *above, name = self._parts(path) or ("",)
        if not name:
            raise Told(f"{path!r} names no file")
        with _explained(path), self._folder(above, make=True) as folder:
            mode = _mode(name, folder, path)
            new = f".{secrets.token_hex(8)}.tmp"
            try:
                with open(os.open(new, _NEW, mode, dir_fd=folder), "wb") as file:
                    file.write(data)
                os.rename(new, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(new, dir_fd=folder)
                raise

    def entries(self, path: str, depth: int) -> list[str]:
        """What is in a folder, one line each, and in those below it as deep as that."""
        parts = self._parts(path)
        lines: list[str] = []
        with _explained(path), self._folder(parts) as folder:
            _list(folder, "/".join(parts), depth, lines)
        if len(lines) > LISTED:
            lines[LISTED:] = [f"… more than {LISTED} entries: list a folder below"]
        return lines

    def copy(self, path: str, to: Path, most: int) -> int:
        """Copy a file out of here to a new file; its bytes. Raises Told when they are more than `most`."""
        with _explained(path), self._opened(path) as (file, size):
            if size > most:
                raise Told(f"{path} has {size:,} bytes, at most {most:,} can be kept")
            with open(os.open(to, _NEW, 0o600), "wb") as copy:
                return pour(file, copy.fileno(), most)

    @contextlib.contextmanager
    def folder(self, path: str) -> Iterator[str]:
        """A path of a folder that stays the same folder, for a program to run in."""
        with _explained(path), self._folder(self._parts(path)) as folder:
            held = f"/proc/self/fd/{folder}"
            yield held if os.path.isdir(held) else os.path.join(self.place, *self._parts(path))

    def _parts(self, path: str) -> tuple[str, ...]:
        """The components of a path from here. Raises Told when it leads out."""
        try:
            encoded = os.fsencode(path)
        except UnicodeEncodeError:
            raise Told(f"{path!r} is no path") from None
        if b"\0" in encoded:
            raise Told(f"{path!r} is no path")
        inside = os.path.relpath(path, self.place) if os.path.isabs(path) else os.path.normpath(path or ".")
        if inside.split("/", 1)[0] == "..":
            raise Told(f"{path} is outside {self.name}: give a path relative to it")
        parts = () if inside == "." else tuple(inside.split("/"))
        if any(map(is_kept, parts)):
            raise Told(f"{path} is kept from agents, since such files hold keys: ask the person for what you need")
        return parts

    @contextlib.contextmanager
    def _folder(self, parts: tuple[str, ...] | list[str], make: bool = False) -> Iterator[int]:
        at = os.dup(self._root)
        try:
            for name in parts:
                if make:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(name, dir_fd=at)
                below = os.open(name, _FOLDER, dir_fd=at)
                os.close(at)
                at = below
            yield at
        finally:
            os.close(at)

    @contextlib.contextmanager
    def _opened(self, path: str) -> Iterator[tuple[int, int]]:
        """A regular file, open, and its size."""
        *above, name = self._parts(path) or (".",)
        with self._folder(above) as folder:
            # Before it is opened, which has effects on a device; and after, as it may have been exchanged.
            _ensure_regular(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode, path)
            file = os.open(name, _FILE, dir_fd=folder)
            try:
                info = os.fstat(file)
                _ensure_regular(info.st_mode, path)
                yield file, info.st_size
            finally:
                os.close(file)


def text_of(data: bytes, path: str) -> str:
    """A file's text. Raises Told when it is none."""
    if b"\0" in data[:BINARY]:
        raise Told(f"{path} is no text ({len(data):,} bytes)")
    return data.decode("utf-8", "replace")


def pour(source: int, target: int, most: int) -> int:
    """Copy up to `most` bytes from one open file to another; how many they were."""
    copied = 0
    while copied < most and (data := os.read(source, min(CHUNK, most - copied))):
        copied += len(data)
        while data:
            data = data[os.write(target, data) :]
    return copied


def _mode(name: str, folder: int, path: str) -> int:
    """The permissions of the file that stands there, or of a new one."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return 0o666
    _ensure_regular(found, path)
    return stat.S_IMODE(found) & 0o777


def _ensure_regular(mode: int, path: str) -> None:
    if stat.S_ISLNK(mode):
        raise Told(f"{path} is a symbolic link: links are not followed")
    if stat.S_ISDIR(mode):
        raise Told(f"{path} is a folder: list_files shows what is in it")
    if not stat.S_ISREG(mode):
        raise Told(f"{path} is no regular file")


def _list(folder: int, path: str, depth: int, lines: list[str]) -> None:
    for name in sorted(os.listdir(folder)):
        if len(lines) > LISTED:
            return
        full = f"{path}/{name}" if path else name
        with contextlib.suppress(OSError):  # it went meanwhile
            info = os.stat(name, dir_fd=folder, follow_symlinks=False)
            lines.append(_line(full, info))
            if stat.S_ISDIR(info.st_mode) and depth > 1 and name not in SKIPPED:
                below = os.open(name, _FOLDER, dir_fd=folder)
                try:
                    _list(below, full, depth - 1, lines)
                finally:
                    os.close(below)


def _line(path: str, info: os.stat_result) -> str:
    shown = plain(path).replace("\n", "?")
    if stat.S_ISDIR(info.st_mode):
        return f"{shown}/"
    if stat.S_ISREG(info.st_mode):
        return f"{shown}  {info.st_size:,} bytes"
    return f"{shown}  ({'a link, not followed' if stat.S_ISLNK(info.st_mode) else 'no regular file'})"


@contextlib.contextmanager
def _explained(path: str) -> Iterator[None]:
    """An error of the system as words for the model."""
    try:
        yield
    except FileNotFoundError:
        raise Told(f"there is no {path}: list_files shows what there is") from None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK):
            raise Told(f"{path} leads through a link or a file: links are not followed") from None
        raise Told(f"{path}: {error.strerror}") from None
