"""A project's tests, run by who holds the test runner, in a real kernel with real pytest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from live_kernel import LiveKernel, describe

SUITE = """
def test_good():
    print("seen by nobody else")

def test_bad():
    assert 0
"""
SLOW = "import time\n\ndef test_slow():\n    time.sleep(600)\n"
QUIET = ("-p", "no:cacheprovider")
RUN = f"lease.run_tests(*{QUIET!r}, 'test_it.py')"
SAID = "(report.passed, report.failed, report.exit_code, [name.partition(' ')[0] for name in report.failures])"
CAME = (1, 1, 1, ["test_it.py::test_bad"])


@pytest.fixture
def nb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveKernel]:
    (tmp_path / "run").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_it.py").write_text(SUITE)
    (tmp_path / "test_slow.py").write_text(SLOW)
    kernel = LiveKernel(tmp_path)
    yield kernel
    kernel.close()
    kernel.wait_for_no_process()


def slow_ones(nb: LiveKernel) -> list[str]:
    return [line for line in describe(nb.processes()) if "test_slow.py" in line]


def test_who_holds_the_runner_runs_the_tests_and_reads_the_report(nb: LiveKernel) -> None:
    ran = nb.run(f"async with jo.controller.lease('test-runner') as lease:\n    report = await {RUN}")
    assert nb.ask(SAID) == CAME
    assert "1 failed, 1 passed in" in ran.text
    assert "1 failed, 1 passed in" in nb.ask("report.line")


def test_so_does_who_waits_without_await_and_takes_the_lines_by_a_function(nb: LiveKernel) -> None:
    run = f"{RUN[:-1]}, show=lines.append)"
    ran = nb.run(f"lines = []\nwith jo.controller.lease('test-runner') as lease:\n    report = {run}.get()")
    assert nb.ask(SAID) == CAME
    assert nb.ask("any('1 failed, 1 passed in' in line for line in lines)")
    assert ran.text == ""


def test_what_still_runs_ends_with_the_lease(nb: LiveKernel) -> None:
    nb.run("lease = jo.controller.lease('test-runner').__enter__()\nrun = lease.run_tests('test_slow.py')")
    nb.until(lambda: slow_ones(nb))
    nb.run("lease.__exit__(None, None, None)")
    assert not slow_ones(nb)
    assert "ended with their lease" in nb.fail("run.get()")


def test_an_interrupt_ends_the_tests_and_the_lease(nb: LiveKernel) -> None:
    for code in (
        "with jo.controller.lease('test-runner') as lease:\n    lease.run_tests('test_slow.py').get()",
        "async with jo.controller.lease('test-runner') as lease:\n    await lease.run_tests('test_slow.py')",
    ):
        ran = nb.send(code)
        nb.until(lambda: slow_ones(nb))
        nb.interrupt()
        assert nb.finish(ran).status == "error"
        nb.until(lambda: not slow_ones(nb))
        nb.until(lambda: "test-runner: 0 of 1 in use" in nb.run("%orchestra leases").text)


def test_a_lease_of_something_else_runs_no_tests(nb: LiveKernel) -> None:
    said = nb.fail("with jo.controller.lease('port') as lease:\n    lease.run_tests()")
    assert "ask for test-runner" in said


def test_a_script_that_holds_the_runner_has_the_summary_as_its_headline(nb: LiveKernel) -> None:
    command = f"python -m pytest {' '.join(QUIET)} -q test_it.py"
    nb.run(f"%%dispatch checked -w shell --needs test-runner\n{command} -k good")
    nb.run(f"%%dispatch broken -w shell --needs test-runner\n{command}")
    assert (nb.end("checked"), nb.end("broken")) == ("done", "failed")
    assert nb.ask("jo.task('checked').view.result.text").startswith("1 passed in")
    assert "1 failed, 1 passed in" in nb.ask("jo.task('broken').error")
