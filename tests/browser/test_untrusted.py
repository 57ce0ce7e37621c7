"""What an agent writes does nothing, wherever it is shown."""

from __future__ import annotations

import threading
from pathlib import Path

from playwright.sync_api import expect

from jupyter_orchestra.testing.model_server import ModelServer, Step

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


def test_what_the_master_writes_does_nothing_while_it_comes_and_afterwards(desk: Desk, app: App) -> None:
    gates = {tokens: threading.Event() for tokens in (14, 60, 110)}
    first = [Step(say=HOSTILE), *(Step(gate=gate, tokens=tokens) for tokens, gate in gates.items())]
    with ModelServer(lambda request: first if len(server.requests) == 1 else Step(say=HOSTILE)) as server:
        cells = [f"{LOAD}\n%orchestra model url={server.url}", "%%chat\nWrite.", ""]
        page = desk.open(*cells, app=app).load()
        page.run("c1")
        seen = ""
        for gate in gates.values():
            page.until(lambda seen=seen: _written(page) not in ("", seen), lambda: page.cell("c1"))
            seen = _written(page)
            assert "harmless" not in seen
            _press_everything(page, ".jp-CodeCell .jp-OutputArea")
            _press_everything(page, "#jupyter-orchestra-sidebar .jp-Orchestra-composer")
            gate.set()
        page.until(lambda: "A last line, harmless" in page.cell("c1").shown, lambda: page.cell("c1"))
        page.compose("Write once more.")
        page.until(lambda: "harmless" in page.cells()[-1].shown, page.order)
        page.until(lambda: page.saved_cells()[-1]["cell_type"] == "markdown", page.saved_cells)
        for _ in range(2):
            _press_everything(page, ".jp-CodeCell .jp-OutputArea")
            _press_everything(page, ".jp-MarkdownCell")
            desk.picture(page, f"hostile-reply-{app}")
            page.reload().show_sidebar()
            page.until(lambda: "harmless" in page.cells()[-1].shown, page.order)
    assert desk.traps.requests == []
    assert desk.traps.dialogs == []


def _written(page: NotebookPage) -> str:
    """What the cell shows of the reply, once it is markdown."""
    data = [output.get("data", {}) for output in page.cell("c1").outputs]
    return "".join(str(one.get("text/markdown", "")) for one in data)


def test_what_the_person_wrote_is_trusted_as_a_run_of_it(desk: Desk) -> None:
    body = "from IPython.display import HTML\nHTML('<b>bold</b><script>window.own = 1</script>')"
    page = desk.open(LOAD, f"%%dispatch mine\n{body}", "").load()
    page.run("c1")
    page.wait_result("mine")
    page.wait_for("window.own === 1")
    page.wait_saved("mine")
    assert "trusted" not in page.saved_results("mine")[0]["metadata"]
