"""What a supervisor says of those that work under the leases of its kernel; it knows neither broker nor who waits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from . import identity
from .broker_rules import Row
from .identity import Identity


class Living(msgspec.Struct, frozen=True):
    """What works on under a lease."""

    mark: str  # NAME=VALUE that its processes carry
    ran: float  # when it was last seen not to stand still, unless somebody who may has paused it; the machine's time


class Steward(msgspec.Struct, frozen=True):
    """A supervisor, as it was when it last wrote its beat."""

    process: Identity
    spoken: float  # of the machine's time
    settling: bool  # something of a kernel that is gone is still being ended
    clients: frozenset[int]  # the kernels that it knows to live
    living: dict[str, Living]  # by the id of the lease with which it began; what it got besides has that and "+…"


def read(path: Path) -> Steward | None:
    """The steward whose beat is at a path; None where none lives."""
    try:
        who, spoken, state, clients, *lines = path.read_text().split("\n")
        living = {id: Living(mark, float(ran)) for id, mark, ran in (line.split("\t") for line in lines)}
        process = identity.read(who)
        pids = frozenset(map(int, clients.split()))
        found = Steward(process, float(spoken), state == "settling", pids, living)
    except (OSError, ValueError):
        return None
    return found if process.alive else None


def looked_after(
    rows: Iterable[Row], ttl: float, alive: Callable[[str], bool]
) -> tuple[list[Row], Callable[[Row], bool]]:
    """The rows as their stewards have them, and whether somebody stands behind one.

    Parameters
    ----------
    ttl : float
        Seconds that a lease lasts from when its steward last saw that its holder runs.
    alive : callable
        Whether the process of a party lives.
    """
    known: dict[str, Steward | None] = {}
    behind: set[tuple[str, str]] = set()
    seen = []
    for row in rows:
        if row.claim.steward:
            if row.claim.steward not in known:
                known[row.claim.steward] = read(Path(row.claim.steward))
            if (steward := known[row.claim.steward]) is not None:
                row, holds = _as_told(row, steward, ttl, alive(row.party))
                if holds:
                    behind.add((row.party, row.claim.id))
        seen.append(row)
    return seen, lambda row: (row.party, row.claim.id) in behind or alive(row.party)


def _as_told(row: Row, steward: Steward, ttl: float, alive: bool) -> tuple[Row, bool]:
    begun, _, _ = row.claim.id.partition("+")
    if (living := steward.living.get(begun)) is not None:  # also while code in its kernel lets nothing else run
        claim = msgspec.structs.replace(row.claim, marks=(living.mark,))
        return msgspec.structs.replace(row, claim=claim, expires=max(row.expires, living.ran + ttl)), True
    if alive:
        return row, True
    if steward.settling or identity.read(row.party).pid in steward.clients:  # it has not ended the rest yet
        return msgspec.structs.replace(row, expires=max(row.expires, steward.spoken + ttl)), True
    # Nothing of it lives: there is nothing to end.
    return msgspec.structs.replace(row, claim=msgspec.structs.replace(row.claim, fence="token")), False
