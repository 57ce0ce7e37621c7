import pytest
from play import Play

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.model import Blob, Input, Kind, Origin, Result, State, When

S = State


def ended_as(play: Play, name: str, how: str) -> None:
    play.dispatch(name)
    match how:
        case "done":
            play.finish(name)
        case "failed":
            play.fail(name)
        case "cancelled":
            play.cancel(name)
            play.stopped(name)
        case "lost":
            play.kernel()


@pytest.mark.parametrize(
    ("how", "when", "runs"),
    [
        ("done", When.SUCCESS, True),
        ("failed", When.SUCCESS, False),
        ("cancelled", When.SUCCESS, False),
        ("lost", When.SUCCESS, False),
        ("done", When.FAILURE, False),
        ("failed", When.FAILURE, True),
        ("cancelled", When.FAILURE, False),
        ("lost", When.FAILURE, True),
        ("done", When.ALWAYS, True),
        ("failed", When.ALWAYS, True),
        ("cancelled", When.ALWAYS, True),
        ("lost", When.ALWAYS, True),
    ],
)
@pytest.mark.parametrize("dispatched", ["before", "after"])
def test_when_decides_by_the_end_of_the_task_before(how: str, when: When, runs: bool, dispatched: str) -> None:
    play = Play()
    if dispatched == "after":
        ended_as(play, "a", how)
        play.dispatch("b", after=("a",), when=when)
    else:
        play.dispatch("a")
        play.dispatch("b", after=("a",), when=when)
        match how:
            case "done":
                play.finish("a")
            case "failed":
                play.fail("a")
            case "cancelled":
                play.cancel("a")
            case "lost":
                play.kernel()
    assert play.state("b") is (S.RUNNING if runs else S.CANCELLED)


@pytest.mark.parametrize(
    ("first", "second", "when", "runs"),
    [
        ("done", "done", When.SUCCESS, True),
        ("done", "failed", When.SUCCESS, False),
        ("done", "failed", When.FAILURE, True),
        ("failed", "done", When.FAILURE, True),
        ("done", "done", When.FAILURE, False),
        ("done", "cancelled", When.FAILURE, False),
        ("cancelled", "failed", When.FAILURE, True),
        ("cancelled", "failed", When.ALWAYS, True),
    ],
)
def test_of_several_tasks_before(first: str, second: str, when: When, runs: bool) -> None:
    play = Play()
    ended_as(play, "a", first)
    play.dispatch("b", "c", after=("a",), when=When.ALWAYS)
    play.cancel("c")
    play.stopped("c")
    play.dispatch("d", after=("a", "b"), when=when)
    if first == "done" or when is not When.SUCCESS:
        assert play.state("d") is S.WAITING
    {"done": play.finish, "failed": play.fail, "cancelled": play.cancel}[second]("b")
    assert play.state("d") is (S.RUNNING if runs else S.CANCELLED)


@pytest.mark.parametrize(
    ("how", "reason"), [("failed", "a failed"), ("cancelled", "a was cancelled"), ("lost", "a was lost")]
)
def test_the_reason_names_the_task_that_ended_the_wrong_way(how: str, reason: str) -> None:
    play = Play()
    ended_as(play, "a", how)
    play.dispatch("b", after=("a",))
    assert play.task("b").reason == reason
    assert play.task("b").because == "uid-a"


def test_what_the_person_did_not_end_comes_back_to_them() -> None:
    play = Play()
    play.dispatch("a")
    play.dispatch("b", after=("a",))
    play.dispatch("c", after=("a",), when=When.FAILURE)
    play.cancel("a")
    assert play.delivered == ["b"]


def test_a_failure_goes_down_a_chain_of_ten_thousand_without_recursion() -> None:
    play = Play(limit=20_000)
    names = [f"n{i}" for i in range(10_000)]
    specs = [
        play.spec(name, after=(before,) if before else ()) for name, before in zip(names, ["", *names], strict=False)
    ]
    play.dispatch(*specs)
    assert play.started == ["n0"]
    play.fail("n0")
    assert {play.state(name) for name in names[1:]} == {S.CANCELLED}
    assert len(play.delivered) == 10_000
    play.retry("n0")
    assert {play.state(name) for name in names[1:]} == {S.WAITING}


def test_a_chain_of_ten_thousand_dispatched_backwards_runs() -> None:
    play = Play(limit=20_000)
    names = [f"n{i}" for i in range(10_000)]
    play.dispatch(*(play.spec(n, after=(b,) if b else ()) for n, b in reversed([*zip(names, ["", *names])])))  # noqa: B905
    for name in names[:50]:
        assert play.started == [name]
        play.finish(name)


def test_a_task_finds_values_and_errors_of_those_before_it() -> None:
    play = Play()
    play.dispatch("good", "bad", "ill")
    play.dispatch("b", after=("good", "bad", "ill"), when=When.ALWAYS)
    play.send(e.TaskFinished(0.0, "uid-good", 1, Result(value=Blob(1, b"v"))))
    play.fail("bad", "too large")
    play.cancel("ill")
    play.stopped("ill")
    assert play.state("b") is S.RUNNING
    assert play.machine.inputs(play.task("b")) == {
        "good": Input(S.DONE, Blob(1, b"v")),
        "bad": Input(S.FAILED, error="ValueError: too large"),
        "ill": Input(S.CANCELLED, error="cancelled by you"),
    }


@pytest.mark.parametrize(
    ("origin", "worker", "trusted"),
    [
        (Origin.PERSON, "kernel", True),
        (Origin.MASTER, "kernel", False),
        (Origin.TASK, "kernel", False),
        (Origin.PERSON, "model", False),
    ],
)
def test_a_task_knows_which_values_a_model_had_a_hand_in(origin: Origin, worker: str, trusted: bool) -> None:
    play = Play(Kind("kernel", 2), Kind("model", 1, agent=True))
    play.dispatch(play.spec("a", worker, origin=origin))
    play.dispatch("b", after=("a",))
    play.finish("a")
    assert play.machine.inputs(play.task("b"))["a"].trusted is trusted


def test_a_forgotten_task_is_found_as_lost() -> None:
    play = Play()
    play.dispatch("a")
    play.finish("a")
    play.dispatch("b", after=("a",))
    play.finish("b")
    play.forget("a")
    assert play.machine.inputs(play.task("b")) == {"a": Input(S.LOST, error="task 'a' was forgotten")}


def test_retry_revives_what_was_cancelled_because_of_it_all_the_way_down() -> None:
    play = Play()
    play.dispatch("a")
    play.dispatch("b", after=("a",))
    play.dispatch("c", after=("b",))
    play.fail("a")
    play.retry("a")
    assert play.answer() == e.Accepted("r", ("uid-a", "uid-b", "uid-c"), ("a", "b", "c"))
    for name in "abc":
        assert play.started == [name]
        play.finish(name)


def test_retry_leaves_cancelled_what_the_person_cancelled() -> None:
    play = Play()
    play.dispatch("a")
    play.dispatch("b", after=("a",))
    play.cancel("b")
    play.fail("a")
    play.retry("a")
    assert play.state("b") is S.CANCELLED


def test_retry_revives_after_the_one_that_was_to_blame() -> None:
    play = Play()
    play.dispatch("a", "b")
    play.dispatch("c", after=("a", "b"), when=When.FAILURE)
    play.cancel("a")
    play.stopped("a")
    play.finish("b")
    assert play.task("c").because == "uid-a"
    play.retry("a")
    assert play.state("c") is S.WAITING
    play.fail("a")
    assert play.started == ["c"]


def test_retry_does_not_revive_what_came_after_a_forgotten_task() -> None:
    play = Play()
    play.dispatch("a", "b")
    play.dispatch("c", after=("a", "b"))
    play.fail("a")
    play.finish("b")
    play.forget("b")
    play.retry("a")
    assert play.state("a") is S.RUNNING
    assert play.state("c") is S.CANCELLED
    play.retry("c")
    assert play.refusal() == "task 'b', which 'c' comes after, was forgotten: dispatch it again"


def test_a_revived_task_waits_for_the_others_before_it() -> None:
    play = Play()
    play.dispatch("a", "b")
    play.dispatch("c", after=("a", "b"))
    play.fail("a")
    play.fail("b")
    play.retry("a")
    assert play.state("c") is S.CANCELLED
    assert play.task("c").because == "uid-b"
    play.retry("b")
    assert play.state("c") is S.WAITING


def test_retry_of_a_task_whose_predecessor_failed_is_refused() -> None:
    play = Play()
    play.dispatch("a")
    play.dispatch("b", after=("a",))
    play.fail("a")
    play.retry("b")
    assert play.refusal() == "task 'b' can't begin, since a failed: retry that one too"
    play.retry("b", "a")
    assert [play.state(name) for name in "ab"] == [S.RUNNING, S.WAITING]


def test_a_paused_task_that_waits_is_cancelled_with_the_rest() -> None:
    play = Play()
    play.dispatch("a")
    play.dispatch("b", after=("a",))
    play.pause("b")
    play.fail("a")
    assert play.state("b") is S.CANCELLED


def test_a_paused_task_goes_on_when_resumed_after_what_it_waited_for() -> None:
    play = Play()
    play.dispatch("a")
    play.dispatch("b", after=("a",))
    play.pause("b")
    play.finish("a")
    assert play.state("b") is S.PAUSED
    play.resume("b")
    assert play.started == ["b"]


def test_a_task_waits_for_its_snapshot_and_for_those_before_it() -> None:
    play = Play()
    play.dispatch("a")
    play.dispatch("b", after=("a",), snapshot=True)
    play.finish("a")
    assert play.state("b") is S.WAITING
    play.copied("b")
    assert play.started == ["b"]
    assert play.task("b").capture is not None


def test_a_failed_snapshot_fails_the_task_before_it_starts() -> None:
    play = Play()
    play.dispatch("a", snapshot=True)
    play.dispatch("b", after=("a",))
    play.not_copied("a")
    assert play.state("a") is S.FAILED
    assert play.task("a").reason == "x can't be pickled"
    assert play.state("b") is S.CANCELLED
    assert sorted(play.delivered) == ["a", "b"]
    play.retry("a")
    assert "never got its variables" in play.refusal()


def test_a_snapshot_that_comes_after_the_cancel_serves_the_retry() -> None:
    play = Play()
    play.dispatch("a", snapshot=True)
    play.cancel("a")
    play.copied("a")
    assert play.state("a") is S.CANCELLED
    play.retry("a")
    assert play.started == ["a"]


@pytest.mark.parametrize("by", ["failure", "kernel"])
def test_a_snapshot_that_fails_after_the_cancel_leaves_no_retry(by: str) -> None:
    play = Play()
    play.dispatch("a", snapshot=True)
    play.cancel("a")
    if by == "kernel":
        play.kernel()
    else:
        play.not_copied("a")
    assert play.state("a") is S.CANCELLED
    play.retry("a")
    assert "never got its variables" in play.refusal()


def test_a_task_without_its_variables_is_not_revived() -> None:
    play = Play()
    play.dispatch("a")
    play.dispatch("b", after=("a",), snapshot=True)
    play.fail("a")
    play.not_copied("b")
    play.retry("a")
    assert play.state("b") is S.CANCELLED
