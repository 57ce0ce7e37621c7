"""How late the runtime's loop is while many agents stream their replies."""

from __future__ import annotations

from benchmarks.kernels import Bench
from benchmarks.master import SERVED, ours
from benchmarks.scripted import scripted
from benchmarks.table import Row, p50, p99, quantity

MANY = 16
TOKEN = 0.02  # seconds between two tokens of one agent


def run(bench: Bench) -> list[Row]:
    """The row about the loop's lag."""
    words, rounds = bench.size(400, 60), bench.size(3, 1)
    lags: list[float] = []
    with scripted(bench, token_delay=TOKEN) as model:
        with bench.kernel(*ours(model), f"%config Orchestra.standard_slots = {MANY}") as kernel:
            kernel.run("jo.dispatch('stream 5', worker='agent', role='explorer').wait();\ntalk.quiet()")
            kernel.value("talk.watch()")
            idle = [1000 * lag for lag in kernel.value("talk.unwatch_after(1.0)")]
            for number in range(rounds):
                brief = f"stream {words} in round {number} as {{n}}"
                kernel.run("talk.watch()")
                kernel.run(
                    f"tasks = [jo.dispatch(f'{brief}', worker='agent', role='explorer') for n in range({MANY})]\n"
                    "jo.gather(tasks);"
                )
                lags += [1000 * lag for lag in kernel.value("talk.unwatch_after(0.0)")]
                kernel.run("talk.quiet()")
        asked = model.take()
    streams = sum("final_result" in str(request["body"].get("tools")) for request in asked)
    if streams != MANY * rounds + 1:
        raise RuntimeError(f"{streams} replies were streamed, not {MANY * rounds + 1}")
    how = (
        f"by how much the runtime's loop is late at a look each 5 ms, from the first dispatch to the last result; "
        f"{MANY} agents side by side, each streams {words} tokens, {1 / TOKEN:g} a second, and gives its result, "
        f"{rounds} times; {SERVED}; p50 {quantity(p50(lags), 'ms')}, the largest {quantity(max(lags), 'ms')}, "
        f"n = {len(lags):,}; with the loop idle p99 {quantity(p99(idle), 'ms')}"
    )
    return [Row(figure=f"{MANY} agents streaming: loop lag, p99", value=p99(lags), unit="ms", most=20.0, how=how)]
