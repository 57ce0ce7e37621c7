"""What the processes of attempts use, put together from what the supervisor says of each; it measures next to nothing.

A kernel has done other things before a task and may do others after it: its CPU counts from the beginning of the
attempt to its end, which one look at that process tells.
"""

from __future__ import annotations

from .core.model import Process
from .core.usage import Measured
from .supervisor.census import TICKS, Seen, look
from .supervisor.values import SAME, Beat

KEPT = 1_000  # attempts that are over and still known


class _Part:
    """One process of an attempt, with what it started; `used` before is none of the attempt's."""

    def __init__(self, process: Process, used: float, peak: int) -> None:
        self.process = process
        self.heard = self.alive = False
        self.total = used  # seconds of CPU of the process, for whomever
        self.cpu, self.memory, self.peak, self.processes = 0.0, 0, 0, 0
        self._used, self._before = used, peak

    def take(self, beat: Beat) -> None:
        self.heard, self.alive = True, beat.alive
        self.cpu = max(self.cpu, beat.cpu - self._used)
        self.processes = beat.processes if beat.alive else 0
        if beat.alive:
            self.memory = beat.memory
        # Between two looks it may have had more than at either: then the most of the whole launch has risen.
        self.peak = max(self.peak, self.memory, beat.peak if beat.peak > self._before else 0)

    def end(self) -> None:
        """It is over, or does something else from now on."""
        if (seen := _seen(self.process)) is not None:
            self.heard, self.total = True, seen.cpu / TICKS
            self.cpu = max(self.cpu, self.total - self._used)
            self.memory = self.memory or seen.memory
            self.peak = max(self.peak, self.memory)


class _Account:
    """An attempt."""

    def __init__(self, attempt: int) -> None:
        self.attempt = attempt
        self.parts: list[_Part] = []


class Meter:
    """Who used what. On the runtime's loop."""

    def __init__(self) -> None:
        self._accounts: dict[str, _Account] = {}  # by the uid of the task
        self._over: dict[str, None] = {}  # of those whose attempt is over, who ended last at the end
        self._living: dict[int, _Part] = {}  # by the number of the process
        self._peaks: dict[tuple[int, float], int] = {}  # of what lives: the most memory that was seen so far
        self._totals: dict[tuple[int, float], float] = {}  # of kernels between two attempts: seconds of CPU so far

    def began(self, uid: str, attempt: int, process: Process, adopted: bool = False) -> None:
        """An attempt has a process; `adopted`: since an earlier kernel."""
        account = self._accounts.get(uid)
        if account is None or account.attempt != attempt:
            account = self._accounts[uid] = _Account(attempt)
            self._over.pop(uid, None)
        # What a process other than a kernel does is all for the attempt.
        known = process.pid, process.started
        shared = bool(process.connection) and not adopted
        used = self._used(process) if shared else 0.0
        part = _Part(process, used, self._peaks.get(known, 0) if shared else 0)
        account.parts.append(part)
        self._living[process.pid] = part

    def take(self, beat: Beat) -> None:
        """What the supervisor says of a process."""
        part = self._living.get(beat.pid)
        if part is not None and abs(part.process.started - beat.started) < SAME:
            part.take(beat)
        known = beat.pid, beat.started
        self._peaks[known] = beat.peak
        if not beat.alive:
            del self._peaks[known]
            self._totals.pop(known, None)
            self._living.pop(beat.pid, None)

    def ended(self, uid: str, attempt: int) -> None:
        """An attempt is over."""
        account = self._accounts.get(uid)
        if account is None or account.attempt != attempt:
            return
        for part in account.parts:
            part.end()
            if self._living.get(part.process.pid) is part:
                del self._living[part.process.pid]
                self._totals[part.process.pid, part.process.started] = part.total
        self._over[uid] = None
        if len(self._over) > KEPT:
            oldest = next(iter(self._over))
            del self._over[oldest], self._accounts[oldest]

    def measured(self, uid: str) -> Measured | None:
        """What the last attempt of a task uses, or has used; None: it was never measured."""
        account = self._accounts.get(uid)
        parts = [part for part in account.parts if part.heard] if account is not None else []
        if not parts:
            return None
        living = [part for part in parts if part.alive] or parts[-1:]
        return Measured(
            sum(part.cpu for part in parts),
            sum(part.memory for part in living),
            max(part.peak for part in parts),
            sum(part.processes for part in living),
        )

    def _used(self, process: Process) -> float:
        """Seconds of CPU so far; between two attempts a kernel uses next to none."""
        if (total := self._totals.pop((process.pid, process.started), None)) is not None:
            return total
        seen = _seen(process)
        return seen.cpu / TICKS if seen is not None else 0.0


def _seen(process: Process) -> Seen | None:
    """That very process now; None when it is gone."""
    seen = look(process.pid)
    return seen if seen is not None and abs(seen.began / TICKS - process.started) < SAME else None
