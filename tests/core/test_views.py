"""What others see of a task, and the lines that a person reads of it."""

from __future__ import annotations

import pytest
from play import Play

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.cards import card_of
from jupyter_orchestra.core.lines import card
from jupyter_orchestra.core.model import Origin
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
