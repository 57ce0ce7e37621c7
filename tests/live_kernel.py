"""Drives a real ipykernel through jupyter_client: runs cells on main or a subshell and collects what they say."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import zmq
from jupyter_client.manager import KernelManager

PATIENCE = 30.0  # seconds that anything may take on a loaded machine
MARK = "JO_TEST_KERNEL"  # the variable that finds all that a kernel started
ANSI = re.compile(r"\x1b\[[0-9;]*m")
OWN_TRACEBACK = re.compile(r"Traceback[^$]*?/jupyter_orchestra/(?!workers/inside)")
ENDED = ("done", "failed", "cancelled", "lost")
Message = dict[str, Any]


class Ran:
    """What one executed cell has answered and put out, also after it has ended."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.reply: Message | None = None
        self.idle = False

    def take(self, message: Message) -> None:
        """One more message on iopub."""
        if message["msg_type"] == "status":
            self.idle = self.idle or message["content"]["execution_state"] == "idle"
        else:
            self.messages.append(message)

    @property
    def over(self) -> bool:
        """Whether the cell has ended."""
        return self.reply is not None and self.idle

    @property
    def status(self) -> str:
        """Ok, error or aborted."""
        assert self.reply is not None
        return str(self.reply["content"]["status"])

    def contents(self, *kinds: str) -> list[Message]:
        """The contents of its messages of these kinds."""
        return [message["content"] for message in self.messages if message["msg_type"] in kinds]

    @property
    def text(self) -> str:
        """Its standard output and error, without colours."""
        return ANSI.sub("", "".join(content["text"] for content in self.contents("stream")))

    @property
    def error(self) -> str:
        """Its traceback, without colours; empty when it has none."""
        return ANSI.sub("", "\n".join("\n".join(content["traceback"]) for content in self.contents("error")))

    @property
    def value(self) -> str:
        """The text of its last expression."""
        found = self.contents("execute_result")
        return str(found[-1]["data"]["text/plain"]) if found else ""

    @property
    def displays(self) -> list[Message]:
        """The bundles that it displayed, each as it reads after all its updates."""
        shown: dict[str, Message] = {}
        for content in self.contents("display_data", "update_display_data"):
            shown[display_id(content) or f"none-{len(shown)}"] = content["data"]
        return list(shown.values())

    @property
    def card(self) -> str:
        """The text of its first display."""
        return str(self.displays[0]["text/plain"]) if self.displays else ""

    @property
    def shown(self) -> str:
        """Everything that a person reads below the cell, as plain text."""
        bundles = "\n".join(str(data.get("text/plain", "")) for data in self.displays)
        return "\n".join(part for part in (self.text, bundles, self.value, self.error) if part)


class LiveKernel:
    """A kernel with folders and an environment of its own.

    Parameters
    ----------
    folder
        Where it works, logs and keeps its data.
    notebook
        What ``JPY_SESSION_NAME`` says; None: it runs headless.
    """

    def __init__(self, folder: Path, notebook: Path | None = None, *, load: bool = True, **environment: str) -> None:
        self.folder, self.mark = folder, secrets.token_hex(8)
        self.data = folder / "data"
        self._log = open(folder / f"kernel-{self.mark}.log", "w+b")  # noqa: SIM115
        self._environment = {
            **os.environ,
            "JUPYTER_DATA_DIR": str(self.data),
            "IPYTHONDIR": str(folder / "ipython"),
            MARK: self.mark,
            **environment,
        }
        for name in ("JPY_SESSION_NAME", "MPLBACKEND"):
            self._environment.pop(name, None)
        if notebook is not None:
            self._environment["JPY_SESSION_NAME"] = str(notebook)
        self._ran: dict[str, Ran] = {}
        self.comm_listeners: list[Callable[[Message], None]] = []  # get every comm message of the kernel
        self.strangers: list[Message] = []  # parent headers of messages that belong to no cell
        self._displays: dict[str, Ran] = {}
        self.complaints: list[str] = []  # what the extension's own log says of its bugs
        self._own = ""  # the subshell of our own questions
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(env=self._environment, cwd=str(folder), stdout=self._log, stderr=self._log)
        self.load_text = ""
        self._connect()
        try:
            if load:
                self.load()
        except BaseException:
            self.close()
            raise

    def _connect(self) -> None:
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE)

    def load(self) -> None:
        """Load the extension; `load_text` is what it says."""
        self.load_text = self.run("%load_ext jupyter_orchestra\nimport jupyter_orchestra as jo").text
        self.load_text += self.run("jo.tasks();").text

    # cells

    def send(
        self,
        code: str,
        subshell: str = "",
        silent: bool = False,
        wanted: dict[str, str] | None = None,
        *,
        stdin: bool = False,
        cell: str = "",
    ) -> Ran:
        """Send a cell and do not wait for it; `stdin`: it may ask the person, `cell`: its id."""
        content = {
            "code": code,
            "silent": silent,
            "store_history": not silent,
            "user_expressions": wanted or {},
            "allow_stdin": stdin,
            "stop_on_error": not silent,
        }
        message = self.client.session.msg("execute_request", content)
        message["metadata"]["cellId"] = cell or secrets.token_hex(4)
        if subshell:
            message["header"]["subshell_id"] = subshell
        ran = self._ran[message["header"]["msg_id"]] = Ran()
        self.client.shell_channel.send(message)
        return ran

    def finish(self, ran: Ran, seconds: float = PATIENCE) -> Ran:
        """Wait until a cell has ended."""
        self.until(lambda: ran.over, seconds, "the cell does not end")
        return ran

    def run(self, code: str, subshell: str = "") -> Ran:
        """Run a cell, which must succeed."""
        ran = self.try_run(code, subshell)
        assert ran.status == "ok", ran.error or ran.reply
        return ran

    def try_run(self, code: str, subshell: str = "") -> Ran:
        """Run a cell, which may fail."""
        return self.finish(self.send(code, subshell))

    def fail(self, code: str, subshell: str = "") -> str:
        """Run a cell, which must fail; what it says."""
        ran = self.try_run(code, subshell)
        assert ran.status == "error", ran.shown
        return ran.error

    def ask(self, expression: str) -> Any:
        """The value of a simple expression, on a subshell, so that the main shell may be busy."""
        if not self._own:
            self._own = self.subshell()
        ran = self.finish(self.send("", self._own, True, {"found": f"repr({expression})"}))
        assert ran.reply is not None
        found = ran.reply["content"]["user_expressions"]["found"]
        assert found["status"] == "ok", found
        return eval(eval(found["data"]["text/plain"]))

    def until(self, condition: Callable[[], object], seconds: float = PATIENCE, why: str = "") -> None:
        """Collect messages until a condition holds."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"{why or 'not in time'}\n{self.log}"
            self.collect(0.01)

    def until_true(self, expression: str, seconds: float = PATIENCE) -> None:
        """Wait until an expression holds in the kernel."""
        self.until(lambda: self.ask(f"bool({expression})"), seconds, f"never true: {expression}")

    def until_state(self, name: str, *states: str, seconds: float = PATIENCE) -> None:
        """Wait until a task is in one of these states."""
        self.until(lambda: self.state(name) in states, seconds, f"{name} never is {states}")

    def state(self, name: str) -> str:
        """The state of a task."""
        return str(self.ask(f"str(jo.task({name!r}).state)"))

    def end(self, name: str) -> str:
        """Wait for the end of a task; the state in which it ended."""
        self.until_state(name, *ENDED)
        return self.state(name)

    def collect(self, seconds: float) -> None:
        """Sort what arrives within some seconds into the cells."""
        channels = self.client.iopub_channel, self.client.shell_channel
        poller = zmq.Poller()
        for channel in channels:
            poller.register(channel.socket, zmq.POLLIN)
        if not poller.poll(seconds * 1000):
            return
        for channel in channels:
            while channel.msg_ready():
                message = channel.get_msg(timeout=1)
                if message["msg_type"] == "stream" and OWN_TRACEBACK.search(message["content"]["text"]):
                    self.complaints.append(message["content"]["text"])
                if message["msg_type"].startswith("comm_"):
                    for listener in list(self.comm_listeners):
                        listener(message)
                ran = self._ran.get(message["parent_header"].get("msg_id", ""))
                if message["msg_type"] == "update_display_data":  # wherever it comes from, as in JupyterLab
                    ran = self._displays.get(display_id(message["content"]))
                if ran is None:
                    self.strangers.append(message["parent_header"])
                    continue
                if message["msg_type"] == "display_data":
                    self._displays[display_id(message["content"])] = ran
                if message["msg_type"] == "execute_reply":
                    ran.reply = message
                else:
                    ran.take(message)

    # the kernel

    def subshell(self) -> str:
        """Make a subshell; its id."""
        message = self.client.session.msg("create_subshell_request", {})
        self.client.control_channel.send(message)
        while True:
            reply = self.client.control_channel.get_msg(timeout=PATIENCE)
            if reply["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                return str(reply["content"]["subshell_id"])

    def interrupt(self) -> None:
        """What the Interrupt button does."""
        self.manager.interrupt_kernel()

    def restart(self) -> None:
        """What the Restart button does."""
        self.manager.restart_kernel()
        self.client.stop_channels()
        self._own = ""
        self._connect()

    @property
    def pid(self) -> int:
        """The kernel's process."""
        return int(self.manager.provisioner.pid)  # type: ignore[union-attr]

    def kill(self) -> None:
        """What the kernel of Linux does when memory runs out."""
        os.kill(self.pid, signal.SIGKILL)
        self._end(now=True)

    def shut_down(self) -> None:
        """What closing the notebook does."""
        self._end(now=False)

    def _end(self, now: bool) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=now)
        self._log.close()

    def close(self) -> None:
        """Leave nothing."""
        if not self._log.closed:
            self.shut_down()
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.kill()

    @property
    def log(self) -> str:
        """What the kernel wrote to its own standard error."""
        return (self.folder / f"kernel-{self.mark}.log").read_text("utf-8", "replace")

    @property
    def journals(self) -> list[str]:
        """The folders of the journals in its data folder."""
        root = self.data / "orchestra"
        return sorted(entry.name for entry in root.iterdir() if entry.is_dir()) if root.is_dir() else []

    def processes(self) -> list[psutil.Process]:
        """All that it started and that lives, and itself."""
        return list(marked(MARK, self.mark))

    def wait_for_no_process(self, seconds: float = 10.0) -> None:
        """Wait until nothing is left of it."""
        wait_until(lambda: not self.processes(), seconds, lambda: f"left: {describe(self.processes())}")


def display_id(content: Message) -> str:
    """By what a display can be updated; empty when it can't be."""
    return str(content.get("transient", {}).get("display_id") or "")


def marked(name: str, value: str = "") -> Iterator[psutil.Process]:
    """The living processes in whose environment `name` stands, with that value if one is given."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            found = process.environ().get(name)
            alive = process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
            if found is not None and alive and value in ("", found):
                yield process


def describe(processes: list[psutil.Process]) -> list[str]:
    """Processes in a line each."""
    lines = []
    for process in processes:
        with contextlib.suppress(psutil.Error):
            lines.append(f"{process.pid} {' '.join(process.cmdline())[:200]}")
    return lines


def wait_until(condition: Callable[[], object], seconds: float = PATIENCE, why: Callable[[], str] = str) -> None:
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, why()
        time.sleep(0.02)
