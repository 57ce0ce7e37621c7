"""What becomes of a lease whose holder hangs: when it is free, and that nobody goes on with it; beside dask's."""

from __future__ import annotations

import contextlib
import os
import signal
import time

from benchmarks.kernels import Bench, alive
from benchmarks.leases import OURS, PEER, dask, freed, hold, own
from benchmarks.table import Row, quantity, spread


def run(bench: Bench) -> list[Row]:
    """Rows for how long it takes, and for how many there are once the hung one goes on."""
    workers = ["kernel"] * bench.size(2, 1) + ["shell"] * bench.size(4, 1)
    taken, living = _ours(bench, workers)
    theirs = _theirs(bench)
    kinds = " and ".join(f"{workers.count(kind)} {kind}" for kind in ("kernel", "shell"))
    how = (
        f"{kinds} tasks and the kernel of another notebook, all stopped with SIGSTOP while they hold a path each; from "
        "there to the beginning of the block of who waits for it (time.monotonic); a lease lasts 15 s; "
        f"{_longest([*workers, 'notebook'], taken)}, {spread(taken, 's')}"
    )
    if theirs is not None:
        how += "; the peer's lasts 15 s too, looked at each second; n = 1"
    then = (
        "the same, once the next one had the lease and the hung ones got SIGCONT: of the tasks no process lives, and "
        "the notebook's own code finds its lease lost; that of the peer says itself how many hold it"
    )
    return [
        Row(figure="hung holder → lease free, the longest", value=max(taken), unit="s", most=17.0, how=how,
            peer=PEER, peer_value=None if theirs is None else theirs[0]),
        Row(figure="holders of one lease when the hung one goes on", value=1.0 + living, unit="holders", most=1.0,
            how=then, peer=f"{PEER}(max_leases=1)", peer_value=None if theirs is None else theirs[1]),
    ]  # fmt: skip


def _longest(kinds: list[str], taken: list[float]) -> str:
    """The longest of each kind."""
    longest: dict[str, float] = {}
    for kind, seconds in zip(kinds, taken, strict=True):
        longest[kind] = max(seconds, longest.get(kind, 0.0))
    return ", ".join(f"{kind} {quantity(seconds, 's')}" for kind, seconds in longest.items())


def _ours(bench: Bench, workers: list[str]) -> tuple[list[float], bool]:
    """Seconds until it was another's, and whether anybody goes on with it."""
    with bench.kernel(*OURS) as kernel, bench.kernel(*OURS) as other:
        tasks = [hold(bench, kernel, worker, f"hung-{number}") for number, worker in enumerate(workers)]
        notebook = own(other, "hung-notebook")
        taken = freed(kernel, signal.SIGSTOP, [*tasks, notebook])
        living = any(alive(task.pid) for task in tasks)
        for holder in (*tasks, notebook):
            with contextlib.suppress(ProcessLookupError):
                os.kill(holder.pid, signal.SIGCONT)
        return taken, living or not other.value("leased.own[-1].lost")


def _theirs(bench: Bench) -> tuple[float, float] | None:
    """Seconds until another has a Semaphore of a stopped process, and how many have it when that goes on."""
    with dask(bench) as kernels:
        if kernels is None:
            return None
        waiter, holder = kernels
        holder.value("peers.acquire('one')")
        holder.process.suspend()
        stopped = time.monotonic()
        seconds = waiter.value("peers.acquire('one')") - stopped
        holder.process.resume()
        return seconds, float(waiter.value("peers.holders('one', 20.0)"))
