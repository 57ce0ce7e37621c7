"""Since when a task waits for leases, and not for slots alone: a part of its story, found out as facts come in."""

from __future__ import annotations

import random

import pytest
from play import Play

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.machine import Machine
from jupyter_orchestra.core.model import Kind, Result, State, Step
from jupyter_orchestra.core.needs import parse_all

S = State


@pytest.fixture
def play() -> Play:
    return made()


def made() -> Play:
    play = Play(Kind("kernel", 2), Kind("agent", 4, agent=True, steerable=True, resumable=True))
    play.send(e.ResourcesDeclared(0.0, {"press": 1, "pool": 2, "test-runner": 1, "terminal": 1}))
    return play


def claim(play: Play) -> None:
    while claims := play.all(e.ClaimLease):
        for wish in claims:
            play.send(e.LeaseClaimed(play.now, wish.lease.id))


def dispatch(play: Play, name: str, needs: str = "", **more: object) -> None:
    play.dispatch(play.spec(name, needs=parse_all(needs) if needs else (), **more))  # type: ignore[arg-type]
    claim(play)


def finish(play: Play, name: str) -> None:
    play.finish(name)
    claim(play)


def lacked(play: Play, name: str) -> list[tuple[float, S, str]]:
    """When it began to wait for leases, and when that was over."""
    story = play.task(name).story
    marks = [before.leases != after.leases for before, after in zip([Step(0, S.WAITING), *story], story, strict=False)]
    return [(step.at, step.state, step.reason) for step, mark in zip(story, marks, strict=True) if mark]


def test_a_task_waits_for_leases_from_the_queue_to_its_start(play: Play) -> None:
    dispatch(play, "holder", "press")
    play.wait(3.0)
    dispatch(play, "next", "press,pool=2")
    play.wait(4.0)
    finish(play, "holder")
    assert lacked(play, "next") == [(3.0, S.QUEUED, "waits for press, pool=2"), (7.0, S.RUNNING, "")]
    assert [step.state for step in play.task("next").story] == [S.WAITING, S.QUEUED, S.RUNNING]


def test_a_task_that_lacks_slots_alone_waits_for_no_lease(play: Play) -> None:
    for name in ("a", "b"):
        dispatch(play, name)
    dispatch(play, "terminal", "terminal")
    dispatch(play, "plain")
    play.wait(5.0)
    finish(play, "a")
    finish(play, "b")
    assert lacked(play, "terminal") == lacked(play, "plain") == []
    assert play.state("terminal") is S.RUNNING


def test_what_gets_its_leases_before_its_slots_waits_for_slots_from_then_on(play: Play) -> None:
    dispatch(play, "holder", "terminal", worker="agent")
    for name in ("a", "b"):
        dispatch(play, name)
    dispatch(play, "next", "terminal")
    play.wait(2.0)
    finish(play, "holder")
    play.wait(3.0)
    finish(play, "a")
    waits = (0.0, S.QUEUED, "waits for terminal")
    assert lacked(play, "next") == [waits, (2.0, S.QUEUED, "waits for a slot")]
    assert play.task("next").story[-1] == Step(5.0, S.RUNNING)


def test_a_more_urgent_one_that_comes_takes_the_lease_from_who_waits_for_a_slot(play: Play) -> None:
    for name in ("a", "b"):
        dispatch(play, name)
    dispatch(play, "slow", "terminal")
    play.wait(1.0)
    dispatch(play, "urgent", "terminal", priority=5)
    assert lacked(play, "slow") == [(1.0, S.QUEUED, "waits for terminal")]
    assert lacked(play, "urgent") == []


def test_a_path_that_a_more_urgent_one_wants_is_lacked_too(play: Play) -> None:
    for name in ("a", "b"):
        dispatch(play, name)
    dispatch(play, "slow", "path:src/core:w")
    play.wait(1.0)
    dispatch(play, "urgent", "path:src:r", priority=5)
    assert lacked(play, "slow") == [(1.0, S.QUEUED, "waits for path:src/core:w")]


def test_what_another_notebook_holds_is_waited_for(play: Play) -> None:
    play.dispatch(play.spec("scan", needs=parse_all("press")))
    (wish,) = play.all(e.ClaimLease)
    play.wait(0.5)
    play.send(e.LeaseRefused(play.now, wish.lease.id, ("press|/project",), "fit of other.ipynb"))
    play.wait(4.0)
    play.send(e.LeaseOpened(play.now, wish.lease.id))
    claim(play)
    assert lacked(play, "scan") == [(0.0, S.QUEUED, "waits for press"), (4.5, S.RUNNING, "")]


def ask(play: Play, name: str, needs: str, wait: bool = True) -> list[e.Command]:
    task = play.task(name)
    id = f"{task.uid}#{task.attempt}+t1"
    return play.send(
        e.LeaseAsked(play.now, "r", id=id, needs=parse_all(needs), holder=task.uid, attempt=task.attempt, wait=wait)
    )


def test_a_running_task_whose_worker_waits_for_a_lease_says_so(play: Play) -> None:
    dispatch(play, "holder", "test-runner")
    dispatch(play, "scan", worker="agent")
    play.wait(1.0)
    ask(play, "scan", "test-runner")
    assert play.all(e.ShowCard)
    play.wait(5.0)
    finish(play, "holder")
    assert lacked(play, "scan") == [(1.0, S.RUNNING, "waits for test-runner"), (6.0, S.RUNNING, "goes on")]


def test_it_still_waits_after_a_pause(play: Play) -> None:
    dispatch(play, "holder", "test-runner")
    dispatch(play, "scan", worker="agent")
    play.wait(1.0)
    ask(play, "scan", "test-runner")
    play.wait(1.0)
    play.pause("scan")
    play.wait(1.0)
    play.resume("scan")
    assert [(at, state) for at, state, _ in lacked(play, "scan")] == [
        (1.0, S.RUNNING),
        (2.0, S.PAUSED),
        (3.0, S.RUNNING),
    ]


@pytest.mark.parametrize("claiming", [False, True])
def test_a_worker_that_gives_up_waiting_goes_on(play: Play, claiming: bool) -> None:
    dispatch(play, "holder", "press" if claiming else "test-runner")
    dispatch(play, "scan", worker="agent")
    ask(play, "scan", "test-runner")
    assert bool(play.all(e.ClaimLease)) is claiming
    play.wait(1.0)
    play.send(e.LeaseReleased(play.now, "uid-scan#1+t1"))
    assert play.task("scan").story[-1] == Step(1.0, S.RUNNING, "goes on")


def test_a_lease_that_is_refused_leaves_no_trace_in_the_story(play: Play) -> None:
    dispatch(play, "holder", "test-runner")
    dispatch(play, "scan", worker="agent")
    play.wait(1.0)
    before = list(play.task("scan").story)
    ask(play, "scan", "test-runner", wait=False)
    assert isinstance(play.answer(), e.Refused)
    assert not play.all(e.ShowCard)
    assert play.task("scan").story == before


def test_a_new_kernel_forgets_what_the_workers_of_the_old_one_waited_for(play: Play) -> None:
    dispatch(play, "holder", "test-runner", worker="agent")
    dispatch(play, "scan", worker="agent")
    ask(play, "scan", "test-runner")
    play.wait(1.0)
    play.kernel()
    assert not play.task("scan").story[-1].leases


def test_a_reason_to_be_queued_is_kept_beside_it(play: Play) -> None:
    dispatch(play, "a", "press", retries=1)
    dispatch(play, "b", "press")
    play.fail("a")
    claim(play)
    reasons = [step.reason for step in play.task("a").story if step.state is S.QUEUED]
    assert reasons == ["waits for press", "ValueError: wrong; tried again", "waits for press"]


@pytest.mark.parametrize("seed", range(25))
def test_the_story_says_at_each_moment_what_the_table_says(seed: int) -> None:
    """Whatever happens, and again when it is replayed."""
    chance, play = random.Random(seed), made()
    wishes = (
        "",
        "press",
        "pool",
        "pool=2",
        "press,pool",
        "terminal",
        "path:a:w",
        "path:a/b:r",
        "port:3000",
        "path:c:r",
    )

    def running() -> list[str]:
        return [task.name for task in play.machine.tasks.values() if task.state is S.RUNNING]

    def step(number: int) -> e.Event:
        task = play.machine.find(chance.choice(running() or [""]))
        claims = [lease.id for lease in play.machine.controller.leases.values() if lease.state == "claiming"]
        barred = list(play.machine.state.control.leases.barred)
        asked = [*play.machine.state.control.wanted, *(id for id in claims if "+" in id)]
        act = chance.randrange(13)
        if act < 4 or task is None:
            needs = chance.choice(wishes)
            worker, priority = chance.choice(["kernel", "agent"]), chance.choice([0, 0, 2])
            spec = play.spec(f"t{number}", worker, needs=parse_all(needs) if needs else (), priority=priority)
            return e.TasksDispatched(play.now, request="r", tasks=(spec,))
        if act == 4 and claims:
            return e.LeaseRefused(play.now, chance.choice(claims), ("press|/p",), "fit of other.ipynb")
        if act == 5 and barred:
            return e.LeaseOpened(play.now, chance.choice(barred))
        if act == 6:
            needs = parse_all(chance.choice(wishes[1:]))
            id = f"{task.uid}#{task.attempt}+t{number}"
            return e.LeaseAsked(play.now, "r", id=id, needs=needs, holder=task.uid, attempt=task.attempt)
        if act == 12 and asked:
            return e.LeaseReleased(play.now, chance.choice(asked))
        if act == 7:
            return e.PauseAsked(play.now, request="r", targets=(task.name,))
        if act == 8:
            return e.ResumeAsked(play.now, request="r", all=True)
        if act == 9:
            return e.CancelAsked(play.now, request="r", targets=(task.name,))
        if claims and act == 10:
            return e.LeaseClaimed(play.now, chance.choice(claims))
        return e.TaskFinished(play.now, task.uid, task.attempt, Result())

    for number in range(150):
        play.now += chance.choice([0.0, 0.0, 1.0, 6.0])
        event = step(number)
        wished = play.send(event)
        for wish in [wish for wish in wished if isinstance(wish, e.StopTask)]:
            play.send(e.TaskStopped(play.now, wish.uid, wish.attempt))
        table = play.machine.controller.table
        for task in play.machine.tasks.values():
            if task.state in (S.QUEUED, S.RUNNING):
                lacks = [id for id in play.machine.controller._requests(task) if table.lacks(id)]
                assert task.story[-1].leases == bool(lacks), task.name
            else:
                assert not task.story[-1].leases
    fresh = Machine()
    for event in play.log:
        fresh.handle(e.decode(e.encode(event)))
    assert fresh.state == play.machine.state
