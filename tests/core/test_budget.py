from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.budget import Budget, Figure
from jupyter_orchestra.core.limits import COUNTED, Amounts, BadBudget, Limits, parse_budget, spell
from jupyter_orchestra.core.machine import Machine, MachineState
from jupyter_orchestra.core.model import Kind, Process, Result, Spec, State

WORDS = st.sampled_from(["tokens", "usd", "seconds", "tools", "children", "depth", "slots", "output", "tokens_in"])
LIKE_BUDGETS = st.lists(st.tuples(WORDS, st.from_regex(r"[0-9.$]{0,6}[kMGBsmh]{0,2}", fullmatch=True)), max_size=4).map(
    lambda pairs: ",".join(f"{key}={value}" for key, value in pairs)
)


def test_a_budget_is_read() -> None:
    assert parse_budget("tokens=200k,usd=1.50,seconds=5m,tools=40") == Limits(
        tokens=200_000, microusd=1_500_000, millis=300_000, tool_calls=40
    )
    assert parse_budget({"tokens": 5, "usd": "$2"}) == Limits(tokens=5, microusd=2_000_000)


@pytest.mark.parametrize(
    "text", ["tokens", "tokns=5", "tokens=", "tokens=-1", "tokens=0", "usd=x", "tokens=1,tokens=2", ","]
)
def test_what_is_no_budget_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(BadBudget) as caught:
        parse_budget(text)
    assert "\n" not in str(caught.value)


@given(st.one_of(LIKE_BUDGETS, st.text(max_size=20)))
def test_any_text_is_a_budget_or_refused_and_spelled_as_it_is_read(text: str) -> None:
    try:
        limits = parse_budget(text)
    except BadBudget:
        return
    assert not limits or parse_budget(spell(limits)) == limits


def test_a_child_spends_what_its_parents_have() -> None:
    budget = Budget()
    budget.open("user")
    budget.open("notebook", ("user",), Limits(tokens=100))
    budget.open("task:a", ("notebook",), Limits(tokens=80))
    budget.open("task:b", ("notebook",))
    assert budget.reserve("1", "task:a", Amounts(tokens_in=70)) == ""
    assert "the notebook's budget of 100 tokens is spent" in budget.reserve("2", "task:b", Amounts(tokens_out=40))
    assert "its budget of 80 tokens" in budget.reserve("3", "task:a", Amounts(tokens_out=20))
    budget.settle("1", Amounts(tokens_in=10))
    assert budget.reserve("2", "task:b", Amounts(tokens_out=40)) == ""


def test_what_nobody_saw_the_end_of_is_settled_at_all_of_it_and_once() -> None:
    budget = Budget()
    budget.open("a", (), Limits(tokens=10))
    budget.reserve("1", "a", Amounts(tokens_in=6), "a#1")
    assert budget.unsettled("a#1") == ["1"]
    assert budget.settle("1")
    assert not budget.settle("1", Amounts())
    assert budget.room("a").tokens == 4


@pytest.mark.parametrize("group", range(20))
def test_reserved_and_spent_never_exceed_a_limit_whatever_happens(group: int) -> None:
    for seed in range(group * 100, group * 100 + 100):
        chance = random.Random(seed)
        budget = Budget()
        budget.open("user", (), Limits(tokens=chance.choice([None, 500])))
        budget.open("notebook", ("user",), Limits(tokens_out=chance.choice([None, 200]), microusd=1000))
        names = ["notebook"]
        held: list[str] = []
        for step in range(60):
            amounts = Amounts(
                tokens_in=chance.randint(0, 60), tokens_out=chance.randint(0, 30), microusd=chance.randint(0, 200)
            )
            match chance.randint(0, 6):
                case 0 if len(names) < 6:
                    limits = Limits(tokens=chance.choice([None, 50, 150]))
                    if not budget.open(f"task:{step}", (chance.choice(names),), limits):
                        names.append(f"task:{step}")
                case 1 | 2:
                    if not budget.reserve(str(step), chance.choice(names), amounts):
                        held.append(str(step))
                case 3 if held:  # may have cost more than was reserved
                    budget.settle(held.pop(chance.randrange(len(held))), chance.choice([None, amounts]))
                case 4:
                    budget.spend(chance.choice(names), amounts)
                case 5:
                    budget.limit(chance.choice(names), Limits(tokens=chance.choice([None, 10, 400])))
                case 6 if len(names) > 1:
                    budget.close(names.pop())
            for account in budget.state.accounts.values():
                for name in COUNTED:
                    limit = getattr(account.limits, name)
                    assert limit is None or account.used(name) <= limit
                    assert account.used(name) >= 0
        for id in budget.unsettled():
            budget.settle(id)
        assert all(account.reserved == Amounts() for account in budget.state.accounts.values())


class Played:
    def __init__(self) -> None:
        self.machine = Machine()
        self.now = 10.0
        kinds = (Kind("agent", 4, agent=True), Kind("shell", 4))
        self.tell(e.KernelStarted(self.now, 1, kinds, tiers={"fast": 4}))

    def tell(self, event: e.Event) -> list[e.Command]:
        return self.machine.handle(event)

    def dispatch(self, uid: str, **more: object) -> None:
        spec = Spec(uid, uid, brief="x", **{"worker": "agent", "tier": "fast", **more})  # type: ignore[arg-type]
        self.tell(e.TasksDispatched(self.now, "r", tasks=(spec,)))

    def reserve(self, uid: str, id: str, tokens: int) -> e.Command:
        wish = e.ReserveAsked(self.now, id, id=id, amounts=Amounts(tokens_out=tokens), uid=uid, attempt=1)
        return next(found for found in self.tell(wish) if isinstance(found, e.Accepted | e.Refused))


def test_a_task_reserves_before_it_spends_and_is_refused_beyond_its_budget() -> None:
    played = Played()
    played.dispatch("a", budget=Limits(tokens=100))
    assert isinstance(played.reserve("a", "1", 80), e.Accepted)
    refused = played.reserve("a", "2", 30)
    assert isinstance(refused, e.Refused)
    assert "its budget of 100 tokens is spent" in refused.reason
    played.tell(e.Settled(played.now, "1", Amounts(tokens_out=50)))
    assert isinstance(played.reserve("a", "3", 50), e.Accepted)


def test_the_notebooks_budget_holds_for_all_tasks_together() -> None:
    played = Played()
    played.tell(e.BudgetsDeclared(played.now, {"notebook": Limits(tokens=100)}))
    for uid in "ab":
        played.dispatch(uid)
    assert isinstance(played.reserve("a", "1", 60), e.Accepted)
    assert isinstance(played.reserve("b", "2", 60), e.Refused)


def test_what_was_under_way_when_the_kernel_died_counts_as_spent() -> None:
    played = Played()
    played.dispatch("a", budget=Limits(tokens=100))
    played.reserve("a", "1", 80)
    played.tell(e.KernelStarted(played.now, 2, (Kind("agent", 4, agent=True),), tiers={"fast": 4}))
    assert played.machine.spending.budget.unsettled() == []
    assert played.machine.spending.budget.room("task:a").tokens == 20


def test_so_does_what_a_turn_of_the_master_had_reserved() -> None:
    played = Played()
    played.tell(e.BudgetsDeclared(played.now, {"notebook": Limits(tokens=100)}))
    played.tell(e.ReserveAsked(played.now, "1", id="1", amounts=Amounts(tokens_in=30), turn=1))
    played.tell(e.KernelStarted(played.now, 2, (Kind("agent", 4, agent=True),)))
    played.tell(e.BudgetsDeclared(played.now, {"notebook": Limits(tokens=100)}))
    assert played.machine.spending.budget.unsettled() == []
    assert played.machine.spending.budget.room("notebook").tokens == 70


def test_what_a_mistake_overdrew_stays_used_and_leaves_nothing() -> None:
    played = Played()
    played.dispatch("a", budget=Limits(tokens=100))
    account = played.machine.state.budgets.accounts["task:a"]
    account.spent = Amounts(tokens_in=130)
    assert account.overdrawn
    played.tell(e.KernelStarted(played.now, 2, (Kind("agent", 4, agent=True),), tiers={"fast": 4}))
    assert not account.overdrawn
    assert (account.limits.tokens, account.wanted.tokens) == (130, 100)
    assert played.machine.spending.budget.room("task:a").tokens == 0


def test_each_change_of_an_account_is_told_once() -> None:
    budget = Budget()
    budget.open("above", (), Limits(tokens=10))
    budget.open("a", ("above",))
    assert budget.take_changed() == {"above": (Figure("above", "tokens", 10, 0, 0, 0),), "a": ()}
    assert budget.take_changed() == {}
    budget.reserve("1", "a", Amounts(tokens_in=4))
    held = {found.quantity: found.reserved for found in budget.take_changed()["above"]}
    assert held == {"tokens": 4, "tokens_in": 4}
    budget.close("a")
    assert budget.take_changed()["a"] == ()


def test_a_limit_that_the_settings_no_longer_name_is_gone() -> None:
    played = Played()
    played.tell(e.BudgetsDeclared(played.now, {"notebook": Limits(tokens=100), "tier:fast": Limits(tokens=50)}))
    played.dispatch("a")
    assert isinstance(played.reserve("a", "1", 60), e.Refused)
    played.tell(e.BudgetsDeclared(played.now, {"notebook": Limits(tokens=100)}))
    assert isinstance(played.reserve("a", "2", 60), e.Accepted)
    played.tell(e.KernelStarted(played.now, 2, (Kind("agent", 4, agent=True, resumable=True),), tiers={"fast": 4}))
    assert played.machine.spending.budget.room("notebook") == Limits()


def test_a_task_whose_time_is_spent_is_stopped_and_says_so() -> None:
    played = Played()
    played.dispatch("a", worker="shell", tier="", budget=Limits(millis=5_000))
    due = played.machine.due()
    assert due is not None
    assert abs(due - 15.0) < 0.01
    wishes = played.tell(e.TimePassed(due))
    assert e.StopTask("a", 1) in wishes
    task = played.machine.tasks["a"]
    assert task.state is State.FAILED
    assert task.failure is not None
    assert (task.failure.kind, task.failure.name) == ("budget", "OverBudget")


@pytest.mark.parametrize("cooperative", [True, False])
def test_until_one_whose_time_is_spent_has_stopped_the_clock_is_not_asked_again(cooperative: bool) -> None:
    played = Played()
    played.tell(e.KindDeclared(10.0, Kind("shell", 4, cooperative=cooperative)))
    played.dispatch("a", worker="shell", tier="", budget=Limits(millis=5_000))
    played.tell(e.TimePassed(15.0))
    assert played.machine.due() is None
    played.tell(e.TaskStopped(17.0, "a", 1))
    account = played.machine.state.budgets.accounts["task:a"]
    assert (account.spent.millis, account.over.millis) == (5_000, 2_000)


def test_paused_time_costs_nothing() -> None:
    played = Played()
    played.dispatch("a", worker="shell", tier="", budget=Limits(millis=5_000))
    played.tell(e.PauseAsked(11.0, "p", targets=("a",)))
    assert played.machine.spending.due() is None
    played.tell(e.ResumeAsked(100.0, "r", targets=("a",)))
    due = played.machine.due()
    assert due is not None
    assert abs(due - 104.0) < 0.01


def test_time_in_which_no_kernel_was_there_costs_only_what_ran_on() -> None:
    played = Played()
    kinds = (Kind("agent", 4, agent=True), Kind("shell", 4), Kind("kernel", 4, adoptable=True))
    played.tell(e.KernelStarted(10.0, 2, kinds, tiers={"fast": 4}))
    for uid, worker in (("lost", "shell"), ("on", "kernel")):
        played.dispatch(uid, worker=worker, tier="", budget=Limits(millis=100_000))
    played.tell(e.WorkerStarted(11.0, "on", 1, Process(1, 1.0)))
    played.tell(e.KernelStarted(60.0, 3, kinds, tiers={"fast": 4}))
    played.tell(e.CancelAsked(61.0, "c", targets=("on",)))
    played.tell(e.TaskStopped(61.0, "on", 1))
    spent = {name: account.spent.millis for name, account in played.machine.state.budgets.accounts.items()}
    assert spent["task:on"] == 51_000
    assert spent["task:lost"] == 0


def test_no_more_of_what_a_task_dispatches_run_at_once_than_its_slots() -> None:
    played = Played()
    played.dispatch("above", worker="shell", tier="", budget=Limits(slots=2))
    for uid in ("a", "b", "c"):
        played.dispatch(uid, parent="above")
    played.dispatch("other")
    states = {uid: task.state for uid, task in played.machine.tasks.items()}
    assert [states[uid] for uid in ("a", "b", "c", "other")] == [
        State.RUNNING, State.RUNNING, State.QUEUED, State.RUNNING,
    ]  # fmt: skip
    heir = Machine(msgspec.json.decode(msgspec.json.encode(played.machine.state), type=MachineState))
    for machine in (played.machine, heir):
        machine.handle(e.TaskFinished(played.now, "a", 1, Result()))
        assert machine.tasks["c"].state is State.RUNNING


def test_more_tasks_or_deeper_ones_than_a_budget_allows_are_refused_together() -> None:
    played = Played()
    played.dispatch("above", worker="shell", tier="", budget=Limits(children=3, depth=1))
    specs = tuple(Spec(uid, uid, "shell", "x", parent="above") for uid in "abcd")
    answer = played.tell(e.TasksDispatched(played.now, "r", tasks=specs))[0]
    assert isinstance(answer, e.Refused)
    assert answer.reason.startswith("task 'above' can't dispatch that: its budget of 3 tasks below it is spent")
    assert list(played.machine.tasks) == ["above"]
    played.tell(e.TasksDispatched(played.now, "r", tasks=specs[:3]))
    assert len(played.machine.tasks) == 4
    deeper = played.tell(e.TasksDispatched(played.now, "r", tasks=(Spec("z", "z", "shell", "x", parent="a"),)))[0]
    assert isinstance(deeper, e.Refused)
    assert "allows no tasks below it" in deeper.reason


def test_a_task_below_another_spends_from_its_own_tier_too() -> None:
    played = Played()
    played.tell(e.BudgetsDeclared(played.now, {"tier:fast": Limits(tokens=50)}))
    played.dispatch("above", worker="shell", tier="", budget=Limits(tokens=1_000))
    played.dispatch("a", parent="above")
    refused = played.reserve("a", "1", 60)
    assert isinstance(refused, e.Refused)
    assert "the budget of the tier fast of 50 tokens" in refused.reason
