"""An agent that nothing confines: it says so, and runs until a file exists."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from jupyter_orchestra.core.model import Kind, Result
from jupyter_orchestra.core.ports import Finished, Job, Outcome


class BareAgent:
    """Implements :class:`jupyter_orchestra.core.ports.Worker`."""

    def __init__(self, launcher: Any) -> None:
        self.kind = Kind("bare", 4, pausable=False, agent=True)

    def check(self, brief: str) -> str:
        """Nothing is wrong with it."""
        return ""

    async def run(self, job: Job) -> Outcome:
        """Wait for the file that the brief names."""
        job.reporter.unsandboxed("bubblewrap: not found")
        while not Path(job.spec.brief.strip()).exists():  # noqa: ASYNC110, ASYNC240 - nobody tells of a file
            await asyncio.sleep(0.02)
        return Finished(Result(report="It is there."))

    async def pause(self, job: Job) -> None:
        """It has no pause."""

    async def resume(self, job: Job) -> None:
        """It has no pause."""

    async def steer(self, job: Job, text: str) -> None:
        """It takes no messages."""

    async def close(self) -> None:
        """Nothing is left to end."""
