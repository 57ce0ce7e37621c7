"""Starts the system's Chromium, from which nothing leaves this machine. It knows no page."""

from __future__ import annotations

import shutil
from pathlib import Path

from playwright.sync_api import Browser, Playwright, ViewportSize

NAMES = ("chromium", "chromium-browser", "google-chrome")
# No name leads anywhere, and no proxy is used: what a page wants from elsewhere fails.
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-dev-shm-usage", "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip
VIEW = ViewportSize(width=1400, height=900)


def find() -> str | None:
    """The program, if it is there."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def launch(playwright: Playwright, headless: bool = True) -> Browser:
    """Start it."""
    program = find()
    assert program is not None, "there is no Chromium: apt-get install chromium"
    return playwright.chromium.launch(executable_path=Path(program), args=list(ARGUMENTS), headless=headless)
