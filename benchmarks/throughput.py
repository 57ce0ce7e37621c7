"""How fast tasks go through: one at a time, a thousand at once, and each after the one before; beside ipyparallel."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from benchmarks.kernels import LOADED, Bench, Kernel
from benchmarks.table import Row, p50, p99, quantity, spread

SETUP = (LOADED, "%config Orchestra.kernel_slots = 2")
PEER = "from benchmarks import peers\npeers.start(2)"
NOT_DURABLE = "not durable"


@dataclass
class Two:
    """Our kernel, and the peer's where there is one."""

    ours: Kernel
    peer: Kernel | None

    def both(self, call: str, times: int) -> tuple[list[Any], list[Any]]:
        """What a call gives in our kernel and in the peer's, taking turns."""
        found: tuple[list[Any], list[Any]] = ([], [])
        for _ in range(times):
            found[0].append(self.ours.value(f"cells.{call}"))
            if self.peer is not None:
                found[1].append(self.peer.value(f"peers.{call}"))
        return found


def run(bench: Bench) -> list[Row]:
    """All rows about throughput."""
    with ExitStack() as stack:
        ours = stack.enter_context(bench.kernel(*SETUP))
        peer = stack.enter_context(bench.kernel(PEER)) if bench.has("ipyparallel") else None
        two = Two(ours, peer)
        ours.value("cells.warm(2)")
        rows = [_single(bench, two), _batch(bench, two), _chain(bench, two)]
        if peer is not None:
            peer.run("peers.stop()")
        return rows


def _single(bench: Bench, two: Two) -> Row:
    each, rounds = bench.size(40, 5), bench.size(8, 1)
    two.both(f"singles({each})", 1)  # warm-up
    ours, theirs = (_flat(found) for found in two.both(f"singles({each})", rounds))
    direct = _flat([two.peer.value(f"peers.singles({each}, True)")]) if two.peer is not None else []
    sure = two.ours.value(f"cells.durable({each})")
    if sure["held"] != sure["of"] or sure["synchronous"] < 2:
        raise RuntimeError(f"a value was in hand before its commit: {sure}")
    how = (
        f"perf_counter in the cell around `jo.dispatch('1 + 1').get()`; {spread(ours, 'ms')}, p99 "
        f"{quantity(p99(ours), 'ms')}; durable: for {sure['held']} of {sure['of']} more tasks the end was committed, "
        "as another connection saw it, when get() returned, with synchronous=FULL"
    )
    if direct:
        how += f"; peer's DirectView without a scheduler: {quantity(p50(direct), 'ms')}"
    return Row(
        figure="dispatch → value in hand, warm kernel, durable, p50", value=p50(ours), unit="ms", times=1.5, how=how,
        peer=f"ipyparallel `apply_sync`, load-balanced view ({NOT_DURABLE})",
        peer_value=p50(theirs) if theirs else None,
    )  # fmt: skip


def _batch(bench: Bench, two: Two) -> Row:
    n, rounds = bench.size(1000, 40), bench.size(5, 1)
    ours, theirs = ([n / seconds for seconds in found] for found in two.both(f"batch({n})", rounds))
    return Row(
        figure=f"{n:,} empty tasks on 2 kernels, durable", value=p50(ours), unit="tasks/s", times=1.0, more=True,
        how=f"perf_counter in one cell: {n:,} dispatches, then all values; median, {spread(ours, 'tasks/s')}",
        peer=f"ipyparallel load-balanced view, 2 engines ({NOT_DURABLE})",
        peer_value=p50(theirs) if theirs else None,
    )  # fmt: skip


def _chain(bench: Bench, two: Two) -> Row:
    short, more, rounds = bench.size(20, 3), bench.size(200, 20), bench.size(5, 1)
    two.both(f"chain({short})", 1)  # warm-up
    few, many = two.both(f"chain({short})", rounds), two.both(f"chain({short + more})", rounds)
    ours, theirs = ([1000 * (b - a) / more for a, b in zip(few[i], many[i], strict=True)] for i in (0, 1))
    return Row(
        figure="one more link in a dependency chain, durable", value=p50(ours), unit="ms", times=1.0,
        how=f"perf_counter in the cell: a chain of {short + more} less one of {short}, over {more}; "
        f"median, {spread(ours, 'ms')}",
        peer=f"ipyparallel `after=`, 2 engines ({NOT_DURABLE})",
        peer_value=p50(theirs) if theirs else None,
    )  # fmt: skip


def _flat(found: list[list[float]]) -> list[float]:
    """Milliseconds."""
    return [1000 * seconds for part in found for seconds in part]
