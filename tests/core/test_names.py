import pytest
from play import Play

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.model import State

S = State


def test_a_name_is_free_again_once_its_task_has_ended() -> None:
    play = Play()
    play.dispatch(play.spec("a", uid="1"))
    play.finish("a")
    play.dispatch(play.spec("a", uid="2"))
    play.finish("a")
    play.dispatch(play.spec("a", uid="3"))
    assert [play.task(name).uid for name in ("a@1", "a@2", "a")] == ["1", "2", "3"]
    assert play.machine.find("2") is play.task("a@2")


def test_a_name_in_use_is_refused_with_what_to_do() -> None:
    play = Play()
    play.dispatch("a")
    play.dispatch(play.spec("a", uid="2"))
    assert play.refusal() == (
        "task 'a' is still running: choose another name, wait for it (%gather a), cancel it (%cancel a), "
        "or start anew with --replace"
    )
    assert list(play.machine.tasks) == ["uid-a"]


@pytest.mark.parametrize("state", ["waiting", "queued", "running", "paused"])
def test_no_live_task_gives_its_name_away(state: str) -> None:
    play = Play()
    play.dispatch("first", worker="shell", snapshot=state == "waiting")
    if state == "queued":
        play.dispatch("a", worker="shell")
    elif state == "waiting":
        play.dispatch("a", after=("first",))
    else:
        play.dispatch("a")
    if state == "paused":
        play.pause("a")
    assert play.state("a") == state
    play.dispatch(play.spec("a", uid="2"))
    assert f"is still {state}" in play.refusal()


def test_replace_cancels_the_live_one_and_takes_its_name() -> None:
    play = Play()
    play.dispatch("a")
    answer = play.dispatch(play.spec("a", uid="2", replace=True))
    assert answer == e.Accepted("r", ("2",), ("a",))
    assert play.task("a@1").state is S.CANCELLED
    assert "replaced" in play.task("a@1").reason
    assert play.all(e.StopTask) == [e.StopTask("uid-a", 1)]
    assert play.task("a").uid == "2"
    assert play.state("a") is S.RUNNING


def test_replacing_a_cooperative_task_waits_for_its_stop_and_frees_its_name_at_once() -> None:
    play = Play()
    play.dispatch("a", worker="loop")
    play.dispatch(play.spec("a", "loop", uid="2", replace=True))
    assert play.state("a@1") is S.RUNNING
    assert play.task("a").uid == "2"
    play.stopped("a@1")
    assert play.state("a@1") is S.CANCELLED


def test_a_made_up_name_gives_way() -> None:
    play = Play()
    for uid in "123":
        play.dispatch(play.spec("a", uid=uid, auto=True))
    assert [task.name for task in play.machine.tasks.values()] == ["a", "a-2", "a-3"]


def test_made_up_names_of_one_batch_differ() -> None:
    play = Play()
    answer = play.dispatch(play.spec("a", uid="1", auto=True), play.spec("a", uid="2", auto=True))
    assert isinstance(answer, e.Accepted)
    assert answer.names == ("a", "a-2")


def test_a_made_up_name_of_an_ended_task_is_used_again() -> None:
    play = Play()
    play.dispatch(play.spec("a", uid="1", auto=True))
    play.finish("a")
    play.dispatch(play.spec("a", uid="2", auto=True))
    assert play.task("a").uid == "2"


def test_a_long_made_up_name_stays_within_forty_characters() -> None:
    play = Play()
    for uid in range(12):
        play.dispatch(play.spec("x" * 40, uid=str(uid), auto=True))
    names = [task.name for task in play.machine.tasks.values()]
    assert len(set(names)) == 12
    assert max(map(len, names)) == 40


def test_two_of_one_name_in_a_batch_are_refused() -> None:
    play = Play()
    play.dispatch(play.spec("a", uid="1"), play.spec("a", uid="2"))
    assert "two tasks are called 'a'" in play.refusal()


def test_a_forgotten_number_is_not_given_again() -> None:
    play = Play()
    for uid in "12":
        play.dispatch(play.spec("a", uid=uid))
        play.finish("a")
    play.forget("a@1")
    play.dispatch(play.spec("a", uid="3"))
    assert play.task("a@2").uid == "2"


@pytest.mark.parametrize(
    ("wanted", "hint"),
    [("fetsh", "did you mean 'fetch'?"), ("zebra", "%tasks lists them"), ("fetch@2", "did you mean 'fetch@1'?")],
)
def test_an_unknown_name_is_refused_with_the_nearest(wanted: str, hint: str) -> None:
    play = Play()
    for uid in "12":
        play.dispatch(play.spec("fetch", uid=uid))
        play.finish("fetch")
    play.dispatch("b", after=(wanted,))
    assert play.refusal().startswith(f"no task is called {wanted!r}")
    assert hint in play.refusal()
    play.cancel(wanted)
    assert hint in play.refusal()


def test_an_unknown_name_near_to_one_of_the_same_batch() -> None:
    play = Play()
    play.dispatch(play.spec("fetch"), play.spec("b", after=("fetsh",)))
    assert "did you mean 'fetch'?" in play.refusal()


def test_unknown_workers_and_tiers_are_refused_with_those_that_exist() -> None:
    play = Play(tiers={"fast": 1})
    play.dispatch("a", worker="robot")
    assert play.refusal() == "unknown worker 'robot'; there are: kernel, shell, loop, agent"
    play.dispatch("a", tier="slow")
    assert play.refusal() == "unknown tier 'slow'; there are: fast"


def test_a_uid_is_never_used_twice() -> None:
    play = Play()
    play.dispatch(play.spec("a", uid="1"))
    play.dispatch(play.spec("b", uid="1"))
    assert "uid 1 exists" in play.refusal()


def test_a_batch_is_accepted_whole_or_not_at_all() -> None:
    play = Play()
    play.dispatch(play.spec("a"), play.spec("b", after=("nobody",)), play.spec("c"))
    assert "nobody" in play.refusal()
    assert not play.machine.tasks
    assert not play.machine.state.names


def test_a_refused_replace_cancels_nothing() -> None:
    play = Play()
    play.dispatch("a")
    play.dispatch(play.spec("a", uid="2", replace=True), play.spec("b", worker="robot"))
    assert play.state("a") is S.RUNNING
    assert play.out == [play.answer()]


@pytest.mark.parametrize(
    "edges",
    [{"a": "a"}, {"a": "b", "b": "a"}, {"a": "c", "b": "a", "c": "b"}, {"x": "", "a": "b", "b": "a", "y": "b"}],
)
def test_a_cycle_in_a_batch_is_refused(edges: dict[str, str]) -> None:
    play = Play()
    play.dispatch(*(play.spec(name, after=(before,) if before else ()) for name, before in edges.items()))
    assert "a cycle" in play.refusal()
    assert not play.machine.tasks


def test_a_batch_may_name_its_tasks_in_any_order() -> None:
    play = Play()
    play.dispatch(play.spec("c", after=("a", "b")), play.spec("b", after=("a",)), play.spec("a"))
    assert [play.state(name) for name in "abc"] == [S.RUNNING, S.WAITING, S.WAITING]


def test_after_its_own_name_means_the_older_task() -> None:
    play = Play()
    play.dispatch(play.spec("a", uid="1"))
    play.finish("a")
    play.dispatch(play.spec("a", uid="2", after=("a",)))
    assert play.task("a").after == (("a", "1"),)


def test_after_a_uid_or_an_older_name_works() -> None:
    play = Play()
    play.dispatch(play.spec("a", uid="1"))
    play.finish("a", "x")
    play.dispatch(play.spec("a", uid="2"))
    play.dispatch("b", after=("1",))
    play.dispatch("c", after=("a@1",))
    assert play.task("b").after == play.task("c").after == (("a@1", "1"),)
    assert set(play.machine.inputs(play.task("b"))) == {"a@1"}


def test_too_many_unended_tasks_are_refused() -> None:
    play = Play(limit=3)
    play.dispatch("a", "b")
    play.dispatch("c", "d")
    assert play.refusal() == (
        "2 tasks have not ended yet and the limit is 3: wait for some, cancel some, "
        "or raise it with %config Orchestra.max_unfinished"
    )
    play.dispatch("c")
    play.finish("a")
    assert isinstance(play.dispatch("d"), e.Accepted)


def test_how_many_may_be_unended_changes_at_once() -> None:
    play = Play(limit=2)
    play.dispatch("a", "b")
    assert isinstance(play.dispatch("c"), e.Refused)
    play.send(e.AdmissionDeclared(play.now, 3))
    assert isinstance(play.dispatch("c"), e.Accepted)
    play.send(e.AdmissionDeclared(play.now, 1))
    play.finish("a")
    assert isinstance(play.dispatch("d"), e.Refused)


def test_an_older_task_by_uid_and_a_new_one_of_its_name_are_two_tasks() -> None:
    play = Play()
    play.dispatch(play.spec("a", uid="1"))
    play.finish("a")
    play.dispatch(play.spec("a", uid="2"), play.spec("b", after=("1", "a")))
    assert play.task("b").after == (("1", "1"), ("a", "2"))
