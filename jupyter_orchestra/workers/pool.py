"""Owns the spawned kernels between tasks: starts them, keeps a spare one warm, ends them; knows no task."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Final

import msgspec
import zmq

from ..core.ports import Launcher, Limits
from ..processes.threads import in_thread
from .kernel_line import Line
from .passing import passed_on
from .pool_kernel import PooledKernel, StartError, launch_of, private_folder, write_connection

RESTED: Final = 5.0  # seconds of rest after which a kernel is asked whether it still works
PATIENCE: Final = 2.0  # seconds in which it must answer

Around = Callable[[tuple[str, ...], Path], tuple[str, ...]]


class KernelPool:
    """Warm kernels for whoever needs one. Belongs to the loop on which it is first used.

    Parameters
    ----------
    launcher
        Starts their processes.
    warm
        Spare kernels that are kept ready once the first one was needed.
    linger
        Seconds after which an idle kernel above `warm` is ended.
    environment
        Gives the environment that a kernel would be started with now.
    around
        Gives the command that runs another one, a kernel with that folder, confined. Such a kernel has one task and
        ends with it.
    """

    def __init__(
        self,
        launcher: Launcher,
        *,
        warm: int = 1,
        linger: float = 60.0,
        environment: Callable[[], dict[str, str]] = passed_on,
        around: Around | None = None,
    ) -> None:
        self.environment = environment
        self.reuses = around is None
        self._around = around
        self._launcher = launcher
        self._warm = warm
        self._linger = linger
        self._idle: list[PooledKernel] = []  # the last used one at the end
        self._starting: set[asyncio.Task[PooledKernel]] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._kernels: set[PooledKernel] = set()
        self._numbers = count()
        self._folder: Path | None = None
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._reaper: asyncio.TimerHandle | None = None
        self._closed = False

    def beside(self, environment: Callable[[], dict[str, str]]) -> KernelPool:
        """A pool like this one, whose kernels have another environment. The two never exchange a kernel."""
        return KernelPool(self._launcher, warm=self._warm, linger=self._linger, environment=environment)

    def confined(self, environment: Callable[[], dict[str, str]], around: Around) -> KernelPool:
        """A pool for one task, whose kernel is confined to what that task may have."""
        return KernelPool(self._launcher, warm=0, environment=environment, around=around)

    async def take(self) -> PooledKernel:
        """A kernel that is ready; the caller gives it back or retires it.

        Raises
        ------
        StartError
            When it does not come up.
        OSError
            When there is no room for it, such as on a full disk.
        """
        while self._idle:
            kernel = self._idle.pop()
            if await self._works(kernel):
                self._keep_warm()
                return kernel
            self.retire(kernel)
        if self._closed:
            raise StartError("the background kernels were closed")
        spare = next(iter(self._starting), None)
        if spare is not None:
            with contextlib.suppress(StartError, OSError):  # what it failed for may be over
                return await self._await_start(spare)
        try:
            return await self._await_start(self._begin_start())
        except StartError as error:
            if not error.lost:
                raise
        return await self._await_start(self._begin_start())

    async def _works(self, kernel: PooledKernel) -> bool:
        """Whether an idle kernel may have a task; one that was used just now is not asked."""
        if not kernel.alive or time.monotonic() - kernel.idle_since < RESTED:
            return kernel.alive
        try:
            return await kernel.answers(PATIENCE)
        except asyncio.CancelledError:
            self._idle.append(kernel)
            raise

    async def _await_start(self, start: asyncio.Task[PooledKernel]) -> PooledKernel:
        self._starting.discard(start)  # it is ours
        self._keep_warm()
        try:
            return await asyncio.shield(start)
        except asyncio.CancelledError:
            self._starting.add(start)  # and now it is a spare
            start.add_done_callback(self._started)
            raise

    def give(self, kernel: PooledKernel) -> None:
        """Take a kernel back for the next task."""
        if self._closed or not kernel.alive or not self.reuses:
            self.retire(kernel)
            return
        kernel.running.keep("")
        kernel.running.limit(Limits())
        kernel.idle_since = time.monotonic()
        self._idle.append(kernel)
        if len(self._idle) > self._warm and self._reaper is None:
            self._reaper = asyncio.get_running_loop().call_later(self._linger, self._reap)

    def retire(self, kernel: PooledKernel) -> asyncio.Task[None]:
        """End a kernel that nobody may use again."""
        end = asyncio.create_task(self._end(kernel), name="end kernel")
        self._ending.add(end)
        end.add_done_callback(self._ending.discard)
        return end

    async def close(self) -> None:
        """End every kernel, taken ones too."""
        self._closed = True
        if self._reaper is not None:
            self._reaper.cancel()
        left = any(kernel.running.left for kernel in self._kernels)
        starts, self._starting = self._starting, set()
        for start in starts:
            start.cancel()
        await asyncio.gather(*starts, *(self._end(kernel) for kernel in list(self._kernels)), return_exceptions=True)
        await asyncio.gather(*self._ending, return_exceptions=True)
        if self._context is not None:
            self._context.destroy(linger=0)
        if self._folder is not None and not left:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _keep_warm(self) -> None:
        while not self._closed and len(self._idle) + len(self._starting) < self._warm:
            self._begin_start().add_done_callback(self._started)

    def _begin_start(self) -> asyncio.Task[PooledKernel]:
        start = asyncio.create_task(self._start(), name="start kernel")
        self._starting.add(start)
        return start

    def _started(self, start: asyncio.Task[PooledKernel]) -> None:
        """A spare is ready, unless someone waits for it already."""
        if start not in self._starting:
            return
        self._starting.discard(start)
        if not start.cancelled() and start.exception() is None:  # a failed one: the next need tries again and tells
            self.give(start.result())

    async def _start(self) -> PooledKernel:
        if self._context is None:
            self._context = zmq.Context()
        folder = self._new_folder()
        connection = write_connection(folder)
        environment = self.environment()
        launch = launch_of(folder, environment)
        if self._around is not None:
            argv = await in_thread(None, self._around, launch.argv, folder)
            launch = msgspec.structs.replace(launch, argv=argv)
        running = await self._launcher.start(launch)
        line = Line(self._context, connection)
        kernel = PooledKernel(running, line, folder, environment, confined=not self.reuses)
        self._kernels.add(kernel)
        try:
            await kernel.answer()
        except BaseException:
            await asyncio.shield(self.retire(kernel))
            raise
        return kernel

    def _new_folder(self) -> Path:
        if self._folder is None or not self._folder.exists():  # kernels that lost their launcher have removed it
            self._folder = private_folder()
        folder = self._folder / str(next(self._numbers))
        folder.mkdir(mode=0o700)
        return folder

    async def _end(self, kernel: PooledKernel) -> None:
        try:
            await kernel.end()
        finally:
            self._kernels.discard(kernel)

    def _reap(self) -> None:
        self._reaper = None
        now = time.monotonic()
        while len(self._idle) > self._warm and now - self._idle[0].idle_since >= self._linger:
            self.retire(self._idle.pop(0))
        if len(self._idle) > self._warm:
            wait = self._idle[0].idle_since + self._linger - now
            self._reaper = asyncio.get_running_loop().call_later(wait, self._reap)
