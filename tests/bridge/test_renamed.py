from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from live_kernel import LiveKernel
from page import Page

from jupyter_orchestra.core import wire

RESULT_CELL = {
    "cell_type": "code", "id": "jo-it-1", "source": "%task it", "execution_count": 1,
    "metadata": {"orchestra": {"task": "it"}},
    "outputs": [{"output_type": "display_data", "data": {"text/plain": "saved"}, "metadata": {}}],
}  # fmt: skip


def test_a_notebook_that_was_renamed_is_found_where_its_page_says(
    tmp_path: Path, start_kernel: Callable[..., LiveKernel]
) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "elsewhere").mkdir()
    notebook = tmp_path / "work" / "nb.ipynb"
    nb = start_kernel(notebook)
    page = Page(nb, path="work/nb.ipynb")
    page.wait_for(wire.Snapshot)
    (tmp_path / "elsewhere" / "renamed.ipynb").write_text(json.dumps({"cells": [RESULT_CELL]}))
    assert nb.finish(nb.send("%task it", cell="jo-it-1")).status == "error"
    page.say(wire.PageChanged(path="elsewhere/renamed.ipynb", visible=True))
    nb.until(lambda: nb.finish(nb.send("%task it", cell="jo-it-1")).displays == [{"text/plain": "saved"}])
    page.close()
    assert nb.finish(nb.send("%task it", cell="another")).status == "error"
