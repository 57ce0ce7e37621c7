"""Decides who may spend how much: the accounts of a notebook's tasks and of its master; it knows no model, no price.

A reservation whose spender is gone, with its attempt or with the whole kernel, is settled at all of it: what a request
cost that nobody saw the end of is not known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from . import events as e
from .budget import UNLIMITED, Budget, BudgetState
from .limits import Amounts, Limits
from .model import Spec, State, Task
from .naming import Refusal

NOTEBOOK = "notebook"
USER = "user"


class Spending:
    """The budgets of one notebook.

    Parameters
    ----------
    state
        All accounts.
    tasks
        All tasks, to be read.
    """

    def __init__(self, state: BudgetState, tasks: Mapping[str, Task]) -> None:
        self.budget = Budget(state)
        self._tasks = tasks
        if not self.budget.has(USER):
            self.budget.open(USER)
            self.budget.open(NOTEBOOK, (USER,))

    # what others ask

    def account_of(self, uid: str) -> str:
        """Where a task's spending counts: its own account, or the nearest one above."""
        own, task = account(uid), self._tasks.get(uid)
        if self.budget.has(own):
            return own
        return self._above(task.spec)[0] if task is not None else NOTEBOOK

    def account_of_turn(self, tier: str) -> str:
        """Where a turn's spending counts that asks the model of a tier; "" stands for a model by its name."""
        name = f"tier:{tier}"
        return name if tier and self.budget.has(name) else NOTEBOOK

    def refusal(self, specs: Iterable[Spec]) -> str:
        """Why tasks may not be dispatched together by the tasks that want them, in one line."""
        below = Counter(spec.parent for spec in specs if spec.parent in self._tasks)
        for parent, count in below.items():
            above = self.account_of(parent)
            who = f"task {self._tasks[parent].name!r} can't dispatch that"
            if self.budget.room(above).depth == 0:
                return f"{who}: its budget allows no tasks below it"
            if why := self.budget.refusal(above, Amounts(children=count)):
                return f"{who}: {why}"
        return ""

    def due(self) -> float | None:
        """When someone's time is over, POSIX seconds."""
        return self.budget.runs_out(self._goes_on)

    def out_of_time(self, now: float) -> list[tuple[Task, str]]:
        """The tasks that go on although their time is over, and why that is so."""
        late = self.budget.out_of_time(now)
        return [(self._tasks[uid], why) for uid, why in late.items() if self._goes_on(uid)]

    # what the machine tells

    def kernel_started(self, tiers: Iterable[str], ran_on: Collection[str] = ()) -> None:
        """A kernel took over: what was under way in the last one is settled at all of it.

        Only the tasks in `ran_on` ran meanwhile. What the settings allow follows.
        """
        self.budget.stop_clocks(ran_on)
        self._declare({})
        for id in self.budget.unsettled():
            self.budget.settle(id)
        for tier in tiers:
            self._open_tier(tier)
        self.budget.mend()

    def dispatched(self, task: Task, spends: bool) -> None:
        """A task was accepted. ``spends``: more than time, so that it has an account of its own."""
        spec = task.spec
        above = self._above(spec)
        if spec.parent in self._tasks:
            self.budget.spend(above[0], Amounts(children=1))
        nested = above[0].startswith("task:") or self.budget.room(above[0]).depth is not None
        if spends or spec.budget or nested:
            self.budget.open(account(spec.uid), above, spec.budget)

    def started(self, task: Task, now: float) -> None:
        """An attempt runs, or goes on."""
        self.budget.run(self.account_of(task.uid), task.uid, now)

    def rests(self, task: Task, now: float) -> None:
        """An attempt is held."""
        self.budget.rest(task.uid, now)

    def ended(self, uid: str, attempt: int, now: float) -> None:
        """Nothing of an attempt runs any more."""
        self.budget.rest(uid, now)
        for id in self.budget.unsettled(_holder(uid, attempt)):
            self.budget.settle(id)

    def forget(self, uid: str) -> None:
        """A task is no more."""
        self.budget.close(account(uid))

    # facts

    def handle(self, event: e.Event) -> list[e.Command]:
        """Take a fact in. Raises Refusal for a wish that can't be granted."""
        handler: Callable[[Any], list[e.Command]] = _HANDLERS[type(event)].__get__(self)
        return handler(event)

    def _on_reserve_asked(self, event: e.ReserveAsked) -> list[e.Command]:
        if event.uid:
            task = self._tasks.get(event.uid)
            if task is None or task.attempt != event.attempt or task.ended:
                raise Refusal("that attempt is over")
            where, holder = self.account_of(task.uid), _holder(event.uid, event.attempt)
        else:
            where, holder = self.account_of_turn(event.tier), f"turn#{event.turn}"
        if why := self.budget.reserve(event.id, where, event.amounts, holder):
            raise Refusal(why)
        return [e.Accepted(event.request)]

    def _on_settled(self, event: e.Settled) -> list[e.Command]:
        self.budget.settle(event.id, event.amounts)
        return []

    def _on_spent(self, event: e.Spent) -> list[e.Command]:
        task = self._tasks.get(event.uid)
        if task is not None:
            self.budget.spend(self.account_of(task.uid), event.amounts)
        elif not event.uid:
            self.budget.spend(self.account_of_turn(event.tier), event.amounts)
        return []

    def _on_budgets_declared(self, event: e.BudgetsDeclared) -> list[e.Command]:
        for name in event.limits:
            if name.startswith("tier:"):
                self._open_tier(name.removeprefix("tier:"))
        self._declare(event.limits)
        return []

    # helpers

    def _goes_on(self, uid: str) -> bool:
        """Whether a task runs and nobody has stopped it: of one that is only being ended, time is counted."""
        task = self._tasks.get(uid)
        return task is not None and task.state is State.RUNNING and not task.stopping

    def _declare(self, limits: Mapping[str, Limits]) -> None:
        """Set the limits of all accounts that settings limit; those that are not named have none."""
        for name in self.budget.state.accounts:
            if not name.startswith("task:"):
                self.budget.limit(name, limits.get(name, UNLIMITED))

    def _open_tier(self, tier: str) -> None:
        if not self.budget.has(f"tier:{tier}"):
            self.budget.open(f"tier:{tier}", (NOTEBOOK,))

    def _above(self, spec: Spec) -> tuple[str, ...]:
        """The accounts above a task's own, the one that it is dispatched from first."""
        tier = self.account_of_turn(spec.tier)
        parent = self._tasks.get(spec.parent)
        if parent is None:
            return (tier,)
        above = self.account_of(parent.uid)
        return (above,) if tier in (above, NOTEBOOK) else (above, tier)


def account(uid: str) -> str:
    """The account of a task."""
    return f"task:{uid}"


def _holder(uid: str, attempt: int) -> str:
    return f"{uid}#{attempt}"


_HANDLERS: dict[type[e.Event], Callable[..., list[e.Command]]] = {
    e.ReserveAsked: Spending._on_reserve_asked,
    e.Settled: Spending._on_settled,
    e.Spent: Spending._on_spent,
    e.BudgetsDeclared: Spending._on_budgets_declared,
}
OF_SPENDING = frozenset(_HANDLERS)
