"""Our own nodes pass axe in both themes."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from .conftest import Desk, Gate
from .notebook_page import LOAD, SIDEBAR

THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
PARTS = (SIDEBAR, ".jp-OrchestraPanel", ".jp-OrchestraTimeline", ".jp-Orchestra-cardLine")


@pytest.mark.parametrize("theme", THEMES)
def test_our_nodes_have_no_violation(desk: Desk, gate: Gate, theme: str) -> None:
    failing = "%%dispatch wrong\n1 / 0"
    cells = [LOAD, gate.cell("open", "0"), "%%dispatch next --after open\n1", "%%dispatch fit\n6 * 7", failing, ""]
    page = desk.open(*cells).load()
    dark = theme == "dark"
    page.command("apputils:change-theme", theme=THEMES[theme])
    page.wait_for(f"document.body.dataset.jpThemeLight === '{str(not dark).lower()}'")
    for name in ("c1", "c2", "c3", "c4"):
        page.run(name)
    page.wait_state("wrong", "failed")
    page.wait_result("fit")
    page.click("open", "Open")
    expect(page.page.locator(".jp-OrchestraPanel").first).to_be_visible()
    desk.picture(page, f"cards-and-panel-{theme}")
    page.in_panel("window.jupyterapp.shell.activateById(panel.id);")
    desk.picture(page, f"cells-{theme}")
    page.click("open", "Open")
    page.command("jupyter-orchestra:timeline")
    for part in PARTS:
        assert page.page.locator(part).count() > 0, part
        found = Axe().run(page.page, context=part)
        assert found.violations_count == 0, found.generate_report()
    desk.picture(page, f"timeline-{theme}")
