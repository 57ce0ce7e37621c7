"""Finds the program that runs containers here, and calls it; knows neither leases nor what a project declares."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ..errors import ResourceError
from ..processes.threads import APART, in_thread

PROGRAMS = ("podman", "docker")
PROBE, START, REMOVE = 10.0, 60.0, 5.0  # seconds that the program may take
LEAVE = 2.0  # seconds that it has to come to an end of what it is at, so that no half of a container is left
MISSING = "containers need podman or docker: on Debian, as root: apt-get install podman"
UNLIMITED = ("--cgroups=disabled",)  # how podman starts a container without limits


class Engine(msgspec.Struct, frozen=True):
    """The program that runs containers here.

    Attributes
    ----------
    program : str
        Its name.
    podman : bool
        Whether it is podman, by whatever name.
    limits : frozenset of str
        What it can limit: "memory", "pids", "cpu".
    prefixes : tuple
        Ways to call it that are worth a try, best first.
    """

    program: str
    podman: bool
    limits: frozenset[str]
    prefixes: tuple[tuple[str, ...], ...] = ((),)


async def find_engine() -> Engine:
    """The first program that runs containers here. Raises ResourceError."""
    trouble = MISSING
    for program in filter(shutil.which, PROGRAMS):
        try:
            words = (program, "info", "--format", "{{json .}}")
            told = msgspec.json.decode(await call(words, PROBE), type=dict[str, Any])
        except (ResourceError, msgspec.MsgspecError) as error:
            trouble = f"no containers: {error}: start its service, or install podman"
            continue
        if "host" in told:
            return _podman(program, told["host"])
        if not told.get("ServerErrors"):
            names = {"MemoryLimit": "memory", "PidsLimit": "pids", "CpuCfsQuota": "cpu"}
            return Engine(program, False, frozenset(limit for key, limit in names.items() if told.get(key)))
        trouble = f"no containers: {program}: {told['ServerErrors'][0]}: start its service, or install podman"
    raise ResourceError(trouble)


async def remove(engine: Engine, called: str) -> None:
    """Remove a container, running or not; nothing when it is gone. Raises ResourceError."""
    try:
        await call((*removing(engine), called), REMOVE)
    except ResourceError as error:
        if "no such container" not in str(error).lower():
            hint = f"{engine.program} rm --force {called}"
            raise ResourceError(f"the container {called} is still there: {error}: remove it with: {hint}") from None


def removing(engine: Engine) -> tuple[str, ...]:
    """The command that removes the containers whose names come after it."""
    at_once = ("--time", "0") if engine.podman else ()
    return engine.program, "rm", "--force", "--volumes", *at_once


async def call(argv: Sequence[str], seconds: float, folder: Path | None = None) -> str:
    """What a program prints, stripped. Raises ResourceError with its last line; cancelled, the program is ended.

    What stays beside a container may write into the `folder` in which that was started.
    """
    running = _Call(argv, seconds, folder)
    reading = asyncio.ensure_future(in_thread(APART, running.read))
    try:
        code, out, trouble = await asyncio.shield(reading)
    except asyncio.CancelledError:
        running.stop(signal.SIGTERM)
        await asyncio.wait((reading,), timeout=LEAVE)
        running.stop(signal.SIGKILL)
        with contextlib.suppress(ResourceError):
            await reading
        raise
    if code:
        lines = [line for line in trouble.splitlines() if line.strip()] or [f"exit code {code}"]
        raise ResourceError(f"{argv[0]}: {lines[-1].strip().removeprefix('Error: ')}")
    return out.strip()


class _Call:
    """One run of a program, read in a thread and stopped from any other."""

    def __init__(self, argv: Sequence[str], seconds: float, folder: Path | None) -> None:
        self._argv, self._seconds, self._folder = argv, seconds, folder
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._stopped = False

    def read(self) -> tuple[int, str, str]:
        """Its exit code and what it printed. Raises ResourceError."""
        with self._lock:
            if self._stopped:
                raise ResourceError(f"{self._argv[0]} was stopped")
            try:
                process = self._process = _open(self._argv, self._folder)
            except OSError as error:
                raise ResourceError(f"{self._argv[0]}: {error.strerror}") from None
        with process:
            try:
                out, trouble = process.communicate(timeout=self._seconds)
            except subprocess.TimeoutExpired:
                self.stop(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.communicate(timeout=LEAVE)
                self.stop(signal.SIGKILL)
                raise ResourceError(f"{self._argv[0]} {self._argv[1]} took longer than {self._seconds:g} s") from None
        return process.returncode, out, trouble

    def stop(self, number: int) -> None:
        """End it by this signal."""
        with self._lock:
            self._stopped = True
            if self._process is not None and self._process.poll() is None:
                os.killpg(self._process.pid, number)


def _open(argv: Sequence[str], folder: Path | None) -> subprocess.Popen[str]:
    nothing, pipe = subprocess.DEVNULL, subprocess.PIPE
    return subprocess.Popen(
        argv, cwd=folder, stdin=nothing, stdout=pipe, stderr=pipe, text=True, errors="replace", start_new_session=True
    )


def _podman(program: str, host: Mapping[str, Any]) -> Engine:
    """Podman's default runtime may not suit the machine's cgroups: then another one may, and last one without them."""
    default = host.get("ociRuntime", {}).get("name", "")
    others = (name for name in ("crun", "runc") if name != default and shutil.which(name, path=_path()))
    prefixes = ((), *(("--runtime", name) for name in others), UNLIMITED)
    return Engine(program, True, frozenset(host.get("cgroupControllers") or ()), prefixes)


def _path() -> str:
    return os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin:/usr/lib/podman"
