"""Owns what is known of one launch: its first process, what descends from it, what it used; acts on none."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from ..core.sizes import spell_size
from .census import TICKS, Seen, carries
from .loop import Timer


class Tree:
    """A launch. It is ``over`` once its first process has ended and nothing else of it lives."""

    def __init__(self, number: int, order: dict[str, Any], pid: int, began: int, started: float, lifeline: int) -> None:
        self.number = number
        self.pid = pid
        self.began = began
        self.started = started
        self.spool: str = order["spool"]
        self.folder = os.path.dirname(order["log"])
        self.mark: str = order["mark"]
        self.around: bool = order["around"]  # its first process is a spooler
        self.memory_limit: int | None = order["memory"]
        self.processes_limit: int | None = order["processes"]
        self.kept: str = order["kept"]  # the lease under which it outlives its kernel; empty: it does not
        self.lifeline = lifeline
        self.unwritten = bytearray()  # what the lifeline has not taken yet
        self.code: int | None = None
        self.killed_for = ""
        self.over = False
        self.empty = False  # nothing of it was to be seen at the last look
        self.paused = False
        self.ran = time.monotonic()  # when it was last seen not to be stopped by somebody else
        self.ladder: list[Timer] = []
        self.members: list[Seen] = []
        self.used = 0.0  # seconds of CPU of the processes that are gone
        self.cpu = 0.0
        self.memory = 0
        self.before = 0  # bytes that it had taken when its limit was set, and which do not count
        self.peak = 0
        self.deadline = 0.0  # of its end; 0 as long as nobody ends it
        self.sparing = 0.0  # until when its spooler is left alone, to write down what there is
        self.ended: list[Callable[[], None]] = []

    @property
    def ending(self) -> bool:
        """Whether it is being ended."""
        return self.deadline > 0 and not self.over

    @property
    def limited(self) -> bool:
        """Whether it must be looked at often."""
        return not self.over and (self.memory_limit is not None or self.processes_limit is not None)

    @property
    def room(self) -> float:
        """How many processes more it may have."""
        limit = math.inf if self.processes_limit is None else self.processes_limit
        return limit - len(self.living) + self.around

    @property
    def living(self) -> list[Seen]:
        """What of it lives, as of the last look."""
        return [seen for seen in self.members if seen.alive]

    @property
    def moving(self) -> bool:
        """Whether it is paused, and yet some of it was running at the last look."""
        spared = self.pid if self.around else 0
        return self.paused and not self.ending and any(s.state in "RS" for s in self.members if s.pid != spared)

    @property
    def stopped(self) -> bool:
        """Whether its first process, or the command below its spooler, was stopped by somebody else."""
        if self.paused or self.ending:
            return False
        first = (seen for seen in self.members if seen.pid == self.pid or (self.around and seen.parent == self.pid))
        return any(seen.state == "T" for seen in first)

    def owns(self, orphan: Seen) -> bool:
        """Whether a process whose parents are gone is known to be of it."""
        return orphan.session == self.pid or carries(orphan.pid, self.mark)

    def measure(self) -> None:
        """Take the figures of the last look."""
        living = self.living
        self.cpu = max(self.cpu, self.used + sum(seen.cpu for seen in living) / TICKS)
        self.memory = sum(seen.memory for seen in living)
        self.peak = max(self.peak, self.memory)

    def excess(self) -> str:
        """Which limit it is beyond, for the person; empty when beyond none."""
        if self.memory_limit is not None and self.memory - self.before > self.memory_limit:
            return f"it took more than {spell_size(self.memory_limit)} of memory"
        if self.room < 0:
            return f"it had more than {self.processes_limit} processes at once"
        return ""

    def beat(self) -> dict[str, object]:
        """How it is, for the launcher."""
        return {
            "launch": self.number,
            "alive": self.code is None,
            "stopped": self.stopped,
            "cpu": round(self.cpu, 3),
            "memory": self.memory,
            "peak": self.peak,
            "processes": len(self.living),
        }

    def held(self) -> dict[str, object]:
        """What a launcher must know of it to take it over."""
        return {
            "launch": self.number,
            "pid": self.pid,
            "started": self.started,
            "spool": self.spool,
            "mark": self.mark,
            "code": self.code,
            "killed_for": self.killed_for,
            "kept": self.kept,
        }

    def send(self, number: int) -> None:
        """Send a signal to all of it, as of the last look, but not to a spooler what would stop it."""
        spared = self.pid if self.around and number in (signal.SIGSTOP, signal.SIGCONT) else 0
        for seen in self.living:
            if seen.pid != spared:
                send(seen.pid, number)

    def kill(self, spare: bool) -> None:
        """Kill what there was at the last look, all of it stopped first: else a script would begin its next command.

        A whole group is stopped in one step, in which nothing in it can fork.
        """
        living = self.living
        for group in {seen.group for seen in living} - {0, 1, os.getpgrp()}:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGSTOP)
        for seen in living:
            if not (spare and seen.pid == self.pid):
                send(seen.pid, signal.SIGSTOP)
                send(seen.pid, signal.SIGKILL)
        if spare:
            send(self.pid, signal.SIGCONT)


def send(pid: int, number: int) -> None:
    """Send a signal to a process, which may be gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
