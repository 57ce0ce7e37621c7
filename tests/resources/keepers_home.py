"""What a keeper of leases needs around it, with a clock that stands still; what it posts is noted, and nobody acts."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.machine import Machine

NOW = 1_000.0


class Home:
    """A runtime that only listens."""

    def __init__(self) -> None:
        self.machine = Machine()
        self.posted: list[e.Event] = []

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    def now(self) -> float:
        return NOW

    def post(self, event: e.Event) -> None:
        self.posted.append(event)

    def ask(self, event: e.Asked) -> Future[e.Answer]:
        raise AssertionError(event)

    def new_request(self) -> str:
        return "request"
