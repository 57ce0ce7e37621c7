"""Talk with a model over HTTP: its words stream into the cell, its wakes come below the results, nothing of it acts."""

from __future__ import annotations

import threading
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from jupyter_orchestra.testing.model_server import ModelServer, Step, ToolCall

from .conftest import Desk, Gate
from .notebook_page import LOAD, SIDEBAR, App, NotebookPage
from .probe import Probe
from .site import Site
from .test_accessibility import THEMES

BEGINNING, END = "The beginning stands here already,", "and this is the very end of it."
REPLY = f"{BEGINNING} with **some** words and `code` in between, {END}"
BEGUN = 8  # tokens after which the beginning is out and the end is not
BUSY = "print('busy', flush=True)\nwhile True:\n    pass"
TALK = "__import__('jupyter_orchestra.app').app._app.client.runtime.machine.state.talk"


TWO = {"one": "first-value", "two": "second-value"}


def connect(server: ModelServer) -> str:
    """The cell that loads the extension and connects the server."""
    return f"{LOAD}\n%orchestra model url={server.url}"


def halfway(say: str = REPLY, tokens: int = BEGUN, **more: Any) -> tuple[Step, threading.Event]:
    """A reply that stops in its midst until the event is set."""
    gate = threading.Event()
    return Step(say=say, gate=gate, tokens=tokens, **more), gate


def wait_begun(page: NotebookPage, name: str) -> None:
    """Wait until a cell shows the beginning of the reply, and that alone."""
    page.until(lambda: BEGINNING in page.cell(name).shown, lambda: page.cell(name))
    assert END not in page.cell(name).shown


def wait_whole(page: NotebookPage, name: str) -> None:
    """Wait until a cell shows the reply once, and no other does; then until it is so on disk."""
    page.until(lambda: END in page.cell(name).shown, lambda: page.cell(name))
    page.until(lambda: page.cell(name).metadata.get("orchestra", {}).get("kind") == "reply", lambda: page.cell(name))
    page.until(lambda: [name] == _saved_with(page, END), lambda: _saved_with(page, END))
    (saved,) = [cell for cell in page.saved_cells() if cell["id"] == name]
    assert saved["metadata"]["orchestra"]["kind"] == "reply"
    assert [cell.shown.count(END) for cell in page.cells() if END in cell.shown] == [1]
    assert len(page.cell(name).outputs) == 1


def _saved_with(page: NotebookPage, text: str) -> list[str]:
    """The cells on disk that hold a text, each as often as its source and its outputs do."""
    found = []
    for cell in page.saved_cells():
        data = [output.get("data", {}) for output in cell.get("outputs", ())]
        parts = [cell["source"], *("".join(one.get("text/markdown", "")) for one in data)]
        found += [cell["id"]] * sum(part.count(text) for part in parts)
    return found


def masters(page: NotebookPage) -> list[str]:
    """What the master said in cells of its own."""
    return [cell.shown for cell in page.cells() if cell.metadata.get("orchestra", {}).get("kind") == "master"]


@pytest.fixture
def gate(plain_site: Site, tmp_path: Path) -> Gate:
    """In the project: what the master dispatches sees no folder for temporary files but its own."""
    return Gate(plain_site.notebooks / f"gate-{tmp_path.name}")


def dispatch(*tasks: dict[str, Any]) -> Step:
    """The step that dispatches these."""
    return Step(call=[ToolCall("dispatch", {"tasks": list(tasks)})])


def test_a_reply_streams_into_its_cell_while_another_cell_computes(desk: Desk, app: App) -> None:
    step, gate = halfway()
    with ModelServer([step]) as server:
        page = desk.open(connect(server), BUSY, "%%chat\nSay it.", "", app=app).load()
        page.press_run("c1")
        page.wait_running("c1")
        page.run("c2")
        wait_begun(page, "c2")
        desk.picture(page, f"streaming-{app}")
        gate.set()
        wait_whole(page, "c2")
        desk.picture(page, f"streamed-{app}")
        assert page.cell("c1").prompt == "[*]:"
        page.interrupt()
        page.until(lambda: page.cell("c1").has_run, "the cell is not interrupted")


def test_a_page_that_is_loaded_anew_in_mid_stream_shows_the_reply_once(desk: Desk) -> None:
    step, gate = halfway()
    with ModelServer([step]) as server:
        page = desk.open(connect(server), "%%chat\nSay it.", "").load()
        page.run("c1")
        wait_begun(page, "c1")
        page.save()
        page.reload().show_sidebar().wait_attached()
        assert END not in page.cell("c1").shown
        gate.set()
        wait_whole(page, "c1")
        page.reload().show_sidebar().wait_attached()
        wait_whole(page, "c1")


def test_two_results_wake_the_model_once_who_speaks_below_them(desk: Desk, gate: Gate) -> None:
    tasks = [{"name": name, "worker": "kernel", "brief": gate.body(f"{value!r}")} for name, value in TWO.items()]
    steps = [
        dispatch(*tasks),
        Step(say="I wait for both."),
        Step(say=f"Both are here.\n\n| a | b |\n|-|-|\n| 1 | {END} |"),
    ]
    with ModelServer(steps) as server:
        page = desk.open(connect(server), "%%chat\nRun two.", "x = 1", "").load()
        page.run("c1")
        page.until(lambda: "I wait for both." in page.cell("c1").shown, lambda: page.cell("c1"))
        assert "dispatched one, two" in page.cell("c1").shown
        gate.open()
        page.until(lambda: masters(page), page.order)
        (said,) = masters(page)
        assert "Both are here." in said
        ids = [cell.id for cell in page.cells()]
        (mine,) = [cell for cell in page.cells() if cell.metadata.get("orchestra", {}).get("kind") == "master"]
        results = [ids.index(page.wait_result(name).id) for name in TWO]
        assert mine.rendered
        assert mine.kind == "markdown"
        assert max(results) < ids.index(mine.id) < ids.index("c2")
        page.until(lambda: _saved_with(page, END) == [mine.id], lambda: _saved_with(page, END))
        desk.picture(page, "woken-model")
        assert len(server.requests) == 3
        carried = server.requests[2].results[-1]
        assert all(value in str(carried) for value in TWO.values())


@pytest.mark.parametrize("place", ["composer", "cell"])
def test_results_that_come_while_the_person_types_wait(desk: Desk, gate: Gate, place: str) -> None:
    task = {"name": "one", "worker": "kernel", "brief": gate.body("1"), "deliver": "idle"}
    with ModelServer([dispatch(task), Step(say="I wait."), Step(say=END)]) as server:
        page = desk.open(connect(server), "%%chat\nRun one.", "%%chat", "").load()
        page.run("c1")
        page.until(lambda: "I wait." in page.cell("c1").shown, lambda: page.cell("c1"))
        box = page.sidebar.get_by_role("textbox").last
        box.click() if place == "composer" else page.type_into("c2", "\n")
        with Probe(desk.site.connection(page.name)) as probe:

            def types(state: str) -> bool:
                page.page.keyboard.type("x")
                return bool(probe.ask(f"bool({state})".replace("talk", TALK)))

            page.until(lambda: types("talk.composing"), "typing is not told")
            gate.open()
            page.until(lambda: types("talk.ready_since") and page.results("one"), "the result does not come")
            page.until(lambda: types("talk.composing and talk.ready_since"), "it does not wait")
        assert len(server.requests) == 2
        emptied = monotonic()
        box.fill("") if place == "composer" else page.page.keyboard.press("Escape")
        page.until(lambda: masters(page), page.order)
        assert server.requests[2].at > emptied


def test_the_composer_sends_stops_and_goes_on(desk: Desk) -> None:
    long, gate = halfway(when="first")
    with ModelServer([long, Step(fault="401", when="second"), Step(say=END, when="second")]) as server:
        page = desk.open(connect(server), "").load()
        page.compose("the *first* message")
        turn = page.sidebar.locator(".jp-Orchestra-turn")
        expect(turn).to_contain_text(BEGINNING)
        assert masters(page) == []
        look_at(desk, page, "composer")
        turn.get_by_role("button", name="Stop").click()
        page.until(lambda: "stopped by you" in "".join(masters(page)), page.order)
        (stopped,) = masters(page)
        assert "the *first* message" in stopped
        assert BEGINNING in stopped
        page.compose("the second message")
        expect(turn).to_contain_text("could not go on")
        page.until(lambda: "401" in "".join(masters(page)), page.order)
        look_at(desk, page, "composer-failed")
        turn.get_by_role("button", name="Retry").click()
        page.until(lambda: END in "".join(masters(page)), lambda: masters(page))
        page.until(lambda: len(_saved_with(page, END)) == 1, lambda: _saved_with(page, END))
        look_at(desk, page, "composer-answered")
        assert len(masters(page)) == 2
        assert page.order()[:2] == ["c0", "c1"]
        page.until(lambda: server.dropped == 1, "the stopped request goes on")
        gate.set()


def look_at(desk: Desk, page: NotebookPage, name: str) -> None:
    """Pictures in both themes, in which axe finds nothing in the sidebar."""
    for theme in reversed(THEMES):
        page.command("apputils:change-theme", theme=THEMES[theme])
        page.wait_for(f"document.body.dataset.jpThemeLight === '{str(theme == 'light').lower()}'")
        desk.picture(page, f"{name}-{theme}")
        found = Axe().run(page.page, context=SIDEBAR)
        assert found.violations_count == 0, found.generate_report()


def test_a_reply_stands_once_in_a_cell_that_the_server_runs(executor_desk: Desk) -> None:
    first, gate = halfway("Soon.", 0)
    second, other = halfway()
    with ModelServer([first, second]) as server:
        page = executor_desk.open(connect(server), "%%chat\nOne.", "x = 1", "%%chat\nTwo.", "").load()
        page.run("c1")
        gate.set()
        page.until(lambda: "Soon." in page.cell("c1").shown, lambda: page.cell("c1"))
        page.run("c3")
        wait_begun(page, "c3")
        other.set()
        wait_whole(page, "c3")
        assert masters(page) == []
        assert [len(page.cell(name).outputs) for name in ("c1", "c3")] == [1, 1]


def test_a_reply_stands_once_in_a_cell_that_the_server_runs_after_a_reload(executor_desk: Desk) -> None:
    step, gate = halfway()
    with ModelServer([step]) as server:
        page = executor_desk.open(connect(server), "%%chat\nSay it.", "").load()
        page.run("c1")
        wait_begun(page, "c1")
        page.reload().show_sidebar().wait_attached()
        gate.set()
        wait_whole(page, "c1")
        assert masters(page) == []


def test_a_reply_stands_once_in_a_document_of_two_browsers(shared_desk: Desk) -> None:
    step, gate = halfway()
    with ModelServer([step]) as server:
        first = shared_desk.open(connect(server), "%%chat\nSay it.", "").load()
        second = shared_desk.open().show_sidebar().wait_attached()
        first.run("c1")
        for page in (first, second):
            wait_begun(page, "c1")
        gate.set()
        for page in (first, second):
            wait_whole(page, "c1")


def test_what_the_master_wants_after_a_result_shows_its_exact_action_and_waits(desk: Desk) -> None:
    look = {"name": "look", "worker": "kernel", "brief": "6 * 7"}
    act = {"name": "act", "worker": "shell", "brief": 'echo acted > "$(mktemp)"\necho acted'}
    steps = [dispatch(look), Step(say="I look."), dispatch(act), Step(say="I asked you."), Step(say=END)]
    with ModelServer(steps) as server:
        page = desk.open(connect(server), "%%chat\nLook, then act.", "").load()
        page.run("c1")
        card = page.card("act")
        expect(card).to_contain_text("The master proposes: start act (shell): echo acted >")
        expect(card.locator("pre")).to_contain_text(act["brief"])
        expect(card.get_by_role("button", name="Decline", exact=True)).to_be_visible()
        page.until(lambda: "I asked you." in "".join(masters(page)), lambda: masters(page))
        look_at(desk, page, "proposal")
        expect(card).to_have_attribute("data-state", "waiting")
        card.get_by_role("button", name="Approve", exact=True).click()
        page.wait_state("act", "done")
        assert "acted" in page.wait_result("act").shown
        page.until(lambda: END in "".join(masters(page)), lambda: masters(page))
        assert len(server.requests) == len(steps)
