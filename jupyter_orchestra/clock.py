"""The time by which a runtime works; it knows nothing else."""

from __future__ import annotations

import time


class Clock:
    """POSIX seconds that never go backwards while the process lives."""

    def __init__(self) -> None:
        self._start, self._mark = time.time(), time.monotonic()

    def __call__(self) -> float:
        return self._start + (time.monotonic() - self._mark)
