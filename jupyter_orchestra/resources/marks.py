"""What is written on a thing that outlives its maker, and who may remove it by that; it knows no such thing itself."""

from __future__ import annotations

import platform
from collections.abc import Callable
from functools import cache
from hashlib import blake2b
from pathlib import Path

import msgspec

from ..journal import owner as process

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
    """

    lease: str
    owner: str
    machine: str
    boot: str

    def spell(self) -> str:
        """The mark as text."""
        return msgspec.json.encode(self).decode()


def mark(lease: str, owner: str) -> Mark:
    """The mark for a lease of this machine."""
    return Mark(lease, owner, *_here())


def is_leftover(text: str, owner: str, living: Living) -> bool:
    """Whether the thing with this mark belongs to nobody any more.

    Another runtime's is left to that one as long as the machine is up: its task may outlive its kernel.
    """
    try:
        found = msgspec.json.decode(text, type=Mark)
    except msgspec.DecodeError:
        return False
    machine, boot = _here()
    if found.machine != machine:
        return False
    return found.boot != boot or (found.owner == owner and not living(found.lease))


@cache
def _here() -> tuple[str, str]:
    """This machine, told from others without naming it, and its boot."""
    named = Path("/etc/machine-id")
    place = f"{named.read_text().strip() if named.is_file() else ''} {platform.node()}"
    return blake2b(place.encode(), digest_size=8).hexdigest(), process.boot()
