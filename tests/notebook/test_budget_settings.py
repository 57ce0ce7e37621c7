"""The settings that limit what is spent: what can't be right is said at once, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from traitlets import TraitError

from jupyter_orchestra.config import BUDGETS, BadSetting, Orchestra
from jupyter_orchestra.core.limits import Limits
from jupyter_orchestra.errors import UsageError


@pytest.fixture
def config() -> Iterator[Orchestra]:
    yield Orchestra()
    Orchestra.clear_instance()


def test_budgets_are_read_from_the_settings(config: Orchestra) -> None:
    config.user_budget, config.budget, config.fast_budget = "usd=5", "tokens=2M", "tokens=1k"
    assert config.allowance() == Limits(microusd=5_000_000)
    assert config.budgets() == {"notebook": Limits(tokens=2_000_000), "tier:fast": Limits(tokens=1_000)}
    config.user_budget = config.budget = config.fast_budget = ""
    assert (config.allowance(), config.budgets()) == (Limits(), {})


@pytest.mark.parametrize("name", BUDGETS)
def test_a_setting_that_is_no_budget_is_refused_and_the_old_one_holds(config: Orchestra, name: str) -> None:
    setattr(config, name, "tokens=5")
    with pytest.raises(BadSetting, match=rf"Orchestra\.{name}: a budget has no 'tokns': did you mean tokens") as caught:
        setattr(config, name, "tokns=5")
    assert getattr(config, name) == "tokens=5"
    assert isinstance(caught.value, UsageError)
    assert isinstance(caught.value, TraitError)


def test_all_notebooks_together_have_a_budget_of_what_models_cost_only(config: Orchestra) -> None:
    with pytest.raises(BadSetting, match="user_budget limits tokens, tokens_in, tokens_out, usd, not tokens=5,tools=3"):
        config.user_budget = "tokens=5,tools=3"


def test_no_project_says_what_a_person_spends_in_all(config: Orchestra, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.jupyter_orchestra]\nuser_budget = "usd=1000"\n')
    with pytest.raises(UsageError, match="user_budget is taken from your own settings only"):
        config.apply_project(tmp_path)
    assert config.user_budget == ""


def test_a_project_whose_budget_cant_be_read_is_told_so(config: Orchestra, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.jupyter_orchestra]\nbudget = "lots"\n')
    with pytest.raises(UsageError, match="a budget names limits such as"):
        config.apply_project(tmp_path)
