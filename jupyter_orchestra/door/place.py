"""Which files tell programs outside of a door, and whether its kernel still lives; it opens no socket.

A runtime's folder holds ``door.sock``, ``door.token`` (what the person's own programs show) and, written last,
``door.json``. Whoever writes or removes them holds the folder's lock meanwhile, so that what a dead kernel left is
never mistaken for what the next one just made.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from .. import rundir
from ..resources import identity

SOCKET, TOKEN, ENTRY = "door.sock", "door.token", "door.json"


class Entry(msgspec.Struct, frozen=True):
    """What ``door.json`` holds."""

    notebook: str  # path, empty when the kernel knows none
    pid: int
    started: str  # tells its process from a later one of that number
    world: str  # in which that number means it
    protocol: int
    opened_at: float  # POSIX seconds

    @property
    def alive(self) -> bool:
        """Whether that very process lives."""
        return self.world == identity.world() and identity.Identity(self.pid, self.started).alive


def entries() -> Iterator[tuple[Path, Entry]]:
    """The doors of living kernels of this person, the oldest first; what dead ones left is removed."""
    found = []
    for folder in _folders():
        entry = read(folder)
        if entry is None:
            continue
        if entry.alive:
            found.append((folder, entry))
        else:
            _remove_stale(folder)
    yield from sorted(found, key=lambda pair: pair[1].opened_at)


def read(folder: Path) -> Entry | None:
    """The entry in a folder; None when there is none that can be read."""
    try:
        return msgspec.json.decode((folder / ENTRY).read_bytes(), type=Entry)
    except (OSError, msgspec.DecodeError):
        return None


@contextmanager
def locked(folder: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold a folder's lock; gives False when another has it and `wait` is not set."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def write_private(path: Path, data: bytes) -> None:
    """Put a file in its place whole, for this person alone."""
    draft = path.with_name(f".{path.name}-{os.getpid()}")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(data)
    draft.replace(path)


def write_entry(folder: Path, entry: Entry) -> None:
    """Let programs find the door, which must be open by now. The caller holds the lock."""
    write_private(folder / ENTRY, msgspec.json.encode(entry))


def remove(folder: Path) -> None:
    """Take the files of a door away. The caller holds the lock."""
    for name in (ENTRY, SOCKET, TOKEN):
        with contextlib.suppress(OSError):
            (folder / name).unlink()


def _folders() -> list[Path]:
    try:
        return [Path(found.path) for found in os.scandir(rundir.root()) if found.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _remove_stale(folder: Path) -> None:
    with contextlib.suppress(OSError), locked(folder, wait=False) as mine:
        entry = read(folder) if mine else None
        if entry is not None and not entry.alive:
            remove(folder)
