"""Notebooks in different folders of one checkout, whose file declares nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from live_kernel import LiveKernel


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "run").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    (tmp_path / ".git").mkdir()
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture
def notebooks(checkout: Path) -> Iterator[list[LiveKernel]]:
    kernels = [LiveKernel(checkout / name) for name in ("first", "second")]
    yield kernels
    for kernel in kernels:
        kernel.close()
        kernel.wait_for_no_process()


def test_they_have_the_test_runner_and_its_files_one_after_the_other(
    notebooks: list[LiveKernel], checkout: Path
) -> None:
    first, second = notebooks
    first.run("held = jo.controller.lease('test-runner', 'path:first/data:w').__enter__()")
    second.run("%%dispatch tests --needs test-runner\nimport os\nos.environ['ORCHESTRA_TEST_COMMAND']")
    second.run("%%dispatch reads -w shell --needs path:first:r\ntrue")
    second.until(lambda: "held by your own code of " in second.run("%orchestra explain tests").text)
    second.until(lambda: "held by your own code of " in second.run("%orchestra explain reads").text)
    assert [second.state(name) for name in ("tests", "reads")] == ["queued", "queued"]
    first.run("%cd -q /")  # what was the project stays it
    first.run("held.__exit__(None, None, None)")
    assert [second.end(name) for name in ("tests", "reads")] == ["done", "done"]
    assert "pytest" in second.ask("jo.task('tests').get()"), "found beside .git"
    second.run("held = jo.controller.lease('test-runner').__enter__()")
    first.run("%%dispatch late -w shell --needs test-runner,path:second:r\ntrue")
    first.until(lambda: "held by your own code of " in first.run("%orchestra explain late").text)
    second.run("held.__exit__(None, None, None)")
    assert first.end("late") == "done"
