from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from live_kernel import LiveKernel, Ran, wait_until

from jupyter_orchestra.testing.model_server import ModelServer, SeenRequest, Step, ToolCall

Start = Callable[..., LiveKernel]
KEY = "sk-canary-in-the-kernel-0123456789"
LONG = "one two three four five six seven eight"


class Talker:
    """A model that answers by what it was last told."""

    def __init__(self) -> None:
        self.gate = threading.Event()  # for the second half of a long reply
        self.mended = False  # whether it fails no more

    def __call__(self, seen: SeenRequest) -> Step | list[Step]:
        said, after = seen.last_user, seen.output_of
        if after == "collect_inbox" and "results" in (seen.results[-1] or {}):
            found = [f"{r['task']} is {r['state']}: {r.get('value', '')}" for r in seen.results[-1]["results"]]
            return Step(say="Results: " + ", ".join(found), call=self._clean(seen))
        if after == "dispatch":
            return Step(say=f"I say: {seen.results[-1]}")
        if "compute" in said:
            task = {"name": "answer", "worker": "kernel", "brief": "print('so'); base * 2"}
            return Step(say="Right.", call=[ToolCall("dispatch", {"tasks": [task]})])
        if "count" in said:
            return Step(say=LONG, gate=self.gate, tokens=4)
        if "fail" in said:
            return Step(fault="" if self.mended else "500", say="It works again.", retry_after=0)
        return Step(say=f"You said **{said.strip()}** to {seen.model}.")

    @staticmethod
    def _clean(seen: SeenRequest) -> list[ToolCall]:
        """Once a scan is in, it wants to clean up."""
        if "scan" not in str(seen.results[-1]) or "clean" in str(seen.items):
            return []
        return [ToolCall("dispatch", {"tasks": [{"name": "tidy", "worker": "shell", "brief": "echo tidied"}]})]


@pytest.fixture
def talker() -> Talker:
    return Talker()


@pytest.fixture
def server(talker: Talker) -> Iterator[ModelServer]:
    with ModelServer(talker, models=("small", "large")) as found:
        yield found


@pytest.fixture
def talk(start_kernel: Start, server: ModelServer, tmp_path: Path) -> Callable[..., LiveKernel]:
    """Start a kernel that finds the server; `notebook` None: headless."""

    def start(notebook: Path | None = None, **environment: str) -> LiveKernel:
        profile = tmp_path / "ipython" / "profile_default"
        profile.mkdir(parents=True, exist_ok=True)
        front_end = "headless" if notebook is None else "live"
        (profile / "ipython_config.py").write_text(f"c.Orchestra.front_end = '{front_end}'\n")
        given = {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": KEY, **environment}
        return start_kernel(notebook, **given)

    return start


Talk = Callable[..., LiveKernel]


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    path = tmp_path / "nb.ipynb"
    path.write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    return path


def until_shown(kernel: LiveKernel, ran: Ran, text: str) -> str:
    """Wait until it stands below the cell; all that stands there."""
    kernel.until(lambda: text in ran.shown, why=f"never shown: {text}")
    return ran.shown


def replied(kernel: LiveKernel, code: str) -> str:
    """Run a cell and gather; what stands below it and with the gathering."""
    ran = kernel.run(code)
    later = kernel.run("%gather")
    return ran.shown + later.shown


def markdown(ran: Ran) -> str:
    return "\n".join(str(data.get("text/markdown", "")) for data in ran.displays)


def read_all(folder: Path) -> bytes:
    """All that a folder holds."""
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


# live


def test_a_conversation_cell_returns_at_once_and_its_reply_streams_in(
    talk: Talk, notebook: Path, talker: Talker
) -> None:
    kernel = talk(notebook)
    kernel.run("%%chat\nhello")
    kernel.until_true("jo.api.current().master_is_idle")
    began = time.monotonic()
    ran = kernel.run("%%chat\ncount")
    assert time.monotonic() - began < 1
    kernel.until(lambda: "two" in ran.shown)
    assert "eight" not in ran.shown
    talker.gate.set()
    assert LONG in until_shown(kernel, ran, "eight")
    updates = ran.contents("update_display_data")
    assert 2 <= len(updates) < 20
    assert len(ran.displays) == 1


def test_a_conversation_goes_on_while_a_cell_computes(talk: Talk, notebook: Path) -> None:
    kernel = talk(notebook)
    busy = kernel.send("import time\nbegun = True\ntime.sleep(600)")
    kernel.until_true("globals().get('begun')")
    sub = kernel.subshell()
    ran = kernel.run("%%chat\nhello", sub)
    until_shown(kernel, ran, "You said **hello** to large.")
    assert "**hello**" in markdown(ran)
    assert not busy.over
    kernel.interrupt()
    kernel.finish(busy)


def test_what_the_master_dispatched_comes_back_and_it_goes_on_unasked(
    talk: Talk, notebook: Path, server: ModelServer
) -> None:
    kernel = talk(notebook)
    kernel.run("base = 21")
    ran = kernel.run("%%chat\ncompute it")
    shown = until_shown(kernel, ran, "I say")
    assert "▸ dispatched answer" in shown
    assert kernel.end("answer") == "done"
    assert kernel.ask("jo.task('answer').result") == 42
    wait_until(lambda: len(server.requests) == 3)
    kernel.until_true("jo.api.current().master_is_idle")
    reply = "jo.api.current().board.turn(-1)"
    assert kernel.ask(f"({reply}.wake, {reply}.text)") == (True, "Results: answer is done: 42")
    (result,) = server.requests[-1].results[-1]["results"]
    assert (result["value"], result["printed"], result["handle"]) == ("42", "so", 'jo.task("answer")')
    asked = str([request.body for request in server.requests])
    uid = kernel.ask("jo.task('answer').uid")
    for secret in (uid, str(kernel.folder), kernel.mark, *kernel.journals):
        assert secret not in asked, secret


def test_a_kernel_that_is_killed_in_mid_reply_goes_on_with_it(
    talk: Talk, notebook: Path, talker: Talker, server: ModelServer
) -> None:
    first = talk(notebook)
    ran = first.run("%%chat\ncount")
    first.until(lambda: "two" in ran.shown)
    first.kill()
    first.wait_for_no_process()
    talker.gate.set()
    second = talk(notebook)
    turn = "jo.api.current().board.turn(-1)"
    second.until_true(f"{turn} is not None and {turn}.over")  # it is told so once it is durable
    assert second.ask(f"({turn}.number, {turn}.text, len({turn}.said))") == (1, LONG, 1)
    assert [request.last_user.strip() for request in server.requests] == ["count", "count"]
    after = second.run("%%chat\nand now")
    until_shown(second, after, "You said **and now**")
    assert LONG in str(server.requests[-1].items)


def test_a_key_is_nowhere_but_in_the_header(talk: Talk, notebook: Path, tmp_path: Path, server: ModelServer) -> None:
    kernel = talk(notebook)
    said = [kernel.run("%orchestra model").shown, kernel.run("%orchestra config").shown]
    ran = kernel.run("%%chat\nhello")
    said.append(until_shown(kernel, ran, "You said"))
    ran = kernel.run("%%chat\nplease fail")
    said.append(until_shown(kernel, ran, "%orchestra retry"))
    kernel.run("%orchestra status")
    kernel.shut_down()
    assert not [text for text in said if KEY in text]
    assert KEY.encode() not in read_all(kernel.data)
    assert KEY not in kernel.log
    assert KEY not in str(server.requests)


# headless


def test_a_runner_gets_replies_and_results_with_the_next_cells(talk: Talk) -> None:
    kernel = talk()
    kernel.run("base = 21")
    ran = kernel.run("%%chat\ncompute it")
    later = kernel.run("%gather")
    assert "I say: dispatched: answer" in ran.shown + later.shown
    assert "42" in later.shown
    assert "Results: answer is done: 42" in later.shown


def test_talk_in_python_and_on_one_line(talk: Talk) -> None:
    kernel = talk()
    for code in ("jo.chat('by hand')", "%chat it's in a line, 'quotes' and all", "%%chat -t fast\nsmall"):
        kernel.run(code)
    shown = kernel.run("%gather").shown
    texts = kernel.ask("[jo.api.current().board.turn(n).text for n in range(1, 4) if jo.api.current().board.turn(n)]")
    assert any("by hand" in text for text in texts), shown
    assert any("it's in a line, 'quotes' and all" in text for text in texts), texts
    assert "nothing to say" in kernel.fail("%%chat\n  \n")
    assert "tier" in kernel.fail("jo.chat('x', tier='giant')")


def test_stop_ends_the_turn_and_is_refused_when_there_is_none(talk: Talk, talker: Talker) -> None:
    kernel = talk()
    kernel.run("%%chat\ncount")
    turn = "jo.api.current().board.turn(-1)"
    kernel.until_true("jo.api.current().runtime.machine.conversation.running is not None")
    assert "the tasks run on" in kernel.run("%orchestra stop").shown
    kernel.until_true(f"{turn}.over")
    talker.gate.set()
    assert kernel.ask(f"({turn}.state.value, {turn}.reason)") == ("stopped", "stopped by you")
    assert "nothing to stop" in kernel.fail("%orchestra stop")


def test_a_failed_turn_is_gone_on_with(talk: Talk, talker: Talker) -> None:
    kernel = talk()
    ran = kernel.run("%%chat\nplease fail")
    turn = "jo.api.current().board.turn(-1)"
    kernel.until_true(f"{turn} is not None and {turn}.over")
    kernel.run("1")
    assert "the server failed" in ran.shown
    assert "%orchestra retry" in ran.shown
    talker.mended = True
    assert "goes on" in kernel.run("%orchestra retry").shown
    later = kernel.run("%gather")
    assert "It works again." in ran.shown + later.shown
    assert "no turn of the master has failed" in kernel.fail("%orchestra retry")


def test_models_are_chosen_by_tier_and_the_rules_planner_by_name(talk: Talk, server: ModelServer) -> None:
    kernel = talk()
    shown = kernel.run("%orchestra model").shown
    assert "from OPENAI_BASE_URL" in shown
    kernel.run("%orchestra model strong=small")
    assert "to small" in replied(kernel, "%%chat\nhello")
    assert "to other" in replied(kernel, "%%chat -m other\nhello")
    assert "rules planner" in kernel.run("%orchestra model rules").shown
    asked = len(server.requests)
    assert "42" in replied(kernel, "%%chat\n- hi [kernel]: 6 * 7")
    assert len(server.requests) == asked
    assert "takes fast=" in kernel.fail("%orchestra model huge=x")


def test_a_proposal_waits_for_the_person_in_the_cell_too(talk: Talk, server: ModelServer) -> None:
    kernel = talk()
    kernel.run("%%chat\nhello")
    kernel.run("%gather")
    kernel.run("%%dispatch scan\n'found'")
    kernel.until_true("any(task.name == 'tidy' for task in jo.tasks())")
    kernel.until_true("jo.api.current().master_is_idle")
    assert kernel.state("tidy") == "waiting"
    assert "approve or decline: start tidy (shell): echo tidied" in kernel.ask("jo.task('tidy').view.needs_you")
    assert "asks for no approval" in kernel.fail("%approve scan")
    kernel.run("%approve tidy")
    assert kernel.end("tidy") == "done"
    assert "tidied" in kernel.run("%gather").shown + kernel.run("%task tidy").shown


def test_a_declined_proposal_never_runs(talk: Talk) -> None:
    kernel = talk()
    kernel.run("%%chat\nhello")
    kernel.run("%%dispatch scan\n'found'")
    kernel.until_true("any(task.name == 'tidy' for task in jo.tasks())")
    kernel.run("%decline tidy not now")
    assert kernel.end("tidy") == "cancelled"
    assert "not now" in kernel.ask("jo.task('tidy').view.reason")


# without a model


@pytest.fixture
def alone(start_kernel: Start, tmp_path: Path, monkeypatch: Any) -> LiveKernel:
    """A kernel that finds no model."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    profile = tmp_path / "ipython" / "profile_default"
    profile.mkdir(parents=True)
    settings = "c.Orchestra.front_end = 'headless'\nc.Orchestra.master = 'rules'\n"
    (profile / "ipython_config.py").write_text(settings)
    return start_kernel()


def test_without_a_model_the_rules_planner_says_what_it_is_and_does_what_it_is_told(alone: LiveKernel) -> None:
    alone.run("base = 21")
    shown = replied(
        alone, "%%chat\n- a [kernel]: base * 2\n- b [shell]: echo shelled\n- c [kernel] after: a: results['a'] + 1"
    )
    assert "rules planner" in shown
    assert "42" in shown
    assert "shelled" in shown
    assert alone.ask("jo.task('c').result") == 43
    assert "OPENAI" in replied(alone, "%%chat\nwhat is the meaning of life?")


def test_without_a_model_plain_words_control_the_tasks(alone: LiveKernel) -> None:
    alone.run("%%dispatch long\nimport time\ntime.sleep(600)")
    alone.until_state("long", "running")
    for words, state in (("pause long", "paused"), ("resume long", "running"), ("cancel long", "cancelled")):
        alone.run(f"%%chat\n{words}")
        alone.until_state("long", state)
