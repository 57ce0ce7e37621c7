"""Files that are whole or absent, in folders of the person alone; knows nothing of what they hold."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from . import points


def private_folder(path: Path) -> Path:
    """Make `path` and what it lies in, for the person alone (0700). Raises OSError."""
    if not path.is_dir():
        if not path.parent.is_dir():
            private_folder(path.parent)
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
        sync_folder(path.parent)
    return path


def sync_folder(path: Path) -> None:
    """Make the names in `path` durable. Raises OSError."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write(path: Path, data: bytes, scratch: Path | None = None) -> None:
    """Put `data` durably at `path` (0600), all of it or nothing; by way of `scratch` (same disk). Raises OSError."""
    handle, name = tempfile.mkstemp(dir=scratch or path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb", buffering=0) as file:
            points.reach("file begun")
            rest = memoryview(data)
            while rest:
                rest = rest[file.write(rest) :]
            points.reach("file written")
            os.fsync(file.fileno())
        points.reach("file synced")
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise
    points.reach("file renamed")
    sync_folder(path.parent)
    points.reach("folder synced")


def size(folder: Path) -> int:
    """Bytes of all files under `folder`; what vanishes meanwhile counts nothing."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(where, name)).st_size
    return total
