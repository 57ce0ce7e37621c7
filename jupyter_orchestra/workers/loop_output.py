"""Owns catching what one task on the notebook's own loop puts out, and nothing that others do; knows no task.

What runs for a task carries its sink in a context variable, which its awaits, tasks and ``to_thread`` calls copy. While
any task runs, the methods through which all output goes are shadowed on the instances that are there (streams, display
publisher, shell): a write with a sink in its context goes to it, any other goes the way it went before. The objects
stay the same, so handlers of logging that hold them are caught too.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextvars import ContextVar
from types import CellType, FunctionType
from typing import Any, Protocol

from ..processes.spool import Frame
from .words import words

_sink: ContextVar[Sink | None] = ContextVar("jupyter_orchestra_loop_output", default=None)

_ORIGINAL = "_jupyter_orchestra_original"  # marks a shadow


class Sink:
    """Where one task's output goes, as frames. Any thread may write."""

    def __init__(self, put: Callable[[Frame], None]) -> None:
        self._put = put
        self.open = True

    def bind(self) -> None:
        """Take what this context puts out from now on."""
        _sink.set(self)

    def close(self) -> None:
        """Take nothing more: what the task left running goes the ordinary way."""
        self.open = False

    def stream(self, name: str, text: str) -> None:
        self._put(Frame(name, {}, text.encode("utf-8", "replace")))

    def display(self, data: Any, metadata: Any, transient: Any, update: bool) -> None:
        content = {"output_type": "display_data", "data": data, "metadata": metadata or {}}
        self._send("update_display" if update else "display", content, id=(transient or {}).get("display_id"))

    def result(self, data: Any, metadata: Any) -> None:
        """The value of the last expression."""
        content = {"output_type": "execute_result", "execution_count": None, "data": data, "metadata": metadata or {}}
        self._send("display", content)

    def error(self, name: str, value: str, traceback: list[str]) -> None:
        self._send("error", {"ename": name, "evalue": value, "traceback": traceback})

    def clear(self, wait: bool) -> None:
        self._put(Frame("clear", {"wait": wait}, b""))

    def _send(self, kind: str, content: dict[str, Any], **fields: Any) -> None:
        from ipykernel.jsonutil import json_clean

        self._put(Frame(kind, fields, json.dumps(json_clean(content)).encode()))


class Shell(Protocol):
    """What is used of IPython's shell here."""

    display_pub: Any


class Catching:
    """The shadowed methods, there while any task runs. For the notebook kernel's thread alone."""

    def __init__(self) -> None:
        self._users = 0
        self._shadows: list[tuple[Any, str, Any, Any]] = []

    def begin(self, shell: Shell) -> None:
        """One task more. What has been replaced since the last one (a redirected stdout) is shadowed as well."""
        self._users += 1
        for name in ("stdout", "stderr"):
            self._shadow(getattr(sys, name), "write", _write(name))
        self._shadow(shell.display_pub, "publish", _publish)
        self._shadow(shell.display_pub, "clear_output", _clear)
        self._shadow(shell, "_showtraceback", _show_traceback)

    def end(self) -> None:
        """One task less."""
        self._users -= 1
        if self._users:
            return
        for target, name, shadow, before in self._shadows:
            found, cell = _lowest(target, name)
            if found is not shadow:
                continue  # someone has put another one over it; by itself it only passes on
            if cell is not None:
                cell.cell_contents = getattr(shadow, _ORIGINAL)
            elif before is None:
                delattr(target, name)
            else:
                setattr(target, name, before)
        self._shadows.clear()

    def _shadow(self, target: Any, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        before, cell = _lowest(target, name)
        original = getattr(target, name, None) if before is None else before
        if original is None or hasattr(before, _ORIGINAL):
            return  # ours is there
        shadow: Any = make(original)
        setattr(shadow, _ORIGINAL, original)
        if cell is not None:
            cell.cell_contents = shadow
        else:
            try:
                setattr(target, name, shadow)
            except AttributeError:
                return  # a stream that takes no attributes, such as a plain one of C
        self._shadows.append((target, name, shadow, before))


def _lowest(target: Any, name: str) -> tuple[Any, CellType | None]:
    """The instance's own method, below what IPython puts over it for the time of a cell, and the cell that holds it.

    IPython's ``run_cell`` shadows ``write`` as well, and at its end puts back what it found: what came over it since
    would be lost, and what went meanwhile would come back. So ours goes below it.
    """
    found = getattr(target, "__dict__", {}).get(name)
    cell: CellType | None = None
    while isinstance(found, FunctionType) and found.__qualname__.endswith("_tee.<locals>.write"):
        variables = dict(zip(found.__code__.co_freevars, found.__closure__ or (), strict=True))
        if "original_write" not in variables:
            break
        cell = variables["original_write"]
        found = cell.cell_contents
    return found, cell


def _current() -> Sink | None:
    sink = _sink.get()
    return sink if sink is not None and sink.open else None


def _write(stream: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def write(text: str) -> Any:
            sink = _current()
            if sink is None:
                return original(text)
            if not isinstance(text, str):
                raise TypeError(f"write() argument must be str, not {type(text).__name__}")
            sink.stream(stream, text)
            return len(text)

        return write

    return make


def _publish(original: Callable[..., Any]) -> Callable[..., Any]:
    def publish(data: Any, metadata: Any = None, *args: Any, **options: Any) -> Any:
        sink = _current()
        if sink is None:
            return original(data, metadata, *args, **options)
        return sink.display(data, metadata, options.get("transient"), bool(options.get("update")))

    return publish


def _clear(original: Callable[..., Any]) -> Callable[..., Any]:
    def clear_output(wait: bool = False) -> Any:
        sink = _current()
        return original(wait=wait) if sink is None else sink.clear(bool(wait))

    return clear_output


def _show_traceback(original: Callable[..., Any]) -> Callable[..., Any]:
    def show(kind: Any, value: Any, lines: Any) -> Any:
        sink = _current()
        return original(kind, value, lines) if sink is None else sink.error(kind.__name__, words(value), list(lines))

    return show
