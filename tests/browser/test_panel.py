"""The panel of a task and the timeline."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import expect

from .conftest import Desk, Gate
from .notebook_page import LOAD, App

PANEL = ".jp-OrchestraPanel"


def test_the_panel_shows_a_task_live(desk: Desk, app: App, gate: Gate) -> None:
    body = "print('first words', flush=True)\n" + gate.body("print('last words')\n6 * 7")
    page = desk.open(LOAD, f"%%dispatch talk\n{body}", "", app=app).load()
    page.run("c1")
    page.wait_state("talk", "running")
    page.click("talk", "Open")
    panel = page.page.locator(PANEL).first
    expect(panel).to_contain_text("first words")
    expect(panel).to_contain_text("running")
    gate.open()
    expect(panel).to_contain_text("last words")
    expect(panel).to_contain_text("42")
    expect(panel).to_contain_text("done")
    desk.picture(page, f"panel-{app}")


def test_an_artifact_is_downloaded(desk: Desk, tmp_path: Path) -> None:
    page = desk.open(LOAD, "%%dispatch paper -w notebook\ninner.ipynb", "").load()
    desk.site.write("inner.ipynb", ["print('inside')"])
    page.run("c1")
    page.wait_state("paper", "done")
    page.click("paper", "Open")
    panel = page.page.locator(PANEL).first
    with page.page.expect_download() as download:
        panel.get_by_role("button", name=re.compile("^Download")).first.click()
    kept = tmp_path / "kept"
    download.value.save_as(kept)
    assert "inside" in kept.read_text("utf-8")


def test_the_timeline_shows_a_bar_for_each_task(desk: Desk) -> None:
    page = desk.open(LOAD, "%%dispatch one\n1", "%%dispatch two --after one\n2", "%orchestra timeline", "").load()
    page.run("c1")
    page.run("c2")
    page.wait_state("two", "done")
    page.command("jupyter-orchestra:timeline")
    timeline = page.page.locator(".jp-OrchestraTimeline").first
    expect(timeline).to_contain_text("one")
    expect(timeline).to_contain_text("two")
    desk.picture(page, "timeline")
    page.in_panel("window.jupyterapp.shell.activateById(panel.id);")
    page.run("c3")
    assert page.cell_node("c3").locator(".jp-OutputArea svg, .jp-OutputArea img").count() >= 1
    assert page.cell_node("c3").locator("script").count() == 0
    desk.picture(page, "timeline-cell")
