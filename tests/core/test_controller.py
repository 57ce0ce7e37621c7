"""Leases of tasks: taken from a running one, given back while it is held, asked for by a worker, gone with a kernel."""

from __future__ import annotations

import pytest
from play import Play

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.model import Kind, State
from jupyter_orchestra.core.needs import Need, parse_all

LOOM, PRESS = parse_all("loom"), parse_all("press")


@pytest.fixture
def play() -> Play:
    made = Play(Kind("kernel", 4), Kind("agent", 4, steerable=True, agent=True, resumable=True))
    made.send(e.ResourcesDeclared(0.0, {"loom": 1, "press": 1, "test-runner": 1}, ("loom",)))
    return made


def claim(play: Play) -> None:
    """The machine's part of whatever is wanted is ours."""
    while claims := play.all(e.ClaimLease):
        for wish in claims:
            play.send(e.LeaseClaimed(play.now, wish.lease.id))


def work(play: Play, seconds: float) -> None:
    """Time passes, and all holders give signs of life."""
    until = play.now + seconds
    while play.now < until:
        play.wait(min(5.0, until - play.now))
        play.send(e.LeasesRenewed(play.now, tuple(play.machine.controller.leases)))


def dispatch(play: Play, name: str, needs: tuple[Need, ...], **more: object) -> None:
    play.dispatch(play.spec(name, needs=needs, **more))  # type: ignore[arg-type]
    claim(play)


def held(play: Play, name: str) -> None:
    task = play.task(name)
    play.send(e.TaskHeld(play.now, task.uid, task.attempt))
    claim(play)


def test_a_more_urgent_task_takes_what_may_be_taken_once_its_holder_stands_still(play: Play) -> None:
    dispatch(play, "slow", LOOM)
    work(play, 12.0)
    dispatch(play, "urgent", LOOM, priority=1)
    assert play.state("slow") is State.PAUSED
    assert play.state("urgent") is State.QUEUED  # nothing is granted before the pause has taken effect
    held(play, "slow")
    assert play.state("urgent") is State.RUNNING
    assert "gave loom to a task of higher priority" in play.task("slow").reason
    play.finish("urgent")
    claim(play)
    assert play.state("slow") is State.RUNNING
    assert play.task("slow").attempt == 1


def test_what_was_just_granted_is_kept_for_ten_seconds(play: Play) -> None:
    dispatch(play, "slow", LOOM)
    play.wait(4.0)
    dispatch(play, "urgent", LOOM, priority=1)
    assert play.state("slow") is State.RUNNING
    play.wait(5.9)
    assert play.state("slow") is State.RUNNING
    play.wait(0.2)
    assert play.state("slow") is State.PAUSED


def test_nothing_is_taken_for_one_that_is_not_more_urgent_before_it_has_aged(play: Play) -> None:
    dispatch(play, "slow", LOOM)
    work(play, 20.0)
    dispatch(play, "equal", LOOM)
    work(play, 29.0)
    assert play.state("slow") is State.RUNNING
    work(play, 2.0)  # by now its waiting counts for one more
    assert play.state("slow") is State.PAUSED


def test_what_is_not_declared_as_such_is_never_taken(play: Play) -> None:
    dispatch(play, "slow", PRESS)
    work(play, 100.0)
    dispatch(play, "urgent", PRESS, priority=9)
    play.wait(10.0)
    assert play.state("slow") is State.RUNNING
    assert play.state("urgent") is State.QUEUED


def test_one_attempt_gives_way_twice_at_most(play: Play) -> None:
    dispatch(play, "slow", LOOM)
    for number in range(2):
        work(play, 12.0)
        dispatch(play, f"urgent-{number}", LOOM, priority=1)
        held(play, "slow")
        play.finish(f"urgent-{number}")
        claim(play)
        assert play.state("slow") is State.RUNNING
    work(play, 12.0)
    dispatch(play, "third", LOOM, priority=1)
    assert play.state("slow") is State.RUNNING


def test_one_that_gave_way_and_is_then_paused_stays_paused(play: Play) -> None:
    dispatch(play, "slow", LOOM)
    work(play, 12.0)
    dispatch(play, "urgent", LOOM, priority=1)
    held(play, "slow")
    play.pause("slow")
    play.finish("urgent")
    claim(play)
    assert play.state("slow") is State.PAUSED
    play.resume("slow")
    claim(play)
    assert play.state("slow") is State.RUNNING


def ask(play: Play, id: str, needs: str, holder: str = "scan") -> None:
    task = play.task(holder)
    wish = e.LeaseAsked(
        play.now, "r", id=id, needs=parse_all(needs), holder=task.uid, attempt=task.attempt
    )  # fmt: skip
    play.send(wish)


def test_what_a_worker_waits_for_it_still_gets_after_a_pause(play: Play) -> None:
    dispatch(play, "holder", parse_all("test-runner"))
    play.dispatch(play.spec("scan", "agent"))
    ask(play, "uid-scan#1+t1", "test-runner")
    play.pause("scan")
    play.resume("scan")
    play.finish("holder")
    claim(play)
    assert "uid-scan#1+t1" in play.machine.controller.leases


def test_what_a_worker_held_or_waited_for_is_asked_for_anew_after_a_restart(play: Play) -> None:
    play.dispatch(play.spec("scan", "agent"))
    ask(play, "uid-scan#1+t1", "test-runner")
    claim(play)
    play.kernel()
    assert play.state("scan") is State.RUNNING
    assert list(play.machine.controller.leases) == ["uid-scan#1"]
    ask(play, "uid-scan#1+t1", "test-runner")
    assert isinstance(play.all(e.Accepted)[0], e.Accepted)


def test_a_task_whose_leases_went_with_the_kernel_waits_for_them_and_goes_on_with_its_attempt(play: Play) -> None:
    dispatch(play, "scan", PRESS, worker="agent")
    assert play.state("scan") is State.RUNNING
    play.kernel()
    assert play.state("scan") is State.QUEUED  # another notebook may have the press by now
    (wish,) = play.all(e.ClaimLease)
    play.send(e.LeaseRefused(play.now, wish.lease.id, ("press|/project",), "another notebook"))
    assert play.state("scan") is State.QUEUED
    play.send(e.LeaseOpened(play.now, wish.lease.id))
    claim(play)
    assert play.started == ["scan"]
    assert (play.state("scan"), play.task("scan").attempt) == (State.RUNNING, 1)


def test_an_expired_lease_fails_its_task_and_waits_for_its_end(play: Play) -> None:
    dispatch(play, "hung", PRESS)
    dispatch(play, "next", PRESS)
    play.wait(15.0)
    assert [wish.lease.id for wish in play.all(e.FenceLease)] == ["uid-hung#1"]
    assert play.state("hung") is State.FAILED
    assert play.state("next") is State.QUEUED
    play.stopped("hung", 1)
    claim(play)
    assert play.state("next") is State.RUNNING


def test_a_lease_that_another_notebook_took_fails_its_task_with_the_reason(play: Play) -> None:
    dispatch(play, "scan", PRESS)
    why = "the leases of this machine were deleted, and another has written itself in before"
    play.send(e.LeaseTaken(play.now, "uid-scan#1", why))
    assert [wish.lease.id for wish in play.all(e.FenceLease)] == ["uid-scan#1"]
    assert play.state("scan") is State.FAILED
    failure = play.task("scan").failure
    assert failure is not None
    assert failure.message == f"its leases were taken from it: {why}"


@pytest.mark.parametrize("lost", [False, True], ids=["expired", "lost"])
def test_a_cooperative_task_without_its_lease_has_failed_once_it_has_ended(play: Play, lost: bool) -> None:
    play.send(e.KindDeclared(play.now, Kind("loop", 2, pausable=False, cooperative=True)))
    dispatch(play, "poll", PRESS, worker="loop")
    if lost:
        play.send(e.LeaseTaken(play.now, "uid-poll#1", "it was not renewed in time"))
    else:
        play.wait(15.0)
    assert play.all(e.StopTask) == [e.StopTask("uid-poll", 1)]
    assert (play.state("poll"), play.task("poll").stopping) == (State.RUNNING, True)
    play.stopped("poll")
    assert play.state("poll") is State.FAILED
    failure = play.task("poll").failure
    assert failure is not None
    assert "its leases were taken from it" in failure.message


def gave_way(play: Play, **more: object) -> None:
    """`slow` has given the loom to `urgent`, which has ended: it asks for it back, and the machine has not answered."""
    dispatch(play, "slow", LOOM, **more)
    work(play, 12.0)
    dispatch(play, "urgent", LOOM, priority=1)
    held(play, "slow")
    play.finish("urgent")


@pytest.mark.parametrize("then", ["pause", "cancel"])
def test_what_it_would_get_back_is_not_taken_when_it_is_held_or_cancelled_meanwhile(play: Play, then: str) -> None:
    gave_way(play)
    (wish,) = play.all(e.ClaimLease)
    getattr(play, then)("slow")
    assert [freed.lease.id for freed in play.all(e.FreeLease)] == [wish.lease.id]
    play.send(e.LeaseClaimed(play.now, wish.lease.id))
    assert play.started == []
    assert wish.lease.id not in play.machine.controller.leases
    assert play.state("slow") is (State.PAUSED if then == "pause" else State.CANCELLED)


def test_only_the_answer_to_the_present_claim_counts(play: Play) -> None:
    play.dispatch(play.spec("scan", needs=PRESS))
    (first,) = play.all(e.ClaimLease)
    play.pause("scan")
    play.resume("scan")
    (second,) = play.all(e.ClaimLease)
    assert first.lease.id == second.lease.id
    play.send(e.LeaseClaimed(play.now, first.lease.id, 7, claim=first.claim))
    assert play.state("scan") is State.QUEUED
    play.send(e.LeaseRefused(play.now, first.lease.id, ("press|/project",), "another notebook", claim=first.claim))
    assert play.machine.controller.leases[second.lease.id].state == "claiming"
    play.send(e.LeaseRefused(play.now, second.lease.id, ("press|/project",), "another notebook", claim=second.claim))
    assert second.lease.id not in play.machine.controller.leases
    play.send(e.LeaseOpened(play.now, second.lease.id))
    (third,) = play.all(e.ClaimLease)
    play.send(e.LeaseClaimed(play.now, third.lease.id, 9, claim=third.claim))
    assert play.state("scan") is State.RUNNING


def test_one_that_gave_way_and_fails_there_is_tried_again_with_all_that_it_needs(play: Play) -> None:
    dispatch(play, "slow", LOOM, retries=1)
    work(play, 12.0)
    dispatch(play, "urgent", LOOM, priority=1)
    held(play, "slow")
    play.fail("slow")
    play.finish("urgent")
    claim(play)
    assert (play.state("slow"), play.task("slow").attempt) == (State.RUNNING, 2)
    assert [lease.id for lease in play.machine.controller.leases.values()] == ["uid-slow#2"]


@pytest.mark.parametrize("by", ["person", "other"])
def test_one_whose_attempt_is_blocked_while_it_is_held_does_not_wait_for_what_it_has(play: Play, by: str) -> None:
    dispatch(play, "slow", LOOM)
    work(play, 12.0)
    if by == "person":
        play.pause("slow")
        held(play, "slow")
        play.block("slow")
        play.resume("slow")
    else:
        dispatch(play, "urgent", LOOM, priority=1)
        held(play, "slow")
        play.block("slow")
        play.finish("urgent")
        claim(play)
        play.wait(5.0)
    claim(play)
    assert (play.state("slow"), play.task("slow").attempt) == (State.RUNNING, 2)
    assert [lease.id for lease in play.machine.controller.leases.values()] == ["uid-slow#2"]


def test_who_holds_something_does_not_wait_for_an_earlier_thing_that_another_notebook_has(play: Play) -> None:
    dispatch(play, "scan", PRESS, worker="agent")
    ask(play, "uid-scan#1+t1", "test-runner")  # which ranks before the press, and which nobody has here
    (wish,) = play.all(e.ClaimLease)
    play.send(e.LeaseRefused(play.now, wish.lease.id, ("test-runner|/project",), "check of other.ipynb"))
    (freed,) = play.all(e.FreeLease)
    assert freed.why.startswith("test-runner is held by check of other.ipynb: who holds something may wait for later")
    play.send(e.LeaseOpened(play.now, wish.lease.id))
    assert play.all(e.ClaimLease) == []


def refuse(play: Play) -> str:
    """What is claimed another notebook has: the id of the lease, which waits in line there."""
    (wish,) = play.all(e.ClaimLease)
    play.send(e.LeaseRefused(play.now, wish.lease.id, ("press|/project",), "another notebook", wish.claim))
    return str(wish.lease.id)


@pytest.mark.parametrize("then", ["cancel", "pause"])
def test_a_task_that_waits_no_longer_waits_in_no_line_of_the_machine(play: Play, then: str) -> None:
    play.dispatch(play.spec("scan", needs=PRESS))
    id = refuse(play)
    getattr(play, then)("scan")
    assert [freed.lease.id for freed in play.all(e.FreeLease)] == [id]


def test_what_is_given_up_for_good_while_it_is_waited_for_is_waited_for_in_no_line_of_the_machine(play: Play) -> None:
    gave_way(play)
    id = refuse(play)
    play.cancel("slow")
    assert [freed.lease.id for freed in play.all(e.FreeLease)] == [id]


@pytest.mark.parametrize("then", ["gives back", "ends"])
def test_what_a_worker_waits_for_no_longer_is_waited_for_in_no_line_of_the_machine(play: Play, then: str) -> None:
    play.dispatch(play.spec("scan", "agent"))
    ask(play, "uid-scan#1+t1", "test-runner")
    id = refuse(play)
    if then == "ends":
        play.finish("scan")
    else:
        play.send(e.LeaseReleased(play.now, id))
    assert [freed.lease.id for freed in play.all(e.FreeLease)] == [id]


def test_what_is_claimed_again_is_given_up_once(play: Play) -> None:
    play.dispatch(play.spec("scan", needs=PRESS))
    id = refuse(play)
    play.send(e.LeaseOpened(play.now, id))
    assert play.all(e.ClaimLease)
    play.cancel("scan")
    assert [freed.lease.id for freed in play.all(e.FreeLease)] == [id]


def test_what_waited_for_an_answer_of_a_broker_that_has_ended_is_tried_again(play: Play) -> None:
    play.dispatch(play.spec("scan", needs=PRESS))
    id = refuse(play)
    assert play.send(e.LeaseTaken(play.now, id, "the broker has ended"))
    claim(play)
    assert play.state("scan") is State.RUNNING


def test_nothing_is_asked_of_the_clock_again_and_again_while_the_journal_is_blocked(play: Play) -> None:
    dispatch(play, "slow", LOOM)
    work(play, 5.0)
    dispatch(play, "urgent", LOOM, priority=1)
    play.send(e.JournalBlocked(play.now, "the disk is full"))
    play.now += 8.0
    play.send(e.TimePassed(play.now))
    due = play.machine.due()
    assert due is None or due > play.now
    play.send(e.JournalFreed(play.now))
    assert play.state("slow") is State.PAUSED
