"""How soon the notebook goes on while the master answers, and how long many agents take; beside the peers."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack

from benchmarks.kernels import LOADED, Bench, Kernel
from benchmarks.scripted import Model, scripted
from benchmarks.table import Row, p50, p99, quantity, spread

AI, AGENTS = "jupyter_ai_magic_commands", "agents"
SECONDS = 2.0  # that the model takes for a reply
TALKS = (LOADED, "from benchmarks import talk")
QUESTIONS, EACH = 4, 4  # questions, and agents that each is given to
LEVELS = 4  # replies that come one after the other, see _agents
SERVED = "the scripted model in a process of its own, on the loopback, Responses wire"


def run(bench: Bench) -> list[Row]:
    """The rows about waiting for a model."""
    latency = 0.3 if bench.quick else SECONDS
    with scripted(bench, latency) as slow, scripted(bench) as quick:
        return [_next_cell(bench, slow, latency), *_agents(bench, slow, latency), *_overheads(bench, slow, quick)]


def ours(model: Model) -> tuple[str, ...]:
    """The cells that connect a kernel of ours to a model."""
    return (model.setup, *TALKS)


def _theirs(model: Model) -> tuple[str, ...]:
    return model.setup, f"%load_ext {AI}", f"%ai alias m openai/scripted --api-base {model.url}"


def _next_cell(bench: Bench, model: Model, latency: float) -> Row:
    rounds = bench.size(30, 3)
    taken: list[float] = []
    blocked: list[float] = []
    with bench.kernel(*ours(model)) as kernel:
        for number in range(-1, rounds):  # the first one imports, connects and asks what there is
            seconds = kernel.next_starts(f"%%chat\nsay nonce-{number + 1}")
            kernel.run("talk.quiet()")
            if number >= 0:
                taken.append(1000 * seconds)
        _all_done(kernel)
    if bench.has(AI):
        with bench.kernel(*_theirs(model)) as kernel:
            kernel.run("%%ai m\nsay nonce-0")
            blocked = [1000 * kernel.next_starts("%%ai m\nsay nonce-1") for _ in range(bench.size(5, 1))]
    how = (
        "two cells sent at once, from `started` of the first to `started` of the second, by the kernel's clock; "
        f"{SERVED}, {latency:g} s a reply; {spread(taken, 'ms')}"
    )
    if blocked:
        how += f"; the peer {spread(blocked, 'ms')}"
    return Row(
        figure="next cell after a conversation cell, p50", value=p50(taken), unit="ms", most=10.0, how=how,
        peer="jupyter-ai `%%ai`, which returns with the reply", peer_value=p50(blocked) if blocked else None,
    )  # fmt: skip


def _agents(bench: Bench, model: Model, latency: float) -> list[Row]:
    """Four cells, each with a question that the master gives to four agents, until it has spoken of the results."""
    rounds, many = bench.size(5, 1), QUESTIONS * EACH
    with bench.kernel(*ours(model), f"%config Orchestra.standard_slots = {many}") as kernel:
        kernel.run("%%chat\nsay nonce-0")
        kernel.run("talk.quiet()")
        taken = [_ask(kernel, number) for number in range(rounds)]
    serial, agents, at_once = [], [], 0.0
    if bench.has(AI):
        with bench.kernel(*_theirs(model)) as kernel:
            kernel.run("%%ai m\nsay nonce-0")
            began = time.perf_counter()
            for number in range(many):
                kernel.run(f"%%ai m\nsay nonce-{number}")
            serial = [time.perf_counter() - began]
    if bench.has(AGENTS):
        with bench.kernel(model.setup, "from benchmarks import peers") as kernel:
            kernel.value("peers.agents(['warm-up'], True)")
            names = [f"question {number}" for number in range(many)]
            agents = [kernel.value(f"peers.agents({names!r}, True)")]
            at_once = kernel.value(f"peers.agents({names!r}, False)")
    how = (
        f"{QUESTIONS} `%%chat` cells sent at once, {EACH} agents for each, `standard_slots` = {many}; from the first "
        f"message to the end of the reply on all results; {LEVELS} levels of {latency:g} s: the first question's step, "
        "the step that the other three joined, the agents, the reply; a peer does the "
        f"{many} questions alone, with neither plan nor reply on them; {SERVED}; median, {spread(taken, 's')}"
    )
    if at_once:
        how += f"; openai-agents under `asyncio.gather` in one blocked cell: {quantity(at_once, 's')}"
    rivals = [
        ("jupyter-ai `%%ai`, cell after cell", serial),
        ("openai-agents `Runner.run`, one after the other", agents),
    ]
    found: list[tuple[str, float | None]] = [(name, p50(value)) for name, value in rivals if value]
    return [
        Row(
            figure=f"{QUESTIONS} questions, {many} dispatched agents", value=p50(taken), unit="s",
            most=round(1.05 * LEVELS * latency, 3), how=how, peer=name, peer_value=value,
        )
        for name, value in found or [("", None)]
    ]  # fmt: skip


def _ask(kernel: Kernel, number: int) -> float:
    """Seconds of one round, whose shape must be as it was said."""
    before = len(kernel.value("talk.turns()"))
    sent = []
    for question in range(QUESTIONS):
        tasks = [
            {"name": f"r{number}-q{question}-{part}", "worker": "agent", "brief": f"Look at {number} {question} {part}"}
            for part in range(EACH)
        ]
        sent.append(kernel.send("%%chat\ndispatch " + json.dumps({"tasks": tasks})))
    for cell in sent:
        kernel.reply(cell)
    kernel.run("talk.quiet()")
    turns = kernel.value("talk.turns()")[before:]
    shape = [(turn["dispatched"], turn["results"]) for turn in turns]
    if shape != [(QUESTIONS * EACH, 0), (0, QUESTIONS * EACH)]:
        raise RuntimeError(f"the master went another way: {turns}")
    return float(turns[-1]["ended"] - turns[0]["asked"])


def _overheads(bench: Bench, slow: Model, quick: Model) -> list[Row]:
    """How much later than a bare request a reply stands in its cell."""
    return [
        _overhead(bench, slow, bench.size(12, 1), "overhead over the bare HTTP stream per reply, p50"),
        _overhead(bench, quick, bench.size(100, 4), "the same with a model that answers at once, p50"),
    ]


def _overhead(bench: Bench, model: Model, rounds: int, figure: str) -> Row:
    cells = {"ours": ("%%chat\nsay {}", ours(model)), "bare": ("talk.bare({url!r}, 'say {}')", TALKS[1:])}
    if bench.has(AI):
        cells["peer"] = ("%%ai m\nsay {}", _theirs(model))
    taken: dict[str, list[float]] = {name: [] for name in cells}
    with ExitStack() as stack:
        kernels = {name: stack.enter_context(bench.kernel(*setup)) for name, (_, setup) in cells.items()}
        for number in range(-2, rounds):
            for name, (cell, _) in cells.items():
                mark = f"nonce-{name}{number + 2}"
                code = cell.replace("{url!r}", repr(model.url)).replace("{}", mark)
                seconds = kernels[name].shows(code, mark)
                kernels[name].run("talk.quiet()" if name == "ours" else "pass")
                if number >= 0:
                    taken[name].append(1000 * seconds)
    base = p50(taken["bare"])
    over = [seconds - base for seconds in taken["ours"]]
    how = (
        f"from `started` to the date of the message with the end of the reply in the cell, both by the kernel's clock; "
        f"less the median of the same for a cell that asks with http.client and prints ({quantity(base, 'ms')}); "
        f"{SERVED}; turns taken; {spread(over, 'ms')}, p99 {quantity(p99(over), 'ms')}"
    )
    peer = p50(taken["peer"]) - base if "peer" in taken else None
    return Row(
        figure=figure,
        value=p50(over),
        unit="ms",
        most=25.0,
        how=how,
        peer="jupyter-ai `%%ai`" if peer else "",
        peer_value=peer,
    )


def _all_done(kernel: Kernel) -> None:
    """No turn may have failed: a refusal is quick."""
    failed = [turn for turn in kernel.value("talk.turns()") if turn["state"] != "done"]
    if failed:
        raise RuntimeError(f"a turn of the master is not done: {failed[0]}")
