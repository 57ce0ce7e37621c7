"""What the orchestra and its kernels hold in memory, beside ipyparallel's cluster."""

from __future__ import annotations

from typing import NamedTuple

import psutil

from benchmarks.kernels import LOADED, Bench, Kernel, pss
from benchmarks.table import Row, p50, quantity

OURS = (LOADED, "%config Orchestra.kernel_slots = 2")
USE = 100  # tasks before the scales are read
PEER = "from benchmarks import peers\npeers.start(2)"


class Weight(NamedTuple):
    """MiB (PSS) of one notebook: its kernel over a bare one, the workers, and all that was started."""

    over: float
    workers: list[float]
    started: float
    processes: int

    @property
    def total(self) -> float:
        return self.over + self.started


def run(bench: Bench) -> list[Row]:
    """The rows about memory."""
    ours = _ours(bench)
    theirs = _theirs(bench) if bench.has("ipyparallel") else None
    how = f"PSS from smaps_rollup, after {USE} tasks on 2 kernels; a bare kernel that lives beside it subtracted"
    workers = "; ".join(quantity(worker, "MiB") for worker in ours.workers)
    engine = f"; the peer starts {theirs.processes} processes" if theirs else ""
    return [
        Row(figure="memory of the orchestra in the notebook's kernel", value=ours.over, unit="MiB", most=30.0, how=how,
            peer="ipyparallel client in its kernel", peer_value=theirs.over if theirs else None),
        Row(figure="memory of each warm kernel (the largest)", value=max(ours.workers), unit="MiB", most=37.0,
            how=f"PSS after its tasks: {workers}", peer="an ipyparallel engine",
            peer_value=p50(theirs.workers) if theirs else None),
        Row(figure="memory of all of it, 2 slots and the spare kernel", value=ours.total, unit="MiB", times=1.0,
            how=f"PSS of all {ours.processes} processes and the above{engine}",
            peer="ipyparallel client and cluster, 2 engines", peer_value=theirs.total if theirs else None),
    ]  # fmt: skip


def _ours(bench: Bench) -> Weight:
    with bench.kernel() as bare, bench.kernel(*OURS) as kernel:
        kernel.value("cells.warm(2)")
        kernel.value(f"cells.batch({USE})")
        return _weigh(bench, bare, kernel, "jupyter_orchestra.workers.inside")


def _theirs(bench: Bench) -> Weight:
    with bench.kernel() as bare, bench.kernel(PEER) as kernel:
        kernel.value(f"peers.batch({USE})")
        weight = _weigh(bench, bare, kernel, "ipyparallel.engine")
        kernel.run("peers.stop()")
        return weight


def _weigh(bench: Bench, bare: Kernel, kernel: Kernel, worker: str) -> Weight:
    started = [process for process in bench.processes() if process not in (bare.process, kernel.process)]
    sizes = {process: pss(process) for process in started}
    workers = [size for process, size in sizes.items() if _is(process, worker)]
    if not workers:
        raise RuntimeError(f"no {worker} among {[process.cmdline() for process in started]}")
    over = pss(kernel.process) - pss(bare.process)
    return Weight(over, workers, sum(sizes.values()), len(sizes))


def _is(process: psutil.Process, module: str) -> bool:
    return module in process.cmdline()
