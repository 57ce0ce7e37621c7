"""Holders, kernels and supervisors that die in any order: never two hold the same, nothing is lost or run twice."""

from __future__ import annotations

import contextlib
import json
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from live_kernel import MARK, PATIENCE, describe, marked, wait_until

from jupyter_orchestra.supervisor.main import living

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the supervisor is for Linux")

PROGRAM = Path(__file__).with_name("mini_kernel.py")
ROUNDS = int(os.environ.get("ORCHESTRA_ROUNDS", "50"))
SEED = int(os.environ.get("ORCHESTRA_SEED", "11"))
ENDED = ("done", "failed", "cancelled", "lost")
# The lock is what the press is: whoever of a task lives has it, by the descriptor that its children inherit.
SCRIPT = """
exec 9>>press
flock -n 9 || echo {name} >> met-another
echo {name} >> begun
echo $$ > .{name}; mv .{name} pid-{name}
{stray}
for n in $(seq {ticks}); do echo "tick $n"; sleep 0.02; done
echo whole; touch whole-{name}
"""
STRAYS = (
    "",
    "(setsid bash -c 'trap \"\" INT TERM HUP; sleep 600' > /dev/null 2>&1 &)",
    "(setsid env -i bash -c 'trap \"\" INT TERM HUP; /bin/sleep 600' > /dev/null 2>&1 &)",
)


class Notebook:
    """One notebook, whose kernel may die."""

    def __init__(self, folder: Path, runtime: Path, name: str) -> None:
        self.name, self._folder, self._runtime = name, folder, runtime
        self._path, self._tag, self._log = folder / f"{name}.ipynb", secrets.token_hex(8), folder / f"{name}.log"
        self._path.write_text("{}")
        self._done: dict[str, Any] = {}  # what was said to be done
        self.mark = ""
        self.open()

    def open(self) -> None:
        """Start a kernel."""
        environment = {
            **os.environ,
            "JUPYTER_DATA_DIR": str(self._folder / "data"),
            "XDG_RUNTIME_DIR": str(self._runtime),
            MARK: self._tag,
        }
        with open(self._log, "ab") as log:
            self._kernel = subprocess.Popen(
                [sys.executable, os.fspath(PROGRAM), os.fspath(self._path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
                cwd=self._folder,
            )
        self.mark = self._heard()["mark"]

    @property
    def is_open(self) -> bool:
        """Whether its kernel lives."""
        return self._kernel.poll() is None

    def ask(self, **question: Any) -> dict[str, Any]:
        """Put a question to the kernel."""
        assert self._kernel.stdin is not None
        self._kernel.stdin.write(f"{json.dumps(question)}\n")
        self._kernel.stdin.flush()
        return self._heard()

    def _heard(self) -> dict[str, Any]:
        assert self._kernel.stdout is not None
        line = self._kernel.stdout.readline()
        assert line, self._log.read_text()
        found: dict[str, Any] = json.loads(line)
        return found

    def tasks(self) -> dict[str, Any]:
        """All tasks; what was said to be done stays done."""
        found = self.ask()
        for name, task in self._done.items():
            assert found[name] == task
        self._done |= {name: task for name, task in found.items() if task["state"] == "done"}
        return found

    def unended(self) -> set[str]:
        """The tasks that have not ended."""
        return {name for name, task in self.tasks().items() if task["state"] not in ENDED}

    @property
    def supervisor(self) -> int:
        """Its supervisor; 0: none lives."""
        return living(self._runtime / f"orchestra-{os.getuid()}" / self.mark)

    def kill(self) -> None:
        """Kill its kernel."""
        self._kernel.kill()
        self._kernel.communicate()

    def close(self) -> None:
        """Shut its kernel down."""
        if self.is_open:
            self._kernel.communicate(timeout=PATIENCE)

    def left(self) -> list[str]:
        """What lives of it."""
        names = (MARK, self._tag), ("ORCHESTRA_SUPERVISOR", self.mark), ("ORCHESTRA_RUNTIME", self.mark)
        return [line for name, value in names for line in describe(list(marked(name, value)))]


class Rounds:
    """Two notebooks that want the same, and whoever kills them."""

    def __init__(self, folder: Path, runtime: Path) -> None:
        self._folder = folder
        self.notebooks = [Notebook(folder, runtime, name) for name in "ab"]
        self.adopted = 0

    def play(self, number: int, adopts: bool) -> None:
        """One round; `adopts`: it begins with the death of a kernel whose task runs."""
        chance = random.Random(SEED * 1000 + number)
        scripts: dict[str, int] = {}
        for notebook in self.notebooks:
            least = 25 if adopts else 3
            names = {f"{notebook.name}{number}-{index}": chance.randint(least, 25) for index in range(2)}
            scripts |= names
            written = {name: self._script(name, ticks, chance) for name, ticks in names.items()}
            notebook.ask(dispatch=written, needs=["press"])
        cut: dict[str, set[str]] = {}  # what had not ended yet when something was killed, and what that was
        ran_on: set[str] = set()
        plan = [
            (chance.random() * 0.4, victim, chance.choice(self.notebooks))
            for victim in chance.sample(["holder", "kernel", "supervisor"], chance.randint(1, 3))
        ]
        if adopts:
            plan = [(0.1, "kernel", self._holder(scripts))]  # that it began is durable after 0.1 s
        for delay, victim, notebook in plan:
            time.sleep(delay)
            mine = {name for name in scripts if name[0] == notebook.name}
            before = notebook.unended() if notebook.is_open else mine
            for name in self._kill(victim, notebook, mine & before):
                cut.setdefault(name, set()).add(victim)
                if victim == "kernel" and (self._folder / f"pid-{name}").exists():
                    ran_on.add(name)
            if chance.random() < 0.5:
                self._reopen()
        self._reopen()
        wait_until(lambda: not any(notebook.unended() for notebook in self.notebooks), why=self._why)
        found = {name: task for notebook in self.notebooks for name, task in notebook.tasks().items()}
        assert not (self._folder / "met-another").exists(), (self._folder / "met-another").read_text()
        begun = (self._folder / "begun").read_text().split()
        for name, ticks in scripts.items():
            self._check(name, found[name], ticks, cut.get(name, set()))
            assert begun.count(name) <= 1
            self.adopted += name in ran_on and found[name]["state"] == "done"

    def _holder(self, names: Collection[str]) -> Notebook:
        """The notebook of the first of these tasks to run."""
        wait_until(lambda: any((self._folder / f"pid-{name}").exists() for name in names))
        name = next(name for name in names if (self._folder / f"pid-{name}").exists())
        return next(notebook for notebook in self.notebooks if notebook.name == name[0])

    def _script(self, name: str, ticks: int, chance: random.Random) -> str:
        return SCRIPT.format(name=name, ticks=ticks, stray=chance.choice(STRAYS))

    def _kill(self, victim: str, notebook: Notebook, names: set[str]) -> set[str]:
        """Kill something of a notebook; which of these tasks it concerns."""
        if victim == "kernel" and notebook.is_open:
            notebook.kill()
            return names
        if victim == "supervisor" and (pid := notebook.supervisor):
            os.kill(pid, signal.SIGKILL)
            return names
        return {name for name in names if victim == "holder" and self._shoot(name)}

    def _shoot(self, name: str) -> bool:
        """Kill the script of a task, if it runs."""
        with contextlib.suppress(psutil.Error, FileNotFoundError):
            process = psutil.Process(int((self._folder / f"pid-{name}").read_text()))
            if process.environ().get("ORCHESTRA_TASK") == name:
                process.kill()
                return True
        return False

    def _reopen(self) -> None:
        for notebook in self.notebooks:
            if not notebook.is_open:
                notebook.open()

    def _check(self, name: str, task: dict[str, Any], ticks: int, cut: set[str]) -> None:
        lines = [*(f"tick {n + 1}" for n in range(ticks)), "whole"]
        assert task["attempt"] == 1
        match task["state"]:
            case "done":
                assert task["text"].splitlines() == lines
                assert (self._folder / f"whole-{name}").exists()
            case "failed":
                assert "holder" in cut, task
                assert "SIGKILL" in task["why"], task
                said = task["text"].splitlines()
                assert said == lines[: len(said)]
            case "lost":
                assert cut & {"kernel", "supervisor"}, task
                assert task["asks"], "the person is told"
                assert "was killed" in task["why"] or "kernel died" in task["why"], task
            case state:
                pytest.fail(f"{name} is {state}")

    def _why(self) -> str:
        return "\n".join(f"{notebook.name}: {notebook.ask()}" for notebook in self.notebooks)

    def left(self) -> list[str]:
        """What is left when both have ended."""
        return [line for notebook in self.notebooks for line in notebook.left()]


@pytest.fixture
def rounds(tmp_path: Path) -> Iterator[Rounds]:
    runtime = Path(tempfile.mkdtemp(prefix="jo-", dir="/tmp"))
    found = Rounds(tmp_path, runtime)
    yield found
    for notebook in found.notebooks:
        notebook.close()
    try:
        wait_until(lambda: not found.left(), why=lambda: f"left: {found.left()}")
        files = [path for path in runtime.rglob("*") if not path.is_dir() and "leases" not in path.parent.name]
        assert files == []
    finally:
        for notebook in found.notebooks:
            if pid := notebook.supervisor:
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(runtime)


@pytest.mark.parametrize("first", range(0, ROUNDS, 10))
def test_whoever_dies_in_whatever_order_never_two_hold_the_same_and_nothing_is_lost(rounds: Rounds, first: int) -> None:
    for number in range(first, min(first + 10, ROUNDS)):
        rounds.play(number, adopts=number == first)
    assert rounds.adopted > 0, "the next kernel takes over what runs"
