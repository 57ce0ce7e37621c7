"""Talk with the master: a reply stands once in its cell, whatever happens to the page; others in cells of their own."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from .conftest import Desk, Gate
from .notebook_page import LOAD, SIDEBAR, App
from .probe import Probe

RULES = f"{LOAD}\n%config Orchestra.master = 'rules'"


def test_a_reply_stands_in_its_cell_once_while_another_cell_runs_and_after_a_reload(desk: Desk, app: App) -> None:
    page = desk.open(
        RULES, "print('busy', flush=True)\ntime.sleep(600)", "%%chat\nwhat is running?", "", app=app
    ).load()
    page.press_run("c1")
    page.wait_running("c1")
    page.run("c2")
    page.until(lambda: "No task is unfinished" in page.cell("c2").shown, lambda: page.cell("c2"))
    page.until(lambda: page.cell("c2").metadata.get("orchestra", {}).get("kind") == "reply", lambda: page.cell("c2"))
    shown = page.cell("c2").shown
    page.until(lambda: any("orchestra" in cell["metadata"] for cell in page.saved_cells()), page.saved_cells)
    desk.picture(page, f"reply-{app}")
    page.reload(idle=False)
    page.until(lambda: page.cell("c2").shown == shown, lambda: (shown, page.cell("c2").shown))
    (saved,) = [cell for cell in page.saved_cells() if cell["id"] == "c2"]
    assert len(saved["outputs"]) == 1
    page.interrupt()


def test_what_is_written_into_the_composer_is_answered_in_a_cell_at_the_end(desk: Desk) -> None:
    page = desk.open(RULES, "").load()
    page.compose("what is *running*?")
    page.until(lambda: "what is *running*?" in page.page.locator(".jp-Notebook").inner_text(), page.order)
    desk.picture(page, "composed")
    expect(page.sidebar).to_contain_text("the rules planner")
    found = Axe().run(page.page, context=SIDEBAR)
    assert found.violations_count == 0, found.generate_report()


def test_two_results_wake_the_master_once_who_speaks_below_them(desk: Desk, gate: Gate) -> None:
    text = f"%%chat\n- one:\n```python\n{gate.body('1')}\n```\n- two:\n```python\n{gate.body('2')}\n```"
    page = desk.open(RULES, text, "").load()
    page.run("c1")
    page.wait_state("one", "running")
    gate.open()
    page.wait_result("one")
    page.wait_result("two")
    page.until(lambda: [cell for cell in page.order() if "master" in str(cell)], page.order)
    desk.picture(page, "woken")


def test_the_kernel_knows_while_a_message_is_typed(desk: Desk) -> None:
    page = desk.open(RULES, "x = 1", "%%chat", "").load()
    with Probe(desk.site.connection(page.name)) as probe:

        def typing() -> bool:
            talk = "__import__('jupyter_orchestra.app').app._app.client.runtime.machine.state.talk"
            return bool(probe.ask(f"sorted({talk}.composing)"))

        page.type_into("c1", "2")
        page.type_into("c2", " what")
        page.until(typing, "typing in a conversation cell is not told")
        page.page.keyboard.press("Escape")
        page.until(lambda: not typing(), "it is not over when the cell is left")
        box = page.sidebar.get_by_role("textbox").last
        box.press_sequentially("hello")
        page.until(typing, "typing in the composer is not told")
        page.until(lambda: not typing(), "it is not over some seconds after the last key")
