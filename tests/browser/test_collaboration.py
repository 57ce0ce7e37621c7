"""Two browsers on one shared document: each result is in it once."""

from __future__ import annotations

from .conftest import Desk
from .notebook_page import LOAD


def test_twenty_results_are_in_both_browsers_once(shared_desk: Desk) -> None:
    many = "for number in range(20): jo.dispatch(str(number), name=f'r{number}')"
    first = shared_desk.open(LOAD, many, "").load()
    second = shared_desk.open().show_sidebar()
    first.run("c1")
    names = sorted(f"r{number}" for number in range(20))
    for page in (first, second):
        page.until(lambda page=page: len(page.results()) >= 20, page.order, seconds=60)
    for page in (first, second):
        page.until(lambda page=page: sorted(cell.task for cell in page.results()) == names, page.order)
    first.until(lambda: len(first.saved_results()) >= 20, "not on disk")
    assert sorted(cell["source"] for cell in first.saved_results()) == sorted(f"%task {name}" for name in names)
    assert [cell.id for cell in first.results()] == [cell.id for cell in second.results()]
    for page in (first, second):
        page.show_sidebar()
        page.wait_state("r19", "done")


def test_a_deletion_in_one_browser_holds_in_both(shared_desk: Desk) -> None:
    first = shared_desk.open(LOAD, "%%dispatch gone\n1", "%%dispatch next\n2", "").load()
    second = shared_desk.open().show_sidebar()
    first.run("c1")
    result = first.wait_result("gone")
    second.until(lambda: second.results("gone"), second.order)
    second.delete(result.id)
    first.until(lambda: not first.results("gone"), first.order)
    first.run("c2")
    for page in (first, second):
        page.until(lambda page=page: [cell.task for cell in page.results()] == ["next"], page.order)
