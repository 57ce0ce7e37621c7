"""A runtime with a door, on a thread of its own, and raw connections to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jupyter_orchestra import rundir
from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.model import Ask, Kind, Spec, State
from jupyter_orchestra.core.views import TaskView
from jupyter_orchestra.door import place, words
from jupyter_orchestra.door.client import Door, Found, find
from jupyter_orchestra.door.server import Door as Served
from jupyter_orchestra.door.server import serve
from jupyter_orchestra.errors import UnknownTaskError
from jupyter_orchestra.runtime import Runtime
from jupyter_orchestra.testing import Hang, MemoryJournal, Raise, ScriptedWorker
from jupyter_orchestra.thread import RuntimeThread

PATIENCE = 10.0
QUESTION = Ask("a1", "run: rm -rf build", "rm -rf build\n", "d1")


class House:
    """A runtime whose tasks hang until they are stopped, but `broken`, which fails; its door is open."""

    def __init__(self, work: Path, notebook: str = "", mark: str = "house") -> None:
        self._work, self.notebook = work / mark, notebook
        self.folder = rundir.folder(mark)
        self.journal = MemoryJournal()
        self.lines: list[str] = ["port/3000: held by fit for 2.0 s"]
        self._thread = RuntimeThread(self._make)
        self.runtime = self._thread.runtime(PATIENCE)
        self.door: Served = self.do(
            serve(self.runtime, self.folder, explain=self.explain, leases=lambda: self.lines, notebook=notebook)
        )

    def _make(self) -> Runtime:
        names = ["fit", "plot", "scan"]
        script: dict[str, Any] = {name: [[Hang()]] * 9 for name in names} | {"broken": [[Raise()]] * 9}
        worker = ScriptedWorker(Kind("kernel", 8, pausable=True), script)
        return Runtime(self.journal, [worker], self._work)

    def explain(self, name: str) -> str:
        view = self.runtime.board.find(name)
        if view is None:
            raise UnknownTaskError(f"no task is called {name!r}")
        if name == "scan":
            raise ZeroDivisionError("what no one foresaw")
        return f"{name} is {view.state}"

    def do(self, work: Any) -> Any:
        """Run a coroutine on the runtime's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.runtime.loop).result(PATIENCE)

    def call(self, act: Callable[[], Any]) -> Any:
        """Call something on the runtime's loop."""
        return self.runtime.on_loop(act).result(PATIENCE)

    def close(self) -> None:
        self.do(self.door.close())
        self._thread.stop()

    # tasks

    def dispatch(self, *names: str) -> None:
        """Start tasks and wait until they run, or have failed."""
        tasks = tuple(Spec(f"uid-{name}", name, "kernel", "pass") for name in names)
        answer = self.runtime.ask(e.TasksDispatched(self.runtime.now(), self.runtime.new_request(), tasks=tasks))
        assert isinstance(answer.result(PATIENCE), e.Accepted)
        for name in names:
            self.until(name, State.FAILED if name == "broken" else State.RUNNING)

    def question(self, name: str) -> None:
        """Let the worker of a running task ask the person."""
        view = self.view(name)
        self.runtime.post(e.ApprovalNeeded(self.runtime.now(), view.uid, view.attempt, QUESTION))
        wait_for(lambda: self.view(name).ask is not None)

    def view(self, name: str) -> TaskView:
        view = self.runtime.board.find(name)
        assert view is not None
        return view

    def until(self, name: str, state: State) -> None:
        wait_for(lambda: (view := self.runtime.board.find(name)) is not None and view.state is state)

    # visitors

    @property
    def found(self) -> Found:
        return next(found for found in find() if found.folder == self.folder)

    @property
    def token(self) -> str:
        return (self.folder / place.TOKEN).read_text()

    def visit(self, token: str = "") -> Door:
        """Come in as a well-behaved program."""
        return Door(self.found, token)

    def knock(self) -> Guest:
        """Come in as anyone might."""
        return Guest(self.folder / place.SOCKET)

    def greeted(self) -> Guest:
        """Come in with the right token."""
        guest = self.knock()
        guest.say({"type": "Hello", "protocol": words.PROTOCOL, "token": self.token})
        assert guest.hear()["type"] == "Welcome"
        return guest


class Guest:
    """A bare connection."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        try:
            self.socket.connect(str(path))
        except BaseException:
            self.socket.close()
            raise

    def __enter__(self) -> Guest:
        return self

    def __exit__(self, *error: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def say(self, message: object) -> None:
        body = json.dumps(message).encode()
        self.send(struct.pack(">I", len(body)) + body)

    def hear(self) -> dict[str, Any]:
        (size,) = struct.unpack(">I", self._read(4))
        found: dict[str, Any] = json.loads(self._read(size))
        return found

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def is_turned_out(self) -> bool:
        """Wait for the end of the connection, whatever is said before."""
        with contextlib.suppress(ConnectionError):
            while self.socket.recv(65536):
                pass
        return True


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def descriptors() -> int:
    """How many this process has open."""
    return len(os.listdir("/proc/self/fd"))
