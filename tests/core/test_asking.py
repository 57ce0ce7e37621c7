"""What workers ask the person, and what stays of questions when the kernel restarts."""

import pytest
from dialogue import AGENT, CREW, Dialogue, wish_of

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.model import Ask, Blob, Capture, State

S = State


@pytest.fixture
def tainted() -> Dialogue:
    play = Dialogue()
    play.taint()
    return play


# what a worker asks


WRITE = Ask("ask-1", "write a file", "x = 1", "d1")


def asking() -> Dialogue:
    play = Dialogue()
    play.dispatch("a", worker="agent")
    play.send(e.ApprovalNeeded(play.now, "uid-a", 1, WRITE))
    return play


def test_a_workers_question_is_put_to_the_person_and_the_answer_to_it() -> None:
    play = asking()
    assert play.task("a").asks == [WRITE]
    play.approve("a", digest="d1")
    assert play.all(e.AnswerTask) == [e.AnswerTask("uid-a", 1, "ask-1", True)]
    play.send(e.ApprovalNeeded(play.now, "uid-a", 1, WRITE))
    play.decline("a", why="no")
    assert play.all(e.AnswerTask) == [e.AnswerTask("uid-a", 1, "ask-1", False, "no")]
    assert play.state("a") is S.RUNNING


def test_a_worker_that_may_do_so_for_good_is_answered_at_once() -> None:
    play = asking()
    play.approve("a", always=True)
    play.send(e.ApprovalNeeded(play.now, "uid-a", 1, Ask("ask-2", "write a file", "x = 1", "d1")))
    assert play.all(e.AnswerTask) == [e.AnswerTask("uid-a", 1, "ask-2", True)]
    play.send(e.ApprovalNeeded(play.now, "uid-a", 1, Ask("ask-3", "write a file", "x = 2", "d2")))
    assert not play.all(e.AnswerTask)
    assert [ask.id for ask in play.task("a").asks] == ["ask-3"]


def test_questions_of_an_attempt_that_is_over_or_being_stopped_are_dropped() -> None:
    play = asking()
    play.send(e.ApprovalNeeded(play.now, "uid-a", 7, WRITE))
    assert play.task("a").asks == [WRITE]
    play.cancel("a")
    play.send(e.ApprovalNeeded(play.now, "uid-a", 1, Ask("ask-2", "write", "y", "d2")))
    assert play.task("a").asks == [WRITE]
    play.stopped("a")
    assert not play.task("a").asks


# after a restart of the kernel


def test_an_agent_goes_on_with_the_same_attempt_and_its_steps() -> None:
    play = asking()
    step = Blob(1, b"s")
    play.send(e.StepTaken(play.now, "uid-a", 1, step))
    play.kernel()
    assert play.all(e.StartTask) == [e.StartTask("uid-a", 1)]
    task = play.task("a")
    assert (task.state, task.attempt, task.steps) == (S.RUNNING, 1, [step])
    assert not task.asks  # it asks again
    play.finish("a")
    assert play.state("a") is S.DONE


def test_what_the_master_proposed_for_it_is_still_asked(tainted: Dialogue) -> None:
    tainted.dispatch("a", worker="agent")
    wish_of(tainted, e.CancelAsked, "a")
    tainted.send(e.ApprovalNeeded(tainted.now, "uid-a", 1, WRITE))
    tainted.kernel()
    assert [ask.action for ask in tainted.task("a").asks] == ["cancel a"]


def test_a_paused_agent_is_started_and_held() -> None:
    play = Dialogue()
    play.dispatch("a", worker="agent")
    play.pause("a")
    play.kernel()
    assert [c for c in play.out if isinstance(c, e.StartTask | e.PauseTask)] == [
        e.StartTask("uid-a", 1),
        e.PauseTask("uid-a", 1),
    ]
    play.resume("a")
    assert play.state("a") is S.RUNNING


def test_an_agent_that_was_being_cancelled_does_not_go_on() -> None:
    play = Dialogue()
    play.dispatch("a", worker="agent")
    play.cancel("a")
    play.kernel()
    assert not play.all(e.StartTask)
    assert play.state("a") is S.CANCELLED


def test_its_slots_stay_taken_while_it_goes_on() -> None:
    one = (*(kind for kind in CREW if kind.name != "agent"), type(AGENT)("agent", 1, resumable=True))
    play = Dialogue(*one)
    play.dispatch("a", "b", worker="agent")
    play.kernel()
    assert play.started == ["a"]
    assert play.state("b") is S.QUEUED
    play.finish("a")
    assert play.started == ["b"]


def test_other_kinds_are_lost_and_their_steps_go_with_a_retry() -> None:
    play = Dialogue(*(kind for kind in CREW if kind.name != "agent"), type(AGENT)("agent", 1))
    play.dispatch("a", worker="agent")
    play.send(e.StepTaken(play.now, "uid-a", 1, Blob(1, b"s")))
    play.kernel()
    assert play.state("a") is S.LOST
    play.retry("a")
    assert play.task("a").steps == []
    assert play.task("a").attempt == 2


def test_a_snapshot_is_no_part_of_a_proposal(tainted: Dialogue) -> None:
    tainted.order("a", worker="shell", snapshot=True)
    tainted.approve("a")
    assert tainted.state("a") is S.WAITING
    tainted.send(e.SnapshotTaken(tainted.now, "uid-a", Capture(("x",), Blob(1, b"x"))))
    assert tainted.state("a") is S.RUNNING
