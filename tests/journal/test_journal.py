"""Compaction, the views for readers outside, and journals of earlier versions."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.budget import Figure
from jupyter_orchestra.core.model import Failure, Process, Result, Spec, Stage, State, Task, Usage
from jupyter_orchestra.journal import Journal, recovery, schema

from .conftest import crash, settle

Start = Callable[..., Journal]
FIXTURES = Path(__file__).with_name("fixtures")


def task(uid: str = "u1", **changes: object) -> Task:
    known = Task(spec=Spec(uid, uid, "kernel", "1 + 1"), name=uid, state=State.RUNNING, dispatched_at=1.0, attempt=1)
    return msgspec.structs.replace(known, **changes)


def seen(journal: Journal, query: str) -> list[tuple[object, ...]]:
    settle(journal)
    connection = schema.reader(journal.folder / recovery.NAME)
    rows = connection.execute(query).fetchall()
    connection.close()
    return rows


def test_a_checkpoint_stands_for_the_events_before_it(start: Start) -> None:
    journal = start()
    for number in range(10):
        journal.append(e.TimePassed(float(number)))
    assert journal.backlog > 0
    journal.checkpoint(b"ten")
    assert journal.backlog == 0
    journal.append(e.TimePassed(10.0))
    crash(journal)
    journal = start()
    assert (journal.snapshot, list(journal.events())) == (b"ten", [e.TimePassed(10.0)])
    assert journal.backlog == len(e.encode(e.TimePassed(10.0)))
    journal.append(e.TimePassed(11.0))
    journal.checkpoint(b"twelve")
    journal.close()
    journal = start()
    assert (journal.snapshot, list(journal.events())) == (b"twelve", [])
    journal.append(e.TimePassed(12.0))
    journal.close()
    journal = start()
    assert (list(journal.events()), journal.notices) == ([e.TimePassed(12.0)], [])


def test_compaction_gives_the_disk_back(start: Start) -> None:
    journal = start()
    for number in range(2000):
        journal.append(e.TaskProgressed(float(number), "u", 1, line="x" * 500))
    journal.append(e.TaskFinished(1.0, "u", 1, Result(value=journal.put(b"x" * 1_000_000))))
    settle(journal)
    before = journal.size()
    journal.checkpoint(b"state")
    assert journal.clean([]).result(20) == 1_000_000
    journal.close()
    after = sum(file.stat().st_size for file in journal.folder.rglob("*") if file.is_file())
    assert before > 2_000_000
    assert after < 200_000


def test_cleaning_removes_what_was_set_aside(start: Start) -> None:
    journal = start()
    (journal.folder / "journal.corrupt-20260101T000000Z.db").write_bytes(b"x" * 1000)
    assert journal.clean([]).result(20) == 1000
    assert list(journal.folder.glob("journal.corrupt-*")) == []


def test_readers_outside_see_tasks_as_they_stand(start: Start) -> None:
    journal = start()
    journal.append(e.TimePassed(1.0), [task(), task("u2", attempt=0, state=State.QUEUED)])
    assert seen(journal, "SELECT uid, state, attempt FROM task") == [("u1", "running", 1), ("u2", "queued", 0)]
    assert seen(journal, "SELECT uid, attempt, state FROM attempt") == [("u1", 1, "running")]
    failed = task(
        state=State.FAILED, failure=Failure("exit", "ExitError", "code 1"), result=Result(usage=Usage(2.0, 3, 4))
    )
    journal.append(e.TimePassed(2.0), [failed])
    assert seen(journal, "SELECT attempt, error FROM result") == [(1, "ExitError: code 1")]
    assert seen(journal, "SELECT seconds, tokens_in, tokens_out FROM usage") == [(2.0, 3, 4)]
    again = task(attempt=3, state=State.RUNNING, process=Process(7, 8.0, "/spool"))
    journal.append(e.TimePassed(3.0), [again])
    journal.append(e.TimePassed(4.0), [msgspec.structs.replace(again, state=State.DONE, stage=Stage.QUEUED)])
    assert seen(journal, "SELECT attempt, state, pid, spool FROM attempt ORDER BY attempt") == [
        (1, "failed", None, None),
        (3, "done", 7, "/spool"),
    ]
    assert seen(journal, "SELECT uid, attempt, stage FROM outbox") == [("u1", 3, "queued")]
    journal.append(e.TimePassed(5.0), dropped=["u1"])
    for table in ("task", "attempt", "result", "outbox", "usage"):
        assert seen(journal, f"SELECT * FROM {table} WHERE uid = 'u1'") == []


def test_an_attempt_that_was_left_behind_does_not_run_for_ever(start: Start) -> None:
    journal = start()
    journal.project([task()])
    settle(journal)
    journal.project([task(attempt=2)])
    assert seen(journal, "SELECT attempt, state FROM attempt") == [(1, "over"), (2, "running")]


def test_the_views_can_be_made_anew(start: Start) -> None:
    journal = start()
    journal.project([task("old"), task("u1", state=State.QUEUED)])
    journal.rebuild([task("u1"), task("u2")])
    journal.project([task("u2", state=State.DONE)])
    assert seen(journal, "SELECT uid, state FROM task") == [("u1", "running"), ("u2", "done")]
    assert not journal.stale


def test_a_new_journal_needs_nothing_made_anew(start: Start) -> None:
    assert not start().stale


def old_version(journal: Journal, name: str) -> None:
    """Put a journal of an earlier version where `journal` was."""
    assert journal.close()
    shutil.copy(FIXTURES / name, journal.folder / recovery.NAME)


@pytest.mark.parametrize("version", range(1, schema.version() + 1))
def test_a_journal_of_each_version_opens(start: Start, version: int) -> None:
    journal = start()
    old_version(journal, f"v{version}.db")
    journal = start()
    assert journal.stale == (version < schema.version())
    assert journal.snapshot == b"the state at event 2"
    kinds = [type(event).__name__ for event in journal.events()]
    assert kinds == ["TasksDispatched", "WorkerStarted", "TaskFinished", "ResultShown"]
    assert (journal.notices, journal.private) == ([], False)
    finished = list(journal.events())[2]
    assert isinstance(finished, e.TaskFinished)
    assert finished.result.value is not None
    assert journal.get(finished.result.value) == b"v1 " * 300
    journal.append(e.TimePassed(9.0))
    kept = [("notebook", 100)] if version == schema.version() else []
    assert seen(journal, "SELECT account, most FROM account") == kept
    journal.rebuild([])
    journal.project(accounts={"user": (Figure("user", "tokens", 5, 1, 4, 0),)})
    assert seen(journal, "SELECT account, most FROM account") == [("user", 5)]


def test_steps_bring_an_older_journal_up_to_date(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = start()
    old_version(journal, "v1.db")

    def third(connection: sqlite3.Connection) -> None:
        connection.execute("ALTER TABLE task ADD COLUMN colour TEXT NOT NULL DEFAULT 'red'")

    monkeypatch.setattr(schema, "STEPS", [*schema.STEPS, third])
    journal = start()
    assert (len(list(journal.events())), journal.stale, journal.notices) == (4, True, [])
    assert seen(journal, "SELECT uid, colour FROM task") == [("u1", "red")]
    assert seen(journal, "PRAGMA user_version") == [(3,)]
    journal.close()
    assert not start().stale


def test_a_step_that_fails_changes_nothing(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = start()
    old_version(journal, "v1.db")

    def broken(connection: sqlite3.Connection) -> None:
        connection.execute("DROP TABLE outbox")
        raise ValueError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(schema, "STEPS", [*schema.STEPS, broken])
        with pytest.raises(ValueError, match="a bug"):
            start()
    journal = start()
    assert len(list(journal.events())) == 4
    assert seen(journal, "SELECT uid FROM outbox") == [("u1",)]
