"""The benchmarks run and give every row of ours; how fast anything was is not looked at."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jupyter_orchestra.sandbox.probing import rungs

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ROOT = Path(__file__).resolve().parents[2]
FIGURES = {
    "dispatch": ["prompt back after `%%dispatch`, p50, idle", "prompt back after `%%dispatch`, p99, idle"],
    "live": ["the same with 50 live tasks, p50", "the same with 50 live tasks, p99"],
    "throughput": [
        "dispatch → value in hand, warm kernel, durable, p50",
        "40 empty tasks on 2 kernels, durable",
        "one more link in a dependency chain, durable",
    ],
    "makespan": ["parallel makespan, 16 tasks of mixed length on 4 slots"],
    "load": ["`%load_ext`"],
    "cancel": [
        "cancel → whole process tree dead, p99, kernel",
        "cancel → whole process tree dead, p99, shell",
        "cancel-all with 64 live processes → nothing left, p50",
        "the same, some of them ignore signals, the longest",
    ],
    "machine": [
        "machine cost per event, 1,000 live tasks over 100",
        "machine cost of a dispatch, name made up of the same words, 1,000 live tasks over 100",
    ],
    "memory": [
        "memory of the orchestra in the notebook's kernel",
        "memory of each warm kernel (the largest)",
        "memory of all of it, 2 slots and the spare kernel",
    ],
}
CONTROL = {
    "leases": [
        "uncontended lease, acquire + release, within the notebook, p50",
        "uncontended lease, acquire + release, within the notebook, p99",
        "uncontended lease, acquire + release, machine-wide, p50",
        "uncontended lease, acquire + release, machine-wide, p99",
        "50 waiters: release → next grant, p99",
        "killed holder → lease free, kernel task, p99",
        "killed holder → lease free, shell task, p99",
        "killed holder → lease free, another notebook, p99",
    ],
    "hung": ["hung holder → lease free, the longest", "holders of one lease when the hung one goes on"],
    "suites": ["2 test suites under leases", "their tests that fail"],
    "budget": ["overdraft of a budget, the largest"],
    "restart": [
        "kernel kill -9 → running kernel task taken over, output complete, the longest",
        "kernel kill -9 → running shell task taken over, output complete, the longest",
    ],
    "sandbox": [f"sandboxed command over a bare one, {rung.sandbox.kind}, p50" for rung in rungs() if not rung.trouble],
}
TALK = {
    "master": [
        "next cell after a conversation cell, p50",
        "4 questions, 16 dispatched agents",
        "overhead over the bare HTTP stream per reply, p50",
        "the same with a model that answers at once, p50",
    ],
    "reintegration": [
        "result ready → in a model request, master idle, p50",
        "model calls and tokens while only waiting",
        "tokens of operational state in the master's context",
        "envelope, p95",
        "wakes per cohort whose tasks end within the hold",
    ],
    "streaming": ["16 agents streaming: loop lag, p99"],
}

PAGE = [
    "result ready → painted cell, page open, p50",
    "result ready → painted cell, page open, p99",
    "click on Cancel → handled in the kernel, main shell in `time.sleep`, p99",
    "click on Cancel → handled in the kernel, main shell in a CPU loop, p99",
    "Shift+Enter on a conversation cell → first output painted while a cell runs, p50",
    "reload during a busy cell → cards back",
    "sidebar with 60 tasks, page's longest task",
    "wheel",
    "labextension loaded at start",
]


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks" / "run.py"), "--quick", "--no-peers", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=170)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("figures", [FIGURES, CONTROL, TALK], ids=["tasks", "controller", "conversation"])
def test_a_quick_run_gives_every_row_of_ours(tmp_path: Path, figures: dict[str, list[str]]) -> None:
    out = tmp_path / "results.md"
    ran = run(tmp_path, "--only", ",".join(figures), "--out", str(out))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    text = out.read_text("utf-8")
    assert ran.stdout.strip() == text.strip()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:2] == "| "]
    assert [row[0] for row in rows[2:]] == [figure for group in figures.values() for figure in group]
    for figure, value, bound, verdict, *_, note in rows[2:]:
        assert math.isfinite(float(value.split()[0].replace(",", ""))), figure
        assert bound, figure
        assert verdict in ("met", "met (no peer)", "not compared") or verdict.startswith("**missed** by "), figure
        assert f"\n{note}. " in text, figure
    for fact in ("date", "processor", "memory", "disk", "Python", "packages"):
        assert f"\n- {fact}: " in text


@pytest.mark.timeout(180)
@pytest.mark.skipif(not any(map(shutil.which, BROWSERS)), reason="there is no Chromium: apt-get install chromium")
def test_the_pages_group_gives_every_row(tmp_path: Path) -> None:
    out = tmp_path / "results.md"
    ran = run(tmp_path, "--only", "page", "--out", str(out))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    rows = [line.strip("|").split("|")[0].strip() for line in out.read_text("utf-8").splitlines() if line[:2] == "| "]
    assert rows[2:] == PAGE


def test_an_unknown_group_is_named(tmp_path: Path) -> None:
    ran = run(tmp_path, "--only", "dipsatch")
    assert ran.returncode == 2
    assert "no group is called 'dipsatch'; there are: dispatch, live," in ran.stderr
