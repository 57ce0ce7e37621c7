"""What the tests of the journal share: a notebook, a way to open its journal, and waiting for conditions."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_orchestra.journal import Journal, open_journal, points


class Watch:
    """What the journal told its owner."""

    def __init__(self) -> None:
        self.blocked: list[str] = []
        self.freed = 0
        self.is_blocked, self.is_freed = threading.Event(), threading.Event()

    def on_blocked(self, reason: str) -> None:
        self.blocked.append(reason)
        self.is_freed.clear()
        self.is_blocked.set()

    def on_freed(self) -> None:
        self.freed += 1
        self.is_blocked.clear()
        self.is_freed.set()


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    path = tmp_path / "work" / "n.ipynb"
    path.parent.mkdir()
    path.write_text("{}")
    return path


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: a kill leaves the same there, and its syncs cost nothing."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory, prefix="jupyter_orchestra-") as folder:
        yield Path(folder)


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def start(tmp_path: Path, notebook: Path, watch: Watch) -> Iterator[Callable[..., Journal]]:
    """Opens journals under one base; closes at the end what is still open."""
    opened: list[Journal] = []

    def start(path: Path | None = notebook, **options: Any) -> Journal:
        options = {
            "base": tmp_path / "base", "kernel": "kernel-1", "retry": (0.01, 0.02),
            "on_blocked": watch.on_blocked, "on_freed": watch.on_freed, **options,
        }  # fmt: skip
        journal = open_journal(path, **options)
        opened.append(journal)
        return journal

    yield start
    for journal in opened:
        journal.close(delete=False, timeout=0.5)


@pytest.fixture(autouse=True)
def no_points() -> Iterator[None]:
    yield
    points.reach = points._pass


def settle(journal: Journal) -> None:
    """Wait until all that was appended is durable."""
    done = threading.Event()
    journal.barrier(done.set)
    assert done.wait(20)


def crash(journal: Journal) -> None:
    """Let go of the files as a kill would: nothing more is written, the owner's record stays."""
    settle(journal)
    assert journal._writer.close(5)
