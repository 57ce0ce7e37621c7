"""Waiting for a condition rather than for time, on a loop or in a thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

TURNS = 50  # of the loop before the first real sleep


async def settle(condition: Callable[[], T], timeout: float = 5.0, what: str = "") -> T:  # noqa: ASYNC109
    """Wait on the running loop until `condition` gives something true.

    Parameters
    ----------
    condition : callable
        Called between turns of the loop.
    timeout : float
        Seconds of the loop's own time.
    what : str
        What is waited for, for the error.

    Returns
    -------
    object
        What `condition` gave.

    Raises
    ------
    TimeoutError
        It gave nothing true in time.
    """
    loop = asyncio.get_running_loop()
    until, turns = loop.time() + timeout, 0
    while not (found := condition()):
        turns += 1
        if turns > TURNS and loop.time() >= until:
            raise TimeoutError(_complaint(condition, timeout, what))
        # A condition has no event to wait for, which is the point of this function.
        await asyncio.sleep(0 if turns <= TURNS else _pause(turns - TURNS, until - loop.time()))
    return found


def settle_sync(condition: Callable[[], T], timeout: float = 5.0, what: str = "") -> T:
    """Wait in the calling thread, as :func:`settle` does on a loop. Raises TimeoutError."""
    until, turns = time.monotonic() + timeout, 0
    while not (found := condition()):
        turns += 1
        if time.monotonic() >= until:
            raise TimeoutError(_complaint(condition, timeout, what))
        time.sleep(_pause(turns, until - time.monotonic()))
    return found


def _pause(turn: int, left: float) -> float:
    return max(0.0, min(0.0005 * turn, 0.02, left))


def _complaint(condition: Callable[[], object], timeout: float, what: str) -> str:
    return f"not within {timeout:g} s: {what or getattr(condition, '__qualname__', repr(condition))}"
