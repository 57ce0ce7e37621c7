"""How much later a command ends that runs in the sandbox."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.kernels import Bench
from benchmarks.table import Row, p50, p99, quantity, spread
from jupyter_orchestra.sandbox.probing import rungs
from jupyter_orchestra.sandbox.values import Confinement, Sandbox
from jupyter_orchestra.workers.confining import folders_of

COMMAND = ("bash", "-c", "true")


def run(bench: Bench) -> list[Row]:
    """A row for each kind of sandbox that works here."""
    found = [rung.sandbox for rung in rungs() if not rung.trouble]
    workspace = bench.folder / "workspace"
    workspace.mkdir()
    given = Confinement((workspace,), workspace, readable=tuple(folders_of(sys.path)))
    bare: list[float] = []
    taken: dict[Sandbox, list[float]] = {sandbox: [] for sandbox in found}
    for number in range(-3, bench.size(200, 5)):  # the first ones read files that are not in memory yet
        seconds = [_ended(None, given, workspace), *(_ended(sandbox, given, workspace) for sandbox in found)]
        if number >= 0:
            bare.append(seconds[0])
            for values, value in zip(taken.values(), seconds[1:], strict=True):
                values.append(value)
    return [_row(sandbox.kind, values, bare) for sandbox, values in taken.items()]


def _ended(sandbox: Sandbox | None, given: Confinement, workspace: Path) -> float:
    """Milliseconds of a command, from finding out what it is to its end."""
    began = time.perf_counter()
    argv = COMMAND if sandbox is None else sandbox.wrapped(COMMAND, given)
    subprocess.run(argv, cwd=workspace, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    return 1000 * (time.perf_counter() - began)


def _row(kind: str, taken: Sequence[float], bare: Sequence[float]) -> Row:
    over = [one - other for one, other in zip(taken, bare, strict=True)]
    how = (
        "perf_counter around `bash -c true`, with finding out what it may see, less the same without a sandbox in the "
        f"same round ({quantity(p50(bare), 'ms')}); p99 {quantity(p99(over), 'ms')}, {spread(over, 'ms')}"
    )
    return Row(figure=f"sandboxed command over a bare one, {kind}, p50", value=p50(over), unit="ms", most=40.0, how=how)
