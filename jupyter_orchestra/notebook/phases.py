"""When a task did what: its phases, read from its story, and the chain of tasks that ran longest. It draws nothing.

A phase lasts from one step of the story to the next: waiting (for other tasks or for cells), waiting for leases (in
the queue or while it runs), queued (for slots alone), running, paused, or at an end that a retry undid. The phases of
a task do not overlap, and they cover all the time from its dispatch to its end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from graphlib import TopologicalSorter
from itertools import pairwise
from typing import NamedTuple

from ..core.model import ENDED, Step


class Doing(StrEnum):
    """What a task does in a phase."""

    WAITING = "waiting"
    LEASES = "leases"  # waiting for them
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    OVER = "over"  # until it is run again


@dataclass(frozen=True)
class Phase:
    """One stretch of a task's life, in POSIX seconds."""

    doing: Doing
    since: float
    until: float


@dataclass(frozen=True)
class Track:
    """What a timeline needs to know of one task; ``after`` holds uids."""

    after: tuple[str, ...]
    since: float
    phases: tuple[Phase, ...]

    @property
    def until(self) -> float:
        """Its end, or now."""
        return self.phases[-1].until if self.phases else self.since

    def spent(self, doing: Doing, since: float = 0.0) -> float:
        """Seconds that it did this, over all its attempts, from a moment on."""
        return sum(max(0.0, phase.until - max(since, phase.since)) for phase in self.phases if phase.doing is doing)

    def released_at(self) -> float:
        """When it last stopped waiting for other tasks; its end while it still waits."""
        waits = [phase.until for phase in self.phases if phase.doing is Doing.WAITING]
        return waits[-1] if waits else self.since


@dataclass(frozen=True)
class CriticalPath:
    """Tasks, each after the one before it, which ran `seconds` together: more slots make it no shorter."""

    uids: tuple[str, ...] = ()
    seconds: float = 0.0

    def links(self) -> frozenset[tuple[str, str]]:
        """Its dependencies: (the task before, the task after)."""
        return frozenset(pairwise(self.uids))


def track(story: Sequence[Step], after: Sequence[str], now: float) -> Track:
    """The track of a task that has this story, seen at a moment."""
    found: list[Phase] = []
    at = story[0].at
    for number, step in enumerate(story):
        last = number == len(story) - 1
        if last and step.state in ENDED:
            break
        until = max(at, now if last else story[number + 1].at)
        doing = _doing(step)
        if found and found[-1].doing is doing:
            found[-1] = Phase(doing, found[-1].since, until)
        elif until > at:
            found.append(Phase(doing, at, until))
        at = until
    return Track(tuple(after), story[0].at, tuple(found))


def _doing(step: Step) -> Doing:
    if step.leases:
        return Doing.LEASES
    return Doing.OVER if step.state in ENDED else Doing(step.state)


def critical_path(tracks: Mapping[str, Track]) -> CriticalPath:
    """The chain through the dependencies that ran longest, by real times.

    What a task ran before the task before it had ended (that one was run again) does not count, so that the path is
    never longer than all took together.
    """
    best: dict[str, _Way] = {}
    graph = {uid: [before for before in one.after if before in tracks] for uid, one in tracks.items()}
    for uid in TopologicalSorter(graph).static_order():
        one = tracks[uid]
        ways = [_Way(one.spent(Doing.RUNNING), one.until)]
        for before in graph[uid]:
            way = best[before]
            ran = one.spent(Doing.RUNNING, since=way.until)
            ways.append(_Way(way.seconds + ran, max(way.until, one.until), before))
        best[uid] = max(ways, key=lambda way: way.seconds)
    last = max(best, key=lambda uid: best[uid].seconds, default="")
    if not last or not best[last].seconds:
        return CriticalPath()
    path = [last]
    while before := best[path[-1]].before:
        path.append(before)
    return CriticalPath(tuple(reversed(path)), best[last].seconds)


class _Way(NamedTuple):
    """The best chain that ends with a task: what ran in it, and when its last task ended."""

    seconds: float
    until: float
    before: str = ""
