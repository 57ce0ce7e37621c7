"""Asks what a task uses, on a person's behalf; it measures nothing and keeps nothing."""

from __future__ import annotations

import contextlib
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TYPE_CHECKING

from ..core.usage import TaskUsage, usage_of
from ..core.views import TaskView

if TYPE_CHECKING:
    from .client import Client

WITHIN = 1.0  # seconds that a cell waits for figures of now


def usage(client: Client, view: TaskView) -> TaskUsage | None:
    """What a task uses, of now where that can be had within 1 s; what was measured last once it has ended."""
    runtime, measured = client.runtime, None
    with contextlib.suppress(FutureTimeout, CancelledError):
        if not view.ended and (coming := client.measure()) is not None:
            coming.result(WITHIN)
    with contextlib.suppress(FutureTimeout, CancelledError):
        measured = runtime.on_loop(lambda: runtime.meter.measured(view.uid)).result(WITHIN)
    return usage_of(view, measured, runtime.now())
