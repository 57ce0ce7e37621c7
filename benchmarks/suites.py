"""What it costs that tasks run the same tests in turn, beside the suites one after the other and let loose together."""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.kernels import LOADED, Bench, Kernel
from benchmarks.table import Row, p50, quantity, spread

PLAIN = ("env", "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1")  # what else is installed here is not measured
COMMAND = (*PLAIN, sys.executable, "-m", "pytest", "-q", "--tb=no", "-p", "no:cacheprovider")
TESTS = """
import hashlib, os, socket, time
from pathlib import Path

FILE = Path(__file__).with_name("state")


def test_that_computes():
    for _ in range({rounds}):
        hashlib.sha256(bytes(100_000)).digest()


def test_that_serves():
    with socket.create_server(("127.0.0.1", {port})):
        time.sleep({seconds})


def test_that_keeps_a_file():
    FILE.write_text(str(os.getpid()))
    time.sleep({seconds})
    assert FILE.read_text() == str(os.getpid())
"""


def run(bench: Bench) -> list[Row]:
    """The rows about test suites."""
    project, suites = _project(bench), bench.size(4, 2)
    leased, serial, together, failures = [], [], [], []
    with bench.kernel(LOADED, "from benchmarks import leased") as kernel:
        for number in range(bench.size(-1, 0), bench.size(4, 1)):  # the first round compiles the tests
            found = _leased(kernel, project, suites), _serial(bench, project, suites), _together(bench, project, suites)
            if number >= 0:
                leased.append(found[0])
                serial.append(found[1])
                together.append(found[2][0])
                failures.append(found[2][1])
    how = (
        f"pytest: one test that computes, one that has a fixed port, one that has a file, {suites} times; as shell "
        "tasks with `--needs test-runner`, from the first dispatch to the last end (perf_counter in the cell); beside "
        f"subprocesses; rounds take turns; median, {spread(leased, 's')}; the peer {spread(serial, 's')}"
    )
    loose = (
        f"tests that failed, of {3 * suites} in each round; under leases each suite must end with exit code 0; let "
        f"loose they take {quantity(p50(together), 's')}; n = {len(failures)}"
    )
    return [
        Row(figure=f"{suites} test suites under leases", value=p50(leased), unit="s", times=1.05, how=how,
            peer="one after the other", peer_value=p50(serial)),
        Row(figure="their tests that fail", value=0.0, unit="tests", most=0.0, how=loose,
            peer="the same suites let loose together", peer_value=p50(failures)),
    ]  # fmt: skip


def _project(bench: Bench) -> Path:
    project = bench.folder / "project"
    project.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    tests = TESTS.format(rounds=bench.size(10_000, 100), port=port, seconds=bench.size(10, 1) / 20)
    (project / "test_project.py").write_text(tests)
    return project


def _leased(kernel: Kernel, project: Path, suites: int) -> float:
    """Seconds for the suites as tasks, all of which must pass."""
    return float(kernel.value(f"leased.suites({suites}, {shlex.join(COMMAND)!r}, {str(project)!r})"))


def _serial(bench: Bench, project: Path, suites: int) -> float:
    """Seconds for one after the other."""
    began = time.perf_counter()
    for _ in range(suites):
        subprocess.run(COMMAND, cwd=project, env=bench.environment(), stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def _together(bench: Bench, project: Path, suites: int) -> tuple[float, float]:
    """Seconds for all at once, and how many tests failed."""
    began = time.perf_counter()
    running = [
        subprocess.Popen(COMMAND, cwd=project, env=bench.environment(), stdout=subprocess.PIPE, text=True)
        for _ in range(suites)
    ]
    told = [process.communicate()[0] for process in running]
    failed = (int(found[1]) for text in told if (found := re.search(r"(\d+) failed", text)))
    return time.perf_counter() - began, float(sum(failed))
