"""What tasks use of the machine, by real processes that use it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_kernel import LiveKernel

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are measured on Linux")

MEMORY = 200 << 20
CPU = 1.0  # seconds
BUSY = f"import time\nwhile time.process_time() < {CPU}: pass\n"
LARGE = f"block = bytearray(b'x') * {MEMORY}\n"


@pytest.fixture
def nb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveKernel]:
    (tmp_path / "run").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    (tmp_path / "busy.py").write_text(f"{BUSY}{LARGE}print('there', flush=True)\ntime.sleep(600)\n")
    (tmp_path / "work.py").write_text(BUSY + LARGE)
    kernel = LiveKernel(tmp_path)
    yield kernel
    kernel.close()
    kernel.wait_for_no_process()


def usage(nb: LiveKernel, name: str) -> dict[str, float]:
    names = ("seconds", "cpu_seconds", "memory", "peak_memory", "processes")
    found = nb.ask(f"(lambda used: [getattr(used, name) for name in {names}])(jo.task({name!r}).usage)")
    return dict(zip(names, found, strict=True))


def test_a_script_that_runs_says_what_all_its_processes_use_now(nb: LiveKernel) -> None:
    nb.run("%%dispatch busy -w shell\npython busy.py &\npython work.py\nwait")
    nb.until_true("'there' in jo.task('busy').stdout")
    nb.until(lambda: usage(nb, "busy")["cpu_seconds"] > 2 * CPU)  # both, also the one that has ended
    found = usage(nb, "busy")
    assert found["memory"] > MEMORY
    assert found["peak_memory"] >= found["memory"]
    assert found["processes"] >= 2
    assert found["seconds"] > CPU
    said = nb.run("%orchestra explain busy").text
    assert "it uses " in said
    assert " s of CPU so far" in said
    nb.run("%cancel busy")
    nb.end("busy")
    after = usage(nb, "busy")
    assert after["cpu_seconds"] > 2 * CPU
    assert after["peak_memory"] > MEMORY
    assert after["processes"] == 0
    assert "it used " in nb.run("%orchestra explain busy").text


def test_a_short_script_is_measured_to_its_end(nb: LiveKernel) -> None:
    nb.run("%%dispatch short -w shell\npython work.py")
    assert nb.end("short") == "done"
    found = usage(nb, "short")
    assert found["cpu_seconds"] > CPU
    assert found["peak_memory"] > MEMORY


def test_what_a_kernel_did_before_is_none_of_the_next_task(nb: LiveKernel) -> None:
    nb.run("%config Orchestra.kernel_slots = 1")
    nb.run(
        f"%%dispatch first --no-share\nimport os, time\nbegan = time.process_time()\n"
        f"while time.process_time() < began + {CPU}: pass\nos.getpid()"
    )
    assert nb.end("first") == "done"
    nb.run("%%dispatch second --no-share\nimport os\nos.getpid()")
    assert nb.end("second") == "done"
    first, second = usage(nb, "first"), usage(nb, "second")
    assert nb.ask("jo.task('first').get() == jo.task('second').get()")
    assert first["cpu_seconds"] > 0.9 * CPU
    assert second["cpu_seconds"] < 0.5 * CPU
    assert second["peak_memory"] > 0


def test_what_has_not_begun_uses_nothing_and_the_notebooks_own_process_is_not_measured(nb: LiveKernel) -> None:
    nb.run("%%dispatch long -w shell\nsleep 600")
    nb.run("%%dispatch later --after long\n1")
    assert nb.ask("jo.task('later').usage") is None
    nb.run("%%dispatch inside -w loop\n1 + 1")
    nb.run("%gather inside")
    assert nb.ask("jo.task('inside').usage.cpu_seconds") is None
    assert "CPU" not in nb.run("%orchestra explain inside").text


def test_a_task_that_was_taken_over_is_measured_on(nb: LiveKernel) -> None:
    nb.run("%%dispatch busy -w shell\npython busy.py")
    nb.until_true("'there' in jo.task('busy').stdout")
    nb.restart()
    nb.load()
    nb.until(lambda: (usage(nb, "busy")["memory"] or 0) > MEMORY)
    assert usage(nb, "busy")["cpu_seconds"] > CPU
    nb.run("%cancel busy")
    nb.end("busy")
