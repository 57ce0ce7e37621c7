"""Runs what an agent asks for, one thing at a time: commands, Python in a kernel of its own, searches; asks nobody.

Everything runs through the launcher, with an environment of known names; a cancel ends its whole tree at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import msgspec
import zmq

from ..core.ports import Job, Launch, Launcher, Running
from ..processes.launcher import describe
from ..processes.threads import in_thread
from .agent_files import Told, Tree
from .agent_search import KEPT, MOST, SKIPPED, WIDEST
from .agent_voice import Voice, text_of
from .confining import Box, folders_of, given
from .follower import TICK, Follower
from .kernel_line import Line
from .kernel_order import make_order
from .kernel_spool import Found, Tail
from .outputs import Collector
from .pool_kernel import ROOT, PooledKernel, StartError, launch_of, private_folder, write_connection

LIMIT: Final = 32 << 20  # bytes of output kept of each run, for its two ends
SEARCH: Final = 20.0  # seconds
GRACE: Final = 2.0  # seconds in which Python must heed an interrupt
FALLBACK: Final = Path(__file__).with_name("agent_search.py")


class Runs:
    """The programs of one attempt.

    Parameters
    ----------
    environment
        All that they get of the notebook's.
    """

    def __init__(self, job: Job, launcher: Launcher, environment: Mapping[str, str], voice: Voice) -> None:
        self._job, self._launcher, self._voice = job, launcher, voice
        self._environment = dict(environment)
        self._kernel: PooledKernel | None = None
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._count = 0
        self._kernels_own = job.folder / "python"

    async def command(
        self, text: str, seconds: float, box: Box, network: bool = False, more: Mapping[str, str] | None = None
    ) -> str:
        """Run a script for bash in the workspace; its output, and how it ended."""
        _ensure_there(box.workspace)
        async with self._folder() as folder:
            argv = await in_thread(None, _script, text, folder, box, network)
            collector, code = await self._launched(argv, folder, os.fspath(box.workspace), seconds, more=more or {})
            how = describe(code) if code is not None else f"ended after {seconds:.0f} s, its time limit"
            return f"{_text(collector)}\n[{how}]".lstrip()

    async def search(self, tree: Tree, pattern: str, path: str, glob: str, ignore_case: bool) -> str:
        """Lines of the files below `path` that match a pattern."""
        async with self._folder() as folder:
            with tree.folder(path) as place:
                argv = _search(pattern, glob, ignore_case)
                collector, code = await self._launched(argv, folder, place, SEARCH, quiet=True)
        if code is None:
            raise Told(f"the search took longer than {SEARCH:.0f} s: search in a folder below, for something plainer")
        found, errors = collector.text("stdout"), collector.text("stderr")
        if code == 1 and not found:
            return "nothing found"
        if not found:
            raise Told(f"the search failed: {errors.strip() or describe(code)}")
        lines = [line.removeprefix("./") for line in found.splitlines()]
        more = [f"… more than {MOST} lines: search for less"] if len(lines) >= MOST else []
        return "\n".join(lines[:MOST] + more)

    async def python(self, code: str, seconds: float, box: Box, path: list[str]) -> str:
        """Run a piece of code in the kernel, which keeps its variables; its output and value."""
        _ensure_there(box.workspace)
        async with self._folder() as folder:
            order = await make_order(self._job, {}, LIMIT)
            kernel = await self._have_kernel(box, path)
            spool = self._kernels_own / f"spool-{self._count}"
            order |= {"spool": os.fspath(spool), "cwd": os.fspath(box.workspace), "path": path, "returns": []}
            # What is kept of it lies apart: the kernel may put links into the folder that is its own.
            collector, found = Collector(self._job.name, folder / "spool"), Found()
            tail = Tail(spool, kernel.running)
            follower = Follower(tail, collector, self._voice, found.take)
            reply = kernel.line.send("execute_request", {"code": code}, {"orchestra": order})
            try:
                note = await self._awaited(kernel, reply, follower, seconds)
            finally:
                tail.close()
                for file in (spool, Path(f"{spool}.txt")):
                    await in_thread(None, file.unlink, missing_ok=True)
            return f"{_text(collector)}\n{note}".strip() or "[no output]"

    async def end(self) -> None:
        """End the kernel with everything that it started."""
        kernel, self._kernel = self._kernel, None
        if kernel is not None:
            await kernel.end()
        if self._context is not None:
            self._context.destroy(linger=0)
            self._context = None
        await in_thread(None, shutil.rmtree, self._kernels_own, ignore_errors=True)

    @contextlib.asynccontextmanager
    async def _folder(self) -> AsyncIterator[Path]:
        """A folder for one run."""
        self._count += 1
        folder = self._job.folder / f"run-{self._count}"
        await in_thread(None, folder.mkdir, mode=0o700)
        try:
            yield folder
        finally:
            await in_thread(None, shutil.rmtree, folder, ignore_errors=True)

    async def _launched(
        self,
        argv: tuple[str, ...],
        folder: Path,
        cwd: str,
        seconds: float,
        quiet: bool = False,
        more: Mapping[str, str] = MappingProxyType({}),
    ) -> tuple[Collector, int | None]:
        """What a program put out, and its exit code; None when its time was over."""
        spool = folder / "spool"
        launch = Launch(argv, folder, cwd, {**self._environment, **more}, spool, limit=LIMIT)
        running = await self._launcher.start(launch)
        collector = Collector(self._job.name, spool)
        try:
            self._voice.started(running.process)
            async with asyncio.timeout(seconds):
                await Follower(running, collector, Quiet(self._voice) if quiet else self._voice).follow()
            return collector, await running.wait()
        except TimeoutError:
            return collector, None
        finally:
            await _ended(running)

    async def _have_kernel(self, box: Box, path: list[str]) -> PooledKernel:
        if self._kernel is not None and self._kernel.alive:
            return self._kernel
        await self.end()
        self._context = zmq.Context()
        folder = await in_thread(None, private_folder)
        connection = await in_thread(None, write_connection, folder)
        launch = launch_of(folder, self._environment)
        try:
            await in_thread(None, self._kernels_own.mkdir, mode=0o700, exist_ok=True)
            argv = await in_thread(None, self._around_kernel, launch.argv, folder, box, path)
            running = await self._launcher.start(msgspec.structs.replace(launch, argv=argv))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        # Kept from here on, so that whoever ends this attempt ends it too.
        line, confined = Line(self._context, connection), box.sandbox.kind != "none"
        self._kernel = kernel = PooledKernel(running, line, folder, self._environment, confined=confined)
        self._voice.started(running.process)
        try:
            await kernel.answer()
        except StartError as error:
            await self.end()
            raise Told(f"Python could not be started: {error}") from None
        return kernel

    def _around_kernel(self, argv: tuple[str, ...], folder: Path, box: Box, path: list[str]) -> tuple[str, ...]:
        """The command that starts it."""
        inside = (sys.executable, "-m", f"{__package__}.agent_inside", *argv[3:])
        inputs = self._job.folder.glob("input-*")
        readable = (*given(self._job), *inputs, *folders_of(path))
        return box.around(inside, (folder, self._kernels_own), readable, Path(ROOT))

    async def _awaited(
        self, kernel: PooledKernel, reply: asyncio.Future[dict[str, Any]], follower: Follower, seconds: float
    ) -> str:
        """Follow a run to its end; what is to be said of that."""
        ends: set[asyncio.Future[Any]] = {reply, kernel.death}
        if not await _until(ends, follower, seconds):
            kernel.running.signal(signal.SIGINT)
            stopped = await _until(ends, follower, GRACE)
            if stopped and kernel.alive:
                return f"[interrupted after {seconds:.0f} s, its time limit]"
            await self.end()
            return f"[ended after {seconds:.0f} s, its time limit: all variables are gone]"
        if not kernel.alive:
            how = describe(kernel.code)
            await self.end()
            return f"[Python ended ({how}): all variables are gone; the next run starts anew]"
        return ""


class Quiet:
    """A voice for programs whose output is none of the agent's words."""

    def __init__(self, voice: Voice) -> None:
        self.started, self.step, self.ask = voice.started, voice.step, voice.ask
        self.unsandboxed = voice.unsandboxed

    def progress(self, fraction: float | None, line: str = "") -> None:
        """Not told."""

    def output(self, output: dict[str, object]) -> None:
        """Not told."""


async def _until(ends: set[asyncio.Future[Any]], follower: Follower, seconds: float) -> bool:
    """Follow until one of these is done, or so many seconds have passed. Says whether one is."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    done: set[asyncio.Future[Any]] = set()
    while not done and (left := deadline - loop.time()) > 0:
        done, _ = await asyncio.wait(ends, timeout=min(TICK, left), return_when=asyncio.FIRST_COMPLETED)
        await follower.drain()
    return bool(done)


async def _ended(running: Running) -> None:
    await asyncio.shield(asyncio.ensure_future(running.end()))


def _ensure_there(place: Path) -> None:
    if not place.is_dir():
        raise Told("your workspace is gone: something that ran has removed it; say in your result how far you came")


def _script(text: str, folder: Path, box: Box, network: bool) -> tuple[str, ...]:
    """The command that runs a script for bash, with a folder for temporary files."""
    script, temporary = folder / "script.sh", folder / "tmp"
    script.write_text(text)
    temporary.mkdir(mode=0o700)
    return box.around(("bash", os.fspath(script)), (temporary,), (script,), network=network)


def _text(collector: Collector) -> str:
    return "".join(text_of(output) for output in collector.outputs)


def _search(pattern: str, glob: str, ignore_case: bool) -> tuple[str, ...]:
    """The program that searches the files below where it runs."""
    if (program := shutil.which("rg")) is None:
        order = json.dumps({"pattern": pattern, "glob": glob, "ignore_case": ignore_case})
        return (sys.executable, "-I", "-S", os.fspath(FALLBACK), order)
    left_out = [f"--glob=!{name}" for name in (*sorted(SKIPPED | KEPT), ".env.*")]
    return (
        program, "--no-config", "--no-messages", "--hidden", "--line-number", "--no-heading", "--color=never",
        "--sort=path", f"--max-count={MOST}", f"--max-columns={WIDEST}", "--max-columns-preview", "--max-filesize=2M",
        *([f"--glob={glob}"] if glob else []), *left_out, *(["--ignore-case"] if ignore_case else []),
        f"--regexp={pattern}", "./",
    )  # fmt: skip
