from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from test_cells import view

from jupyter_orchestra.bridge.details import Outputs, Watch, clean_live, read_ended
from jupyter_orchestra.core import wire
from jupyter_orchestra.core.model import Blob, Origin, Result, State
from jupyter_orchestra.core.views import TaskView
from jupyter_orchestra.notebook.live_output import CUT_OFF, LiveOutput
from jupyter_orchestra.terminals import Terminals

HOSTILE = "<img src=http://a.example/x onerror=alert(1)><b>bold</b>"
LIVE: Outputs = [
    {"output_type": "stream", "name": "stdout", "text": "working"},
    {"output_type": "display_data", "data": {"text/html": HOSTILE}, "metadata": {}, "transient": {"display_id": "d"}},
    {"output_type": "update_display_data", "data": {"text/html": HOSTILE}, "transient": {"display_id": "d"}},
    {"output_type": "clear_output", "wait": True},
    {"output_type": "something_else"},
]


class Source:
    """A task, its live output, and what is cleaned only when the test says so."""

    def __init__(self, shown: TaskView, outputs: Outputs) -> None:
        self.shown, self.outputs = shown, outputs
        self.terminals = Terminals()
        self.later: list[Callable[[], None]] = []

    def view(self, uid: str) -> TaskView:
        return self.shown

    def explain(self, uid: str) -> str:
        return ""

    def live(self, uid: str, attempt: int) -> tuple[int, Outputs]:
        return 0, list(self.outputs)

    def has_terminal(self, uid: str, attempt: int) -> bool:
        return self.terminals.has(uid, attempt)

    def terminal(self, uid: str, attempt: int, start: int, most: int) -> tuple[int, str]:
        return self.terminals.text(uid, attempt, start, most)

    def load(self, shown: TaskView, done: Callable[[Outputs], None]) -> None:
        self.later.append(lambda: done(read_ended(lambda _: [], self.live, shown)))

    def clean(self, outputs: Outputs, done: Callable[[Outputs], None]) -> None:
        self.later.append(lambda: done(clean_live(outputs)))

    def work(self) -> None:
        later, self.later = self.later, []
        for act in later:
            act()


def running(**more: Any) -> TaskView:
    return view(state=State.RUNNING, ended_at=None, result=None, **more)


def test_live_output_that_is_not_trusted_reaches_a_panel_clean_in_order_and_each_once() -> None:
    source = Source(running(origin=Origin.MASTER), LIVE[:1])
    watch = Watch("u1", source)
    detail = watch.next()
    assert isinstance(detail, wire.Detail)
    assert detail.outputs == ()
    assert watch.next() is None
    source.outputs = LIVE
    assert watch.next() is None
    source.work()
    first = watch.next()
    assert watch.next() is None
    source.work()
    second = watch.next()
    assert isinstance(first, wire.Output)
    assert isinstance(second, wire.Output)
    assert (first.index, len(first.outputs), second.index) == (0, 1, 1)
    shown, update, clear, _ = second.outputs
    for output in (shown, update):
        assert "<b>bold</b>" in str(output)
        assert "example" not in str(output)
        assert output["transient"] == {"display_id": "d"}
    assert (update["output_type"], clear) == ("update_display_data", {"output_type": "clear_output", "wait": True})
    assert watch.next() is None
    assert not source.later


def test_what_was_cleaned_for_an_earlier_picture_is_not_sent_after_the_next() -> None:
    source = Source(running(origin=Origin.MASTER), LIVE[:1])
    watch = Watch("u1", source)
    watch.next()
    watch.next()
    source.shown = running(origin=Origin.MASTER, attempt=3)
    assert isinstance(watch.next(), wire.Detail)
    source.work()
    assert watch.next() is None
    source.work()
    output = watch.next()
    assert isinstance(output, wire.Output)
    assert output.attempt == 3


def test_what_the_person_wrote_comes_as_it_is() -> None:
    detail = Watch("u1", Source(running(agent=False), LIVE)).next()
    assert isinstance(detail, wire.Detail)
    assert detail.outputs == tuple(LIVE)


@pytest.mark.parametrize("origin", list(Origin))
def test_the_outputs_of_an_ended_task_are_as_clean_as_in_its_cell(origin: Origin) -> None:
    shown = view(origin=origin, agent=False, result=Result(outputs=Blob(2, b"[]")))
    outputs = read_ended(lambda _: LIVE[:2], lambda *_: (0, []), shown)
    assert ("onerror" in str(outputs)) is shown.trusted


def test_of_a_task_that_was_cut_off_what_came_is_kept_for_a_while() -> None:
    live = LiveOutput()
    for number in range(CUT_OFF + 1):
        live.add(f"u{number}", 1, LIVE[0])
        live.end(f"u{number}", 1, cut_off=True)
        live.end(f"u{number}", 1, cut_off=True)
    assert live.kept("u0", 1) == (0, [])
    assert live.kept("u1", 1) == (0, LIVE[:1])
    live.drop("u1")
    assert live.kept("u1", 1) == (0, [])
    live.add("done", 1, LIVE[0])
    live.end("done", 1)
    assert live.kept("done", 1) == (0, [])


def test_a_cancelled_task_shows_what_it_had_put_out() -> None:
    source = Source(msgspec.structs.replace(running(agent=False), state=State.CANCELLED, ended_at=9.0), LIVE[:1])
    watch = Watch("u1", source)
    assert watch.next() is None
    source.work()
    detail = watch.next()
    assert isinstance(detail, wire.Detail)
    assert (detail.first, detail.outputs) == (0, tuple(LIVE[:1]))
