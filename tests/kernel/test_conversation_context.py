from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from jupyter_orchestra.client.request import Request
from jupyter_orchestra.core.model import Anchor
from jupyter_orchestra.notebook.context import CellContext, PageContext

LAST_CELL = {"header": {"msg_id": "last"}, "metadata": {"cellId": "last"}}


def context() -> CellContext:
    shell: Any = SimpleNamespace(get_parent=lambda: LAST_CELL, user_ns={})
    snapshots: Any = None
    return CellContext(shell, "/home/ada/work.ipynb", snapshots)


def test_what_the_page_asks_for_belongs_to_no_cell() -> None:
    page = PageContext(context(), "one")
    request: Any = None
    assert page.anchor("uid", request) == Anchor("/home/ada/work.ipynb", "", "", {"session": "one"})
    assert (page.parent(), page.header()) == ({}, {})
    assert page.must_wait()
    assert not page.pump(lambda: True, 1.0)


def test_each_message_of_the_page_is_a_cohort() -> None:
    cells = context()
    first, second = PageContext(cells, "one"), PageContext(cells, "one")
    assert first.cohort() == first.cohort()
    assert len({first.cohort(), second.cohort(), cells.cohort()}) == 3


def test_a_snapshot_that_the_page_waits_for_is_taken_by_the_notebook() -> None:
    cells = context()
    request: Request = SimpleNamespace()  # type: ignore[assignment]
    PageContext(cells, "one")._later["uid"] = request
    assert cells.take_later("uid") is request
    assert cells.take_later("uid") is None


def test_a_cell_on_the_main_thread_waits_for_nothing() -> None:
    assert not context().must_wait()
