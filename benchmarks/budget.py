"""How much many agents at once spend beyond what they may, ours beside agents that look before they ask."""

from __future__ import annotations

from benchmarks.kernels import Bench
from benchmarks.master import AGENTS, SERVED, ours
from benchmarks.scripted import Model, scripted
from benchmarks.table import Row

SLOTS = 16
BRIEF = "look 12, stream 60"  # requests of an agent, and words of each reply


def run(bench: Bench) -> list[Row]:
    """The row about budgets."""
    limits = [bench.size(200_000, 10_000) + 7_919 * number for number in range(bench.size(5, 1))]
    agents = bench.size(64, 8)
    with scripted(bench, latency=0.05) as model:
        spent = [_ours(bench, model, agents, limit) for limit in limits]
        theirs = [_theirs(bench, model, agents, limit) for limit in limits] if bench.has(AGENTS) else []
    how = (
        f"{agents} agents, {SLOTS} at a time, that want more than the notebook's `tokens=` allows; what the server "
        f"says it counted, in and out, over the limit; {_told(spent, limits)}; {SERVED}"
    )
    if theirs:
        how += f"; the peer {_told(theirs, limits)}"
    row = Row(
        figure="overdraft of a budget, the largest", value=_over(spent, limits), unit="tokens", most=0.0, how=how,
        peer="openai-agents, a hook looks before each request", peer_value=_over(theirs, limits) if theirs else None,
    )  # fmt: skip
    return [row]


def _ours(bench: Bench, model: Model, agents: int, limit: int) -> int:
    """Tokens that were spent."""
    settings = (f"%config Orchestra.standard_slots = {SLOTS}", f"%config Orchestra.budget = 'tokens={limit}'")
    model.take()
    with bench.kernel(*ours(model), *settings) as kernel:
        kernel.run(f"for n in range({agents}): jo.dispatch({BRIEF!r}, f'agent-{{n}}', worker='agent')")
        kernel.run("talk.quiet()")
        stopped = kernel.value("sum(task.state != 'done' for task in jo.tasks() if task.name.startswith('agent-'))")
    return _spent(model, stopped)


def _theirs(bench: Bench, model: Model, agents: int, limit: int) -> int:
    model.take()
    with bench.kernel(model.setup, "from benchmarks import peers") as kernel:
        return _spent(model, kernel.value(f"peers.spend({agents}, {SLOTS}, {BRIEF!r}, {limit})"))


def _spent(model: Model, stopped: int) -> int:
    if not stopped:
        raise RuntimeError("the budget stopped nobody")
    return sum(request["used"] for request in model.take())


def _over(spent: list[int], limits: list[int]) -> float:
    return float(max(max(0, tokens - limit) for tokens, limit in zip(spent, limits, strict=True)))


def _told(spent: list[int], limits: list[int]) -> str:
    return "spent " + ", ".join(f"{tokens:,} of {limit:,}" for tokens, limit in zip(spent, limits, strict=True))
