"""Where a runtime keeps its sockets, and how programs outside find it; it knows neither what they say nor who asks."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

LONGEST = 80  # bytes of a folder's path, so that the path of a socket in it stays below every system's limit


def root() -> Path:
    """The folder of all runtimes of this person, 0700.

    Raises
    ------
    OSError
        When it is another person's, or a link.
    """
    places = (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp")
    usable = (place for place in places if place and os.access(place, os.W_OK | os.X_OK) and len(place) < LONGEST - 40)
    folder = Path(next(usable, "/tmp")) / f"orchestra-{os.getuid()}"
    _ensure_own(folder)
    return folder


def folder(mark: str) -> Path:
    """The folder of one runtime, 0700. Raises OSError."""
    own = root() / mark
    _ensure_own(own)
    return own


def _ensure_own(folder: Path) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError(f"{folder} is not a folder of yours: remove it, or set XDG_RUNTIME_DIR to another place")
    if stat.S_IMODE(found.st_mode) != 0o700:
        folder.chmod(0o700)
