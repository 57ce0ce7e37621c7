"""The worker for agents: language models that carry a brief out with tools; knows nothing of scheduling."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Final

from ..core.model import Failure, Kind
from ..core.ports import Failed, Job, Launcher, Outcome
from ..core.rights import role_of
from .agent_hands import CellReader, Hands
from .agent_tools import ROLES
from .agent_turns import ModelAccess, Turns
from .agent_voice import Voice
from .leaving import clean
from .safe_environment import safe_environment

STEPS: Final = 40  # replies of one agent


class AgentWorker:
    """Runs agents, any number side by side on one loop.

    Parameters
    ----------
    access
        The models that there are.
    launcher
        Starts what they run.
    slots
        Agents that may work at once.
    runtime
        The runtime's name, for programs that an agent starts (``ORCHESTRA_RUNTIME``).
    read_cell
        Gives a cell of the notebook by its id, as text; raises LookupError with words for the model. None: agents
        read no cells.
    steps
        Replies that an agent has at most.
    landlock_suffices
        Says whether what runs confined by Landlock needs no word of the person.
    """

    def __init__(
        self,
        access: ModelAccess,
        launcher: Launcher,
        slots: int = 8,
        *,
        runtime: str = "",
        read_cell: CellReader | None = None,
        steps: int = STEPS,
        landlock_suffices: Callable[[], bool] = lambda: False,
    ) -> None:
        self.kind = Kind("agent", slots, pausable=True, steerable=True, agent=True, resumable=True)
        self._access, self._launcher, self._read_cell, self._steps = access, launcher, read_cell, steps
        self._landlock_suffices = landlock_suffices
        self._environment = {"ORCHESTRA_RUNTIME": runtime} if runtime else {}
        self._running: dict[tuple[str, int], Turns] = {}

    def check(self, brief: str) -> str:
        """What is wrong with a brief, in one line."""
        return "" if brief.strip() else "the brief is empty: say below the %%dispatch line what the agent is to do"

    async def run(self, job: Job) -> Outcome:
        """Carry the brief out. Cancelled: breaks off the request, ends what runs and removes the workspace."""
        role = ROLES.get(role_of(job.spec))
        if role is None:
            message = f"there is no role {job.spec.role!r}: use {', '.join(ROLES)}"
            return clean(Failed(Failure("start", "UnknownRole", message)))
        voice = Voice(job)
        environment, suffices = self._environment_of(job), self._landlock_suffices()
        hands = Hands(job, role, self._launcher, environment, voice, self._read_cell, suffices)
        turns = Turns(job, role, self._access, hands, voice, self._steps)
        key = job.spec.uid, job.attempt
        self._running[key] = turns
        try:
            return clean(await turns.run())
        finally:
            del self._running[key]
            await asyncio.shield(asyncio.ensure_future(hands.end()))

    async def pause(self, job: Job) -> None:
        """Hold it before its next request; what it asked for before is still carried out."""
        if turns := self._running.get((job.spec.uid, job.attempt)):
            turns.pause()

    async def resume(self, job: Job) -> None:
        """Let it go on."""
        if turns := self._running.get((job.spec.uid, job.attempt)):
            turns.resume()

    async def steer(self, job: Job, text: str) -> None:
        """Hand it a message, which it reads with its next request."""
        if turns := self._running.get((job.spec.uid, job.attempt)):
            turns.steer(text)

    async def close(self) -> None:
        """Nothing is kept between tasks."""

    def _environment_of(self, job: Job) -> dict[str, str]:
        mine = {"ORCHESTRA_TASK": job.name, "ORCHESTRA_TASK_UID": job.spec.uid}
        return {**safe_environment(os.environ), **self._environment, **mine, **job.environment}
