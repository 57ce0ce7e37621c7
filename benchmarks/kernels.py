"""Starts real kernels through jupyter_client, runs cells in them, and leaves no process behind."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil
from jupyter_client.jsonutil import parse_date
from jupyter_client.manager import KernelManager

ROOT = Path(__file__).resolve().parents[1]
SUPERVISOR = "jupyter_orchestra/supervisor/main.py"
MARK = "JO_BENCH"  # the variable that finds all that a benchmark started
PATIENCE = 180.0  # seconds that one cell may take
REPLY = "from `started` to the date of execute_reply, by the kernel's clock"
LOADED = """%load_ext jupyter_orchestra
import jupyter_orchestra as jo
from benchmarks import cells
jo.dispatch("1+1").get()"""


class Bench:
    """What one run of the benchmarks shares: its folder, its sizes, its processes. A context manager.

    Parameters
    ----------
    quick
        Small numbers: says that everything works, not how fast it is.
    peers
        Measure the peers too, where they are installed.
    """

    def __init__(self, quick: bool = False, peers: bool = True) -> None:
        self.quick = quick
        self.peers = peers
        place = "/var/tmp" if os.access("/var/tmp", os.W_OK) else None  # on a disk, where /tmp may be in memory
        self._folder = tempfile.TemporaryDirectory(prefix="jo-bench-", dir=place, ignore_cleanup_errors=True)
        self.folder = Path(self._folder.name)
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # as where the machine's leases usually are
        self._memory = tempfile.TemporaryDirectory(prefix="jo-bench-", dir=memory, ignore_cleanup_errors=True)
        self._mark = secrets.token_hex(8)
        self._numbers = count()

    def __enter__(self) -> Bench:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.kill()
        self._folder.cleanup()
        self._memory.cleanup()

    def size(self, full: int, quick: int) -> int:
        """How many: `quick` in a quick run."""
        return quick if self.quick else full

    def has(self, peer: str) -> bool:
        """Whether that package is to be measured too."""
        return self.peers and find_spec(peer) is not None

    def environment(self) -> dict[str, str]:
        """What a kernel finds: folders of its own, no network."""
        number = next(self._numbers)
        return {
            **os.environ,
            MARK: self._mark,
            "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", "")))),
            "JUPYTER_DATA_DIR": str(self.folder / "data"),
            "XDG_STATE_HOME": str(self.folder / "state"),
            "XDG_RUNTIME_DIR": self._memory.name,
            "IPYTHONDIR": str(self.folder / "ipython"),
            "JPY_SESSION_NAME": str(self.folder / f"notebook-{number}.ipynb"),
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        }

    @contextlib.contextmanager
    def kernel(self, *setup: str) -> Iterator[Kernel]:
        """A kernel that ends with the block, in which the cells of `setup` have run."""
        kernel = Kernel(self.folder, self.environment())
        try:
            for cell in setup:
                kernel.run(cell)
            yield kernel
        finally:
            kernel.close()

    def processes(self) -> list[psutil.Process]:
        """All living processes that this run started; supervisors keep nothing of a kernel's environment."""
        found = list(marked(self._mark))
        above = {parent for process in found if (parent := _supervisor(process)) is not None}
        return [*found, *above.difference(found)]


def marked(value: str) -> Iterator[psutil.Process]:
    """The living processes that carry the mark with that value."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARK) == value:
                yield process


def _supervisor(process: psutil.Process) -> psutil.Process | None:
    """What owns a process, if that is a supervisor of the orchestra's."""
    with contextlib.suppress(psutil.Error):
        parent = process.parent()
        if parent is not None and any(word.endswith(SUPERVISOR) for word in parent.cmdline()):
            return parent
    return None


class Kernel:
    """One kernel and its client."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._log = (folder / "kernels.log").open("ab")
        self._manager = KernelManager(kernel_name="python3")
        self._manager.start_kernel(env=environment, cwd=str(folder), stdout=self._log, stderr=self._log)
        self._client = self._manager.blocking_client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=PATIENCE)
        self.process = psutil.Process(int(self._manager.provisioner.pid))  # type: ignore[union-attr]

    def run(self, code: str) -> float:
        """Run a cell, which must succeed; the seconds for which the kernel was at it."""
        return _seconds(self._execute(code))

    def value(self, expression: str) -> Any:
        """What an expression gives, which must be fit for JSON."""
        wanted = {"found": f"__import__('json').dumps({expression})"}
        reply = self._execute("", wanted)
        return _found(reply)

    def send(self, code: str) -> str:
        """Send a cell and do not wait; what :meth:`reply` takes."""
        return str(self._client.execute(code, allow_stdin=False))

    def reply(self, sent: str) -> datetime:
        """Wait for the end of a cell, which must succeed; when it began, by the kernel's clock."""
        while True:
            message = self._client.get_shell_msg(timeout=PATIENCE)
            if message["parent_header"].get("msg_id") == sent:
                _check(message)
                return _moment(message["metadata"]["started"])

    def next_starts(self, cell: str, then: str = "pass") -> float:
        """Send two cells at once; the seconds from the start of the first to the start of the second."""
        sent = self.send(cell), self.send(then)
        began, followed = map(self.reply, sent)
        return (followed - began).total_seconds()

    def shows(self, code: str, text: str) -> float:
        """Run a cell; the seconds from its start to the message with which its output holds `text`."""
        sent = self.send(code)
        while True:
            message = self._client.get_iopub_msg(timeout=PATIENCE)
            if message["msg_type"] != "execute_input" and text in json.dumps(message["content"]):
                return (_moment(message["header"]["date"]) - self.reply(sent)).total_seconds()

    def _execute(self, code: str, wanted: dict[str, str] | None = None) -> dict[str, Any]:
        reply: dict[str, Any] = self._client.execute_interactive(
            code, user_expressions=wanted, allow_stdin=False, output_hook=lambda message: None, timeout=PATIENCE
        )
        _check(reply)
        return reply

    def close(self) -> None:
        """End it and all that it started."""
        with contextlib.suppress(psutil.Error):
            started = self.process.children(recursive=True)
            self._client.stop_channels()
            self._manager.shutdown_kernel(now=False)
            _, left = psutil.wait_procs(started, timeout=5)
            for process in left:
                process.kill()
        self._log.close()


def _check(reply: dict[str, Any]) -> None:
    content = reply["content"]
    if content["status"] != "ok":
        raise RuntimeError("\n".join(content.get("traceback", ())) or f"a cell was {content['status']}")


def _seconds(reply: dict[str, Any]) -> float:
    """From the kernel's taking the request up to its sending the reply, by its own clock."""
    return (_moment(reply["header"]["date"]) - _moment(reply["metadata"]["started"])).total_seconds()


def _moment(found: Any) -> datetime:
    moment = found if isinstance(found, datetime) else parse_date(found)
    assert isinstance(moment, datetime)
    return moment


def _found(reply: dict[str, Any]) -> Any:
    found = reply["content"]["user_expressions"]["found"]
    if found["status"] != "ok":
        raise RuntimeError("\n".join(found["traceback"]))
    return json.loads(ast.literal_eval(found["data"]["text/plain"]))


def alive(pid: int) -> bool:
    """Whether a process runs; a dead one that nobody has reaped yet does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def wait_dead(pids: list[int], seconds: float = 10.0) -> float | None:
    """The moment (time.monotonic, one clock for all processes) at which none of them lives any more; None: never."""
    end = time.monotonic() + seconds
    while any(alive(pid) for pid in pids):
        if time.monotonic() > end:
            return None
        time.sleep(0.001)
    return time.monotonic()


def pss(process: psutil.Process) -> float:
    """MiB of a process, shared pages counted in proportion."""
    for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"no Pss of process {process.pid}")
