"""Notebooks of one project whose kernels are killed, and what must not be left of them."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
from live_kernel import LiveKernel, describe, marked, wait_until

from jupyter_orchestra.resources import identity, steward
from jupyter_orchestra.resources.steward import Steward
from jupyter_orchestra.supervisor.main import BEAT, living

PROJECT = """
[tool.jupyter_orchestra.resources]
press = 1
lathe = 1
loom = {capacity = 1, preemptible = true}

[tool.jupyter_orchestra.servers.web]
command = "exec python -m http.server $PORT"
"""
EMPTY = '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'


class Project:
    """A folder of notebooks with a runtime directory of its own.

    Parameters
    ----------
    runtime
        That directory; its path is short, as that of a socket has to be.
    """

    def __init__(self, folder: Path, runtime: Path) -> None:
        self.folder, self.runtime = folder, runtime
        self._opened: list[LiveKernel] = []
        self.declare()

    def declare(self, **settings: object) -> None:
        """Write the project's file."""
        lines = [f"{name} = {value}" for name, value in settings.items()]
        (self.folder / "pyproject.toml").write_text("\n".join(["[tool.jupyter_orchestra]", *lines, PROJECT]))

    def open(self, name: str = "a", **environment: str) -> LiveKernel:
        """A kernel of a notebook."""
        notebook = self.folder / f"{name}.ipynb"
        notebook.write_text(EMPTY)
        self._opened.append(LiveKernel(self.folder, notebook, XDG_RUNTIME_DIR=str(self.runtime), **environment))
        return self._opened[-1]

    def touch(self, *names: str) -> None:
        """Make files for which tasks wait."""
        for name in names:
            (self.folder / name).touch()

    def has(self, *names: str) -> bool:
        """Whether tasks have made all these files."""
        return all((self.folder / name).exists() for name in names)

    def wait_for(self, *names: str) -> None:
        """Wait until tasks have made these files."""
        wait_until(lambda: self.has(*names), why=lambda: f"of {names} there is {os.listdir(self.folder)}")

    def text(self, name: str) -> str:
        """What a task wrote into a file."""
        return (self.folder / name).read_text()

    # supervisors, by the folders of their notebooks

    @property
    def folders(self) -> list[Path]:
        """The folders of all runtimes."""
        return sorted((self.runtime / f"orchestra-{os.getuid()}").glob("*"))

    def supervisors(self) -> list[int]:
        """The processes of the supervisors that live."""
        return [pid for folder in self.folders if (pid := living(folder))]

    def supervisor_of(self, kernel: LiveKernel) -> int:
        """The supervisor of a kernel; 0: it has none."""
        mark = kernel.ask("__import__('jupyter_orchestra').app._app.journal.folder.name")
        return living(self.runtime / f"orchestra-{os.getuid()}" / mark)

    def supervisor(self, task: int) -> int:
        """The supervisor that owns a process."""
        (pid,) = {parent.pid for parent in psutil.Process(task).parents()} & set(self.supervisors())
        return pid

    def beats(self) -> list[Steward]:
        """What supervisors say."""
        return [found for folder in self.folders if (found := steward.read(folder / BEAT)) is not None]

    def wait_for_orphans(self, *leases: str) -> Steward:
        """Wait until a supervisor knows that it is alone with what works under these leases, and has said so again."""

        def found() -> list[Steward]:
            return [b for b in self.beats() if not (b.clients or b.settling) and set(leases) == set(b.living)]

        wait_until(found, why=lambda: f"supervisors say {self.beats()}")
        before = found()[0].spoken
        wait_until(lambda: any(beat.spoken > before + 1.0 for beat in found()))
        return found()[0]

    # leases of the machine

    def leases(self) -> dict[str, int]:
        """The token of each lease that somebody stands behind, a kernel or a supervisor, by its id."""
        orphans = {id for beat in self.beats() for id in beat.living}
        rows = self._rows()
        return {id: token for party, id, token in rows if identity.read(party).alive or id in orphans}

    def wait_until_held_by(self, kernel: LiveKernel, but: LiveKernel | None = None) -> None:
        """Wait until a kernel has taken over all leases that there are, but for those of another."""
        others = {but.pid} if but is not None else set()
        wait_until(lambda: {identity.read(party).pid for party, _, _ in self._rows()} - others == {kernel.pid})

    def _rows(self) -> list[tuple[str, str, int]]:
        found = []
        for file in self.runtime.glob(f"orchestra-leases-{os.getuid()}/*.db"):
            with contextlib.closing(sqlite3.connect(file)) as connection:
                found += connection.execute("SELECT party, id, token FROM claim WHERE state <> 'waiting'").fetchall()
        return found

    # the end

    def close(self) -> None:
        """End what still runs."""
        for kernel in self._opened:
            kernel.close()
        for pid in self.supervisors():
            os.kill(pid, signal.SIGKILL)

    def wait_for_nothing(self, *ports: int) -> None:
        """Wait until no process, socket, folder, port or lease is left."""
        wait_until(lambda: not self.left(*ports), 20.0, lambda: f"left: {self.left(*ports)}")

    def left(self, *ports: int) -> list[str]:
        """What is left."""
        return [*self._processes(), *self._files(), *map(str, filter(is_taken, ports)), *self.leases()]

    def _processes(self) -> Iterator[str]:
        for kernel in self._opened:
            yield from describe(kernel.processes())
            for mark in kernel.journals:
                yield from describe([*marked("ORCHESTRA_SUPERVISOR", mark), *marked("ORCHESTRA_RUNTIME", mark)])

    def _files(self) -> Iterator[str]:
        own = self.runtime / f"orchestra-leases-{os.getuid()}"
        doors = {path.parent for path in self.runtime.rglob("door.json")}  # the next kernel's door removes those
        for path in self.runtime.rglob("*"):
            of_door = path in doors or path.name.startswith("door.")
            if not of_door and own not in (path, *path.parents) and path != self.runtime / f"orchestra-{os.getuid()}":
                yield str(path)


def is_taken(port: int) -> bool:
    """Whether some program listens on a port."""
    with contextlib.closing(socket.socket()) as found:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def running(kernel: LiveKernel, words: str) -> list[int]:
    """The processes below a kernel in whose command these words are."""
    return [int(line.split()[0]) for line in describe(kernel.processes()) if words in line]


def is_gone(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def waiting(name: str, worker: str, *flags: str, then: str = "") -> str:
    """A cell that dispatches a task: it writes its process into a file of its name, and ends once `go-NAME` is there.

    When it began and ended stands in `began-NAME` and `ended-NAME`, in the seconds that all processes count alike.
    """
    head = " ".join((f"%%dispatch {name} -w {worker}", *flags))
    if worker == "shell":
        lines = [
            f"cut -d ' ' -f 1 /proc/uptime > began-{name}",
            f"echo $$ > .{name}; mv .{name} {name}",
            f"while ! test -e go-{name}; do sleep 0.02; done",
            *filter(None, [then]),
            f"cut -d ' ' -f 1 /proc/uptime > ended-{name}",
            f"echo came {name}",
        ]
    else:
        lines = [
            "import os, time, pathlib",
            f"pathlib.Path('began-{name}').write_text(open('/proc/uptime').read().split()[0])",
            f"pathlib.Path('.{name}').write_text(str(os.getpid()))",
            f"os.rename('.{name}', '{name}')",
            f"while not os.path.exists('go-{name}'):",
            "    time.sleep(0.02)",
            *filter(None, [then]),
            f"pathlib.Path('ended-{name}').write_text(open('/proc/uptime').read().split()[0])",
            f"print('came {name}')",
        ]
    return "\n".join((head, *lines))


def stray(name: str, sign: str = "") -> str:
    """A line of a script that starts what leaves its session, carries no mark, ignores signals and is forked twice.

    It writes its process into a file of its name; `sign` is what it does then, in Python.
    """
    code = (
        "import os, signal, time\n"
        "os.fork() and os._exit(0)\n"
        "for number in (1, 2, 3, 15): signal.signal(number, signal.SIG_IGN)\n"
        f"open('.{name}', 'w').write(str(os.getpid()))\nos.rename('.{name}', '{name}')\n{sign}\ntime.sleep(600)"
    )
    return f"(setsid env -i {sys.executable} -I -S -c {shlex.quote(code)} > /dev/null 2>&1 &)"
