"""Which errors of the disk pass, and what the person can do about them; knows nothing of what was written."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from pathlib import Path

SCARCE = 1 << 20  # free bytes under which an I/O error is put down to the full disk

_PASSES = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_AUTH,
}
_FULL = {errno.ENOSPC, errno.EDQUOT}
_CLOSED = {errno.EROFS, errno.EACCES, errno.EPERM}


class Gone(OSError):
    """The journal's folder was taken away under the kernel."""


class Changed(Exception):
    """The journal is not what this kernel left or read: going on would spoil it."""


class Contradiction(Exception):
    """What the program says of itself can't be true."""


def code(error: BaseException) -> int:
    """SQLite's primary error code, -1 where the error has none."""
    return getattr(error, "sqlite_errorcode", -1) & 0xFF if isinstance(error, sqlite3.Error) else -1


def passes(error: BaseException) -> bool:
    """Whether the same thing may work later."""
    return isinstance(error, OSError) or code(error) in _PASSES


def explain(error: BaseException, folder: Path) -> str:
    """What is wrong and what the person can do, in one line."""
    number = error.errno if isinstance(error, OSError) else None
    where = _existing(folder)
    if isinstance(error, Gone):
        return f"the journal's folder is gone: put {folder} back, or restart the kernel to begin anew"
    if isinstance(error, Changed):
        return f"the journal in {folder} was changed by another program ({error}): restart the kernel"
    if isinstance(error, Contradiction):
        return (
            f"a bug in jupyter_orchestra (its journal refuses what can't be: {error}): what happened so far is kept, "
            "nothing more is written: please report it and restart the kernel"
        )
    if not passes(error):
        if code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return f"the journal in {folder} is damaged: restart the kernel, it keeps what can be read"
        what = f"{type(error).__name__}: {error}"
        return f"a bug in jupyter_orchestra's journal ({what}): please report it and restart the kernel"
    if number in _FULL or code(error) == sqlite3.SQLITE_FULL or (number not in _CLOSED and _free(where) < SCARCE):
        return f"disk full: free space on {_mount(where)} (the journal is in {folder}); the task goes on by itself"
    if number in _CLOSED or code(error) == sqlite3.SQLITE_READONLY or not os.access(where, os.W_OK):
        return f"read-only: make {where} writable (for the journal); the task goes on by itself"
    if code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"another program has locked {folder / 'journal.db'}: close it; the task goes on by itself"
    return f"the disk does not take the journal in {folder} ({error}): check the disk; the task goes on by itself"


def _existing(path: Path) -> Path:
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _mount(path: Path) -> Path:
    while not os.path.ismount(path) and path != path.parent:
        path = path.parent
    return path


def _free(path: Path) -> int:
    try:
        return shutil.disk_usage(path).free
    except OSError:
        return SCARCE
