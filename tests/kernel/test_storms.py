"""Many notebooks at once want the one thing that their machine has: never two have it, and all get their turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from live_kernel import LiveKernel, wait_until

PROJECT = "[tool.jupyter_orchestra.resources]\npress = 1\nlooms = 2\n"
# Whoever is in the section while another is there says so.
ENTER = "exec 9>section; flock -n 9 || echo $ORCHESTRA_TASK >> twice; echo $ORCHESTRA_TASK >> turns; sleep 0.02"
OWN = """
import fcntl, os, time
def enter(times):
    for _ in range(times):
        with jo.controller.lease("press"), open("section", "w") as section:
            try:
                fcntl.flock(section, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print("own", file=open("twice", "a"))
            print("own", os.getpid(), file=open("turns", "a"))
            time.sleep(0.005)
"""
Start = Callable[[int], list[LiveKernel]]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    (tmp_path / "run").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    kernels: list[LiveKernel] = []

    def begin(many: int) -> list[LiveKernel]:
        kernels.extend(LiveKernel(tmp_path) for _ in range(many))
        return kernels

    yield begin
    for kernel in kernels:
        kernel.close()
    for kernel in kernels:
        kernel.wait_for_no_process()
        assert not kernel.complaints
    assert not list((tmp_path / "run").glob("orchestra-leases-*")), "the file of the leases is left over"


def turns(folder: Path) -> list[str]:
    file = folder / "turns"
    return file.read_text().split("\n")[:-1] if file.exists() else []


@pytest.mark.parametrize(("many", "tasks", "own"), [(2, 12, 20), (8, 3, 5)])
def test_never_two_notebooks_hold_the_same_and_all_get_their_turn(
    start: Start, tmp_path: Path, many: int, tasks: int, own: int
) -> None:
    kernels = start(many)
    for kernel in kernels:
        kernel.run(OWN)
    ran = []
    for number, kernel in enumerate(kernels):
        dispatch = f"jo.dispatch({ENTER!r}, name=f'n{number}-{{i}}', worker='shell', needs='press')"
        ran.append(kernel.send(f"for i in range({tasks}):\n    {dispatch}\nenter({own})\njo.gather()"))
    for kernel, cell in zip(kernels, ran, strict=True):
        kernel.finish(cell, seconds=90.0)
        assert cell.status == "ok", cell.error
    assert not (tmp_path / "twice").exists()
    assert len(turns(tmp_path)) == many * (tasks + own)
    for kernel in kernels:
        assert kernel.ask("{str(task.state) for task in jo.tasks()}") == {"done"}
        assert "press: 0 of 1 in use" in kernel.run("%orchestra leases").text


def test_notebooks_that_are_killed_in_a_storm_hold_nobody_up(start: Start, tmp_path: Path) -> None:
    kernels = start(4)
    for number, kernel in enumerate(kernels):
        for i in range(6):
            kernel.run(f"%%dispatch n{number}-{i} -w shell --needs press\n{ENTER}; sleep 0.2")
    for number in (0, 2):
        seen = len(turns(tmp_path))
        wait_until(lambda seen=seen: len(turns(tmp_path)) > seen + 1)
        kernels[number].kill()
    for number in (1, 3):
        for i in range(6):
            assert kernels[number].end(f"n{number}-{i}") == "done"
    assert not (tmp_path / "twice").exists()
