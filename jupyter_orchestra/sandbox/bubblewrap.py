"""Spells what bubblewrap is told; knows neither who runs in it nor why."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from glob import glob
from itertools import chain
from pathlib import Path
from typing import Final

from .places import Layer, layers

# bwrap itself would die of an interrupt that is sent to all, and take with it what heeds it; so it ignores what the
# command in it gets. GNU's env says both.
SIGNALS: Final = "INT,TERM,HUP,QUIT"
OWN: Final = ("--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL")
SYSTEM: Final = ("--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc")
GRAPHICS: Final = ("/dev/nvidia*", "/dev/dri", "/dev/kfd")  # to compute on
NAMES: Final = "/etc/resolv.conf"  # often a link into what is hidden


def command(program: str, options: Iterable[str], argv: Sequence[str]) -> tuple[str, ...]:
    """The whole command."""
    ignoring, heeding = ("env", f"--ignore-signal={SIGNALS}"), ("env", f"--default-signal={SIGNALS}")
    return (*ignoring, program, *options, "--", *heeding, *argv)


def options(
    writable: Iterable[Path], readable: Iterable[Path], hide: Iterable[Path], cwd: Path, network: bool
) -> tuple[str, ...]:
    """What it is told of a confinement. Raises OSError."""
    names = (Path(os.path.realpath(NAMES)),) if network else ()
    seen = chain.from_iterable(map(_seen, layers(writable, (*readable, *names), hide)))
    devices = chain.from_iterable(("--dev-bind", path, path) for path in chain(*map(glob, GRAPHICS)))
    share = ("--share-net",) if network else ()
    return (*OWN, *share, *SYSTEM, *devices, *seen, "--chdir", os.path.realpath(cwd))


def _seen(layer: Layer) -> Iterator[str]:
    path = os.fspath(layer.path)
    if layer.view == "write":
        yield from ("--bind", path, path)
    elif layer.view == "hide":
        yield from ("--tmpfs", path) if os.path.isdir(path) else ("--ro-bind-try", "/dev/null", path)
    elif os.path.islink(path):  # a link of a home folder must not lead to what is hidden there
        yield from ("--symlink", os.readlink(path), path)
    else:
        yield from ("--ro-bind-try", path, path)
