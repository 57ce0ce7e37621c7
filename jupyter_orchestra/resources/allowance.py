"""What all notebooks of a person may spend in a day: an account in a file that they share; it knows no task, no model.

It lies beside the journals, since a day is not over when the machine starts anew. Each act is a transaction of its own,
so that two notebooks never spend the same; what it decides is decided by the rules of a notebook
(:class:`~jupyter_orchestra.core.budget.Budget`), and the same CHECK stands behind it.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from ..core.budget import Budget, BudgetState
from ..core.limits import Amounts, Limits, OverBudget
from ..errors import NO_ROOM
from ..journal import files, location, schema, trouble
from ..journal.projection import write_accounts
from ..processes.threads import submit
from . import identity

T = TypeVar("T")
NAME: Final = "budget.db"
LOCKED: Final = 5.0  # seconds of waiting for others
KEPT: Final = 7  # days that can be looked up, and in which notebooks in other time zones may be
_TABLES: Final = ("CREATE TABLE state(data BLOB NOT NULL) STRICT", schema.ACCOUNTS)


def today() -> str:
    """The day that counts now, where this process is."""
    return time.strftime("%Y-%m-%d")


class AllowanceFile:
    """The account of each day. Every act is one transaction, raises OSError in one line, and may wait: for a thread.

    Parameters
    ----------
    path
        The file; it may not exist yet.
    day
        Gives the day as ``YYYY-MM-DD``.
    holder
        The process that has to settle what it reserves; when it is gone, others do.
    """

    def __init__(self, path: Path, day: Callable[[], str] = today, holder: str = "") -> None:
        self.path, self._day = path, day
        self._holder = holder or f"{identity.mine().spell()} {identity.world()}"
        self.seen = "", Limits(), 1.0  # the day on which it was looked at last, what was left, and which part

    def reserve(self, limits: Limits, id: str, amounts: Amounts) -> str:
        """Keep that much of today's; why it can't be, or ""."""
        return self._act(limits, lambda budget, day: budget.reserve(id, day, amounts, self._holder))

    def settle(self, limits: Limits, id: str, actual: Amounts | None) -> None:
        """It was spent, on the day on which it was reserved; None: nobody knows, so all of it."""
        self._act(limits, lambda budget, day: budget.settle(id, actual))

    def look(self, limits: Limits) -> None:
        """See what is left."""
        self._act(limits, lambda budget, day: None)

    def _act(self, limits: Limits, act: Callable[[Budget, str], T]) -> T:
        try:
            files.private_folder(self.path.parent)
            with closing(self._connect()) as connection:
                return self._transact(connection, limits, act)
        except (sqlite3.Error, msgspec.DecodeError, OSError) as error:
            raise OSError(f"what your notebooks spend together is not known: {self._explain(error)}") from error

    def _connect(self) -> sqlite3.Connection:
        os.close(os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        return sqlite3.connect(self.path, isolation_level=None, timeout=LOCKED)

    def _transact(self, connection: sqlite3.Connection, limits: Limits, act: Callable[[Budget, str], T]) -> T:
        connection.execute("BEGIN IMMEDIATE")  # what is not committed goes when the connection closes
        if not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
            for statement in _TABLES:
                connection.execute(statement)
        found = connection.execute("SELECT data FROM state").fetchone()
        budget = Budget(msgspec.json.decode(found[0], type=BudgetState) if found else None)
        day = f"user:{self._day()}"
        self._clean(budget, day)
        budget.open(day)
        budget.limit(day, limits)
        done = act(budget, day)
        write_accounts(connection, budget.take_changed())
        connection.execute("DELETE FROM state")
        connection.execute("INSERT INTO state VALUES(?)", (msgspec.json.encode(budget.state),))
        connection.execute("COMMIT")
        self.seen = day.removeprefix("user:"), budget.room(day), budget.left(day)
        return done

    def _clean(self, budget: Budget, day: str) -> None:
        """Settle at all of it what the dead have left, and drop days that nobody looks at any more."""
        for id, held in list(budget.state.held.items()):
            if held.holder != self._holder and not _lives(held.holder):
                budget.settle(id)
        old = sorted(name for name in budget.state.accounts if name != day)[:-KEPT]
        busy = {held.account for held in budget.state.held.values()}
        for name in old:
            if name not in busy:
                budget.close(name)

    def _explain(self, error: Exception) -> str:
        code = trouble.code(error)
        if isinstance(error, msgspec.DecodeError) or code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return f"{self.path} is damaged: remove it, and the day's spending begins anew"
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return f"another process has locked {self.path} and does not go on: end it, and try again"
        if code == sqlite3.SQLITE_CONSTRAINT:
            return f"a bug in jupyter_orchestra ({error}): please report it"
        number = getattr(error, "errno", None)
        return f"{self.path}: {NO_ROOM.get(number or 0, f'{type(error).__name__}: {error}')}"


class Allowance:
    """Implements :class:`jupyter_orchestra.core.purse.Allowance`, on a thread of its own, in the order of the calls."""

    def __init__(self, limits: Limits, file: AllowanceFile | None = None) -> None:
        self.limits = limits
        self._file = file or AllowanceFile(location.base() / NAME)
        self._owed: dict[str, Amounts | None] = {}  # settled, and still to be written; of that thread
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="jo-allowance")
        submit(self._thread, self._look)

    def room(self) -> Limits:
        """What was left when it was looked at last."""
        day, room, _ = self._file.seen
        return room if day == today() else self.limits

    def left(self) -> float:
        """The part of it that was left."""
        day, _, left = self._file.seen
        return left if day == today() else 1.0

    async def reserve(self, id: str, amounts: Amounts) -> None:
        """Keep that much. Raises OverBudget."""
        work = asyncio.get_running_loop().run_in_executor(self._thread, self._reserve, id, amounts)
        try:
            why = await asyncio.shield(work)
        except BaseException:  # it may be kept all the same, and nothing was begun
            self.settle(id, Amounts())
            raise
        if why:
            raise OverBudget(why)

    def settle(self, id: str, actual: Amounts | None) -> None:
        """It was spent."""
        submit(self._thread, self._settle, id, actual)

    def close(self) -> None:
        """Write what is still to be written, and end the thread. For a thread."""
        self._thread.shutdown()

    def _reserve(self, id: str, amounts: Amounts) -> str:
        try:
            self._pay()
            return self._file.reserve(self.limits, id, amounts)
        except OSError as error:
            return str(error)

    def _settle(self, id: str, actual: Amounts | None) -> None:
        self._owed[id] = actual
        with suppress(OSError):  # then it is tried again before the next one; after this process all counts as spent
            self._pay()

    def _pay(self) -> None:
        for id in list(self._owed):
            self._file.settle(self.limits, id, self._owed[id])
            del self._owed[id]

    def _look(self) -> None:
        with suppress(OSError):  # who reserves is told why
            self._file.look(self.limits)


def _lives(holder: str) -> bool:
    """Whether that process can still settle. One of another world can't be seen: to count it as gone costs more."""
    process, _, world = holder.partition(" ")
    return world == identity.world() and identity.read(process).alive
