"""What is there again on a page that was reloaded."""

from __future__ import annotations

from playwright.sync_api import expect

from .conftest import Desk
from .notebook_page import LOAD, App
from .probe import Probe

PANEL = ".jp-OrchestraPanel"


def test_a_conversation_cell_does_not_wait_on_a_page_just_reloaded(desk: Desk, app: App) -> None:
    long = "import time\nprint('begun')\ntime.sleep(600)\nended = True"
    page = desk.open(LOAD, "ended = False", long, "%%dispatch quick\n6 * 7", "", app=app).load()
    page.run("c1")
    page.save()
    page.press_run("c2")
    page.wait_running("c2")
    page.reload(idle=False)
    page.press_run("c3")
    page.show_sidebar()
    page.wait_state("quick", "done")
    with Probe(desk.site.connection(page.name)) as probe:
        assert probe.ask("ended") is False


def test_the_panel_and_the_timeline_that_were_open_come_back(desk: Desk) -> None:
    page = desk.open(LOAD, "%%dispatch fit\nprint('words of fit')", "").load()
    page.run("c1")
    page.wait_state("fit", "done")
    page.click("fit", "Open")
    page.command("jupyter-orchestra:timeline")
    panel, timeline = page.page.locator(PANEL), page.page.locator("#jupyter-orchestra-timeline")
    expect(panel).to_contain_text("words of fit")
    expect(timeline).to_contain_text("fit")
    page.wait_saved("fit")
    workspace = f"{desk.site.url}/lab/api/workspaces/{page.workspace}"
    page.until(
        lambda: all(
            f"jupyter-orchestra-{tab}:" in page.page.request.get(workspace).text() for tab in ("panel", "timeline")
        ),
        "the layout is not kept",
    )
    page.reload()
    expect(panel).to_contain_text("words of fit")
    expect(timeline).to_contain_text("fit")
    desk.picture(page, "reloaded")
