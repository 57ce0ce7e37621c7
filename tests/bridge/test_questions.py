from __future__ import annotations

from typing import Any

import pytest
from test_cells import view

from jupyter_orchestra.bridge.orders import event_of
from jupyter_orchestra.bridge.pictures import LAST_WORDS, turn_of
from jupyter_orchestra.core import events as e
from jupyter_orchestra.core import wire
from jupyter_orchestra.core.cards import card_of, question_of
from jupyter_orchestra.core.model import Ask, State
from jupyter_orchestra.core.talk import TurnState
from jupyter_orchestra.errors import UsageError

ASK = Ask("a1", "run: pytest", "pytest -q\n", "d1")


def test_a_card_holds_the_first_question_and_how_many_follow() -> None:
    card = card_of(view(state=State.RUNNING, result=None, ask=ASK, asks=3, model="small-1"))
    assert card.question == wire.Question(
        action="run: pytest", detail="pytest -q\n", digest="d1", proposal=False, more=2
    )
    assert card.model == "small-1"
    assert card_of(view()).question is None


def test_what_a_person_could_not_see_in_an_action_is_made_visible() -> None:
    ask = Ask("a1", "rm \u202edne\u202c", "a\x1b[8mb\u200b\tc\n\U000e0041é", "d1", proposal=True)
    question = question_of(view(ask=ask, asks=1))
    assert question is not None
    assert question.action == "rm ⟨U+202E⟩dne⟨U+202C⟩"
    assert question.detail == "a⟨U+001B⟩[8mb⟨U+200B⟩\tc\n⟨U+E0041⟩é"
    assert question.digest == "d1", "the answer is bound to the action as it is"


def act(**more: Any) -> wire.Act:
    return wire.Act(request="r", **{"action": "approve", "tasks": ("u1",), "digest": "d1"} | more)


def test_an_answer_is_bound_to_the_question_that_was_read() -> None:
    assert event_of(act(), 1.0, "q") == e.ApproveAsked(1.0, "q", target="u1", digest="d1")
    assert event_of(act(always=True), 1.0, "q") == e.ApproveAsked(1.0, "q", target="u1", digest="d1", always=True)
    declined = event_of(act(action="decline", why="not there"), 1.0, "q")
    assert declined == e.DeclineAsked(1.0, "q", target="u1", digest="d1", why="not there")


@pytest.mark.parametrize("action", ["approve", "decline"])
@pytest.mark.parametrize(
    "more", [{"tasks": ()}, {"tasks": ("u1", "u2")}, {"all": True}, {"ended": True}, {"digest": ""}]
)
def test_an_answer_to_no_question_or_to_many_is_refused(action: str, more: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        event_of(act(action=action, **more), 1.0, "q")


def test_the_masters_turn_is_stopped_and_tried_again_by_the_same_facts_as_the_magics_post() -> None:
    assert event_of(wire.TurnAct(request="r", action="stop"), 1.0, "q") == e.StopTurnAsked(1.0, "q")
    assert event_of(wire.TurnAct(request="r", action="retry"), 1.0, "q") == e.RetryTurnAsked(1.0, "q")


def test_the_sidebar_gets_the_last_words_of_a_reply_as_plain_text() -> None:
    from talk import turn

    shown = turn_of(turn(state=TurnState.RUNNING), "x" * 5000 + "\x1b[31m and the end \n", "")
    assert len(shown.text) == LAST_WORDS
    assert shown.text.endswith("x and the end")
    assert (shown.number, shown.state, shown.cell) == (3, TurnState.RUNNING, "chat-1")
    assert turn_of(turn(reason="the key is not valid"), "", "").note == "the key is not valid"
    assert turn_of(turn(anchor=None, wake=True), "", "waiting").cell == ""
