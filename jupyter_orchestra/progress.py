"""Owns `jo.progress`: hands how far a task is to whoever listens; knows no task and no frame."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Sink = Callable[[float, str], None]

_of_context: ContextVar[Sink | None] = ContextVar("jupyter_orchestra_progress", default=None)
_of_process: Sink | None = None


def progress(fraction: float, note: str = "") -> None:
    """Say how far the running task is; outside a task it does nothing.

    Parameters
    ----------
    fraction
        From 0 (nothing done) to 1 (all done).
    note
        What is being done, shown beside the bar.

    Raises
    ------
    ValueError
        When `fraction` is not within 0 and 1.
    """
    done = float(fraction)
    if math.isnan(done) or not 0.0 <= done <= 1.0:
        raise ValueError(f"progress is a fraction from 0 to 1, not {fraction!r}; divide by the total")
    sink = _of_context.get() or _of_process
    if sink is not None:
        sink(done, str(note))


def listen(sink: Sink | None) -> None:
    """Send the progress of this whole process to `sink`; None: to nobody."""
    global _of_process
    _of_process = sink


@contextmanager
def listening(sink: Sink) -> Iterator[None]:
    """Send the progress of this context, and of the tasks and threads that copy it, to `sink`."""
    token = _of_context.set(sink)
    try:
        yield
    finally:
        _of_context.reset(token)
