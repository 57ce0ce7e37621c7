from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from house import House
from shapes import shape

from jupyter_orchestra.core.conversation import FAN_OUT, MAX_STEPS
from jupyter_orchestra.core.talk import TurnState
from jupyter_orchestra.models.reading import MOST_CALLS, TEXT_LIMIT
from jupyter_orchestra.testing.model_server import SeenRequest, Step, ToolCall

Build = Callable[..., House]


def task(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "worker": "kernel", "brief": f"{name}()", **more}


def dispatch(*tasks: dict[str, Any]) -> ToolCall:
    return ToolCall("dispatch", {"tasks": list(tasks)})


def outputs(seen: SeenRequest) -> list[str]:
    """What was answered to the calls of the last step, as the model reads it."""
    found = []
    for item in reversed(seen.items):
        if item["type"] != "function_call_output":
            break
        found.append(str(item["output"]))
    return found[::-1]


BROKEN = {
    "a tool that there is not": (ToolCall("approve", {"task": "a"}), "there is no tool 'approve'; there are: dispatch"),
    "a tool without a name": (ToolCall("", {}), "there is no tool ''"),
    "broken JSON": (ToolCall("dispatch", '{"tasks": [{"na'), "are no JSON"),
    "no JSON at all": (ToolCall("dispatch", "please scan"), "are no JSON"),
    "a list": (ToolCall("cancel", "[]"), "must be a JSON object"),
    "too deep": (ToolCall("cancel", "[" * 100_000), "can't be read"),
    "nothing": (ToolCall("dispatch", ""), "missing required field `tasks`"),
    "no tasks": (ToolCall("dispatch", {"tasks": []}), "length >= 1"),
    "a wrong type": (ToolCall("dispatch", {"tasks": "scan"}), "Expected `array`"),
    "an unknown field": (dispatch(task("a", sudo=True)), "unknown field `sudo`"),
    "an unknown worker": (dispatch(task("a", worker="root")), "it is one of agent, kernel, notebook, shell"),
    "a name that is none": (dispatch(task("../../etc")), "can't be used"),
    "an unknown task before it": (dispatch(task("a", after=["ghost"])), "no task is called 'ghost'"),
    "a circle": (dispatch(task("a", after=["b"]), task("b", after=["a"])), "refused"),
    "two of one name": (dispatch(task("a"), task("a", brief="other()")), "refused"),
    "half a surrogate pair": (
        ToolCall("dispatch", json.dumps({"tasks": [task("a", brief="x = '\ud800'")]})),
        "surrogate",
    ),
    "no seconds": (dispatch(task("a", timeout=-1)), "Expected `float` > 0"),
    "an unknown task to cancel": (ToolCall("cancel", {"tasks": ["ghost"]}), "no task is called 'ghost'"),
    "no task to cancel": (ToolCall("cancel", {}), "which task?"),
    "an unknown result": (ToolCall("read_result", {"task": "ghost"}), "no task is called 'ghost'"),
    "an unknown cell": (ToolCall("read_cell", {"cell": "ghost"}), "no cell 'ghost' was run"),
    "no variable": (ToolCall("inspect_variable", {"name": "os.environ"}), "has no variable"),
    "too much of a result": (ToolCall("read_result", {"task": "a", "length": 10**9}), "<= 20000"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_call_that_is_wrong_is_told_to_the_model_and_nothing_is_done(build: Build, case: str) -> None:
    call, said = BROKEN[case]
    house = build([Step(say="I try.", call=[call]), Step(say="Sorry.")])
    turn = house.chat("go")
    (answer,) = outputs(house.last)
    assert said in answer
    assert len(answer) < 1_000
    assert (turn.state, turn.text) == (TurnState.DONE, "I try.\n\nSorry.")
    assert house.runtime.machine.tasks == {}
    assert len(turn.lines) <= 2


def test_a_call_that_is_wrong_spoils_none_that_is_right(build: Build) -> None:
    calls = [dispatch(task("a")), ToolCall("dance"), ToolCall("dispatch", "{"), dispatch(task("b"))]
    house = build([Step(call=calls), Step(say="Two of four.")])
    turn = house.chat("go")
    assert [answer.partition(":")[0] for answer in outputs(house.last)] == [
        "dispatched", "not done", "not done", "dispatched"
    ]  # fmt: skip
    house.runs("a", "b")
    assert turn.lines[1:] == (
        "dispatched a", "a call that can't be read: dance", "a call that can't be read: dispatch", "dispatched b"
    )  # fmt: skip


def test_five_hundred_tasks_are_too_many(build: Build) -> None:
    house = build([Step(call=[dispatch(*(task(f"t{n}") for n in range(500)))]), Step(say="Fewer, then.")])
    turn = house.chat("go")
    assert outputs(house.last) == [
        f"refused: at most {FAN_OUT} tasks may be dispatched in one turn, and {FAN_OUT} are left: dispatch fewer"
    ]
    assert any("refused: at most 16 tasks" in line for line in turn.lines)
    assert house.runtime.machine.tasks == {}


def test_a_turn_may_dispatch_sixteen_tasks_in_whatever_portions(build: Build) -> None:
    calls = [dispatch(*(task(f"{letter}{n}") for n in range(6))) for letter in "abc"]
    house = build([Step(call=calls[:2]), Step(call=calls[2:]), Step(say="Twelve run.")])
    house.chat("go")
    assert "and 4 are left" in outputs(house.last)[0]
    assert len(house.runtime.machine.tasks) == 12


def test_the_same_work_is_not_dispatched_twice(build: Build) -> None:
    steps = Step(call=[dispatch(task("a"))]), Step(call=[dispatch(task("again", brief="a()"))]), Step(say="It runs.")
    house = build(steps)
    house.chat("go")
    house.runs("a")
    assert "task 'a' does the same" in outputs(house.last)[0]
    assert house.started == ["a"]


def test_a_name_that_a_living_task_bears_is_refused(build: Build) -> None:
    house = build([Step(call=[dispatch(task("mine", brief="other()"))]), Step(say="Another name.")])
    house.dispatch("mine")
    house.chat("go")
    assert "refused" in outputs(house.last)[0]
    assert house.started == ["mine"]


def test_a_model_that_never_stops_calling_is_stopped(build: Build) -> None:
    house = build([Step(call=[ToolCall("inspect_variable", {"name": "x"})], repeat=True)])
    house.namespace["x"] = 1
    turn = house.chat("go")
    assert len(house.requests) == MAX_STEPS
    assert turn.state is TurnState.DONE
    assert turn.reason == f"ended after {MAX_STEPS} steps: say how to go on"
    house.advance(3_600)
    assert len(house.requests) == MAX_STEPS


def test_a_conversation_goes_on_after_a_turn_without_end(build: Build) -> None:
    steps = Step(when="go", call=[ToolCall("cancel", {"all": True})], repeat=True), Step(when="enough", say="Yes.")
    house = build(steps)
    house.chat("go")
    turn = house.chat("enough")
    assert (turn.number, turn.text) == (2, "Yes.")


def test_a_model_that_wakes_itself_again_and_again_runs_out_of_wakes(build: Build, monkeypatch: Any) -> None:
    from jupyter_orchestra.core import conversation

    monkeypatch.setattr(conversation, "MAX_WAKES", 3)

    def script(seen: SeenRequest) -> Step:
        if seen.output_of == "dispatch":
            return Step(say="One more.")
        name = f"look-{shape(seen.items).count('call dispatch')}"
        return Step(call=[dispatch({"name": name, "worker": "agent", "brief": f"look {name}"})])

    house = build(script)
    house.chat("go")
    for number in range(4):
        house.end(f"look-{number}", report="seen")
        house.rest(min(number + 2, 4))
    house.advance(86_400)
    assert [turn.wake for turn in house.talk.turns] == [False, True, True, True]
    assert len(house.requests) == 8


def test_an_answer_of_nothing_is_told(build: Build) -> None:
    house = build([Step(), Step(say="Here I am.")])
    turn = house.chat("hello")
    assert (turn.state, "answered nothing" in turn.reason) == (TurnState.FAILED, True)
    house.retry()
    assert house.rest().text == "Here I am."


def test_an_answer_of_two_megabytes_is_cut_and_says_so(build: Build) -> None:
    house = build([Step(say=("blah" * 50 + " ") * 10_000), Step(say="Shorter.")])
    turn = house.chat("talk")
    assert turn.state is TurnState.DONE
    assert turn.text.endswith(f"(longer than {TEXT_LIMIT // 1024} kB)")
    assert len(turn.text) < TEXT_LIMIT + 100
    house.chat("and now?")
    assert len(json.dumps(house.last.body)) < 2 * TEXT_LIMIT
    assert house.turn().text == "Shorter."


def test_arguments_of_two_megabytes_are_cut_and_nothing_is_done(build: Build) -> None:
    house = build([Step(call=[dispatch(task("a", brief="x" * 2_000_000))]), Step(say="Shorter.")])
    turn = house.chat("go")
    assert turn.state is TurnState.DONE
    assert house.runtime.machine.tasks == {}
    assert "not done" in outputs(house.last)[0]
    assert len(json.dumps(house.last.body)) < 2 * TEXT_LIMIT


def test_a_thousand_calls_in_one_answer_are_cut_to_what_is_read(build: Build) -> None:
    calls = [ToolCall("inspect_variable", {"name": f"v{n}"}) for n in range(1_000)]
    house = build([Step(call=calls), Step(say="Enough.")])
    turn = house.chat("go")
    assert turn.state is TurnState.DONE
    assert len(outputs(house.last)) <= MOST_CALLS
    assert turn.text.endswith("Enough.")


def test_what_is_no_text_in_a_reply_breaks_nothing(build: Build) -> None:
    house = build([Step(say="half \ud800 of \x00 a \x1b[31m pair"), Step(say="Well.")])
    turn = house.chat("go")
    assert turn.state is TurnState.DONE
    house.chat("and?")
    assert house.turn().text == "Well."
