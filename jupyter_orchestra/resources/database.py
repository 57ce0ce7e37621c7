"""Gives a task the database that it leased, or one of its own; it knows servers by their URL and starts none."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from ..core.needs import Need
from ..core.ports import Grant, Provision
from ..errors import ResourceError
from ..processes.threads import APART, in_thread
from . import marks
from .approval import Approved, ensure_approved
from .declared import Database, Declared, unknown
from .postgres import PostgresServer

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

MISSING = "databases need SQLAlchemy: pip install 'jupyter_orchestra[databases]'"
PATIENCE = 10.0  # seconds that a database may take to answer, or a SQLite file to be left alone by who writes to it


def amount_of(need: Need, database: Database) -> int:
    """How many of the database's slots a need takes: a writer that shares it takes all, so that it is alone."""
    return database.slots if need.mode == "w" and database.isolate == "none" else 1


class DatabaseProvider:
    """Serves ``db:NAME:w|r``.

    Parameters
    ----------
    declared : Declared
        What the project's file says.
    approved : callable
        Asks the person whether what the file names may be reached; None: it may not.
    owner : str
        The runtime, by a name that a restart of the kernel keeps.
    living : callable
        Whether a lease, by its id, is not over; what was made for one that is over is dropped.
    """

    resource = "db"

    def __init__(self, declared: Declared, approved: Approved | None, owner: str, living: marks.Living) -> None:
        self._declared, self._approved, self._owner, self._living = declared, approved, owner, living
        self._swept: set[str] = set()

    def capacities(self) -> Mapping[str, int]:
        """The slots of each database."""
        return {f"db:{name}": database.slots for name, database in self._declared.databases.items()}

    def check(self, need: Need) -> str:
        """What is wrong with a need, in one line."""
        name = need.name
        database = self._declared.databases.get(name)
        if database is None:
            return unknown("databases", name, self._declared.databases, self._declared.file)
        if find_spec("sqlalchemy") is None:
            return MISSING
        try:
            url = self._url(database)
        except ResourceError as error:
            return str(error)
        if database.isolate == "template" and not (url.database or database.template):
            return f"database {name}: its url names no database: write one such as postgresql:///app"
        if database.isolate == "copy" and not _is_path(url.database):
            return f"database {name} is no plain file, so that it has no copy: write a url such as sqlite:///app.db"
        return ""

    async def provide(self, need: Need, grant: Grant) -> Provision:
        """Reach the database, or make the task's own. Raises ResourceError."""
        if wrong := self.check(need):
            raise ResourceError(wrong)
        name = need.name
        database = self._declared.databases[name]
        url = self._url(database)
        await ensure_approved(self._approved, f"reach the database {name}", show(url))
        if database.isolate == "template":
            await self._sweep_once(name)
            return await self._own_database(need, database, url, grant)
        if database.isolate == "copy":
            return await self._own_copy(need, url, grant)
        await _within(in_thread(APART, _greet, url, self._server(name, url), f"database {name}"), f"database {name}")
        return _Given(_environment(need, url, grant), (f"database {name}: {show(url)}",))

    async def _sweep_once(self, name: str) -> None:
        """Drop what earlier kernels left on a server, before its first use; a failure will be that of the use."""
        if name not in self._swept:
            self._swept.add(name)
            with contextlib.suppress(ResourceError):
                server = self._server(name, self._url(self._declared.databases[name]))
                await in_thread(APART, server.sweep, self._is_leftover)

    def _is_leftover(self, text: str) -> bool:
        return marks.is_leftover(text, self._owner, self._living)

    async def _own_database(self, need: Need, database: Database, url: URL, grant: Grant) -> Provision:
        name = need.name
        template = database.template or url.database or ""
        own = f"jo_{secrets.token_hex(4)}"
        server = self._server(name, url)
        mark = marks.mark(grant.lease, self._owner).spell()
        making = asyncio.ensure_future(in_thread(APART, server.create, own, template, mark))
        try:
            await asyncio.shield(making)
        except BaseException:
            await in_thread(APART, server.give_up)
            with contextlib.suppress(Exception):
                await making
            with contextlib.suppress(ResourceError):
                await in_thread(APART, server.drop, own)
            raise
        given = url.set(database=own)
        note = f"database {name}: its own, {show(given)}, from {template}"
        return _Given(_environment(need, given, grant), (note,), lambda: server.drop(own))

    async def _own_copy(self, need: Need, url: URL, grant: Grant) -> Provision:
        name, stop = need.name, threading.Event()
        source, target = Path(url.database or ""), grant.folder / f"{name}.db"
        making = asyncio.ensure_future(in_thread(APART, copy_sqlite, source, target, f"database {name}", stop))
        try:
            await asyncio.shield(making)
        except BaseException:
            stop.set()
            with contextlib.suppress(Exception):
                await making
            remove_sqlite(target)
            raise
        given = url.set(database=str(target))
        note = f"database {name}: its own copy of {source.name}"
        return _Given(_environment(need, given, grant), (note,), lambda: remove_sqlite(target))

    def _server(self, name: str, url: URL) -> PostgresServer:
        return PostgresServer(url, f"database {name}", str(self._declared.file))

    def _url(self, database: Database) -> URL:
        """The declared URL; the path of a SQLite file counts from the project."""
        from sqlalchemy.engine import make_url
        from sqlalchemy.exc import ArgumentError

        try:
            url = make_url(database.url)
        except (ArgumentError, ValueError):
            raise ResourceError(f"{self._declared.file}: a database's url can't be read: correct it") from None
        if url.get_backend_name() == "sqlite" and _is_path(url.database):
            return url.set(database=str(self._declared.project / url.database))
        return url


class _Given:
    """A database that a task has."""

    def __init__(
        self, environment: Mapping[str, str], notes: tuple[str, ...], remove: Callable[[], None] | None = None
    ) -> None:
        self.environment, self.notes, self._remove = environment, notes, remove

    async def end(self) -> None:
        """Remove what was made for the task. Raises ResourceError."""
        if self._remove is not None:
            await in_thread(APART, self._remove)
        self._remove = None


def show(url: URL) -> str:
    """A URL for people: no credentials, and nothing that might hold some."""
    return url.set(query={}).render_as_string(hide_password=True)


def copy_sqlite(source: Path, target: Path, label: str, stop: threading.Event) -> None:
    """Copy a SQLite file as of one moment, also while others use it. Raises ResourceError."""
    if not source.is_file():
        raise ResourceError(f"{label}: there is no {source}: make it, or correct its url")
    deadline = time.monotonic() + PATIENCE

    def look(status: int, remaining: int, total: int) -> None:
        if stop.is_set() or (status != sqlite3.SQLITE_DONE and time.monotonic() > deadline):
            raise ResourceError(
                f"{label}: {source.name} is being written to all the time: dispatch again when it is free"
            )

    target.touch(mode=0o600)
    try:
        with (
            contextlib.closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, timeout=0.1)) as old,
            contextlib.closing(sqlite3.connect(target)) as new,
        ):
            old.backup(new, progress=look, sleep=0.05)
    except sqlite3.Error as error:
        hint = "free some space" if "full" in str(error) else f"see that {source} is a SQLite database"
        raise ResourceError(f"{label}: no copy of {source.name}: {error}: {hint}") from None


def remove_sqlite(file: Path) -> None:
    """Remove a SQLite file with what SQLite keeps beside it."""
    for ending in ("", "-wal", "-shm", "-journal"):
        file.with_name(file.name + ending).unlink(missing_ok=True)


def _greet(url: URL, server: PostgresServer, label: str) -> None:
    """See that a database can be reached. Raises ResourceError."""
    backend = url.get_backend_name()
    if backend == "postgresql":
        server.greet()
    elif backend == "sqlite":
        if _is_path(url.database) and not Path(url.database).parent.is_dir():
            raise ResourceError(f"{label}: there is no folder {Path(url.database).parent}: make it, or correct its url")
    else:
        _greet_any(url, label)


def _greet_any(url: URL, label: str) -> None:
    from sqlalchemy import create_engine
    from sqlalchemy.exc import NoSuchModuleError, SQLAlchemyError
    from sqlalchemy.pool import NullPool

    try:
        if not url.get_dialect().is_async:  # what needs a loop is left to the task
            create_engine(url, poolclass=NullPool).connect().close()
    except (ImportError, NoSuchModuleError) as error:
        raise ResourceError(f"{label}: {error}: install the driver of {url.drivername}") from None
    except SQLAlchemyError as error:
        said = str(error).splitlines()[0].replace(str(url.password or "\0"), "***")
        raise ResourceError(f"{label} is not reached: {said}: start its server, or correct its url") from None


async def _within(reaching: Awaitable[None], label: str) -> None:
    try:
        await asyncio.wait_for(reaching, PATIENCE)
    except TimeoutError:
        raise ResourceError(f"{label} does not answer: start its server, or correct its url") from None


def _environment(need: Need, url: URL, grant: Grant) -> dict[str, str]:
    """DATABASE_URL; of several databases that is the first, and each has a variable of its own name."""
    names = [other.name for other in grant.needs if other.word == "db" and other.name]
    name, value = need.name, url.render_as_string(hide_password=False)
    environment = {"DATABASE_URL": value} if names[:1] in ([], [name]) else {}
    if len(names) > 1:
        environment[f"DATABASE_URL_{re.sub('[^A-Z0-9]', '_', name.upper())}"] = value
    return environment


def _is_path(database: str | None) -> TypeGuard[str]:
    """Whether a SQLite URL names a plain file."""
    return bool(database) and database != ":memory:" and not str(database).startswith("file:")
