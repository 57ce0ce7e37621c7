"""Owns one body on the notebook kernel's own loop, from first step to last; knows neither runtime nor journal."""

from __future__ import annotations
import __future__

import ast
import asyncio
import inspect
import linecache
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import Any

from ..core.model import Failure
from ..progress import Sink as ProgressSink
from ..progress import listening
from .loop_output import Catching, Sink
from .words import words

TEXT = 1000  # characters of the value's repr that go along with it
_FUTURES = reduce(or_, (getattr(__future__, name).compiler_flag for name in __future__.all_feature_names))


@dataclass
class Ending:
    """What a body came to. Values are live objects, pickles are what of them can be copied."""

    failure: Failure | None = None
    value: object = None
    pickle: bytes | None = None
    returned: dict[str, bytes] = field(default_factory=dict)
    text: str = ""
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True)
class Order:
    """What to run. ``inputs`` are references to the values that ``results`` holds."""

    name: str
    code: str
    returns: tuple[str, ...] = ()
    inputs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


class Body:
    """Runs once. ``begin`` and ``cancel`` may be called from any thread; `ended` is called on the kernel's."""

    def __init__(
        self,
        order: Order,
        sink: Sink,
        progress: ProgressSink,
        ended: Callable[[Ending], None],
    ) -> None:
        self._order = order
        self._sink = sink
        self._progress = progress
        self._ended = ended
        self._lock = threading.Lock()
        self._stopped = False
        self._begun = False
        self._task: asyncio.Task[Ending] | None = None

    def begin(
        self,
        loop: asyncio.AbstractEventLoop,
        shell: Any,
        catching: Catching,
    ) -> None:
        """Begin on the kernel's `loop` as soon as it turns, in a context of its own."""
        loop.call_soon_threadsafe(self._start, loop, shell, catching, context=Context())

    def cancel(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Stop at the next await; True: it had not begun, and never will."""
        with self._lock:
            self._stopped = True
            if not self._begun:
                return True
        loop.call_soon_threadsafe(self._cancel)
        return False

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _start(
        self,
        loop: asyncio.AbstractEventLoop,
        shell: Any,
        catching: Catching,
    ) -> None:
        with self._lock:
            if self._stopped:
                return
            self._begun = True
        self._sink.bind()
        catching.begin(shell)
        self._task = loop.create_task(self._run(shell), name=f"jupyter_orchestra loop task {self._order.name}")
        self._task.add_done_callback(lambda task: self._finish(task, catching))

    def _finish(self, task: asyncio.Task[Ending], catching: Catching) -> None:
        self._sink.close()
        catching.end()
        error = asyncio.CancelledError() if task.cancelled() else task.exception()  # cancelled: before its first step
        self._ended(task.result() if error is None else Ending(failure=_failure(error)))

    async def _run(self, shell: Any) -> Ending:
        """Let nothing through: SystemExit or KeyboardInterrupt out of a task would end the kernel's loop."""
        begun = time.monotonic()
        ending = Ending()
        try:
            with listening(self._progress):
                with self._inputs(shell.user_ns):
                    ending.value = await self._execute(shell)
                self._show(shell, ending)
                self._copy(shell.user_ns, ending)
        except BaseException as error:
            ending = Ending(failure=_failure(error))
            if not (self._stopped and isinstance(error, asyncio.CancelledError)):
                self._sink.error(type(error).__name__, words(error), _traceback(shell, error, self._file))
        ending.seconds = time.monotonic() - begun
        return ending

    @property
    def _file(self) -> str:
        return f"<task {self._order.name}>"

    @property
    def _results(self) -> str:
        return f"_results_{id(self):x}"

    @contextmanager
    def _inputs(self, namespace: dict[str, Any]) -> Iterator[None]:
        """Put the values of earlier tasks where the body finds them, without a word to the notebook's own `results`."""
        if not self._order.inputs:
            yield
            return
        from .inside_values import Results

        namespace[self._results] = Results(self._order.inputs)
        try:
            yield
        finally:
            namespace.pop(self._results, None)

    async def _execute(self, shell: Any) -> object:
        source: str = shell.transform_cell(self._order.code)
        linecache.cache[self._file] = (len(source), None, source.splitlines(keepends=True), self._file)
        tree = shell.transform_ast(ast.parse(source, self._file))
        if self._order.inputs:
            tree = _with_results(tree, self._results)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        # The notebook's `from __future__` imports hold here as well.
        flags = (getattr(shell.compile, "flags", 0) & _FUTURES) | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        parts = [compile(tree, self._file, "exec", flags, dont_inherit=True)]
        if last is not None:
            parts.append(compile(ast.Expression(last.value), self._file, "eval", flags, dont_inherit=True))
        value: Any = None
        for part in parts:
            value = eval(part, shell.user_ns)
            if part.co_flags & inspect.CO_COROUTINE:
                value = await value
        return value

    def _show(self, shell: Any, ending: Ending) -> None:
        if ending.value is None:
            return
        data, metadata = shell.display_formatter.format(ending.value)
        ending.text = str(data.get("text/plain", ""))[:TEXT]
        if data and not shell.displayhook.semicolon_at_end_of_expression(self._order.code):
            self._sink.result(data, metadata)

    def _copy(self, namespace: dict[str, Any], ending: Ending) -> None:
        from .inside_values import placeholder, why_not

        for name in self._order.returns:
            if name not in namespace:
                raise NameError(f"--return {name}: the task has made no variable {name!r}")
            try:
                ending.returned[name] = _pickled(namespace[name])
            except Exception as error:
                ending.notes.append(f"--return {name}: it is in this kernel only: {why_not(error)}")
        if ending.value is None:
            return
        try:
            ending.pickle = _pickled(ending.value)
        except Exception as error:
            ending.pickle = _pickled(placeholder(ending.value, error))
            ending.notes.append(f"the value is in this kernel only: {why_not(error)}")


def _with_results(tree: ast.Module, name: str) -> ast.Module:
    """The body with `name` for ``results``, unless it binds that name itself: the namespace is the notebook's own."""
    nodes = list(ast.walk(tree))
    bound = any(
        (isinstance(node, ast.Name) and node.id == "results" and not isinstance(node.ctx, ast.Load))
        or (isinstance(node, ast.arg) and node.arg == "results")
        or (isinstance(node, ast.alias) and (node.asname or node.name) == "results")
        for node in nodes
    )
    if not bound:
        for node in nodes:
            if isinstance(node, ast.Name) and node.id == "results":
                node.id = name
    return tree


def _pickled(value: object) -> bytes:
    import io

    from .pickling import Pickler

    file = io.BytesIO()
    Pickler(file).dump(value)
    return file.getvalue()


def _failure(error: BaseException) -> Failure:
    return Failure("exit" if isinstance(error, SystemExit) else "exception", type(error).__name__, words(error))


def _traceback(shell: Any, error: BaseException, file: str) -> list[str]:
    """The traceback as the notebook shows it, from the body's own first line on."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename != file:
        frames = frames.tb_next
    kind = type(error)
    try:
        if frames is None and isinstance(error, SyntaxError):
            return list(shell.SyntaxTB.structured_traceback(kind, error, []))
        if not isinstance(error, BaseExceptionGroup):  # IPython's own can't show these
            return list(shell.InteractiveTB.structured_traceback(kind, error, frames, tb_offset=0))
    except Exception:
        pass  # the plain form below is better than none
    return "".join(traceback.format_exception(kind, error, frames)).splitlines()
