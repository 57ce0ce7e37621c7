"""The table of accounts: what it says, and what stands in it behind every budget."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable

import pytest

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.budget import Budget, Figure
from jupyter_orchestra.core.limits import Amounts, Limits
from jupyter_orchestra.core.machine import Machine
from jupyter_orchestra.core.model import Kind, Spec
from jupyter_orchestra.journal import Journal, recovery, schema
from jupyter_orchestra.journal.writer import Recorded
from jupyter_orchestra.thread import replay

from .conftest import Watch, settle

Start = Callable[..., Journal]
KINDS = (Kind("agent", 4, agent=True),)
OVERDRAWN = {"task:u1": (Figure("task:u1", "tokens", 100, 60, 50, 0),)}
ALL = "SELECT account, quantity, most, reserved, spent, over FROM account ORDER BY account, quantity"


def seen(journal: Journal, query: str = ALL) -> list[tuple[object, ...]]:
    settle(journal)
    return outside(journal, query)


def outside(journal: Journal, query: str) -> list[tuple[object, ...]]:
    with contextlib.closing(schema.reader(journal.folder / recovery.NAME)) as connection:
        return connection.execute(query).fetchall()


def told(machine: Machine, journal: Journal, event: e.AnyEvent) -> None:
    """What the runtime does with a fact."""
    journal.append(event)
    machine.handle(event)
    journal.project(accounts=machine.spending.budget.take_changed())


def dispatched(machine: Machine, journal: Journal) -> None:
    """A running agent with a budget of 100 tokens."""
    told(machine, journal, e.KernelStarted(1.0, 1, KINDS))
    spec = Spec("u1", "u1", "agent", "look", budget=Limits(tokens=100))
    told(machine, journal, e.TasksDispatched(1.0, "r", tasks=(spec,)))


def reserve(machine: Machine, journal: Journal, id: str, tokens: int) -> None:
    told(machine, journal, e.ReserveAsked(1.0, id, id=id, amounts=Amounts(tokens_in=tokens), uid="u1", attempt=1))


def test_it_says_what_each_account_has(start: Start) -> None:
    journal, machine = start(), Machine()
    dispatched(machine, journal)
    reserve(machine, journal, "a", 60)
    rows = [
        ("notebook", "tokens", None, 60, 0, 0),
        ("notebook", "tokens_in", None, 60, 0, 0),
        ("task:u1", "tokens", 100, 60, 0, 0),
        ("task:u1", "tokens_in", None, 60, 0, 0),
        ("user", "tokens", None, 60, 0, 0),
        ("user", "tokens_in", None, 60, 0, 0),
    ]
    assert seen(journal) == rows
    told(machine, journal, e.Settled(2.0, "a", Amounts(tokens_in=110)))
    assert seen(journal, f"{ALL} LIMIT 3")[2] == ("task:u1", "tokens", 100, 0, 100, 10)


def test_an_account_that_is_closed_is_not_there_any_more(start: Start) -> None:
    journal, budget = start(), Budget()
    for name in ("a", "b"):
        budget.open(name, (), Limits(tokens=5))
    journal.project(accounts=budget.take_changed())
    settle(journal)
    budget.close("a")
    journal.project(accounts=budget.take_changed())
    assert [row[0] for row in seen(journal)] == ["b"]


@pytest.mark.parametrize(
    ("most", "reserved", "spent", "over", "holds"),
    [
        (100, 60, 40, 0, True),
        (100, 0, 100, 1_000, True),
        (None, 10**15, 10**15, 0, True),
        (0, 0, 0, 0, True),
        (100, 60, 41, 0, False),
        (100, 101, 0, 0, False),
        (0, 0, 1, 0, False),
        (100, -1, 50, 0, False),
        (None, 0, -1, 0, False),
    ],
)
def test_the_database_takes_no_overdraft(most: int, reserved: int, spent: int, over: int, holds: bool) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    schema.upgrade(connection)
    row = ("a", "tokens", most, reserved, spent, over)
    expected = contextlib.nullcontext() if holds else pytest.raises(sqlite3.IntegrityError, match="CHECK constraint")
    with expected:
        connection.execute("INSERT INTO account VALUES(?, ?, ?, ?, ?, ?)", row)
    connection.close()


def test_an_overdraft_stops_the_journal_and_the_facts_are_kept(start: Start, watch: Watch) -> None:
    journal = start(delay=1000.0)
    durable = threading.Event()
    journal.append(e.TimePassed(1.0))
    journal.project(accounts=OVERDRAWN)
    journal.append(e.TimePassed(2.0))
    journal.barrier(durable.set)
    assert watch.is_blocked.wait(20)
    assert durable.is_set()
    (reason,) = watch.blocked
    assert "a bug in jupyter_orchestra" in reason
    assert "no budget is overdrawn" in reason
    assert "what happened so far is kept" in reason
    assert "\n" not in reason
    journal.append(e.TimePassed(3.0))
    journal.barrier(pytest.fail)
    assert not journal.close()
    assert outside(journal, "SELECT at FROM event") == [(1.0,), (2.0,)]
    assert outside(journal, ALL) == []


def test_after_it_the_next_start_makes_the_views_anew(start: Start, watch: Watch) -> None:
    journal = start()
    journal.append(e.TimePassed(1.0))
    journal.project(accounts=OVERDRAWN)
    assert watch.is_blocked.wait(20)
    journal.close()
    journal = start()
    assert journal.stale
    assert list(journal.events()) == [e.TimePassed(1.0)]
    journal.rebuild([])
    journal.append(e.TimePassed(2.0))
    settle(journal)
    journal.close()
    journal = start()
    assert not journal.stale
    assert [event.at for event in journal.events()] == [1.0, 2.0]


def test_a_machine_that_overdraws_is_stopped_by_its_journal_and_goes_on_with_nothing_left(
    start: Start, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, machine = start(), Machine()
    dispatched(machine, journal)
    with monkeypatch.context() as patch:
        patch.setattr(Budget, "refusal", lambda self, account, amounts: "")
        reserve(machine, journal, "a", 80)
        settle(journal)
        assert watch.blocked == []
        reserve(machine, journal, "b", 80)
        assert watch.is_blocked.wait(20)
        journal.close()
        journal = start()
        machine = replay(journal.events())
    assert machine.state.budgets.accounts["task:u1"].overdrawn
    journal.rebuild(machine.tasks.values())
    told(machine, journal, e.KernelStarted(3.0, 2, KINDS))
    assert ("task:u1", "tokens", 100, 0, 100, 60) in seen(journal)
    assert machine.spending.budget.room("task:u1").tokens == 0
    assert len(watch.blocked) == 1


def test_a_row_that_belongs_to_no_task_stops_it_too_and_loses_no_fact(start: Start, watch: Watch) -> None:
    journal = start()
    journal.append(e.TimePassed(1.0))
    journal._writer.add(Recorded(0.0, "", b"", [("outbox", ("nobody", 1, "queued"))]))
    assert watch.is_blocked.wait(20)
    assert outside(journal, "SELECT at FROM event") == [(1.0,)]
