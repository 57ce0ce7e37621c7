"""What is left of a process that nobody owns any more: its spool; it starts, signals and ends nothing."""

from __future__ import annotations

import signal
from pathlib import Path

from ..core.model import Process
from ..core.ports import Limits
from ..processes.launcher import read_spool


class Remains:
    """A process that is gone, for who reads what it has left."""

    left = lost = False
    killed_for = ""

    def __init__(self, process: Process, spool: Path) -> None:
        self.process = process
        self._spool = spool

    async def wait(self) -> int:
        """It has ended, nobody saw how."""
        return -signal.SIGKILL

    def signal(self, number: int) -> None:
        """Nothing: it is gone."""

    async def settle(self) -> None:
        """Nothing is on its way."""

    def keep(self, lease: str) -> None:
        """Nothing: it is gone."""

    def limit(self, limits: Limits) -> None:
        """Nothing: it is gone."""

    async def end(self) -> None:
        """It has ended."""

    def read(self, offset: int, size: int = 1 << 20) -> bytes:
        """Up to `size` bytes of its spool from `offset`."""
        return read_spool(self._spool, offset, size)
