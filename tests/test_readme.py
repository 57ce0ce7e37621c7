from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from live_kernel import LiveKernel

README = Path(__file__).parents[1] / "README.md"
BLOCK = re.compile(r"```(python|text)\n(.*?)```", re.DOTALL)


def lines_of(text: str) -> list[str]:
    untimed = re.sub(r"done in \d+\.\d s", "done in T s", text)
    return [line for line in untimed.splitlines() if line.strip()]


def test_the_program_in_the_readme_prints_what_stands_below_it(start_kernel: Callable[..., LiveKernel]) -> None:
    kernel = start_kernel(load=False)
    expected: list[str] = []
    shown: list[str] = []
    for kind, block in BLOCK.findall(README.read_text("utf-8")):
        if kind == "text":
            expected += lines_of(block)
        else:
            cell = kernel.run(block)
            assert cell.status == "ok", cell.error
            shown += lines_of(cell.shown)
    assert expected
    assert [line for line in expected if line not in shown] == []
