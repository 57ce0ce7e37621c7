"""What `%orchestra leases` says of other notebooks: two real kernels on one machine."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from live_kernel import LiveKernel

PROJECT = "[tool.jupyter_orchestra.resources]\npress = 1\n"
Start = Callable[[Path], LiveKernel]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    return folder


@pytest.fixture
def start(run: Path) -> Iterator[Start]:
    kernels: list[LiveKernel] = []

    def begin(folder: Path) -> LiveKernel:
        folder.mkdir(exist_ok=True)
        (folder / "pyproject.toml").write_text(PROJECT)
        kernels.append(LiveKernel(folder))
        return kernels[-1]

    yield begin
    for kernel in kernels:
        kernel.close()
    for kernel in kernels:
        kernel.wait_for_no_process()
        assert not kernel.complaints


def leases(nb: LiveKernel) -> str:
    return nb.run("%orchestra leases").text


def test_who_holds_and_who_waits_in_other_notebooks_is_seen_without_waiting_oneself(
    start: Start, tmp_path: Path
) -> None:
    nb, other, third = (start(tmp_path / "shared") for _ in range(3))
    assert "held by" not in leases(third)
    nb.run("%%dispatch holder -w shell --needs press,path:src:w,port:3150,mem=64MiB\nsleep 600")
    nb.until_state("holder", "running")
    other.run("%%dispatch waiter -w shell --needs press\nsleep 600")
    third.until(lambda: "waiter of " in leases(third))
    said = leases(third)
    for what in ("press", f"path:{tmp_path}/shared/src:w", "port:3150", "mem=64MiB"):
        assert f"    {what} held by holder of " in said
    assert "press: 0 of 1 in use here" in said
    assert said.count("press held by") == 1
    assert leases(other).count("press held by") == 1  # though it knows from its refusal, too
    nb.run("%cancel holder")
    third.until(lambda: "press held by waiter of " in leases(third))


def test_what_another_project_calls_the_same_is_told_apart(start: Start, tmp_path: Path) -> None:
    nb, other = start(tmp_path / "one"), start(tmp_path / "two")
    nb.run("%%dispatch holder -w shell --needs press\nsleep 600")
    nb.until_state("holder", "running")
    other.until(lambda: "holder of " in leases(other))
    said = leases(other)
    assert "press: 0 of 1 in use\n" in said
    assert f"press of {tmp_path}/one: 1 held\n    press held by holder of " in said


def test_where_the_others_can_not_be_asked_ones_own_are_shown_alone(start: Start, run: Path, tmp_path: Path) -> None:
    nb, other = start(tmp_path / "shared"), start(tmp_path / "shared")
    nb.run("%%dispatch holder -w shell --needs press\nsleep 600")
    nb.until_state("holder", "running")
    other.until(lambda: "holder of " in leases(other))
    (file,) = run.glob(f"orchestra-leases-{os.getuid()}/leases-*.db")
    with sqlite3.connect(file, isolation_level=None) as locked:
        locked.execute("BEGIN EXCLUSIVE")
        said = leases(other)
        locked.execute("ROLLBACK")
    locked.close()
    assert "press: 0 of 1 in use\n" in said
    other.until(lambda: "holder of " in leases(other))
