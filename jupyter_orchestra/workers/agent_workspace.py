"""Makes an agent's workspace, a copy of the project within bounds; knows neither agent nor task."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from .agent_files import CHUNK
from .agent_search import SKIPPED, is_kept

FILES: Final = 20_000
BYTES: Final = 200 << 20


class TooLarge(Exception):
    """The project is too large to be copied; the message says what to do."""


class Stopped(Exception):
    """The copy was given up."""


class Copy:
    """One copy of a project: its files and folders, and the links that lead to somewhere in it; none that holds keys.

    Parameters
    ----------
    project
        Its folder. Nothing of it is changed.
    to
        Where the copy goes; it must not exist.
    apart
        A folder that is left out when it lies in the project.
    """

    def __init__(
        self, project: Path, to: Path, apart: Path | None = None, *, files: int = FILES, size: int = BYTES
    ) -> None:
        self._project, self._to = project, to
        self._apart = None if apart is None else os.path.realpath(apart)
        self._files, self._size = files, size
        self._stop = threading.Event()

    def stop(self) -> None:
        """Give it up, from any thread."""
        self._stop.set()

    def make(self) -> None:
        """Make it; blocks. Raises TooLarge before anything is copied, Stopped, and OSError."""
        self._measure()
        self._to.mkdir(mode=0o700)
        for folder, folders, files, handle in self._walk():
            for name in (*folders, *files):
                there, mode = self._to / folder / name, _mode(name, handle)
                if stat.S_ISLNK(mode):
                    self._link(name, handle, folder)
                elif stat.S_ISDIR(mode):
                    there.mkdir(mode=0o700)
                elif stat.S_ISREG(mode):
                    self._file(name, handle, there)

    def _measure(self) -> None:
        files = size = 0
        for _, _, names, handle in self._walk():
            for name in names:
                files, size = files + 1, size + _size(name, handle)
                if files > self._files or size > self._size:
                    raise TooLarge(
                        f"the project {self._project} is too large for a workspace (more than {self._files:,} files "
                        f"or {self._size >> 20} MB, version control and caches left out): dispatch from a smaller "
                        "folder, or with -r explorer, which reads the project itself"
                    )

    def _walk(self) -> Iterator[tuple[str, list[str], list[str], int]]:
        def fail(error: OSError) -> None:
            if error.filename == os.fspath(self._project):
                raise error

        for folder, folders, files, handle in os.fwalk(self._project, onerror=fail):
            folders[:] = [name for name in folders if not self._is_left_out(folder, name, handle)]
            files[:] = [name for name in files if not is_kept(name)]
            if self._stop.is_set():
                raise Stopped
            yield os.path.relpath(folder, self._project), folders, files, handle

    def _is_left_out(self, folder: str, name: str, handle: int) -> bool:
        if name in SKIPPED or is_kept(name) or os.path.realpath(os.path.join(folder, name)) == self._apart:
            return True
        try:
            os.stat(f"{name}/pyvenv.cfg", dir_fd=handle)  # an environment under another name
        except OSError:
            return False
        return True

    def _file(self, name: str, handle: int, to: Path) -> None:
        """Copy a regular file; one that can't be read is left out."""
        try:
            source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=handle)
        except OSError:
            return
        with open(source, "rb", buffering=0) as file:
            mode = os.fstat(source).st_mode
            if not stat.S_ISREG(mode):
                return
            target = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600 | mode & 0o100)
            with open(target, "wb", buffering=0) as copy:
                while data := file.read(CHUNK):
                    if self._stop.is_set():
                        raise Stopped
                    while data:
                        data = data[copy.write(data) :]

    def _link(self, name: str, handle: int, folder: str) -> None:
        """Make a link of the project again when it leads to somewhere in it; one that leads out is left out."""
        target = os.readlink(name, dir_fd=handle)
        if not os.path.isabs(target) and os.path.normpath(os.path.join(folder, target)).split("/", 1)[0] != "..":
            os.symlink(target, self._to / folder / name)


def _mode(name: str, handle: int) -> int:
    """What stands there; 0 when it went meanwhile."""
    try:
        return os.stat(name, dir_fd=handle, follow_symlinks=False).st_mode
    except OSError:
        return 0


def _size(name: str, handle: int) -> int:
    try:
        info = os.stat(name, dir_fd=handle, follow_symlinks=False)
    except OSError:
        return 0
    return info.st_size if stat.S_ISREG(info.st_mode) else 0
