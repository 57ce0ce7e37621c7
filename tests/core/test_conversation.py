import pytest
from dialogue import Dialogue

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.model import Delivery, Stage, State
from jupyter_orchestra.core.talk import TurnState

D = Delivery


def key(name: str, attempt: int = 1) -> tuple[str, int]:
    return f"uid-{name}", attempt


@pytest.fixture
def play() -> Dialogue:
    """The person has said something before, and the master is idle."""
    play = Dialogue()
    play.chat()
    return play


# how a result is delivered


@pytest.mark.parametrize("deliver", [D.NOW, D.IDLE])
def test_a_result_wakes_the_idle_master(play: Dialogue, deliver: Delivery) -> None:
    play.bring("a", deliver=deliver)
    assert play.begun == [2]
    assert play.turn.wake
    assert play.ask() == e.GiveInput(2, 1, (), (key("a"),))


def test_a_result_for_the_next_message_waits_for_it(play: Dialogue) -> None:
    play.bring("a", deliver=D.TURN)
    play.wait(1_000)
    assert len(play.turns) == 1
    play.say("and now?")
    assert play.ask() == e.GiveInput(2, 1, ("and now?",), (key("a"),))


def test_a_silent_result_never_reaches_the_master(play: Dialogue) -> None:
    play.bring("a", deliver=D.SILENT)
    play.say("and now?")
    assert play.step().results == ()
    assert play.stage("a") is Stage.QUEUED  # to the person it is delivered


@pytest.mark.parametrize("deliver", list(D))
def test_a_failure_is_told_at_the_latest_when_the_master_is_idle(play: Dialogue, deliver: Delivery) -> None:
    play.dispatch("a", deliver=deliver)
    play.fail("a")
    assert play.begun == [2]
    assert play.step().results == (key("a"),)


def test_a_task_that_is_cancelled_for_the_sake_of_another_is_told_like_a_failure(play: Dialogue) -> None:
    play.dispatch(play.spec("a"), play.spec("b", after=("a",)))
    play.fail("a")
    assert play.step().results == (key("a"), key("b", 0))


@pytest.mark.parametrize("deliver", [D.NOW, D.IDLE, D.TURN])
def test_before_the_first_message_every_result_waits_for_it(deliver: Delivery) -> None:
    play = Dialogue()
    play.bring("a", deliver=deliver)
    play.dispatch("b", deliver=deliver)
    play.fail("b")
    play.wait(1_000)
    assert not play.turns
    assert play.machine.due() is None
    play.say("what came of it?")
    assert play.step().results == (key("a"), key("b"))
    assert len(play.turns) == 1


def test_what_came_before_the_first_message_never_wakes_the_master() -> None:
    play = Dialogue()
    play.bring("a", deliver=D.IDLE)
    play.say("never mind")
    play.ask()
    play.stop()
    play.leave_off()
    play.wait(1_000)
    assert len(play.turns) == 1
    play.say("what came of it?")
    assert play.step().results == (key("a"),)


def test_a_result_for_now_joins_the_running_turn_at_its_next_step(play: Dialogue) -> None:
    play.say("go")
    play.step(calls=1)
    play.bring("a", deliver=D.NOW)
    play.bring("b", deliver=D.IDLE)
    play.answered()
    assert play.ask() == e.GiveInput(2, 2, (), (key("a"),))


def test_a_result_for_now_that_comes_while_the_model_writes_is_still_the_turns(play: Dialogue) -> None:
    play.say("go")
    play.ask()
    play.bring("a", deliver=D.NOW)
    play.done()
    assert play.turn.state is TurnState.RUNNING
    assert play.ask() == e.GiveInput(2, 2, (), (key("a"),))
    play.done()
    assert play.turn.state is TurnState.DONE


def test_an_answered_turn_asks_no_model_again_for_a_result_that_was_forgotten(play: Dialogue) -> None:
    play.say("go")
    play.ask()
    play.bring("a", deliver=D.NOW)
    play.done()
    play.forget("a")
    assert play.ask() is None
    assert play.turn.state is TurnState.DONE


def test_what_comes_for_an_idle_master_in_mid_turn_wakes_it_afterwards(play: Dialogue) -> None:
    play.say("go")
    play.step(calls=1)
    play.bring("a", deliver=D.IDLE)
    play.answered()
    assert play.step().results == ()
    assert play.begun == [3]
    assert play.step().results == (key("a"),)


def test_with_a_message_of_the_person_come_all_results_that_wait(play: Dialogue) -> None:
    play.bring("a", deliver=D.TURN)
    play.dispatch("b", "c", deliver=D.IDLE, cohort="k")
    play.finish("b")
    play.say("go")
    assert play.ask() == e.GiveInput(2, 1, ("go",), (key("a"), key("b")))


def test_no_more_results_go_with_one_request_than_it_bears_and_the_others_follow(play: Dialogue) -> None:
    names = [f"t{n}" for n in range(60)]
    play.type()
    for name in names:
        play.bring(name, deliver=D.IDLE)
    play.type(on=False)
    first = play.step().results
    assert len(first) == 40
    assert play.begun == [3]
    assert first + play.step().results == tuple(key(name) for name in names)


# cohorts


def test_a_cohort_whose_tasks_end_within_the_hold_is_one_wake(play: Dialogue) -> None:
    play.dispatch("a", "b", "c", deliver=D.IDLE, cohort="k")
    for name in "abc":
        assert len(play.turns) == 1
        play.wait(2)
        play.finish(name)
    assert play.begun == [2]
    assert play.step().results == (key("a"), key("b"), key("c"))
    play.wait(1_000)
    assert len(play.turns) == 2


def test_the_first_of_a_cohort_waits_five_seconds_for_the_others(play: Dialogue) -> None:
    play.dispatch("a", "b", "c", "d", deliver=D.IDLE, cohort="k")
    play.finish("a")
    assert play.machine.due() == play.now + 5.0
    play.wait(4)
    play.finish("b")
    play.wait(0.9)
    assert len(play.turns) == 1
    play.wait(0.2)
    assert play.step().results == (key("a"), key("b"))
    play.finish("c")
    play.wait(4.9)
    assert len(play.turns) == 2
    play.finish("d")
    assert play.step().results == (key("c"), key("d"))


def test_a_cohort_is_complete_when_the_person_cancels_the_rest(play: Dialogue) -> None:
    play.dispatch("a", "b", deliver=D.IDLE, cohort="k")
    play.finish("a")
    play.cancel("b")
    assert play.begun == [2]
    assert play.step().results == (key("a"),)


def test_a_result_for_now_does_not_wait_for_its_cohort(play: Dialogue) -> None:
    play.dispatch("a", "b", deliver=D.NOW, cohort="k")
    play.finish("a")
    assert play.begun == [2]


def test_a_wake_brings_what_it_was_for_even_if_the_clock_steps_back(play: Dialogue) -> None:
    play.dispatch("a", "b", deliver=D.IDLE, cohort="k")
    play.finish("a")
    play.wait(5)
    play.now -= 1
    assert play.step().results == (key("a"),)


def test_a_wake_brings_no_part_of_another_cohort_that_is_still_held(play: Dialogue) -> None:
    play.dispatch("a", "b", deliver=D.IDLE, cohort="k")
    play.finish("a")
    play.bring("c", deliver=D.IDLE, cohort="l")
    assert play.step().results == (key("c"),)
    play.wait(5)
    assert play.step().results == (key("a"),)


# while the person types


def test_a_wake_is_held_while_the_person_types_and_begins_when_they_leave_off(play: Dialogue) -> None:
    play.type()
    play.bring("a", deliver=D.IDLE)
    play.wait(19)
    assert len(play.turns) == 1
    play.type(on=False)
    assert play.begun == [2]


def test_a_wake_is_held_for_twenty_seconds_at_most(play: Dialogue) -> None:
    play.type()
    play.wait(100)  # how long they have typed before is no matter
    play.bring("a", deliver=D.IDLE)
    assert play.machine.due() == play.now + 20.0
    play.wait(19.9)
    assert len(play.turns) == 1
    play.wait(0.2)
    assert play.begun == [2]


def test_a_wake_is_held_as_long_as_any_page_is_typed_in(play: Dialogue) -> None:
    play.type(page="one")
    play.type(page="two")
    play.bring("a", deliver=D.IDLE)
    play.type(on=False, page="one")
    assert len(play.turns) == 1
    play.type(on=False, page="two")
    assert len(play.turns) == 2


def test_a_message_that_was_typed_takes_the_held_results_with_it(play: Dialogue) -> None:
    play.type()
    play.bring("a", deliver=D.IDLE)
    play.say("what of a?")
    assert play.step() == e.GiveInput(2, 1, ("what of a?",), (key("a"),))
    play.wait(1_000)
    assert len(play.turns) == 2


def test_pages_that_were_typed_in_when_the_kernel_died_hold_nothing(play: Dialogue) -> None:
    play.type()
    play.bring("a", deliver=D.IDLE)
    play.kernel()
    assert play.begun == [2]


# how often


def test_wakes_have_a_budget_which_the_person_renews(play: Dialogue) -> None:
    for n in range(30):
        play.bring(f"t{n}", deliver=D.IDLE)
        assert play.begun == [n + 2]
        play.step()
    play.bring("last", deliver=D.IDLE)
    play.wait(1_000)
    assert len(play.turns) == 31
    assert play.machine.due() is None
    play.say("still there?")
    assert play.step().results == (key("last"),)
    play.bring("more", deliver=D.IDLE)
    assert play.begun == [33]


def test_while_tasks_run_nothing_is_asked_of_the_master(play: Dialogue) -> None:
    play.dispatch("a", "b", deliver=D.IDLE)
    play.wait(100_000)
    assert play.machine.due() is None
    assert len(play.turns) == 1


# once, and never what is superseded


def test_a_result_is_in_context_only_after_a_request_that_carried_it(play: Dialogue) -> None:
    play.bring("a", deliver=D.IDLE)
    play.send(e.ResultShown(play.now, *key("a")))
    play.ask()
    assert play.stage("a") is Stage.SHOWN
    play.fail_turn()
    assert play.stage("a") is Stage.SHOWN
    play.retry_turn()
    play.step(calls=1)
    assert play.stage("a") is Stage.IN_CONTEXT
    assert play.task("a").entered == 2
    play.answered()
    play.step(text="a is done")
    assert play.stage("a") is Stage.DISCUSSED
    assert [item.results for item in play.talk.log if item.results] == [(key("a"),)]


def test_a_result_that_a_wordless_turn_took_in_is_not_discussed(play: Dialogue) -> None:
    play.bring("a", deliver=D.IDLE)
    play.send(e.ResultShown(play.now, *key("a")))
    play.step(text="")
    assert play.stage("a") is Stage.IN_CONTEXT


def test_a_result_is_the_masters_before_the_person_has_seen_it(play: Dialogue) -> None:
    play.bring("a", deliver=D.IDLE)
    play.step()
    assert play.stage("a") is Stage.QUEUED
    play.send(e.ResultShown(play.now, *key("a")))
    assert play.stage("a") is Stage.DISCUSSED


def test_the_result_of_a_task_that_is_run_again_is_superseded(play: Dialogue) -> None:
    play.type()
    play.dispatch("a", deliver=D.IDLE)
    play.fail("a")
    play.retry("a")
    play.type(on=False)
    assert len(play.turns) == 1
    play.finish("a")
    assert play.step().results == (key("a", 2),)


def test_a_request_that_carried_a_superseded_result_does_not_stand_for_the_new_one(play: Dialogue) -> None:
    play.dispatch("a", deliver=D.IDLE)
    play.fail("a")
    play.ask()
    play.retry("a")
    play.finish("a")
    play.done()
    assert play.task("a").entered == 0
    assert play.step().results == (key("a", 2),)


def test_a_forgotten_result_never_enters_and_its_wake_ends_without_a_request(play: Dialogue) -> None:
    play.bring("a", deliver=D.IDLE)
    play.forget("a")
    assert play.ask() is None
    assert play.turn.state is TurnState.DONE
    assert play.turn.stage is None


def test_a_cancel_is_sticky(play: Dialogue) -> None:
    play.dispatch("a", deliver=D.NOW)
    play.cancel("a")
    play.finish("a", text="too late")
    assert play.state("a") is State.CANCELLED
    play.wait(100)
    play.say("go")
    assert play.step().results == ()


def test_a_step_counts_once(play: Dialogue) -> None:
    play.bring("a", deliver=D.IDLE)
    play.ask()
    play.done(calls=1)
    play.done(calls=1)
    assert play.turn.step == 1
    assert sum(bool(item.results) for item in play.talk.log) == 1


def test_who_talked_to_a_worker_is_known(play: Dialogue) -> None:
    play.dispatch("a", "b", worker="agent")
    play.send(e.SteerAsked(play.now, "r", target="a", text="mind the cold"))
    play.say("go")
    play.step(calls=1)
    play.send(e.SteerAsked(play.now, "r", target="b", text="hurry", turn=play.turn.number))
    assert play.all(e.SteerTask) == [e.SteerTask("uid-b", 1, "hurry")]
    assert play.task("a").intervened
    assert not play.task("b").intervened


def test_a_task_bears_the_number_of_the_turn_in_which_it_was_dispatched(play: Dialogue) -> None:
    play.dispatch("a")
    play.say("go")
    play.step(calls=1)
    play.order("b")
    assert (play.task("a").turn, play.task("b").turn) == (1, 2)
