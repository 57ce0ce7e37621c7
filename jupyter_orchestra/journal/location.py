"""Where a notebook's journal is, also after the notebook was renamed; knows nothing of what is in it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

import msgspec

from . import files, owner, points
from .birth import born

ORPHAN_AGE = 7 * 86400.0  # seconds after which a private journal that nobody came back to is removed


class Notebook(msgspec.Struct, frozen=True, omit_defaults=True):
    """What ``notebook.json`` holds: the path, and what stays the same when the file is renamed."""

    path: str
    dev: int = 0
    ino: int = 0
    born: int = 0  # birth of the file, nanoseconds; 0: unknown. Tells a renamed file from a reused inode.

    def same_file(self, other: Notebook) -> bool:
        """Whether both are one file under two names."""
        return self.ino > 0 and (self.dev, self.ino, self.born) == (other.dev, other.ino, other.born)


class Place(msgspec.Struct, frozen=True):
    """A journal's folder. A private one belongs to one kernel and goes at its clean end."""

    folder: Path
    private: bool
    notebook: str = ""


def base(notebook: Path | None = None) -> Path:
    """The folder of all journals of this person; never inside the checkout that holds `notebook`."""
    from jupyter_core.paths import jupyter_data_dir

    usual = Path(jupyter_data_dir()).resolve() / "orchestra"
    project = _checkout(notebook)
    if project is None or not usual.is_relative_to(project):
        return usual
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state").resolve()
    if state.is_relative_to(project):
        state = Path.home().resolve() / ".local" / "state"
    return state / "jupyter_orchestra"


def _checkout(notebook: Path | None) -> Path | None:
    """The git checkout around `notebook`. A home folder kept in git is not a project."""
    if notebook is None:
        return None
    home = Path.home().resolve()
    for folder in notebook.resolve().parents:
        if home.is_relative_to(folder):
            return None
        if (folder / ".git").exists():
            return folder
    return None


def describe(notebook: Path) -> Notebook:
    """The notebook as it is now; without numbers where there is no such file."""
    path = os.path.realpath(notebook)
    try:
        stat = os.stat(path)
    except OSError:
        return Notebook(path)
    return Notebook(path, stat.st_dev, stat.st_ino, born(path))


def find(root: Path, notebook: Path) -> Place:
    """The folder of the notebook's journal, moved along when the notebook was renamed; may not exist yet."""
    wanted = describe(notebook)
    own = root / _key(wanted.path)
    for _ in range(3):  # another kernel may move the same folder meanwhile
        found = _search(root, own, wanted)
        if found is None or found == own or owner.look(found).alive or own.exists():
            break
        with suppress(OSError):
            points.reach("folder found")
            os.rename(found, own)
            points.reach("folder moved")
            files.sync_folder(root)
            record(own, notebook)
    folder = found or next(name for name in _names(own) if not name.exists())
    return Place(folder, private=False, notebook=wanted.path)


def private(root: Path, kernel: str) -> Place:
    """The folder of one kernel's own journal, by a key that a restart of the kernel keeps (its connection file)."""
    return Place(root / f"kernel-{_key(kernel)}", private=True)


def record(folder: Path, notebook: Path) -> None:
    """Write down which notebook the folder belongs to, where that has changed. Raises OSError."""
    now = describe(notebook)
    if now != _recorded(folder):
        files.write(folder / "notebook.json", msgspec.json.encode(now))
        points.reach("notebook recorded")


def sweep(root: Path, now: float | None = None, also: Callable[[Path], None] = lambda folder: None) -> None:
    """Remove the private journals of kernels that are dead and that nobody came back to for a week.

    Before each one `also` gets its folder, to remove what belongs to it elsewhere; where it raises OSError, the folder
    stays for the next sweep.
    """
    limit = (time.time() if now is None else now) - ORPHAN_AGE
    for folder in _folders(root):
        with suppress(OSError):
            if folder.name.startswith("kernel-") and not owner.look(folder).alive and _touched(folder) < limit:
                also(folder)
                shutil.rmtree(folder, ignore_errors=True)


def _touched(folder: Path) -> float:
    return max([folder.stat().st_mtime, *(file.stat().st_mtime for file in folder.glob("journal.db*"))])


def _search(root: Path, own: Path, wanted: Notebook) -> Path | None:
    at = _recorded(own)
    if own.is_dir() and (at is None or at.path == wanted.path):
        return own
    others = [(folder, at) for folder in _folders(root) if (at := _recorded(folder)) is not None]
    for folder, at in others:
        if at.path == wanted.path:  # renamed while its kernel ran
            return folder
    for folder, at in others:
        if at.same_file(wanted) and not os.path.exists(at.path):  # where the old path is still there, this is a copy
            return folder
    return None


def _recorded(folder: Path) -> Notebook | None:
    try:
        return msgspec.json.decode((folder / "notebook.json").read_bytes(), type=Notebook)
    except (OSError, msgspec.DecodeError):
        return None


def _folders(root: Path) -> list[Path]:
    try:
        return [Path(entry.path) for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _names(own: Path) -> Iterator[Path]:
    """`own`, then names beside it: the folder may belong to the notebook that had this path before."""
    yield own
    number = 1
    while True:
        yield own.with_name(f"{own.name}-{number}")
        number += 1


def _key(text: str) -> str:
    return blake2b(os.fsencode(text), digest_size=8).hexdigest()
