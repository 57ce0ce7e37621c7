"""Who may do what: from the first, after an answer of the person, below another task, and for how long."""

from __future__ import annotations

import msgspec
import pytest
from dialogue import AGENT, CREW, Dialogue, wish_of

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.grants import LASTS, Grant
from jupyter_orchestra.core.machine import Machine, MachineState
from jupyter_orchestra.core.model import Ask, Capability, Kind, Origin, State
from jupyter_orchestra.core.rights import NOTHING, Consent
from jupyter_orchestra.core.views import explain

C, S = Capability, State
FETCH = Ask("ask-1", "run with network: pip download", "pip download x", "d1", capabilities=(C.RUN, C.NETWORK))
ALONE = tuple(kind if kind is not AGENT else Kind("agent", 20, steerable=True, agent=True) for kind in CREW)


@pytest.fixture
def play() -> Dialogue:
    return Dialogue()


def allowed(play: Dialogue, name: str, digest: str = "", ask: str | None = None) -> set[Capability]:
    uid = play.task(name).uid
    return {one for one in C if play.machine.grants.allows(uid, one, play.now, Consent(digest, ask))}


def agent(play: Dialogue, name: str, role: str, parent: str = "", **more: object) -> None:
    origin = Origin.TASK if parent else Origin.PERSON
    spec = play.spec(name, "agent", role=role, origin=origin, parent=parent and f"uid-{parent}", **more)  # type: ignore[arg-type]
    assert isinstance(play.dispatch(spec), e.Accepted)


def ask(play: Dialogue, name: str, question: Ask = FETCH) -> list[e.AnswerTask]:
    play.send(e.ApprovalNeeded(play.now, f"uid-{name}", play.task(name).attempt, question))
    return play.all(e.AnswerTask)


def revoke(play: Dialogue, name: str, *capabilities: Capability) -> None:
    play.send(e.RevokeAsked(play.now, "r", targets=(name,), capabilities=capabilities))


# from the first


@pytest.mark.parametrize(
    ("role", "may"),
    [
        ("explorer", {C.READ}),
        ("default", {C.READ}),
        ("worker", {C.READ, C.WRITE, C.RUN}),
        ("", {C.READ, C.WRITE, C.RUN}),
        ("sorcerer", {C.READ}),
    ],
)
def test_an_agent_may_do_what_its_role_may(play: Dialogue, role: str, may: set[Capability]) -> None:
    agent(play, "a", role)
    assert allowed(play, "a") == may


@pytest.mark.parametrize(
    ("more", "may"),
    [
        ({"origin": Origin.PERSON}, set(C)),
        ({"origin": Origin.MASTER}, {C.READ, C.WRITE, C.RUN}),
        ({"origin": Origin.MASTER, "literal": True}, set(C)),
    ],
)
def test_code_may_do_what_who_wrote_it_may(play: Dialogue, more: dict[str, object], may: set[Capability]) -> None:
    play.dispatch(play.spec("a", "shell", **more))  # type: ignore[arg-type]
    assert allowed(play, "a") == may


def test_an_agent_that_the_master_dispatches_explores_when_nothing_else_is_said(play: Dialogue) -> None:
    play.dispatch(play.spec("a", "agent", origin=Origin.MASTER))
    assert allowed(play, "a") == {C.READ}


def test_of_a_kind_that_is_not_there_the_role_counts() -> None:
    play = Dialogue()
    play.dispatch("a", worker="shell", role="explorer")
    play.fail("a")
    play.kinds = tuple(kind for kind in CREW if kind.name != "shell")
    play.kernel()
    play.retry("a")
    assert allowed(play, "a") == {C.READ}


def test_who_was_given_no_permit_may_do_nothing() -> None:
    assert not any(NOTHING.allows(one) or NOTHING.may(one) for one in C)


# what the person approves


def test_a_yes_is_for_the_one_action_and_the_one_question(play: Dialogue) -> None:
    agent(play, "a", "worker")
    base = allowed(play, "a")
    assert ask(play, "a") == []
    play.approve("a")
    assert allowed(play, "a", "d1", "ask-1") == base | {C.NETWORK}
    assert allowed(play, "a", "d1", "ask-2") == base
    assert allowed(play, "a", "d1") == base
    assert allowed(play, "a", "d2", "ask-1") == base
    assert allowed(play, "a") == base


def test_a_yes_for_good_is_for_the_one_action_each_time(play: Dialogue) -> None:
    agent(play, "a", "worker")
    base = allowed(play, "a")
    ask(play, "a")
    play.approve("a", always=True)
    assert allowed(play, "a", "d1") == base | {C.NETWORK}
    assert allowed(play, "a", "d1", "ask-7") == base | {C.NETWORK}
    assert allowed(play, "a", "d2") == base
    assert allowed(play, "a") == base
    again = msgspec.structs.replace(FETCH, id="ask-2")
    assert ask(play, "a", again) == [e.AnswerTask("uid-a", 1, "ask-2", True)]


def test_a_no_grants_nothing(play: Dialogue) -> None:
    agent(play, "a", "default")
    ask(play, "a")
    play.decline("a")
    assert allowed(play, "a", "d1", "ask-1") == {C.READ}


def test_what_a_role_may_do_anyway_answers_no_question(play: Dialogue) -> None:
    agent(play, "a", "worker")  # where nothing confines it, it asks before each run
    run = msgspec.structs.replace(FETCH, capabilities=(C.RUN,))
    assert ask(play, "a", run) == []
    assert play.task("a").asks == [run]


def test_what_a_role_may_not_is_not_even_asked(play: Dialogue) -> None:
    agent(play, "a", "explorer")
    assert ask(play, "a") == [e.AnswerTask("uid-a", 1, "ask-1", False, "it may not run")]
    assert play.task("a").asks == []


def test_a_question_that_grants_nothing_is_asked_each_time(play: Dialogue) -> None:
    agent(play, "a", "explorer")
    about_a_file = msgspec.structs.replace(FETCH, capabilities=())
    assert ask(play, "a", about_a_file) == []
    play.approve("a", always=True)
    assert play.all(e.AnswerTask) == [e.AnswerTask("uid-a", 1, "ask-1", True)]
    assert allowed(play, "a", "d1", "ask-1") == {C.READ}
    assert ask(play, "a", about_a_file) == []


def test_a_question_without_a_digest_is_bound_to_its_text_all_the_same(play: Dialogue) -> None:
    agent(play, "a", "default")
    ask(play, "a", Ask("ask-1", "run: rm x", "rm x", "", capabilities=(C.RUN,)))
    play.approve("a", always=True)
    assert allowed(play, "a") == allowed(play, "a", "d1") == {C.READ}
    assert ask(play, "a", Ask("ask-2", "run: rm x", "rm y", "", capabilities=(C.RUN,))) == []
    assert ask(play, "a", Ask("ask-3", "run: rm x", "rm x", "", capabilities=(C.RUN,)))


def test_a_yes_ends_after_eight_hours(play: Dialogue) -> None:
    agent(play, "a", "default")
    ask(play, "a")
    play.approve("a", always=True)
    play.wait(LASTS - 1)
    assert allowed(play, "a", "d1") == {C.READ, C.RUN, C.NETWORK}
    play.wait(1)
    assert allowed(play, "a", "d1") == {C.READ}
    assert ask(play, "a") == []
    play.approve("a", always=True)
    assert allowed(play, "a", "d1") == {C.READ, C.RUN, C.NETWORK}
    assert len(play.machine.state.grants.tasks["uid-a"]) == 3, "what is over is not kept"


# the end


@pytest.mark.parametrize("end", ["finish", "fail", "cancel"])
def test_with_its_end_a_task_may_do_nothing_any_more(end: str) -> None:
    play = Dialogue(*ALONE)
    agent(play, "a", "worker")
    ask(play, "a")
    play.approve("a", always=True)
    getattr(play, end)("a")
    assert allowed(play, "a", "d1") == set()
    assert play.machine.state.grants.tasks == {}


def test_so_it_is_when_it_is_lost_or_forgotten() -> None:
    play = Dialogue(*ALONE)
    agent(play, "a", "worker")
    play.kernel()
    assert play.state("a") is S.LOST
    assert allowed(play, "a") == set()
    play.forget("a")
    assert not play.machine.grants.allows("uid-a", C.READ, play.now)


def test_a_task_that_is_run_again_has_what_its_role_has_and_nothing_that_was_approved() -> None:
    play = Dialogue(*ALONE)
    agent(play, "a", "worker")
    ask(play, "a")
    play.approve("a", always=True)
    revoke(play, "a", C.WRITE)
    play.fail("a")
    play.retry("a")
    assert allowed(play, "a", "d1") == {C.READ, C.WRITE, C.RUN}
    assert ask(play, "a") == []


def test_one_that_is_tried_again_by_itself_gets_nothing_back(play: Dialogue) -> None:
    agent(play, "a", "worker", retries=1)
    ask(play, "a")
    play.approve("a", always=True)
    revoke(play, "a", C.WRITE)
    play.fail("a")
    assert (play.state("a"), play.task("a").attempt) == (S.RUNNING, 2)
    assert allowed(play, "a", "d1") == {C.READ, C.RUN}


def test_a_restart_of_the_kernel_changes_no_grant(play: Dialogue) -> None:
    agent(play, "a", "worker")
    ask(play, "a")
    play.approve("a", always=True)
    revoke(play, "a", C.WRITE)
    play.kernel()
    assert play.state("a") is S.RUNNING
    assert allowed(play, "a", "d1") == {C.READ, C.RUN, C.NETWORK}


def test_the_person_takes_back_what_they_approved_or_more(play: Dialogue) -> None:
    agent(play, "a", "worker")
    ask(play, "a")
    play.approve("a", always=True)
    revoke(play, "a")
    assert play.answer() == e.Accepted("r", ("uid-a",), ("a",))
    assert allowed(play, "a", "d1") == {C.READ, C.WRITE, C.RUN}
    revoke(play, "a", C.RUN, C.WRITE)
    assert allowed(play, "a", "d1") == {C.READ}
    assert ask(play, "a", msgspec.structs.replace(FETCH, capabilities=(C.RUN,)))[0].approved is False
    play.finish("a")
    revoke(play, "a")
    assert "may do nothing any more" in play.refusal()


# below another task


@pytest.mark.parametrize(
    ("above", "below", "may"),
    [
        ("explorer", "worker", {C.READ}),
        ("worker", "explorer", {C.READ}),
        ("worker", "worker", {C.READ, C.WRITE, C.RUN}),
        ("default", "worker", {C.READ}),
    ],
)
def test_a_task_may_no_more_than_what_is_above_it(play: Dialogue, above: str, below: str, may: set[Capability]) -> None:
    agent(play, "a", above)
    agent(play, "b", below, "a")
    agent(play, "c", "worker", "b")
    assert allowed(play, "b") == may
    assert allowed(play, "c") == may
    play.dispatch(play.spec("d", "shell", origin=Origin.TASK, parent="uid-b"))
    assert allowed(play, "d") == may


def test_what_ends_above_ends_below(play: Dialogue) -> None:
    agent(play, "a", "worker")
    agent(play, "b", "worker", "a")
    agent(play, "c", "worker", "b")
    revoke(play, "a", C.RUN)
    assert allowed(play, "c") == {C.READ, C.WRITE}
    play.finish("a")
    assert allowed(play, "b") == allowed(play, "c") == set()
    play.forget("a")
    assert allowed(play, "b") == allowed(play, "c") == set()


def test_what_is_above_and_was_never_there_may_nothing(play: Dialogue) -> None:
    agent(play, "a", "worker", "nobody")
    assert allowed(play, "a") == set()


def test_tasks_that_stand_above_each_other_come_to_an_end(play: Dialogue) -> None:
    agent(play, "a", "worker", "b")
    agent(play, "b", "explorer", "a")
    assert allowed(play, "a") == allowed(play, "b") == {C.READ}


def test_a_yes_to_a_task_below_counts_through_those_above_that_may_ask_for_it(play: Dialogue) -> None:
    agent(play, "a", "default")
    agent(play, "b", "worker", "a")
    agent(play, "c", "default", "b")
    assert ask(play, "c") == []
    play.approve("c")
    assert allowed(play, "c", "d1", "ask-1") == {C.READ, C.RUN, C.NETWORK}
    assert allowed(play, "c", "d1") == {C.READ}
    assert allowed(play, "a", "d1") == {C.READ}
    revoke(play, "a")
    assert allowed(play, "c", "d1", "ask-1") == {C.READ}


def test_below_an_explorer_nothing_can_be_approved(play: Dialogue) -> None:
    agent(play, "a", "explorer")
    agent(play, "b", "worker", "a")
    assert ask(play, "b") == [e.AnswerTask("uid-b", 1, "ask-1", False, "it may not run")]


def test_a_yes_that_comes_when_what_is_above_has_ended_is_refused(play: Dialogue) -> None:
    agent(play, "a", "worker")
    agent(play, "b", "worker", "a")
    ask(play, "b")
    play.finish("a")
    play.approve("b")
    assert play.refusal() == "task 'b' may not run any more: say no (%decline b)"
    assert allowed(play, "b", "d1", "ask-1") == set()
    play.decline("b")
    assert play.all(e.AnswerTask) == [e.AnswerTask("uid-b", 1, "ask-1", False)]


# what an attempt sees


def test_an_attempt_sees_the_table_as_it_is(play: Dialogue) -> None:
    agent(play, "a", "default", retries=1)
    permit = play.machine.grants.permit("uid-a", 1, lambda: play.now)
    assert (permit.allows(C.READ), permit.allows(C.RUN)) == (True, False)
    assert (permit.may(C.RUN), permit.may(C.BROWSE)) == (True, False)
    ask(play, "a")
    play.approve("a")
    assert permit.allows(C.RUN, Consent("d1", "ask-1"))
    play.wait(LASTS)
    assert not permit.allows(C.RUN, Consent("d1", "ask-1"))
    play.pause("a")
    assert permit.allows(C.READ)
    play.resume("a")
    play.fail("a")
    assert not permit.allows(C.READ), "its attempt is over"
    assert not permit.may(C.RUN)
    assert play.machine.grants.permit("uid-a", 2, lambda: play.now).allows(C.READ)


def test_an_attempt_that_is_to_stop_begins_nothing_more(play: Dialogue) -> None:
    agent(play, "a", "worker")
    permit = play.machine.grants.permit("uid-a", 1, lambda: play.now)
    play.cancel("a")
    assert play.state("a") is S.RUNNING, "it is called cancelled once nothing of it runs"
    assert not permit.allows(C.READ)


# the master's wishes


def test_what_the_master_may_do_to_a_task_for_good_is_no_right_of_that_task(play: Dialogue) -> None:
    play.taint()
    agent(play, "a", "worker")
    wish_of(play, e.PauseAsked, "a")
    (question,) = play.task("a").asks
    play.approve("a", always=True)
    assert play.machine.grants.lets_master("uid-a", question.digest, play.now)
    assert not play.machine.grants.lets_master("uid-a", "d2", play.now)
    assert play.machine.state.grants.tasks["uid-a"] == tuple(Grant(one, "worker") for one in (C.READ, C.WRITE, C.RUN))
    play.wait(LASTS)
    assert not play.machine.grants.lets_master("uid-a", question.digest, play.now)


@pytest.mark.parametrize("how", ["end", "revoke", "retry"])
def test_the_master_is_let_no_longer_than_that(play: Dialogue, how: str) -> None:
    play.taint()
    play.dispatch("a", retries=1)
    wish_of(play, e.PauseAsked, "a")
    play.approve("a", always=True)
    play.resume("a")
    match how:
        case "end":
            play.cancel("a")
        case "revoke":
            revoke(play, "a")
        case "retry":
            play.fail("a")
    assert play.machine.state.grants.master == {}


def test_a_cancel_that_is_approved_for_good_leaves_nothing_behind(play: Dialogue) -> None:
    play.taint()
    play.dispatch("a")
    wish_of(play, e.CancelAsked, "a")
    play.approve("a", always=True)
    assert play.state("a") is S.CANCELLED
    assert "uid-a" not in play.machine.state.grants.master


# earlier versions


def test_a_state_that_knew_no_grants_gives_each_task_what_its_role_has(play: Dialogue) -> None:
    agent(play, "a", "worker")
    play.dispatch("b", "c")
    play.finish("c")
    data = msgspec.json.decode(msgspec.json.encode(play.machine.state))
    del data["grants"]
    data["tasks"]["uid-a"]["allowed"] = ["d1"]
    old = Machine(msgspec.json.decode(msgspec.json.encode(data), type=MachineState))
    assert old.state.grants.tasks.keys() == {"uid-a", "uid-b"}
    assert old.grants.allows("uid-a", C.WRITE, play.now)
    assert not old.grants.allows("uid-a", C.NETWORK, play.now, Consent("d1"))


def test_a_question_of_an_earlier_version_is_about_running() -> None:
    event = e.decode(
        b'{"type":"ApprovalNeeded","at":1.0,"uid":"u","attempt":1,'
        b'"ask":{"id":"1","action":"run","detail":"x","digest":"d"}}'
    )
    assert isinstance(event, e.ApprovalNeeded)
    assert event.ask.capabilities == (C.RUN,)


# in words


@pytest.mark.parametrize(
    ("role", "says"),
    [
        ("worker", "may read, write in its workspace, run; asks for the network"),
        ("default", "may read; asks for each write, each run, the network"),
        ("explorer", "may read, write in its scratch"),
    ],
)
def test_an_explanation_says_what_a_running_agent_may_do(play: Dialogue, role: str, says: str) -> None:
    agent(play, "a", role)
    line = explain(play.machine, play.task("a"), play.now)
    assert line == f"a (agent) has run for 0.0 s (attempt 1); {says}"
    play.finish("a")
    assert "may" not in explain(play.machine, play.task("a"), play.now)


def test_it_counts_what_was_approved_for_good_and_knows_when_nothing_is_left(play: Dialogue) -> None:
    agent(play, "a", "worker")
    agent(play, "b", "worker", "a")
    ask(play, "b")
    play.approve("b", always=True)
    assert explain(play.machine, play.task("b"), play.now).endswith("asks for the network; 1 approved for good")
    ask(play, "b", msgspec.structs.replace(FETCH, digest="d2"))
    assert "asks you (running)" in explain(play.machine, play.task("b"), play.now)
    play.finish("a")
    assert explain(play.machine, play.task("b"), play.now).endswith("; may do nothing any more")


def test_of_code_nothing_is_said(play: Dialogue) -> None:
    play.dispatch("a")
    assert "may" not in explain(play.machine, play.task("a"), play.now)
