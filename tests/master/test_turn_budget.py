from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from house import House
from shapes import shape

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.budget import Account
from jupyter_orchestra.core.limits import Limits
from jupyter_orchestra.core.talk import TurnState
from jupyter_orchestra.models.retries import Retries
from jupyter_orchestra.models.values import ModelUsage
from jupyter_orchestra.testing.model_server import Step, ToolCall

Build = Callable[..., House]
USAGE = ModelUsage(tokens_in=900, tokens_out=50)


def limit(house: House, **limits: Limits) -> None:
    named = {name.replace("_", ":"): found for name, found in limits.items()}
    house.runtime.post(e.BudgetsDeclared(house.at, named))
    house.settled()


def account(house: House, name: str = "notebook") -> Account:
    return house.runtime.machine.state.budgets.accounts[name]


def longest(house: House) -> int:
    """How long the last reply might have been."""
    body = house.last.body
    return int(body.get("max_output_tokens") or body.get("max_tokens") or 0)


def test_a_turn_pays_from_the_budgets_of_its_tier_and_of_the_notebook(build: Build) -> None:
    house = build([Step(say="Good morning.", usage=USAGE), Step(say="Good night.", usage=USAGE)])
    limit(house, notebook=Limits(tokens=50_000))
    assert house.chat("hello").state is TurnState.DONE
    assert 0 < longest(house) <= 50_000
    assert (account(house).spent.tokens_in, account(house).spent.tokens_out) == (900, 50)
    house.chat("bye", tier="fast")
    assert account(house, "tier:strong").spent.tokens == 950
    assert account(house, "tier:fast").spent.tokens == 950
    assert account(house).spent.tokens == 1_900
    assert account(house).reserved.tokens == 0


def test_without_a_budget_nothing_limits_a_reply_and_what_it_used_is_known(build: Build) -> None:
    house = build([Step(say="Good morning.", usage=USAGE)])
    house.chat("hello")
    assert longest(house) == 0
    house.until(lambda: account(house).spent.tokens == 950)


def test_a_turn_that_its_budget_does_not_hold_fails_and_says_what_to_raise(build: Build) -> None:
    house = build([Step(say="Good morning.", usage=USAGE)])
    limit(house, notebook=Limits(tokens=500))
    turn = house.chat("hello")
    assert turn.state is TurnState.FAILED
    assert "the notebook's budget of 500 tokens is spent" in turn.reason
    assert "%config Orchestra.budget" in turn.reason
    assert "%orchestra retry" in turn.reason
    assert house.requests == []
    limit(house, notebook=Limits(tokens=100_000))
    house.retry()
    assert house.rest().text == "Good morning."
    assert shape(house.log) == ["person: hello", "master: Good morning."]


def test_a_tiers_budget_names_its_own_setting(build: Build) -> None:
    house = build([Step(say="Good morning.")])
    limit(house, tier_strong=Limits(tokens=500))
    turn = house.chat("hello")
    assert "the budget of the tier strong of 500 tokens" in turn.reason
    assert "%config Orchestra.strong_budget" in turn.reason
    assert house.chat("hello", tier="fast").state is TurnState.DONE


def test_the_budget_ends_a_turn_between_its_steps_and_no_call_stays_open(build: Build) -> None:
    spends = Step(call=[ToolCall("status", {})], usage=ModelUsage(tokens_in=19_000, tokens_out=10))
    house = build([spends])
    limit(house, notebook=Limits(tokens=20_000))
    turn = house.chat("how is it going?")
    assert turn.state is TurnState.FAILED
    assert "the notebook's budget" in turn.reason
    assert len(house.requests) == 1
    kinds = [item["type"] for item in house.log]
    assert kinds.count("function_call") == kinds.count("function_call_output")


@pytest.mark.parametrize(("fault", "costs"), [("401", False), ("500", False), ("429", False), ("cut", True)])
def test_what_failed_costs_something_only_if_it_may_have_been_worked_on(build: Build, fault: Any, costs: bool) -> None:
    house = build([Step(say="a b c d", fault=fault)], retries=Retries(tries=1))
    limit(house, notebook=Limits(tokens=50_000))
    assert house.chat("hello").state is TurnState.FAILED
    house.until(lambda: account(house).reserved.tokens == 0)
    assert (account(house).spent.tokens > 1_000) is costs


def test_a_turn_that_was_under_way_when_the_kernel_died_has_spent_all_that_it_had_reserved(build: Build) -> None:
    house = build([Step(say="Good morning."), Step(say="Good morning.")])
    limit(house, notebook=Limits(tokens=50_000))
    gate = house.hold()
    house.say("hello")
    house.until(lambda: len(house.requests) == 1)
    reserved = account(house).reserved.tokens
    assert reserved > 1_000
    heir = house.crash()
    gate.set()
    assert account(heir).spent.tokens >= reserved
    assert account(heir).reserved.tokens == 0
    heir.rest()
