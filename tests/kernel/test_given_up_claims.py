"""Who gives up waiting for what another notebook has is in nobody's way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from live_kernel import LiveKernel

PROJECT = """
[tool.jupyter_orchestra.resources]
press = 1
loom = 1
"""


@pytest.fixture
def kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[LiveKernel]]:
    (tmp_path / "run").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))  # a broker of this test's own
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    made = [LiveKernel(tmp_path) for _ in range(2)]
    yield made
    for kernel in made:
        kernel.close()
        kernel.wait_for_no_process()


@pytest.mark.parametrize("word", ["cancel", "pause"])
def test_what_it_would_also_have_taken_another_notebook_gets_at_once(kernels: list[LiveKernel], word: str) -> None:
    one, other = kernels
    one.run("%%dispatch holder -w shell --needs press\nsleep 600")
    one.until_state("holder", "running")
    other.run("%%dispatch waiter --needs press,loom\n1")
    other.until(lambda: "held by holder of " in other.run("%orchestra explain waiter").text)
    other.run(f"%{word} waiter")
    one.run("%%dispatch next_one --needs loom\n1")
    assert one.end("next_one") == "done"
    assert one.state("holder") == "running"
    one.run("%cancel holder")
