"""What is found to confine programs, on machines that differ."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_orchestra.sandbox import landlock, probing
from jupyter_orchestra.sandbox.probing import probe, rungs
from jupyter_orchestra.sandbox.values import Confinement, Sandbox


@pytest.fixture(autouse=True)
def _anew() -> Iterator[None]:
    probing._tried.cache_clear()
    yield
    probing._tried.cache_clear()


@pytest.fixture
def no_landlock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock, "abi", lambda: 0)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A first folder on PATH."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def put(folder: Path, script: str) -> None:
    program = folder / "bwrap"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_the_best_one_that_works_is_taken() -> None:
    working = [rung.sandbox.kind for rung in rungs() if not rung.trouble]
    assert probe().kind == [*working, "none"][0]


def test_without_bubblewrap_the_next_one_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    works = not rungs()[1].trouble
    assert probe().kind == ("landlock" if works else "none")
    assert probe().why.startswith("bubblewrap: not found")


@pytest.mark.usefixtures("no_landlock")
@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo 'bwrap: No permissions to create a new namespace' >&2; exit 1", "No permissions to create a new"),
        ("exit 3", "exit code 3"),
        ('while [ "$1" != -- ]; do shift; done; shift; exec "$@"', "writes outside"),
        ("echo confined", "confined"),
        ("kill -9 $$", "exit code -9"),
    ],
)
def test_what_does_not_confine_does_not_count(path: Path, script: str, why: str) -> None:
    put(path, script)
    found = probe()
    assert found.kind == "none"
    assert why in found.why
    assert "landlock: not offered by this machine" in found.why


@pytest.mark.usefixtures("no_landlock")
def test_what_hangs_does_not_count(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "PATIENCE", 0.2)
    put(path, "exec sleep 60")
    assert "no answer within" in probe().why


def test_an_old_landlock_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock, "abi", lambda: landlock.LOWEST - 1)
    assert rungs()[1].trouble == "ABI 2 is too old"


def test_it_is_tried_once_whoever_asks_at_once(path: Path) -> None:
    put(path, f"echo x >> {path}/count; exit 1")
    threads = [threading.Thread(target=probe) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (path / "count").read_text() == "x\n"


def test_nothing_is_left_of_a_trial(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = os.listdir("/proc/self/fd")
    (path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(path / "tmp"))
    rungs()
    assert list((path / "tmp").iterdir()) == []
    assert os.listdir("/proc/self/fd") == files


def test_without_any_nothing_is_wrapped(tmp_path: Path) -> None:
    assert Sandbox("none").wrapped(("ls",), Confinement((tmp_path,), tmp_path)) == ("ls",)
    assert "all your rights" in Sandbox("none").limits
