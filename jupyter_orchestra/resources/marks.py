"""What is written on a thing that outlives its maker, and who may remove it by that; it knows no such thing itself."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from functools import cache
from hashlib import blake2b
from pathlib import Path

import msgspec

from ..journal import owner as process
from ..processes.tree import members
from . import identity

Living = Callable[[str], bool]  # whether the lease of that id is held, or waits to be given back


class Mark(msgspec.Struct, frozen=True):
    """Whose a thing is.

    Attributes
    ----------
    lease : str
        The lease that it was made for.
    owner : str
        The runtime that made it, by a name that a restart of the kernel keeps.
    machine, boot : str
        Where and since when that one lived.
    kernel : str
        The process that it was; empty: not known.
    world : str
        Who can tell whether that process lives.
    """

    lease: str
    owner: str
    machine: str
    boot: str
    kernel: str = ""
    world: str = ""

    def spell(self) -> str:
        """The mark as text."""
        return msgspec.json.encode(self).decode()


def mark(lease: str, owner: str) -> Mark:
    """The mark for a lease of this machine."""
    return Mark(lease, owner, *_here(), identity.mine().spell(), _world())


def is_leftover(text: str, owner: str, living: Living) -> bool:
    """Whether the thing with this mark belongs to nobody any more; may look at all processes."""
    found = read(text)
    if found is None:
        return False
    machine, boot = _here()
    if found.machine != machine:
        return False
    if found.boot != boot:
        return True
    return not living(found.lease) if found.owner == owner else _is_over(found)


def read(text: str) -> Mark | None:
    """What :meth:`Mark.spell` gave; None for anything else."""
    try:
        return msgspec.json.decode(text, type=Mark)
    except msgspec.DecodeError:
        return None


def _is_over(mark: Mark) -> bool:
    """Whether nothing of another runtime lives, its tasks included: they may outlive its kernel."""
    if not mark.kernel or mark.world != _world():
        return False  # nobody here can tell
    try:
        return not (identity.read(mark.kernel).alive or members(f"ORCHESTRA_RUNTIME={mark.owner}"))
    except ValueError:
        return False


def _world() -> str:
    """Of processes that one can see, and whose environment one can read."""
    return f"{identity.world()} {os.getuid()}"


@cache
def _here() -> tuple[str, str]:
    """This machine, told from others without naming it, and its boot."""
    named = Path("/etc/machine-id")
    place = f"{named.read_text().strip() if named.is_file() else ''} {platform.node()}"
    return blake2b(place.encode(), digest_size=8).hexdigest(), process.boot()
