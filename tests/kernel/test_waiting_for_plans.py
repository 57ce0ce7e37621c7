"""Cells that wait for what the master dispatched: its tasks get their variables although the cell has not ended."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from live_kernel import LiveKernel

PLAN = '%%chat\n- one [kernel]: base + 1\n- two [kernel] after: one: results["one"] * base'
WAITS = [
    "%gather",
    "jo.gather('two', timeout=20)",
    "jo.task('two').get(20)",
    "await jo.task('two')",
]


@pytest.mark.parametrize("waits", WAITS)
def test_a_cell_that_waits_for_a_plan_does_not_hold_it_up(start_kernel: Callable[..., LiveKernel], waits: str) -> None:
    kernel = start_kernel()
    kernel.run("%orchestra model rules")
    kernel.run("base = 20")
    kernel.run(PLAN)
    kernel.run("import time\nwhile not any(task.name == 'two' for task in jo.tasks()):\n    time.sleep(0.01)")
    kernel.run(waits)
    assert kernel.run("jo.task('two').result").value == "420"
