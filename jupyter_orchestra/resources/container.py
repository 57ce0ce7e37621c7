"""Starts a declared container with a lease, by podman or docker, and removes it with it; builds and fetches none."""

from __future__ import annotations

import asyncio
import contextlib
import re
import resource
import secrets
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from ..core.needs import Need
from ..core.ports import Grant, Provision
from ..errors import ResourceError
from ..processes.threads import APART, in_thread
from . import marks
from .approval import Approved, ensure_approved
from .declared import Container, Declared, unknown
from .engines import MISSING, PROBE, PROGRAMS, REMOVE, START, UNLIMITED, Engine, call, find_engine, remove, removing

LEASE, MARK, NAME = "orchestra.lease", "orchestra.mark", "orchestra.container"
PROCESSES = 256  # that a container may have at once


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
        name = need.name
        if name not in self._declared.containers:
            return unknown("containers", name, self._declared.containers, self._declared.file)
        return "" if any(map(shutil.which, PROGRAMS)) else MISSING

    async def provide(self, need: Need, grant: Grant) -> Provision:
        """Start it. Raises ResourceError."""
        if wrong := self.check(need):
            raise ResourceError(wrong)
        name = need.name
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
                told = await call((engine.program, "inspect", "--format", form, found), PROBE)
                called, text = told.lstrip("/").split("\t")
                if await in_thread(None, marks.is_leftover, text, self._owner, self._living):
                    await remove(engine, found)
                    gone.append(called)
        return gone

    async def _listed(self, *filters: str) -> list[str]:
        words = (word for one in filters for word in ("--filter", one))
        return (await call((self._ready().program, "ps", "--all", "--quiet", *words), PROBE)).split()

    async def _own(self, name: str, container: Container, grant: Grant) -> Provision:
        """A container that is started for this lease."""
        called = f"jo-{secrets.token_hex(4)}"
        posting = asyncio.ensure_future(in_thread(APART, Guard, self._ready(), called, grant.lease))
        try:
            guard = await asyncio.shield(posting)
            await self._start(called, name, container, grant)
            if (ports := await self._ports(called, container)) is not None:
                return _Started(self._ready(), called, name, ports, guard)
            program, file = self._ready().program, self._declared.file
            raise ResourceError(
                f"container {name} ended at once: {program} run {container.image} shows why; it needs a command that "
                f'stays, such as command = "sleep infinity" in {file}'
            )
        except BaseException:
            await asyncio.shield(asyncio.ensure_future(self._give_up(called, grant, posting)))
            raise

    async def _give_up(self, called: str, grant: Grant, posting: asyncio.Future[Guard]) -> None:
        await self._remove_own(called, grant)
        with contextlib.suppress(ResourceError):
            await in_thread(APART, (await posting).dismiss)

    async def _remove_own(self, called: str, grant: Grant) -> None:
        """Remove it if it is there and this lease's: a name may be somebody else's."""
        with contextlib.suppress(ResourceError):  # then a later sweep does
            if await self._listed(f"name=^{called}$", f"label={LEASE}={grant.lease}"):
                await remove(self._ready(), called)

    async def _ports(self, called: str, container: Container) -> dict[int, int] | None:
        """Where its ports are on this machine; None when it has ended."""
        program = self._ready().program
        try:
            if await call((program, "inspect", "--format", "{{.State.Running}}", called), PROBE) == "true":
                lines = {port: await call((program, "port", called, str(port)), PROBE) for port in container.ports}
                return {port: int(line.split()[0].rpartition(":")[2]) for port, line in lines.items()}
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
                await call(_run(engine, prefix, called, labels, container), START, grant.folder)
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

    def __init__(self, engine: Engine, called: str, name: str, ports: Mapping[int, int], guard: Guard) -> None:
        self._engine, self._called, self._guard = engine, called, guard
        inside = {f"CONTAINER_PORT_{port}": str(here) for port, here in ports.items()}
        self.environment: Mapping[str, str] = {"CONTAINER": called, "CONTAINER_RUNTIME": engine.program, **inside}
        at = "".join(f", port {port} at 127.0.0.1:{here}" for port, here in ports.items())
        limits = () if {"memory", "pids"} <= engine.limits else ("limits not enforced here: no cgroups",)
        self.notes: tuple[str, ...] = (f"container {name}: {called}{at}", *limits)

    async def end(self) -> None:
        """Remove it. Raises ResourceError."""
        await remove(self._engine, self._called)
        await in_thread(APART, self._guard.dismiss)


class Guard:
    """A process that removes a lease's container when this one is gone, however that came about.

    Raises
    ------
    ResourceError
        When it can't be started.
    """

    def __init__(self, engine: Engine, called: str, lease: str) -> None:
        filters = ("--filter", f"name=^{called}$", "--filter", f"label={LEASE}={lease}")
        found = shlex.join((engine.program, "ps", "--all", "--quiet", *filters))
        script = f'read -r word; [ "$word" = leave ] || {shlex.join(removing(engine))} $({found})'
        nothing = subprocess.DEVNULL
        try:
            self._process = subprocess.Popen(
                ("/bin/sh", "-c", script), stdin=subprocess.PIPE, stdout=nothing, stderr=nothing, start_new_session=True
            )
        except OSError as error:
            raise ResourceError(f"no process for {called}: {error.strerror}") from None

    def dismiss(self) -> None:
        """It is not needed any more; blocks until it has gone."""
        with contextlib.suppress(BrokenPipeError, subprocess.TimeoutExpired):
            self._process.communicate(b"leave\n", timeout=REMOVE)


def _limited(prefix: tuple[str, ...]) -> bool:
    return prefix != UNLIMITED


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
