"""How soon a cancelled task's whole process tree is dead."""

from __future__ import annotations

from benchmarks.kernels import LOADED, Bench, Kernel, wait_dead
from benchmarks.table import Row, p50, p99, quantity, spread

WHAT = {
    "kernel": "a kernel task that sleeps, its kernel and its subprocess",
    "shell": "a shell task: spooler, bash, a background sleep and a background bash with its child",
}


def run(bench: Bench) -> list[Row]:
    """A row for each kind of task."""
    rows = []
    with bench.kernel(LOADED) as kernel:
        for worker, what in WHAT.items():
            taken = [_once(bench, kernel, worker, number) for number in range(bench.size(50, 2))]
            how = (
                f"{what}; from `cancel()` in the cell to none of its processes in /proc (polled each ms, one monotonic "
                f"clock); p50 {quantity(p50(taken), 'ms')}, {spread(taken, 'ms')}"
            )
            figure = f"cancel → whole process tree dead, p99, {worker}"
            rows.append(Row(figure=figure, value=p99(taken), unit="ms", most=300.0, how=how))
    return rows


def _once(bench: Bench, kernel: Kernel, worker: str, number: int) -> float:
    """Milliseconds of one cancel."""
    pids = kernel.value(f"cells.victim({worker!r}, {str(bench.folder / f'{worker}-{number}')!r})")
    sent = kernel.send(f"began = cells.cancel({worker!r})")
    dead = wait_dead(pids)
    kernel.reply(sent)
    if dead is None:
        raise RuntimeError(f"still alive long after the cancel: {pids}")
    return 1000 * (dead - float(kernel.value("began")))
