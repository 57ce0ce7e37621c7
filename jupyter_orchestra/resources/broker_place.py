"""Where the machine's leases are written down, and what people are told about that place; knows no leases."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import tempfile
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

from ..errors import NO_ROOM
from ..journal import trouble
from . import identity

_FAR = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "lustre", "gpfs", "beegfs"}
_FAR |= {"fuse.sshfs", "fuse.glusterfs"}
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_SCHEMA)


class Damaged(Exception):
    """The file is not what a broker wrote."""


class Stuck(OSError):
    """Another process has the file locked and does not go on."""


def usual() -> Path:
    """The folder of this person's leases, in memory where the system has such a place."""
    own = f"orchestra-leases-{os.getuid()}"
    places = (os.environ.get("XDG_RUNTIME_DIR"), f"/run/user/{os.getuid()}", "/dev/shm", tempfile.gettempdir())
    usable = (Path(place) for place in places if place and os.access(place, os.W_OK | os.X_OK))
    return next(usable, Path("/tmp")) / own


def prepare(folder: Path) -> Path:
    """Make the folder, 0700, and give the path of the file in it, which may not exist.

    Raises
    ------
    OSError
        When the place can't be used or trusted; it says what to do.
    """
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700, parents=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError(f"not a folder of yours: remove {folder}, or set XDG_RUNTIME_DIR to another place")
    if stat.S_IMODE(found.st_mode) != 0o700:
        folder.chmod(0o700)
    if (kind := _kind(folder)) in _FAR:
        raise OSError(f"on a network ({kind}): set XDG_RUNTIME_DIR to a folder of this machine instead of {folder}")
    path = folder / f"leases-{blake2b(identity.world().encode(), digest_size=6).hexdigest()}.db"
    try:
        file = path.lstat()
    except FileNotFoundError:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        file = path.lstat()
    if not stat.S_ISREG(file.st_mode) or file.st_uid != os.getuid():
        raise PermissionError(f"not a file of yours: remove {path}")
    return path


def inode(path: Path) -> int:
    """The number of the file that is at the path now; 0: none."""
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def hang_out_sign(folder: Path) -> int:
    """A handle by which others see, as long as it is open, that somebody has leases there; -1 where there is none.

    It does not need the place itself, which may be damaged or gone while leases of it are held.
    """
    try:
        return os.memfd_create(_sign_of(folder), os.MFD_CLOEXEC)
    except (OSError, AttributeError):
        return -1


def others(folder: Path) -> bool:
    """Whether anyone else has leases there, besides the one who asks; True where that can't be known."""
    if not os.path.isdir("/proc/self/fd"):
        return True
    sign = f"/memfd:{_sign_of(folder)} (deleted)"
    return sum(_count(f"/proc/{pid}/fd", sign) for pid in os.listdir("/proc") if pid.isdigit()) > 1


def _sign_of(folder: Path) -> str:
    return f"orchestra-leases-{blake2b(os.fsencode(folder.absolute()), digest_size=12).hexdigest()}"


def _count(folder: str, name: str) -> int:
    try:
        return sum(_target(f"{folder}/{handle}") == name for handle in os.listdir(folder))
    except OSError:  # gone, or another person's
        return 0


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""


def is_damage(error: BaseException) -> bool:
    """Whether an error says that the file is not what a broker wrote."""
    return isinstance(error, Damaged) or trouble.code(error) in _DAMAGED


def explain(error: BaseException, folder: Path) -> str:
    """What is wrong and what the person can do, in one line."""
    number, code = getattr(error, "errno", None), trouble.code(error)
    if isinstance(error, Stuck) or (isinstance(error, OSError) and number is None):
        return str(error)
    if code == sqlite3.SQLITE_FULL or _is_full(folder):
        number = errno.ENOSPC
    if code == sqlite3.SQLITE_READONLY or (number is None and not os.access(folder, os.W_OK)):
        number = errno.EROFS
    what = NO_ROOM.get(number or 0, f"{type(error).__name__}: {error}")
    return f"{what} (in {folder}, for the leases of this machine)"


def locker(path: Path) -> int:
    """The process that has the file locked; 0: not known."""
    number = str(inode(path))
    try:
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return 0
    for line in lines:
        fields = line.split()
        if "->" not in fields and fields[3] == "WRITE" and fields[5].rpartition(":")[2] == number:
            return int(fields[4])
    return 0


def _is_full(folder: Path) -> bool:
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize < 1 << 14


def _kind(folder: Path) -> str:
    """The type of the file system, as the system names it; empty where it does not say."""
    best, kind = "", ""
    real = f"{os.path.realpath(folder)}/"
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return ""
    for line in lines:
        front, _, back = line.partition(" - ")
        mount = front.split()[4].encode().decode("unicode_escape").rstrip("/") + "/"
        if real.startswith(mount) and len(mount) >= len(best):
            best, kind = mount, back.split()[0]
    return kind
