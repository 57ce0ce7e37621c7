"""Owns the life of one task inside a spawned kernel: from its order to the end frame of its spool."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from ..processes.spool import SpoolWriter
from ..progress import listen
from .inside_patience import FULL, patiently
from .inside_shell import TEXT, TaskShell, as_json
from .inside_state import Baseline
from .inside_streams import Console
from .inside_tqdm import TqdmHook
from .inside_values import Pickled, Results, placeholder, raw, why_not
from .words import words

EVERY: Final = 0.25  # seconds between two frames of progress
MESSAGE: Final = 2000  # characters of an exception's message; the error frame has the whole
INTERRUPTED: Final = ("KeyboardInterrupt", "CancelledError")

Order = dict[str, Any]


class Trouble(Exception):
    """What makes a task fail though its own code did not raise. ``kind`` as in ``Failure``."""

    def __init__(self, name: str, message: str, kind: str = "exception") -> None:
        super().__init__(message)
        self.name = name
        self.kind = kind


class Progress:
    """Writes how far the task is, at most 4 times a second; the last word always, at the latest a second on."""

    def __init__(self, put: Callable[..., None]) -> None:
        self._put = put
        self._lock = threading.Lock()
        self.begin()

    def begin(self) -> None:
        """A new task."""
        self._at = 0.0
        self._waiting: tuple[float, str] | None = None

    def __call__(self, fraction: float, note: str) -> None:
        with self._lock:
            self._waiting = (fraction, note)
        now = time.monotonic()
        if now - self._at >= EVERY:
            self._at = now
            self.flush()

    def flush(self, patient: bool = True) -> None:
        """Write what waits."""
        with self._lock:
            waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self._put("progress", patient=patient, fraction=waiting[0], line=waiting[1])


class Runner:
    """Runs task after task in one kernel."""

    def __init__(self, shell: TaskShell, console: Console) -> None:
        self._shell: Any = shell
        self._console = console
        self._process = os.getpid()
        self._baseline = Baseline(shell)
        self._progress = Progress(shell.put)
        self._flush_c = ctypes.CDLL(None).fflush
        listen(self._progress)
        console.idle = partial(self._progress.flush, patient=False)
        TqdmHook(self._progress).install()

    async def run(self, order: Order, code: str) -> dict[str, Any]:
        """Carry a task out; gives the content of the reply, the rest is in the spool."""
        begun = time.monotonic()
        try:
            spool = SpoolWriter(order["spool"], order["limit"])
        except OSError as error:
            return {"status": "blocked", "errno": error.errno, "reason": error.strerror or str(error)}
        self._console.open(spool)
        self._progress.begin()
        try:
            end = await self._carry_out(order, code)
        except BaseException as error:
            end = self._failure(error)
        if os.getpid() != self._process:  # a child that the task forked and that came to the end of its code
            self._drain()
            os._exit(0 if end["status"] == "ok" else 1)
        left = self._clear_away(end)
        try:
            seconds = round(time.monotonic() - begun, 6)
            spool.conclude()  # who follows it reads no further than to the end
            patiently(lambda: spool.frame("end", reusable=not left, left=left, seconds=seconds, **end))
            spool.close()
            self._console.close()
        except OSError as error:
            return {"status": "lost", "reason": f"{type(error).__name__}: {error}"}
        if not left:
            self._forget()
        return {"status": "ok"}

    def _clear_away(self, end: dict[str, Any]) -> str:
        """Drain the output and restore the process; what can't be, empty when all could."""
        try:
            self._drain()
            return self._baseline.restore() or ("an interrupt" if end.get("ename") in INTERRUPTED else "")
        except BaseException as error:  # whatever the task has broken
            return why_not(error)

    async def _carry_out(self, order: Order, code: str) -> dict[str, Any]:
        shell = self._shell
        namespace = shell.renew(order["name"], code)
        self._begin(order, namespace)
        error = await shell.run_task(code)
        self._drain()
        if error is not None:
            kind = "exit" if isinstance(error, SystemExit) else "exception"
            return self._end(type(error).__name__, words(error), kind)
        folder = os.path.dirname(order["spool"])
        self._put_returned(order, namespace, folder)
        self._put_value(order, folder)
        return {"status": "ok"}

    def _begin(self, order: Order, namespace: dict[str, Any]) -> None:
        environment = {**order["environment"], "ORCHESTRA_TASK": order["name"], "ORCHESTRA_TASK_UID": order["uid"]}
        try:
            self._baseline.begin(order["cwd"], order["path"], environment)
        except OSError as error:
            raise Trouble("OSError", f"the task can't begin where it was dispatched: {error}", "start") from error
        if order["inputs"]:
            namespace["results"] = Results(order["inputs"])
        capture = order["capture"]
        if capture:
            self._restore(capture, namespace)

    def _restore(self, capture: dict[str, Any], namespace: dict[str, Any]) -> None:
        from .restore import restore

        try:
            namespace.update(restore(raw(capture), capture["buffers"], tuple(capture["sizes"]), namespace))
        except Exception as error:
            message = f"the notebook's variables can't be loaded in the background kernel: {why_not(error)}"
            raise Trouble(type(error).__name__, message, "snapshot") from error

    def _put_returned(self, order: Order, namespace: dict[str, Any], folder: str) -> None:
        for name in order["returns"]:
            if name not in namespace:
                raise Trouble("NameError", f"--return {name}: the task has made no variable {name!r}")
            try:
                self._put_pickled("return", namespace[name], os.path.join(folder, f"return-{name}"), order, name=name)
            except OSError:
                raise
            except Exception as error:
                raise Trouble(type(error).__name__, f"--return {name}: it can't be copied: {why_not(error)}") from error

    def _put_value(self, order: Order, folder: str) -> None:
        value = self._shell.displayhook.value
        if value is None:
            return
        path = os.path.join(folder, "value")
        text = self._shell.displayhook.text or _short(value)
        try:
            self._put_pickled("value", value, path, order)
        except OSError:
            raise
        except Exception as error:
            value = placeholder(value, error)
            text = repr(value)
            self._put_pickled("value", value, path, order)
        self._shell.put("text", text[:TEXT].encode("utf-8", "replace"))

    def _put_pickled(self, kind: str, value: Any, path: str, order: Order, **fields: str) -> None:
        pickled = patiently(lambda: Pickled(value, path, order["threshold"]))
        if pickled.file:
            fields["file"] = pickled.file
        self._shell.put(kind, pickled.payload, **fields)

    def _failure(self, error: BaseException) -> dict[str, Any]:
        """The end of a task that failed outside its own code."""
        name, kind = type(error).__name__, "exception"
        message = words(error)
        if isinstance(error, Trouble):
            name, kind = error.name, error.kind
        elif isinstance(error, OSError) and error.errno in FULL:
            message = f"the result could not be written ({error.strerror}): free some space and retry the task"
        try:
            output = {"ename": name, "evalue": message, "traceback": [f"{name}: {message}"]}
            self._shell.put("error", as_json(output))
        except OSError:
            pass  # the end frame says it too
        return self._end(name, message, kind)

    def _end(self, name: str, message: str, kind: str) -> dict[str, Any]:
        return {"status": "error", "ename": name, "evalue": message[:MESSAGE], "failure": kind}

    def _drain(self) -> None:
        self._progress.flush()
        for stream in (sys.__stdout__, sys.__stderr__):
            if stream is not None:
                stream.flush()
        self._flush_c(None)
        self._console.drain()

    def _forget(self) -> None:
        """Let go of what the task made, so that its memory is free before the next one."""
        shell = self._shell
        shell.displayhook.begin("")
        shell.last_execution_result = None
        shell.user_ns.clear()
        for name in ("last_exc", "last_type", "last_value", "last_traceback"):
            if hasattr(sys, name):
                delattr(sys, name)


def _short(value: Any) -> str:
    """A repr that no huge value makes slow."""
    from IPython.lib.pretty import pretty

    try:
        return str(pretty(value, max_seq_length=100))
    except Exception as error:
        return f"<{type(value).__name__}, its repr failed: {why_not(error)}>"
