"""Where ``path:`` needs really lie on this disk: links and ``..`` resolved, inside the project; it knows no locks."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from ..core.needs import BadNeed, Need, spell

_WILD = frozenset("*?[{")


def resolve(need: Need, project: Path) -> Need:
    """A need whose path is absolute, without links and ``..``, and ends before the first wildcard.

    Raises
    ------
    BadNeed
        When it leads out of the project, or nowhere.
    """
    top = Path(os.path.realpath(project))
    found = _real(need, top)
    if not found.is_relative_to(top):
        raise BadNeed(f"{spell(need)} leads to {found}, outside of the project {top}: name a path in it")
    return msgspec.structs.replace(need, path=found.parts)


def _real(need: Need, top: Path) -> Path:
    plain, wild = _cut(need.path)
    if ".." in wild:
        raise BadNeed(f"{spell(need)}: nothing can go up (..) after a wildcard: write where it leads to")
    path = top.joinpath(Path(*plain).expanduser() if plain else "")
    try:
        # realpath: the part that exists is followed link by link, of the rest ".." is taken away.
        found = Path(os.path.realpath(path))
        _exists(found)
    except (OSError, ValueError, RuntimeError) as error:
        raise BadNeed(f"{spell(need)} can't be a path: {getattr(error, 'strerror', '') or error}") from None
    return found


def _cut(parts: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The parts before the first one with a wildcard, and the rest."""
    wild = next((at for at, part in enumerate(parts) if _WILD & set(part)), len(parts))
    return parts[:wild], parts[wild:]


def _exists(path: Path) -> bool:
    """Whether it is there. Raises OSError for what can't be, such as links in a circle or a name that is too long."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    if path.is_symlink():  # realpath leaves none, but for those in a circle
        path.stat()
    return True
