"""Which process a holder is, whether it still lives, and a wait that ends when it dies; knows nothing of leases."""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections.abc import Iterable
from functools import cache

import msgspec

from ..journal import owner


def machine_time() -> float:
    """Seconds that all processes of this boot count alike.

    The wall clock may jump without harm, and a machine that sleeps does not let every lease expire.
    """
    return time.monotonic()


@cache
def world() -> str:
    """What all processes share that can judge each other by their ids: the boot and the namespace of ids."""
    with contextlib.suppress(OSError):
        return f"{owner.boot()} {os.readlink('/proc/self/ns/pid')}"
    return owner.boot()


class Identity(msgspec.Struct, frozen=True):
    """One process of this world; ``started`` tells it from a later one of the same number."""

    pid: int
    started: str

    @property
    def alive(self) -> bool:
        """Whether that very process lives; one that only waits to be reaped does not."""
        return owner.started(self.pid) == self.started != ""

    def spell(self) -> str:
        """As text; :func:`read` is the inverse."""
        return f"{self.pid}:{self.started}"


def mine() -> Identity:
    """This process."""
    return of(os.getpid())


def of(pid: int) -> Identity:
    """The process that has this number now; one that is gone is not alive."""
    return Identity(pid, owner.started(pid))


def read(text: str) -> Identity:
    """What :meth:`Identity.spell` gave. Raises ValueError."""
    pid, _, started = text.partition(":")
    return Identity(int(pid), started)


class Vigil:
    """A wait of one thread: until another wakes it, a followed process dies, or the time is over."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._poll = select.poll()
        self._poll.register(self._reader, select.POLLIN)
        self._followed: dict[Identity, int] = {}

    def wake(self) -> None:
        """End the wait, or the next one; from any thread."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._writer, b"!")

    def follow(self, processes: Iterable[Identity]) -> None:
        """Follow these processes and no others. Where the system has no handles of processes it follows none."""
        wanted = set(processes)
        for process in self._followed.keys() - wanted:
            self._drop(process)
        for process in wanted - self._followed.keys():
            with contextlib.suppress(OSError, AttributeError):
                handle = os.pidfd_open(process.pid)
                self._followed[process] = handle
                self._poll.register(handle, select.POLLIN)
                if not process.alive:  # asked after the handle was taken, so that it belongs to this very process
                    self._drop(process)

    def wait(self, seconds: float | None) -> bool:
        """Wait; whether a followed process has died. It is not followed any more."""
        ready = {handle for handle, _ in self._poll.poll(None if seconds is None else max(0.0, seconds * 1000))}
        if self._reader in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self._reader, 4096)
        dead = [process for process, handle in self._followed.items() if handle in ready]
        for process in dead:
            self._drop(process)
        return bool(dead)

    def close(self) -> None:
        """Let go of everything; nobody may wake it any more."""
        self.follow(())
        os.close(self._reader)
        os.close(self._writer)

    def _drop(self, process: Identity) -> None:
        handle = self._followed.pop(process)
        self._poll.unregister(handle)
        os.close(handle)
