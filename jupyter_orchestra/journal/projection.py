"""Tasks and accounts as rows for readers outside; knows nothing of events or of when rows are written."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping

import msgspec

from ..core.budget import Figure
from ..core.model import Task
from . import schema

Value = str | int | float | None
Row = tuple[str, tuple[Value, ...]]  # (table, values in the order of its columns)
Accounts = Mapping[str, tuple[Figure, ...]]  # all that is to be said of each; nothing of one that is no more

_KEYS = {
    "task": 1,
    "attempt": 2,
    "result": 2,
    "outbox": 2,
    "usage": 2,
}  # how many columns are the key; parents first
_COLUMNS = {"task": 14, "attempt": 6, "result": 5, "outbox": 3, "usage": 5}
_PUT = {name: f"INSERT OR REPLACE INTO {name} VALUES({', '.join('?' * count)})" for name, count in _COLUMNS.items()}
_TASK = (  # REPLACE would delete the row first, and with it what belongs to the task
    _PUT["task"].replace("OR REPLACE ", "")
    + """ ON CONFLICT(uid) DO UPDATE SET name = excluded.name, state = excluded.state, reason = excluded.reason,
    attempt = excluded.attempt, started_at = excluded.started_at, ended_at = excluded.ended_at"""
)
_PUT["task"] = _TASK
_FIGURE = f"INSERT INTO account VALUES({', '.join('?' * len(Figure.__struct_fields__))})"


def rows(task: Task) -> list[Row]:
    """Everything that the tables say about a task and its present attempt."""
    spec, uid, number = task.spec, task.spec.uid, task.attempt
    anchor = spec.anchor
    found: list[Row] = [
        (
            "task",
            (uid, task.name, spec.worker, task.state.value, task.reason, number, spec.origin.value, spec.parent,
             spec.cohort, anchor.notebook if anchor else "", anchor.cell if anchor else "",
             task.dispatched_at, task.started_at, task.ended_at),
        )
    ]  # fmt: skip
    if number > 0:
        process = task.process
        where = (process.pid, process.started, process.spool) if process else (None, None, None)
        found.append(("attempt", (uid, number, task.state.value, *where)))
    if task.result is not None or task.failure is not None:
        result, usage = task.result, task.result.usage if task.result else None
        error = task.failure.line() if task.failure else ""
        found.append(
            ("result", (uid, number, result.text if result else "", error, msgspec.json.encode(result).decode()))
        )
        if usage is not None:
            found.append(("usage", (uid, number, usage.seconds, usage.tokens_in, usage.tokens_out)))
    if task.stage is not None:
        found.append(("outbox", (uid, number, task.stage.value)))
    return found


class Views:
    """The rows of one transaction; of several for the same key, the last one is written."""

    def __init__(self, fresh: bool = False) -> None:
        self._fresh = fresh  # nothing of what was written before stays
        self._rows: dict[str, dict[tuple[Value, ...], tuple[Value, ...]]] = {table: {} for table in _KEYS}
        self._dropped: list[str] = []
        self._accounts: dict[str, tuple[Figure, ...]] = {}

    def add(self, rows: Iterable[Row], dropped: Iterable[str] = (), accounts: Accounts | None = None) -> None:
        """Take rows in, the uids of tasks that are no more, and accounts."""
        if accounts:
            self._accounts.update(accounts)
        for table, values in rows:
            self._rows[table][values[: _KEYS[table]]] = values
        for uid in dropped:
            self._dropped.append(uid)
            for of_table in self._rows.values():
                for key in [key for key in of_table if key[0] == uid]:
                    del of_table[key]

    def write(self, connection: sqlite3.Connection) -> None:
        """Write them, inside the caller's transaction. Raises sqlite3.IntegrityError for what can't be true."""
        if self._fresh:
            for table in schema.VIEWS:
                connection.execute(f"DELETE FROM {table}")
            connection.execute("DELETE FROM meta WHERE key = ?", (schema.STALE,))
        for table, found in self._rows.items():
            if found:
                connection.executemany(_PUT[table], found.values())
        retried = [(key[0], key[1]) for key in self._rows["attempt"] if isinstance(key[1], int) and key[1] > 1]
        if retried:  # an attempt that was left behind is not running any more
            connection.executemany(
                "UPDATE attempt SET state = 'over' WHERE uid = ? AND attempt < ? AND state IN"
                " ('waiting', 'queued', 'running', 'paused')",
                retried,
            )
        if self._dropped:
            connection.executemany("DELETE FROM task WHERE uid = ?", [(uid,) for uid in self._dropped])
        if self._accounts:
            write_accounts(connection, self._accounts)


def write_accounts(connection: sqlite3.Connection, accounts: Accounts) -> None:
    """Put these in the place of what is there of them, in the caller's transaction. Raises sqlite3.IntegrityError."""
    connection.executemany("DELETE FROM account WHERE account = ?", [(name,) for name in accounts])
    rows = [msgspec.structs.astuple(one) for figures in accounts.values() for one in figures]
    connection.executemany(_FIGURE, rows)
