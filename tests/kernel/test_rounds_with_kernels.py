"""Holders, real kernels and supervisors that die in any order, with kernel and shell tasks."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time

import psutil
import pytest
from live_kernel import ENDED, LiveKernel, wait_until
from mortals import Project

SEED = int(os.environ.get("ORCHESTRA_SEED", "5"))
DURABLE = "jo.tasks()[0].uid and int(jo.dispatch('true', worker='shell').get())"
# The lock is what the press is: whoever of a task lives has it.
CODE = """%%dispatch {name} --needs press
import fcntl, os, subprocess, time
lock = open('press', 'a')
os.set_inheritable(lock.fileno(), True)
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print('{name}', file=open('met-another', 'a'))
print('{name}', file=open('begun', 'a'))
child = subprocess.Popen(['setsid', 'sleep', '600'], close_fds=False)
open('.{name}', 'w').write(str(os.getpid()))
os.rename('.{name}', '{name}')
for n in range({ticks}):
    print('tick', n + 1, flush=True)
    time.sleep(0.05)
print('whole')"""
SCRIPT = """%%dispatch {name} -w shell --needs press
exec 9>>press
flock -n 9 || echo {name} >> met-another
echo {name} >> begun
setsid sleep 600 &
echo $$ > .{name}; mv .{name} {name}
for n in $(seq {ticks}); do echo "tick $n"; sleep 0.05; done
echo whole"""


class Round:
    """One round between two notebooks."""

    def __init__(self, project: Project, kernels: dict[str, LiveKernel], number: int) -> None:
        self._project, self._kernels, self._number = project, kernels, number
        self._chance = random.Random(SEED * 1000 + number)
        self._ticks: dict[str, int] = {}
        self._cut: dict[str, set[str]] = {}  # what had not ended when something was killed, and what that was

    def play(self) -> None:
        """Dispatch, kill, open again, and look at what has become of everything."""
        for book, kernel in self._kernels.items():
            for kind, cell in (("code", CODE), ("script", SCRIPT)):
                name = f"{book}{self._number}-{kind}"
                self._ticks[name] = self._chance.randint(4, 20)
                kernel.run(cell.format(name=name, ticks=self._ticks[name]))
            kernel.ask(DURABLE)
        for victim in self._chance.sample(["holder", "kernel", "supervisor"], self._chance.randint(1, 3)):
            time.sleep(self._chance.random())
            self._kill(victim, self._chance.choice("ab"))
        for name in self._ticks:
            self._open(name[0]).until_state(name, *ENDED, seconds=60.0)
        met = self._project.folder / "met-another"
        assert not met.exists(), met.read_text()
        begun = self._project.text("begun").split()
        for name in self._ticks:
            assert begun.count(name) <= 1
            self._check(name, self._cut.get(name, set()))

    def _kill(self, victim: str, book: str) -> None:
        names = {name for name in self._ticks if name[0] == book}
        kernel = self._open(book)
        names = {name for name in names if kernel.state(name) not in ENDED}
        if victim == "holder":
            names = {name for name in names if self._shoot(name)}
        elif victim == "kernel":
            kernel.kill()
            del self._kernels[book]
        else:
            os.kill(self._project.supervisor_of(kernel), signal.SIGKILL)
        for name in names:
            self._cut.setdefault(name, set()).add(victim)

    def _shoot(self, name: str) -> bool:
        with contextlib.suppress(psutil.Error, FileNotFoundError):
            process = psutil.Process(int(self._project.text(name)))
            if process.status() != psutil.STATUS_ZOMBIE and self._is_of(process, name):
                process.kill()
                return True
        return False

    def _is_of(self, process: psutil.Process, name: str) -> bool:
        """Whether a process still works for a task: a kernel may have the next one by now."""
        return any(name in child.environ().get("ORCHESTRA_TASK", "") for child in process.children())

    def _open(self, book: str) -> LiveKernel:
        if book not in self._kernels:
            self._kernels[book] = self._project.open(book)
        return self._kernels[book]

    def _check(self, name: str, cut: set[str]) -> None:
        kernel = self._kernels[name[0]]
        state, said = kernel.state(name), kernel.ask(f"jo.task({name!r}).stdout").splitlines()
        why, attempt = kernel.ask(f"jo.task({name!r}).error"), kernel.ask(f"jo.task({name!r}).attempt")
        lines = [*(f"tick {n + 1}" for n in range(self._ticks[name])), "whole"]
        assert attempt == 1
        if state == "done":
            assert said == lines
        elif state == "failed":
            assert "holder" in cut, (name, cut, why)
            assert "SIGKILL" in why
            assert said == lines[: len(said)]
        else:
            assert state == "lost", (name, state, why)
            assert cut & {"kernel", "supervisor"}, (name, cut, why)


@pytest.mark.parametrize("first", [0, 2, 4])
def test_whoever_dies_in_whatever_order_with_real_kernels_never_two_hold_the_same(project: Project, first: int) -> None:
    kernels = {book: project.open(book) for book in "ab"}
    for number in (first, first + 1):
        Round(project, kernels, number).play()
    for kernel in kernels.values():
        kernel.shut_down()
    wait_until(lambda: not project.left(), why=lambda: f"left: {project.left()}")
