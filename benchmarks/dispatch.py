"""How soon the prompt is back after a dispatch, ours beside the peers' cells, idle and in a crowd of live tasks."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass

from benchmarks.kernels import LOADED, REPLY, Bench, Kernel
from benchmarks.table import Row, p50, p99, quantity, spread

REST = 0.02  # seconds between the end of what a cell began and the next cell
WARM_UP = 5
HOW = f"{REPLY}; rounds of all contenders take turns, each in its own kernel, {1000 * REST:g} ms of rest"


@dataclass(frozen=True)
class Contender:
    """A cell that starts something in the background, and what awaits its end."""

    name: str
    setup: tuple[str, ...]
    cell: str
    settle: str
    does: str = ""  # what one gets for it
    why: str = ""  # why we may take longer


OURS = Contender("`%%dispatch`", (LOADED,), "%%dispatch\n1+1", "jo.gather()")
EMPTY = Contender("an empty cell", (), "pass", "pass")
JOBS = Contender(
    "IPython `jobs.new`",
    ("from IPython.lib.backgroundjobs import BackgroundJobManager\njobs = BackgroundJobManager()",),
    "job = jobs.new('1+1')",
    "job.join()",
    "a thread of the same process, which shares its GIL",
    "it starts a thread and does nothing else, so that its cell hardly differs from an empty one; a dispatch compiles "
    "the body, finds and copies variables, waits for the machine's answer and shows a card",
)
SCRIPT = Contender(
    "IPython `%%script --bg`", (), "%%script --bg bash\necho $((1+1))", "pass", "a bash process, output dropped"
)
PX = Contender(
    "ipyparallel `%%px --noblock`",
    ("from benchmarks import peers\npeers.start(1)\npeers.client[0].activate()",),
    "%%px --noblock\n1+1",
    "peers.client.wait(timeout=30)",
    "an engine that runs already",
)


def run(bench: Bench) -> list[Row]:
    """Rows for an idle notebook."""
    rivals = [JOBS, SCRIPT] if bench.peers else []
    rivals = [PX, *rivals] if bench.has("ipyparallel") else rivals
    taken = _race(bench, [OURS, EMPTY, *rivals], bench.size(300, 8))
    ours, empty = taken[OURS.name], quantity(p50(taken[EMPTY.name]), "ms")
    how = f"{HOW}; an empty cell takes {empty}; a card is shown, the journal is not waited for; {spread(ours, 'ms')}"
    rows = []
    for name, figure, most in (("p50", p50, 10.0), ("p99", p99, 50.0)):
        title = f"prompt back after `%%dispatch`, {name}, idle"
        value = figure(ours)
        for rival in rivals:
            rows.append(
                Row(
                    figure=title,
                    value=value,
                    unit="ms",
                    most=most,
                    times=1.0,
                    how=how,
                    peer=f"{rival.name}: {rival.does}",
                    peer_value=figure(taken[rival.name]),
                    why=rival.why,
                )
            )
        if not rivals:
            rows.append(Row(figure=title, value=value, unit="ms", most=most, times=1.0, how=how))
    return rows


def _race(bench: Bench, contenders: list[Contender], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each contender's cell, by name."""
    taken: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    with ExitStack() as stack:
        kernels = [stack.enter_context(bench.kernel(*contender.setup)) for contender in contenders]
        time.sleep(bench.size(3, 1))  # spare kernels start
        for number in range(-WARM_UP, rounds):
            for contender, kernel in zip(contenders, kernels, strict=True):
                seconds = _once(kernel, contender)
                if number >= 0:
                    taken[contender.name].append(1000 * seconds)
        if PX in contenders:
            kernels[contenders.index(PX)].run("peers.stop()")
    return taken


def _once(kernel: Kernel, contender: Contender) -> float:
    seconds = kernel.run(contender.cell)
    kernel.run(contender.settle)
    time.sleep(REST)
    return seconds


def run_live(bench: Bench) -> list[Row]:
    """Rows for a notebook with a crowd of live tasks."""
    crowd, rounds = bench.size(1000, 50), bench.size(300, 8)
    with bench.kernel(LOADED, "%config Orchestra.kernel_slots = 2") as kernel:
        states = kernel.value(f"cells.crowd({crowd})")
        taken = []
        for number in range(-WARM_UP, rounds):
            seconds = kernel.run("%%dispatch -o newest\n1+1")
            kernel.run("newest.cancel()")
            time.sleep(REST)
            if number >= 0:
                taken.append(1000 * seconds)
        left = kernel.value("cells.live()")
        kernel.run("jo.cancel_all()")
    how = (
        f"{REPLY}; {left:,} live tasks ({', '.join(states)}), each new one is cancelled after its measure; "
        f"{spread(taken, 'ms')}"
    )
    title = f"the same with {crowd:,} live tasks"
    return [
        Row(figure=f"{title}, p50", value=p50(taken), unit="ms", most=10.0, how=how),
        Row(figure=f"{title}, p99", value=p99(taken), unit="ms", most=50.0, how=how),
    ]
