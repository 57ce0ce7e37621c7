"""Makes and drops databases on a PostgreSQL server; every call blocks, and no connection is kept between two calls.

Who is between making a database and marking it holds an advisory lock, so that what bears our kind of name and no mark
while nobody holds it was left by one that died there.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ..errors import ResourceError

if TYPE_CHECKING:
    from psycopg import Connection
    from sqlalchemy.engine import URL

OURS = re.compile(r"jo_[0-9a-f]{8}")
_LOCK = 0x6A6F5F6D616B65  # "jo_make"
_REACH = 4  # seconds until a server that does not answer counts as not reached
_DROP = 5  # seconds that dropping may take
_MAINTENANCE = "postgres"
_LIST = """select datname, coalesce(shobj_description(oid, 'pg_database'), '') from pg_database
    where datname ~ '^jo_[0-9a-f]{8}$' and pg_has_role(datdba, 'usage')"""


class PostgresServer:
    """One server, by a URL of a database on it.

    Parameters
    ----------
    url : sqlalchemy.engine.URL
        Whom to connect as, and where.
    label : str
        How errors name it: no credentials.
    where : str
        Where the URL is declared.
    """

    def __init__(self, url: URL, label: str, where: str) -> None:
        self._url, self._label, self._where = url, label, where
        self._busy: Connection[Any] | None = None
        self._given_up = threading.Event()

    def greet(self) -> None:
        """Connect to the database itself, and leave. Raises ResourceError."""
        with self._connected(self._url.database or ""):
            pass

    def create(self, name: str, template: str, mark: str) -> None:
        """Make the database `name` from `template`, with `mark` as its comment. Raises ResourceError."""
        import psycopg
        from psycopg import sql

        made, source = sql.Identifier(name), sql.Identifier(template)
        with self._connected(_MAINTENANCE) as connection:
            self._busy = connection
            try:
                connection.execute("select pg_advisory_lock_shared(%s)", (_LOCK,))
                if self._given_up.is_set():
                    raise ResourceError(f"{self._label}: {name} was given up")
                connection.execute(sql.SQL("create database {} template {}").format(made, source))
                connection.execute(sql.SQL("comment on database {} is {}").format(made, sql.Literal(mark)))
            except psycopg.Error as error:
                raise ResourceError(self._why_not(error, template, connection)) from None
            finally:
                self._busy = None

    def give_up(self) -> None:
        """Have a running `create` end soon; from any thread."""
        self._given_up.set()
        connection = self._busy
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.cancel_safe(timeout=_REACH)

    def drop(self, name: str) -> None:
        """Drop a database, whoever is still connected to it; nothing when it is gone. Raises ResourceError."""
        import psycopg

        with self._connected(_MAINTENANCE, _DROP) as connection:
            try:
                _drop(connection, name)
            except psycopg.Error as error:
                raise ResourceError(f"{self._label}: {name} is still there ({_line(error)}): drop it") from None

    def sweep(self, leftover: Callable[[str], bool]) -> list[str]:
        """Drop our databases whose mark is `leftover`, and those that were never marked. Raises ResourceError."""
        import psycopg

        with self._connected(_MAINTENANCE, _DROP) as connection:
            row = connection.execute("select pg_try_advisory_lock(%s)", (_LOCK,)).fetchone()
            alone = bool(row and row[0])
            found = [n for n, text in connection.execute(_LIST) if (leftover(text) if text else alone)]
            gone = []
            for name in found:
                with contextlib.suppress(psycopg.Error):
                    _drop(connection, name)
                    gone.append(name)
            return gone

    @contextlib.contextmanager
    def _connected(self, database: str, seconds: float = 0) -> Iterator[Connection[Any]]:
        try:
            import psycopg
        except ImportError:
            raise ResourceError(
                f"{self._label} needs PostgreSQL's driver: pip install 'jupyter_orchestra[databases]'"
            ) from None
        try:
            connection = psycopg.connect(**self._parameters(database, seconds), autocommit=True)
        except psycopg.Error as error:
            raise ResourceError(self._why_not_reached(error, database)) from None
        with contextlib.closing(connection):
            yield connection

    def _parameters(self, database: str, seconds: float) -> dict[str, Any]:
        """What libpq wants to know of it; what a URL says to another driver is left out."""
        from psycopg import pq

        known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
        said = {key: value if isinstance(value, str) else ",".join(value) for key, value in self._url.query.items()}
        given = {"host": self._url.host, "port": self._url.port, "user": self._url.username}
        given |= {"password": self._url.password and str(self._url.password), "dbname": database}
        given = {key: value for key, value in given.items() if value}  # the socket's folder stands in the query
        parameters = {key: value for key, value in {**said, **given}.items() if key in known and value}
        if seconds:
            parameters["options"] = (
                f"{parameters.get('options', '')} -c statement_timeout={int(seconds * 1000)}".strip()
            )
        return {"connect_timeout": _REACH, "application_name": "jupyter_orchestra", **parameters}

    def _why_not_reached(self, error: Exception, database: str) -> str:
        said = _line(error)
        if "password" in said:
            hint = f"correct the name and the password in {self._where}, or set PGPASSWORD"
        elif "does not exist" in said:
            hint = f"make it, or correct the url in {self._where}"
        else:
            hint = f"start the server, or correct the url in {self._where}"
        at = f" (connecting to {database})" if database == _MAINTENANCE else ""
        return f"{self._label} is not reached{at}: {said}: {hint}"

    def _why_not(self, error: Exception, template: str, connection: Connection[Any]) -> str:
        """Why there is no copy of `template`."""
        from psycopg import errors

        if isinstance(error, errors.ObjectInUse):
            return (
                f"{self._label}: {template} can't be copied while others are connected to it "
                f"({_others(connection, template)}): close those, or declare a template that nobody works in: "
                f"template = NAME in {self._where}"
            )
        if isinstance(error, errors.InsufficientPrivilege):
            hint = f'let the role make databases (alter role … createdb) and own {template}, or write isolate = "none"'
        elif isinstance(error, errors.InvalidCatalogName):
            hint = f"make it, or correct it in {self._where}"
        elif isinstance(error, errors.DiskFull):
            hint = "free some space where the server keeps its data"
        else:
            hint = f"see that {template} can be copied by hand, with: create database x template {template}"
        return f"{self._label}: no copy of {template}: {_line(error)}: {hint}"


def _drop(connection: Connection[Any], name: str) -> None:
    from psycopg import sql

    if not OURS.fullmatch(name):
        raise ValueError(f"{name} is not ours to drop")
    connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


def _others(connection: Connection[Any], database: str) -> str:
    """Who is connected, by the names that the programs gave themselves."""
    import psycopg

    asked = "select coalesce(nullif(application_name, ''), 'a program') from pg_stat_activity where datname = %s"
    try:
        names = [name for (name,) in connection.execute(asked, (database,))]
    except psycopg.Error:
        names = []
    return ", ".join(sorted(set(names))) or "gone by now: try again"


def _line(error: Exception) -> str:
    """What an error says, as one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".:") if lines else type(error).__name__
