"""Owns one spawned kernel from its launch to its end: folder, connection file, process; knows no task."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import zmq

from ..core.ports import Launch, Running
from ..processes.launcher import describe
from ..processes.threads import in_thread
from .kernel_line import Line

ROOT: Final = str(Path(__file__).resolve().parents[2])  # holds our package; no file of a project shadows it here
SOCKET_PATH: Final = 100  # bytes that a socket's path may have, a little below every system's limit
BOOT: Final = 60.0  # seconds in which a kernel must answer
PORTS: Final = {"shell_port": 1, "iopub_port": 2, "stdin_port": 3, "control_port": 4, "hb_port": 5}


class StartError(Exception):
    """A kernel could not be started; `lost`: through no fault of its own, since who owned its process was killed."""

    def __init__(self, message: str, *, lost: bool = False) -> None:
        super().__init__(message)
        self.lost = lost


class PooledKernel:
    """One spawned kernel."""

    def __init__(
        self, running: Running, line: Line, folder: Path, environment: Mapping[str, str], *, confined: bool = False
    ) -> None:
        self.running = running
        self.line = line
        self.environment = environment  # as it was launched with
        self.connection = str(folder / "c")
        self.idle_since = 0.0
        self.death = asyncio.ensure_future(running.wait())
        self._folder = folder
        self._confined = confined

    @property
    def code(self) -> int:
        """How it ended; minus the signal that ended it."""
        return code_of(self.death.result(), self._confined)

    @property
    def alive(self) -> bool:
        """Whether its process still runs."""
        return not self.death.done()

    async def answer(self) -> None:
        """Come back when it is ready. Raises StartError when it never is."""
        if await self.answers(BOOT):
            return
        how = f"ended with {describe(self.code)}" if self.death.done() else f"did not answer in {BOOT:.0f} s"
        raise StartError(f"the background kernel {how}{self._last_words()}", lost=self.running.lost)

    async def answers(self, seconds: float) -> bool:
        """Whether it answers within so many seconds; one that is stopped or hangs does not."""
        reply = self.line.send("kernel_info_request", {})
        ends: set[asyncio.Future[Any]] = {reply, self.death}
        await asyncio.wait(ends, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return reply.done() and not reply.cancelled()

    async def end(self) -> None:
        """Kill it with everything that it started, and remove its folder."""
        self.line.close()
        try:
            await self.running.end()
        finally:
            self.death.cancel()
            if not self.running.left:
                await in_thread(None, shutil.rmtree, self._folder, ignore_errors=True)

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            text = (self._folder / "raw.txt").read_text(errors="replace")
            lines = [line.strip() for line in text.splitlines() if line.strip()]
            said = [line for line in lines if "Error" in line] or lines
            return f": {said[-1][:300]}" if said else ""
        return ""


def code_of(code: int, confined: bool) -> int:
    """An exit code; minus the signal, for which a sandbox gives 128 and the signal."""
    return 128 - code if confined and code > 128 else code


def private_folder() -> Path:
    """A new 0700 folder with a path short enough for sockets, where the system has such a place."""
    places = [os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"]
    usable = [place for place in places if place and os.access(place, os.W_OK | os.X_OK)]
    short = [place for place in usable if len(os.fsencode(place)) < SOCKET_PATH - 30]
    return Path(tempfile.mkdtemp(prefix="jo-", dir=next(iter(short or usable), None)))


def write_connection(folder: Path) -> dict[str, Any]:
    """Write a kernel's connection file, ``c``: ipc in its own folder, or encrypted TCP where that can't be had."""
    from jupyter_client.connect import write_connection_file

    key = secrets.token_hex(16).encode()
    options: dict[str, Any] = {"key": key}
    if zmq.has("ipc") and len(os.fsencode(folder / "k-5")) < SOCKET_PATH:
        options |= {"transport": "ipc", "ip": str(folder / "k"), **PORTS}
    else:
        options |= dict(zip(("curve_publickey", "curve_secretkey"), zmq.curve_keypair(), strict=True))
        options |= {"transport": "tcp", "ip": "127.0.0.1"}
    return dict(write_connection_file(str(folder / "c"), **options)[1])


def launch_of(folder: Path, environment: Mapping[str, str]) -> Launch:
    return Launch(
        argv=(sys.executable, "-m", "jupyter_orchestra.workers.inside", "-f", str(folder / "c")),
        folder=folder,
        cwd=ROOT,
        environment={**environment, "JPY_PARENT_PID": str(os.getpid())},
        spool=folder / "spool",
        spooled=True,
    )
