from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from house import House
from shapes import inboxes, results, shape

from jupyter_orchestra.core import conversation
from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.model import Stage, State
from jupyter_orchestra.core.talk import TurnState
from jupyter_orchestra.errors import RefusedError
from jupyter_orchestra.testing.model_server import Step, ToolCall

Build = Callable[..., House]
HELLO = ["person: hello", "master: Good morning."]


def calls(name: str, *names: str, **more: Any) -> list[ToolCall]:
    tasks = [{"name": task, "worker": "kernel", "brief": f"{task}()", **more} for task in names]
    return [ToolCall(name, {"tasks": tasks})]


def greeted(build: Build, *steps: Step, **settings: Any) -> House:
    house = build([Step(say="Good morning."), *steps], **settings)
    house.chat("hello")
    return house


# while the master is idle


def test_a_result_wakes_an_idle_master_once_and_is_not_said_by_a_person(build: Build) -> None:
    house = greeted(build, Step(say="The scan found nothing."))
    house.dispatch("scan")
    house.end("scan", "0 findings")
    turn = house.rest(2)
    assert shape(house.last.items) == [*HELLO, "inbox scan"]
    assert (turn.wake, turn.text, turn.state) == (True, "The scan found nothing.", TurnState.DONE)
    assert turn.number_of_cell == 2  # the scan's own cell is the first
    assert turn.anchor is None
    assert [reply.text for reply in house.eye.replies] == ["Good morning.", "The scan found nothing."]
    assert house.turn().stage is Stage.SHOWN
    house.advance(3_600)
    assert len(house.requests) == 2


def test_a_result_comes_before_the_message_that_goes_with_it(build: Build) -> None:
    house = greeted(build, Step(say="Yes: it is done."))
    house.dispatch("scan", deliver="turn")
    house.dispatch("fit")
    house.end("scan", "ready")
    assert len(house.requests) == 1
    house.chat("is the scan done?")
    assert shape(house.last.items) == [*HELLO, "inbox scan + fit", "person: is the scan done?"]
    assert house.client.board.find("scan").entered == 2  # type: ignore[union-attr]


def test_a_silent_result_never_comes_and_a_failure_comes_in_any_case(build: Build) -> None:
    house = greeted(build, Step(say="One of them failed."))
    house.dispatch("quiet", deliver="silent")
    house.dispatch("later", deliver="turn")
    house.end("quiet", "ready")
    house.advance(3_600)
    assert len(house.requests) == 1
    house.end("later", error="no such column")
    house.rest(2)
    assert results(house.last.items) == ["later"]
    assert "no such column" in str(inboxes(house.last.items))


def test_a_failure_of_a_silent_task_comes_too(build: Build) -> None:
    house = greeted(build, Step(say="It failed."))
    house.dispatch("quiet", deliver="silent")
    house.end("quiet", error="wrong")
    house.rest(2)
    assert results(house.last.items) == ["quiet"]


# before the first message


def test_before_the_first_message_nothing_is_asked_however_long_it_takes(build: Build) -> None:
    house = build([Step(say="The scan was done long ago.")])
    for deliver in ("now", "idle"):
        house.dispatch(f"scan-{deliver}", deliver=deliver)
        house.end(f"scan-{deliver}", "ready")
    house.dispatch("wrong")
    house.end("wrong", error="no such file")
    house.advance(86_400)
    assert house.requests == []
    assert house.talk.turns == []
    house.chat("what is new?")
    assert shape(house.last.items) == ["inbox scan-now scan-idle wrong", "person: what is new?"]


# in mid-turn


def test_a_result_for_now_joins_the_running_turn_at_its_next_step(build: Build) -> None:
    house = build([Step(say="I look.", call=calls("dispatch", "fit")), Step(say="The scan is done.")])
    house.dispatch("scan", deliver="now")
    held = house.hold()
    house.say("fit it")
    house.until(lambda: house.requests)
    house.end("scan", "ready")
    held.set()
    turn = house.rest()
    assert shape(house.last.items) == [
        "inbox + scan", "person: fit it", "master: I look.", "call dispatch", "output dispatch", "inbox scan"
    ]  # fmt: skip
    assert len(house.talk.turns) == 1
    assert turn.text == "I look.\n\nThe scan is done."


def test_a_result_for_now_that_comes_with_the_last_words_opens_one_more_step(build: Build) -> None:
    house = greeted(build, Step(say="I think so."), Step(say="And the scan agrees."))
    house.dispatch("scan", deliver="now")
    held = house.hold()
    house.say("is it so?")
    house.until(lambda: len(house.requests) == 2)
    house.end("scan", "ready")
    held.set()
    turn = house.rest(2)
    assert shape(house.last.items)[-3:] == ["person: is it so?", "master: I think so.", "inbox scan"]
    assert (turn.number, turn.text) == (2, "I think so.\n\nAnd the scan agrees.")


def test_a_result_for_an_idle_master_waits_until_the_turn_is_over(build: Build) -> None:
    steps = Step(say="I look.", call=calls("dispatch", "fit")), Step(say="It runs."), Step(say="The scan is done.")
    house = build(steps)
    house.dispatch("scan")
    held = house.hold()
    house.say("fit it")
    house.until(lambda: house.requests)
    house.end("scan", "ready")
    held.set()
    house.rest(2)
    assert results(house.requests[1].items) == []
    assert shape(house.last.items)[-2:] == ["master: It runs.", "inbox scan"]
    assert [turn.wake for turn in house.talk.turns] == [False, True]


def test_what_the_master_dispatched_wakes_it_in_a_later_turn(build: Build) -> None:
    house = build([Step(call=calls("dispatch", "a", "b")), Step(say="Two run."), Step(say="Both are in.")])
    first = house.chat("do both")
    assert first.lines == ("master: scripted", "dispatched a, b")
    house.runs("a", "b")
    house.end("a", "1")
    assert len(house.requests) == 2
    house.end("b", "2")
    turn = house.rest(2)
    assert shape(house.last.items) == [
        "person: do both", "call dispatch", "output dispatch", "master: Two run.", "inbox a b"
    ]  # fmt: skip
    assert turn.results == tuple((house.task(name).uid, 1) for name in "ab")
    assert all(house.task(name).discussed for name in "ab")
    assert [result["from"] for result in inboxes(house.last.items)[0]["results"]] == [
        "kernel task dispatched in turn 1"
    ] * 2


def test_a_plan_may_be_sent_at_once_and_what_was_skipped_is_told(build: Build) -> None:
    tasks = [
        {"name": "a", "worker": "kernel", "brief": "a()"},
        {"name": "b", "worker": "kernel", "brief": "b()", "after": ["a"]},
    ]
    house = build(
        [Step(call=[ToolCall("dispatch", {"tasks": tasks})]), Step(say="Two run."), Step(say="The first one failed.")]
    )
    house.chat("first a, then b")
    house.end("a", error="no such file")
    house.rest(2)
    (inbox,) = inboxes(house.last.items)
    assert [(result["task"], result["state"]) for result in inbox["results"]] == [("a", "failed"), ("b", "cancelled")]
    assert inbox["results"][1]["skipped"] == "a failed"
    assert house.started == ["a"]


# cohorts


def test_a_cohort_that_ends_within_the_hold_wakes_the_master_once(build: Build) -> None:
    house = greeted(build, Step(say="All three."))
    for name in ("a", "b", "c"):
        house.dispatch(name, cell="the-same-cell")
    for name in ("c", "a", "b"):
        assert len(house.requests) == 1
        house.end(name, "ready")
        house.advance(2)
    house.rest(2)
    house.advance(60)
    assert shape(house.last.items) == [*HELLO, "inbox c a b"]
    assert len(house.requests) == 2


def test_what_ends_after_the_hold_comes_in_a_wake_of_its_own(build: Build) -> None:
    house = greeted(build, Step(say="One."), Step(say="The other."))
    for name in ("a", "b"):
        house.dispatch(name, cell="the-same-cell")
    house.end("a", "ready")
    house.advance(4.9)
    assert len(house.talk.turns) == 1
    house.advance(0.2)
    house.rest(2)
    house.end("b", "ready")
    house.rest(3)
    assert shape(house.last.items) == [*HELLO, "inbox a", "master: One.", "inbox b"]


def test_cohorts_that_are_complete_at_the_same_time_share_a_wake(build: Build) -> None:
    house = greeted(build, Step(say="I begin."), Step(say="Both."))
    house.dispatch("a")
    house.dispatch("b")
    held = house.hold()
    house.say("begin")
    house.until(lambda: len(house.requests) == 2)
    house.end("a", "ready")
    house.end("b", "ready")
    held.set()
    house.rest(3)
    assert shape(house.last.items)[-1] == "inbox a b"
    assert len(house.requests) == 3


# while the person types


def test_a_wake_is_held_while_the_person_types_for_twenty_seconds_at_most(build: Build) -> None:
    house = greeted(build, Step(say="The scan is done."))
    house.dispatch("scan")
    house.types()
    house.end("scan", "ready")
    house.advance(19.9)
    assert len(house.talk.turns) == 1
    house.advance(0.2)
    house.rest(2)
    assert results(house.last.items) == ["scan"]


def test_a_held_wake_comes_as_soon_as_nobody_types_any_more(build: Build) -> None:
    house = greeted(build, Step(say="The scan is done."))
    house.dispatch("scan")
    house.types(page="one")
    house.types(page="two")
    house.end("scan", "ready")
    house.types(False, page="one")
    assert len(house.talk.turns) == 1
    house.types(False, page="two")
    house.rest(2)
    assert results(house.last.items) == ["scan"]


def test_the_message_that_was_being_typed_goes_with_the_held_result(build: Build) -> None:
    house = greeted(build, Step(say="Yes, it is done."))
    house.dispatch("scan")
    house.types()
    house.end("scan", "ready")
    house.advance(10)
    house.chat("is it done?")
    house.types(False)
    house.advance(60)
    assert shape(house.last.items) == [*HELLO, "inbox scan", "person: is it done?"]
    assert len(house.requests) == 2


# what never comes, and what comes again


def test_a_cancelled_task_never_comes_even_when_it_ends_late(build: Build) -> None:
    house = greeted(build)
    house.dispatch("scan")
    house.cancel("scan")
    house.advance(3_600)
    assert house.state("scan") is State.CANCELLED
    assert len(house.requests) == 1


def test_a_result_that_was_run_again_before_it_was_told_is_told_once(build: Build) -> None:
    house = greeted(build, Step(say="It works now."))
    house.dispatch("scan")
    house.types()
    house.end("scan", error="wrong")
    house.ask(e.RetryAsked, targets=("scan",))
    house.end("scan", "right")
    house.types(False)
    house.rest(2)
    (inbox,) = inboxes(house.last.items)
    assert [(result["state"], result.get("value")) for result in inbox["results"]] == [("done", "right")]


def test_a_result_of_a_second_attempt_is_told_beside_that_of_the_first(build: Build) -> None:
    house = greeted(build, Step(say="It failed."), Step(say="It works now."))
    house.dispatch("scan")
    house.end("scan", error="wrong")
    house.rest(2)
    house.ask(e.RetryAsked, targets=("scan",))
    house.end("scan", "right")
    house.rest(3)
    assert shape(house.last.items) == [*HELLO, "inbox scan", "master: It failed.", "inbox scan"]
    states = [result["state"] for inbox in inboxes(house.last.items) for result in inbox["results"]]
    assert states == ["failed", "done"]


def test_a_forgotten_result_is_no_reason_to_wake_the_master(build: Build) -> None:
    house = greeted(build)
    house.dispatch("scan")
    house.types()
    house.end("scan", "ready")
    house.ask(e.ForgetAsked, targets=("scan",))
    house.types(False)
    house.advance(3_600)
    assert len(house.requests) == 1


def test_wakes_have_a_budget_that_a_message_renews(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "MAX_WAKES", 2)
    house = greeted(build, *[Step(say="Noted.")] * 4)
    for turn, name in enumerate(("a", "b"), 2):
        house.dispatch(name)
        house.end(name, "ready")
        house.rest(turn)
    house.dispatch("c")
    house.end("c", "ready")
    house.advance(3_600)
    assert len(house.requests) == 3
    house.chat("go on")
    assert shape(house.last.items)[-2:] == ["inbox c", "person: go on"]
    house.dispatch("d")
    house.end("d", "ready")
    house.rest(5)
    assert results(house.last.items)[-1] == "d"


def test_waiting_asks_nothing_whatever_the_tasks_do_meanwhile(build: Build) -> None:
    house = greeted(build, Step(say="All are done."))
    house.dispatch("long", cell="the-same-cell")
    for number in range(20):
        house.dispatch(f"short-{number}", cell="the-same-cell", deliver="silent")
    for number in range(100):
        house.hands["kernel"].jobs["long"].reporter.progress(number / 100, f"step {number}")
        house.advance(60)
    for kind in (e.PauseAsked, e.ResumeAsked):
        house.ask(kind, targets=("long",))
        house.advance(3_600)
    for number in range(20):
        house.end(f"short-{number}", "ready")
    house.advance(86_400)
    assert len(house.requests) == 1
    house.end("long", "ready")
    house.rest(2)
    assert shape(house.last.items) == [*HELLO, "inbox long"]


# messages


def test_messages_join_the_running_turn_at_its_next_step_in_their_order(build: Build) -> None:
    house = build([Step(say="I begin.", call=calls("dispatch", "fit")), Step(say="In blue and large, then.")])
    held = house.hold()
    house.say("draw it")
    house.until(lambda: house.requests)
    house.say("in blue")
    house.say("and large")
    held.set()
    turn = house.rest()
    assert shape(house.last.items)[-3:] == ["inbox + fit", "person: in blue", "person: and large"]
    assert turn.said == ("draw it", "in blue", "and large")
    assert [anchor.cell for anchor in turn.joined] == ["cell-2", "cell-3"]
    assert turn.anchor is not None
    assert turn.anchor.cell == "cell-1"
    assert len(house.talk.turns) == 1


def test_messages_that_come_with_the_last_words_get_turns_of_their_own_in_their_order(build: Build) -> None:
    house = build([Step(say="One."), Step(say="Two."), Step(say="Three.")])
    held = house.hold()
    house.say("first")
    house.until(lambda: house.requests)
    house.say("second")
    house.say("third")
    held.set()
    house.rest(3)
    assert shape(house.last.items) == [
        "person: first", "master: One.", "person: second", "master: Two.", "person: third"
    ]  # fmt: skip
    assert [turn.text for turn in house.talk.turns] == ["One.", "Two.", "Three."]


def test_a_message_with_a_result_of_each_class_brings_all_of_them(build: Build) -> None:
    house = greeted(build, Step(say="Three are done."))
    house.types()
    for deliver in ("now", "idle", "turn", "silent"):
        house.dispatch(deliver, deliver=deliver)
        house.end(deliver, "ready")
    house.chat("what is new?")
    assert results(house.last.items) == ["now", "idle", "turn"]


# stop


def test_stop_keeps_the_reply_so_far_and_answers_every_call(build: Build) -> None:
    house = build([Step(say="I begin with the scan.", call=calls("dispatch", "scan")), Step(say="never", repeat=True)])
    held = house.hold()
    house.say("go")
    house.until(lambda: house.requests)
    again = house.hold()
    held.set()
    house.until(lambda: len(house.requests) == 2)
    house.stop()
    turn = house.rest()
    again.set()
    assert (turn.state, turn.reason, turn.text) == (TurnState.STOPPED, "stopped by you", "I begin with the scan.")
    house.chat("and now?")
    assert shape(house.last.items)[:4] == [
        "person: go", "master: I begin with the scan.", "call dispatch", "output dispatch"
    ]  # fmt: skip
    assert house.state("scan") is State.RUNNING


def test_stop_in_mid_reply_keeps_what_was_said_and_the_message(build: Build) -> None:
    gate = threading.Event()
    house = build([Step(say="one two three four five six", gate=gate, tokens=2), Step(say="Well.")])
    house.say("count")
    house.until(lambda: any(text for _, text, _ in house.eye.said))
    house.stop()
    turn = house.rest()
    gate.set()
    assert turn.state is TurnState.STOPPED
    assert turn.text
    assert "one two three four five six".startswith(turn.text.strip())
    house.chat("and?")
    first, second, third = shape(house.last.items)
    assert (first, third) == ("person: count", "person: and?")
    assert second.startswith(f"master: {turn.text}")
    assert "stopped by the person" in second


def test_a_wake_that_the_person_stopped_does_not_begin_again_by_itself(build: Build) -> None:
    house = greeted(build, Step(when="hello", say="never"), Step(when="again", say="Here it is."))
    house.dispatch("scan")
    held = house.hold()
    house.end("scan", "ready")
    house.until(lambda: len(house.requests) == 2)
    house.stop()
    house.until(lambda: house.turn(2).state is TurnState.STOPPED)
    held.set()
    house.advance(60)
    assert len(house.talk.turns) == 2
    house.chat("again")
    assert results(house.last.items) == ["scan"]


def test_stopping_what_does_not_run_says_so(build: Build) -> None:
    house = greeted(build)
    with pytest.raises(AssertionError, match="in no turn"):
        house.stop()
    with pytest.raises(RefusedError, match="no turn of the master has failed"):
        house.client.ask(e.RetryTurnAsked(house.at, house.runtime.new_request()))
    assert len(house.requests) == 1
