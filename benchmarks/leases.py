"""What a lease costs, and how soon the next one gets it when its holder gives it back or dies; beside dask's."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.kernels import LOADED, Bench, Kernel
from benchmarks.table import Row, p50, p99, quantity, spread

OURS = (LOADED, "from benchmarks import leased")
THEIRS = "from benchmarks import peers"
DASK, PEER = "distributed", "dask Semaphore"
LOCAL, MACHINE = "terminal", "path:plans:w"
WHAT = {LOCAL: "within the notebook", MACHINE: "machine-wide"}
BOUNDS = {LOCAL: (0.5, 3.0), MACHINE: (3.0, 10.0)}


def run(bench: Bench) -> list[Row]:
    """All rows about leases."""
    with bench.kernel(*OURS) as kernel:
        return [*_costs(bench, kernel), _next(bench, kernel), *_killed(bench, kernel)]


def _costs(bench: Bench, kernel: Kernel) -> Iterator[Row]:
    """Rows for taking what nobody else wants."""
    each, rounds = bench.size(100, 20), bench.size(10, 1)
    taken: dict[str, list[float]] = {need: [] for need in WHAT}
    theirs: dict[str, list[float]] = {need: [] for need in WHAT}
    with _alone(bench) as alone, dask(bench) as both:
        peers = (alone, both[1] if both is not None else None)
        for number in range(-1, rounds):  # the first one starts what there is to be started
            for need, peer in zip(WHAT, peers, strict=True):
                ours = kernel.value(f"leased.singles({each}, {need!r})")
                its = peer.value(f"peers.semaphores({each})") if peer is not None else []
                if number >= 0:
                    taken[need] += [1000 * seconds for seconds in ours]
                    theirs[need] += [1000 * seconds for seconds in its]
    ports = [1000 * seconds for seconds in kernel.value(f"leased.singles({each}, 'port:20000-30000')")]
    for need, where in WHAT.items():
        how = _cost_note(need, taken[need], theirs[need])
        if need == MACHINE:
            how += f"; a port, which is tried out too: p50 {quantity(p50(ports), 'ms')}, n = {len(ports)}"
        for percent, part, most in (("p50", p50, BOUNDS[need][0]), ("p99", p99, BOUNDS[need][1])):
            yield Row(
                figure=f"uncontended lease, acquire + release, {where}, {percent}", value=part(taken[need]), unit="ms",
                most=most, how=how, peer=PEER, peer_value=part(theirs[need]) if theirs[need] else None,
            )  # fmt: skip


def _cost_note(need: str, taken: list[float], theirs: list[float]) -> str:
    what = "the terminal" if need == LOCAL else "a path, claimed at the broker of all notebooks"
    how = (
        f"perf_counter around `with jo.controller.lease(…): pass` in a cell: {what}; rounds of the contenders take "
        f"turns; {spread(taken, 'ms')}"
    )
    if theirs:
        where = "on a thread of its kernel" if need == LOCAL else "in another process, by TCP"
        how += f"; the peer's scheduler {where}; {spread(theirs, 'ms')}"
    return how


@contextlib.contextmanager
def _alone(bench: Bench) -> Iterator[Kernel | None]:
    """A kernel with a scheduler of dask's for itself."""
    if not bench.has(DASK):
        yield None
        return
    with bench.kernel(THEIRS, "peers.dask(alone=True)") as kernel:
        yield kernel
        kernel.run("peers.end_dask()")


@contextlib.contextmanager
def dask(bench: Bench) -> Iterator[tuple[Kernel, Kernel] | None]:
    """A kernel with a scheduler of dask's in it, and one that is connected to it."""
    if not bench.has(DASK):
        yield None
        return
    with bench.kernel(THEIRS) as server, bench.kernel(THEIRS) as guest:
        address = server.value("peers.dask()")
        guest.value(f"peers.dask({address!r})")
        yield server, guest
        guest.run("peers.end_dask()")
        server.run("peers.end_dask()")


def _next(bench: Bench, kernel: Kernel) -> Row:
    waiters, n = bench.size(1000, 50), bench.size(2000, 50)
    taken, machine = (
        [1000 * seconds for seconds in kernel.value(f"leased.crowd({waiters}, {n}, {need!r})")] for need in WHAT
    )
    how = (
        f"perf_counter in {waiters:,} coroutines that wait for the terminal, at the end of the block of one and at the "
        f"beginning of that of the next; who has had it is replaced, so that as many wait; {spread(taken, 'ms')}, p50 "
        f"{quantity(p50(taken), 'ms')}; machine-wide, for one path: p50 {quantity(p50(machine), 'ms')}, p99 "
        f"{quantity(p99(machine), 'ms')}"
    )
    return Row(figure=f"{waiters:,} waiters: release → next grant, p99", value=p99(taken), unit="ms", most=2.0, how=how)


def _killed(bench: Bench, kernel: Kernel) -> Iterator[Row]:
    """Rows for holders that are killed: tasks, and another notebook."""
    for worker in ("kernel", "shell"):
        holders = (hold(bench, kernel, worker, f"{worker}-{number}") for number in range(bench.size(30, 2)))
        taken = [1000 * seconds for holder in holders for seconds in freed(kernel, signal.SIGKILL, [holder])]
        yield _freed_row(
            f"{worker} task", f"a {worker} task of the same notebook that holds a path, its process", taken
        )
    taken = []
    for number in range(bench.size(10, 1)):
        with bench.kernel(*OURS) as other:
            taken += [1000 * seconds for seconds in freed(kernel, signal.SIGKILL, [own(other, f"own-{number}")])]
    yield _freed_row("another notebook", "another notebook, whose own code holds a path, its kernel", taken)


def _freed_row(who: str, what: str, taken: list[float]) -> Row:
    how = (
        f"{what} killed with SIGKILL; from there to the beginning of the block of who waits for it (time.monotonic); "
        f"p50 {quantity(p50(taken), 'ms')}, {spread(taken, 'ms')}"
    )
    return Row(figure=f"killed holder → lease free, {who}, p99", value=p99(taken), unit="ms", most=1000.0, how=how)


@dataclass
class Holder:
    """A process that holds a path, in one of its own words."""

    pid: int
    need: str


def hold(bench: Bench, kernel: Kernel, worker: str, name: str) -> Holder:
    """A task that holds a path."""
    need = f"path:{name}:w"
    file = str(bench.folder / f"holder-{name}")
    return Holder(kernel.value(f"leased.hold({worker!r}, {need!r}, {file!r})"), need)


def own(kernel: Kernel, name: str) -> Holder:
    """A notebook whose own code holds a path."""
    need = f"path:{name}:w"
    return Holder(kernel.value(f"leased.own_lease({need!r})"), need)


def freed(kernel: Kernel, number: int, holders: list[Holder]) -> list[float]:
    """Seconds from the signal until somebody else has what each of them held."""
    pids, needs = [holder.pid for holder in holders], [holder.need for holder in holders]
    found: list[float] = kernel.value(f"leased.freed({int(number)}, {pids}, {needs})")
    return found
