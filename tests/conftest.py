"""Fixtures of the tests that drive a real kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from live_kernel import LiveKernel


@pytest.fixture
def start_kernel(tmp_path: Path) -> Iterator[Callable[..., LiveKernel]]:
    """Start kernels that end with the test; all share the test's data folder."""
    started: list[LiveKernel] = []

    def start(notebook: Path | None = None, *, load: bool = True, **environment: str) -> LiveKernel:
        started.append(LiveKernel(tmp_path, notebook, load=load, **environment))
        return started[-1]

    yield start
    for kernel in started:
        kernel.close()
        assert not kernel.complaints


@pytest.fixture(scope="module")
def shared_kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveKernel]:
    """One kernel for all tests of a module."""
    kernel = LiveKernel(tmp_path_factory.mktemp("kernel"))
    yield kernel
    kernel.close()


@pytest.fixture
def nb(shared_kernel: LiveKernel) -> Iterator[LiveKernel]:
    """The module's kernel, without tasks before and after each test."""
    yield shared_kernel
    shared_kernel.run("jo.cancel_all()")
    shared_kernel.until_true("all(task.ready() and not task.view.stopping for task in jo.tasks())")
    shared_kernel.run("%gather")
    shared_kernel.run("%orchestra clean")
    assert not shared_kernel.complaints
