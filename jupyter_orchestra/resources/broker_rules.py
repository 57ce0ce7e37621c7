"""Who may have what of the machine, and in which order: values and rules; knows no file, clock or process."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from ..core.waiting import AGEING

IDLE = 0.5  # seconds after which a claim that was opened and not made again blocks no other
PATH = "path|"  # begins the keys of which one may contain another


class Want(msgspec.Struct, frozen=True, omit_defaults=True):
    """So much of one thing of the machine."""

    key: str  # "port/3000", "test-runner|/abs/project", "path|/abs/dir", "gpu/0", "mem"
    amount: int = 1
    capacity: int = 1  # how much of it there is; where the claims of a key differ, the smallest counts
    mode: str = ""  # of a path: "r" or "w"


class Claim(msgspec.Struct, frozen=True, omit_defaults=True):
    """What somebody wants to hold, all of it or nothing."""

    id: str
    wants: tuple[Want, ...]
    since: float  # of the machine's time, see identity.machine_time
    priority: int = 0
    label: str = ""  # for people, such as "task fit of analysis.ipynb"
    fence: str = "token"  # "kill": nothing is freed before its processes are dead
    marks: tuple[str, ...] = ()  # NAME=VALUE that its processes carry in their environment
    steward: str = ""  # the file in which somebody else says what works on under it when its own process is gone


class Busy(msgspec.Struct, frozen=True):
    """The claim waits in line."""

    keys: tuple[str, ...]
    by: str  # who is in the way, for people


class Row(msgspec.Struct, frozen=True):
    """A claim as the whole machine sees it."""

    party: str  # the process behind it
    claim: Claim
    seq: int = 0
    state: str = "waiting"  # then "opened" (it could be made again), "held", "fencing" (expired, its processes end)
    token: int = 0
    changed: float = 0.0  # when the state began
    expires: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether it has what it wants; one that is being fenced still has it."""
        return self.state in ("held", "fencing")

    @property
    def order(self) -> tuple[float, int]:
        """Its place in line: all age alike, so that the order of two never changes."""
        return self.claim.since / AGEING - self.claim.priority, self.seq

    @property
    def who(self) -> str:
        """For people."""
        return self.claim.label or f"process {self.party.partition(':')[0]}"

    def blocks(self, now: float) -> bool:
        """Whether those behind it in line must wait for it."""
        return self.state == "waiting" or (self.state == "opened" and abs(now - self.changed) <= IDLE)


class Review(msgspec.Struct):
    """What is to be done so that the waiting ones get on."""

    free: list[Row] = msgspec.field(default_factory=list)  # dead, or expired where a token fences
    fence: list[Row] = msgspec.field(default_factory=list)  # its processes must be dead first
    open: list[Row] = msgspec.field(default_factory=list)
    in_way: list[Row] = msgspec.field(default_factory=list)  # of others, for which somebody waits

    def __bool__(self) -> bool:
        return bool(self.free or self.fence or self.open)


def check(claim: Claim) -> None:
    """Raise ValueError where a claim can never be right."""
    keys = [want.key for want in claim.wants]
    if not keys or len(set(keys)) < len(keys):
        raise ValueError(f"a claim wants at least one key, and each once, not {keys}")
    for want in claim.wants:
        if not 1 <= want.amount <= want.capacity:
            raise ValueError(f"{want.key}: {want.amount} of {want.capacity} can never be had")
        if want.key.startswith(PATH) and want.mode not in ("r", "w"):
            raise ValueError(f"{want.key}: the mode is r or w, not {want.mode!r}")
    if claim.fence not in ("token", "kill") or (claim.fence == "kill" and not claim.marks):
        raise ValueError('the fence is "token", or "kill" with the marks of the processes to kill')


def in_way(row: Row, rows: Iterable[Row], now: float) -> list[tuple[str, Row]]:
    """Which key is not to be had because of whom: holders first, then those ahead in line. Empty: all can be had."""
    others = [other for other in rows if not same(other, row)]
    held = [other for other in others if other.holds]
    ahead = [other for other in others if not other.holds and other.blocks(now) and other.order < row.order]
    found = [(want.key, other) for want in row.claim.wants for other in _takers(want, held)]
    for want in row.claim.wants:
        found += [(want.key, other) for other in ahead if any(_touch(want, its) for its in other.claim.wants)]
    return found


def grown(new: Claim, old: Claim) -> Claim:
    """What `new` wants beyond what `old` has."""
    had = {want.key: want for want in old.wants}
    return msgspec.structs.replace(new, wants=tuple(w for w in new.wants if not _covers(had.get(w.key), w)))


def same(one: Row, other: Row) -> bool:
    """Whether both are one claim of one party."""
    return one.claim.id == other.claim.id and one.party == other.party


def review(
    rows: list[Row], now: float, mine: Callable[[Row], bool], alive: Callable[[Row], bool], everyone: bool
) -> Review:
    """Look after my waiting claims, or after everyone's: who sleeps does not see that it is its turn."""
    found, rows = Review(), list(rows)
    for row in sorted((row for row in rows if row.state == "waiting"), key=lambda row: row.order):
        if not (mine(row) or everyone):
            continue
        if not alive(row):
            _remove(rows, row)
            found.free.append(row)
            continue
        ways = in_way(row, rows, now)
        for _, other in ways:
            if alive(other) and not (other.holds and other.expires <= now):
                continue
            if other.holds and other.claim.fence == "kill":
                if other not in found.fence:
                    found.fence.append(other)
            elif other in rows:
                _remove(rows, other)
                found.free.append(other)
        if not in_way(row, rows, now):
            found.open.append(row)
        found.in_way += [other for _, other in ways if not mine(other)]
    return found


def _remove(rows: list[Row], row: Row) -> None:
    rows[:] = [other for other in rows if not same(other, row)]


def _takers(want: Want, held: list[Row]) -> list[Row]:
    """The holders because of which a want does not fit."""
    if want.key.startswith(PATH):
        return [row for row in held if any(_touch(want, its) for its in row.claim.wants)]
    shared = [(row, its) for row in held for its in row.claim.wants if its.key == want.key]
    taken = want.amount + sum(its.amount for _, its in shared)
    fits = taken <= min([want.capacity, *(its.capacity for _, its in shared)])
    return [] if fits else [row for row, _ in shared]


def _touch(one: Want, other: Want) -> bool:
    """Whether two wants are of one thing, so that they keep their order."""
    if not (one.key.startswith(PATH) and other.key.startswith(PATH)):
        return one.key == other.key
    if one.mode == other.mode == "r":
        return False
    a, b = f"{one.key.rstrip('/')}/", f"{other.key.rstrip('/')}/"
    return a.startswith(b) or b.startswith(a)


def _covers(old: Want | None, new: Want) -> bool:
    return old is not None and old.amount >= new.amount and old.mode in (new.mode, "w")
