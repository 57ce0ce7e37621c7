from play import Play

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.machine import Machine
from jupyter_orchestra.core.model import State

S = State


def test_a_forgotten_task_is_gone_with_its_name() -> None:
    play = Play()
    play.dispatch("a")
    play.finish("a")
    play.forget("a")
    assert play.out == [e.DropTask("uid-a"), e.Accepted("r", ("uid-a",), ("a",))]
    assert play.machine.find("a") is None
    assert play.machine.find("uid-a") is None
    assert not play.machine.state.names


def test_an_older_task_is_forgotten_by_its_numbered_name() -> None:
    play = Play()
    play.dispatch(play.spec("a", uid="1"))
    play.finish("a")
    play.dispatch(play.spec("a", uid="2"))
    play.forget("a@1")
    assert list(play.machine.state.names) == ["a"]
    assert play.task("a").uid == "2"


def test_a_live_task_is_not_forgotten() -> None:
    play = Play()
    play.dispatch("a", "b")
    play.finish("b")
    play.forget("b", "a")
    assert play.refusal() == "task 'a' is still running: cancel it first (%cancel a)"
    assert play.state("b") is S.DONE


def test_what_a_waiting_task_comes_after_is_not_forgotten() -> None:
    play = Play()
    play.dispatch("a", "b")
    play.dispatch("c", after=("a", "b"))
    play.finish("a")
    play.forget("a")
    assert play.refusal() == "task 'c' comes after 'a' and has not ended: wait, or cancel it"
    play.cancel("c")
    play.forget("a")
    assert play.machine.find("a") is None


def test_forget_all_keeps_what_is_lost_unseen_needed_or_still_being_stopped() -> None:
    play = Play()
    play.dispatch("lost")
    play.kernel()
    play.dispatch("seen", "unseen")
    play.finish("seen")
    play.send(e.ResultShown(0.0, "uid-seen", 1))
    play.finish("unseen")
    play.dispatch("needed", "other")
    play.dispatch("later", after=("needed", "other"))
    play.finish("needed")
    play.send(e.ResultShown(0.0, "uid-needed", 1))
    play.dispatch("stopping")
    play.cancel("stopping")
    play.forget(ended=True)
    answer = play.answer()
    assert isinstance(answer, e.Accepted)
    assert answer.names == ("seen",)


def test_a_task_is_forgotten_while_it_is_being_stopped_and_its_slot_comes_back() -> None:
    play = Play()
    play.dispatch("a", "b", worker="shell")
    play.cancel("a")
    play.forget("a")
    assert play.state("b") is S.QUEUED
    play.send(e.TaskStopped(1.0, "uid-a", 1))
    assert play.started == ["b"]


def test_a_kernel_starts_after_such_a_task_was_forgotten() -> None:
    play = Play()
    play.dispatch("a", "b", worker="shell")
    play.cancel("a")
    play.forget("a")
    play.kernel()
    assert play.started == ["b"]


def test_a_forgotten_name_may_be_used_again() -> None:
    play = Play()
    play.dispatch("a")
    play.finish("a")
    play.forget("a")
    play.dispatch(play.spec("a", uid="2"))
    assert list(play.machine.state.names) == ["a"]


def test_forgetting_nothing_by_name_is_refused() -> None:
    play = Play()
    play.forget()
    assert "which task?" in play.refusal()
    play.forget(ended=True)
    assert play.answer() == e.Accepted("r")


def test_a_cohort_is_those_dispatched_together_that_are_not_forgotten() -> None:
    play = Play()
    play.dispatch(play.spec("a", cohort="one"), play.spec("b", cohort="one"))
    play.dispatch(play.spec("c", cohort="two"))
    assert [task.name for task in play.machine.cohort("one")] == ["a", "b"]
    play.finish("a")
    play.forget("a")
    assert [task.name for task in play.machine.cohort("one")] == ["b"]
    assert [task.name for task in Machine(play.machine.state).cohort("one")] == ["b"]
    assert play.machine.cohort("none") == []
