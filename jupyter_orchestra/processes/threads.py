"""Owns calling what blocks in a thread, also as the interpreter ends and gives no threads any more; knows no tasks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Apart(Executor):
    """A thread for each call, that no process waits for at its end: what never comes back is in nobody's way."""

    def submit(self, act: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have it called."""
        future: Future[T] = Future()
        work = partial(_work, future, partial(act, *args, **kwargs))
        threading.Thread(target=work, name="jo-apart", daemon=True).start()
        return future


APART: Final = Apart()  # it keeps nothing, so that one is enough


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


def _work(future: Future[T], act: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(act())
    except BaseException as error:
        future.set_exception(error)
