"""How results come back to the master: how soon, in how many wakes, how large, and what never comes along."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.kernels import Bench, Kernel
from benchmarks.master import SERVED, ours
from benchmarks.scripted import Model, scripted
from benchmarks.table import Row, p50, p95, p99, quantity, spread

READY = "import time\ntime.monotonic()"
COLLECTED = "collect_inbox"
BUSY = """import time, jupyter_orchestra as jo
for n in range(10_000):
    jo.progress(n / 10_000, f"step {n}")
    print(n)
    time.sleep(0.05)"""
WAKES = 25  # results after which the person says something: the budget of wakes begins anew
HOLD = 5.0  # seconds in which a cohort is waited for


def run(bench: Bench) -> list[Row]:
    """The rows about results in the master's context."""
    with scripted(bench) as model:
        return [
            _delay(bench, model),
            _waiting(bench, model),
            *_contents(bench, model),
            _wakes(bench, model),
        ]


def _delay(bench: Bench, model: Model) -> Row:
    """From the end of a task's code to the request that holds its result."""
    taken = []
    with bench.kernel(*ours(model)) as kernel:
        _say(kernel)
        for number in range(-2, bench.size(60, 3)):
            kernel.run(f"jo.dispatch({READY!r}, name='ready-{number + 2}');")
            kernel.run("talk.quiet()")
            ended = kernel.value(f"jo.task('ready-{number + 2}').get()")
            asked = [request["at"] for request in model.take() if f"ready-{number + 2}" in json.dumps(request["body"])]
            if not asked:
                raise RuntimeError("a result did not wake the master")
            if number >= 0:
                taken.append(1000 * (asked[0] - ended))
            if number % WAKES == WAKES - 1:
                _say(kernel)
    how = (
        "a kernel task alone in its cohort, which so is not held; from time.monotonic() as its last expression, before "
        f"it is reported, committed and made an envelope, to the server's having read the request; {SERVED}; "
        f"p99 {quantity(p99(taken), 'ms')}, {spread(taken, 'ms')}"
    )
    return Row(
        figure="result ready → in a model request, master idle, p50", value=p50(taken), unit="ms", most=100.0, how=how
    )


def _waiting(bench: Bench, model: Model) -> Row:
    """Tokens that are spent while tasks run, report and end, and nothing is asked of the master."""
    seconds = bench.size(20, 2)
    tasks = [
        {"name": "busy", "worker": "kernel", "brief": BUSY},
        {"name": "talker", "worker": "shell", "brief": "while true; do echo a line; sleep 0.1; done"},
        {"name": "after", "worker": "shell", "brief": "echo after", "after": ["busy", "talker"]},
    ]
    with bench.kernel(*ours(model)) as kernel:
        _say(kernel)  # what is in the context before a dispatch would make of it a proposal
        kernel.run("%%chat\ndispatch " + json.dumps({"tasks": tasks}))
        _until(
            kernel,
            "[turn['state'] for turn in talk.turns()] == ['done', 'done'] and jo.task('busy').state == 'running'",
        )
        model.take()
        before, began, number = kernel.value("talk.events()"), time.monotonic(), 0
        while time.monotonic() < began + seconds:
            kernel.run(f"jo.dispatch('echo {number}', worker='shell', deliver='turn').get();")
            number += 1
            time.sleep(0.1)
        requests, events = model.take(), kernel.value("talk.events()") - before
        still = kernel.value("[str(jo.task(name).state) for name in ('busy', 'talker', 'after')]")
        kernel.run("jo.cancel_all()")
    if still != ["running", "running", "waiting"] or not events:
        raise RuntimeError(f"there was nothing to wait for: {still}, {events} events")
    how = (
        f"what the server's log says over {seconds} s in which two tasks of the master ran and printed, a third waited "
        f"for them, and {number} others of the person ended that were to come with the next message ({events} facts "
        f"journaled): {len(requests)} requests"
    )
    tokens = float(sum(request["tokens"] for request in requests))
    return Row(figure="model calls and tokens while only waiting", value=tokens, unit="tokens", most=0.0, how=how)


def _contents(bench: Bench, model: Model) -> list[Row]:
    """What requests hold: envelopes of many kinds of results, and none of what was planted."""
    many, agents = bench.size(64, 8), bench.size(16, 2)
    briefs = [{"name": f"agent-{n}", "worker": "agent", "brief": f"report {10 ** (n % 5) + n}"} for n in range(agents)]
    with bench.kernel(*ours(model), "%config Orchestra.standard_slots = 16") as kernel:
        _say(kernel)
        kernel.run("%%chat\ndispatch " + json.dumps({"tasks": briefs}))
        kernel.run("talk.quiet()")
        kernel.run(f"talk.dispatch_various({many})")
        planted = set(kernel.value("talk.operational()"))
        kernel.run("talk.quiet()")
        _say(kernel)
        kernel.run("talk.quiet()")
        planted |= set(kernel.value("talk.operational()"))
        states = kernel.value("talk.states()")
    requests = model.take()
    sizes = {found["task"]: _size(found) / 4 for request in requests for found in _envelopes(request["items"])}
    expected = many + agents + 4  # the first one is LOADED's
    if len(sizes) != expected:
        raise RuntimeError(f"of {expected} results {len(sizes)} came: {sorted(sizes)}")
    texts = [
        json.dumps(request["body"], ensure_ascii=False) for request in requests if "final_result" not in _tools(request)
    ]
    found = [hit for text in texts for canary in planted for hit in _hits(canary, text)]
    return [_operational(found, planted, texts), _envelope(list(sizes.values()), states)]


def _operational(found: list[str], planted: set[str], texts: list[str]) -> Row:
    how = (
        f"{len(planted)} uids, cohorts, pids, ports, keys, message and display ids, priorities and paths of journal "
        f"and runs, as they were in the kernel, looked for as whole words in all {len(texts)} requests of the master "
        f"({sum(map(len, texts)) / 1000:.0f} kB); bytes / 4 of what is found"
    )
    if found:
        how += f": {', '.join(sorted(set(found))[:5])}"
    tokens = sum(len(hit) for hit in found) / 4
    return Row(
        figure="tokens of operational state in the master's context", value=tokens, unit="tokens", most=0.0, how=how
    )


def _envelope(sizes: list[float], states: list[str]) -> Row:
    how = (
        "UTF-8 bytes / 4 of each result as it stands in a request; tables, arrays, tracebacks, outputs of up to "
        f"100,000 lines, other scripts, agents' reports, failed and skipped tasks ({', '.join(states)}); p50 "
        f"{quantity(p50(sizes), 'tokens')}, {spread(sizes, 'tokens')}"
    )
    return Row(figure="envelope, p95", value=p95(sizes), unit="tokens", most=300.0, how=how)


def _wakes(bench: Bench, model: Model) -> Row:
    """Wakes of the master for cohorts whose tasks end one after the other, within the hold."""
    cohorts, ends = bench.size(10, 2), (0.0, 0.4, 0.9, 1.6)
    with bench.kernel(*ours(model), "%config Orchestra.kernel_slots = 4") as kernel:
        _say(kernel)
        for number in range(cohorts):
            tasks = [
                {"name": f"c{number}-{part}", "worker": "shell", "brief": f"sleep {end}; echo {number}"}
                for part, end in enumerate(ends)
            ]
            kernel.run("%%chat\ndispatch " + json.dumps({"tasks": tasks}))
            kernel.run("talk.quiet()")
        turns = kernel.value("talk.turns()")
    wakes = [turn for turn in turns if turn["wake"]]
    brought = sum(turn["results"] for turn in wakes)
    if brought != cohorts * len(ends):
        raise RuntimeError(f"{brought} results came of {cohorts * len(ends)}: {turns}")
    how = (
        f"{cohorts} dispatches of the master, each of {len(ends)} tasks that end {', '.join(map(str, ends))} s after "
        f"their start, within the hold of {HOLD:g} s; turns that nobody asked for, over dispatches"
    )
    return Row(
        figure="wakes per cohort whose tasks end within the hold",
        value=len(wakes) / cohorts,
        unit="wakes",
        most=1.0,
        how=how,
    )


def _say(kernel: Kernel) -> None:
    kernel.run("%%chat\nsay nonce-0")
    kernel.run("talk.quiet()")


def _until(kernel: Kernel, condition: str) -> None:
    end = time.monotonic() + 30
    while not kernel.value(condition):
        if time.monotonic() > end:
            raise RuntimeError(f"never true: {condition}")
        time.sleep(0.05)


def _envelopes(items: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The results in a request."""
    calls = {item["call_id"] for item in items if item["type"] == "function_call" and item["name"] == COLLECTED}
    for item in items:
        if item["type"] == "function_call_output" and item["call_id"] in calls:
            yield from json.loads(item["output"]).get("results", ())


def _size(found: dict[str, Any]) -> int:
    return len(json.dumps(found, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c").encode())


def _tools(request: dict[str, Any]) -> list[str]:
    return [tool.get("function", tool)["name"] for tool in request["body"].get("tools") or ()]


def _hits(canary: str, text: str) -> list[str]:
    return re.findall(rf"(?<![\w.]){re.escape(canary)}(?!\w)", text) if canary in text else []
