"""Agents that are told to run the same tests have the test runner one after the other."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from live_kernel import LiveKernel, wait_until

from jupyter_orchestra.testing.model_server import ModelServer, SeenRequest, Step, ToolCall

Start = Callable[..., LiveKernel]
AGENTS = [f"checker-{number}" for number in range(5)]
SECONDS = 1.0  # that one run of the tests takes
SUITE = f"""
import time

def test_that_takes_a_while():
    print("began", time.monotonic())
    time.sleep({SECONDS})
    print("ended", time.monotonic())
"""
DECLARED = '[tool.jupyter_orchestra.tests]\ncommand = "bash all-checks.sh"\n'
PYTEST = "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 python -m pytest -q -s -p no:cacheprovider"
RUN = re.compile(r"began ([\d.]+).*ended ([\d.]+)", re.DOTALL)


class Checker:
    """The agents' model: once all have asked, each runs the tests and gives the last line of what came out."""

    def __init__(self, command: str, in_python: bool) -> None:
        python = ToolCall("run_python", {"code": f"import subprocess\nprint(subprocess.getoutput({command!r}))"})
        self.call = python if in_python else ToolCall("run_command", {"command": command})
        self.all_there = threading.Event()
        self.said: dict[str, str] = {}

    def __call__(self, seen: SeenRequest) -> Step:
        name = next(name for name in AGENTS if name in str(seen.items[0]) + seen.last_user)
        outputs = [str(item["output"]) for item in seen.items if item.get("type") == "function_call_output"]
        if not outputs:
            return Step(call=[self.call], gate=self.all_there)
        self.said[name] = outputs[0]
        headline = next((line for line in outputs[0].splitlines() if " in " in line), "nothing was run")
        return Step(call=[ToolCall("final_result", {"headline": headline, "summary": "The tests were run once."})])


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "run").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "test_slow.py").write_text(SUITE)
    (folder / "all-checks.sh").write_text(PYTEST)
    return folder


@pytest.fixture
def nb(project: Path) -> Iterator[Callable[[str], LiveKernel]]:
    started: list[LiveKernel] = []

    def start(url: str) -> LiveKernel:
        started.append(LiveKernel(project, OPENAI_BASE_URL=url, JUPYTER_DATA_DIR=str(project.parent / "data")))
        return started[-1]

    yield start
    for kernel in started:
        kernel.close()
        kernel.wait_for_no_process()


@pytest.mark.parametrize(
    ("command", "declares", "in_python"),
    [(PYTEST, "", False), ("bash all-checks.sh", DECLARED, False), (PYTEST, "", True)],
)
def test_five_agents_that_run_the_same_tests_queue_for_the_runner(
    nb: Callable[[str], LiveKernel], project: Path, command: str, declares: str, in_python: bool
) -> None:
    (project / "pyproject.toml").write_text(declares)
    model = Checker(command, in_python)
    with ModelServer(model) as server:
        kernel = nb(server.url)
        for name in AGENTS:
            kernel.run(f"%%dispatch {name} -w agent -r worker -t fast\nYou are {name}. Run the tests of this project.")
        wait_until(lambda: len(server.requests) == len(AGENTS))
        model.all_there.set()

        def queue() -> str:
            kernel.run("for task in jo.tasks():\n    if task.view.asks: task.approve()")  # where nothing confines them
            return kernel.run("%orchestra leases").text

        kernel.until(lambda: re.search(r"test-runner: 1 of 1 in use\n    test-runner held by checker", queue()))
        kernel.until(lambda: re.search(r"checker-\d waits for test-runner", queue()))
        said = " ".join(kernel.run(f"%orchestra explain {name}").text for name in AGENTS)
        assert re.search(r"it waits for test-runner, held by checker-\d \(for \d+ s\)", said), said
        for name in AGENTS:
            assert kernel.end(name) == "done"
            assert "1 passed in" in kernel.ask(f"jo.task({name!r}).result['headline']")
    assert sorted(model.said) == AGENTS
    for said in model.said.values():
        assert re.search(r"\n\[tests: 1 passed in [\d.]+ s\]", said), said
    runs = sorted(tuple(map(float, RUN.search(said).groups())) for said in model.said.values())
    assert all(ended <= began for (_, ended), (began, _) in pairwise(runs)), runs
    assert runs[-1][1] - runs[0][0] >= len(AGENTS) * SECONDS
    assert "test-runner: 0 of 1 in use" in kernel.run("%orchestra leases").text
