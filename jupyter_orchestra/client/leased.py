"""Asks what is leased to whom, here and in other notebooks; it keeps nothing."""

from __future__ import annotations

import asyncio
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeout

from ..core.elsewhere import with_others
from ..core.resources import ResourceView, view_resources
from ..errors import ResourceError
from ..runtime import Runtime

WITHIN = 1.0  # seconds that a cell waits for what other notebooks hold


def leased(runtime: Runtime) -> tuple[ResourceView, ...]:
    """Each resource with its holders and its queue; those in other notebooks too when they are known within 1 s."""
    found = runtime.on_loop(lambda: view_resources(runtime.machine)).result(5.0)
    if runtime.keeper is None:
        return found
    others = asyncio.run_coroutine_threadsafe(runtime.keeper.others(), runtime.loop)
    try:
        return with_others(found, others.result(WITHIN))
    except (FutureTimeout, CancelledError, ResourceError, RuntimeError):
        others.cancel()
        return found
