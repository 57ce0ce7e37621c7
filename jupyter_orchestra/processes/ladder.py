"""How a running tree is asked to end, ever less gently; knows no tasks."""

from __future__ import annotations

import asyncio
import signal
from asyncio import FIRST_COMPLETED
from collections.abc import Awaitable
from typing import Protocol, runtime_checkable

from ..core.ports import Running

STEPS = ((signal.SIGINT, 2.0), (signal.SIGTERM, 3.0))  # signal, and seconds before the next one; then SIGKILL


@runtime_checkable
class Climbing(Protocol):
    """What goes down this ladder by itself, also when this process is gone meanwhile."""

    def climb_down(self) -> None:
        """Begin."""


async def end_gently(running: Running, *, interrupted: Awaitable[object] | None = None) -> None:
    """Interrupt (0 s), terminate (2 s), kill (5 s) a tree; the rest of it is killed as soon as its work has stopped.

    `interrupted` is done when the work has stopped though the process lives on, as in a kernel. Cancelled meanwhile:
    kills at once.
    """
    if running.left:
        return
    stops = {asyncio.ensure_future(running.wait())}
    if interrupted is not None:
        stops.add(asyncio.ensure_future(_quiet(interrupted)))
    try:
        if isinstance(running, Climbing):
            running.climb_down()
            await asyncio.wait(stops, timeout=sum(patience for _, patience in STEPS), return_when=FIRST_COMPLETED)
            return
        for number, patience in STEPS:
            running.signal(number)
            running.signal(signal.SIGCONT)  # what is paused can't act on the other one
            done, _ = await asyncio.wait(stops, timeout=patience, return_when=FIRST_COMPLETED)
            if done:
                break
    finally:
        for stop in stops:
            stop.cancel()
        await asyncio.shield(asyncio.ensure_future(running.end()))


async def _quiet(awaitable: Awaitable[object]) -> int:
    await asyncio.wait({asyncio.ensure_future(awaitable)})
    return 0
