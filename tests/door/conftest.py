"""Fixtures of the tests that come in by a door."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from guests import House

from jupyter_orchestra import rundir


@pytest.fixture
def runtime_dir(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A runtime directory of its own; its path is short, as that of a socket has to be."""
    with tempfile.TemporaryDirectory(prefix="jo-", dir="/tmp") as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        yield Path(folder)


@pytest.fixture
def build(runtime_dir: Path, tmp_path: Path) -> Iterator[Callable[..., House]]:
    """Build houses that end with the test and leave nothing in the runtime directory."""
    built: list[House] = []

    def make(notebook: str = "", mark: str = "house") -> House:
        built.append(House(tmp_path, notebook, mark))
        return built[-1]

    yield make
    for house in built:
        house.close()
    assert list(rundir.root().iterdir()) == []


@pytest.fixture
def house(build: Callable[..., House]) -> House:
    """A house alone."""
    return build("/books/analysis.ipynb")
