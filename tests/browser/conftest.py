"""Browser, servers and pages of the tests; a failed test leaves screenshots, page errors and the server's log."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

from . import chromium
from .notebook_page import PATIENCE, App, NotebookPage
from .site import COLLABORATION, EXECUTOR, LABEXTENSION, Site
from .traps import Traps

PICTURES = Path(__file__).resolve().parents[2] / "build" / "browser"
expect.set_options(timeout=1000 * PATIENCE)
REPORT = pytest.StashKey[pytest.TestReport]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.stash[REPORT] = report
    return report


@pytest.fixture(scope="package")
def chrome(pytestconfig: pytest.Config) -> Iterator[Browser]:
    """Chromium, for all tests of this folder and no longer: its loop would be in the way of the others' own."""
    if chromium.find() is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    if not (LABEXTENSION / "package.json").exists():
        pytest.skip("the labextension is not built: make setup")
    with sync_playwright() as playwright:
        browser = chromium.launch(playwright, headless=not pytestconfig.getoption("--headed"))
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def plain_site(tmp_path_factory: pytest.TempPathFactory, chrome: Browser) -> Iterator[Site]:
    """A server with JupyterLab and Notebook 7 alone."""
    yield from _serve(tmp_path_factory)


@pytest.fixture(scope="package")
def shared_site(tmp_path_factory: pytest.TempPathFactory, chrome: Browser) -> Iterator[Site]:
    """A server with jupyter-collaboration."""
    yield from _serve(tmp_path_factory, COLLABORATION)


@pytest.fixture(scope="package")
def executor_site(tmp_path_factory: pytest.TempPathFactory, chrome: Browser) -> Iterator[Site]:
    """A server that runs the cells by itself: jupyter-server-nbmodel."""
    yield from _serve(tmp_path_factory, COLLABORATION, EXECUTOR)


def _serve(factory: pytest.TempPathFactory, *parts: str) -> Iterator[Site]:
    site = Site(factory.mktemp("site"), parts)
    yield site
    site.close()


class Gate:
    """A file; tasks wait until it exists."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def body(self, then: str) -> str:
        """The body of a kernel task that waits for the gate, then does something."""
        return (
            f"import pathlib, time\nwhile not pathlib.Path({str(self.path)!r}).exists():\n    time.sleep(0.02)\n{then}"
        )

    def cell(self, task: str, then: str, flags: str = "") -> str:
        """The cell that dispatches it."""
        return f"%%dispatch {task} {flags}\n{self.body(then)}"

    def open(self) -> None:
        """Let them go on."""
        self.path.touch()


class Desk:
    """Opens notebooks of one site, each in a browser context of its own, and watches them."""

    def __init__(self, browser: Browser, site: Site, test: str) -> None:
        self.browser, self.site, self.test = browser, site, test
        self.pages: list[NotebookPage] = []
        self.watched: list[Traps] = []
        self._contexts: list[BrowserContext] = []

    def context(self, **options: Any) -> BrowserContext:
        """A fresh browser context with traps in it."""
        context = self.browser.new_context(viewport=chromium.VIEW, **options)
        self._contexts.append(context)
        self.watched.append(Traps(context))
        return context

    def open(
        self,
        *cells: Any,
        name: str = "",
        app: App = "lab",
        context: BrowserContext | None = None,
        idle: bool = True,
        **metadata: Any,
    ) -> NotebookPage:
        """Open the test's notebook, or that of another name; with cells it is written first."""
        name = name or f"{self.test}.ipynb"
        if cells:
            self.site.write(name, cells, **metadata)
        page = NotebookPage(self.site, context or self.context(), name, app, f"{self.test}-{len(self.pages)}")
        self.pages.append(page)
        return page.open(idle)

    def picture(self, page: NotebookPage, name: str) -> Path:
        """A screenshot, kept for a person to look at."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        path = PICTURES / f"{name}.png"
        page.page.screenshot(path=path, animations="disabled")
        return path

    @property
    def traps(self) -> Traps:
        """The traps of the only context."""
        assert len(self.watched) == 1
        return self.watched[0]

    def allow(self, *patterns: str) -> None:
        """These errors belong to what the test does."""
        for traps in self.watched:
            traps.allow(*patterns)

    def evidence(self) -> str:
        """What a person needs to understand a failure; screenshots go to build/browser."""
        lines = [f"error of the page: {error}" for traps in self.watched for error in traps.errors]
        for number, page in enumerate(page for page in self.pages if not page.page.is_closed()):
            lines.append(f"screenshot: {self.picture(page, f'failed-{self.test}-{number}')}")
        said = [line for line in self.site.log.splitlines() if not line.startswith("[I ")]
        return "\n".join([*lines, "server and kernels:", *said[-60:]])

    def check(self) -> None:
        """Nothing went out, asked or broke."""
        for traps in self.watched:
            assert traps.requests == []
            assert traps.dialogs == []
            assert traps.unknown_errors == []

    def close(self) -> None:
        """Close the pages, then the kernels: the other way round the pages would complain."""
        for context in self._contexts:
            context.close()
        self.site.end_kernels()


def _desk(request: pytest.FixtureRequest, browser: Browser, site: Site) -> Iterator[Desk]:
    desk = Desk(browser, site, re.sub(r"\W+", "-", request.node.name.removeprefix("test_")).strip("-"))
    try:
        yield desk
        report = request.node.stash.get(REPORT, None)
        if report is not None and report.failed:
            print(desk.evidence())
        else:
            desk.check()
    finally:
        desk.close()


@pytest.fixture
def desk(request: pytest.FixtureRequest, chrome: Browser, plain_site: Site) -> Iterator[Desk]:
    """Notebooks of the plain server."""
    yield from _desk(request, chrome, plain_site)


@pytest.fixture
def shared_desk(request: pytest.FixtureRequest, chrome: Browser, shared_site: Site) -> Iterator[Desk]:
    """Notebooks of the server with jupyter-collaboration."""
    yield from _desk(request, chrome, shared_site)


@pytest.fixture
def executor_desk(request: pytest.FixtureRequest, chrome: Browser, executor_site: Site) -> Iterator[Desk]:
    """Notebooks of the server with jupyter-server-nbmodel."""
    yield from _desk(request, chrome, executor_site)


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    """What a task waits for until the test opens it."""
    return Gate(tmp_path / "gate")


@pytest.fixture(params=["lab", "notebook"])
def app(request: pytest.FixtureRequest) -> App:
    """JupyterLab and Notebook 7."""
    found: App = request.param
    return found
