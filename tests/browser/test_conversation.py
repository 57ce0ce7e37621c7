"""Cells that begin with one of our magics run at once while the main shell is busy; in a batch they wait in line."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from .conftest import Desk
from .notebook_page import LOAD, App, NotebookPage
from .site import until

# What keeps the main shell, once it has made the file `begun`.
KEEPERS = {
    "time.sleep": "open({begun!r}, 'w').close()\ntime.sleep(600)",
    "a CPU loop": "open({begun!r}, 'w').close()\nwhile True:\n    pass",
    "%%capture": "%%capture kept\nprint('kept')\nopen({begun!r}, 'w').close()\ntime.sleep(600)",
}
QUICK = "%%dispatch quick\n6 * 7"


@pytest.mark.parametrize("keeper", KEEPERS)
def test_a_conversation_cell_runs_while_another_cell_does(desk: Desk, app: App, keeper: str, tmp_path: Path) -> None:
    page = desk.open(LOAD, _keep(tmp_path, keeper), QUICK, "%tasks", "", app=app).load()
    _converse(page, tmp_path)


@pytest.mark.parametrize("keeper", ["time.sleep", "a CPU loop"])
def test_a_conversation_cell_runs_beside_an_executor_on_the_server(
    executor_desk: Desk, keeper: str, tmp_path: Path
) -> None:
    page = executor_desk.open(LOAD, _keep(tmp_path, keeper), QUICK, "%tasks", "").load()
    _converse(page, tmp_path)


def test_a_conversation_cell_runs_in_a_shared_document(shared_desk: Desk, tmp_path: Path) -> None:
    page = shared_desk.open(LOAD, _keep(tmp_path, "time.sleep"), QUICK, "%tasks", "").load()
    _converse(page, tmp_path)


def _keep(folder: Path, keeper: str) -> str:
    return KEEPERS[keeper].format(begun=str(folder / "begun"))


def _converse(page: NotebookPage, folder: Path) -> None:
    page.press_run("c1")
    until(lambda: (folder / "begun").exists())
    page.press_run("c2")
    page.wait_run("c2")
    page.wait_state("quick", "done")
    assert "42" in page.wait_result("quick").shown
    page.press_run("c3")
    page.wait_run("c3")
    assert "quick" in page.cell("c3").shown
    assert "quick" not in page.cell("c1").shown
    assert page.cell("c1").prompt == "[*]:"
    page.interrupt()
    page.until(lambda: "KeyboardInterrupt" in page.cell("c1").shown, "the cell is not interrupted")
    prompts = [page.cell(name).prompt for name in ("c0", "c1", "c2", "c3")]
    assert len(set(prompts)) == 4, prompts


def test_a_conversation_cell_after_a_reload(desk: Desk, tmp_path: Path) -> None:
    page = desk.open(LOAD, _keep(tmp_path, "time.sleep"), QUICK, "").load()
    page.save()
    page.press_run("c1")
    until(lambda: (tmp_path / "begun").exists())
    page.reload(idle=False).show_sidebar().wait_attached()
    page.until(lambda: "c1" in page.order(), "the notebook is empty")
    page.press_run("c2")
    page.wait_run("c2")
    assert "42" in page.wait_result("quick").shown


def test_a_cell_that_is_to_keep_its_order_waits(desk: Desk, tmp_path: Path) -> None:
    from .site import code

    page = desk.open(LOAD, _keep(tmp_path, "time.sleep"), code("late", QUICK, tags=["orchestra-in-order"]), "").load()
    page.press_run("c1")
    until(lambda: (tmp_path / "begun").exists())
    page.press_run("late")
    page.compose("%%dispatch sooner\n1")
    page.wait_state("sooner", "done")
    assert page.cell("late").prompt == "[*]:"
    assert "quick" not in page.states()
    page.interrupt()
    page.until(lambda: page.cell("c1").has_run, "the cell is not interrupted")


@pytest.mark.parametrize("place", ["desk", "executor_desk"])
def test_run_all_keeps_its_order(request: pytest.FixtureRequest, place: str) -> None:
    found: Desk = request.getfixturevalue(place)
    cells = [
        LOAD,
        "order = []",
        "order.append('a'); time.sleep(1); order.append('b')",
        "%%dispatch seen --share order\n''.join(order)",
        "order.append('c'); time.sleep(0.5)",
        "%tasks",
        "print(''.join(order))",
        "",
    ]
    page = found.open(*cells).show_sidebar()
    page.run_all()
    page.until(lambda: "abc" in page.cell("c6").shown, lambda: page.cell("c6"))
    page.until(lambda: "'ab'" in page.wait_result("seen").shown, lambda: page.results())
    numbers = [int(page.cell(f"c{number}").prompt.strip("[]: ")) for number in range(7)]
    assert numbers == sorted(set(numbers))


def test_the_composer_works_while_a_cell_asks(desk: Desk, app: App) -> None:
    page = desk.open(LOAD, "said = input('say: ')\nprint('heard', said)", "", app=app).load()
    page.press_run("c1")
    box = page.page.locator("input.jp-Stdin-input")
    box.wait_for()
    page.compose(QUICK)
    page.wait_state("quick", "done")
    assert "42" in page.wait_result("quick").shown
    assert page.cell("c1").prompt == "[*]:"
    box.fill("well")
    box.press("Enter")
    page.until(lambda: "heard well" in page.cell("c1").shown, lambda: page.cell("c1"))
    expect(page.dialog()).to_have_count(0)
