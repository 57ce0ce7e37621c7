from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from play import Play

from jupyter_orchestra.core import transitions
from jupyter_orchestra.core.machine import Machine
from jupyter_orchestra.core.model import ENDED, State, Step, Task
from jupyter_orchestra.core.transitions import TRANSITIONS, IllegalTransition

S = State
DIRECT = {(S.FAILED, S.QUEUED), (S.CANCELLED, S.QUEUED), (S.LOST, S.QUEUED)}  # a retry goes by way of waiting


def waits_then_runs(play: Play) -> None:
    play.dispatch("a")
    play.dispatch("b", after=("a",))
    play.finish("a")
    play.finish("b")


def waits_and_is_paused(play: Play) -> None:
    play.dispatch("a")
    play.dispatch("b", after=("a",))
    play.pause("b")
    play.resume("b")
    play.pause("b")
    play.fail("a")


def waits_and_is_cancelled(play: Play) -> None:
    play.dispatch("a")
    play.dispatch("b", after=("a",))
    play.cancel("b")
    play.retry("b")


def waits_for_a_snapshot_that_fails(play: Play) -> None:
    play.dispatch("a", snapshot=True)
    play.not_copied("a")


def queues_and_is_paused_and_cancelled(play: Play) -> None:
    play.dispatch("a", "b", worker="shell")
    play.pause("b")
    play.resume("b")
    play.cancel("b")


def fails_and_is_run_again(play: Play) -> None:
    play.dispatch("a", retries=1)
    play.fail("a")
    play.fail("a")
    play.retry("a")


def runs_and_is_paused_and_cancelled(play: Play) -> None:
    play.dispatch("a")
    play.pause("a")
    play.resume("a")
    play.cancel("a")


def ends_before_the_pause_reaches_it(play: Play) -> None:
    play.dispatch("a", "b")
    play.pause("a", "b")
    play.finish("a")
    play.fail("b")


def is_cut_off(play: Play) -> None:
    play.dispatch("a", "b")
    play.pause("b")
    play.kernel()
    play.retry("a")


STORIES: list[Callable[[Play], None]] = [
    waits_then_runs,
    waits_and_is_paused,
    waits_and_is_cancelled,
    waits_for_a_snapshot_that_fails,
    queues_and_is_paused_and_cancelled,
    fails_and_is_run_again,
    runs_and_is_paused_and_cancelled,
    ends_before_the_pause_reaches_it,
    is_cut_off,
]


def changes(play: Play) -> set[tuple[State, State]]:
    found = set()
    for task in play.machine.tasks.values():
        states = [step.state for step in task.story]
        found |= set(pairwise(states))
    return found


def test_every_change_of_the_table_happens_and_no_other() -> None:
    seen = set()
    for story in STORIES:
        play = Play()
        story(play)
        seen |= changes(play)
    assert seen <= TRANSITIONS.keys()
    assert TRANSITIONS.keys() - seen <= DIRECT


@pytest.mark.parametrize("state", sorted(ENDED))
def test_an_ended_task_changes_by_a_retry_only(state: State) -> None:
    for (_, to), why in ((pair, why) for pair, why in TRANSITIONS.items() if pair[0] is state):
        assert to in (S.WAITING, S.QUEUED)
        assert "retry" in why or "rerun" in why


def test_a_done_task_never_changes() -> None:
    assert not [pair for pair in TRANSITIONS if pair[0] is S.DONE]


def test_an_illegal_change_tells_the_story() -> None:
    play = Play()
    play.dispatch("a")
    play.finish("a")
    with pytest.raises(IllegalTransition) as caught:
        play.machine._move(play.task("a"), S.RUNNING, 9.0)
    assert str(caught.value) == (
        "task 'a' (uid-a): done -> running; its story: 0.000 waiting; 0.000 queued; 0.000 running; 0.000 done"
    )
    assert play.state("a") is S.DONE


def test_a_story_keeps_its_beginning_and_its_end() -> None:
    play = Play()
    play.dispatch("a")
    for _ in range(300):
        play.pause("a")
        play.resume("a")
    story = play.task("a").story
    assert len(story) == 200
    assert story[0] == Step(0.0, S.WAITING)
    assert story[-1].state is S.RUNNING


def test_the_picture_in_the_docs_is_the_table() -> None:
    docs = Path(__file__).parents[2] / "docs" / "states.md"
    assert docs.read_text() == transitions.draw(), "run: python -m jupyter_orchestra.core.transitions > docs/states.md"


def test_a_fresh_machine_knows_nothing() -> None:
    machine = Machine()
    assert not machine.tasks
    assert machine.due() is None
    assert machine.find("a") is None


def test_the_error_needs_only_a_task() -> None:
    task = Task(Play.spec("a"), "a", S.WAITING, 0.0)
    assert "waiting -> done" in str(IllegalTransition(task, S.DONE))
