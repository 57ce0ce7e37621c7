"""How long `%load_ext` takes in a fresh kernel, beside that of jupyter-ai's magics."""

from __future__ import annotations

from benchmarks.kernels import REPLY, Bench
from benchmarks.table import Row, p50, spread

OURS, PEER = "jupyter_orchestra", "jupyter_ai_magic_commands"


def run(bench: Bench) -> list[Row]:
    """The row about loading."""
    names = [OURS, PEER] if bench.has(PEER) else [OURS]
    taken: dict[str, list[float]] = {name: [] for name in names}
    for number in range(-1, bench.size(7, 1)):  # the first one reads files that are not in memory yet
        for name in names:
            with bench.kernel() as kernel:
                seconds = kernel.run(f"%load_ext {name}")
            if number >= 0:
                taken[name].append(1000 * seconds)
    ours = taken[OURS]
    how = (
        f"{REPLY}, a fresh kernel each time, compiled and read once before; our package was not "
        f"imported; median, {spread(ours, 'ms')}; no network for the peer"
    )
    return [
        Row(
            figure="`%load_ext`",
            value=p50(ours),
            unit="ms",
            most=150.0,
            how=how,
            peer="jupyter-ai `%load_ext`",
            peer_value=p50(taken[PEER]) if PEER in taken else None,
        )
    ]
