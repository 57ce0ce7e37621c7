"""Who may write a journal: one living process at a time; knows nothing of what is in the journal."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from . import files, points

PATIENCE = 2.0  # seconds for the short lock of the take-over


class Owner(msgspec.Struct, frozen=True):
    """The record. ``pid`` 0: nobody. ``started``: the system's own word for when that process began."""

    epoch: int = 0
    boot: str = ""
    pid: int = 0
    started: str = ""

    @property
    def alive(self) -> bool:
        """Whether that very process lives: same boot, same pid, same start."""
        return self.pid > 0 and self.boot == boot() and self.started == started(self.pid) != ""

    @property
    def here(self) -> bool:
        """Whether it is this process."""
        return self.pid == os.getpid() and self.alive


class Held(Exception):
    """Another living process owns the journal."""

    def __init__(self, owner: Owner) -> None:
        super().__init__(f"process {owner.pid} owns it")
        self.owner = owner


def boot() -> str:
    """What tells this boot of the machine from every other."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        import psutil  # where there is no /proc

        return str(round(psutil.boot_time()))


def started(pid: int) -> str:
    """When the process began, in the system's own word; empty when it is gone or only waits to be reaped."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return "" if os.path.isdir("/proc/self") else _started_elsewhere(pid)
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]


def _started_elsewhere(pid: int) -> str:
    import psutil

    try:
        process = psutil.Process(pid)
        return "" if process.status() == psutil.STATUS_ZOMBIE else repr(process.create_time())
    except psutil.Error:
        return ""


def look(folder: Path) -> Owner:
    """The record as it is; an unreadable one counts as nobody's."""
    try:
        return msgspec.json.decode((folder / "owner.json").read_bytes(), type=Owner)
    except (OSError, msgspec.DecodeError):
        return Owner()


def take(folder: Path, at_least: int = 1) -> int:
    """Become the owner.

    Parameters
    ----------
    folder : Path
        The journal's folder; must exist.
    at_least : int
        The smallest epoch to take, where the caller knows of one.

    Returns
    -------
    int
        The epoch: larger than every owner's before.

    Raises
    ------
    Held
        Another living process owns it, or holds the lock of the take-over for more than 2 s.
    OSError
        The folder can't be written.
    """
    with _lock(folder):
        owner = look(folder)
        if owner.alive and not owner.here:
            raise Held(owner)
        epoch = max(owner.epoch + 1, at_least)
        points.reach("owner free")
        _record(folder, Owner(epoch, boot(), os.getpid(), started(os.getpid())))
        points.reach("owner taken")
        return epoch


def release(folder: Path) -> None:
    """Give it up, if it is this process's; the epoch stays. Raises OSError."""
    with _lock(folder):
        owner = look(folder)
        if owner.here:
            _record(folder, Owner(owner.epoch))
            points.reach("owner released")


def _record(folder: Path, owner: Owner) -> None:
    files.write(folder / "owner.json", msgspec.json.encode(owner))


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Hold the take-over's lock. A forked child may keep it for a while, so it says nothing about who owns."""
    handle = os.open(folder / "owner.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Held(look(folder)) from None
                time.sleep(0.01)
        yield
    finally:
        os.close(handle)
