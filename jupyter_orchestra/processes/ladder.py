"""How a running tree is asked to end, ever less gently; knows no tasks."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable

from ..core.ports import Running

STEPS = ((signal.SIGINT, 2.0), (signal.SIGTERM, 3.0))  # signal, and seconds before the next one; then SIGKILL


async def end_gently(running: Running, *, interrupted: Awaitable[object] | None = None) -> None:
    """Interrupt (0 s), terminate (2 s), kill (5 s) a tree; the rest of it is killed as soon as its work has stopped.

    `interrupted` is done when the work has stopped though the process lives on, as in a kernel. Cancelled meanwhile:
    kills at once.
    """
    stops = {asyncio.ensure_future(running.wait())}
    if interrupted is not None:
        stops.add(asyncio.ensure_future(_quiet(interrupted)))
    try:
        for number, patience in STEPS:
            running.signal(number)
            running.signal(signal.SIGCONT)  # what is paused can't act on the other one
            done, _ = await asyncio.wait(stops, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            if done:
                break
    finally:
        for stop in stops:
            stop.cancel()
        await asyncio.shield(asyncio.ensure_future(running.end()))


async def _quiet(awaitable: Awaitable[object]) -> int:
    await asyncio.wait({asyncio.ensure_future(awaitable)})
    return 0
