"""Fixtures of the tests that speak with a kernel as a page does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from live_kernel import LiveKernel


@pytest.fixture(scope="module")
def shared_kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveKernel]:
    """One kernel of a notebook for all tests of this module."""
    folder = tmp_path_factory.mktemp("kernel")
    kernel = LiveKernel(folder, folder / "nb.ipynb")
    yield kernel
    kernel.close()


@pytest.fixture
def nb(shared_kernel: LiveKernel) -> Iterator[LiveKernel]:
    """The module's kernel, without tasks before and after each test."""
    yield shared_kernel
    log = shared_kernel.log
    shared_kernel.run("jo.cancel_all()")
    shared_kernel.until_true("all(task.ready() and not task.view.stopping for task in jo.tasks())")
    shared_kernel.run("for task in jo.tasks(): get_ipython().run_line_magic('orchestra', f'forget {task.name}')")
    shared_kernel.comm_listeners.clear()
    assert not shared_kernel.complaints
    assert "Traceback" not in log, log
