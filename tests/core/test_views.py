"""What others see of a task, and the lines that a person reads of it."""

from __future__ import annotations

import pytest
from play import Play

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core import wire
from jupyter_orchestra.core.cards import card_of
from jupyter_orchestra.core.lines import card
from jupyter_orchestra.core.model import Origin, State, Step
from jupyter_orchestra.core.needs import parse_all
from jupyter_orchestra.core.views import TaskView, view


@pytest.fixture
def play() -> Play:
    return Play()


def seen(play: Play, name: str) -> TaskView:
    task = play.task(name)
    return view(task, kind=play.machine.state.kinds[task.spec.worker])


def expose(play: Play, name: str, why: str = "bubblewrap: not found") -> None:
    task = play.task(name)
    play.send(e.TaskUnsandboxed(play.now, task.uid, task.attempt, why))


def test_a_models_task_that_nothing_confines_says_so_while_it_runs_or_is_held(play: Play) -> None:
    play.dispatch("scan", worker="shell", origin=Origin.MASTER)
    assert card_of(seen(play, "scan")).unsandboxed == ""
    expose(play, "scan")
    assert play.all(e.ShowCard)
    assert card_of(seen(play, "scan")).unsandboxed == "bubblewrap: not found"
    assert "running · 0.0 s · UNSANDBOXED" in card(seen(play, "scan"), play.now)
    play.pause("scan")
    assert seen(play, "scan").unsandboxed
    play.resume("scan")
    play.fail("scan")
    assert seen(play, "scan").unsandboxed == ""


def test_the_next_attempt_of_a_task_may_be_confined_again(play: Play) -> None:
    play.dispatch("scan", worker="shell", origin=Origin.MASTER)
    expose(play, "scan")
    play.fail("scan")
    play.retry("scan")
    assert play.task("scan").attempt == 2
    assert seen(play, "scan").unsandboxed == ""
    play.send(e.TaskUnsandboxed(play.now, "uid-scan", 1, "late"))
    assert seen(play, "scan").unsandboxed == ""


def test_what_hides_in_the_reason_is_seen_on_the_page(play: Play) -> None:
    play.dispatch("scan", worker="shell", origin=Origin.MASTER)
    expose(play, "scan", "bwrap:\u202e gone\x1b[8m")
    assert card_of(seen(play, "scan")).unsandboxed == "bwrap:⟨U+202E⟩ gone⟨U+001B⟩[8m"


def leased(play: Play, name: str, **more: object) -> None:
    play.dispatch(play.spec(name, needs=parse_all("terminal"), **more))  # type: ignore[arg-type]


def test_a_task_in_the_queue_says_which_leases_it_lacks_and_since_when_it_waits(play: Play) -> None:
    play.send(e.ResourcesDeclared(0.0, {"terminal": 1}))
    leased(play, "holder")
    play.wait(2.0)
    leased(play, "next")
    assert card(seen(play, "next"), play.now) == "… next · kernel · queued · waits for terminal"
    made = card_of(seen(play, "next"))
    assert (made.lacks, made.waits) == ("waits for terminal", (wire.Wait(since=2.0, until=None),))
    play.wait(3.0)
    play.finish("holder")
    made = card_of(seen(play, "next"))
    assert (made.state, made.lacks, made.waits) == (State.RUNNING, "", (wire.Wait(since=2.0, until=5.0),))


def test_what_an_earlier_attempt_waited_for_is_none_of_the_present_one(play: Play) -> None:
    play.send(e.ResourcesDeclared(0.0, {"terminal": 1}))
    leased(play, "holder")
    leased(play, "next")
    play.wait(1.0)
    play.finish("holder")
    play.fail("next")
    play.wait(1.0)
    play.retry("next")
    assert card_of(seen(play, "next")).waits == ()


def test_of_many_times_of_waiting_the_last_are_told(play: Play) -> None:
    play.dispatch("scan")
    task = play.task("scan")
    for at in range(40):
        task.story.append(Step(float(at), State.RUNNING, leases=at % 2 == 0))
    waits = seen(play, "scan").waits
    assert len(waits) == 20
    assert waits[-1] == (38.0, 39.0)
