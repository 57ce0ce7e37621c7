"""An event loop on which time costs nothing, the order of tasks is drawn from a seed, and a deadlock is an error."""

from __future__ import annotations

import asyncio
import heapq
import random
import selectors
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast

T = TypeVar("T")

QUIET = 0.02  # real seconds without a word from a thread, after which virtual time goes on


class Deadlock(AssertionError):
    """Nothing is ready, nothing is scheduled, and yet somebody waits. Lists the tasks that do, and where."""


class SeededLoop(asyncio.SelectorEventLoop):
    """A selector loop with virtual time.

    Tasks that are ready at the same moment take their steps in an order drawn from `seed`; callbacks of the loop
    (``call_soon``) keep theirs, as asyncio promises. When nothing is ready, time jumps to the next timer.

    Parameters
    ----------
    seed : int
        Another seed, another order; the same seed, the same order (unless threads take part).
    start : float
        What :meth:`time` gives at first, in seconds.
    allow_threads : bool
        Whether real threads, sockets or processes may wake the loop. If so, time jumps only after they were quiet for
        0.02 real seconds, or when no job of an executor is under way, and a deadlock counts after `patience`.
    patience : float
        Real seconds to wait for a thread before that is called a deadlock.
    """

    def __init__(
        self, seed: int = 0, *, start: float = 0.0, allow_threads: bool = False, patience: float = 10.0
    ) -> None:
        self._virtual, self._order = start, random.Random(seed)
        self.allow_threads, self._patience = allow_threads, patience
        self._jobs = 0  # of executors, under way
        super().__init__(selectors.DefaultSelector())

    def time(self) -> float:
        """Virtual seconds."""
        return self._virtual

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        """As in asyncio; time stands still while the job is under way."""
        future = cast("asyncio.Future[T]", super().run_in_executor(executor, func, *args))
        self._jobs += 1
        future.add_done_callback(self._job_done)
        return future

    def _job_done(self, future: asyncio.Future[Any]) -> None:
        self._jobs -= 1

    # What follows leans on asyncio's own (unchanged since 3.4): _ready, _scheduled, _run_once.

    def _run_once(self) -> None:
        loop = cast("Any", self)
        self._drop_cancelled_timers(loop)
        if not loop._ready and not loop._stopping:
            self._wait(loop)
        self._shuffle(loop._ready)
        cast("Any", super())._run_once()

    def _wait(self, loop: Any) -> None:
        if self.allow_threads and self._hear(loop, QUIET if loop._scheduled and not self._jobs else self._patience):
            return
        if not loop._scheduled or (self.allow_threads and self._jobs):
            raise Deadlock(self._who_waits())
        self._virtual = max(self._virtual, loop._scheduled[0].when())

    def _hear(self, loop: Any, seconds: float) -> bool:
        """Wait for threads and files in real time; whether they made anything ready."""
        until = time.monotonic() + seconds
        while not loop._ready and (left := until - time.monotonic()) > 0:
            loop._process_events(loop._selector.select(left))
        return bool(loop._ready)

    def _shuffle(self, ready: deque[asyncio.Handle]) -> None:
        places = [place for place, handle in enumerate(ready) if _is_step(handle)]
        if len(places) < 2:
            return
        handles = [ready[place] for place in places]
        self._order.shuffle(handles)
        for place, handle in zip(places, handles, strict=True):
            ready[place] = handle

    @staticmethod
    def _drop_cancelled_timers(loop: Any) -> None:
        while loop._scheduled and loop._scheduled[0].cancelled():
            handle = heapq.heappop(loop._scheduled)
            handle._scheduled = False
            loop._timer_cancelled_count -= 1

    def _who_waits(self) -> str:
        lines = [f"nothing is scheduled any more at {self._virtual:g} s, and these wait for ever:"]
        for task in sorted(asyncio.all_tasks(self), key=lambda task: task.get_name()):
            frames = task.get_stack(limit=1)
            where = f" at {frames[0].f_code.co_filename}:{frames[0].f_lineno}" if frames else ""
            lines.append(f"  {task.get_name()}{where}")
        return "\n".join(lines)


def _is_step(handle: asyncio.Handle) -> bool:
    callback = getattr(handle, "_callback", None)
    return isinstance(getattr(callback, "__self__", None), asyncio.Task)


def run(
    main: Coroutine[Any, Any, T],
    seed: int = 0,
    *,
    start: float = 0.0,
    allow_threads: bool = False,
    patience: float = 10.0,
) -> T:
    """Run `main` on a fresh :class:`SeededLoop` and close it; what still runs then is cancelled.

    Parameters
    ----------
    main : coroutine
        What to run.
    seed, start, allow_threads, patience
        As in :class:`SeededLoop`.

    Returns
    -------
    object
        What `main` returned.

    Raises
    ------
    Deadlock
        `main` waits for what can never come.

    Examples
    --------
    >>> async def sleep_long():
    ...     await asyncio.sleep(3600)
    ...     return asyncio.get_running_loop().time()
    >>> run(sleep_long())
    3600.0
    """
    loop = SeededLoop(seed, start=start, allow_threads=allow_threads, patience=patience)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        try:
            return runner.run(main)
        finally:
            loop.allow_threads = True  # the default executor ends through a thread
