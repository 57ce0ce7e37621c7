"""What the master may do by itself, what it only proposes, and how the person answers."""

import msgspec
import pytest
from dialogue import Dialogue, wish_of

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core import questions
from jupyter_orchestra.core.model import Origin, State
from jupyter_orchestra.core.views import explain, view

S = State
WISHES = [
    e.CancelAsked(0.0, "r", targets=("a",)),
    e.PauseAsked(0.0, "r", targets=("a",)),
    e.ResumeAsked(0.0, "r", targets=("a",)),
    e.SteerAsked(0.0, "r", target="a", text="mind the cold"),
]
KINDS = [type(wish).__name__ for wish in WISHES]


@pytest.fixture
def talked() -> Dialogue:
    """The master carries out the calls of a turn that the person began and no result has entered."""
    play = Dialogue()
    play.say("go")
    play.step(calls=1)
    return play


@pytest.fixture
def tainted() -> Dialogue:
    play = Dialogue()
    play.taint()
    return play


# what comes of the person's own words


def test_what_the_master_makes_of_the_persons_words_is_done_at_once(talked: Dialogue) -> None:
    answer = talked.order(talked.spec("a", origin=Origin.MASTER), talked.spec("b", after=("a",), origin=Origin.MASTER))
    assert isinstance(answer, e.Accepted)
    assert not answer.proposed
    assert (talked.state("a"), talked.state("b")) == (S.RUNNING, S.WAITING)
    assert not talked.task("b").asks


@pytest.mark.parametrize("wish", WISHES, ids=KINDS)
def test_so_is_what_it_wants_done_to_tasks(talked: Dialogue, wish: e.Asked) -> None:
    talked.dispatch("a", worker="agent")
    if isinstance(wish, e.ResumeAsked):
        talked.pause("a")
    commands = talked.send(msgspec.structs.replace(wish, turn=talked.turn.number))
    assert talked.answer() == e.Accepted("r", ("uid-a",), ("a",))
    assert [c for c in commands if isinstance(c, e.StopTask | e.PauseTask | e.ResumeTask | e.SteerTask)]


def test_a_turn_that_is_over_asks_for_nothing(talked: Dialogue) -> None:
    talked.dispatch("b")
    talked.answered()
    talked.step()
    talked.order("a")
    assert "over" in talked.refusal()
    wish_of(talked, e.CancelAsked, "b")
    assert "over" in talked.refusal()
    assert talked.state("b") is S.RUNNING


# limits


def test_a_turn_may_dispatch_sixteen_tasks(talked: Dialogue) -> None:
    specs = [talked.spec(f"t{n}", uid=f"u{n}", origin=Origin.MASTER, after=(f"x{n}",)) for n in range(17)]
    for n in range(17):
        talked.dispatch(f"x{n}")
    talked.order(*specs)
    assert "at most 16" in talked.refusal()
    assert talked.machine.find("t0") is None
    talked.order(*specs[:10])
    talked.order(*specs[10:])
    assert "6 are left" in talked.refusal()
    assert isinstance(talked.order(*specs[10:16]), e.Accepted)


def test_the_next_turn_may_dispatch_as_many(talked: Dialogue) -> None:
    talked.turn.dispatched = 16
    talked.answered()
    talked.step()
    talked.say("more")
    talked.step(calls=1)
    assert isinstance(talked.order("a"), e.Accepted)


def test_the_same_task_again_is_refused_while_it_has_not_ended(talked: Dialogue) -> None:
    talked.order("a")
    talked.order("again")
    assert "'a' does the same" in talked.refusal()
    assert talked.turn.dispatched == 1
    talked.finish("a")
    assert isinstance(talked.order("again"), e.Accepted)


def test_the_persons_own_task_is_no_twin(talked: Dialogue) -> None:
    talked.dispatch("a")
    assert isinstance(talked.order("b"), e.Accepted)


def test_the_master_can_not_dispatch_in_the_persons_name(talked: Dialogue) -> None:
    talked.order(talked.spec("a", origin=Origin.PERSON))
    assert "is the master's" in talked.refusal()


def test_tasks_dispatch_tasks_three_deep_at_most() -> None:
    play = Dialogue()
    play.dispatch("t0")
    for n in range(3):
        answer = play.dispatch(play.spec(f"t{n + 1}", origin=Origin.TASK, parent=f"uid-t{n}"))
        assert isinstance(answer, e.Accepted)
    play.dispatch(play.spec("t4", origin=Origin.TASK, parent="uid-t3"))
    assert "3 deep" in play.refusal()


# once a result has entered the turn


def test_a_dispatch_is_only_proposed(tainted: Dialogue) -> None:
    answer = tainted.order("a", worker="shell")
    assert isinstance(answer, e.Accepted)
    assert answer.proposed
    tainted.wait(1_000)
    assert tainted.state("a") is S.WAITING
    picture = view(tainted.task("a"))
    assert picture.ask is not None
    assert picture.ask.detail == "shell\npass"
    assert "approve or decline: start a (shell): pass" in picture.needs_you
    assert "%approve a" in explain(tainted.machine, tainted.task("a"), tainted.now)


def test_the_question_names_all_that_the_task_would_do(tainted: Dialogue) -> None:
    tainted.order(Dialogue.spec("a", origin=Origin.MASTER))
    spec = Dialogue.spec("b", origin=Origin.MASTER, after=("a",), returns=("df",), timeout=5.0)
    tainted.order(spec)
    ask, other = tainted.task("b").asks[0], questions.may_start(msgspec.structs.replace(spec, returns=()), "b")
    assert ask.detail == "kernel · after a · brings back df · at most 5 s\npass"
    assert ask.digest != other.digest


@pytest.mark.parametrize("role", ["", "default", "worker"])
def test_so_is_an_agent_that_may_change_something(tainted: Dialogue, role: str) -> None:
    tainted.order("a", worker="agent", role=role)
    assert tainted.state("a") is S.WAITING


def test_an_explorer_begins_at_once(tainted: Dialogue) -> None:
    answer = tainted.order("a", worker="agent", role="explorer")
    assert isinstance(answer, e.Accepted)
    assert not answer.proposed
    assert tainted.state("a") is S.RUNNING


def test_of_a_dispatch_what_is_harmless_begins_and_what_comes_after_a_proposal_waits(tainted: Dialogue) -> None:
    explorer = {"worker": "agent", "role": "explorer", "origin": Origin.MASTER}
    tainted.order(
        tainted.spec("look", **explorer),
        tainted.spec("run", "shell", origin=Origin.MASTER),
        tainted.spec("read", after=("run",), **explorer),
    )
    assert [tainted.state(name) for name in ("look", "run", "read")] == [S.RUNNING, S.WAITING, S.WAITING]
    assert not tainted.task("read").asks
    tainted.approve("run")
    tainted.finish("run")
    assert tainted.state("read") is S.RUNNING


def test_no_task_is_replaced(tainted: Dialogue) -> None:
    tainted.dispatch("a")
    tainted.order(tainted.spec("a", "agent", uid="new", role="explorer", origin=Origin.MASTER, replace=True))
    assert "replace no task" in tainted.refusal()
    assert tainted.state("a") is S.RUNNING


@pytest.mark.parametrize("wish", WISHES, ids=KINDS)
def test_what_is_to_be_done_to_a_task_is_only_proposed_and_done_on_approval(tainted: Dialogue, wish: e.Asked) -> None:
    tainted.dispatch("a", worker="agent")
    if isinstance(wish, e.ResumeAsked):
        tainted.pause("a")
    before = tainted.state("a")
    more = {"text": "mind the cold"} if isinstance(wish, e.SteerAsked) else {}
    wish_of(tainted, type(wish), "a", **more)
    assert tainted.answer() == e.Accepted("r", ("uid-a",), ("a",), proposed=True)
    assert not [c for c in tainted.out if isinstance(c, e.StopTask | e.PauseTask | e.ResumeTask | e.SteerTask)]
    assert tainted.state("a") is before
    (ask,) = tainted.task("a").asks
    assert ask.action.endswith(" a")
    tainted.approve("a", digest=ask.digest)
    assert tainted.answer() == e.Accepted("r", ("uid-a",), ("a",))
    assert [c for c in tainted.out if isinstance(c, e.StopTask | e.PauseTask | e.ResumeTask | e.SteerTask)]
    assert not tainted.task("a").asks


def test_a_wish_that_is_approved_counts_from_then_on(tainted: Dialogue) -> None:
    tainted.dispatch("a", timeout=100.0)
    wish_of(tainted, e.PauseAsked, "a")
    tainted.wait(60)
    tainted.approve("a")
    task = tainted.task("a")
    assert (task.paused_at, task.remaining) == (tainted.now, 40.0)


def test_a_wish_for_every_task_is_asked_of_each(tainted: Dialogue) -> None:
    tainted.dispatch("a", "b")
    tainted.send(e.CancelAsked(tainted.now, "r", all=True, turn=tainted.turn.number))
    assert [len(tainted.task(name).asks) for name in "ab"] == [1, 1]
    tainted.approve("b")
    assert (tainted.state("a"), tainted.state("b")) == (S.RUNNING, S.CANCELLED)


def test_the_same_wish_again_asks_once(tainted: Dialogue) -> None:
    tainted.dispatch("a")
    wish_of(tainted, e.CancelAsked, "a")
    wish_of(tainted, e.CancelAsked, "a")
    wish_of(tainted, e.PauseAsked, "a")
    assert [ask.action for ask in tainted.task("a").asks] == ["cancel a", "pause a"]


def test_a_wish_that_can_not_be_met_is_refused_as_ever(tainted: Dialogue) -> None:
    tainted.bring("a")
    wish_of(tainted, e.PauseAsked, "a")
    assert "has not ended" in tainted.refusal()
    wish_of(tainted, e.SteerAsked, "a", text="x")
    assert "can't be steered" in tainted.refusal()


def test_an_approval_that_comes_too_late_is_refused_and_says_why(tainted: Dialogue) -> None:
    tainted.dispatch("a")
    wish_of(tainted, e.PauseAsked, "a")
    tainted.pause("a")
    tainted.approve("a")
    assert "paused already" in tainted.refusal()


# when a turn is tainted


def test_a_turn_that_no_message_began_only_proposes() -> None:
    play = Dialogue()
    play.chat()
    play.bring("news", deliver="idle")
    play.step(calls=1, literal=True)
    play.order("a")
    assert play.state("a") is S.WAITING


def test_a_turn_that_the_person_began_only_proposes_once_a_result_has_joined_it(talked: Dialogue) -> None:
    talked.bring("news", deliver="now")
    talked.order("a")
    assert talked.state("a") is S.RUNNING
    talked.answered()
    talked.step(calls=1)
    talked.order("b", after=("a",), worker="shell")
    assert talked.task("b").proposed


def test_results_that_come_with_a_message_taint_it_for_a_model_and_not_for_the_planner() -> None:
    for literal in (False, True):
        play = Dialogue()
        play.bring("news")
        play.say("go")
        assert play.step(calls=1, literal=literal).results
        play.order("a")
        assert play.state("a") is (S.RUNNING if literal else S.WAITING)


def test_a_model_that_takes_a_turn_over_from_the_planner_is_tainted_by_what_came_before() -> None:
    play = Dialogue()
    play.bring("news")
    play.say("go")
    play.step(calls=1, literal=True)
    play.answered()
    assert play.step(calls=1).results == ()
    play.order("a")
    assert play.task("a").proposed


def test_a_result_that_was_read_on_demand_has_entered_the_turn(talked: Dialogue) -> None:
    talked.answered(read=True)
    talked.step(calls=1)
    talked.order("a")
    assert talked.task("a").proposed


def test_the_next_message_begins_anew(tainted: Dialogue) -> None:
    tainted.answered()
    tainted.step()
    tainted.say("run it")
    tainted.step(calls=1)
    tainted.order("a")
    assert tainted.state("a") is S.RUNNING


def test_a_turn_that_goes_on_after_a_failure_or_a_restart_is_as_tainted_as_before(tainted: Dialogue) -> None:
    tainted.answered()
    tainted.fail_turn()
    tainted.retry_turn()
    tainted.kernel()
    tainted.step(calls=1)
    tainted.order("a")
    assert tainted.task("a").proposed


# the person's answer


def test_an_approved_task_begins(tainted: Dialogue) -> None:
    tainted.order("a", worker="shell")
    tainted.approve("a", digest=tainted.task("a").asks[0].digest)
    assert tainted.started == ["a"]
    assert not tainted.task("a").proposed


def test_another_digest_approves_nothing(tainted: Dialogue) -> None:
    tainted.order("a", worker="shell")
    tainted.approve("a", digest="0" * 32)
    assert "no longer asks that" in tainted.refusal()
    assert tainted.state("a") is S.WAITING


def test_the_digest_is_that_of_the_exact_action(tainted: Dialogue) -> None:
    tainted.dispatch("a", "b", worker="agent")
    for name, text in (("a", "go left"), ("a", "go right"), ("b", "go left")):
        wish_of(tainted, e.SteerAsked, name, text=text)
    wish_of(tainted, e.CancelAsked, "a")
    digests = [ask.digest for name in "ab" for ask in tainted.task(name).asks]
    assert len(set(digests)) == 4
    tainted.approve("a", digest=digests[1])
    assert tainted.all(e.SteerTask) == [e.SteerTask("uid-a", 1, "go right")]
    assert [ask.digest for ask in tainted.task("a").asks] == [digests[0], digests[2]]


def test_without_a_digest_the_oldest_question_is_answered(tainted: Dialogue) -> None:
    tainted.dispatch("a")
    wish_of(tainted, e.PauseAsked, "a")
    wish_of(tainted, e.CancelAsked, "a")
    tainted.approve("a")
    assert tainted.state("a") is S.PAUSED


def test_a_declined_task_is_cancelled_and_what_comes_after_it_too(tainted: Dialogue) -> None:
    tainted.order(
        tainted.spec("a", "shell", origin=Origin.MASTER), tainted.spec("b", "shell", after=("a",), origin=Origin.MASTER)
    )
    tainted.decline("a", why="too dear")
    assert tainted.state("a") is tainted.state("b") is S.CANCELLED
    assert tainted.task("a").reason == "declined by you: too dear"
    assert not tainted.task("b").asks
    assert tainted.delivered == ["b"]


def test_a_declined_wish_changes_nothing(tainted: Dialogue) -> None:
    tainted.dispatch("a")
    wish_of(tainted, e.CancelAsked, "a")
    tainted.decline("a")
    assert tainted.state("a") is S.RUNNING
    assert not tainted.task("a").asks


@pytest.mark.parametrize("answer", ["approve", "decline"])
def test_there_is_nothing_to_answer_where_nothing_is_asked(answer: str) -> None:
    play = Dialogue()
    play.dispatch("a")
    getattr(play, answer)("a")
    assert "asks for no approval" in play.refusal()
    getattr(play, answer)("nobody")
    assert "no task is called" in play.refusal()


def test_what_was_approved_for_good_is_not_asked_again(tainted: Dialogue) -> None:
    tainted.dispatch("a", "b")
    wish_of(tainted, e.PauseAsked, "a")
    tainted.approve("a", always=True)
    tainted.resume("a")
    wish_of(tainted, e.PauseAsked, "a")
    assert tainted.state("a") is S.PAUSED
    wish_of(tainted, e.PauseAsked, "b")
    assert tainted.state("b") is S.RUNNING


def test_a_paused_proposal_waits_for_both(tainted: Dialogue) -> None:
    tainted.order("a", worker="shell")
    tainted.pause("a")
    tainted.resume("a")
    assert tainted.state("a") is S.WAITING
    tainted.pause("a")
    tainted.approve("a")
    assert tainted.state("a") is S.PAUSED
    tainted.resume("a")
    assert tainted.state("a") is S.RUNNING


def test_a_proposal_outlives_its_turn_and_the_kernel(tainted: Dialogue) -> None:
    tainted.order("a", worker="shell")
    tainted.answered()
    tainted.step()
    tainted.kernel()
    tainted.approve("a")
    assert tainted.started == ["a"]


def test_questions_end_with_their_task(tainted: Dialogue) -> None:
    tainted.dispatch("a")
    wish_of(tainted, e.CancelAsked, "a")
    tainted.finish("a")
    assert not tainted.task("a").asks
    tainted.approve("a")
    assert "asks for no approval: it is done" in tainted.refusal()


def test_a_wish_stands_while_its_task_is_tried_again(tainted: Dialogue) -> None:
    tainted.dispatch("a", retries=1)
    wish_of(tainted, e.CancelAsked, "a")
    tainted.fail("a")
    tainted.approve("a")
    assert tainted.state("a") is S.CANCELLED


def test_who_runs_a_declined_task_again_approves_of_it(tainted: Dialogue) -> None:
    tainted.order("a", worker="shell")
    tainted.decline("a")
    tainted.retry("a")
    assert tainted.started == ["a"]


def test_a_proposal_that_comes_back_with_a_retry_of_another_still_asks(tainted: Dialogue) -> None:
    tainted.dispatch("a")
    tainted.order("b", worker="shell", after=("a",))
    tainted.fail("a")
    assert tainted.state("b") is S.CANCELLED
    tainted.retry("a")
    tainted.finish("a")
    assert tainted.state("b") is S.WAITING
    assert [ask.action for ask in tainted.task("b").asks] == ["start b (shell): pass"]
    tainted.approve("b")
    assert tainted.started == ["b"]
