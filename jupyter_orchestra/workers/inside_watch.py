"""Owns the thread that watches over a spawned kernel: its pipes, its lifeline, its parent; knows no task."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from select import POLLIN, poll
from typing import Final

from .inside_streams import CHUNK, Console

TICK: Final = 1000  # ms between two looks at the parent and at text without a newline


STILL: Final = 0.002  # seconds in which a stopped process stands still
SOON: Final = 50  # ms between two looks whether the last task has ended


class Watch(threading.Thread):
    """Drains the pipes, and ends this process and all that it started when whoever started it is gone.

    Anything that comes over the lifeline says that nobody will give it another task: it ends once it has none.
    """

    def __init__(self, console: Console, lifeline: int, parent: int, files: Sequence[str]) -> None:
        super().__init__(name="watch", daemon=True)
        self._console = console
        self._lifeline = lifeline
        self._files = files  # of this process; who would remove them is gone then
        self._parent = parent if parent == os.getppid() else 0  # under a supervisor the lifeline alone counts

    def run(self) -> None:
        waiting = poll()
        for fd in (self._lifeline, *self._console.descriptors):
            waiting.register(fd, POLLIN)
        looked = time.monotonic()
        last = False
        while True:
            ready = [fd for fd, _ in waiting.poll(SOON if last else TICK)]
            if self._lifeline in ready:
                last = True
                if not os.read(self._lifeline, CHUNK):
                    end_everything(self._files)
            if last and self._console.spool is None:
                end_everything(self._files)
            if self._parent and os.getppid() != self._parent:
                end_everything(self._files)
            if ready:
                self._console.drain()
            else:
                self._console.flush()
            if time.monotonic() - looked >= TICK / 1000:
                looked = time.monotonic()
                self._console.idle()


def end_everything(files: Sequence[str]) -> None:
    """SIGKILL for the descendants of this process, its group and itself; `files` go, and their folder once empty."""
    stopped: set[int] = set()  # before any is killed: what it forks then would be nobody's once this process is gone
    while fresh := set(_descendants(os.getpid())) - stopped:
        for pid in fresh:
            _send(pid, signal.SIGSTOP)
        stopped |= fresh
        time.sleep(STILL)
    for pid in stopped:
        _send(pid, signal.SIGKILL)
    for file in files:
        with suppress(OSError):
            os.unlink(file)
    with suppress(OSError):
        os.rmdir(folder := os.path.dirname(files[0]))
        os.rmdir(os.path.dirname(folder))
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def _descendants(pid: int) -> Iterator[int]:
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children") as file:
                for child in file.read().split():
                    yield from _descendants(int(child))
                    yield int(child)
    except OSError:
        return


def _send(pid: int, number: int) -> None:
    with suppress(OSError):
        os.kill(pid, number)
