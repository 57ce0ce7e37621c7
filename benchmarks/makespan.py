"""How close sixteen sleeping tasks on four warm slots come to the shortest time that is possible."""

from __future__ import annotations

from benchmarks.cells import CHAINED, LENGTHS, SLOTS
from benchmarks.kernels import LOADED, Bench
from benchmarks.table import Row, p50, quantity, spread


def run(bench: Bench) -> list[Row]:
    """The row about parallel work."""
    scale, rounds = (0.25, 1) if bench.quick else (1.0, 3)
    with bench.kernel(LOADED, f"%config Orchestra.kernel_slots = {SLOTS}") as kernel:
        kernel.value(f"cells.warm({SLOTS})")
        taken = [kernel.value(f"cells.makespan({scale})") for _ in range(rounds)]
    bound = scale * max(_critical(), sum(LENGTHS) / SLOTS)
    over = 1000 * (p50(taken) - bound)
    how = (
        f"perf_counter in the cell; {LENGTHS[0] * scale:g} s to {LENGTHS[-1] * scale:g} s, longest first, {CHAINED} "
        f"come after {CHAINED} others; {quantity(over, 'ms')} over the bound; median, {spread(taken, 's')}"
    )
    return [
        Row(
            figure="parallel makespan, 16 tasks of mixed length on 4 slots",
            value=p50(taken),
            unit="s",
            times=1.05,
            how=how,
            peer="the bound: max(critical path, work / slots)",
            peer_value=bound,
        )
    ]


def _critical() -> float:
    """Seconds of the longest chain: task 4 comes after task 3, and so on."""
    pairs = (LENGTHS[n] + LENGTHS[2 * CHAINED - 1 - n] for n in range(CHAINED))
    return max(*pairs, *LENGTHS)
