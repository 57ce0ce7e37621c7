"""Budgets as a person meets them: agents in real kernels, against a model that counts what it served."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from live_kernel import LiveKernel, wait_until

from jupyter_orchestra.models.values import ModelUsage
from jupyter_orchestra.testing.model_server import ModelServer, SeenRequest, Step, ToolCall

Start = Callable[..., LiveKernel]
USED = ModelUsage(tokens_in=2_500, tokens_out=90)
EACH = USED.tokens_in + USED.tokens_out
FINAL = {"headline": "Looked.", "summary": "Once.", "findings": [], "data": "{}", "artifacts": []}
PRICES = """
import msgspec
from jupyter_orchestra.models import client

def price(usage):
    return (usage.tokens_in + 10 * usage.tokens_out) / 1e6

async def cost(self, usage, model):
    return price(usage)

client.EndpointClient.cost = cost
client.Prices.add_cost = lambda self, usage, model: msgspec.structs.replace(usage, cost=price(usage))
"""  # what runs on this machine is free otherwise
RESERVED = "SELECT data FROM event WHERE kind = 'ReserveAsked'"
NOTEBOOK = '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'


class Looker:
    """An agent's model: who shall look around does so for ever, who shall wait is kept waiting, others end at once."""

    def __init__(self) -> None:
        self.gate = threading.Event()

    def __call__(self, seen: SeenRequest) -> Step:
        said = str(seen.items[:2])
        if "Look around" in said:
            depth = 1 + sum(item["type"] == "function_call" for item in seen.items) % 8
            return Step(say="One more look.", call=[ToolCall("list_files", {"depth": depth})], usage=USED)
        gate = self.gate if "Wait" in said else None
        return Step(call=[ToolCall("final_result", FINAL)], usage=USED, gate=gate)


@pytest.fixture
def looker() -> Looker:
    return Looker()


@pytest.fixture
def server(looker: Looker) -> Iterator[ModelServer]:
    with ModelServer(looker) as found:
        yield found


@pytest.fixture
def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "run").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    path = tmp_path / "nb.ipynb"
    path.write_text(NOTEBOOK)
    return path


@pytest.fixture
def nb(start_kernel: Start, notebook: Path, server: ModelServer) -> LiveKernel:
    return start_kernel(notebook, OPENAI_BASE_URL=server.url)


def read(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()


def account(nb: LiveKernel, name: str) -> dict[str, tuple[int, int, int]]:
    """Reserved, spent and over of an account, by what is counted, as another program reads it."""
    (folder,) = (nb.data / "orchestra" / name for name in nb.journals)
    query = f"SELECT quantity, reserved, spent, over FROM account WHERE account = '{name}'"
    return {quantity: (reserved, spent, over) for quantity, reserved, spent, over in read(folder / "journal.db", query)}


def of_the_day(nb: LiveKernel) -> tuple[int, int, int]:
    """The same of all tokens of all notebooks today."""
    query = "SELECT reserved, spent, over FROM account WHERE quantity = 'tokens'"
    ((reserved, spent, over),) = read(nb.data / "orchestra" / "budget.db", query)
    return reserved, spent, over


@pytest.mark.parametrize(
    ("budget", "said", "most"),
    [
        ("tokens=30k", "its budget of 30,000 tokens is spent", 30_000 // EACH),
        ("tools=2", "its budget of 2 tool calls is spent", 3),
        ("usd=0.05", "its budget of $0.05 is spent", 50_000 // (USED.tokens_in + 10 * USED.tokens_out)),
    ],
)
def test_a_task_ends_with_its_budget_and_what_it_did_is_kept(
    nb: LiveKernel, server: ModelServer, budget: str, said: str, most: int
) -> None:
    nb.run(PRICES)
    spender = nb.run(f"%%dispatch spender -w agent -r explorer --budget {budget}\nLook around.")
    nb.run("%%dispatch other -w agent -r explorer\nEnd at once.")
    assert nb.end("spender") == "failed"
    assert nb.end("other") == "done"
    assert said in nb.ask("jo.task('spender').view.reason")
    served = len(server.requests) - 1
    assert 2 < served <= most
    assert nb.ask("jo.task('spender').usage.tokens_in") == served * USED.tokens_in
    nb.until(lambda: said in spender.shown, why="the card says so")
    result = nb.try_run("%task spender").shown
    assert said in result
    assert result.count("One more look.") == served


def test_a_tasks_time_is_over_while_its_model_thinks(nb: LiveKernel, server: ModelServer, looker: Looker) -> None:
    nb.run("%%dispatch first -w agent -r explorer\nEnd at once.")
    assert nb.end("first") == "done"  # the models are found, so that the next one is asked at once
    nb.run("%%dispatch slow -w agent -r explorer --budget seconds=4,tokens=90k\nWait for it.")
    assert nb.end("slow") == "failed"
    assert "its budget of 4 s is spent" in nb.ask("jo.task('slow').view.reason")
    wait_until(lambda: server.dropped == 1)
    uid = nb.ask("jo.task('slow').uid")
    nb.until(lambda: account(nb, f"task:{uid}")["tokens"][0] == 0)
    assert account(nb, f"task:{uid}")["tokens"][1] > 1_000, "nobody saw the end of that request"
    nb.run("%%dispatch next -w agent -r explorer\nEnd at once.")
    assert nb.end("next") == "done"


def test_five_agents_side_by_side_never_overdraw_the_notebooks_budget(nb: LiveKernel, server: ModelServer) -> None:
    nb.run("%config Orchestra.budget = 'tokens=90k'\n%config Orchestra.standard_slots = 5")
    for number in range(5):
        nb.run(f"%%dispatch agent{number} -w agent -r explorer\nLook around.")
    assert {nb.end(f"agent{number}") for number in range(5)} == {"failed"}
    reasons = {nb.ask(f"jo.task('agent{number}').view.reason") for number in range(5)}
    assert all("the notebook's budget of 90,000 tokens is spent" in reason for reason in reasons)
    served = len(server.requests) * EACH
    assert 60_000 < served <= 90_000
    nb.until(lambda: account(nb, "notebook")["tokens"] == (0, served, 0))
    for number in range(5):
        assert "%config Orchestra.budget" in nb.ask(f"jo.task('agent{number}').view.reason")


def test_what_was_reserved_when_the_kernel_was_killed_is_spent(
    start_kernel: Start, tmp_path: Path, notebook: Path, server: ModelServer, looker: Looker
) -> None:
    profile = tmp_path / "ipython" / "profile_default"
    profile.mkdir(parents=True)
    (profile / "ipython_config.py").write_text(
        "c.Orchestra.user_budget = 'tokens=200k'\nc.Orchestra.budget = 'tokens=100k'\n"
    )
    first = start_kernel(notebook, OPENAI_BASE_URL=server.url)
    first.run("%%dispatch waits -w agent -r explorer\nWait for it.")
    wait_until(lambda: server.requests)
    first.kill()  # at once: what was reserved was durable before the request was made
    (folder,) = (first.data / "orchestra" / name for name in first.journals)
    asked = [json.loads(data) for (data,) in read(folder / "journal.db", RESERVED)]
    reserved = asked[0]["amounts"]["tokens_in"] + asked[0]["amounts"]["tokens_out"]
    assert len(asked) == 1

    second = start_kernel(notebook, OPENAI_BASE_URL=server.url)
    wait_until(lambda: len(server.requests) == 2)
    looker.gate.set()
    assert second.end("waits") == "done"
    second.until(lambda: account(second, "notebook")["tokens"] == (0, reserved + EACH, 0))
    second.until(lambda: of_the_day(second)[1:] == (reserved + EACH, 0), why="the day's account")


def test_two_notebooks_never_spend_more_in_a_day_than_the_person_allows(
    start_kernel: Start, tmp_path: Path, notebook: Path, server: ModelServer
) -> None:
    (tmp_path / "other.ipynb").write_text(NOTEBOOK)
    kernels = [start_kernel(path, OPENAI_BASE_URL=server.url) for path in (notebook, tmp_path / "other.ipynb")]
    for kernel in kernels:
        kernel.run("%config Orchestra.user_budget = 'tokens=70k'")
        for number in range(3):
            kernel.run(f"%%dispatch agent{number} -w agent -r explorer\nLook around.")
    for kernel in kernels:
        assert {kernel.end(f"agent{number}") for number in range(3)} == {"failed"}
        reason = kernel.ask("jo.task('agent0').view.reason")
        assert "the budget of all your notebooks for " in reason
        assert "%config Orchestra.user_budget" in reason
    served = len(server.requests) * EACH
    assert 40_000 < served <= 70_000
    kernels[0].until(lambda: of_the_day(kernels[0]) == (0, served, 0))
    kernels[1].run("%config Orchestra.user_budget = ''")
    kernels[1].run("%%dispatch free -w agent -r explorer\nEnd at once.")
    assert kernels[1].end("free") == "done"


def test_the_slots_of_a_tier_change_at_once(nb: LiveKernel, server: ModelServer, looker: Looker) -> None:
    nb.run("%config Orchestra.fast_slots = 1")
    for number in range(3):
        nb.run(f"%%dispatch agent{number} -w agent -t fast -r explorer\nWait for it.")
    wait_until(lambda: len(server.requests) == 1)
    assert [nb.state(f"agent{number}") for number in range(3)] == ["running", "queued", "queued"]
    nb.run("%config Orchestra.fast_slots = 3")
    wait_until(lambda: len(server.requests) == 3)
    assert [nb.state(f"agent{number}") for number in range(3)] == ["running"] * 3
    looker.gate.set()
    assert {nb.end(f"agent{number}") for number in range(3)} == {"done"}


def test_more_unfinished_tasks_than_are_allowed_are_refused_with_the_reason(nb: LiveKernel) -> None:
    nb.run("%config Orchestra.max_unfinished = 2")
    for number in range(2):
        nb.run(f"%%dispatch sleeper{number} -w shell\nsleep 600")
    said = nb.fail("%%dispatch late\n1")
    assert "2 tasks have not ended yet and the limit is 2: wait for some, cancel some" in said
    assert "%config Orchestra.max_unfinished" in said
    assert "Traceback" not in said
    nb.run("%config Orchestra.max_unfinished = 3")
    nb.run("%%dispatch late\n1")
    assert nb.end("late") == "done"
    nb.run("jo.cancel_all()")


def test_a_budget_that_is_none_is_said_at_the_cell_and_nothing_changes(nb: LiveKernel) -> None:
    nb.run("%config Orchestra.budget = 'tokens=5k'")
    said = nb.try_run("%config Orchestra.budget = 'tokns=5'").shown
    assert "Orchestra.budget: a budget has no 'tokns': did you mean tokens?" in said
    assert nb.run("%config Orchestra.budget").value == "'tokens=5k'"
