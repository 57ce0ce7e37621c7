"""Owns the process of a spawned kernel: ``python -m jupyter_orchestra.workers.inside -f connection.json``."""

from __future__ import annotations

import builtins
import ctypes
import getpass
import os
import stat
import sys
import traceback
import warnings
from types import ModuleType, SimpleNamespace
from typing import Any, Final

from ipykernel.control import ControlThread
from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp
from traitlets import default
from zmq import ROUTER, STREAM

from .inside_shell import TaskCompiler, TaskShell, refuse_input
from .inside_streams import Console, Stream
from .inside_task import Runner
from .inside_watch import Watch
from .words import words

PR_SET_CHILD_SUBREAPER: Final = 36


class Nowhere:
    """A socket that nobody listens to: outputs go to the spool, not to iopub."""

    def send_multipart(self, *args: Any, **kwargs: Any) -> None:
        """Drop it."""


class TaskKernel(IPythonKernel):
    """A kernel whose execute_request carries a task; everything that it puts out goes to that task's spool."""

    shell_class = TaskShell
    compiler_class = TaskCompiler

    def start(self) -> None:
        self.log.setLevel("ERROR")
        super().start()  # type: ignore[no-untyped-call]
        self.io_loop.add_callback(self._get_ready)

    def _get_ready(self) -> None:
        shell: Any = self.shell
        self.runner = Runner(shell, shell.console)

    async def execute_request(self, stream: Any, ident: Any, parent: dict[str, Any]) -> None:
        order = parent["metadata"].get("orchestra")
        if order is None:
            content = {"status": "error", "ename": "NoTask", "evalue": "this kernel runs dispatched tasks only"}
        else:
            content = await self._run(order, parent["content"]["code"])
        assert self.session is not None
        self.session.send(stream, "execute_reply", content, parent, ident=ident)

    async def _run(self, order: dict[str, Any], code: str) -> dict[str, Any]:
        try:
            return await self.runner.run(order, code)
        except BaseException as error:  # without a reply the task would never end
            self.log.exception("a task could not be ended")
            return {"status": "lost", "reason": f"{type(error).__name__}: {words(error)}"}

    def _publish_status(self, status: str, channel: str, parent: Any = None) -> None:
        """Nobody subscribes to the status of a worker."""


class TaskApp(IPKernelApp):
    """The kernel's process without what a worker does not need: heartbeat, iopub, debugger, subshells, history."""

    console: Console

    @default("kernel_class")
    def _task_kernel(self) -> type[TaskKernel]:
        return TaskKernel

    def init_poller(self) -> None:
        """The watch over the pipes looks at the parent too."""

    def init_heartbeat(self) -> None:
        """The notebook's kernel waits on the process itself."""

    def init_iopub(self, context: Any) -> None:
        self.configure_tornado_logger()  # type: ignore[no-untyped-call]
        self.iopub_socket = Nowhere()

    def init_control(self, context: Any) -> None:
        self.control_socket = context.socket(ROUTER)
        self.control_socket.linger = 1000
        self._apply_curve_server_options(self.control_socket)
        self.control_port = self._bind_socket(self.control_socket, self.control_port)  # type: ignore[no-untyped-call]
        self.debugpy_socket = context.socket(STREAM)  # init_kernel wants one
        self.debugpy_socket.linger = 0
        self.control_thread = ControlThread(daemon=True)

    def log_connection_info(self) -> None:
        """Nobody reads this process's terminal."""

    def init_io(self) -> None:
        self.displayhook = SimpleNamespace()  # init_kernel sets an attribute of it
        lifeline = _take_stdin()
        self.console = Console()
        sys.stdout = Stream(self.console, "stdout", 1)
        sys.stderr = Stream(self.console, "stderr", 2)
        for stream in (sys.__stdout__, sys.__stderr__):
            stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        if lifeline is not None:
            Watch(self.console, lifeline, int(os.environ.get("JPY_PARENT_PID") or 0), self._files()).start()

    def _files(self) -> list[str]:
        """What belongs to this process alone: connection file, sockets, and what its launcher made."""
        folder = os.path.dirname(self.abs_connection_file)
        ports = (self.shell_port, self.stdin_port, self.control_port) if self.transport == "ipc" else ()
        sockets = [f"{self.ip}-{port}" for port in ports]
        return [self.abs_connection_file, *sockets, os.path.join(folder, "raw.txt"), os.path.join(folder, "spool")]

    def init_kernel(self) -> None:
        super().init_kernel()  # type: ignore[no-untyped-call]
        self.kernel.shell.console = self.console

    def init_extensions(self) -> None:
        """The person's extensions are for the notebook; a worker that loaded ours would dispatch to itself."""

    def init_code(self) -> None:
        """Start-up files fill a namespace that no task sees."""


def _take_stdin() -> int | None:
    """The lifeline, moved from where a child or `input` would read it."""
    kind = os.fstat(0).st_mode
    lifeline = os.dup(0) if stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind) else None
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return lifeline


def _leave_debugger_out() -> None:
    """Save 10 MB and a tenth of a second: the kernel imports debugpy wherever that is installed."""
    absent: Any = ModuleType("ipykernel.debugger")
    absent._is_debugpy_available = False
    absent.Debugger = object
    sys.modules["ipykernel.debugger"] = absent


def _adopt_orphans() -> None:
    """Make what a task's children leave behind a child of this process (Linux), so that it is seen and ended."""
    try:
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except AttributeError:
        return


def main() -> None:
    """Run the kernel until it is killed."""
    if sys.path[0] == os.getcwd():  # where our package lies; a task brings its own path
        del sys.path[0]
    _adopt_orphans()
    _leave_debugger_out()
    builtins.input = refuse_input
    getpass.getpass = refuse_input
    warnings.filterwarnings("ignore", message="To exit: use", category=UserWarning)
    app: Any = TaskApp.instance()
    app.config.HistoryManager.enabled = False
    app.config.InteractiveShell.cache_size = 0
    # The launcher's file, for our own errors: from init_io on, file descriptor 2 is the running task's.
    errors = sys.stderr = open(os.dup(2), "w", buffering=1)  # noqa: SIM115
    try:
        app.initialize()
    except BaseException:
        traceback.print_exc(file=errors)
        raise
    app.start()


if __name__ == "__main__":
    main()
