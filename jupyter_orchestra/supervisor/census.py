"""Owns looking at processes in /proc: which live, what they use, who descends from whom; ends none, knows no task."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


class Seen(NamedTuple):
    """A process as it was a moment ago."""

    pid: int
    parent: int
    group: int
    session: int
    state: str
    began: int  # ticks since the system's start; with the pid this is its identity
    cpu: int  # ticks, with those of its ended and waited-for children
    memory: int  # bytes, resident

    @property
    def alive(self) -> bool:
        """Whether it is more than an entry that waits to be taken."""
        return self.state not in "ZX"


AGAIN = 3  # looks at who seems to be nobody's child


def look(pid: int) -> Seen | None:
    """One process; None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            fields = file.read().rpartition(b") ")[2].split()
    except OSError:
        return None
    if len(fields) < 22:
        return None
    numbers = [int(field) for field in fields[1:22]]
    parent, group, session = numbers[:3]
    return Seen(pid, parent, group, session, fields[0].decode(), numbers[18], sum(numbers[10:14]), numbers[20] * PAGE)


def newest() -> int:
    """The number that the last process or thread got; 0 where the system does not say."""
    try:
        with open("/proc/loadavg", "rb", buffering=0) as file:
            return int(file.read().split()[4])
    except (OSError, ValueError, IndexError):
        return 0


def look_at_all() -> list[Seen]:
    """Every process, by rising number: of a forking crowd the parents before the children.

    What was forked meanwhile may be missing; `newest` tells.
    """
    found = {seen.pid: seen for name in os.listdir("/proc") if name.isdigit() and (seen := look(int(name)))}
    for _ in range(AGAIN):  # a parent that has ended meanwhile is another one by now
        orphans = [seen for seen in found.values() if seen.parent and seen.parent not in found]
        fresh = {seen.pid: seen for orphan in orphans if (seen := look(orphan.pid))}
        if all(seen == found[pid] for pid, seen in fresh.items()):
            break
        found |= fresh
    return sorted(found.values())


def descendants(pid: int, everyone: list[Seen]) -> Iterator[Seen]:
    """All below a process, each after its parent."""
    children: dict[int, list[Seen]] = {}
    for seen in everyone:
        children.setdefault(seen.parent, []).append(seen)
    ahead = [pid]
    while ahead:
        fresh = children.pop(ahead.pop(), [])
        yield from fresh
        ahead += [seen.pid for seen in fresh]


def lineage(pid: int) -> Iterator[int]:
    """A process and those that it descends from."""
    while pid > 0 and (seen := look(pid)) is not None:
        yield pid
        pid = seen.parent


def carries(pid: int, mark: str) -> bool:
    """Whether the environment that a process began with has this mark (``NAME=VALUE``)."""
    try:
        with open(f"/proc/{pid}/environ", "rb", buffering=0) as file:
            return os.fsencode(mark) in file.read().split(b"\0")
    except OSError:
        return False


def began_at(seen: Seen) -> float:
    """When a process began, in seconds since the system's start."""
    return seen.began / TICKS
