"""Questions: what a task asks stands first in the sidebar, exactly, and the person's answer is to it alone."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from .conftest import Desk
from .notebook_page import LOAD, SIDEBAR, App

LONG = r"\n".join(["rm -rf build", *(f"make part-{number}" for number in range(40))])


def test_an_approval_names_the_exact_action_and_answers_it_alone(desk: Desk, app: App) -> None:
    page = desk.open(LOAD, f"%%dispatch agent -w asking\npytest -q\n{LONG}", "", app=app).load()
    page.run("c1")
    card = page.card("agent")
    expect(card).to_contain_text("It asks: run: pytest -q")
    expect(card.locator("pre")).to_have_text("pytest -q")
    expect(page.sidebar.locator("[data-section=needs-you]")).to_be_visible()
    desk.picture(page, f"question-{app}")
    found = Axe().run(page.page, context=SIDEBAR)
    assert found.violations_count == 0, found.generate_report()
    card.get_by_role("button", name="Approve", exact=True).dblclick()
    expect(card).to_contain_text("rm -rf build")
    expect(card.locator("pre")).to_have_count(0)
    card.get_by_role("button", name="Exact action").click()
    expect(card.locator("pre")).to_contain_text("make part-39")
    desk.picture(page, f"question-long-{app}")
    found = Axe().run(page.page, context=SIDEBAR)
    assert found.violations_count == 0, found.generate_report()
    card.get_by_role("button", name="Decline", exact=True).click()
    page.wait_state("agent", "done")
    shown = page.wait_result("agent").shown
    assert "pytest -q: yes" in shown
    assert "make part-39: no" in shown


def test_the_panel_asks_the_same_and_takes_messages(desk: Desk) -> None:
    page = desk.open(LOAD, "%%dispatch agent -w asking\n~\nls -l", "").load()
    page.run("c1")
    page.wait_state("agent", "running")
    page.click("agent", "Open")
    panel = page.page.locator(".jp-OrchestraPanel").first
    box = panel.locator(".jp-OrchestraPanel-chat textarea").first
    box.fill("go on")
    box.press("Enter")
    question = panel.locator(".jp-Orchestra-question")
    expect(question).to_contain_text("ls -l")
    desk.picture(page, "question-panel")
    found = Axe().run(page.page, context=".jp-OrchestraPanel")
    assert found.violations_count == 0, found.generate_report()
    question.get_by_role("button", name="Always", exact=True).click()
    page.wait_state("agent", "done")
    expect(panel.locator(".jp-OrchestraPanel-output strong")).to_have_text("asked")


def test_the_palette_shows_the_action_before_it_is_approved(desk: Desk) -> None:
    page = desk.open(LOAD, "%%dispatch agent -w asking\nls -l", "").load()
    page.run("c1")
    expect(page.card("agent")).to_contain_text("It asks: run: ls -l")
    page.page.evaluate("() => void window.jupyterapp.commands.execute('jupyter-orchestra:decline')")
    expect(page.dialog()).to_contain_text("ls -l")
    desk.picture(page, "question-dialog")
    page.dialog().get_by_role("textbox").fill("not in this folder")
    page.dialog().locator(".jp-mod-accept").click()
    page.wait_state("agent", "done")
    assert "ls -l: no not in this folder" in page.wait_result("agent").shown
