"""The launcher that lives in the notebook's kernel: starts, watches, signals and ends processes; knows no tasks."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import secrets
import signal
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import psutil

from ..core.model import Process
from ..core.ports import Launch, Limits
from .spool import SpoolReader
from .threads import in_thread, submit
from .tree import Root, end_tree, signal_below, signal_strays, started

MARK = "ORCHESTRA_LAUNCH"  # the variable that finds what a process started, wherever it went
SPOOLER = Path(__file__).with_name("spooler.py")
NO_TERMINAL = "there are no terminals here: they need a supervisor, which runs on Linux alone"
UNKNOWN = 255  # exit code when someone else's wait() took the real one

_lifelines: weakref.WeakSet[_Lifeline] = weakref.WeakSet()


class LocalLauncher:
    """Starts processes as children of this one. Belongs to the loop on which it is first used.

    Parameters
    ----------
    runtime
        Name of the runtime, which all that it starts carries as ``ORCHESTRA_RUNTIME``.
    """

    outlived = False

    def __init__(self, runtime: str = "") -> None:
        self._environment = {"ORCHESTRA_RUNTIME": runtime} if runtime else {}
        self._running: set[LocalRunning] = set()
        self._threads = ThreadPoolExecutor(8, thread_name_prefix="orchestra-end")
        # One thread, so that a SIGCONT never overtakes a SIGSTOP.
        self._signals = ThreadPoolExecutor(1, thread_name_prefix="orchestra-signal")

    async def start(self, launch: Launch) -> LocalRunning:
        """Start it. Its environment gets one more variable, ``ORCHESTRA_LAUNCH``."""
        if launch.pty:
            raise OSError(errno.ENOTSUP, f"{NO_TERMINAL}: leave out --needs terminal")
        launch.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        mark = f"{MARK}={secrets.token_hex(8)}"
        # On the loop, not in a thread: 1 to 3 ms also in a process of several GB, as the child is vforked.
        launch = msgspec.structs.replace(launch, environment={**self._environment, **launch.environment})
        running = LocalRunning(_spawn(launch, mark), launch, mark, self)
        self._running.add(running)
        return running

    async def adopt(self, process: Process, spool: Path) -> LocalRunning | None:
        """Nothing: what this launcher starts dies with its process."""
        return None

    async def release(self) -> None:
        """Nothing outlives this process."""

    async def forsake(self) -> None:
        """Nothing ever did."""

    async def close(self) -> None:
        """End everything that still runs."""
        await asyncio.gather(*(running.end() for running in list(self._running)))
        self._threads.shutdown(wait=False)
        self._signals.shutdown(wait=False)


class LocalRunning:
    """A child of this process, and everything that it started. Its user calls `end` at last, however it ended."""

    process: Process
    left = lost = False
    killed_for = ""

    def __init__(self, child: subprocess.Popen[bytes], launch: Launch, mark: str, launcher: LocalLauncher) -> None:
        self._child = child
        self._spool = launch.spool
        self._around = not launch.spooled
        self._mark = mark
        self._launcher = launcher
        self._root = Root(child.pid, started(child.pid))
        self._lifeline = _Lifeline(child)
        self._loop = asyncio.get_running_loop()
        self._code: asyncio.Future[int] = self._loop.create_future()
        self._over = False
        self.process = Process(child.pid, self._root.started, os.fspath(launch.spool))
        self._watch()

    async def wait(self) -> int:
        """Its exit code, once it has ended; minus the signal that ended it."""
        return await asyncio.shield(self._code)

    def signal(self, number: int) -> None:
        """Send a signal to its process group, and a moment later to the part of its tree outside of that."""
        if self._code.done() or self._over:
            return
        if self._around and number in (signal.SIGSTOP, signal.SIGCONT):
            # A stopped spooler could not see the end of its lifeline.
            submit(self._launcher._signals, signal_below, number, self._mark, self._root)
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._root.pid, number)
        submit(self._launcher._signals, signal_strays, number, self._mark, self._root)

    async def settle(self) -> None:
        """Come back when the signals sent so far have arrived."""
        await in_thread(self._launcher._signals, _nothing)

    def keep(self, lease: str) -> None:
        """It ends with this process."""

    def limit(self, limits: Limits) -> None:
        """It may take what it likes: nobody watches over it."""

    async def end(self) -> None:
        """Kill its whole tree, and come back when nothing of it lives (or 2 s have not sufficed)."""
        if self._over:
            return
        await in_thread(self._launcher._threads, end_tree, self._mark, self._root)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.wait(), 0.5)
        self._lifeline.close()
        self._over = True
        self._launcher._running.discard(self)

    def read(self, offset: int, size: int = 1 << 20) -> bytes:
        """Up to `size` bytes of its spool from `offset`; none when the spool is not there."""
        return read_spool(self._spool, offset, size)

    def _watch(self) -> None:
        try:
            handle = os.pidfd_open(self._child.pid)
        except (AttributeError, OSError):
            threading.Thread(target=self._wait_in_thread, name="orchestra-wait", daemon=True).start()
        else:
            self._loop.add_reader(handle, self._reap, handle)

    def _reap(self, handle: int) -> None:
        code = _reaped(self._child.pid, os.WNOHANG)
        if code is not None:
            self._loop.remove_reader(handle)
            os.close(handle)
            self._ended(code)

    def _wait_in_thread(self) -> None:
        code = _reaped(self._child.pid, 0)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody asks any more
            self._loop.call_soon_threadsafe(self._ended, UNKNOWN if code is None else code)

    def _ended(self, code: int) -> None:
        self._child.returncode = code
        self._lifeline.close()
        if not self._code.done():
            self._code.set_result(self._code_in_spool() if code == UNKNOWN else code)

    def _code_in_spool(self) -> int:
        with contextlib.suppress(OSError):
            end = self._spool.stat().st_size
            tail = self.read(max(end - 4096, 0))
            for frame in SpoolReader().feed(tail[max(tail.rfind(b'{"k":"exit"'), 0) :]):
                if frame.kind == "exit":
                    return int(frame.fields["code"])
        return UNKNOWN


class _Lifeline:
    """Our end of a child's stdin: when this process dies, however, the child reads the end of file."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        assert child.stdin is not None
        self._file = child.stdin
        _lifelines.add(self)

    def close(self) -> None:
        _lifelines.discard(self)
        with contextlib.suppress(OSError):
            self._file.close()


def _spawn(launch: Launch, mark: str) -> subprocess.Popen[bytes]:
    name, _, value = mark.partition("=")
    os.close(os.open(launch.spool, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    log = os.open(launch.folder / "raw.txt", os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        return subprocess.Popen(
            launch.argv if launch.spooled else around(launch, mark),
            cwd=launch.cwd or None,
            env={**launch.environment, name: value},
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            bufsize=0,
            start_new_session=True,
        )
    finally:
        os.close(log)


def around(launch: Launch, mark: str) -> tuple[str, ...]:
    """The command line of a launch with the spooler around it."""
    # -S: without site-packages Python starts in half the time; the spooler is told where psutil is, for the rare need.
    library = os.path.dirname(os.path.dirname(psutil.__file__))
    python = (sys.executable, "-I", "-S", os.fspath(SPOOLER))
    locale = launch.environment.get("LC_CTYPE", "")
    return (*python, os.fspath(launch.spool), str(launch.limit), mark, library, locale, "t" * launch.pty, *launch.argv)


def read_spool(spool: Path, offset: int, size: int) -> bytes:
    """Up to `size` bytes of a spool from `offset`; none when it is not there."""
    try:
        with open(spool, "rb", buffering=0) as file:
            return os.pread(file.fileno(), size, offset)
    except FileNotFoundError:
        return b""


def _reaped(pid: int, options: int) -> int | None:
    """The exit code of a child; UNKNOWN when someone else has taken it, None when it still runs."""
    try:
        done, status = os.waitpid(pid, options)
    except ChildProcessError:
        return UNKNOWN
    return os.waitstatus_to_exitcode(status) if done else None


def _nothing() -> None:
    """All that was submitted before has been done when this is."""


def _close_lifelines() -> None:
    # A forked child of the kernel (multiprocessing) would keep the lifelines alive after the kernel's death.
    for lifeline in list(_lifelines):
        lifeline.close()


os.register_at_fork(after_in_child=_close_lifelines)


def describe(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
