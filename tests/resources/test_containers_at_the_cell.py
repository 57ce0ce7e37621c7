"""Containers as a person meets them: tasks in a real kernel, with a real podman."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from engine import IMAGE, PodmanStore
from live_kernel import LiveKernel, wait_until

PROJECT = f"""
[tool.jupyter_orchestra.containers.box]
image = "{IMAGE}"
command = "sleep 600"
"""
INSIDE = '$CONTAINER_RUNTIME exec $CONTAINER bash -c "cat /proc/1/cmdline"'
Start = Callable[..., LiveKernel]


@pytest.fixture
def store(filled: PodmanStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PodmanStore]:
    (tmp_path / "run").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    for name, value in filled.environment.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    yield filled
    filled.empty()


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    path = tmp_path / "nb.ipynb"
    path.write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    return path


def approve(nb: LiveKernel, name: str) -> None:
    nb.until(lambda: "approve or decline" in nb.run(f"%orchestra explain {name}").text)
    nb.run(f"%approve {name}")


def begin(nb: LiveKernel, name: str, script: str) -> None:
    nb.run(f"%%dispatch {name} -w shell --needs container:box\n{script}")


def test_a_task_works_in_its_container_which_goes_with_it(store: PodmanStore, start_kernel: Start) -> None:
    nb = start_kernel()
    begin(nb, "inside", INSIDE)
    approve(nb, "inside")
    assert nb.end("inside") == "done"
    assert "sleep" in nb.ask("jo.task('inside').stdout")
    wait_until(lambda: store.containers == [])
    begin(nb, "again", INSIDE)  # approved as it is, and free again
    assert nb.end("again") == "done"
    nb.until(lambda: "container:box: 0 of 1 in use" in nb.run("%orchestra leases").text)
    assert store.containers == []


def test_two_tasks_have_it_in_turn(store: PodmanStore, start_kernel: Start, tmp_path: Path) -> None:
    nb = start_kernel()
    begin(nb, "one", "while [ ! -e go ]; do sleep 0.1; done; echo $CONTAINER")
    approve(nb, "one")
    begin(nb, "two", "echo $CONTAINER")
    nb.until(lambda: "waits for container:box, held by one" in nb.run("%orchestra explain two").text)
    (tmp_path / "go").touch()
    assert nb.end("two") == "done"
    assert nb.ask("jo.task('one').stdout != jo.task('two').stdout")


def test_a_cancelled_task_takes_its_container_with_it(store: PodmanStore, start_kernel: Start) -> None:
    nb = start_kernel()
    begin(nb, "held", f"{INSIDE} && touch inside; sleep 600")
    approve(nb, "held")
    wait_until(lambda: (nb.folder / "inside").exists())
    assert len(store.containers) == 1
    nb.run("%cancel held")
    assert nb.end("held") == "cancelled"
    nb.until(lambda: "container:box: 0 of 1 in use" in nb.run("%orchestra leases").text)
    assert store.containers == []


def test_nothing_is_left_of_it_when_the_kernel_is_killed(
    store: PodmanStore, start_kernel: Start, notebook: Path
) -> None:
    first = start_kernel(notebook)
    begin(first, "held", "touch inside; sleep 600")
    approve(first, "held")
    wait_until(lambda: (first.folder / "inside").exists())
    assert len(store.containers) == 1
    first.kill()
    wait_until(lambda: store.containers == [])
    first.wait_for_no_process()


def test_what_no_kernel_removed_the_next_one_does(store: PodmanStore, start_kernel: Start, notebook: Path) -> None:
    first = start_kernel(notebook)
    begin(first, "held", "touch inside; sleep 600")
    approve(first, "held")
    wait_until(lambda: (first.folder / "inside").exists())
    for process in psutil.Process(first.pid).children():
        if process.name() == "sh":  # the guard
            process.kill()
    first.kill()
    first.wait_for_no_process()
    assert len(store.containers) == 1
    start_kernel(notebook)
    wait_until(lambda: store.containers == [])


def test_a_clean_end_of_the_kernel_leaves_no_container(store: PodmanStore, start_kernel: Start) -> None:
    nb = start_kernel()
    begin(nb, "held", "touch inside; sleep 600")
    approve(nb, "held")
    wait_until(lambda: (nb.folder / "inside").exists())
    nb.shut_down()
    nb.wait_for_no_process()
    wait_until(lambda: store.containers == [])


def test_an_image_that_is_not_there_fails_the_task_in_one_line(
    store: PodmanStore, start_kernel: Start, tmp_path: Path
) -> None:
    (tmp_path / "pyproject.toml").write_text(PROJECT.replace(IMAGE, "localhost/missing:1"))
    nb = start_kernel()
    begin(nb, "hopeless", "true")
    approve(nb, "hopeless")
    assert nb.end("hopeless") == "failed"
    assert nb.ask("jo.task('hopeless').error").endswith(
        "localhost/missing:1 is not here: podman pull localhost/missing:1"
    )


def test_without_an_engine_the_dispatch_is_refused(tmp_path: Path, start_kernel: Start) -> None:
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("bash", "sh", "sleep", "python"):
        (programs / name).symlink_to(str(shutil.which(name)))
    nb = start_kernel(PATH=os.fspath(programs))
    said = nb.fail("%%dispatch hopeless -w shell --needs container:box\ntrue")
    assert "containers need podman or docker" in said
    assert nb.ask("jo.tasks()") == []
