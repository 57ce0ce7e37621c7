"""The notebook about what tasks share, run whole in a page."""

from __future__ import annotations

import json
from pathlib import Path

from playwright.sync_api import expect

from .conftest import Desk

RESOURCES = Path(__file__).parents[2] / "notebooks" / "02_resources.ipynb"


def test_the_notebook_about_resources_runs_whole_and_ends_with_its_picture(desk: Desk) -> None:
    page = desk.open(*json.loads(RESOURCES.read_text("utf-8"))["cells"], name=RESOURCES.name)
    page.run_all()
    page.until(lambda: page.cell("checks").has_run, page.order, seconds=90)
    failed = [output for cell in page.cells() for output in cell.outputs if output["output_type"] == "error"]
    assert not failed, ["\n".join(output["traceback"])[-1500:] for output in failed]
    page.select("leases")  # what is out of sight is not drawn
    page.until(lambda: "blue waits for test-runner" in page.cell("leases").shown)
    page.select("timeline")
    picture = page.cell_node("timeline").locator("svg[role=img]")
    expect(picture).to_be_visible()
    assert "Timeline of 5 tasks" in str(picture.get_attribute("aria-label"))
    desk.picture(page, "resources")
