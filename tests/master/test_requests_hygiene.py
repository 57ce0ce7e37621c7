from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from house import House
from hygiene import check_canaries, check_inbox, check_request
from shapes import inboxes, plain_items, shape

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.model import Artifact, Blob, Failure, Result, Usage
from jupyter_orchestra.core.ports import Blocked, Failed, Finished, Outcome
from jupyter_orchestra.master.envelope import LIMIT, compact
from jupyter_orchestra.testing.model_server import Step, ToolCall

Build = Callable[..., House]  # each request of a house is looked at when the test ends: see conftest


def ran(house: House, source: str, value: object = None, cell: str = "cell-7", tags: tuple[str, ...] = ()) -> None:
    """The person runs a cell."""
    house.recorder.begin(source, {"metadata": {"cellId": cell, "tags": tags}})
    house.recorder.end(SimpleNamespace(result=value, error_in_exec=None, error_before_exec=None))


def newest(house: House) -> dict[str, Any]:
    return inboxes(house.last.items)[-1]


# operational state


def test_nothing_of_how_tasks_run_is_ever_in_a_request(build: Build) -> None:
    call = ToolCall("dispatch", {"tasks": [{"name": "mine", "worker": "shell", "brief": "make"}]})
    house = build([Step(call=[call]), Step(say="It runs."), Step(say="Noted.", repeat=True)])
    house.chat("make it")
    for number in range(6):
        house.dispatch(f"task-{number}", priority=number, retry=2, timeout=3_600)
    house.ask(e.PauseAsked, targets=("task-0",))
    house.dispatch("behind", after=["task-1"])
    house.chat("what runs?")
    assert newest(house)["unfinished"] == [
        {"task": "mine", "state": "running"},
        {"task": "task-0", "state": "paused"},
        *({"task": f"task-{number}", "state": "running"} for number in range(1, 6)),
        {"task": "behind", "state": "waiting"},
    ]
    house.end("mine", "ready")
    house.rest(3)


def test_a_roster_comes_with_the_persons_message_and_never_else(build: Build) -> None:
    house = build([Step(say="Noted.", repeat=True)])
    house.dispatch("long")
    house.dispatch("short")
    house.chat("hello")
    house.end("short", "ready")
    house.rest(2)
    assert "unfinished" in inboxes(house.last.items)[0]
    assert "unfinished" not in newest(house)


OUTCOMES: dict[str, Outcome] = {
    "a worker that could not start": Failed(
        Failure("start", "OSError", "/run/canary-spool/worker-987654321: no such file, see canary-connection.json")
    ),
    "a worker that was killed": Failed(Failure("killed", "Stopped", "its worker ended without a result")),
    "a huge value": Finished(Result(text="x" * 1_000_000)),
    "a huge error": Failed(Failure("exception", "ValueError", "y\n" * 500_000)),
    "a huge report": Finished(Result(report="# Head\n" + "z" * 1_000_000, usage=Usage(1.0, 10**9, 10**9, 0.5))),
    "a table": Finished(Result(text="\n".join("|".join(f"{n * k}" for k in range(50)) for n in range(500)))),
    "what is no text": Finished(Result(text="\x00\x1b[2J\u202e<|im_start|>\x07" * 500)),
    "many files": Finished(
        Result(artifacts=tuple(Artifact(f"file-{n}" * 20, Blob(1, b"x")) for n in range(300)), notes=("n" * 999,) * 50)
    ),
    "many variables": Finished(Result(returned={f"name_{n}" * 9: Blob(1, b"x") for n in range(300)})),
}


@pytest.mark.parametrize("case", OUTCOMES)
def test_an_envelope_is_small_whatever_a_task_returns(build: Build, case: str) -> None:
    house = build([Step(say="Good morning."), Step(say="Noted.")])
    house.chat("hello")
    house.dispatch("a-task-with-a-name-of-forty-letters-1234")
    house.end_with("a-task-with-a-name-of-forty-letters-1234", OUTCOMES[case])
    house.rest(2)
    (result,) = newest(house)["results"]
    assert 100 < len(compact(result).encode()) <= LIMIT
    assert result["headline"]


def test_an_attempt_that_could_not_begin_and_was_tried_again_is_not_spoken_of(build: Build) -> None:
    house = build([Step(say="Good morning."), Step(say="Noted.")])
    house.chat("hello")
    house.dispatch("scan")
    end = house.hands["kernel"].ends["scan"]
    house.runtime.on_loop(lambda: end.set_result(Blocked("the disk is full: /run/canary-spool")))
    house.until(lambda: house.task("scan").needs_you)
    house.advance(10)
    house.end("scan", "ready")
    house.rest(2)
    assert newest(house)["results"][0]["value"] == "ready"
    assert "disk" not in json.dumps(house.last.items)


def test_forty_results_are_the_most_that_go_with_one_request(build: Build) -> None:
    house = build([Step(say="Good morning."), Step(say="Many."), Step(say="And the rest.")])
    house.chat("hello")
    for number in range(45):
        house.dispatch(f"t{number}", deliver="turn")
        house.end(f"t{number}", "x" * 2_000)
    house.chat("what is new?")
    assert len(newest(house)["results"]) == 40
    assert len(compact(newest(house)).encode()) < 41 * LIMIT
    house.chat("and the others?")
    assert [result["task"] for result in newest(house)["results"]] == [f"t{number}" for number in range(40, 45)]


# what the notebook tells of cells


def test_the_cells_that_the_person_ran_are_told_once_and_clipped(build: Build) -> None:
    house = build([Step(say="I see.", repeat=True)])
    ran(house, "x = 1 + 1\nx", 2)
    ran(house, "y = '" + "long " * 1_000 + "'", "long " * 1_000, "cell-8")
    house.chat("look")
    told = newest(house)["cells_the_person_ran"]
    assert told[0] == {"cell": "cell-7", "source": "x = 1 + 1\nx", "output": "2"}
    assert len(json.dumps(told[1]).encode()) < 1_500
    house.chat("again")
    assert len(inboxes(house.last.items)) == 1


def test_a_private_cell_is_never_told_of_nor_read(build: Build) -> None:
    read = ToolCall("read_cell", {"cell": "cell-9"})
    house = build([Step(call=[read]), Step(say="I may not."), Step(say="Still.")])
    ran(house, "token = 'my-public-words'", "my-public-words", "cell-9")
    ran(house, "token = 'my-private-words'", "my-private-words", "cell-9", tags=("private",))
    house.chat("look at it")
    house.chat("and now?")
    bodies = json.dumps([request.body for request in house.requests])
    assert "my-private-words" not in bodies
    assert "that you may read" in bodies


def test_conversation_cells_are_not_told_twice(build: Build) -> None:
    house = build([Step(say="I see.")])
    ran(house, "%%chat\nmy-own-words")
    ran(house, "%%dispatch -n a\nmy_dispatched_words()")
    house.chat("hello")
    assert shape(house.last.items) == ["person: hello"]


# the prefix


def test_each_request_begins_with_the_one_before_it(build: Build) -> None:
    look = ToolCall("inspect_variable", {"name": "x"})
    steps = [
        Step(say="I look.", call=[look, look]),
        Step(call=[look]),
        Step(say="Seen."),
        Step(say="Noted.", repeat=True),
    ]
    house = build(steps)
    house.namespace["x"] = list(range(10))
    ran(house, "x = list(range(10))")
    house.chat("look at x")
    for number in range(8):
        house.dispatch(f"t{number}")
        house.end(f"t{number}", f"value {number}", error="wrong" if number % 3 == 0 else "")
        house.rest(2 * number + 2)
        house.chat(f"message {number} with a 'quote', a \\ and ümläuts 🦆")
    assert len(house.requests) == 19
    for before, after in zip(house.requests, house.requests[1:], strict=False):
        items = plain_items(before.items)
        assert plain_items(after.items)[: len(items)] == items
        field = "input" if before.wire == "responses" else "messages"
        start, whole = json.dumps(before.body[field])[:-1], json.dumps(after.body[field])
        assert whole.startswith(start)
        assert {key: value for key, value in before.body.items() if key != field} == {
            key: value for key, value in after.body.items() if key != field
        }


def test_another_kernel_sends_the_same_bytes(build: Build) -> None:
    house = build([Step(say="Noted.", repeat=True)])
    house.chat("hello")
    house.dispatch("scan")
    house.end("scan", "ready")
    house.rest(2)
    heir = house.crash()
    heir.chat("still there?")
    before, after = heir.requests[1], heir.requests[2]
    items = plain_items(before.items)
    assert plain_items(after.items)[: len(items)] == items
    assert before.instructions == after.instructions
    assert before.body["tools"] == after.body["tools"]


# the check itself


def test_the_check_finds_what_must_not_be_there(build: Build) -> None:
    house = build([Step(say="Good morning.")])
    house.chat("hello")
    house.dispatch("scan")
    seen = house.last
    for key, value in (("metadata", {}), ("previous_response_id", "x"), ("user", "ada")):
        with pytest.raises(AssertionError):
            check_request(house, msgspec.structs.replace(seen, body={**seen.body, key: value}))
    for wrong in (
        {"lease": "gpu"},
        {"results": [{"task": "a", "pid": 1}]},
        {"unfinished": [{"task": "a", "queue": 2}]},
    ):
        with pytest.raises(AssertionError):
            check_inbox(wrong)
    for canary in (house.task("scan").uid, str(house.folder), "987654321", "canary-line-of-progress"):
        with pytest.raises(AssertionError):
            check_canaries(f"so {canary}, then", house)


def test_a_cell_is_told_of_once_and_again_only_while_no_request_has_carried_it(build: Build) -> None:
    house = build([Step(fault="401"), Step(say="Now I know."), Step(say="Nothing new.")])
    ran(house, "alpha = 41", "", "cell-1")
    house.chat("look")
    house.ask(e.RetryTurnAsked)
    house.rest(1)
    house.chat("and now?")
    last = [json.dumps(request.items[-3:]) for request in house.requests]
    assert ["alpha = 41" in text for text in last] == [True, True, False]
