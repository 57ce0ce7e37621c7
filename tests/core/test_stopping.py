from collections.abc import Callable

import pytest
from play import Play

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.model import Kind, Result, Stage, State
from jupyter_orchestra.core.views import view

S = State

ENDS: list[Callable[[Play, str], object]] = [Play.finish, Play.fail, Play.block, Play.stopped]


def test_a_cancel_stops_the_worker_and_holds_its_slot_until_it_is_gone() -> None:
    play = Play()
    play.dispatch("a", "b", worker="shell")
    play.cancel("a")
    assert play.all(e.StopTask) == [e.StopTask("uid-a", 1)]
    assert play.state("a") is S.CANCELLED
    assert play.task("a").stopping
    assert play.state("b") is S.QUEUED
    play.stopped("a")
    assert play.started == ["b"]
    assert not play.task("a").stopping


@pytest.mark.parametrize("end", ENDS)
def test_whatever_ends_a_stopped_attempt_frees_its_slot_and_its_mark(end: Callable[[Play, str], object]) -> None:
    play = Play()
    play.dispatch("a", "b", worker="shell")
    play.cancel("a")
    end(play, "a")
    assert play.state("a") is S.CANCELLED
    assert not play.task("a").stopping
    assert play.started == ["b"]


def test_a_cancel_is_sticky_and_the_late_result_is_kept_and_not_delivered() -> None:
    play = Play()
    play.dispatch("a")
    play.cancel("a")
    play.finish("a", "late")
    assert play.state("a") is S.CANCELLED
    assert play.task("a").result == Result(text="late")
    assert play.task("a").stage is None
    assert play.delivered == []


def test_what_the_person_cancelled_is_not_delivered() -> None:
    play = Play()
    play.dispatch("a")
    play.cancel("a")
    assert play.delivered == []


def test_a_task_that_never_ran_is_cancelled_without_a_stop() -> None:
    play = Play()
    play.dispatch("a", "b", worker="shell")
    play.dispatch("c", after=("a",))
    play.cancel("b", "c")
    assert play.all(e.StopTask) == []
    assert [play.state(name) for name in "bc"] == [S.CANCELLED, S.CANCELLED]


def test_cancel_all_spares_what_has_ended() -> None:
    play = Play()
    play.dispatch("a", "b", "c")
    play.finish("a")
    play.cancel(all=True)
    assert play.answer() == e.Accepted("r", ("uid-b", "uid-c"), ("b", "c"))
    assert play.state("a") is S.DONE


def test_a_cancel_without_a_name_is_refused() -> None:
    play = Play()
    play.cancel()
    assert play.refusal() == "which task? give a name, or --all"


def test_cancelling_an_ended_task_changes_nothing() -> None:
    play = Play()
    play.dispatch("a")
    play.finish("a")
    play.cancel("a")
    assert isinstance(play.answer(), e.Accepted)
    assert play.state("a") is S.DONE


def test_cancelling_a_lost_task_drops_its_question() -> None:
    play = Play()
    play.dispatch("a")
    play.kernel()
    assert play.task("a").needs_you
    play.cancel("a")
    assert play.state("a") is S.LOST
    assert not play.task("a").needs_you


# cooperative kinds


@pytest.mark.parametrize("end", ENDS)
def test_a_cooperative_task_is_called_cancelled_only_when_it_has_stopped(end: Callable[[Play, str], object]) -> None:
    play = Play()
    play.dispatch("a", worker="loop")
    play.cancel("a")
    assert play.state("a") is S.RUNNING
    assert play.task("a").stopping
    assert play.all(e.StopTask) == [e.StopTask("uid-a", 1)]
    play.cancel("a")
    assert play.all(e.StopTask) == [e.StopTask("uid-a", 1)]  # its code may have swallowed the first
    end(play, "a")
    assert play.state("a") is S.CANCELLED
    assert play.task("a").reason == "cancelled by you"
    assert play.delivered == []
    assert not play.task("a").stopping


def test_a_cooperative_task_that_does_not_run_is_cancelled_at_once() -> None:
    play = Play(Kind("loop", 0, cooperative=True))
    play.dispatch("a", worker="loop")
    play.cancel("a")
    assert play.state("a") is S.CANCELLED


def test_a_cooperative_task_out_of_time_fails_only_when_it_has_stopped() -> None:
    play = Play()
    play.dispatch("a", worker="loop", timeout=5.0)
    play.wait(5.0)
    assert play.state("a") is S.RUNNING
    assert play.task("a").stopping
    play.stopped("a")
    assert play.state("a") is S.FAILED
    assert play.delivered == ["a"]


def test_a_cancel_wins_over_a_time_out_that_is_not_confirmed() -> None:
    play = Play()
    play.dispatch("a", worker="loop", timeout=5.0, retries=1)
    play.wait(5.0)
    play.cancel("a")
    play.stopped("a")
    assert play.state("a") is S.CANCELLED
    assert play.started == []
    assert play.delivered == []


# attempts


def test_a_retry_waits_until_the_older_attempt_is_gone() -> None:
    play = Play()
    play.dispatch("a")
    play.cancel("a")
    play.retry("a")
    assert play.state("a") is S.QUEUED
    assert play.started == []
    assert play.machine.ahead(play.task("a")) == 0
    play.stopped("a")
    assert play.all(e.StartTask) == [e.StartTask("uid-a", 2)]


def test_a_result_of_the_older_attempt_is_not_taken_for_the_new_one() -> None:
    play = Play()
    play.dispatch("a")
    play.cancel("a")
    play.retry("a")
    play.finish("a", "old", attempt=1)
    assert play.state("a") is S.RUNNING
    assert play.task("a").attempt == 2
    for report in (
        e.TaskFinished(1.0, "uid-a", 1, Result(text="old")),
        e.TaskProgressed(1.0, "uid-a", 1, 0.9, "old"),
        e.TaskStopped(1.0, "uid-a", 1),
        e.TaskBlocked(1.0, "uid-a", 1, "old"),
    ):
        play.send(report)
        assert play.state("a") is S.RUNNING
        assert play.task("a").progress is None
        assert play.task("a").result is None
    assert play.machine.free_slots("kernel") == (1, 2)


def test_a_report_of_a_task_that_is_not_there_is_dropped() -> None:
    play = Play()
    for event in (e.TaskFinished(1.0, "x", 1, Result()), e.TaskStopped(1.0, "x", 1), e.ResultShown(1.0, "x", 1)):
        assert play.send(event) == []
    assert play.send(e.SnapshotTaken(1.0, "x", None)) == []


def test_a_second_end_of_one_attempt_changes_nothing() -> None:
    play = Play()
    play.dispatch("a")
    play.finish("a", "first")
    play.finish("a", "second")
    play.fail("a")
    assert play.state("a") is S.DONE
    assert play.task("a").result == Result(text="first")
    assert play.machine.free_slots("kernel") == (0, 2)


def test_a_worker_that_ends_without_a_result_is_a_failed_task() -> None:
    play = Play()
    play.dispatch("a")
    play.stopped("a")
    assert play.state("a") is S.FAILED
    assert play.task("a").reason == "Stopped: its worker ended without a result"


def test_progress_shows_and_stays() -> None:
    play = Play()
    play.dispatch("a")
    play.send(e.TaskProgressed(1.0, "uid-a", 1, 0.4, "fitting"))
    play.send(e.TaskProgressed(2.0, "uid-a", 1))
    assert (play.task("a").progress, play.task("a").line) == (0.4, "fitting")
    play.finish("a")
    assert play.task("a").progress == 1.0


# pause and resume


def test_a_running_task_is_paused_with_its_slot_and_its_attempt() -> None:
    play = Play()
    play.dispatch("a", "b", worker="shell")
    play.pause("a")
    assert play.all(e.PauseTask) == [e.PauseTask("uid-a", 1)]
    assert play.state("b") is S.QUEUED
    play.resume("a")
    assert play.all(e.ResumeTask) == [e.ResumeTask("uid-a", 1)]
    assert (play.state("a"), play.task("a").attempt) == (S.RUNNING, 1)


def test_a_queued_task_that_is_paused_lets_others_pass() -> None:
    play = Play()
    play.dispatch("a", "b", "c", worker="shell")
    play.pause("b")
    play.finish("a")
    assert play.started == ["c"]
    play.finish("c")
    play.resume("b")
    assert play.started == ["b"]


def test_a_result_that_was_on_the_way_ends_a_paused_task() -> None:
    play = Play()
    play.dispatch("a")
    play.pause("a")
    play.finish("a")
    assert play.state("a") is S.DONE
    assert play.delivered == ["a"]
    play.resume("a")
    assert "not paused" in play.refusal()


def test_a_paused_task_that_runs_is_stopped_by_a_cancel() -> None:
    play = Play()
    play.dispatch("a")
    play.pause("a")
    play.cancel("a")
    assert play.state("a") is S.CANCELLED
    assert play.all(e.StopTask) == [e.StopTask("uid-a", 1)]


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (lambda play: play.finish("a"), "is done: only a task that has not ended can be paused"),
        (lambda play: play.pause("a"), "is paused already: %resume a lets it go on"),
    ],
)
def test_a_pause_that_makes_no_sense_is_refused(prepare: Callable[[Play], object], reason: str) -> None:
    play = Play()
    play.dispatch("a", "b")
    prepare(play)
    play.pause("b", "a")
    assert reason in play.refusal()
    assert play.state("b") is S.RUNNING


def test_kinds_without_a_pause_say_so_and_are_skipped_by_all() -> None:
    play = Play()
    play.dispatch("a", worker="loop")
    play.dispatch("b")
    play.pause("a")
    assert play.refusal() == "task 'a' can't be paused while it runs: loop tasks have no pause"
    play.pause(all=True)
    assert play.answer() == e.Accepted("r", ("uid-b",), ("b",))
    play.resume(all=True)
    assert play.answer() == e.Accepted("r", ("uid-b",), ("b",))


# steer


def test_steering_reaches_a_running_task_that_takes_messages() -> None:
    play = Play()
    play.dispatch("a", worker="agent")
    play.dispatch("b", worker="agent")
    play.dispatch("c")
    for name, reason in (("b", "is queued: only a running task can be steered"), ("c", "takes no messages")):
        play.send(e.SteerAsked(0.0, request="r", target=name, text="left"))
        assert reason in play.refusal()
    play.send(e.SteerAsked(0.0, request="r", target="a", text="left"))
    assert play.all(e.SteerTask) == [e.SteerTask("uid-a", 1, "left")]


# showing


def test_a_result_is_shown_once_and_only_for_its_own_attempt() -> None:
    play = Play()
    play.dispatch("a")
    play.fail("a")
    assert play.task("a").stage is Stage.QUEUED
    play.retry("a")
    assert play.task("a").stage is Stage.SUPERSEDED
    play.send(e.ResultShown(1.0, "uid-a", 1))
    assert play.task("a").stage is Stage.SUPERSEDED
    play.finish("a")
    play.send(e.ResultShown(2.0, "uid-a", 1))
    assert play.task("a").stage is Stage.QUEUED
    play.send(e.ResultShown(3.0, "uid-a", 2))
    assert play.task("a").stage is Stage.SHOWN


def test_paused_time_is_no_run_time() -> None:
    play = Play()
    play.dispatch("a")
    play.wait(2.0)
    play.pause("a")
    play.wait(3.0)
    assert view(play.task("a")).seconds(play.now) == 2.0
    play.resume("a")
    play.wait(1.0)
    play.finish("a")
    assert view(play.task("a")).seconds(play.now + 9.0) == 3.0
