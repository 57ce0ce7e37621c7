"""Any order of what spenders, settings and kernels do: no limit is ever exceeded, nothing is ever counted twice."""

from __future__ import annotations

import os

import msgspec
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.budget import Budget, BudgetState, Figure
from jupyter_orchestra.core.limits import COUNTED, NOTHING, SPENT, Amounts, Limits
from jupyter_orchestra.core.machine import Machine, MachineState
from jupyter_orchestra.core.model import ENDED, Failure, Kind, Result, Spec, State

SCHEDULES = int(os.environ.get("ORCHESTRA_SCHEDULES", "2000"))
STEPS = int(os.environ.get("ORCHESTRA_STEPS", "40"))
SHRINK = os.environ.get("ORCHESTRA_SHRINK", "1") == "1"

picks = st.integers(0, 30)
some = st.integers(0, 60)
amounts = st.builds(
    Amounts, tokens_in=some, tokens_out=some, microusd=some, tool_calls=st.integers(0, 2), output_bytes=some
)
maybe = st.one_of(st.none(), st.integers(0, 150))
limits = st.builds(
    Limits, tokens=maybe, tokens_in=maybe, tokens_out=maybe, microusd=maybe, tool_calls=maybe, output_bytes=maybe
)


def check_limits(state: BudgetState) -> None:
    for name, account in state.accounts.items():
        for quantity in COUNTED:
            limit = getattr(account.limits, quantity)
            assert getattr(account.reserved, quantity) >= 0, (name, quantity)
            assert getattr(account.spent, quantity) >= 0, (name, quantity)
            assert limit is None or account.used(quantity) <= limit, (name, quantity)
            assert account.free(quantity) is None or account.free(quantity) >= 0  # type: ignore[operator]
        assert account.below == sum(name in other.parents for other in state.accounts.values())


class Mirror:
    """What the journal's table would hold: only what it was told of."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[Figure, ...]] = {}

    def check(self, budget: Budget) -> None:
        self.rows |= budget.take_changed()
        for found in (one for figures in self.rows.values() for one in figures):
            assert found.limit is None or found.reserved + found.spent <= found.limit
        all_anew = Budget(budget.state)
        all_anew.mend()
        assert {name: rows for name, rows in self.rows.items() if rows} == {
            name: rows for name, rows in all_anew.take_changed().items() if rows
        }


class Accounts(RuleBasedStateMachine):
    """A budget beside a ledger of its own: what each account must have reserved, spent and over, together."""

    @initialize(user=limits, notebook=limits)
    def begin(self, user: Limits, notebook: Limits) -> None:
        self.budget, self.mirror = Budget(), Mirror()
        assert self.budget.open("user", (), user) == ""
        assert self.budget.open("notebook", ("user",), notebook) == ""
        self.reserved: dict[str, tuple[set[str], Amounts]] = {}  # id -> the accounts that it counts in
        self.gone: list[str] = []
        self.total: dict[str, Amounts] = {}  # account -> all that was ever spent there or below
        self.ids = 0

    def pick(self, number: int) -> str:
        names = list(self.budget.state.accounts)
        return names[number % len(names)]

    def chain(self, name: str) -> set[str]:
        above = self.budget.state.accounts[name].parents
        return {name}.union(*(self.chain(parent) for parent in above))

    def note(self, chain: set[str], spent: Amounts) -> None:
        for name in chain & set(self.budget.state.accounts):
            self.total[name] = self.total.get(name, NOTHING) + spent

    @rule(above=st.lists(picks, min_size=1, max_size=2), limits=limits)
    def open(self, above: list[int], limits: Limits) -> None:
        self.ids += 1
        parents = tuple(dict.fromkeys(self.pick(number) for number in above))
        assert self.budget.open(f"task:{self.ids}", parents, limits) == ""
        assert self.budget.open(f"task:{self.ids}", parents, limits) != ""  # it is there already

    @rule(where=picks, wanted=amounts)
    def reserve(self, where: int, wanted: Amounts) -> None:
        account, before = self.pick(where), msgspec.json.encode(self.budget.state)
        room = self.budget.room(account)
        fits = all(getattr(room, name) is None or getattr(wanted, name) <= getattr(room, name) for name in COUNTED)
        self.ids += 1
        why = self.budget.reserve(f"r{self.ids}", account, wanted, account)
        assert (why == "") is fits
        if why:
            assert "\n" not in why
            assert msgspec.json.encode(self.budget.state) == before
        else:
            self.reserved[f"r{self.ids}"] = self.chain(account), wanted

    @precondition(lambda self: self.reserved)
    @rule(which=picks)
    def reserve_the_same_again(self, which: int) -> None:
        id = list(self.reserved)[which % len(self.reserved)]
        before = msgspec.json.encode(self.budget.state)
        assert self.budget.reserve(id, self.pick(which), Amounts(tokens_in=1)) != ""
        assert msgspec.json.encode(self.budget.state) == before

    @precondition(lambda self: self.reserved)
    @rule(which=picks, actual=st.one_of(st.none(), amounts))
    def settle(self, which: int, actual: Amounts | None) -> None:
        id = list(self.reserved)[which % len(self.reserved)]
        chain, most = self.reserved.pop(id)
        assert self.budget.settle(id, actual)
        self.note(chain, most if actual is None else actual)
        self.gone.append(id)

    @precondition(lambda self: self.gone)
    @rule(which=picks, actual=amounts)
    def settle_late(self, which: int, actual: Amounts) -> None:
        before = msgspec.json.encode(self.budget.state)
        assert not self.budget.settle(self.gone[which % len(self.gone)], actual)
        assert msgspec.json.encode(self.budget.state) == before

    @rule(where=picks, spent=amounts)
    def spend(self, where: int, spent: Amounts) -> None:
        account = self.pick(where)
        self.budget.spend(account, spent)
        self.note(self.chain(account), spent)

    @rule(where=picks, limits=limits)
    def limit(self, where: int, limits: Limits) -> None:
        self.budget.limit(self.pick(where), limits)

    @rule(where=picks)
    def close(self, where: int) -> None:
        account = self.pick(where)
        if account in ("user", "notebook"):
            return
        for id in [id for id, held in self.budget.state.held.items() if held.account == account]:
            chain, most = self.reserved.pop(id)
            self.note(chain, most)
            self.gone.append(id)
        self.budget.close(account)
        assert not self.budget.has(account)
        self.total.pop(account, None)
        assert self.budget.reserve("x", account, NOTHING) != ""

    @rule()
    def crash(self) -> None:
        """The kernel dies: its successor knows the same, and settles what was under way at all of it."""
        self.budget = Budget(msgspec.json.decode(msgspec.json.encode(self.budget.state), type=BudgetState))
        for id in self.budget.unsettled():
            chain, most = self.reserved.pop(id)
            assert self.budget.settle(id)
            self.note(chain, most)
            self.gone.append(id)
        assert not self.reserved

    @invariant()
    def check(self) -> None:
        state = self.budget.state
        check_limits(state)
        self.mirror.check(self.budget)
        assert set(state.held) == set(self.reserved)
        for name, account in state.accounts.items():
            held = [most for chain, most in self.reserved.values() if name in chain]
            for quantity in SPENT:
                assert getattr(account.reserved, quantity) == sum(getattr(most, quantity) for most in held)
                counted = getattr(account.spent, quantity) + getattr(account.over, quantity)
                assert counted == getattr(self.total.get(name, NOTHING), quantity), (name, quantity)


class Notebook(RuleBasedStateMachine):
    """The same through the machine: tasks with budgets, below others too, that start, pause, end and are lost."""

    KINDS = (Kind("agent", 3, agent=True, resumable=True), Kind("kernel", 3))

    @initialize(notebook=limits, fast=limits, seconds=st.one_of(st.none(), st.integers(1, 20)))
    def begin(self, notebook: Limits, fast: Limits, seconds: int | None) -> None:
        self.machine, self.now, self.ids, self.mirror = Machine(), 100.0, 0, Mirror()
        millis = None if seconds is None else seconds * 1000
        self.declared = {"notebook": msgspec.structs.replace(notebook, millis=millis), "tier:fast": fast}
        self.started()

    def started(self) -> None:
        self.ids += 1
        self.tell(e.KernelStarted(self.now, self.ids, self.KINDS, tiers={"fast": 3, "strong": 1}))
        self.tell(e.BudgetsDeclared(self.now, self.declared))

    def tell(self, event: e.Event) -> list[e.Command]:
        wishes = self.machine.handle(event)
        budgets = self.machine.state.budgets
        check_limits(budgets)
        self.mirror.check(self.machine.spending.budget)
        for task in self.machine.tasks.values():
            runs = task.state is State.RUNNING
            assert sum(task.uid in account.live for account in budgets.accounts.values()) >= runs
            if task.state in ENDED and task.uid not in self.machine.state.holds:
                assert not any(task.uid in account.live for account in budgets.accounts.values())
                assert not self.machine.spending.budget.unsettled(f"{task.uid}#{task.attempt}")
        due = self.machine.spending.due()
        assert due is None or due > self.now - 0.01, "what is due lies ahead"
        return wishes

    def uid(self, number: int, *states: State) -> str:
        tasks = [task.uid for task in self.machine.tasks.values() if not states or task.state in states]
        return tasks[number % len(tasks)] if tasks else ""

    @rule(
        below=st.one_of(st.none(), picks),
        agent=st.booleans(),
        budget=limits,
        depth=st.one_of(st.none(), st.integers(0, 2)),
        children=st.one_of(st.none(), st.integers(0, 2)),
    )
    def dispatch(self, below: int | None, agent: bool, budget: Limits, depth: int | None, children: int | None) -> None:
        self.ids += 1
        uid, parent = f"u{self.ids}", "" if below is None else self.uid(below, State.RUNNING)
        spec = Spec(
            uid, uid, "agent" if agent else "kernel", "x", parent=parent, tier="fast" if agent else "",
            budget=msgspec.structs.replace(budget, depth=depth, children=children),
        )  # fmt: skip
        above = self.machine.tasks.get(parent)
        (answer,) = (w for w in self.tell(e.TasksDispatched(self.now, uid, tasks=(spec,))) if hasattr(w, "request"))
        if above is not None and above.spec.budget.depth == 0:
            assert isinstance(answer, e.Refused)
        if above is not None and above.spec.budget.children is not None:
            below_it = [task for task in self.machine.tasks.values() if task.spec.parent == parent]
            assert len(below_it) <= above.spec.budget.children

    @rule(who=picks, wanted=amounts, stale=st.booleans())
    def reserve(self, who: int, wanted: Amounts, stale: bool) -> None:
        if uid := self.uid(who):
            self.ids += 1
            task = self.machine.tasks[uid]
            asked = e.ReserveAsked(
                self.now, f"q{self.ids}", id=f"r{self.ids}", amounts=wanted, uid=uid, attempt=task.attempt - stale
            )
            (answer,) = (wish for wish in self.tell(asked) if hasattr(wish, "request"))
            if stale or task.ended:
                assert isinstance(answer, e.Refused)

    @rule(turn=st.integers(1, 2), wanted=amounts)
    def reserve_for_a_turn(self, turn: int, wanted: Amounts) -> None:
        self.ids += 1
        self.tell(e.ReserveAsked(self.now, f"q{self.ids}", id=f"r{self.ids}", amounts=wanted, turn=turn, tier="strong"))

    @rule(which=picks, actual=st.one_of(st.none(), amounts))
    def settle(self, which: int, actual: Amounts | None) -> None:
        self.tell(e.Settled(self.now, f"r{which}", actual))
        self.tell(e.Settled(self.now, f"r{which}", actual))  # comes twice

    @rule(who=picks, spent=amounts)
    def spend(self, who: int, spent: Amounts) -> None:
        self.tell(e.Spent(self.now, amounts=spent, uid=self.uid(who)))

    @rule(who=picks, how=st.sampled_from(("finish", "fail", "cancel", "pause", "resume", "forget")))
    def act(self, who: int, how: str) -> None:
        uid = self.uid(who)
        if not uid:
            return
        task = self.machine.tasks[uid]
        match how:
            case "finish" if task.state is State.RUNNING:
                self.tell(e.TaskFinished(self.now, uid, task.attempt, Result()))
            case "fail" if task.state is State.RUNNING:
                self.tell(e.TaskFailed(self.now, uid, task.attempt, Failure("exception", "E", "m"), Result()))
            case "cancel":
                self.tell(e.CancelAsked(self.now, "c", targets=(uid,)))
            case "pause":
                self.tell(e.PauseAsked(self.now, "p", targets=(uid,)))
            case "resume":
                self.tell(e.ResumeAsked(self.now, "r", targets=(uid,)))
            case "forget":
                self.tell(e.ForgetAsked(self.now, "f", targets=(uid,)))

    @rule(seconds=st.sampled_from((0.0, 0.0004, 0.3, 3.0, -2.0)))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.tell(e.TimePassed(self.now))

    @rule()
    def until_due(self) -> None:
        due = self.machine.spending.due()
        for _ in range(5):  # comes to an end, and soon
            if due is None:
                return
            self.now = max(self.now, due)
            self.tell(e.TimePassed(self.now))
            again = self.machine.spending.due()
            late = [t for t in self.machine.tasks.values() if t.stopping]
            if again != due or not late:
                return
            for task in late:
                self.tell(e.TaskStopped(self.now, task.uid, task.attempt))
            due = self.machine.spending.due()

    @rule(limits=limits, fast=limits)
    def declare(self, limits: Limits, fast: Limits) -> None:
        self.declared = {"notebook": limits, "tier:fast": fast}
        self.tell(e.BudgetsDeclared(self.now, self.declared))

    @rule(seconds=st.sampled_from((0.0, 50.0)))
    def crash(self, seconds: float) -> None:
        state = msgspec.json.decode(msgspec.json.encode(self.machine.state), type=MachineState)
        self.machine, self.now = Machine(state), self.now + seconds
        before = {name: account.spent.millis for name, account in state.budgets.accounts.items()}
        self.started()
        assert self.machine.spending.budget.unsettled() == []
        for name, account in self.machine.state.budgets.accounts.items():  # nobody ran meanwhile
            assert account.spent.millis == before[name]


CALM = settings(
    stateful_step_count=STEPS,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=tuple(Phase) if SHRINK else (Phase.explicit, Phase.generate),
)
TestAccounts = Accounts.TestCase
TestAccounts.settings = settings(CALM, max_examples=SCHEDULES // 2)
TestNotebook = Notebook.TestCase
TestNotebook.settings = settings(CALM, max_examples=SCHEDULES // 4)
