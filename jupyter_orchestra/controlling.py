"""The controller's part of the composition root: providers, the machine's broker, the keeper and the door."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .config import project_of
from .core import events as e
from .core.limits import Limits as Budget
from .core.machine import Machine
from .core.model import Ask, Task
from .core.needs import Need
from .core.ports import Launcher, Limits, Provider
from .core.resources import lines_of, view_resources
from .core.views import explain
from .errors import OrchestraError, UsageError
from .runtime import Runtime

if TYPE_CHECKING:
    from .door.server import Door
    from .resources.allowance import Allowance
    from .resources.broker import Broker
    from .resources.declared import Declared
    from .resources.keeper import LeaseKeeper
    from .supervisor.launcher import SupervisedLauncher

log = logging.getLogger("jupyter_orchestra")

RENEW = 5.0  # seconds between two signs of life
LATE = 7.0  # seconds without a chance to say one: code in this kernel let nothing else run
UNHEARD = 7.0  # seconds without a word of the supervisor after which its processes count as hung
PATIENCE = 10.0  # seconds that a cell waits until leases can be kept
PARTS = ("keeper", "container", "database", "machine", "server", "tests")


class Controlling:
    """What the controller of one kernel is made of.

    Parameters
    ----------
    found
        The project's file and what it declares, None where there is none.
    notebook
        Path of the notebook, empty when none is known.
    """

    def __init__(self, found: tuple[Path, Mapping[str, Any]] | None, notebook: str) -> None:
        self._found, self._notebook = found, notebook
        # In which tasks lease paths, and to which what they share belongs; decided once, wherever a cell goes later.
        self.project = found[0].parent if found is not None else project_of(_here())
        self._approved: set[str] = set()
        self._declared: Declared | None = None
        self._providers: list[Provider] = []
        self._door: Door | None = None
        self._beginning: asyncio.Task[None] | None = None
        self._keeper: LeaseKeeper | None = None
        self._allowance: Allowance | None = None
        self._ready = threading.Event()
        self._steward = ""  # the file in which a supervisor says which tasks outlive this kernel
        self._launcher: SupervisedLauncher | None = None
        self._runtime: Runtime | None = None
        self._renewed = time.monotonic()
        self._stood_still = False

    def declared(self) -> Declared:
        """What the project's file says. Raises UsageError."""
        from .resources.declared import read

        if self._declared is None:
            file, table = self._found or (self.project / "pyproject.toml", {})
            self._declared = read(table, file)
        return self._declared

    def check(self) -> None:
        """Say at the cell what is wrong with what the project's file declares; then nothing of it is there."""
        if self._found is None or not self._found[1]:
            return
        try:
            self.declared()
        except UsageError as error:
            print(f"jupyter_orchestra: {error}", file=sys.stderr)
            self._found = self._found[0], {}

    def make_launcher(self, mark: str, machine: Machine, grace: float, processes: int) -> Launcher:
        """What starts processes: where that can be had, through a supervisor, so that tasks outlive this kernel.

        Parameters
        ----------
        grace
            Seconds for which they do so.
        processes
            What one task may have at once.
        """
        from .processes.launcher import LocalLauncher

        if (folder := self._own_folder(mark)) is None or sys.platform != "linux":
            return LocalLauncher(mark)
        from .supervisor.launcher import SupervisedLauncher
        from .supervisor.main import BEAT

        self._steward = os.fspath(folder / BEAT)
        self._launcher = SupervisedLauncher(
            folder,
            mark,
            grace=grace,
            adopted=[process.pid for process in machine.survivors()],
            environment={"ORCHESTRA_RUNTIME": mark},
            limits=Limits(processes=processes),
        )
        return self._launcher

    def supervisor(self, mark: str) -> int:
        """The process of the supervisor that an earlier kernel has left; 0: none."""
        if (folder := self._own_folder(mark)) is None or sys.platform != "linux":
            return 0
        from .supervisor.main import living

        return living(folder)

    def leave(self) -> None:
        """On the runtime's loop: the next kernel takes over what runs, with its leases."""
        if self._runtime is not None:
            self._runtime.leave()
        if self._keeper is not None:
            self._keeper.leave()

    @staticmethod
    def _own_folder(mark: str) -> Path | None:
        from . import rundir

        try:
            return rundir.folder(mark)
        except OSError as error:
            log.warning("tasks end with this kernel, and programs outside can't reach it: %s", error)
            return None

    def begin(self, runtime: Runtime, launcher: Launcher, folder: Path, mark: str) -> None:
        """On the runtime's loop, while the person reads on: get ready to keep leases, and open the door."""
        self._runtime = runtime
        self._beginning = runtime.loop.create_task(self._begin(runtime, launcher, folder, mark), name="controller")
        self._beginning.add_done_callback(self._begun)

    async def _begin(self, runtime: Runtime, launcher: Launcher, folder: Path, mark: str) -> None:
        if self._launcher is not None:
            await self._launcher.look()
        await runtime.loop.run_in_executor(None, _import)  # which would hold up the loop, or a cell
        from .resources.keeper import LeaseKeeper

        self._providers = list(self._make_providers(launcher, runtime, mark))
        self._keeper = LeaseKeeper(
            runtime,
            self._providers,
            self._broker,
            self.project,
            folder,
            label=os.path.basename(self._notebook) or f"process {os.getpid()}",
            mark=f"ORCHESTRA_RUNTIME={mark}",
            hung=self._hangs,
            steward=self._steward,
        )
        runtime.keep(self._keeper)
        self._keeper.take_over()
        self._declare(runtime)
        self._ready.set()
        await self._open_door(runtime, mark)
        await self._sweep()

    async def _sweep(self) -> None:
        """Remove what killed kernels have left beside their processes, whether or not a task needs such a thing now."""
        from .resources.container import ContainerProvider

        for provider in self._providers:
            if isinstance(provider, ContainerProvider) and provider.capacities():
                with contextlib.suppress(OrchestraError):  # no engine: who needs one is told
                    await provider.sweep()

    def renew(self) -> None:
        """On the runtime's loop, each :data:`RENEW` seconds: who holds leases and still lives?"""
        before, self._renewed = self._renewed, time.monotonic()
        self._stood_still = self._renewed - before > LATE
        if self._keeper is not None:
            self._keeper.renew()

    def _begun(self, beginning: asyncio.Task[None]) -> None:
        self._ready.set()
        if not beginning.cancelled() and (error := beginning.exception()) is not None:
            log.error("leases can't be kept", exc_info=error)
        if self._runtime is not None and self._runtime.keeper is None:
            self._runtime.keep(None)

    def resolve(self, needs: tuple[Need, ...]) -> tuple[Need, ...]:
        """Needs as they are leased on this machine. Raises UsageError."""
        from .resources.resolving import Resolver

        self._ready.wait(PATIENCE)
        return Resolver(self._providers, self.declared(), self.project).resolve(needs)

    async def _open_door(self, runtime: Runtime, mark: str) -> None:
        from . import rundir
        from .door.server import serve

        def leases() -> list[str]:
            return runtime.on_loop(lambda: list(lines_of(view_resources(runtime.machine), runtime.now()))).result(5.0)

        def tell(name: str) -> str:
            task = runtime.machine.find(name)
            return f"there is no task {name!r}" if task is None else explain(runtime.machine, task, runtime.now())

        try:
            self._door = await serve(runtime, rundir.folder(mark), explain=tell, leases=leases, notebook=self._notebook)
        except OSError as error:
            log.warning("programs outside can't reach this notebook: %s", error)

    def allow(self, runtime: Runtime, limits: Budget) -> None:
        """From now on all notebooks of the person may spend so much in a day, as far as this one is concerned."""
        if limits and self._allowance is None:
            from .resources.allowance import Allowance

            self._allowance = Allowance(limits)
        if self._allowance is not None:
            self._allowance.limits = limits
        runtime.allowance = self._allowance if limits else None

    async def end_allowance(self) -> None:
        """Write down what was spent."""
        if self._allowance is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._allowance.close)

    async def close(self) -> None:
        """Let nobody in any more."""
        if self._beginning is not None:
            self._beginning.cancel()
            await asyncio.gather(self._beginning, return_exceptions=True)
        if self._door is not None:
            await self._door.close()

    def _declare(self, runtime: Runtime) -> None:
        capacities = {name: count for provider in self._providers for name, count in provider.capacities().items()}
        pools = self._declared.resources if self._declared is not None else {}
        capacities |= {"terminal": 1} | {name: pool.capacity for name, pool in pools.items()}
        preemptible = tuple(name for name, pool in pools.items() if pool.preemptible)
        runtime.post(e.ResourcesDeclared(runtime.now(), capacities, preemptible))

    def _make_providers(self, launcher: Launcher, runtime: Runtime, mark: str) -> Iterator[Provider]:
        from .resources.container import ContainerProvider
        from .resources.database import DatabaseProvider
        from .resources.machine import GpuProvider, MemoryProvider
        from .resources.ports import PortProvider
        from .resources.server import ServerProvider
        from .resources.tests import TestRunner

        declared = self.declared()

        def living(lease: str) -> bool:
            return lease in runtime.machine.controller.leases

        yield PortProvider()
        yield MemoryProvider()
        yield GpuProvider()
        yield TestRunner(launcher, declared, self._ask)
        yield ServerProvider(launcher, declared, self._ask)
        yield DatabaseProvider(declared, self._ask, mark, living)
        yield ContainerProvider(declared, self._ask, mark, living)

    def _broker(self, opened: Any, lost: Any) -> Broker:
        from .resources.broker import Broker

        return Broker(opened=opened, lost=lost)

    def _hangs(self, task: Task) -> bool:
        """Whether what carries a task out stands still; a kernel runs the code itself, anything else in a child."""
        from .processes.tree import is_stopped

        if (process := task.process) is None:
            return False
        silence = self._launcher.silence(process) if self._launcher is not None else 0.0
        # Who stood still has heard nobody, which says nothing of the others.
        unheard = silence > UNHEARD and not self._stood_still
        return unheard or is_stopped(process.pid, around=not process.connection)

    async def _ask(self, action: str, detail: str) -> bool:
        """Whether the person approves of what the project's file names, as it is; asked once."""
        from .resources.keeper import reporter

        digest = self.declared().digest
        if digest in self._approved:
            return True
        asked = reporter.get()
        if asked is None:
            raise OrchestraError(f"dispatch a task that needs it first, and approve there to {action}: {detail}")
        line = f"use what the project's file names, now to {action}: {detail}"
        ask = Ask(secrets.token_hex(8), line, self._all_that_it_names(line), digest, capabilities=())
        if (await asked.ask(ask)).approved:  # of the file: it grants the task that asks nothing
            self._approved.add(digest)
        return digest in self._approved

    def _all_that_it_names(self, line: str) -> str:
        declared = self.declared()
        named = [f"server {name}: {server.command}" for name, server in declared.servers.items()]
        named += [f"database {name}: {one.url.rpartition('@')[2]}" for name, one in declared.databases.items()]
        named += [f"container {name}: {one.image} {one.command}" for name, one in declared.containers.items()]
        named += [f"tests: {declared.tests.command}"] if declared.tests else []
        return "\n".join((line, "", f"{declared.file} names:", *named))


def _import() -> None:
    for part in (*(f"resources.{part}" for part in PARTS), "door.server"):
        import_module(f"jupyter_orchestra.{part}")


def _here() -> Path:
    try:
        return Path.cwd()
    except OSError:  # it was removed
        return Path.home()
