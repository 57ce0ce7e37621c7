"""Owns waiting: for files, signals of children and times, in one thread; knows nothing of what it waits for.

asyncio would do, at three times the memory and start of the whole supervisor.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from itertools import count
from types import FrameType

READ, WRITE = select.EPOLLIN, select.EPOLLOUT
WAKING = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Timer:
    """Something to be done at a time."""

    def __init__(self, act: Callable[[], None]) -> None:
        self.act: Callable[[], None] | None = act

    def cancel(self) -> None:
        """Don't."""
        self.act = None


class Loop:
    """Runs until `stop`. An error in what it calls is written to stderr and ends nothing."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._files: dict[int, Callable[[int], None]] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._numbers = count()
        self._running = True
        self.on_signal: Callable[[set[int]], None] = lambda numbers: None
        self._wake = _wake_on_signals()
        self.watch(self._wake, READ, self._signalled)

    def watch(self, file: int, events: int, act: Callable[[int], None]) -> None:
        """Call `act` with the events whenever one of them has come."""
        if file in self._files:
            self._poll.modify(file, events)
        else:
            self._poll.register(file, events)
        self._files[file] = act

    def unwatch(self, file: int) -> None:
        """Don't any more."""
        if self._files.pop(file, None) is not None:
            with contextlib.suppress(OSError):
                self._poll.unregister(file)

    def after(self, seconds: float, act: Callable[[], None]) -> Timer:
        """Call `act` once, in so many seconds."""
        timer = Timer(act)
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._numbers), timer))
        return timer

    def stop(self) -> None:
        """Come back from `run`."""
        self._running = False

    def run(self) -> None:
        """Wait and call."""
        while self._running:
            for file, events in self._poll.poll(self._patience()):
                if (act := self._files.get(file)) is not None:
                    guarded(act, events)
            now = time.monotonic()
            while self._timers and self._timers[0][0] <= now:
                _, _, timer = heapq.heappop(self._timers)
                if timer.act is not None:
                    guarded(timer.act)

    def _patience(self) -> float:
        while self._timers and self._timers[0][2].act is None:
            heapq.heappop(self._timers)
        return max(self._timers[0][0] - time.monotonic(), 0.0) if self._timers else -1.0

    def _signalled(self, events: int) -> None:
        self.on_signal(set(os.read(self._wake, 4096)))


def guarded(act: Callable[..., None], *args: object) -> None:
    """Call `act`; an error is written down and does no more harm."""
    try:
        act(*args)
    except Exception:
        traceback.print_exc(file=sys.stderr)


def _wake_on_signals() -> int:
    wake, end = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(end, False)
    signal.set_wakeup_fd(end, warn_on_full_buffer=False)
    for number in WAKING:
        signal.signal(number, _nothing)  # not SIG_IGN: a child would inherit that
    return wake


def _nothing(number: int, frame: FrameType | None) -> None:
    pass
