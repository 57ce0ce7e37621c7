"""Builds the master of one kernel: its models, its desk, its agents; part of the composition root."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, cast

from .client.client import Client
from .config import Orchestra
from .core import events as e
from .core.model import TIERS
from .errors import OrchestraError, UsageError
from .notebook.context import CellContext
from .notebook.recorder import Recorder
from .notebook.replies import Replies

if TYPE_CHECKING:
    from .master.turns import Master
    from .models.access import Access, Chosen
    from .models.discovery import Config, Found
    from .models.endpoint import Endpoint, Wire
    from .models.pressure import Pressures
    from .models.values import Model
    from .runtime import Runtime

RULES = "the rules planner (deterministic; no model)"
ROLES = {
    "explorer": "reads the project, writes into a scratch folder, runs nothing, never asks",
    "default": "writes and runs in a copy of the project, and asks you before each",
    "worker": "writes and runs in a copy of the project; asks you for the network, or where nothing confines it",
}
PATIENCE = 10.0  # seconds that a cell waits for what is found


class Conversing:
    """The conversation's side of the composition root.

    Parameters
    ----------
    announce
        Told, on the runtime's loop, who answers, in one line.
    """

    def __init__(
        self,
        config: Orchestra,
        client: Client,
        context: CellContext,
        replies: Replies,
        announce: Callable[[str], None],
    ) -> None:
        self._config, self._client, self._context, self._replies = config, client, context, replies
        self._announce, self._who = announce, ""
        self._access: Access | None = None
        self._pressures: Pressures | None = None
        self.recorder = Recorder()
        config.observe(
            self._on_settings, [f"{tier}_model" for tier in TIERS] + ["base_url", "api_key_env", "wire", "window"]
        )

    # on the runtime's thread

    def access(self) -> Access:
        """The models, for whoever needs one."""
        if self._access is None:
            from .models.access import Access
            from .models.pressure import Pressures

            self._pressures = Pressures(
                lambda tier: self.tiers().get(tier, 0),
                self._on_pressure,
                time.monotonic,
                asyncio.get_running_loop().call_later,
            )
            self._access = Access(self._discover, _connect, self._pressures)
        return self._access

    def master(self, namespace: dict[str, Any]) -> Master:
        """The master."""
        from .master.turns import Master
        from .notebook.desk import NotebookDesk

        desk = NotebookDesk(
            self._client, self._context, self.recorder, namespace, self._choose, self._replies.say, lambda: self._who
        )
        self._client.conversation_so_far = desk.said_so_far
        return Master(desk)

    async def read_cell(self, cell: str) -> str:
        """A cell that the person ran. Raises LookupError for one that is not to be read."""
        from .models.keys import hide_keys

        return hide_keys(self.recorder.read(cell), os.environ)

    def tiers(self) -> dict[str, int]:
        """How many agents of each tier run at once."""
        return {tier: getattr(self._config, f"{tier}_slots") for tier in TIERS}

    def _on_pressure(self, tier: str, slots: int) -> None:
        """Fewer requests at once while a model refuses or fails, and more again afterwards."""
        runtime = self._client.runtime
        runtime.post(e.TiersDeclared(runtime.now(), {**self.tiers_now(), tier: slots}))

    def tiers_now(self) -> dict[str, int]:
        """The same while a model that refuses or fails is pressed less."""
        pressures = self._pressures
        return {tier: usual if pressures is None else pressures.slots(tier) for tier, usual in self.tiers().items()}

    async def _choose(self, tier: str, model: str) -> Chosen | None:
        if self._config.master == "rules":
            self._tell(f"master: {RULES}")
            return None
        return await self.access().choose(tier, model)

    def settings(self) -> Config:
        """What the person has set of the models. Any thread."""
        from .models.discovery import Config

        settings = self._config
        return Config(
            base_url=settings.base_url,
            key_env=settings.api_key_env,
            models={tier: name for tier in TIERS if (name := getattr(settings, f"{tier}_model"))},
            wire=cast("Wire", settings.wire),
            window=settings.window,
        )

    async def _discover(self) -> Found:
        from .models.discovery import discover

        found = await discover(self.settings(), os.environ)
        self._tell(found.line)
        return found

    def _tell(self, line: str) -> None:
        if line != self._who:
            self._who = line
            self._announce(line)

    # in a cell

    def model(self, words: list[str], runtime: Runtime) -> str:
        """What ``%orchestra model`` answers. Raises UsageError for what can't be set."""
        for word in words:
            name, sign, value = word.partition("=")
            if word == "rules" or word == "auto":
                self._config.master = word
            elif not sign or name not in (*TIERS, "url"):
                raise UsageError(f"%orchestra model takes fast=, standard=, strong=, url=, rules or auto, not {word!r}")
            else:
                setattr(self._config, "base_url" if name == "url" else f"{name}_model", value)
                self._config.master = "auto"
        if self._config.master == "rules":
            return f"master: {RULES}"
        answer = self._look(runtime)
        tiers = answer.endpoint.tiers if answer.endpoint is not None else {}
        return "\n".join([answer.line, *(f"{tier}: {tiers.get(tier, 'not set')}" for tier in TIERS if tiers)])

    def agents(self, runtime: Runtime) -> str:
        """Which agents there are, and what answers for them."""
        found = self._look(runtime)
        answers = found.line if found.endpoint is not None else "no model: an agent can't work before one is connected"
        lines = [f"agent: a language model with the tools of its role ({answers})"]
        lines += [f"  -r {role}: {what}" for role, what in ROLES.items()]
        if found.agents:
            lines.append(f"installed, not used by this version: {', '.join(found.agents)}")
        return "\n".join(lines)

    def _look(self, runtime: Runtime) -> Found:
        found: Future[Found] = asyncio.run_coroutine_threadsafe(self.access().found(), runtime.loop)
        try:
            return found.result(PATIENCE)
        except TimeoutError:
            raise OrchestraError("still looking for models: try again in a moment") from None

    def _on_settings(self, change: Any) -> None:
        if self._access is not None:
            self._access.renew()


def _connect(endpoint: Endpoint) -> Model:
    from .models.client import EndpointClient

    return EndpointClient(endpoint)
