"""Reads the spool of a running process into its outputs, and tells of them; it knows neither worker nor page."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from ..core.ports import Audience
from ..processes.spool import Frame, SpoolReader
from .outputs import Collector

TICK = 0.1  # seconds between two looks at a spool
READ = 256 << 10  # bytes of one look


class Spooling(Protocol):
    """What writes a spool until it ends."""

    async def wait(self) -> int:
        """Its exit code, once it has ended."""

    def read(self, offset: int, size: int = ...) -> bytes:
        """Up to `size` bytes of its spool from `offset`."""


class Follower:
    """Reads one spool into a collector and tells a reporter.

    Parameters
    ----------
    seen
        Gets every frame as well.
    looked
        Told after each look.
    tick
        Seconds between two looks.
    """

    def __init__(
        self,
        running: Spooling,
        collector: Collector,
        reporter: Audience,
        seen: Callable[[Frame], object] | None = None,
        looked: Callable[[], object] | None = None,
        tick: float = TICK,
    ) -> None:
        self._running = running
        self._collector = collector
        self._reporter = reporter
        self._seen, self._looked, self._tick = seen, looked, tick
        self._reader = SpoolReader()
        self._offset = 0
        self._told: tuple[float | None, str] = (None, "")

    async def follow(self) -> None:
        """Until the process has ended and all it left is read."""
        ended = asyncio.ensure_future(self._running.wait())
        try:
            while not ended.done():
                await self.drain()
                await asyncio.wait({ended}, timeout=self._tick)
        finally:
            ended.cancel()
        await self.drain()

    async def drain(self) -> None:
        """Read what there is."""
        while data := self._running.read(self._offset, READ):
            self._offset += len(data)
            for frame in self._reader.feed(data):
                self._take(frame)
            await asyncio.sleep(0)
        if self._looked:
            self._looked()
        if self._told != self._collector.progress:
            self._told = self._collector.progress
            self._reporter.progress(*self._told)

    def _take(self, frame: Frame) -> None:
        for output in self._collector.feed(frame):
            self._reporter.output(output)
        if self._seen:
            self._seen(frame)


async def follow(
    running: Spooling,
    collector: Collector,
    reporter: Audience,
    seen: Callable[[Frame], object] | None = None,
    looked: Callable[[], object] | None = None,
    tick: float = TICK,
) -> None:
    """Read a process's spool every `tick` seconds until it has ended and everything is read."""
    await Follower(running, collector, reporter, seen, looked, tick).follow()
