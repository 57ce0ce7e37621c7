"""Which folders of this machine a confined program must not see, and which of them it needs; confines nothing."""

from __future__ import annotations

import os
import pwd
import site
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, Literal, NamedTuple

from jupyter_core.paths import jupyter_config_dir, jupyter_data_dir, jupyter_runtime_dir

SHARED: Final = ("/tmp", "/var/tmp", "/run")  # of all programs: sockets, and what others left for a moment
PERSONAL: Final = ("XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")
PACKAGE: Final = Path(__file__).resolve().parents[1]

View = Literal["hide", "show", "write"]


class Layer(NamedTuple):
    """How one path is seen; the deepest layer above a file says how that is."""

    path: Path
    view: View


def layers(writable: Iterable[Path], readable: Iterable[Path], hide: Iterable[Path]) -> list[Layer]:
    """What lies over a file system that can be read, from the top down, nothing twice.

    Raises
    ------
    OSError
        When a folder that is to be writable is none, or a link.
    """
    own = set(homes())
    views: dict[Path, View] = dict.fromkeys((*own, *private(), *map(_real, hide)), "hide")
    for path in map(_real, readable):
        shown = _beside_dots(path) if path in own else [path]
        views |= dict.fromkeys((entry for entry in shown if entry not in views), "show")
    views |= dict.fromkeys(map(_real, needed()), "show")
    views |= dict.fromkeys(map(real_folder, writable), "write")
    return list(_needful(views))


def real_folder(path: Path) -> Path:
    """A folder, and no link in its place: by its path without links. Raises OSError."""
    folder = _real(path.parent) / path.name
    if folder.is_symlink() or not folder.is_dir():
        raise NotADirectoryError(f"{folder} is no folder")
    return folder


def homes() -> Iterator[Path]:
    """Where people's own files are."""
    mine = (os.path.expanduser("~"), pwd.getpwuid(os.getuid()).pw_dir)
    own = [path for path in mine if os.path.isdir(path) and os.stat(path).st_uid == os.getuid()]
    for path in map(_real, (*own, "/home", "/root")):
        if path.is_dir() and path != Path("/"):
            yield path


def private() -> Iterator[Path]:
    """Where programs keep what is the person's, and where they speak with one another: our own too."""
    kept = (jupyter_runtime_dir(), jupyter_data_dir(), jupyter_config_dir(), *map(os.environ.get, PERSONAL))
    for path in map(_real, filter(None, (*SHARED, tempfile.gettempdir(), *kept))):
        if path.is_dir() and path != Path("/"):
            yield path


def needed() -> Iterator[Path]:
    """What Python reads in order to run."""
    yield from map(Path, (sys.prefix, sys.base_prefix, sys.exec_prefix))
    yield PACKAGE
    if site.ENABLE_USER_SITE:
        yield Path(site.getusersitepackages())


def _needful(views: dict[Path, View]) -> Iterator[Layer]:
    """Without what is seen like that already; a path comes before those below it."""
    given: dict[Path, View] = {Path("/"): "show", Path("/dev"): "hide"}  # what there is of /dev is made anew
    for path in sorted(views.keys() - {Path("/")}, key=lambda path: (len(path.parts), path)):
        above = next(given[folder] for folder in path.parents if folder in given)
        if views[path] != above or above == "write":
            given[path] = views[path]
            yield Layer(path, views[path])


def _beside_dots(home: Path) -> list[Path]:
    try:
        return sorted(path for path in home.iterdir() if not path.name.startswith("."))
    except OSError:
        return []


def _real(path: str | Path) -> Path:
    return Path(os.path.realpath(path))
