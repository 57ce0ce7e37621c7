from typing import Any

import msgspec
import pytest
from play import Play

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.machine import Machine, MachineState
from jupyter_orchestra.core.model import Kind, Process, Result, Stage, State
from jupyter_orchestra.core.needs import Need

S = State


def restored(machine: Machine) -> Machine:
    return Machine(msgspec.json.decode(msgspec.json.encode(machine.state), type=MachineState))


@pytest.mark.parametrize("paused", [False, True])
def test_what_ran_is_lost_and_asks_and_is_never_silently_run_again(paused: bool) -> None:
    play = Play()
    play.dispatch("a", retries=3)
    if paused:
        play.pause("a")
    play.kernel()
    assert play.state("a") is S.LOST
    assert play.started == []
    assert play.task("a").needs_you
    assert play.machine.free_slots("kernel") == (0, 2)
    play.wait(1_000.0)
    assert play.state("a") is S.LOST
    play.retry("a")
    assert play.all(e.StartTask) == [e.StartTask("uid-a", 2)]
    assert not play.task("a").needs_you


ADOPTABLE = (Kind("kernel", 2, adoptable=True), Kind("shell", 2, adoptable=True), Kind("agent", 1, steerable=True))


def begun(play: Play, name: str, **more: Any) -> Process:
    """A running task whose process is known."""
    play.dispatch(name, **more)
    for claim in play.all(e.ClaimLease):
        play.send(e.LeaseClaimed(play.now, claim.lease.id, 7))
    process = Process(100 + len(play.machine.tasks), 1.0, f"/runs/{name}/spool")
    play.send(e.WorkerStarted(play.now, f"uid-{name}", 1, process))
    return process


@pytest.mark.parametrize("paused", [False, True])
def test_what_outlives_the_kernel_is_taken_over_in_the_same_attempt(paused: bool) -> None:
    play = Play(*ADOPTABLE)
    process = begun(play, "a", retries=3)
    if paused:
        play.pause("a")
    assert play.machine.survivors() == [process]
    play.kernel()
    assert play.all(e.StartTask) == [e.StartTask("uid-a", 1)]
    assert play.all(e.PauseTask) == ([e.PauseTask("uid-a", 1)] if paused else [])
    assert play.all(e.ResumeTask) == ([] if paused else [e.ResumeTask("uid-a", 1)]), "it may have been told to no more"
    assert play.state("a") is (S.PAUSED if paused else S.RUNNING)
    assert play.machine.free_slots("kernel") == (1, 2)
    play.finish("a")
    assert play.state("a") is S.DONE


def gave_the_press(play: Play) -> str:
    """`a` gave the press while it was paused, wants it back and was refused it: the id of that request."""
    play.send(e.ResourcesDeclared(play.now, {"press": 1}, ("press",)))
    begun(play, "a", needs=(Need("press"),))
    play.pause("a")
    play.send(e.TaskHeld(play.now, "uid-a", 1))
    play.resume("a")
    (wish,) = play.all(e.ClaimLease)
    play.send(e.LeaseRefused(play.now, wish.lease.id, ("press|/project",), "fit of other.ipynb", wish.claim))
    return str(wish.lease.id)


def test_what_a_task_gave_it_goes_on_waiting_for_in_a_machine_that_is_restored() -> None:
    play = Play(*ADOPTABLE)
    id = gave_the_press(play)
    play.machine = restored(play.machine)
    assert "fit of other.ipynb" in play.machine.controller.explain_task(play.task("a"), play.now)
    play.send(e.LeaseOpened(play.now, id))
    (wish,) = play.all(e.ClaimLease)
    twin = restored(play.machine)
    claimed = e.LeaseClaimed(play.now, id, 8, wish.claim)
    assert play.send(claimed) == twin.handle(claimed)
    assert play.state("a") is S.RUNNING


@pytest.mark.parametrize("busy", [("press|/project",), ()])
def test_nothing_of_before_is_asked_of_the_clock_again_and_again_after_a_restart(busy: tuple[str, ...]) -> None:
    play = Play(*ADOPTABLE)
    id = gave_the_press(play)
    play.send(e.LeaseOpened(play.now, id))
    play.send(e.LeaseRefused(play.now, id, busy, "fit of other.ipynb"))
    play.machine = restored(play.machine)
    play.kernel()
    (wish,) = play.all(e.ClaimLease)
    play.send(e.LeaseRefused(play.now, wish.lease.id, ("press|/project",), "fit of other.ipynb", wish.claim))
    play.now += 60.0
    play.send(e.TimePassed(play.now))
    due = play.machine.due()
    assert due is None or due > play.now


def test_what_is_claimed_for_ones_own_code_is_waited_for_once_in_a_machine_that_is_restored() -> None:
    play = Play(*ADOPTABLE)
    play.send(e.ResourcesDeclared(play.now, {"press": 1}))
    play.send(e.LeaseAsked(play.now, "r", id="mine", needs=(Need("press"),)))
    (wish,) = play.all(e.ClaimLease)
    play.machine = restored(play.machine)
    assert play.machine.controller.table.request("mine") is None
    play.send(e.LeaseClaimed(play.now, "mine", 8, wish.claim))
    play.send(e.LeaseReleased(play.now, "mine"))
    assert play.all(e.ClaimLease) == []
    assert not play.machine.controller.leases


def test_what_can_not_be_taken_over_is_lost_and_asks() -> None:
    play = Play(*ADOPTABLE)
    begun(play, "a", retries=3)
    play.kernel()
    play.send(e.TaskLost(play.now, "uid-a", 1, "its process is gone"))
    assert play.state("a") is S.LOST
    assert play.task("a").needs_you
    assert play.machine.free_slots("kernel") == (0, 2)


def test_nothing_is_taken_over_without_a_process_or_that_was_to_stop_or_whose_server_is_gone() -> None:
    play = Play(*ADOPTABLE)
    play.send(e.ResourcesDeclared(play.now, {"server:web": 1, "port": 100, "press": 1}))
    play.dispatch("no-process")
    begun(play, "stopping")
    play.cancel("stopping")
    begun(play, "served", worker="shell", needs=(Need("server:web"),))
    press = begun(play, "pressing", worker="shell", needs=(Need("press"),))
    begun(play, "agent", worker="agent")
    assert play.machine.survivors() == [press]
    play.kernel()
    assert play.started == ["pressing"]
    assert [play.state(name) for name in ("no-process", "stopping", "served", "agent")] == [
        S.LOST, S.CANCELLED, S.LOST, S.LOST,
    ]  # fmt: skip
    assert [lease.needs for lease in play.machine.controller.leases.values()] == [
        (Need("slots:shell"), Need("press")),
    ]  # fmt: skip


def test_what_had_not_started_goes_on() -> None:
    play = Play()
    play.dispatch("a", "b", worker="shell")
    play.dispatch("c")
    play.finish("c")
    play.dispatch("d", after=("b",))
    play.kernel()
    assert play.started == ["b"]
    assert play.state("d") is S.WAITING


def test_what_was_being_stopped_is_gone_with_the_kernel() -> None:
    play = Play()
    play.dispatch("a")
    play.cancel("a")
    play.kernel()
    assert play.state("a") is S.CANCELLED
    assert not play.task("a").stopping
    assert play.machine.free_slots("kernel") == (0, 2)


def test_a_retry_that_waited_for_its_older_attempt_starts() -> None:
    play = Play()
    play.dispatch("a")
    play.cancel("a")
    play.retry("a")
    assert play.state("a") is S.QUEUED
    play.kernel()
    assert play.all(e.StartTask) == [e.StartTask("uid-a", 2)]


@pytest.mark.parametrize("paused", [False, True])
def test_a_snapshot_that_was_pending_fails(paused: bool) -> None:
    play = Play()
    play.dispatch("a", snapshot=True)
    if paused:
        play.pause("a")
    play.kernel()
    assert play.state("a") is S.FAILED
    assert play.delivered == ["a"]
    assert "before its variables were copied" in play.task("a").reason


def test_results_that_were_not_shown_are_delivered_again_once() -> None:
    play = Play()
    play.dispatch("a", "b")
    play.finish("a")
    play.finish("b")
    play.send(e.ResultShown(0.0, "uid-b", 1))
    play.kernel()
    assert play.delivered == ["a"]
    play.send(e.ResultShown(0.0, "uid-a", 1))
    play.kernel()
    assert play.delivered == []
    assert play.task("a").stage is Stage.SHOWN


def test_a_blocked_task_is_tried_again_after_a_restart() -> None:
    play = Play()
    play.dispatch("a")
    play.block("a")
    play.kernel()
    assert play.started == []
    play.wait(5.0)
    assert play.started == ["a"]


def test_a_kernel_with_other_slots_and_kinds() -> None:
    play = Play()
    play.dispatch("a", "b", "c")
    play.dispatch("d", worker="shell")
    play.kinds = (play.kinds[0].__class__("kernel", 1),)
    play.kernel()
    assert play.started == ["c"]
    assert play.machine.free_slots("shell") == (0, 0)


def story_so_far() -> Play:
    play = Play(tiers={"fast": 1})
    play.dispatch("a", "b", tier="fast", timeout=60.0)
    play.dispatch("c", after=("a",), snapshot=True)
    play.dispatch("d", "e", "f", worker="shell", retries=1)
    play.dispatch("g", worker="loop", timeout=1.0)
    play.wait(2.0)
    play.block("d")
    play.pause("f")
    play.cancel("a")
    play.retry("a")
    return play


def test_a_state_survives_json() -> None:
    play = story_so_far()
    assert restored(play.machine).state == play.machine.state


@pytest.mark.parametrize("slots", [1, 2])
def test_a_task_that_waits_for_its_older_attempt_survives_json(slots: int) -> None:
    play = Play()
    play.dispatch("a")
    play.cancel("a")
    play.retry("a")
    machine = restored(play.machine)
    assert e.StartTask("uid-a", 2) in machine.handle(e.TaskStopped(1.0, "uid-a", 1))


def test_a_restored_machine_goes_on_as_the_first_would() -> None:
    play = story_so_far()
    twin = restored(play.machine)
    events: list[Any] = [
        e.TaskStopped(3.0, "uid-a", 1),
        e.TimePassed(7.0),
        e.TaskStopped(8.0, "uid-g", 1),
        e.SnapshotTaken(9.0, "uid-c", None),
        e.TaskFinished(9.5, "uid-e", 1, Result()),
        e.ResumeAsked(10.0, request="x", all=True),
        e.TimePassed(100.0),
        e.KernelStarted(101.0, 2, play.kinds, play.tiers),
    ]
    for event in events:
        assert twin.handle(event) == play.machine.handle(event)
        assert twin.state == play.machine.state


def test_the_same_events_lead_to_the_same_state() -> None:
    play = story_so_far()
    fresh = Machine()
    for event in play.log:
        fresh.handle(e.decode(e.encode(event)))
    assert fresh.state == play.machine.state


def test_a_loop_task_that_was_cancelled_before_the_kernel_died_does_not_ask_to_be_rerun() -> None:
    play = Play()
    play.dispatch("a", worker="loop")
    play.cancel("a")
    assert play.state("a") is S.RUNNING
    play.kernel()
    assert play.state("a") is S.CANCELLED


def test_a_restored_machine_knows_when_time_runs_out() -> None:
    play = Play()
    play.dispatch("a", timeout=5.0)
    play.dispatch("b", worker="shell")
    play.block("b")
    assert play.machine.due() == play.now + 5.0
    assert restored(play.machine).due() == play.machine.due()
    play.machine = restored(play.machine)
    play.wait(6.0)
    assert play.state("a") is S.FAILED


def test_no_two_ends_of_a_task_bear_the_same_number() -> None:
    play = Play()
    play.dispatch("a")
    play.dispatch("b", after=("a",))
    play.fail("a")
    first = play.all(e.Deliver)
    play.retry("a")
    play.fail("a")
    second = play.all(e.Deliver)
    assert first == [e.Deliver("uid-a", 1), e.Deliver("uid-b", 0)]
    assert second == [e.Deliver("uid-a", 2), e.Deliver("uid-b", 1)]
