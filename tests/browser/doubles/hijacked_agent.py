"""An agent that was talked into writing whatever its brief says: the report is the brief."""

from __future__ import annotations

from typing import Any

from jupyter_orchestra.core.model import Kind, Result
from jupyter_orchestra.core.ports import Finished, Job, Outcome


class HijackedAgent:
    """Implements :class:`jupyter_orchestra.core.ports.Worker`."""

    def __init__(self, launcher: Any) -> None:
        self.kind = Kind("hijacked", 4, pausable=False, agent=True)

    def check(self, brief: str) -> str:
        """Nothing is wrong with it."""
        return ""

    async def run(self, job: Job) -> Outcome:
        """Report the brief."""
        return Finished(Result(report=job.spec.brief))

    async def pause(self, job: Job) -> None:
        """It is over before anybody could."""

    async def resume(self, job: Job) -> None:
        """It is over before anybody could."""

    async def steer(self, job: Job, text: str) -> None:
        """It does not listen."""

    async def close(self) -> None:
        """Nothing is left to end."""
