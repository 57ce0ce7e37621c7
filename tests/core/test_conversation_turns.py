import pytest
from dialogue import Dialogue

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.conversation import MAX_STEPS
from jupyter_orchestra.core.model import Anchor, Stage
from jupyter_orchestra.core.talk import TurnState, view_turn

T = TurnState


# messages


def test_a_message_is_accepted_at_once_and_begins_a_turn() -> None:
    play = Dialogue()
    play.say("hello", cell="c1", tier="fast", model="m")
    assert play.answer() == e.Accepted("r", ("hello",))
    assert play.begun == [1]
    assert (play.turn.anchor, play.turn.tier, play.turn.model) == (Anchor("nb.ipynb", "c1"), "fast", "m")
    assert play.ask() == e.GiveInput(1, 1, ("hello",), ())


def test_an_empty_message_is_refused() -> None:
    play = Dialogue()
    play.say(" \n", uid="m")
    assert "%%chat" in play.refusal()
    assert not play.turns


def test_messages_in_a_row_queue_in_order_and_each_gets_its_reply() -> None:
    play = Dialogue()
    for text in ("one", "two", "three"):
        play.say(text, cell=text)
    for number, text in enumerate(("one", "two", "three"), 1):
        assert play.turn.number == number
        assert play.step().messages == (text,)
        assert play.turns[number - 1].stage is Stage.QUEUED
    assert play.machine.conversation.idle


def test_a_message_joins_the_running_turn_at_its_next_step() -> None:
    play = Dialogue()
    play.say("one", cell="c1")
    play.step(calls=1)
    play.say("two", cell="c2")
    play.answered()
    assert play.step() == e.GiveInput(1, 2, ("two",), ())
    assert len(play.turns) == 1
    assert view_turn(play.turn).joined == (Anchor("nb.ipynb", "c2"),)


def test_a_message_that_joins_a_wake_makes_it_the_persons_turn_but_leaves_its_wishes_proposals() -> None:
    play = Dialogue()
    play.chat()
    play.bring("a", deliver="idle")
    play.step(calls=1)
    assert play.turn.wake
    play.say("two", cell="c2")
    play.answered()
    play.step(text="")
    assert not play.turn.wake
    assert play.turn.tainted


def test_a_message_is_carried_by_one_request_alone() -> None:
    play = Dialogue()
    play.say("one")
    assert play.step(calls=1).messages == ("one",)
    play.answered()
    assert play.step(calls=1).messages == ()


def test_what_a_step_and_its_calls_put_out_is_in_the_log_in_order() -> None:
    play = Dialogue()
    play.say("one")
    play.step(calls=1, text="I look")
    play.answered("looked")
    play.step(text="I saw")
    assert [item.data for item in play.talk.log] == ['"1.1 in"', '"1.1 out"', '"answers"', '"1.2 in"', '"1.2 out"']
    assert play.turn.text == "I look\n\nI saw"
    assert play.turn.lines == ["looked"]


def test_a_turn_waits_until_its_calls_are_answered() -> None:
    play = Dialogue()
    play.say("one")
    play.step(calls=2)
    assert play.ask() is None
    assert play.turn.state is T.RUNNING
    play.answered()
    assert play.ask() is not None


def test_after_a_step_without_calls_the_turn_is_over() -> None:
    play = Dialogue()
    play.say("one", cell="c1")
    play.ask()
    play.done("well")
    assert play.all(e.DeliverReply) == [e.DeliverReply(1)]
    assert play.all(e.EndTurn) == [e.EndTurn(1)]
    assert play.ask(turn=1) is None


def test_an_input_is_for_the_step_after_the_last_one_that_was_done_whatever_was_asked() -> None:
    play = Dialogue()
    play.say("one")
    play.step(calls=1)
    play.answered()
    play.send(e.StepAsked(play.now, 1, 1))
    assert [wish.step for wish in play.all(e.GiveInput)] == [2]


def test_a_turn_ends_after_its_last_step_and_says_so() -> None:
    play = Dialogue()
    play.say("never end")
    for _ in range(MAX_STEPS):
        play.step(calls=1)
        play.answered()
    assert play.ask() is None
    assert play.turn.state is T.DONE
    assert str(MAX_STEPS) in play.turn.reason
    assert play.all(e.DeliverReply)


def test_an_answer_of_nothing_is_told() -> None:
    play = Dialogue()
    play.say("one")
    play.step(text="")
    assert play.turn.reason
    assert play.turn.stage is Stage.QUEUED


# replies


def test_a_reply_is_shown_once_it_is_acknowledged_and_until_then_with_each_kernel() -> None:
    play = Dialogue()
    play.chat()
    play.kernel()
    assert play.all(e.DeliverReply) == [e.DeliverReply(1)]
    play.send(e.ResultShown(play.now, play.turn.uid, play.turn.tries))
    assert play.turn.stage is Stage.SHOWN
    play.kernel()
    assert not play.all(e.DeliverReply)


def test_a_reply_that_nobody_asked_for_gets_a_cell_of_its_own() -> None:
    play = Dialogue()
    play.say("hello", cell="c1")
    play.step()
    play.bring("a", deliver="idle")
    play.step()
    assert play.turns[0].number_of_cell == 0
    assert play.turns[1].number_of_cell == play.machine.state.delivered > play.task("a").number


def test_a_wake_without_a_word_shows_nothing_and_one_that_did_something_shows_it() -> None:
    play = Dialogue()
    play.chat()
    play.bring("a", deliver="idle")
    play.step(text="")
    assert play.turn.stage is None
    play.bring("b", deliver="idle")
    play.step(text="", calls=1)
    play.answered("proposed c")
    play.step(text="")
    assert play.turn.stage is Stage.QUEUED


# failures


def failed() -> Dialogue:
    play = Dialogue()
    play.chat()
    play.say("one", cell="c1")
    play.ask()
    play.fail_turn("401: check the key")
    return play


def test_a_failed_turn_is_told_and_its_message_is_kept() -> None:
    play = failed()
    assert play.turn.state is T.FAILED
    assert play.turn.reason == "401: check the key"
    assert play.all(e.DeliverReply) == [e.DeliverReply(2)]
    assert [message.text for message in play.talk.messages] == ["one"]
    play.wait(1_000)
    assert len(play.turns) == 2


def test_a_failed_turn_goes_on_when_the_person_says_so() -> None:
    play = failed()
    play.retry_turn()
    assert play.begun == [2]
    assert play.turn.tries == 2
    assert play.step() == e.GiveInput(2, 1, ("one",), ())
    assert play.turn.state is T.DONE
    assert not play.talk.messages


def test_a_failed_turns_message_goes_with_the_next_one_if_it_is_not_retried() -> None:
    play = failed()
    play.say("two", cell="c2")
    assert play.begun == [3]
    assert play.step().messages == ("one", "two")
    assert play.turn.anchor == Anchor("nb.ipynb", "c2")
    assert view_turn(play.turn).joined == (Anchor("nb.ipynb", "c1"),)


def test_only_messages_that_no_request_carried_come_back() -> None:
    play = Dialogue()
    play.say("one")
    play.step(calls=1)
    play.say("two")
    play.answered()
    play.ask()
    play.fail_turn()
    assert [message.text for message in play.talk.messages] == ["two"]
    play.retry_turn()
    assert play.step() == e.GiveInput(1, 2, ("two",), ())


def test_after_a_failure_results_wake_nobody_until_the_person_acts() -> None:
    play = failed()
    play.bring("a", deliver="now")
    play.wait(1_000)
    assert play.machine.due() is None
    assert len(play.turns) == 2
    play.retry_turn()
    assert play.step() == e.GiveInput(2, 1, ("one",), (("uid-a", 1),))


def test_a_wake_that_failed_brings_its_results_with_the_next_try() -> None:
    play = Dialogue()
    play.chat()
    play.bring("a", deliver="idle")
    play.ask()
    play.fail_turn()
    assert play.turn.stage is Stage.QUEUED  # the failure is shown
    play.bring("b", deliver="idle")
    play.retry_turn()
    assert play.step(text="").results == (("uid-a", 1), ("uid-b", 1))
    assert play.turn.stage is Stage.QUEUED  # and its cell is written anew


def test_a_reply_of_an_older_try_is_superseded() -> None:
    play = failed()
    play.retry_turn()
    assert play.turn.stage is Stage.SUPERSEDED
    play.send(e.ResultShown(play.now, "one", 1))
    assert play.turn.stage is Stage.SUPERSEDED
    play.step()
    play.send(e.ResultShown(play.now, "one", 2))
    assert play.turn.stage is Stage.SHOWN


def test_only_the_last_turn_can_go_on_and_only_after_a_failure() -> None:
    play = Dialogue()
    play.retry_turn()
    assert "no turn" in play.refusal()
    play.chat()
    play.retry_turn()
    assert "no turn" in play.refusal()


# stops


def test_a_stop_ends_the_turn_and_not_the_tasks() -> None:
    play = Dialogue()
    play.dispatch("a")
    play.say("one")
    play.ask()
    play.stop()
    assert play.all(e.StopTurn) == [e.StopTurn(1)]
    assert not play.all(e.StopTask)
    play.leave_off("half a sen")
    assert play.turn.state is T.STOPPED
    assert play.turn.text == "half a sen"
    assert [item.data for item in play.talk.log] == ['"as far as it came"']
    assert not play.talk.messages
    assert play.machine.conversation.idle


def test_there_is_nothing_to_stop_when_the_master_is_idle() -> None:
    play = Dialogue()
    play.stop()
    assert "nothing to stop" in play.refusal()


def test_a_turn_that_is_being_stopped_gets_no_more_input() -> None:
    play = Dialogue()
    play.say("one")
    play.stop()
    assert play.ask() is None
    assert play.all(e.StopTurn) == [e.StopTurn(1)]
    play.leave_off()
    assert play.turn.state is T.STOPPED


def test_a_turn_that_fails_while_it_is_being_stopped_keeps_its_message() -> None:
    play = Dialogue()
    play.say("one")
    play.ask()
    play.stop()
    play.fail_turn()
    assert play.turn.state is T.FAILED
    play.retry_turn()
    assert play.step().messages == ("one",)


def test_what_a_turn_asks_for_after_the_person_stopped_it_is_refused() -> None:
    play = Dialogue()
    play.say("one")
    play.step(calls=1)
    play.stop()
    play.order("a")
    assert "over" in play.refusal()


def test_a_message_that_waits_is_answered_after_a_stop() -> None:
    play = Dialogue()
    play.say("one")
    play.ask()
    play.say("two")
    play.stop()
    play.leave_off()
    assert play.begun == [2]
    assert play.step().messages == ("two",)


@pytest.mark.parametrize("wake", [True, False])
def test_after_a_stop_what_has_come_waits_for_the_person_and_what_comes_later_wakes_again(wake: bool) -> None:
    play = Dialogue()
    play.chat()
    if wake:
        play.bring("a", deliver="idle")
        play.ask()
    else:
        play.say("one")
        play.ask()
        play.bring("a", deliver="now")
    play.stop()
    play.leave_off()
    play.wait(1_000)
    assert len(play.turns) == 2
    play.bring("b", deliver="idle")
    assert play.step().results == (("uid-b", 1),)
    play.say("two")
    assert play.step().results == (("uid-a", 1),)


# kernels


def test_a_turn_that_was_cut_off_goes_on_with_the_same_input() -> None:
    play = Dialogue()
    play.bring("a")
    play.say("one")
    before = play.ask()
    play.kernel()
    assert play.begun == [1]
    assert play.ask() == before
    assert not play.talk.log


def test_a_turn_goes_on_from_its_last_step() -> None:
    play = Dialogue()
    play.say("one")
    play.step(calls=1)
    play.kernel()
    play.answered("in doubt")
    assert play.step() == e.GiveInput(1, 2, (), ())


def test_a_turn_that_was_being_stopped_when_the_kernel_died_is_stopped_once_its_calls_have_an_answer() -> None:
    play = Dialogue()
    play.say("one")
    play.step(calls=1)
    play.stop()
    play.kernel()
    assert play.begun == [1]
    play.answered("in doubt")
    assert play.ask() is None
    assert play.all(e.StopTurn) == [e.StopTurn(1)]
    play.leave_off()
    assert play.turn.state is T.STOPPED


def test_a_failed_turn_stays_failed_and_its_message_kept() -> None:
    play = failed()
    play.kernel()
    assert not play.begun
    play.retry_turn()
    assert play.step().messages == ("one",)


# the log


def test_what_is_summed_up_grows_only_and_never_beyond_the_log() -> None:
    play = Dialogue()
    for text in ("one", "two"):
        play.chat(text)
    play.send(e.LogFolded(play.now, 2, "first"))
    assert (play.talk.folded, play.talk.summary) == (2, "first")
    play.send(e.LogFolded(play.now, 1, "older"))
    play.send(e.LogFolded(play.now, 5, "too much"))
    assert (play.talk.folded, play.talk.summary) == (2, "first")
    assert len(play.talk.log) == 4


@pytest.mark.parametrize("number", [0, 7])
def test_facts_of_a_turn_that_is_not_there_change_nothing(number: int) -> None:
    play = Dialogue()
    play.chat()
    before = len(play.talk.log)
    for event in (
        e.StepAsked(play.now, number, 1),
        e.StepDone(play.now, turn=number, step=1, items=("1",)),
        e.CallsAnswered(play.now, number, 1, ("1",)),
        e.TurnFailed(play.now, number, "x"),
        e.TurnStopped(play.now, number, "x", ("1",)),
    ):
        play.send(event)
    assert len(play.talk.log) == before
    assert play.turn.state is T.DONE


# cells that are run again


def test_a_cell_that_is_run_again_takes_no_reply_to_what_it_said_before() -> None:
    play = Dialogue()
    play.say("one", cell="c1")
    play.say("two", uid="two", cell="c1")
    play.step()
    assert play.turns[0].stage is Stage.SUPERSEDED
    play.step()
    assert play.turns[1].stage is Stage.QUEUED
    play.say("three", cell="c1")
    assert play.turns[1].stage is Stage.SUPERSEDED


def test_another_cell_keeps_its_reply() -> None:
    play = Dialogue()
    play.say("one", cell="c1")
    play.say("two", cell="c2")
    play.step()
    assert play.turns[0].stage is Stage.QUEUED


def test_a_message_that_was_too_long_does_not_come_back_with_the_next_one() -> None:
    play = Dialogue()
    play.say("a whole book")
    play.ask()
    play.send(e.TurnFailed(play.now, play.turn.number, "too long", too_long=True))
    play.say("hello")
    assert [message.text for message in play.turn.messages] == ["hello"]


def test_a_message_that_was_too_long_is_tried_again_when_the_person_says_so() -> None:
    play = Dialogue()
    play.say("a whole book")
    play.ask()
    play.send(e.TurnFailed(play.now, play.turn.number, "too long", too_long=True))
    play.retry_turn()
    given = play.ask()
    assert given is not None
    assert given.messages == ("a whole book",)


def test_what_had_come_of_a_reply_that_broke_off_is_shown_until_the_turn_goes_on() -> None:
    play = Dialogue()
    play.say("one", cell="c1")
    play.ask()
    play.send(e.TurnFailed(play.now, 1, "the reply broke off", text="It is"))
    assert view_turn(play.turn).text == "It is"
    assert not play.talk.log
    play.send(e.RetryTurnAsked(play.now, "r"))
    assert view_turn(play.turn).text == ""
