"""Gives each cell one number, however many shells run cells at once; it runs none and knows no task.

The kernel reads the shell's counter when it announces a cell, when it starts it, for each of its outputs and for its
reply. With a cell on a subshell beside it, each of these may find the counter of the other cell. Here a cell gets its
number when it is announced, and keeps it.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any


class _Request:
    """One execute request and the numbers of the cells that it ran (the last one is what IPython counts by)."""

    def __init__(self, reserved: int | None = None, mark: int = 0) -> None:
        self.reserved, self.begun = reserved, False
        self.mark = mark  # how many inputs the history held when it was announced
        self.last: int | None = None
        self.source = ""

    def take(self) -> int | None:
        """The number that it was announced with, once."""
        number, self.reserved = self.reserved, None
        return number


_request: ContextVar[_Request | None] = ContextVar("request", default=None)


class Numbering:
    """The numbers of one kernel's cells."""

    def __init__(self, kernel: Any) -> None:
        self._kernel, self._shell = kernel, kernel.shell
        self._lock = threading.RLock()
        self._reserved: set[int] = set()
        # of this thread: whether it holds the lock, its cell's number, what the counter shall read once that is taken
        self._own = threading.local()
        self._stored: list[int] = []  # the numbers of the inputs in the history, in the order in which they came

    def install(self) -> None:
        """Wrap what announces, starts, answers and records cells."""
        kernel, shell = self._kernel, self._shell
        kernel._publish_execute_input = self._announcing(kernel._publish_execute_input)
        kernel.do_execute = self._answering(kernel.do_execute)
        shell.run_cell_async = self._running(shell.run_cell_async)
        shell.history_manager.store_inputs = self._storing(shell.history_manager.store_inputs)
        shell.observe(self._counted, "execution_count")
        _number_outputs(type(shell.displayhook))

    def _announcing(self, announce: Any) -> Any:
        @functools.wraps(announce)
        def announcing(code: str, parent: dict[str, Any], execution_count: int) -> Any:
            content = parent.get("content", {})
            counts = bool(code.strip()) and content.get("store_history", True)
            mark = len(self._stored)
            number = self._reserve() if counts else None
            _request.set(_Request(number, mark))
            return announce(code, parent, execution_count if number is None else number)

        return announcing

    def _answering(self, execute: Any) -> Any:
        @functools.wraps(execute)
        async def answering(*args: Any, **kwargs: Any) -> Any:
            request = _request.get()
            if request is None or request.begun:  # a silent request is not announced
                request = _Request(mark=len(self._stored))
                _request.set(request)
            request.begun = True
            try:
                reply = await execute(*args, **kwargs)
            finally:
                with self._lock:
                    self._reserved.discard(request.take() or 0)
            if request.last is not None:
                reply["execution_count"] = request.last
            return reply

        return answering

    def _running(self, run: Any) -> Any:
        @functools.wraps(run)
        async def running(
            raw_cell: str, store_history: bool = False, silent: bool = False, *args: Any, **kwargs: Any
        ) -> Any:
            if silent or not store_history or not raw_cell or raw_cell.isspace():
                return await run(raw_cell, store_history, silent, *args, **kwargs)
            try:
                self._begin()
                return await run(raw_cell, store_history, silent, *args, **kwargs)
            finally:
                self._release()

        return running

    def _reserve(self) -> int:
        with self._lock:
            number = int(self._shell.execution_count)
            while number in self._reserved:
                number += 1
            self._reserved.add(number)
            return number

    def _begin(self) -> None:
        """Let the counter read this cell's number until the cell has taken it: `_counted` sees that."""
        own = self._own
        own.number = own.after = None
        own.holds = True  # said before it is so: an interrupt may come at any moment, and nobody else could let go
        self._lock.acquire()
        request = _request.get()
        number = (request.take() if request else None) or self._reserve()
        self._reserved.discard(number)
        if request is not None:
            request.last = number
        own.number, own.after = number, max(int(self._shell.execution_count), number + 1)
        self._shell.execution_count = number

    def _counted(self, change: Any) -> None:
        """The counter was raised: by the cell that this thread starts, or by somebody who need not care."""
        if change["new"] != getattr(self._own, "number", None):
            self._release()

    def _release(self) -> None:
        own = self._own
        if not getattr(own, "holds", False):
            return
        own.number = own.after
        if own.after is not None and self._shell.execution_count != own.after:
            self._shell.execution_count = own.after
        with contextlib.suppress(RuntimeError):  # interrupted before it was taken, or after it was let go
            self._lock.release()
        own.holds = False

    def _storing(self, store: Any) -> Any:
        history = self._shell.history_manager

        @functools.wraps(store)
        def storing(line_num: int, source: str, source_raw: str | None = None) -> None:
            request = _request.get()
            if request is not None and request.last == line_num:
                request.source = source
            with self._lock:
                before = len(history.input_hist_parsed)
                store(line_num, source, source_raw)
                if len(history.input_hist_parsed) > before:
                    self._place(line_num, history, len(self._stored) if request is None else request.mark)

        return storing

    def _place(self, number: int, history: Any, mark: int) -> None:
        """An input that comes after those of later cells goes before them: ``In[n]`` is what cell n was."""
        later = sum(other > number for other in self._stored[mark:])
        self._stored.append(number)
        for inputs in (history.input_hist_parsed, history.input_hist_raw) if later else ():
            inputs.insert(max(len(inputs) - 1 - later, 0), inputs.pop())


def _number_outputs(hook: Any) -> None:
    """An output bears its own cell's number, and is silenced by its own cell's semicolon."""
    count, quiet = hook.prompt_count, hook.quiet

    def prompt_count(self: Any) -> Any:
        request = _request.get()
        return request.last if request is not None and request.last is not None else count.fget(self)

    def is_quiet(self: Any) -> Any:
        request = _request.get()
        if request is not None and request.last is not None:
            return self.semicolon_at_end_of_expression(request.source)
        return quiet(self)

    hook.prompt_count, hook.quiet = property(prompt_count), is_quiet


def is_needed(kernel: Any) -> bool:
    """Whether a reply takes the counter as it stands when the cell ends: tried on a shell that only counts."""
    try:
        return bool(_reply_of(type(kernel).do_execute)["execution_count"] != 1)
    except Exception:  # it wants more than a shell that only counts: unknown, and the guard does no harm
        return True


def _reply_of(execute: Any) -> Any:
    result = SimpleNamespace(success=True, error_before_exec=None, error_in_exec=None, result=None, execution_count=1)
    shell = SimpleNamespace(
        execution_count=1, loop_runner=None, transform_cell=str, user_expressions=lambda wanted: {},
        payload_manager=SimpleNamespace(read_payload=list, clear_payload=lambda: None),
    )  # fmt: skip

    def run_cell(code: str, store_history: bool = True, silent: bool = False) -> Any:
        shell.execution_count += 2  # this cell, and one on another shell
        return result

    shell.run_cell = run_cell
    kernel = SimpleNamespace(
        shell=shell, _forward_input=lambda allow: None, _restore_input=lambda: None, log=None, ident="", int_id=0
    )
    running = execute(kernel, "1", False)
    try:
        running.send(None)
    except StopIteration as stop:
        return stop.value
    finally:
        running.close()
    raise RuntimeError("it waits")
