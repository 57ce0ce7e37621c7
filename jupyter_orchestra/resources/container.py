"""Starts a declared container with a lease, by podman or docker, and removes it with it; builds and fetches none."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import resource
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ..core.needs import Need
from ..core.ports import Grant, Provision
from ..errors import ResourceError
from ..processes.threads import in_thread
from . import marks
from .approval import Approved, ensure_approved
from .declared import Container, Declared, unknown

PROGRAMS = ("podman", "docker")
LEASE, MARK, NAME = "orchestra.lease", "orchestra.mark", "orchestra.container"
PROCESSES = 256  # that a container may have at once
_PROBE, _START, _REMOVE = 10.0, 60.0, 5.0  # seconds that the program may take
_LEAVE = 2.0  # seconds that it has to come to an end of what it is at, so that no half of a container is left
_MISSING = "containers need podman or docker: on Debian, as root: apt-get install podman"


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


class ContainerProvider:
    """Serves ``container:NAME``.

    Parameters
    ----------
    declared : Declared
        What the project's file says.
    approved : callable
        Asks the person whether what the file names may be started; None: it may not.
    owner : str
        The runtime, by a name that a restart of the kernel keeps.
    living : callable
        Whether a lease, by its id, is not over; what was made for one that is over is removed.
    """

    resource = "container"

    def __init__(self, declared: Declared, approved: Approved | None, owner: str, living: marks.Living) -> None:
        self._declared, self._approved, self._owner, self._living = declared, approved, owner, living
        self._engine: Engine | None = None

    def capacities(self) -> Mapping[str, int]:
        """How many of each may run at once."""
        return {f"container:{name}": container.slots for name, container in self._declared.containers.items()}

    def check(self, need: Need) -> str:
        """What is wrong with a need, in one line."""
        name = _name(need)
        if name not in self._declared.containers:
            return unknown("containers", name, self._declared.containers, self._declared.file)
        return "" if any(map(shutil.which, PROGRAMS)) else _MISSING

    async def provide(self, need: Need, grant: Grant) -> Provision:
        """Start it. Raises ResourceError."""
        if wrong := self.check(need):
            raise ResourceError(wrong)
        name = _name(need)
        container = self._declared.containers[name]
        what = f"{container.image} {container.command}".strip()
        await ensure_approved(self._approved, f"start the container {name}", what)
        if self._engine is None:
            await self.sweep()
        return await self._own(name, container, grant)

    async def sweep(self) -> list[str]:
        """Remove the containers of nobody any more; see `marks.is_leftover`. Their names. Raises ResourceError."""
        engine = self._engine = self._engine or await find_engine()
        form = f'{{{{.Name}}}}\t{{{{index .Config.Labels "{MARK}"}}}}'
        gone = []
        for found in await self._listed(f"label={MARK}"):
            with contextlib.suppress(ResourceError):  # another may have removed it meanwhile
                told = await call((engine.program, "inspect", "--format", form, found), _PROBE)
                called, text = told.lstrip("/").split("\t")
                if await in_thread(None, marks.is_leftover, text, self._owner, self._living):
                    await remove(engine, found)
                    gone.append(called)
        return gone

    async def _listed(self, *filters: str) -> list[str]:
        words = (word for one in filters for word in ("--filter", one))
        return (await call((self._ready().program, "ps", "--all", "--quiet", *words), _PROBE)).split()

    async def _own(self, name: str, container: Container, grant: Grant) -> Provision:
        """A container that is started for this lease."""
        called = f"jo-{secrets.token_hex(4)}"
        try:
            await self._start(called, name, container, grant)
            if (given := await self._given(called, name, container)) is not None:
                return given
            program, file = self._ready().program, self._declared.file
            raise ResourceError(
                f"container {name} ended at once: {program} run {container.image} shows why; it needs a command that "
                f'stays, such as command = "sleep infinity" in {file}'
            )
        except BaseException:
            await asyncio.shield(asyncio.ensure_future(self._remove_own(called, grant)))
            raise

    async def _remove_own(self, called: str, grant: Grant) -> None:
        """Remove it if it is there and this lease's: a name may be somebody else's."""
        with contextlib.suppress(ResourceError):  # then a later sweep does
            if await self._listed(f"name=^{called}$", f"label={LEASE}={grant.lease}"):
                await remove(self._ready(), called)

    async def _given(self, called: str, name: str, container: Container) -> Provision | None:
        """A container that runs, as its task sees it; None when it has ended."""
        engine = self._ready()
        program = engine.program
        try:
            if await call((program, "inspect", "--format", "{{.State.Running}}", called), _PROBE) == "true":
                lines = {port: await call((program, "port", called, str(port)), _PROBE) for port in container.ports}
                ports = {port: int(line.split()[0].rpartition(":")[2]) for port, line in lines.items()}
                return _Started(engine, called, name, ports)
        except ResourceError:
            pass  # gone
        return None

    def _ready(self) -> Engine:
        assert self._engine is not None
        return self._engine

    async def _start(self, called: str, name: str, container: Container, grant: Grant) -> None:
        """Start it in the first way that works here, and keep to that way."""
        engine = self._ready()
        labels = {LEASE: grant.lease, MARK: marks.mark(grant.lease, self._owner).spell(), NAME: name}
        for position, prefix in enumerate(engine.prefixes):
            try:
                await call(_run(engine, prefix, called, labels, container), _START, grant.folder)
            except ResourceError as error:
                if _is_runtimes_fault(str(error)) and position + 1 < len(engine.prefixes):
                    await self._remove_own(called, grant)
                    continue
                raise ResourceError(f"container {name}: {_advise(str(error), engine, container)}") from None
            limits = engine.limits if _limited(prefix) else frozenset()
            self._engine = msgspec.structs.replace(engine, limits=limits, prefixes=(prefix,))
            return


class _Started:
    """A container that a task has beside it."""

    def __init__(self, engine: Engine, called: str, name: str, ports: Mapping[int, int]) -> None:
        self._engine, self._called = engine, called
        inside = {f"CONTAINER_PORT_{port}": str(here) for port, here in ports.items()}
        self.environment: Mapping[str, str] = {"CONTAINER": called, "CONTAINER_RUNTIME": engine.program, **inside}
        at = "".join(f", port {port} at 127.0.0.1:{here}" for port, here in ports.items())
        limits = () if {"memory", "pids"} <= engine.limits else ("limits not enforced here: no cgroups",)
        self.notes: tuple[str, ...] = (f"container {name}: {called}{at}", *limits)

    async def end(self) -> None:
        """Remove it. Raises ResourceError."""
        await remove(self._engine, self._called)


async def find_engine() -> Engine:
    """The first program that runs containers here. Raises ResourceError."""
    trouble = _MISSING
    for program in filter(shutil.which, PROGRAMS):
        try:
            words = (program, "info", "--format", "{{json .}}")
            told = msgspec.json.decode(await call(words, _PROBE), type=dict[str, Any])
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
    at_once = ("--time", "0") if engine.podman else ()
    try:
        await call((engine.program, "rm", "--force", "--volumes", *at_once, called), _REMOVE)
    except ResourceError as error:
        if "no such container" not in str(error).lower():
            hint = f"{engine.program} rm --force {called}"
            raise ResourceError(f"the container {called} is still there: {error}: remove it with: {hint}") from None


async def call(argv: Sequence[str], seconds: float, folder: Path | None = None) -> str:
    """What a program prints, stripped. Raises ResourceError with its last line; cancelled, the program is ended.

    What stays beside a container may write into the `folder` in which that was started.
    """
    running = _Call(argv, seconds, folder)
    reading = asyncio.ensure_future(in_thread(None, running.read))
    try:
        code, out, trouble = await asyncio.shield(reading)
    except asyncio.CancelledError:
        running.stop(signal.SIGTERM)
        await asyncio.wait((reading,), timeout=_LEAVE)
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
                    process.communicate(timeout=_LEAVE)
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
    prefixes = ((), *(("--runtime", name) for name in others), ("--cgroups=disabled",))
    return Engine(program, True, frozenset(host.get("cgroupControllers") or ()), prefixes)


def _path() -> str:
    return os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin:/usr/lib/podman"


def _limited(prefix: tuple[str, ...]) -> bool:
    return prefix != ("--cgroups=disabled",)


def _run(
    engine: Engine, prefix: tuple[str, ...], called: str, labels: Mapping[str, str], container: Container
) -> tuple[str, ...]:
    """The command that starts it."""
    before, after = (prefix, ()) if _limited(prefix) else ((), prefix)
    return (
        *(engine.program, *before, "run", *after, "--detach", "--rm", "--pull", "never", "--name", called),
        *(word for label, value in labels.items() for word in ("--label", f"{label}={value}")),
        *("--security-opt", "no-new-privileges"),
        *(() if container.network else ("--network", "none")),
        *(word for port in container.ports for word in ("--publish", f"127.0.0.1::{port}")),
        *(_limits(engine.limits, container) if _limited(prefix) else ()),
        *(_own_limits() if engine.podman else ()),
        *(container.image, *shlex.split(container.command)),
    )


def _limits(limits: frozenset[str], container: Container) -> Iterator[str]:
    if "memory" in limits:
        yield from ("--memory", str(container.memory))
    if "pids" in limits:
        yield from ("--pids-limit", str(PROCESSES))
    if "cpu" in limits:
        yield from ("--cpus", f"{container.cpus:g}")


def _own_limits() -> Iterator[str]:
    """Podman asks for more open files than a process without that right may have: a container gets what we have.

    Of processes it allows itself, and so whatever it starts, no more than the system has numbers for.
    """
    for name, number, most in (
        ("nofile", resource.RLIMIT_NOFILE, sys.maxsize),
        ("nproc", resource.RLIMIT_NPROC, _most_processes()),
    ):
        soft, hard = resource.getrlimit(number)
        if resource.RLIM_INFINITY not in (soft, hard):
            yield from ("--ulimit", f"{name}={min(soft, most)}:{min(hard, most)}")


def _most_processes() -> int:
    try:
        return int(Path("/proc/sys/kernel/pid_max").read_text())
    except (OSError, ValueError):
        return sys.maxsize


def _is_runtimes_fault(said: str) -> bool:
    """Whether another runtime may do what this one could not: not so when the image has no such command."""
    return "OCI" in said and "a command that was not found" not in said


def _advise(said: str, engine: Engine, container: Container) -> str:
    if re.search(r"image not known|no such image|unable to find image", said, re.IGNORECASE):
        return f"the image {container.image} is not here: {engine.program} pull {container.image}"
    return f"{said}: see that {engine.program} run {container.image} works"


def _name(need: Need) -> str:
    return need.resource.partition(":")[2]
