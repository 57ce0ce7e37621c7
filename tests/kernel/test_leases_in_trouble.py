"""What becomes of leases when the clock jumps, their file is spoiled or its place is full: as a person meets it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from live_kernel import LiveKernel

PROJECT = "[tool.jupyter_orchestra.resources]\npress = 1\n"
JUMPING = "import time as _time\n_real, _jump = _time.time, 0.0\n_time.time = lambda: _real() + _jump"
Start = Callable[[], LiveKernel]


@pytest.fixture
def leases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "run").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    return tmp_path / "run" / f"orchestra-leases-{os.getuid()}"


@pytest.fixture
def start(leases: Path, tmp_path: Path) -> Iterator[Start]:
    kernels: list[LiveKernel] = []

    def begin() -> LiveKernel:
        kernels.append(LiveKernel(tmp_path, load=False))
        kernels[-1].run(JUMPING)
        kernels[-1].load()
        return kernels[-1]

    yield begin
    for kernel in kernels:
        kernel.close()
    for kernel in kernels:
        kernel.wait_for_no_process()
        assert not kernel.complaints


def hold(nb: LiveKernel) -> None:
    nb.run("%%dispatch holder -w shell --needs press\nwhile [ ! -e go ]; do sleep 0.1; done")
    nb.until_state("holder", "running")


def wait(nb: LiveKernel) -> None:
    nb.run("%%dispatch waiter -w shell --needs press\necho its turn")
    nb.until(lambda: "held by holder of " in nb.run("%orchestra explain waiter").text)


def go_on(nb: LiveKernel, other: LiveKernel, folder: Path) -> None:
    assert nb.state("holder") == "running"
    assert other.state("waiter") == "queued"
    (folder / "go").touch()
    assert nb.end("holder") == "done"
    assert other.end("waiter") == "done"


def renewed(leases: Path) -> float:
    """Until when what is held is held."""
    (file,) = leases.glob("*.db")
    connection = sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)
    try:
        return float(connection.execute("SELECT max(expires) FROM claim WHERE state = 'held'").fetchone()[0] or 0)
    finally:
        connection.close()


@pytest.mark.parametrize("seconds", [86_400.0, -86_400.0])
def test_a_clock_that_jumps_takes_nothing_from_a_holder_and_gives_nothing_to_two(
    start: Start, leases: Path, tmp_path: Path, seconds: float
) -> None:
    nb, other = start(), start()
    hold(nb)
    wait(other)
    for kernel in (nb, other):
        kernel.run(f"_jump = {seconds}")
    until = renewed(leases)
    nb.until(lambda: renewed(leases) > until)
    later = start()
    later.run(f"_jump = {seconds}")
    later.run("%%dispatch third -w shell --needs press\ntrue")
    later.until(lambda: "held by" in later.run("%orchestra explain third").text)
    go_on(nb, other, tmp_path)
    assert later.end("third") == "done"


def test_a_kernel_that_begins_before_the_time_of_its_journal_works(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = tmp_path / "nb.ipynb"
    notebook.write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    monkeypatch.setenv("JPY_SESSION_NAME", str(notebook))
    first = LiveKernel(tmp_path, notebook, load=False)
    try:
        first.run(f"{JUMPING}\n_jump = 1e6")
        first.load()
        first.run("%%dispatch before --needs press\n41")
        assert first.end("before") == "done"
    finally:
        first.close()
    second = LiveKernel(tmp_path, notebook)
    try:
        assert second.ask("jo.task('before').get()") == 41
        second.run("%%dispatch holder -w shell --needs press\nwhile [ ! -e go ]; do sleep 0.1; done")
        second.run("%%dispatch waiter --needs press\n1")
        second.until(lambda: "held by holder (for 0 s)" in second.run("%orchestra explain waiter").text)
        (tmp_path / "go").touch()
        assert second.end("waiter") == "done"
    finally:
        second.close()
        second.wait_for_no_process()


def delete(leases: Path) -> None:
    shutil.rmtree(leases)


def spoil(leases: Path) -> None:
    (file,) = leases.glob("*.db")
    file.write_bytes(os.urandom(10_000))


@pytest.mark.parametrize("damage", [delete, spoil])
def test_a_spoiled_file_takes_nothing_from_a_holder_and_gives_nothing_to_two(
    start: Start, leases: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    nb, other = start(), start()
    hold(nb)
    wait(other)
    damage(leases)
    other.run("%%dispatch third -w shell --needs press\ntrue")
    other.until(lambda: "waits for press" in other.run("%orchestra explain third").text)
    go_on(nb, other, tmp_path)
    assert other.end("third") == "done"


def test_where_leases_can_not_be_written_tasks_wait_and_say_why(start: Start, leases: Path, tmp_path: Path) -> None:
    leases.touch()
    nb, other = start(), start()
    why = "not a folder of yours: remove "
    for kernel in (nb, other):
        said = kernel.fail("jo.controller.lease('press', wait=False).__enter__()")
        assert why in said
        kernel.run("%%dispatch held_up -w shell --needs press\ntrue")
        kernel.until(lambda kernel=kernel: why in kernel.run("%orchestra explain held_up").text)
        assert kernel.state("held_up") == "queued"
    leases.unlink()
    for kernel in (nb, other):
        assert kernel.end("held_up") == "done"


def test_a_full_place_holds_tasks_up_until_there_is_room(start: Start, leases: Path, tmp_path: Path) -> None:
    leases.mkdir(mode=0o700)
    command = ["mount", "-t", "tmpfs", "-o", "size=256k,mode=700", "tmpfs", str(leases)]
    if os.geteuid() or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a small file system takes root")
    try:
        nb, other = start(), start()
        hold(nb)
        wait(other)
        with pytest.raises(OSError, match="No space left"):
            (leases / "ballast").write_bytes(bytes(1 << 20))
        other.run("%%dispatch third -w shell --needs press\ntrue")
        other.until(lambda: "waits for press" in other.run("%orchestra explain third").text)
        assert nb.state("holder") == "running"
        assert {other.state("waiter"), other.state("third")} == {"queued"}
        (leases / "ballast").unlink()
        go_on(nb, other, tmp_path)
        assert other.end("third") == "done"
        for kernel in (nb, other):
            kernel.shut_down()
    finally:
        subprocess.run(["umount", "-l", str(leases)], check=True)


def test_a_holder_whose_journal_is_full_gives_back_what_it_had(start: Start, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=6m,mode=700", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a small disk takes root")
    nb = LiveKernel(tmp_path, JUPYTER_DATA_DIR=str(disk))
    try:
        other = start()
        hold(nb)
        wait(other)
        with pytest.raises(OSError, match="No space left"):
            (disk / "ballast").write_bytes(bytes(8 << 20))
        nb.run("%%dispatch later -w shell\necho later")
        nb.until(lambda: "disk" in nb.run("%orchestra explain later").text)
        assert other.state("waiter") == "queued"
        (tmp_path / "go").touch()
        assert other.end("waiter") == "done"
        (disk / "ballast").unlink()
        assert [nb.end("holder"), nb.end("later")] == ["done", "done"]
    finally:
        nb.close()
        nb.wait_for_no_process()
        subprocess.run(["umount", "-l", str(disk)], check=True)
