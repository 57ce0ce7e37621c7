import pytest
from play import Play

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.model import Kind, State

S = State


def test_no_more_run_than_there_are_slots() -> None:
    play = Play()
    play.dispatch("a", "b", "c")
    assert play.started == ["a", "b"]
    assert play.machine.free_slots("kernel") == (2, 2)
    assert play.machine.ahead(play.task("c")) == 0
    play.finish("b")
    assert play.started == ["c"]


def test_kinds_do_not_wait_for_each_other() -> None:
    play = Play()
    play.dispatch("a", "b", "c")
    play.dispatch("d", worker="shell")
    assert play.started == ["d"]


def test_a_tier_has_slots_of_its_own() -> None:
    play = Play(tiers={"fast": 1})
    play.dispatch("a", "b", tier="fast")
    play.dispatch("c")
    assert [play.state(name) for name in "abc"] == [S.RUNNING, S.QUEUED, S.RUNNING]
    play.finish("a")
    assert play.started == ["b"]


def test_more_slots_start_more_and_fewer_stop_nothing() -> None:
    play = Play()
    play.dispatch("a", "b", "c", "d")
    play.send(e.KindDeclared(1.0, Kind("kernel", 3)))
    assert play.started == ["c"]
    play.send(e.KindDeclared(2.0, Kind("kernel", 1)))
    assert play.out == [e.ShowLeases()]  # who waits for a slot sees that there are fewer
    play.finish("a")
    play.finish("b")
    assert play.started == []
    play.finish("c")
    assert play.started == ["d"]


def test_a_higher_priority_goes_first_and_waiting_makes_up_for_it() -> None:
    play = Play()
    play.dispatch("first", worker="shell")
    play.dispatch("low", worker="shell")
    play.wait(29.0)
    play.dispatch("high", worker="shell", priority=1)
    play.wait(2.0)
    play.dispatch("higher", worker="shell", priority=1)
    order = []
    for name in ("first", "high", "low"):
        play.finish(name)
        order += play.started
    assert order == ["high", "low", "higher"]


def test_at_thirty_seconds_the_older_one_wins_the_tie() -> None:
    play = Play()
    play.dispatch("first", worker="shell")
    play.dispatch("low", worker="shell")
    play.wait(30.0)
    play.dispatch("high", worker="shell", priority=1)
    play.finish("first")
    assert play.started == ["low"]


# the journal


def test_nothing_starts_while_the_journal_can_not_be_written() -> None:
    play = Play()
    play.dispatch("a")
    play.send(e.JournalBlocked(1.0, "the disk is full"))
    play.dispatch("b")
    assert play.state("b") is S.QUEUED
    play.send(e.TimePassed(100.0))
    play.finish("a")
    assert play.started == []
    play.send(e.JournalFreed(2.0))
    assert play.started == ["b"]


def test_a_new_kernel_takes_the_journal_for_free() -> None:
    play = Play()
    play.send(e.JournalBlocked(1.0, "the disk is full"))
    play.dispatch("a")
    play.kernel()
    assert play.started == ["a"]


# time-outs


def test_a_task_out_of_time_is_stopped_and_fails() -> None:
    play = Play()
    play.dispatch("a", timeout=5.0)
    assert play.machine.due() == 5.0
    play.wait(4.9)
    assert play.state("a") is S.RUNNING
    play.wait(0.1)
    assert play.state("a") is S.FAILED
    assert play.all(e.StopTask) == [e.StopTask("uid-a", 1)]
    failure = play.task("a").failure
    assert failure is not None
    assert failure.line() == "TimedOut: it ran longer than its 5 s"
    assert play.delivered == ["a"]


def test_waiting_for_a_slot_does_not_count() -> None:
    play = Play()
    play.dispatch("a", "b", worker="shell", timeout=50.0)
    play.wait(40.0)
    play.finish("a")
    play.wait(49.0)
    assert play.state("b") is S.RUNNING
    play.wait(1.0)
    assert play.state("b") is S.FAILED


def test_paused_time_does_not_count() -> None:
    play = Play()
    play.dispatch("a", timeout=5.0)
    play.wait(3.0)
    play.pause("a")
    play.wait(100.0)
    assert play.state("a") is S.PAUSED
    play.resume("a")
    play.wait(1.9)
    assert play.state("a") is S.RUNNING
    play.wait(0.1)
    assert play.state("a") is S.FAILED


def test_a_late_result_does_not_undo_a_time_out() -> None:
    play = Play()
    play.dispatch("a", timeout=5.0)
    play.wait(5.0)
    play.finish("a")
    assert play.state("a") is S.FAILED
    assert play.delivered == []


# retries


def test_a_failure_is_tried_again_as_often_as_asked() -> None:
    play = Play()
    play.dispatch("a", retries=2)
    for attempt in (2, 3):
        play.fail("a")
        assert play.all(e.StartTask) == [e.StartTask("uid-a", attempt)]
        assert play.delivered == []
    play.fail("a", "again")
    assert play.state("a") is S.FAILED
    assert play.task("a").reason == "ValueError: again"
    assert play.delivered == ["a"]


def test_a_time_out_is_tried_again_once_the_attempt_is_gone() -> None:
    play = Play()
    play.dispatch("a", timeout=5.0, retries=1)
    play.wait(5.0)
    assert play.state("a") is S.QUEUED
    assert play.started == []
    play.wait(3.0)
    play.stopped("a", attempt=1)
    assert play.started == ["a"]
    assert play.machine.due() == 13.0
    play.wait(5.0)
    assert play.state("a") is S.FAILED


def test_a_cooperative_time_out_is_tried_again_too() -> None:
    play = Play()
    play.dispatch("a", worker="loop", timeout=5.0, retries=1)
    play.wait(5.0)
    assert play.state("a") is S.RUNNING
    play.stopped("a")
    assert play.all(e.StartTask) == [e.StartTask("uid-a", 2)]
    assert not play.task("a").stopping


def test_a_cancel_is_never_tried_again() -> None:
    play = Play()
    play.dispatch("a", retries=3)
    play.cancel("a")
    play.fail("a")
    assert play.state("a") is S.CANCELLED
    assert play.started == []


def test_a_retry_by_hand_begins_with_all_its_retries() -> None:
    play = Play()
    play.dispatch("a", retries=1)
    play.fail("a")
    play.fail("a")
    play.retry("a")
    assert (play.task("a").attempt, play.task("a").retries_left) == (3, 1)
    assert play.task("a").failure is None


@pytest.mark.parametrize("state", ["running", "done"])
def test_what_has_not_ended_or_succeeded_is_not_retried(state: str) -> None:
    play = Play()
    play.dispatch("a")
    if state == "done":
        play.finish("a")
    play.retry("a")
    assert play.refusal().startswith(f"task 'a' is {state}: ")
    assert play.task("a").attempt == 1


# blocked attempts


def test_a_blocked_attempt_gives_its_slot_back_and_is_tried_again_by_itself() -> None:
    play = Play()
    play.dispatch("a", "b", worker="shell")
    play.block("a")
    assert play.state("a") is S.QUEUED
    assert play.task("a").needs_you == "the disk is full"
    assert play.started == ["b"]
    play.finish("b")
    assert play.started == []
    assert play.machine.due() == 5.0
    play.wait(5.0)
    assert play.all(e.StartTask) == [e.StartTask("uid-a", 2)]
    assert not play.task("a").needs_you


def test_a_blocked_task_can_be_paused_and_cancelled() -> None:
    play = Play()
    play.dispatch("a", "b")
    play.block("a")
    play.block("b")
    play.pause("a")
    play.cancel("b")
    play.wait(60.0)
    assert play.started == []
    play.resume("a")
    assert play.started == ["a"]


def test_a_blocked_attempt_of_a_paused_task_waits_for_the_resume() -> None:
    play = Play()
    play.dispatch("a")
    play.pause("a")
    play.block("a")
    play.wait(60.0)
    assert play.state("a") is S.PAUSED
    assert play.machine.free_slots("kernel") == (0, 2)
    play.resume("a")
    assert play.all(e.StartTask) == [e.StartTask("uid-a", 2)]


def test_a_blocked_attempt_uses_no_retry_up() -> None:
    play = Play()
    play.dispatch("a", retries=1)
    play.block("a")
    assert play.task("a").retries_left == 1
