"""Owns what one launch of a supervisor is for its user; knows neither socket nor other launches."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from ..core.model import Process
from ..core.ports import Limits
from ..processes.launcher import read_spool
from ..processes.terminal import resized, typed
from .orders import LIMITS
from .values import Beat, Held

LOST = "its supervisor was killed"
End = tuple[int, str]  # exit code, and why it was killed


class Home(Protocol):
    """What it needs of its launcher."""

    leaving: bool
    limits: Limits

    @property
    def beats(self) -> Mapping[int, Beat]: ...

    def tell(self, op: str, launch: int, **fields: Any) -> None: ...

    async def settle(self) -> None: ...

    async def end(self, held: Held) -> None: ...

    def forget(self, launch: int) -> None: ...


class SupervisedRunning:
    """A process of the supervisor's, and everything that it started. Its user calls `end` at last, however it ended."""

    process: Process

    def __init__(self, launcher: Home, held: Held, spool: Path, end: asyncio.Future[End]) -> None:
        self.process = Process(held.pid, held.started, os.fspath(spool))
        self._launcher, self._launch, self._held, self._spool = launcher, held.launch, held, spool
        self._ended = end
        self._over = False
        self._kept, self._limited = held.kept, Limits()
        self._last: Beat | None = None

    @property
    def left(self) -> bool:
        """Whether it was left to the next kernel."""
        return self._launcher.leaving and bool(self._kept)

    @property
    def lost(self) -> bool:
        """Whether it ended because its supervisor was killed."""
        return self.killed_for == LOST

    @property
    def killed_for(self) -> str:
        """Why it was killed, when neither its user nor itself did that; empty else."""
        return self._ended.result()[1] if self._ended.done() else ""

    @property
    def beat(self) -> Beat | None:
        """The last word on how it is."""
        return self._launcher.beats.get(self._launch, self._last)

    async def wait(self) -> int:
        """Its exit code, once it has ended; minus the signal that ended it."""
        return (await asyncio.shield(self._ended))[0]

    def signal(self, number: int) -> None:
        """Send a signal to its tree; nothing when it is gone."""
        if not (self._ended.done() or self._over or self.left):
            self._launcher.tell("signal", self._launch, number=int(number))

    async def settle(self) -> None:
        """Come back when the signals sent so far have arrived."""
        await self._launcher.settle()

    def keep(self, lease: str) -> None:
        """Let it outlive this kernel, under that lease; empty: let it not."""
        if lease != self._kept:
            self._kept = lease
            self._launcher.tell("keep", self._launch, kept=lease)

    def limit(self, limits: Limits) -> None:
        """Set what its tree may take from now on. Memory that it has already does not count."""
        if limits != self._limited:
            self._limited = limits
            self._launcher.tell("limit", self._launch, **merged(limits, self._launcher.limits))

    def climb_down(self) -> None:
        """Have it interrupted (0 s), terminated (2 s), killed (5 s), whether or not this process lives so long."""
        if not self.left:
            self._launcher.tell("ladder", self._launch)

    async def end(self) -> None:
        """Kill its whole tree, and come back when nothing of it lives (or 2 s have not sufficed)."""
        if self._over or self.left:
            return
        await self._launcher.end(self._held)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.wait(), 0.5)
        self._over = True
        self._last = self.beat
        self._launcher.forget(self._launch)

    def read(self, offset: int, size: int = 1 << 20) -> bytes:
        """Up to `size` bytes of its spool from `offset`; none when the spool is not there."""
        return read_spool(self._spool, offset, size)

    def write(self, data: bytes) -> None:
        """Type into its terminal."""
        for part in typed(data):
            self._launcher.tell("write", self._launch, data=part.decode("latin-1"))

    def resize(self, rows: int, columns: int) -> None:
        """Give its terminal another size, in characters."""
        self._launcher.tell("write", self._launch, data=resized(rows, columns).decode("latin-1"))


def merged(own: Limits, others: Limits) -> dict[str, int | None]:
    """What limits a launch, as the supervisor is told it: its own limits, else those of all."""
    return {name: getattr(others if getattr(own, name) is None else own, name) for name in LIMITS}
