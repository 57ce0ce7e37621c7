from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import msgspec
import pytest
from agent_doubles import Scene, ScriptedModel, call, end, said_by_person, say, use

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.limits import Limits
from jupyter_orchestra.core.machine import Machine
from jupyter_orchestra.core.model import Kind, Spec
from jupyter_orchestra.core.ports import Failed, Job, Outcome
from jupyter_orchestra.errors import ModelError
from jupyter_orchestra.models.values import ModelUsage
from jupyter_orchestra.purse import AskingPurse
from jupyter_orchestra.resources.allowance import Allowance, AllowanceFile

USED = ModelUsage(tokens_in=2_500, tokens_out=90)


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
    assert (counter.spent.tokens_in, counter.spent.tokens_out, counter.spent.tool_calls) == (20, 4, 1)
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


def test_its_result_an_agent_may_give_without_a_call_that_is_left(
    scene: Scene, paying: Callable[[Limits], tuple[Counter, Job]]
) -> None:
    counter, job = paying(Limits(tool_calls=1))
    scene.finish(ScriptedModel(use("list_files"), end("found it")), job)
    assert counter.spent.tool_calls == 1


def test_what_it_had_written_by_then_is_kept_when_its_budget_ends(
    scene: Scene, paying: Callable[[Limits], tuple[Counter, Job]]
) -> None:
    _, job = paying(Limits(tool_calls=1))
    model = ScriptedModel(say("First, the files.", call("list_files")), say("Now the tests.", call("list_files")))
    failed = scene.fail(model, job)
    assert failed.failure.line().startswith("OverBudget: its budget of 1 tool calls is spent")
    assert "First, the files.\n\nNow the tests." in failed.result.report
    assert failed.result.usage.tokens_in == 20


def test_what_its_tools_give_counts_as_output(scene: Scene, paying: Callable[[Limits], tuple[Counter, Job]]) -> None:
    (scene.project / "a.txt").write_text("x" * 5_000)
    counter, job = paying(Limits(output_bytes=4_000))
    failed = scene.fail(ScriptedModel(use("read_file", path="a.txt"), use("read_file", path="a.txt"), end()), job)
    assert "its budget of 4,000 bytes of output is spent" in failed.failure.message
    assert counter.spent.output_bytes == 4_000


def test_near_its_end_an_agent_is_told_once_to_finish(
    scene: Scene, paying: Callable[[Limits], tuple[Counter, Job]]
) -> None:
    _, job = paying(Limits(tokens=100_000))
    dear = msgspec.structs.replace(use("list_files"), usage=ModelUsage(tokens_in=44_000, tokens_out=500))
    model = ScriptedModel(dear, use("list_files", depth=1), end())
    scene.finish(model, job)
    told = [sum("nearly spent" in text for text in said_by_person(request)) for request in model.requests]
    assert told == [0, 1, 1]


def test_a_request_that_failed_before_a_model_saw_it_costs_nothing(
    scene: Scene, paying: Callable[[Limits], tuple[Counter, Job]]
) -> None:
    counter, job = paying(Limits(tokens=100_000))
    failed = scene.fail(ScriptedModel(ModelError("auth", "401: the key was refused")), job)
    assert failed.failure.name == "ModelError"
    assert counter.spent.tokens == 0
    assert counter.machine.spending.budget.unsettled() == []


def test_one_that_broke_off_costs_all_that_was_reserved(
    scene: Scene, paying: Callable[[Limits], tuple[Counter, Job]]
) -> None:
    counter, job = paying(Limits(tokens=100_000))
    error = ModelError("cut", "it broke off")
    error.begun = True
    scene.fail(ScriptedModel(error), job)
    assert counter.spent.tokens_out == 8_192
    assert counter.spent.tokens_in > 1_000


def test_agents_side_by_side_never_overdraw_what_they_share(scene: Scene) -> None:
    counter = Counter(Limits())
    counter.tell(e.BudgetsDeclared(1.0, {"notebook": Limits(tokens=60_000)}))
    ids = itertools.count()
    spec = Spec("u", "more", "agent", "Look around.", tier="standard")
    specs = [msgspec.structs.replace(spec, uid=f"more{n}", name=f"more{n}") for n in range(3)]
    for one in specs:
        counter.tell(e.TasksDispatched(1.0, one.uid, tasks=(one,)))

    async def main() -> list[Outcome]:
        jobs = [
            msgspec.structs.replace(
                scene.job(),
                spec=msgspec.structs.replace(scene.job().spec, uid=one.uid),
                purse=AskingPurse(
                    counter.machine.spending, counter.ask, counter.tell, lambda: 2.0,
                    lambda: f"more{next(ids)}", uid=one.uid, attempt=1,
                ),
            )
            for one in specs
        ]  # fmt: skip
        steps = [msgspec.structs.replace(use("list_files", depth=1 + n % 8), usage=USED) for n in range(30)]
        return list(await asyncio.gather(*(scene.run(ScriptedModel(*steps), job) for job in jobs)))

    outcomes = asyncio.run(main())
    account = counter.machine.state.budgets.accounts["notebook"]
    assert account.spent.tokens <= 60_000
    assert account.over.tokens == 0
    assert account.reserved.tokens == 0
    assert all(isinstance(found, Failed) and found.failure.kind == "budget" for found in outcomes)


@pytest.mark.parametrize("own", [Limits(), Limits(tokens=100_000)])
def test_what_all_notebooks_may_spend_is_asked_too(scene: Scene, tmp_path: Path, own: Limits) -> None:
    counter = Counter(own)
    day = Allowance(Limits(tokens=60_000), AllowanceFile(tmp_path / "budget.db"))
    counter.purse = AskingPurse(
        counter.machine.spending, counter.ask, counter.tell, lambda: 2.0, iter_ids(), uid="u1", attempt=1,
        allowance=lambda: day,
    )  # fmt: skip
    steps = [msgspec.structs.replace(use("list_files", depth=1 + n % 8), usage=USED) for n in range(40)]
    model = ScriptedModel(*steps)
    failed = scene.fail(model, msgspec.structs.replace(scene.job(), purse=counter.purse))
    assert (failed.failure.kind, failed.failure.name) == ("budget", "OverBudget")
    assert "the budget of all your notebooks for " in failed.failure.message
    assert "%config Orchestra.user_budget" in failed.failure.message
    day.close()
    assert 40_000 < counter.spent.tokens <= 60_000
    assert counter.spent.tokens == len(model.requests) * (USED.tokens_in + USED.tokens_out)
    assert day.room().tokens == 60_000 - counter.spent.tokens
    assert counter.machine.spending.budget.unsettled() == []
    assert model.requests[0].max_tokens > model.requests[-1].max_tokens > 0


def iter_ids() -> Callable[[], str]:
    ids = itertools.count()
    return lambda: f"id{next(ids)}"
