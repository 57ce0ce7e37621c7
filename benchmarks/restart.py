"""How soon a task that runs is the next kernel's when its own was killed, with all that it has put out."""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.kernels import LOADED, Bench, Kernel
from benchmarks.table import Row, p50, quantity, spread

TICKS = {  # a numbered line with the moment, until they may end
    "kernel": "import os, time\nn = 0\nwhile not os.path.exists('{go}'):\n    n += 1\n"
    "    print(n, time.time(), flush=True)\n    time.sleep(0.01)",
    "shell": "n=0; while ! test -e '{go}'; do n=$((n+1)); echo $n $EPOCHREALTIME; sleep 0.01; done",
}


def run(bench: Bench) -> list[Row]:
    """A row for each kind of task that goes on."""
    taken: dict[str, list[float]] = {worker: [] for worker in TICKS}
    for number in range(bench.size(10, 1)):
        for worker, seconds in _round(bench, bench.folder / f"go-{number}").items():
            taken[worker].append(seconds)
    return [_row(worker, values) for worker, values in taken.items()]


def _round(bench: Bench, go: Path) -> dict[str, float]:
    """Kill a kernel whose tasks run, and start the next one on the same notebook; seconds by kind of task."""
    environment = bench.environment()
    Path(environment["JPY_SESSION_NAME"]).write_text(
        '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'
    )
    first = Kernel(bench.folder, environment)
    try:
        first.run(f"{LOADED}\nfrom benchmarks import leased")
        for worker, code in TICKS.items():
            first.run(f"jo.dispatch({code.replace('{go}', str(go))!r}, {worker!r}, worker={worker!r});")
        first.value(f"leased.ticking({list(TICKS)})")
        first.process.kill()
        first.process.wait(10)
    finally:
        first.close()
    second = Kernel(bench.folder, environment)
    try:
        second.run("import time\n%load_ext jupyter_orchestra\nloaded = time.time()\nfrom benchmarks import leased")
        found: dict[str, float] = second.value(f"leased.taken_over({list(TICKS)}, loaded)")
        time.sleep(0.1)
        go.touch()
        second.value(f"leased.whole({list(TICKS)})")
    finally:
        second.close()
    return found


def _row(worker: str, taken: list[float]) -> Row:
    how = (
        f"a {worker} task prints each 10 ms; its kernel gets SIGKILL, the next one starts on the same notebook; from "
        "the end of `%load_ext` to its being told as running, each line until then once and in order (time.time in the "
        "cell and in the lines); later it ends as done with all lines; "
        f"p50 {quantity(p50(taken), 's')}, {spread(taken, 's')}"
    )
    figure = f"kernel kill -9 → running {worker} task taken over, output complete, the longest"
    return Row(figure=figure, value=max(taken), unit="s", most=2.0, how=how)
