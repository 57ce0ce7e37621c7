from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import msgspec
import pytest
from agent_doubles import Scene, ScriptedModel, end, use

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.limits import Limits
from jupyter_orchestra.core.machine import Machine
from jupyter_orchestra.core.model import Kind, Spec
from jupyter_orchestra.core.ports import Job
from jupyter_orchestra.purse import AskingPurse


class Counter:
    """A machine at whose counter an agent pays."""

    def __init__(self, limits: Limits) -> None:
        self.machine = Machine()
        self.machine.handle(e.KernelStarted(1.0, 1, (Kind("agent", 4, agent=True),), tiers={"standard": 4}))
        spec = Spec("u1", "scan", "agent", "Look around.", tier="standard", budget=limits)
        self.machine.handle(e.TasksDispatched(1.0, "r", tasks=(spec,)))
        ids = itertools.count()
        self.purse = AskingPurse(
            self.machine.spending, self.ask, self.tell, lambda: 2.0, lambda: f"id{next(ids)}", uid="u1", attempt=1
        )

    def tell(self, event: e.Event) -> None:
        self.machine.handle(event)

    def ask(self, event: e.Asked) -> Future[e.Answer]:
        future: Future[e.Answer] = Future()
        wishes = self.machine.handle(event)
        future.set_result(next(wish for wish in wishes if isinstance(wish, e.Accepted | e.Refused)))
        return future

    @property
    def spent(self) -> Any:
        return self.machine.state.budgets.accounts["task:u1"].spent


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


@pytest.fixture
def paying(scene: Scene) -> Callable[[Limits], tuple[Counter, Job]]:
    def make(limits: Limits) -> tuple[Counter, Job]:
        counter = Counter(limits)
        return counter, msgspec.structs.replace(scene.job(), purse=counter.purse)

    return make


def test_what_an_agent_spent_is_settled_by_what_it_really_was(
    scene: Scene, paying: Callable[[Limits], tuple[Counter, Job]]
) -> None:
    counter, job = paying(Limits(tokens=100_000))
    scene.finish(ScriptedModel(use("list_files"), end()), job)
    assert (counter.spent.tokens_in, counter.spent.tokens_out, counter.spent.tool_calls) == (20, 4, 2)
    assert counter.machine.spending.budget.unsettled() == []


def test_no_request_is_made_that_the_budget_does_not_hold(
    scene: Scene, paying: Callable[[Limits], tuple[Counter, Job]]
) -> None:
    counter, job = paying(Limits(tokens=300))
    model = ScriptedModel(end())
    failed = scene.fail(model, job)
    assert (failed.failure.kind, failed.failure.name) == ("budget", "OverBudget")
    assert "its budget of 300 tokens is spent" in failed.failure.message
    assert "--budget" in failed.failure.message
    assert model.requests == []
    assert counter.spent.tokens == 0


def test_a_reply_may_be_no_longer_than_what_is_left(
    scene: Scene, paying: Callable[[Limits], tuple[Counter, Job]]
) -> None:
    _, job = paying(Limits(tokens_out=700))
    model = ScriptedModel(end())
    scene.finish(model, job)
    assert model.requests[0].max_tokens == 700


def test_tool_calls_are_counted_and_end_with_the_budget(
    scene: Scene, paying: Callable[[Limits], tuple[Counter, Job]]
) -> None:
    _, job = paying(Limits(tool_calls=2))
    failed = scene.fail(ScriptedModel(use("list_files"), use("list_files", path="."), use("list_files", depth=1)), job)
    assert failed.failure.name == "OverBudget"
    assert "tool calls" in failed.failure.message


def test_without_limits_nothing_is_asked(scene: Scene, paying: Callable[[Limits], tuple[Counter, Job]]) -> None:
    counter, job = paying(Limits())
    asked: list[e.Asked] = []
    counter.ask = lambda event: asked.append(event)  # type: ignore[method-assign, assignment, func-returns-value]
    model = ScriptedModel(end())
    scene.finish(model, job)
    assert asked == []
    assert model.requests[0].max_tokens == 0
    assert counter.spent.tokens == 12
