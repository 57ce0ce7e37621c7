"""What a program is confined to, and what confines it; knows no task and starts nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec

from . import bubblewrap, landlock
from .places import real_folder

Kind = Literal["bubblewrap", "landlock", "none"]

LIMITS: Final[dict[Kind, str]] = {
    "bubblewrap": "confined: it writes in its workspace only, finds the home folder empty and has no network unless "
    "that is granted; the rest of this machine it reads as you do",
    "landlock": "half confined: it writes in its workspace only and has no TCP unless that is granted, but it reads "
    "all that you can read, your home folder too, and reaches sockets of other programs",
    "none": "not confined: it runs with all your rights",
}


class Confinement(msgspec.Struct, frozen=True):
    """What a program may have.

    Attributes
    ----------
    writable : tuple of Path
        Folders in which it may write. They must exist, and no folder above them may be writable to what is confined:
        it could put a link in their place. Where the system's folder for temporary files can't be had, the last one
        serves for it.
    cwd : Path
        Where it begins.
    readable : tuple of Path
        What it sees although it lies in something that is hidden. Of a home folder itself: all whose name does not
        begin with a dot. What is hidden itself stays so.
    hide : tuple of Path
        What it does not see, besides what no confined program sees.
    network : bool
        Whether it has the network.
    """

    writable: tuple[Path, ...]
    cwd: Path
    readable: tuple[Path, ...] = ()
    hide: tuple[Path, ...] = ()
    network: bool = False


class Sandbox(msgspec.Struct, frozen=True):
    """What confines programs on this machine.

    Attributes
    ----------
    kind : {"bubblewrap", "landlock", "none"}
        How.
    program : str
        The path of what does it.
    why : str
        Why it is no better one, in one line.
    """

    kind: Kind
    program: str = ""
    why: str = ""

    @property
    def hides(self) -> bool:
        """Whether what is the person's own can't be read from within."""
        return self.kind == "bubblewrap"

    @property
    def limits(self) -> str:
        """What it does and does not, for the person."""
        return LIMITS[self.kind]

    def wrapped(self, argv: Sequence[str], confinement: Confinement) -> tuple[str, ...]:
        """The command that runs `argv` confined.

        It ends as `argv` does; where that is killed by a signal, bubblewrap gives 128 and the signal's number, as a
        shell does. Reads folders, and may block on the disk.

        Raises
        ------
        OSError
            When a folder that is to be writable is none.
        """
        given = confinement
        if self.kind == "bubblewrap":
            options = bubblewrap.options(given.writable, given.readable, given.hide, given.cwd, given.network)
            return bubblewrap.command(self.program, options, argv)
        if self.kind == "landlock":
            return landlock.command(map(real_folder, given.writable), given.network, argv)
        return tuple(argv)
