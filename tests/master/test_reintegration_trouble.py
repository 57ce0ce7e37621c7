from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from house import KEY, House
from shapes import results, shape

from jupyter_orchestra.core.model import State
from jupyter_orchestra.core.talk import TurnState, TurnView
from jupyter_orchestra.models.retries import Retries
from jupyter_orchestra.testing.model_server import Step, ToolCall

Build = Callable[..., House]
ONE_TRY = Retries(tries=1)
FAULTS = {
    "401": "the key was refused: set",
    "404_model": "has no model 'scripted'; there are scripted: choose one with %orchestra model",
    "429": "too many requests: wait",
    "500": "the server failed",
    "drop": "no connection to",
    "cut": "broke off before its end",
    "malformed": "can't be read (broken JSON)",
    "hang": "said nothing for 0.2 s",
    "overflow": "use a model with a larger window",
    "empty": "answered nothing",
    "invalid": "the request was refused",
}


def failed(turn: TurnView) -> str:
    """Why; in one line that says what to do."""
    assert turn.state is TurnState.FAILED
    assert "%orchestra retry" in turn.reason
    assert "\n" not in turn.reason
    assert len(turn.reason) < 400
    assert KEY not in turn.reason
    return turn.reason


def settings(fault: str) -> dict[str, Any]:
    return {"retries": ONE_TRY, **({"first": 0.2} if fault == "hang" else {})}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_request_that_fails_leaves_the_turn_to_be_gone_on_with(build: Build, fault: Any) -> None:
    house = build([Step(fault=fault), Step(say="Good morning.")], **settings(fault))
    turn = house.chat("hello")
    assert FAULTS[fault] in failed(turn)
    assert house.eye.replies[-1].reason == turn.reason
    house.retry()
    turn = house.rest()
    assert (turn.number, turn.tries, turn.state, turn.text) == (1, 2, TurnState.DONE, "Good morning.")
    assert shape(house.last.items) == ["person: hello"]
    assert shape(house.log) == ["person: hello", "master: Good morning."]
    assert [reply.state for reply in house.eye.replies] == [TurnState.FAILED, TurnState.DONE]


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault not in ("invalid", "overflow")])
def test_a_wake_that_fails_keeps_its_results_and_does_not_try_again_by_itself(build: Build, fault: Any) -> None:
    house = build([Step(say="Good morning."), Step(fault=fault), Step(say="It is done.")], **settings(fault))
    house.chat("hello")
    house.dispatch("scan")
    house.end("scan", "ready")
    failed(house.rest(2))
    house.dispatch("fit")
    house.end("fit", "ready")
    house.advance(86_400)
    assert len(house.requests) == 2
    assert house.task("scan").entered == 0
    house.retry()
    turn = house.rest()
    assert (turn.number, turn.text) == (2, "It is done.")
    assert results(house.last.items) == ["scan", "fit"]
    assert house.task("scan").entered == 2


def test_a_failure_in_the_second_step_does_the_calls_of_the_first_one_once(build: Build) -> None:
    call = ToolCall("dispatch", {"tasks": [{"name": "scan", "worker": "kernel", "brief": "scan()"}]})
    steps = Step(say="I scan.", call=[call]), Step(fault="500"), Step(say="It runs.")
    house = build(steps, retries=ONE_TRY)
    failed(house.chat("scan it"))
    assert house.state("scan") is State.RUNNING
    house.retry()
    turn = house.rest()
    assert turn.text == "I scan.\n\nIt runs."
    assert house.started == ["scan"]
    assert shape(house.last.items) == [
        "person: scan it", "master: I scan.", "call dispatch", "output dispatch"
    ]  # fmt: skip


def test_after_a_failure_a_new_message_takes_the_old_one_with_it(build: Build) -> None:
    house = build([Step(fault="500"), Step(say="Both.")], retries=ONE_TRY)
    failed(house.chat("first"))
    house.chat("second")
    assert shape(house.last.items) == ["person: first", "person: second"]
    assert shape(house.log) == ["person: first", "person: second", "master: Both."]


def test_a_full_moment_of_the_endpoint_is_waited_for_and_the_person_told_so(build: Build) -> None:
    house = build([Step(fault="429"), Step(fault="500"), Step(say="Good morning.")])
    turn = house.chat("hello")
    assert turn.text == "Good morning."
    notes = [note for _, _, note in house.eye.said if note]
    assert any("429 from" in note for note in notes)
    assert any("500 from" in note for note in notes)
    assert len(house.requests) == 3
    assert shape(house.log) == ["person: hello", "master: Good morning."]


def test_what_a_reply_said_before_it_broke_off_is_said_once(build: Build) -> None:
    house = build([Step(say="one two three four five", fault="cut"), Step(say="six seven")])
    failed(house.chat("count"))
    house.retry()
    turn = house.rest()
    assert turn.text == "six seven"
    assert shape(house.log) == ["person: count", "master: six seven"]


# endpoints that refuse the form of what comes in


def test_a_refused_pair_becomes_a_developers_message_and_that_is_remembered(build: Build) -> None:
    house = build(
        [Step(say="Good morning."), Step(fault="invalid"), Step(say="Done."), Step(say="Both.")], stable=False
    )
    house.chat("hello")
    house.dispatch("scan")
    house.end("scan", "ready")
    turn = house.rest(2)
    assert (turn.state, turn.text) == (TurnState.DONE, "Done.")
    assert shape(house.requests[1].items)[-1] == "inbox scan"
    assert shape(house.requests[2].items)[-1] == "developer scan"
    house.dispatch("fit")
    house.end("fit", "ready")
    house.rest(3)
    assert shape(house.last.items)[2:] == ["developer scan", "master: Done.", "developer fit"]
    assert len(house.requests) == 4
    assert house.task("scan").entered == 2


def test_where_that_is_refused_too_a_tagged_block_says_that_no_human_wrote_it(build: Build) -> None:
    steps = Step(say="Good morning."), Step(fault="invalid"), Step(fault="invalid"), Step(say="Done."), Step(say="Yes.")
    house = build(steps, stable=False)
    house.chat("hello")
    house.dispatch("scan")
    house.end("scan", "ready")
    house.rest(2)
    assert shape(house.last.items)[-1] == "tagged scan"
    text = str(house.last.items[-1]["content"])
    assert "No human wrote this block" in text
    house.chat("well?")
    assert shape(house.last.items)[2:] == ["tagged scan", "master: Done.", "person: well?"]
    assert len(house.requests) == 5


def test_a_request_that_is_refused_in_every_form_is_a_failure(build: Build) -> None:
    steps = [Step(say="Good morning."), *[Step(fault="invalid")] * 3]
    house = build([*steps, Step(say="Done.")], stable=False)
    house.chat("hello")
    house.dispatch("scan")
    house.end("scan", "ready")
    failed(house.rest(2))
    assert house.task("scan").entered == 0
    house.retry()
    house.rest()
    assert results(house.last.items) == ["scan"]


# the window


def test_an_endpoint_that_can_take_less_than_it_says_gets_a_shorter_conversation(build: Build) -> None:
    long = "word " * 2_000
    house = build(
        [*[Step(say=f"Answer {number}.") for number in range(6)], Step(fault="overflow"), Step(say="Still here.")],
        stable=False,
        window=40_000,
    )
    for number in range(6):
        house.chat(f"question {number}: {long}")
    turn = house.chat("are you there?")
    assert (turn.state, turn.text) == (TurnState.DONE, "Still here.")
    before, after = house.requests[-2], house.requests[-1]
    assert len(after.items) < len(before.items)
    assert "summed up" in str(after.items[0])
    assert shape(after.items)[-1] == "person: are you there?"


def test_a_conversation_is_summed_up_before_it_fills_the_window(build: Build) -> None:
    house = build([Step(say="Noted.", repeat=True)], stable=False, window=12_000)
    for number in range(30):
        house.chat(f"fact {number}: " + "detail " * 150)
    sizes = [len(str(request.body)) // 4 for request in house.requests]
    assert max(sizes) < 12_000
    assert "summed up" in str(house.last.items[0])
    assert len(house.log) == 60
