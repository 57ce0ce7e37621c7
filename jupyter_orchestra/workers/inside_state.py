"""Owns what a task must not leave to the next one in its kernel: puts back what it can, and says when it can't."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import site
import sys
import sysconfig
import threading
import warnings
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Final

_INTERPRETER: Final = tuple(
    {
        os.path.join(os.path.realpath(folder), "")
        for folder in (*sysconfig.get_paths().values(), *site.getsitepackages(), site.getusersitepackages())
        if folder and folder not in (sys.prefix, sys.exec_prefix)
    }
)
_STREAMS: Final = ("stdin", "stdout", "stderr", "displayhook", "excepthook")


class Baseline:
    """The state of this process before its first task."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._cwd = os.getcwd()
        self._path = list(sys.path)
        self._environment = dict(os.environ)
        self._argv = list(sys.argv)
        self._filters = list(warnings.filters)
        self._streams = {name: getattr(sys, name) for name in _STREAMS}
        self._handlers = {number: signal.getsignal(number) for number in _catchable()}
        self._limits = _limits()
        self._logging = (logging.root.level, list(logging.root.handlers), logging.root.manager.disable)
        self._threads = set(threading.enumerate())
        self._extensions = set(shell.extension_manager.loaded)
        self._modules = set(sys.modules)
        self._awaiting: set[asyncio.Task[Any]] = set()
        self._left = ""

    def begin(self, cwd: str, path: list[str], environment: Mapping[str, str | None]) -> None:
        """Set the place of a task."""
        self._awaiting = asyncio.all_tasks()  # those that carry its request
        if path:
            sys.path[:] = path
        for name, value in environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        random.seed()
        numpy_random = sys.modules.get("numpy.random")
        if numpy_random is not None:
            numpy_random.seed()
        if cwd:
            os.chdir(cwd)

    def restore(self) -> str:
        """Put everything back; what of the task stays behind all the same, empty when nothing does."""
        self._left = self._left or self._put_back() or self._left_behind()
        return self._left

    def _put_back(self) -> str:
        for name, stream in self._streams.items():
            if getattr(sys, name) is not stream:
                setattr(sys, name, stream)
        os.chdir(self._cwd)
        if sys.path != self._path:
            sys.path[:] = self._path
        if dict(os.environ) != self._environment:
            self._put_environment_back()
        sys.argv[:] = self._argv
        if warnings.filters != self._filters:
            warnings.filters[:] = self._filters  # type: ignore[index]
            warnings._filters_mutated()  # type: ignore[attr-defined]
        for number, handler in self._handlers.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)
        level, handlers, disabled = self._logging
        logging.root.setLevel(level)
        logging.root.handlers[:] = handlers
        logging.disable(disabled)
        return self._close_figures()

    def _put_environment_back(self) -> None:
        for name in os.environ.keys() - self._environment.keys():
            del os.environ[name]
        for name, value in self._environment.items():
            if os.environ.get(name) != value:
                os.environ[name] = value

    def _close_figures(self) -> str:
        pyplot = sys.modules.get("matplotlib.pyplot")
        if pyplot is not None and pyplot.get_fignums():
            pyplot.close("all")
        matplotlib = sys.modules.get("matplotlib")
        return "" if matplotlib is None or _as_configured(matplotlib) else "changed rcParams"

    def _left_behind(self) -> str:
        if has_children():
            return "a child process"
        for thread in threading.enumerate():
            if thread not in self._threads and thread.name != "spool" and not _is_ipythons(thread):
                return f"thread {thread.name}"
        if asyncio.all_tasks() - self._awaiting:
            return "an asyncio task"
        if set(self._shell.extension_manager.loaded) != self._extensions:
            return "an IPython extension"
        if _limits() != self._limits:
            return "a limit or trace function of the interpreter"
        return self._new_code()

    def _new_code(self) -> str:
        """A module from outside the interpreter, which its author may change before the next task."""
        if len(sys.modules) == len(self._modules):
            return ""
        new = set(sys.modules) - self._modules
        self._modules |= new
        return next((f"module {name}" for name in new if _is_local(name, sys.modules[name])), "")


def has_children() -> bool:
    """Whether a process that this one started, or a child of one, still runs; the ended ones are reaped."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _is_local(name: str, module: ModuleType | None) -> bool:
    if name.partition(".")[0] in ("jupyter_orchestra", "__main__", "__mp_main__"):
        return False
    file = getattr(module, "__file__", None)
    places = [file] if file else list(getattr(module, "__path__", ()))
    return any(not os.path.realpath(place).startswith(_INTERPRETER) for place in places if isinstance(place, str))


def _is_ipythons(thread: threading.Thread) -> bool:
    """The loop that ``%%bash`` and its like keep for good, and what waits for the end of its processes."""
    if "IPython.core.magics.script" not in sys.modules or not thread.daemon:
        return False
    return thread.name.endswith("(run_forever)") or thread.name.startswith("asyncio-waitpid-")


def _limits() -> tuple[Any, ...]:
    return (sys.getrecursionlimit(), sys.getswitchinterval(), sys.gettrace(), sys.getprofile(), threading.gettrace())


def _catchable() -> list[signal.Signals]:
    fixed = {signal.SIGKILL, signal.SIGSTOP, signal.SIGINT}  # ipykernel sets SIGINT around each request
    return [number for number in signal.Signals if number not in fixed and signal.getsignal(number) is not None]


def _as_configured(matplotlib: Any) -> bool:
    """Whether rcParams are as the person's own configuration made them."""
    now, configured = matplotlib.rcParams, matplotlib.rcParamsOrig
    ignored = {"backend", "interactive"}
    return all(dict.__getitem__(now, key) == value for key, value in dict.items(configured) if key not in ignored)
