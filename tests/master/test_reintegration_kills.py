from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from house import House
from mortal import MortalJournal, World, at_once
from shapes import results, shape

from jupyter_orchestra.core.talk import TurnState
from jupyter_orchestra.notebook import desk
from jupyter_orchestra.testing import run
from jupyter_orchestra.testing.model_server import SeenRequest, Step, ToolCall

Build = Callable[..., House]
BATCH = 25


@pytest.mark.parametrize("batch", range(10))
def test_each_result_comes_once_wherever_the_kernel_is_killed(
    batch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "_in_thread", at_once)
    points: set[str] = set()
    for seed in range(batch * BATCH, (batch + 1) * BATCH):
        world = World(tmp_path / str(seed), seed)
        run(world.run(), seed)
        try:
            world.check()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, killed at {world.points}: {error}") from error
        points.update(world.points)
    assert len(points) > 10


# over HTTP


def answer(seen: SeenRequest) -> Step:
    """Greets, has a scan looked at once it is in, and then says so."""
    match seen.output_of:
        case "":
            return Step(say="Good morning.")
        case "collect_inbox" if "call dispatch" not in shape(seen.items):
            task = {"name": "look", "worker": "agent", "brief": "look at the scan"}
            return Step(say="I have it looked at.", call=[ToolCall("dispatch", {"tasks": [task]})])
    return Step(say="Somebody looks at it.")


POINTS = (
    "before StepAsked", "after StepAsked", "before StepDone", "after StepDone", "before TasksDispatched",
    "after TasksDispatched", "before CallsAnswered", "after CallsAnswered",
)  # fmt: skip


@pytest.mark.parametrize("point", POINTS)
def test_a_wake_that_a_kill_cut_off_goes_on_in_the_next_kernel(build: Build, point: str) -> None:
    wanted: list[str] = []  # the point at which it is killed, once it is told

    def arrive(name: str) -> None:
        if wanted and name == wanted[0]:
            house.journal.dead = True  # type: ignore[attr-defined]

    house = build(answer, journal=MortalJournal(arrive), stable=False)
    house.chat("hello")
    house.dispatch("scan")
    wanted.append(point)
    house.end_with_kill("scan")
    heir = house.crash()
    turn = heir.rest(2)
    assert (turn.number, turn.wake, turn.state) == (2, True, TurnState.DONE)
    assert results(heir.log_view) == ["scan"]
    for request in heir.requests[1:]:
        assert results(request.items) == ["scan"]
    assert [item for item in shape(heir.log_view) if item.startswith("person")] == ["person: hello"]
    assert turn.text.endswith("Somebody looks at it.")
    assert len([task for task in heir.runtime.machine.tasks.values() if task.name.startswith("look")]) <= 1


def test_a_kill_while_the_model_thinks_asks_again_with_the_same_result_once(build: Build) -> None:
    house = build([Step(say="Good morning."), Step(say="lost"), Step(say="It is done."), Step(say="Yes.")])
    house.chat("hello")
    house.dispatch("scan")
    held = house.hold()
    house.end("scan", "ready")
    house.until(lambda: len(house.requests) == 2)
    heir = house.crash()
    held.set()
    turn = heir.rest(2)
    assert turn.text == "It is done."
    first, second = heir.requests[1:3]
    assert shape(first.items) == shape(second.items) == ["person: hello", "master: Good morning.", "inbox scan"]
    heir.chat("is it?")
    assert results(heir.last.items) == ["scan"]


def test_a_message_and_its_reply_so_far_outlive_a_kill(build: Build) -> None:
    call = ToolCall("dispatch", {"tasks": [{"name": "fit", "worker": "kernel", "brief": "fit()"}]})
    house = build([Step(say="I fit it.", call=[call]), Step(say="lost"), Step(say="It runs.")])
    held = house.hold()
    house.say("fit it")
    house.until(lambda: house.requests)
    again = house.hold()
    held.set()
    house.until(lambda: len(house.requests) == 2)
    heir = house.crash()
    again.set()
    turn = heir.rest()
    assert (turn.number, turn.text) == (1, "I fit it.\n\nIt runs.")
    assert shape(heir.last.items) == ["person: fit it", "master: I fit it.", "call dispatch", "output dispatch"]
    assert heir.state("fit").value == "lost"
    assert heir.eye.replies[-1].text == "I fit it.\n\nIt runs."


def test_a_reply_that_nobody_saw_is_brought_again_after_a_kill(build: Build) -> None:
    house = build([Step(say="Good morning.")])
    house.eye._shown = lambda uid, attempt: None  # type: ignore[method-assign]
    house.chat("hello")
    heir = house.crash()
    heir.until(lambda: heir.eye.replies)
    assert [reply.text for reply in heir.eye.replies] == ["Good morning."]
    heir.settled()
    third = heir.crash()
    third.settled()
    assert third.eye.replies == []
    assert len(third.requests) == 1


def test_typing_in_a_page_that_died_with_the_kernel_holds_nothing(build: Build) -> None:
    house = build([Step(say="Good morning."), Step(say="It is done.")])
    house.chat("hello")
    house.dispatch("scan")
    house.types()
    house.end("scan", "ready")
    assert len(house.requests) == 1
    heir = house.crash()
    heir.rest(2)
    assert results(heir.last.items) == ["scan"]
