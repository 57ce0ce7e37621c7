from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from live_kernel import LiveKernel, wait_until

Start = Callable[..., LiveKernel]
TICKS = (
    "import os, time\nn = 0\nwhile not os.path.exists('go'):\n"
    "    n += 1\n    print('tick', n, flush=True)\n    time.sleep(0.02)\n"
)
SCRIPT = "n=0; while ! test -e go; do n=$((n+1)); echo tick $n; sleep 0.02; done; exit 3"


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    path = tmp_path / "nb.ipynb"
    path.write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    return path


def ticks(text: str) -> list[int]:
    return [int(line.split()[1]) for line in text.splitlines() if line.startswith("tick")]


def test_what_runs_when_the_kernel_is_killed_is_taken_over_with_all_of_its_output(
    start_kernel: Start, notebook: Path, tmp_path: Path
) -> None:
    first = start_kernel(notebook)
    first.run("base = 20")
    first.run(f"%%dispatch code --return twice\n{TICKS}twice = 2 * base\ntwice + 2")
    first.run(f"%%dispatch script -w shell\n{SCRIPT}")
    first.until_true("all('tick 3' in jo.task(name).stdout for name in ('code', 'script'))")
    first.kill()
    second = start_kernel(notebook)
    assert second.ask("[str(jo.task(name).state) for name in ('code', 'script')]") == ["running", "running"]
    (tmp_path / "go").touch()
    assert [second.end("code"), second.end("script")] == ["done", "failed"]
    assert second.ask("[jo.task('code').result, jo.task('code')['twice'], jo.task('code').attempt]") == [42, 40, 1]
    for name in ("code", "script"):
        seen = ticks(second.ask(f"jo.task({name!r}).stdout"))
        assert seen == list(range(1, len(seen) + 1)), "each line once, in order"
    assert "exit code 3" in second.ask("jo.task('script').error")
    second.run("%%dispatch afterwards -b\n'works'")
    second.shut_down()
    second.wait_for_no_process()


def test_what_ended_while_no_kernel_was_there_is_done(start_kernel: Start, notebook: Path, tmp_path: Path) -> None:
    first = start_kernel(notebook)
    first.run(f"%%dispatch code\n{TICKS}open('over', 'w').close()\n'came'")
    first.run("%%dispatch script -w shell\nwhile ! test -e go; do sleep 0.02; done; echo came; touch over-too")
    first.until_true("'tick 3' in jo.task('code').stdout and jo.task('script').state == 'running'")
    first.ask("__import__('time').sleep(0.3)")  # durable within 0.1 s
    first.kill()
    (tmp_path / "go").touch()
    wait_until(lambda: (tmp_path / "over").exists() and (tmp_path / "over-too").exists())
    second = start_kernel(notebook)
    assert [second.end("code"), second.end("script")] == ["done", "done"]
    assert second.ask("[jo.task('code').result, jo.task('script').stdout]") == ["came", "came\n"]


def test_of_the_folders_of_attempts_those_stay_that_go_on(start_kernel: Start, notebook: Path, tmp_path: Path) -> None:
    first = start_kernel(notebook)
    first.run(f"%%dispatch code\n{TICKS}'came'")
    first.until_true("'tick 3' in jo.task('code').stdout")
    (runs,) = (first.data / "orchestra").glob("*/runs")
    (epoch,) = runs.iterdir()
    (epoch / "left-1").mkdir()
    (runs / "0" / "older-1").mkdir(parents=True)
    first.kill()
    second = start_kernel(notebook)
    wait_until(lambda: not (runs / "0").exists() and len(list(epoch.iterdir())) == 1)
    (tmp_path / "go").touch()
    assert second.end("code") == "done"
    assert second.ask("jo.task('code').result") == "came"
    second.shut_down()
    third = start_kernel(notebook)
    wait_until(lambda: not epoch.exists())
    third.shut_down()


def test_what_a_paused_task_keeps_is_held_as_before_when_it_gave_the_rest_back(
    start_kernel: Start, notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    table = "[tool.jupyter_orchestra.resources]\nloom = {capacity = 1, preemptible = true}\npress = 1\n"
    (tmp_path / "pyproject.toml").write_text(table)
    kernel = start_kernel(notebook, XDG_RUNTIME_DIR=str(tmp_path / "run"))
    kernel.run("%%dispatch weaver -w shell --needs loom,press\necho begun; sleep 600")
    kernel.until_true("'begun' in jo.task('weaver').stdout")

    def claims() -> list[dict[str, Any]]:
        (file,) = (tmp_path / "run").rglob("leases-*.db")
        with contextlib.closing(sqlite3.connect(file)) as connection:
            return [json.loads(body) for (body,) in connection.execute("SELECT body FROM claim")]

    (before,) = claims()
    kernel.run("%pause weaver")
    kernel.until(lambda: len(claims()[0]["wants"]) == 1)
    (after,) = claims()
    assert after["wants"][0]["key"].startswith("press|")
    kept = ("fence", "marks", "steward")
    assert [after[name] for name in kept] == [before[name] for name in kept]
    assert after["fence"] == "kill"
    kernel.run("%cancel weaver")
    assert kernel.end("weaver") == "cancelled"
