"""An agent that asks before each line of its brief, says what it was told, and takes messages."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

from jupyter_orchestra.core.model import Ask, Kind, Result
from jupyter_orchestra.core.ports import Finished, Job, Outcome


class AskingAgent:
    """Implements :class:`jupyter_orchestra.core.ports.Worker`."""

    def __init__(self, launcher: Any) -> None:
        self.kind = Kind("asking", 4, pausable=False, steerable=True, agent=True)
        self._said: dict[str, asyncio.Event] = {}

    def check(self, brief: str) -> str:
        """Nothing is wrong with it."""
        return ""

    async def run(self, job: Job) -> Outcome:
        """Ask, then report the answers; a line that begins with a tilde waits for a message instead."""
        answers = []
        for number, line in enumerate(job.spec.brief.splitlines()):
            if line.startswith("~"):
                await self._said.setdefault(job.spec.uid, asyncio.Event()).wait()
                continue
            detail = line.replace(r"\n", "\n")
            ask = Ask(
                f"ask-{number}", f"run: {detail.splitlines()[0]}", detail, hashlib.sha256(line.encode()).hexdigest()
            )
            verdict = await job.reporter.ask(ask)
            answers.append(f"- {line}: {'yes' if verdict.approved else 'no'} {verdict.why}")
            job.reporter.output(
                {"output_type": "display_data", "data": {"text/markdown": f"**asked** {line}"}, "metadata": {}}
            )
        return Finished(Result(report="\n".join(answers)))

    async def pause(self, job: Job) -> None:
        """It has no pause."""

    async def resume(self, job: Job) -> None:
        """It has no pause."""

    async def steer(self, job: Job, text: str) -> None:
        """It goes on."""
        job.reporter.progress(0.5, f"told: {text}")
        self._said.setdefault(job.spec.uid, asyncio.Event()).set()

    async def close(self) -> None:
        """Nothing is left to end."""
