"""What an agent writes does nothing, wherever it is shown."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import expect

from .conftest import Desk
from .notebook_page import LOAD, App, NotebookPage

# Each line would do something, were it believed: set window.pwned, load from the network, or run a command.
HOSTILE = Path(__file__).with_name("hostile.md").read_text("utf-8")


def test_what_an_agent_writes_does_nothing(desk: Desk, app: App) -> None:
    page = desk.open(LOAD, f"%%dispatch report -w hijacked\n{HOSTILE}", "", app=app).load()
    page.run("c1")
    page.wait_state("report", "done")
    cell = page.wait_result("report")
    assert cell.kind == "markdown"
    assert "A last line, harmless" in cell.shown
    assert not cell.outputs
    page.wait_saved("report")
    _press_everything(page, ".jp-MarkdownCell")
    desk.picture(page, f"hostile-{app}")
    page.click("report", "Open")
    panel = page.page.locator(".jp-OrchestraPanel").first
    expect(panel).to_contain_text("A last line, harmless")
    _press_everything(page, ".jp-OrchestraPanel")
    _press_everything(page, "#jupyter-orchestra-sidebar [data-task]")
    page.reload().show_sidebar()
    page.wait_result("report")
    _press_everything(page, ".jp-MarkdownCell")
    assert desk.traps.requests == []
    assert desk.traps.dialogs == []


def _press_everything(page: NotebookPage, where: str) -> None:
    """Click on what an agent could have made to be clicked on: nothing happens."""
    before = page.order()
    places = page.page.locator(where)
    assert places.count() > 0
    made = "a[href], area[href]"
    for place in places.all():
        hrefs = place.locator(made).evaluate_all("nodes => nodes.map(node => node.getAttribute('href'))")
        for href in hrefs:
            assert href.startswith(("https:", "http:", "mailto:", "#")), href
    rendered = f"{where} .jp-RenderedMarkdown"
    for tag in ("script", "iframe", "object", "embed", "form", "img", "style", "video", "meta", "base", "link"):
        assert page.page.locator(f"{rendered} {tag}").count() == 0, tag
    assert page.page.locator(f"{rendered} [data-commandlinker-command]").count() == 0
    for node in page.page.locator(f"{rendered} button, {rendered} svg, {rendered} summary").all():
        node.click(force=True, timeout=2000)
    for node in page.page.locator(f"{rendered} a").all():
        if not str(node.get_attribute("href")).startswith("http"):
            node.click(force=True, timeout=2000)
    assert page.page.evaluate("() => window.pwned ?? null") is None
    assert page.order() == before


def test_what_the_person_wrote_is_trusted_as_a_run_of_it(desk: Desk) -> None:
    body = "from IPython.display import HTML\nHTML('<b>bold</b><script>window.own = 1</script>')"
    page = desk.open(LOAD, f"%%dispatch mine\n{body}", "").load()
    page.run("c1")
    page.wait_result("mine")
    page.wait_for("window.own === 1")
    page.wait_saved("mine")
    assert "trusted" not in page.saved_results("mine")[0]["metadata"]
