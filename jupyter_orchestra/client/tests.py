"""One run of the project's tests, as the person's code sees it; it starts none, and knows no lease."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeout
from queue import SimpleQueue
from time import monotonic

from ..core.ports import RunsTests
from ..core.report import TestReport
from ..errors import GatherTimeout, LeaseLost
from .request import patience

TICK = 0.1  # seconds between two looks, so that an interrupt works at once
OVER = "the tests were ended with their lease: run them inside its with block"


class TestRun:
    """A run that goes on. Awaitable; :meth:`get` waits where nothing can be awaited.

    Its lines are shown while somebody waits for it, in the cell of the one who waits.
    """

    __test__ = False  # pytest itself takes it for tests

    def __init__(
        self,
        tests: RunsTests,
        loop: asyncio.AbstractEventLoop,
        arguments: tuple[str, ...],
        show: Callable[[str], object],
    ) -> None:
        self._lines: SimpleQueue[str] = SimpleQueue()
        self._show = show
        self._run: Future[TestReport] = asyncio.run_coroutine_threadsafe(tests.run(arguments, self._take), loop)

    def get(self, timeout: float | str | None = None) -> TestReport:
        """What the run came to, once it has ended.

        Parameters
        ----------
        timeout
            Seconds to wait (texts such as ``"5m"`` are understood); None waits as long as it takes.

        Raises
        ------
        ResourceError
            When no command is known by which the tests are run, or it can't be started.
        LeaseLost
            When they were ended with their lease.
        GatherTimeout
            When they have not ended in time; they run on.
        """
        seconds = patience(timeout)
        until = None if seconds is None else monotonic() + seconds
        while True:
            try:
                self._run.exception(TICK)
            except FutureTimeout:
                self._tell()
                if until is not None and monotonic() > until:
                    raise GatherTimeout(f"the tests have not ended within {seconds:g} s: they run on") from None
            except CancelledError:
                break
            else:
                break
        return self._report()

    def ready(self) -> bool:
        """Whether it has ended."""
        return self._run.done()

    def cancel(self) -> None:
        """End it."""
        self._run.cancel()

    def __await__(self) -> Generator[object, None, TestReport]:
        return self._awaited().__await__()

    async def _awaited(self) -> TestReport:
        over = asyncio.wrap_future(self._run)
        try:
            while not over.done():
                await asyncio.wait({over}, timeout=TICK)
                self._tell()
        except BaseException:  # who no longer waits for it wants it no longer
            self._run.cancel()
            raise
        if not over.cancelled():
            over.exception()
        return self._report()

    def _report(self) -> TestReport:
        self._tell()
        try:
            return self._run.result(0)
        except CancelledError:
            raise LeaseLost(OVER) from None

    def _take(self, lines: list[str]) -> None:
        """On the runtime's loop."""
        for line in lines:
            self._lines.put(line)

    def _tell(self) -> None:
        while not self._lines.empty():
            self._show(self._lines.get_nowait())
