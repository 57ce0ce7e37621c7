"""How soon a cancelled task's whole process tree is dead, and those of all tasks at once."""

from __future__ import annotations

import psutil

from benchmarks.kernels import LOADED, Bench, Kernel, wait_dead
from benchmarks.table import Row, p50, p99, quantity, spread

WHAT = {
    "kernel": "a kernel task that sleeps, its kernel and its subprocess",
    "shell": "a shell task: spooler, bash, a background sleep and a background bash with its child",
}
KERNELS, SHELLS, STUBBORN = 2, 12, 4  # tasks at once; those of the shells that heed no signal they can ignore
LEAST = 64  # processes of all of them together
POLLED = "to none of {} processes in /proc (polled each ms, one monotonic clock)"


def run(bench: Bench) -> list[Row]:
    """A row for each kind of task, then those for many at once."""
    rows = []
    with bench.kernel(LOADED) as kernel:
        for worker, what in WHAT.items():
            taken = [_once(bench, kernel, worker, number) for number in range(bench.size(50, 2))]
            how = (
                f"{what}; from `cancel()` in the cell {POLLED.format('its')}; "
                f"p50 {quantity(p50(taken), 'ms')}, {spread(taken, 'ms')}"
            )
            figure = f"cancel → whole process tree dead, p99, {worker}"
            rows.append(Row(figure=figure, value=p99(taken), unit="ms", most=300.0, how=how))
    return [*rows, *_all(bench)]


def _once(bench: Bench, kernel: Kernel, worker: str, number: int) -> float:
    """Milliseconds of one cancel."""
    pids = kernel.value(f"cells.victim({worker!r}, {str(bench.folder / f'{worker}-{number}')!r})")
    return 1000 * _ended(kernel, f"cells.cancel({worker!r})", pids)


def _all(bench: Bench) -> list[Row]:
    """Rows for many tasks at once: all end when they are told to, or some do not."""
    settings = (f"%config Orchestra.kernel_slots = {KERNELS}", f"%config Orchestra.shell_slots = {SHELLS}")
    with bench.kernel(LOADED, *settings) as kernel:
        kernel.value(f"cells.warm({KERNELS})")
        meek = [_everything(bench, kernel, 0, f"meek-{number}") for number in range(bench.size(20, 1))]
        rude = [_everything(bench, kernel, STUBBORN, f"rude-{number}") for number in range(bench.size(5, 1))]
    how = (
        f"{KERNELS} kernel and {SHELLS} shell tasks with their children; from `jo.cancel_all()` in the cell "
        f"{POLLED.format('their')}"
    )
    ignoring = f"in {STUBBORN} of the shell tasks, bash and its children ignore SIGINT and SIGTERM"
    return [
        Row(figure=f"cancel-all with {LEAST} live processes → nothing left, p50", value=p50(meek), unit="s", most=0.5,
            how=f"{how}; {spread(meek, 's')}"),
        Row(figure="the same, some of them ignore signals, the longest", value=max(rude), unit="s", most=6.0,
            how=f"{how}; {ignoring}; {spread(rude, 's')}"),
    ]  # fmt: skip


def _everything(bench: Bench, kernel: Kernel, stubborn: int, name: str) -> float:
    """Seconds of one cancel of all that runs."""
    roots = kernel.value(f"cells.crowd_of_victims({KERNELS}, {SHELLS}, {stubborn}, {str(bench.folder / name)!r})")
    below = (child.pid for pid in roots for child in psutil.Process(pid).children(recursive=True))
    pids = list({*roots, *below})
    if len(pids) < LEAST:
        raise RuntimeError(f"only {len(pids)} processes are alive")
    return _ended(kernel, "cells.cancel_all()", pids)


def _ended(kernel: Kernel, call: str, pids: list[int]) -> float:
    """Seconds from a cancel until none of these processes lives."""
    sent = kernel.send(f"began = {call}")
    dead = wait_dead(pids)
    kernel.reply(sent)
    if dead is None:
        raise RuntimeError(f"still alive long after the cancel: {pids}")
    return dead - float(kernel.value("began"))
