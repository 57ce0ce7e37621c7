"""What the master wants after a result has come, where there is no page: said at the cell, done only with a yes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_orchestra.testing.model_server import ModelServer, SeenRequest, Step, ToolCall
from tests.live_kernel import LiveKernel

HOSTILE = "print('<b>bold</b>'); import IPython.display as d; d.display(d.HTML('<script>alert(1)</script><b>kept</b>'))"


def script(seen: SeenRequest) -> Step:
    """A plan from the person's words; after its result one thing more that nobody asked for."""
    inbox = seen.results[-1] if seen.output_of == "collect_inbox" else {}
    if any("plan" in str(result) for result in inbox.get("results", [])):
        return Step(call=[ToolCall("dispatch", {"tasks": [{"name": "more", "worker": "shell", "brief": "echo harm"}]})])
    if seen.output_of:
        return Step(say="So be it.")
    return Step(call=[ToolCall("dispatch", {"tasks": [{"name": "plan", "worker": "kernel", "brief": HOSTILE}]})])


@pytest.fixture
def nb(tmp_path: Path) -> Iterator[LiveKernel]:
    profile = tmp_path / "ipython" / "profile_default"
    profile.mkdir(parents=True)
    (profile / "ipython_config.py").write_text("c.Orchestra.front_end = 'headless'\n")
    with ModelServer(script) as server:
        kernel = LiveKernel(tmp_path, OPENAI_BASE_URL=server.url, OPENAI_API_KEY="none")
        try:
            yield kernel
        finally:
            kernel.close()


def test_a_proposal_is_said_waits_for_nobody_and_begins_with_a_yes(nb: LiveKernel) -> None:
    nb.run("%%chat\ndo it")
    gathered = nb.run("%gather")
    assert "more needs you: approve or decline: start more (shell): echo harm" in gathered.shown
    assert nb.state("more") == "waiting"
    asked = nb.run("%task more").text
    assert "echo harm" in asked
    assert "%approve more" in asked
    assert "approved: start more (shell): echo harm" in nb.run("%approve more").text
    assert nb.end("more") == "done"


def test_what_a_model_wrote_shows_nothing_that_runs(nb: LiveKernel) -> None:
    nb.run("%%chat\ndo it")
    shown = nb.run("%gather")
    html = [data["text/html"] for data in shown.displays if "text/html" in data]
    assert html
    assert all("script" not in text for text in html)
    assert "<b>bold</b>" in shown.text
