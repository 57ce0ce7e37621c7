from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from live_kernel import LiveKernel
from page import Page

from jupyter_orchestra.core import wire


def test_a_page_that_began_to_attach_before_the_extension_was_there_is_heard_all_the_same(
    tmp_path: Path, start_kernel: Callable[..., LiveKernel]
) -> None:
    nb = start_kernel(tmp_path / "nb.ipynb", load=False)
    page = Page(nb, attach=False)
    page.open_down()
    nb.until(lambda: page.closed == [page.down])
    nb.load()
    nb.until(lambda: page.announced)
    page.open_up()
    nb.until_true("jo.api.current().runtime.sink._pages._pages._hellos")
    page.attach()
    page.wait_for(wire.Snapshot)
    assert not page.ask(wire.Act, action="cancel", tasks=("nobody",)).ok
