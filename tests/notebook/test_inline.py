from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from live_kernel import LiveKernel, Message, Ran

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.model import Kind, Spec, Stage, State, Task
from jupyter_orchestra.core.views import TaskView, view
from jupyter_orchestra.notebook import inline
from jupyter_orchestra.testing import run

S = State
WIDGET = "application/vnd.jupyter.widget-view+json"
KERNEL = Kind("kernel", 4)
SOURCE = Path(inline.__file__).with_name("inline.js").read_text("utf-8")


def seen(name: str = "fit", state: State = S.RUNNING, kind: Kind = KERNEL, **more: Any) -> TaskView:
    task = Task(Spec(f"uid-{name}", name, "kernel", ""), name, state, 0.0, attempt=1, started_at=0.0)
    return msgspec.structs.replace(view(task, kind=kind), **more)


class Displays:
    """In place of a publisher: what each display was made to show, and when by the loop's clock."""

    def __init__(self) -> None:
        self.updates: list[tuple[float, str, dict[str, Any], dict[str, str]]] = []

    def update_late(self, data: dict[str, Any], display_id: str, parent: dict[str, str]) -> None:
        self.updates.append((asyncio.get_running_loop().time(), display_id, data, parent))

    def of(self, display: str) -> list[dict[str, Any]]:
        return [data for _, place, data, _ in self.updates if place == display]


class Widget:
    """In place of the real one: what it was made to show, and when."""

    made: list[Widget]

    def __init__(self, card: dict[str, Any], heard: Callable[[Any], None], parent: dict[str, str]) -> None:
        self.states: list[tuple[float, dict[str, Any]]] = []
        self.heard, self.parent, self.closed = heard, parent, False
        self.card = card
        self.made.append(self)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "card":
            self.states.append((asyncio.get_running_loop().time(), value))
        super().__setattr__(name, value)

    def bundle(self, line: str) -> dict[str, Any]:
        return {WIDGET: {"model_id": self.card["name"]}, "text/plain": line}

    def close(self) -> None:
        self.closed = True


class Scene:
    """Cards on a loop whose time costs nothing."""

    def __init__(self) -> None:
        self.displays, self.asked = Displays(), list[tuple[str, str]]()
        self.answer: Future[e.Answer] | None = None
        self.cards = inline.InlineCards(self.displays, self.act, lambda: 5.0)  # type: ignore[arg-type]

    def act(self, action: str, uid: str) -> Future[e.Answer] | None:
        self.asked.append((action, uid))
        return self.answer

    def show(self, one: TaskView, display: str = "d") -> None:
        self.cards.show(one, display, {"msg_id": f"cell of {display}"})

    async def widget(self, one: TaskView | None = None) -> Widget:
        self.show(one or seen())
        await asyncio.sleep(1)
        return Widget.made[-1]


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Scene], Awaitable[None]]], None]:
    monkeypatch.setattr(inline, "_import", lambda: Widget)
    Widget.made = []

    def go(act: Callable[[Scene], Awaitable[None]]) -> None:
        async def main() -> None:
            await act(Scene())

        run(main(), allow_threads=True)

    return go


Play = Callable[[Callable[[Scene], Awaitable[None]]], None]


def test_a_card_is_a_line_until_widgets_are_there_and_then_a_widget(play: Play) -> None:
    async def act(scene: Scene) -> None:
        await scene.widget(seen(progress=0.25, line="epoch 3"))
        line, widget = scene.displays.of("d")
        assert line == {"text/plain": "▶ fit · kernel · running 25% · 5.0 s · epoch 3"}
        assert widget == {WIDGET: {"model_id": "fit"}, **line}
        (made,) = Widget.made
        assert made.parent == {"msg_id": "cell of d"}
        assert made.card["progress"] == 0.25
        assert made.card["line"] == "epoch 3"
        assert made.card["actions"] == ["pause", "cancel"]

    play(act)


def test_changes_go_to_the_widget_and_not_to_the_output(play: Play) -> None:
    async def act(scene: Scene) -> None:
        widget = await scene.widget()
        widget.heard({"seen": True})
        before = len(scene.displays.updates)
        scene.show(seen(progress=0.5))
        await asyncio.sleep(10)
        assert widget.card["progress"] == 0.5
        assert len(scene.displays.updates) == before

    play(act)


def test_a_second_display_of_a_task_shows_the_same_model(play: Play) -> None:
    async def act(scene: Scene) -> None:
        await scene.widget()
        scene.show(seen(), "other")
        await asyncio.sleep(1)
        assert len(Widget.made) == 1
        assert WIDGET in scene.displays.of("other")[-1]

    play(act)


def test_no_card_changes_more_than_four_times_a_second_and_all_together_twenty_times(play: Play) -> None:
    async def act(scene: Scene) -> None:
        for number in range(400):
            for card in range(30):
                scene.show(seen(f"t{card}", progress=number / 400), f"d{card}")
            await asyncio.sleep(0.01)
        await asyncio.sleep(5)
        for widget in Widget.made:
            moments = [at for at, _ in widget.states]
            assert all(b - a > inline.EACH - 1e-6 for a, b in pairwise(moments))
            assert widget.card["progress"] == 399 / 400
        assert len(Widget.made) == 30
        moments = sorted(at for widget in Widget.made for at, _ in widget.states)
        assert all(b - a > 0.999 for a, b in zip(moments, moments[20:], strict=False))

    play(act)


def test_one_card_alone_is_held_to_four_changes_a_second(play: Play) -> None:
    async def act(scene: Scene) -> None:
        widget = await scene.widget()
        for number in range(100):
            scene.show(seen(progress=number / 100))
            await asyncio.sleep(0.02)
        moments = [at for at, _ in widget.states]
        assert len(moments) > 4
        assert all(b - a > inline.EACH - 1e-6 for a, b in pairwise(moments))

    play(act)


@pytest.mark.parametrize(("state", "stage"), [(S.DONE, Stage.QUEUED), (S.FAILED, Stage.QUEUED), (S.LOST, None)])
def test_at_its_end_a_task_leaves_its_line_and_no_model(play: Play, state: State, stage: Stage | None) -> None:
    async def act(scene: Scene) -> None:
        widget = await scene.widget()
        ended = seen(state=state, stage=stage, ended_at=3.0, reason="why")
        scene.show(ended)
        assert widget.closed
        assert set(scene.displays.of("d")[-1]) == {"text/plain"}
        count = len(scene.displays.updates)
        scene.show(msgspec.structs.replace(ended, stage=Stage.SHOWN))
        await asyncio.sleep(60)
        assert len(scene.displays.updates) == count  # where the result stands now

    play(act)


def test_a_task_that_ends_before_widgets_are_there_never_becomes_one(play: Play) -> None:
    async def act(scene: Scene) -> None:
        scene.show(seen())
        scene.show(seen(state=S.DONE, ended_at=1.0))
        await asyncio.sleep(10)
        assert scene.displays.of("d") == [{"text/plain": "✓ fit · kernel · done in 1.0 s"}]
        assert not Widget.made

    play(act)


def test_what_was_cancelled_can_be_run_again_for_a_while_from_its_card(play: Play) -> None:
    async def act(scene: Scene) -> None:
        widget = await scene.widget()
        cancelled = seen(state=S.CANCELLED, ended_at=2.0, reason="cancelled by you")
        scene.show(cancelled)
        await asyncio.sleep(1)
        assert widget.card["actions"] == ["retry"]
        widget.heard({"action": "retry"})
        assert scene.asked == [("retry", "uid-fit")]
        scene.show(seen(attempt=2))
        await asyncio.sleep(inline.GRACE)
        assert not widget.closed
        scene.show(msgspec.structs.replace(cancelled, attempt=2))
        await asyncio.sleep(inline.GRACE + 1)
        assert widget.closed
        assert scene.displays.of("d")[-1] == {"text/plain": "⊘ fit · kernel · cancelled by you"}

    play(act)


@pytest.mark.parametrize(
    ("state", "kind", "actions"),
    [
        (S.WAITING, KERNEL, ["pause", "cancel"]),
        (S.QUEUED, KERNEL, ["pause", "cancel"]),
        (S.RUNNING, Kind("kernel", 4, pausable=False), ["cancel"]),
        (S.PAUSED, KERNEL, ["resume", "cancel"]),
    ],
)
def test_a_card_has_the_buttons_of_its_state(play: Play, state: State, kind: Kind, actions: list[str]) -> None:
    async def act(scene: Scene) -> None:
        assert (await scene.widget(seen(state=state, kind=kind))).card["actions"] == actions

    play(act)


def test_a_page_can_ask_for_nothing_but_its_buttons(play: Play) -> None:
    async def act(scene: Scene) -> None:
        widget = await scene.widget()
        for content in (
            None,
            5,
            "cancel",
            ["cancel"],
            {},
            {"action": "forget"},
            {"action": ["cancel"]},
            {"action": {}},
        ):
            widget.heard(content)
        assert scene.asked == []
        widget.heard({"action": "cancel", "uid": "uid-other"})
        assert scene.asked == [("cancel", "uid-fit")]

    play(act)


def test_a_refusal_stands_in_the_card_until_its_task_changes(play: Play) -> None:
    async def act(scene: Scene) -> None:
        widget = await scene.widget()
        scene.answer = Future()
        widget.heard({"action": "pause"})
        scene.answer.set_result(e.Refused("r", "it can't be paused"))
        await asyncio.sleep(1)
        assert widget.card["note"] == "it can't be paused"
        scene.show(seen(line="more", progress=0.5))
        await asyncio.sleep(1)
        assert widget.card["note"] == "it can't be paused"
        scene.show(seen(state=S.PAUSED))
        await asyncio.sleep(1)
        assert widget.card["note"] == ""

    play(act)


def test_a_page_that_draws_no_widgets_still_gets_the_line_as_it_changes(play: Play) -> None:
    async def act(scene: Scene) -> None:
        await scene.widget()
        for number in range(10):
            scene.show(seen(line=f"step {number}"))
            await asyncio.sleep(1)
        assert (
            "step 9" in scene.displays.of("d")[-1]["text/plain"] or "step 8" in scene.displays.of("d")[-1]["text/plain"]
        )

    play(act)


def test_without_widgets_cards_stay_lines(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise ImportError("no anywidget")

    monkeypatch.setattr(inline, "_import", missing)

    async def act(scene: Scene) -> None:
        scene.show(seen())
        await asyncio.sleep(1)
        scene.show(seen(progress=0.5))
        await asyncio.sleep(1)
        first, last = scene.displays.of("d")
        assert set(first) == set(last) == {"text/plain"}
        assert "50%" in last["text/plain"]

    play(act)


def test_a_forgotten_task_leaves_no_model(play: Play) -> None:
    async def act(scene: Scene) -> None:
        widget = await scene.widget()
        scene.show(seen(state=S.CANCELLED, ended_at=2.0))
        scene.cards.drop("uid-fit")
        scene.cards.drop("uid-unknown")
        assert widget.closed
        await asyncio.sleep(inline.GRACE + 1)

    play(act)


def test_closing_puts_all_lines_back(play: Play) -> None:
    async def act(scene: Scene) -> None:
        widget = await scene.widget()
        scene.cards.close()
        assert widget.closed
        assert set(scene.displays.of("d")[-1]) == {"text/plain"}

    play(act)


def test_the_card_writes_text_and_loads_nothing() -> None:
    written = set(re.findall(r"\b(innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|srcdoc)\b", SOURCE))
    assert not written
    assert not re.findall(r"\b(import|eval|Function|fetch|XMLHttpRequest|https?:|localStorage)\b", SOURCE)
    assert "textContent" in SOURCE


# in a kernel

WIRED = """
import threading, time
from concurrent.futures import Future
from jupyter_orchestra import app as root
from jupyter_orchestra.core import events as e
from jupyter_orchestra.notebook.inline import InlineCards
runtime, heard = root._app.runtime(), []
KINDS = dict(cancel=e.CancelAsked, pause=e.PauseAsked, resume=e.ResumeAsked, retry=e.RetryAsked)

def act(action, uid):
    heard.append((action, time.time(), threading.current_thread().name))
    return runtime.ask(KINDS[action](runtime.now(), runtime.new_request(), targets=(uid,)))

class Wired:
    def __init__(self, sink):
        self.sink, self.cards = sink, InlineCards(root._app.publisher, act, runtime.now)
    def __getattr__(self, name):
        return getattr(self.sink, name)
    def show(self, view):
        if view.anchor is not None and view.anchor.display:
            self.cards.show(view, view.anchor.display, view.anchor.parent)
        self.sink.show(view)

runtime.sink = Wired(runtime.sink)
"""
UNWIRED = "runtime.sink.cards.close()\nruntime.sink = runtime.sink.sink"
TASK = """%%dispatch {name}
import time
for i in range(6000):
    jo.progress(i / 6000, f'step {{i}}')
    time.sleep(0.1)
"""
BUSY = {
    "sleeping": "begun = True\ntime.sleep(20)",
    "computing": "begun, end = True, time.time() + 20\nwhile time.time() < end: pass",
}
WATCHED = """
import sys
from jupyter_orchestra.notebook import inline
plain, threads = inline._import, []
def watched():
    threads.append(threading.current_thread().name)
    return plain()
inline._import = watched
"""


@pytest.fixture
def wired(nb: LiveKernel) -> Any:
    nb.run(WIRED)
    yield nb
    nb.run("jo.cancel_all()")
    nb.run(UNWIRED)


def dispatched(nb: LiveKernel, name: str) -> tuple[Ran, str]:
    """A running task whose card has become a widget, and the id of the widget's comm."""
    cell = nb.run(TASK.format(name=name))
    nb.until(lambda: any(WIDGET in shown for shown in cell.displays), why="the card never becomes a widget")
    (opened,) = [content for content in cell.contents("comm_open") if content["target_name"] == "jupyter.widget"]
    return cell, str(opened["comm_id"])


def press(nb: LiveKernel, comm: str, content: object, subshell: str = "") -> float:
    message = nb.client.session.msg("comm_msg", {"comm_id": comm, "data": {"method": "custom", "content": content}})
    if subshell:
        message["header"]["subshell_id"] = subshell
    nb.client.shell_channel.send(message)
    return time.time()


def states(cell: Ran) -> list[Message]:
    sent = [content["data"]["state"] for content in cell.contents("comm_msg") if "state" in content["data"]]
    return [state["card"] for state in sent if "card" in state]


def test_a_card_becomes_a_widget_and_follows_its_task(wired: LiveKernel) -> None:
    cell, comm = dispatched(wired, "follow")
    (shown,) = cell.displays
    assert shown[WIDGET]["model_id"] == comm
    assert "follow" in shown["text/plain"]
    wired.until(lambda: len(states(cell)) > 2 and states(cell)[-1]["progress"], why="its progress is not told")
    assert states(cell)[-1]["line"].startswith("step ")
    press(wired, comm, {"seen": True})
    press(wired, comm, {"action": "pause"})
    wired.until_state("follow", "paused")
    wired.until(lambda: states(cell)[-1]["actions"] == ["resume", "cancel"])
    wired.run("jo.cancel_all()")
    wired.run("runtime.sink.cards.close()")
    wired.until(lambda: any(content["comm_id"] == comm for content in cell.contents("comm_close")))
    wired.until(lambda: WIDGET not in cell.displays[0])
    assert "cancelled" in cell.card


@pytest.mark.parametrize("busy", sorted(BUSY))
def test_a_button_is_heard_within_a_second_while_a_cell_is_busy_and_the_card_is_updated(
    wired: LiveKernel, busy: str
) -> None:
    _, comm = dispatched(wired, busy)
    subshell = wired.subshell()
    wired.run("begun = False")
    blocking = wired.send(BUSY[busy])
    wired.until_true("begun")
    sent = press(wired, comm, {"action": "cancel"}, subshell)
    wired.until_true("heard")
    ((action, at, thread),) = wired.ask("heard")
    assert action == "cancel"
    assert at - sent < 1.0
    assert thread.startswith("subshell")
    wired.until_state(busy, "cancelled")
    assert not blocking.over
    wired.interrupt()
    wired.finish(blocking)


def test_widgets_are_not_imported_by_the_cell_that_dispatches(tmp_path: Path) -> None:
    kernel = LiveKernel(tmp_path)
    try:
        kernel.run(WIRED)
        kernel.run(WATCHED)
        assert not kernel.ask("'anywidget' in sys.modules or 'ipywidgets' in sys.modules")
        dispatched(kernel, "first")
        assert [name.startswith("jo-disk") for name in kernel.ask("threads")] == [True]
        kernel.run("jo.cancel_all()")
    finally:
        kernel.close()
