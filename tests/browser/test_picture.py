"""The README's picture: the real thing, played by the tests' browser."""

from __future__ import annotations

import re

from .conftest import PICTURES, Desk
from .notebook_page import LOAD
from .site import Json

TITLE: Json = {
    "cell_type": "markdown", "id": "title", "metadata": {},
    "source": "## How sure is the mean?\nA bootstrap, a sweep and what comes after it, while the notebook stays free.",
}  # fmt: skip
FIT = """%%dispatch fit
import random, statistics
samples = [random.Random(n).gauss(299_852, 79) for n in range(100)]
means = [statistics.fmean(random.Random(n).choices(samples, k=100)) for n in range(2000)]
low, high = sorted(means)[50], sorted(means)[1950]
print(f"{statistics.fmean(samples):,.0f} km/s, 95 % between {low:,.0f} and {high:,.0f}")"""
SWEEP = """%%dispatch sweep
import time
import jupyter_orchestra as jo
for step in range(100):
    jo.progress(step / 100, f"step {step} of 100")
    time.sleep(0.1)"""
PLOT = "%%dispatch plot --after sweep\nresults['sweep']"
CHECK = "%%dispatch check -w shell\nexit 1"


def test_the_readmes_picture(desk: Desk) -> None:
    loop = "%%dispatch watch -w loop\nimport asyncio\nawait asyncio.sleep(600)"
    page = desk.open(TITLE, LOAD, FIT, SWEEP, PLOT, CHECK, loop, "", name="mean.ipynb").load("c1")
    for number in range(2, 7):
        page.run(f"c{number}")
    page.wait_result("fit")
    page.wait_state("sweep", "running")
    page.wait_state("check", "failed")
    page.command("application:toggle-left-area")
    page.page.set_viewport_size({"width": 1200, "height": 760})
    page.select("title")
    page.until(lambda: page.editing()["top"] >= 0, "the page is not scrolled to its top")
    page.until(lambda: re.search(r"step [4-6]\d", page.card("sweep").inner_text()), page.card("sweep").inner_text)
    picture = desk.picture(page, "screenshot")
    assert picture == PICTURES / "screenshot.png"
    assert picture.stat().st_size <= 250_000
