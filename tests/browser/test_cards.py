"""Cards: what a person sees of the tasks and does with them, also while the kernel is busy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from .conftest import Desk, Gate
from .notebook_page import LOAD, App, NotebookPage
from .probe import Probe

BUSY = {
    "sleeping": "print('busy', flush=True)\ntime.sleep(600)",
    "computing": "print('busy', flush=True)\nwhile True:\n    pass",
}
LONG = "%%dispatch long\nimport time\ntime.sleep(600)"


@pytest.mark.parametrize("busy", BUSY)
def test_cancel_is_handled_before_the_running_cell_ends(desk: Desk, app: App, busy: str) -> None:
    page = desk.open(LOAD, LONG, BUSY[busy], "", app=app).load()
    page.run("c1")
    page.wait_state("long", "running")
    page.press_run("c2")
    page.wait_running("c2")
    page.click("long", "Cancel")
    page.wait_state("long", "cancelled")
    assert page.cell("c2").prompt == "[*]:"
    page.interrupt()
    page.wait_run("c2")


def test_a_page_reloaded_while_a_cell_runs_shows_its_cards_again(desk: Desk, app: App) -> None:
    page = desk.open(LOAD, LONG, "ended = False", f"{BUSY['sleeping']}\nended = True", "", app=app).load()
    page.run("c1")
    page.run("c2")
    page.wait_state("long", "running")
    page.save()
    page.press_run("c3")
    page.wait_running("c3")
    page.reload(idle=False).show_sidebar()
    page.wait_state("long", "running")
    page.click("long", "Cancel")
    page.wait_state("long", "cancelled")
    with Probe(desk.site.connection(page.name)) as probe:
        assert probe.ask("ended") is False


def test_pause_resume_and_retry(desk: Desk, tmp_path: Path) -> None:
    counter, second = tmp_path / "counter", tmp_path / "second"
    counting = (
        "%%dispatch count\nimport time\nfor number in range(10**6):\n"
        f"    open({str(counter)!r}, 'w').write(str(number))\n    time.sleep(0.01)"
    )
    failing = f"%%dispatch flaky\nimport pathlib\np = pathlib.Path({str(second)!r})\nagain = p.exists()\np.touch()\n"
    page = desk.open(LOAD, counting, failing + "assert again\n'the second time'", "").load()
    page.run("c1")
    page.until(lambda: counter.exists() and counter.read_text() > "0", "it never counts")
    page.click("count", "Pause")
    page.wait_state("count", "paused")
    page.click("count", "Resume")
    page.wait_state("count", "running")
    held = counter.read_text()
    page.until(lambda: counter.read_text() not in ("", held), "it does not go on")
    page.click("count", "Cancel")
    page.wait_state("count", "cancelled")
    page.run("c2")
    page.wait_state("flaky", "failed")
    page.click("flaky", "Retry")
    page.wait_state("flaky", "done")
    page.until(lambda: [cell for cell in page.results("flaky") if "the second time" in cell.shown], page.order)


def test_cancel_all_asks_once(desk: Desk, app: App) -> None:
    page = desk.open(LOAD, "for n in range(4): jo.dispatch('import time; time.sleep(600)', name=f't{n}')", "", app=app)
    page.load().run("c1")
    page.wait_state("t0", "running")
    page.wait_state("t3", "queued", "running")
    page.sidebar.get_by_role("button", name=re.compile("Cancel all")).click()
    expect(page.dialog()).to_have_count(1)
    assert page.states()["t0"] == "running"
    page.dialog().locator(".jp-mod-accept").click()
    for number in range(4):
        page.wait_state(f"t{number}", "cancelled")
    expect(page.dialog()).to_have_count(0)


def test_two_hundred_tasks_are_listed_and_searched(desk: Desk, gate: Gate) -> None:
    many = (
        f"jo.dispatch({gate.body('0')!r}, name='gate', deliver='silent')\n"
        "for number in range(199): jo.dispatch('1', name=f'task-{number}', after=['gate'], deliver='silent')"
    )
    page = desk.open(LOAD, many, "").load()
    page.run("c1")
    expect(page.sidebar).to_contain_text("199")
    assert 5 < len(page.states()) < 100, "all cards are drawn, or none"
    page.sidebar.get_by_role("searchbox").fill("task-150")
    page.until(lambda: page.states() == {"task-150": "waiting"}, page.states)
    desk.picture(page, "search")
    page.sidebar.get_by_role("searchbox").fill("")
    page.until(lambda: len(page.states()) > 5, page.states)
    page.card("task-10").scroll_into_view_if_needed()


def _focused(page: NotebookPage) -> str:
    """What in the sidebar has the focus, by its name or text."""
    return str(
        page.page.evaluate(
            "() => { const node = document.activeElement;"
            "return node.closest('#jupyter-orchestra-sidebar') ? node.ariaLabel || node.textContent : ''; }"
        )
    )


def test_everything_is_reached_by_keyboard(desk: Desk) -> None:
    page = desk.open(LOAD, LONG, "").load()
    page.run("c1")
    page.wait_state("long", "running")
    page.command("jupyter-orchestra:focus-composer")
    page.until(lambda: _focused(page) != "", "the composer has no focus")
    for _ in range(8):  # back to the list, of which one row is in the order of Tab
        page.page.keyboard.press("Shift+Tab")
        if page.page.evaluate("() => document.activeElement.closest('[data-key]') !== null"):
            break
    page.page.keyboard.press("End")
    page.until(lambda: "long" in _focused(page), lambda: _focused(page))
    for _ in range(8):
        page.page.keyboard.press("Tab")
        if _focused(page) == "Cancel":
            break
    assert _focused(page) == "Cancel"
    page.page.keyboard.press("Enter")
    page.wait_state("long", "cancelled")


def test_the_status_bar_and_the_title_count(desk: Desk) -> None:
    page = desk.open(LOAD, LONG, "").load()
    before = page.page.title()
    page.run("c1")
    page.wait_state("long", "running")
    expect(page.page.locator("#jp-main-statusbar")).to_contain_text("1 running")
    expect(page.page).to_have_title(re.compile(r"^\(1\) "))
    page.click("long", "Cancel")
    page.wait_state("long", "cancelled")
    expect(page.page.locator("#jp-main-statusbar")).not_to_contain_text("1 running")
    expect(page.page).to_have_title(before)


def test_the_running_panel_lists_the_tasks(desk: Desk) -> None:
    page = desk.open(LOAD, LONG, "").load()
    page.run("c1")
    page.wait_state("long", "running")
    page.command("running:show-panel")
    page.page.evaluate("() => window.jupyterapp.shell.activateById('jp-running-sessions')")
    expect(page.page.locator("#jp-running-sessions")).to_contain_text("long")


def test_the_composer_dispatches_while_a_cell_runs(desk: Desk, app: App) -> None:
    page = desk.open(LOAD, BUSY["sleeping"], "", app=app).load()
    page.press_run("c1")
    page.wait_running("c1")
    page.compose("%%dispatch typed\n6 * 7")
    page.wait_state("typed", "done")
    assert "42" in page.wait_result("typed").shown
    assert page.cell("c1").prompt == "[*]:"
    page.interrupt()


def test_go_to_cell_and_back(desk: Desk) -> None:
    page = desk.open(LOAD, LONG, *["x = 1"] * 40, "").load()
    page.run("c1")
    page.wait_state("long", "running")
    page.select("c35")
    page.click("long", "Go to cell")
    page.until(lambda: page.editing()["active"] == "c1", page.editing)
    assert page.cell_node("c1").is_visible()
