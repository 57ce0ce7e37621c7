"""Owns calling what blocks in a thread, also as the interpreter ends and gives no threads any more; knows no tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(executor: Executor | None, act: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `act` gives, called in a thread of `executor` (None: the loop's own), or right here where that is shut."""
    try:
        work = asyncio.get_running_loop().run_in_executor(executor, lambda: act(*args, **kwargs))
    except RuntimeError:
        return act(*args, **kwargs)
    return await work


def submit(executor: Executor, act: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
    """Have `act` called in a thread of `executor`, or call it right here where that is shut."""
    try:
        executor.submit(act, *args, **kwargs)
    except RuntimeError:
        act(*args, **kwargs)
