"""Measures jupyter_orchestra and its peers side by side in one run, prints the table and writes results.md."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # started as a script: find the package `benchmarks`

from benchmarks import (  # noqa: E402
    budget,
    cancel,
    dispatch,
    host,
    hung,
    leases,
    load,
    machine,
    makespan,
    master,
    memory,
    page,
    reintegration,
    restart,
    sandbox,
    streaming,
    suites,
    throughput,
)
from benchmarks.kernels import Bench  # noqa: E402
from benchmarks.table import Row, markdown  # noqa: E402

GROUPS: dict[str, Callable[[Bench], list[Row]]] = {
    "dispatch": dispatch.run,
    "live": dispatch.run_live,
    "throughput": throughput.run,
    "makespan": makespan.run,
    "load": load.run,
    "cancel": cancel.run,
    "leases": leases.run,
    "hung": hung.run,
    "suites": suites.run,
    "budget": budget.run,
    "restart": restart.run,
    "sandbox": sandbox.run,
    "machine": machine.run,
    "memory": memory.run,
    "master": master.run,
    "reintegration": reintegration.run,
    "streaming": streaming.run,
    "page": page.run,
}
SLOW = ("hung",)  # takes as long as a lease lasts: a quick run leaves it out unless it is named
RESULTS = Path(__file__).with_name("results.md")
INTRO = """# Results

Made by `make bench`: everything in one run on one machine, in real kernels on the loopback. Compare the ratios; the
absolute numbers are those of this machine at this moment. `n` counts samples, ranges are the smallest and the largest.
The orchestra runs as in JupyterLab (`JPY_SESSION_NAME` set: a journal on disk, cards updated late). Peers keep nothing
on disk: none of their figures waits for a commit.
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the groups asked for; 1 when one could not be measured. A missed bound is no error."""
    options = _options(arguments)
    with Bench(options.quick, not options.no_peers) as bench:
        facts = host.describe(bench.folder)
        rows, errors = _measure(bench, options.only)
        facts["load at the end"] = host.load()
    text = report(facts, rows, errors)
    print(text)
    if options.out is not None:
        options.out.write_text(text, "utf-8")
    return bool(errors)


def report(facts: dict[str, str], rows: list[Row], errors: dict[str, str]) -> str:
    """The whole of results.md."""
    lines = [f"- {name}: {fact}" for name, fact in facts.items()]
    failed = [f"\nNot measured: {name}\n\n```\n{error}```" for name, error in errors.items()]
    return "\n".join([INTRO, *lines, "", markdown(rows), *failed, ""])


def _measure(bench: Bench, names: list[str]) -> tuple[list[Row], dict[str, str]]:
    rows: list[Row] = []
    errors: dict[str, str] = {}
    for name in names:
        print(f"measuring: {name}", file=sys.stderr, flush=True)
        try:
            rows += GROUPS[name](bench)
        except Exception:
            errors[name] = traceback.format_exc()
    return rows, errors


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small numbers, in less than a minute; writes no file")
    parser.add_argument("--only", metavar="GROUP,...", help=f"some of: {','.join(GROUPS)}")
    parser.add_argument("--no-peers", action="store_true", help="measure jupyter_orchestra alone")
    parser.add_argument("--out", type=Path, metavar="FILE", help=f"default: {RESULTS.name} beside this program")
    options = parser.parse_args(arguments)
    if options.only is None:
        options.only = [name for name in GROUPS if not (options.quick and name in SLOW)]
    else:
        options.only = [name for name in options.only.split(",") if name]
    if unknown := set(options.only) - set(GROUPS):
        parser.error(f"no group is called {sorted(unknown)[0]!r}; there are: {', '.join(GROUPS)}")
    if options.out is None and not options.quick:
        options.out = RESULTS
    return options


if __name__ == "__main__":
    sys.exit(main())
