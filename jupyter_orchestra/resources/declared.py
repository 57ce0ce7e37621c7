"""What a project's file says of the things that its tasks share; it starts and reaches nothing, and reads no file."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from difflib import get_close_matches
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from ..core.needs import BadNeed, parse
from ..errors import UsageError

TABLES = ("resources", "databases", "servers", "tests", "containers")
SECTION = "tool.jupyter_orchestra"
_TAKEN = ("slots", "port", "path", "test-runner", "server", "db", "container")  # words of the grammar with no capacity

AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]
Text = Annotated[str, msgspec.Meta(min_length=1)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
S = TypeVar("S", bound=msgspec.Struct)


class Pool(msgspec.Struct, frozen=True):
    """A named thing of which there are so many."""

    capacity: AtLeastOne  # units; bytes of "mem"
    preemptible: bool = False  # whether a more urgent task may take it from a running one


class Database(msgspec.Struct, frozen=True):
    """A database that tasks work with.

    Attributes
    ----------
    url : str
        As SQLAlchemy spells it.
    slots : int
        How many tasks may use it at once.
    isolate : str
        "none": all work in the database itself; "template": each gets a PostgreSQL database of its own, made from
        `template`; "copy": each gets its own copy of the SQLite file.
    template : str
        Name of the database that is copied; empty: the one of `url`.
    """

    url: Text
    slots: AtLeastOne = 4
    isolate: Literal["none", "template", "copy"] = "none"
    template: str = ""


class Server(msgspec.Struct, frozen=True):
    """A development server.

    Attributes
    ----------
    command : str
        For the shell; finds its port in PORT.
    ready : str
        The path that must answer before the server is handed over.
    port : tuple of int, optional
        The first and the last port that it may get.
    seconds : float
        How long it may take until it answers.
    """

    command: Text
    ready: str = "/"
    port: tuple[int, int] | None = None
    seconds: Positive = 30.0


class Tests(msgspec.Struct, frozen=True):
    """How the project's tests are run: a command for the shell."""

    command: Text


class Container(msgspec.Struct, frozen=True):
    """A container that a task may have beside it.

    Attributes
    ----------
    image : str
        Name of an image that is there; none is fetched.
    command : str
        What runs in it; empty: what the image says.
    memory : int
        Bytes that it may take.
    cpus : float
        Processors that it may use.
    ports : tuple of int
        Its ports that are reached from this machine.
    network : bool
        Whether it has a network.
    slots : int
        How many tasks may have one at once, each its own.
    """

    image: Text
    command: str = ""
    memory: AtLeastOne = 512 << 20
    cpus: Positive = 1.0
    ports: tuple[Port, ...] = ()
    network: bool = False
    slots: AtLeastOne = 1


class Declared(msgspec.Struct, frozen=True):
    """The tables of one project's file.

    Attributes
    ----------
    file : Path
        Where they stand.
    digest : str
        Of everything that would be started or reached, and of `file`; a person approves it. Empty: there is nothing.
    """

    file: Path
    digest: str = ""
    resources: dict[str, Pool] = {}
    databases: dict[str, Database] = {}
    servers: dict[str, Server] = {}
    tests: Tests | None = None
    containers: dict[str, Container] = {}

    @property
    def project(self) -> Path:
        """The folder that the file is for."""
        return self.file.parent


def read(table: Mapping[str, Any], file: Path) -> Declared:
    """What `table`, the file's ``[tool.jupyter_orchestra]``, declares.

    Raises
    ------
    UsageError
        For what can't be right; a key that does not exist comes with the nearest one that does.
    """
    for title in TABLES:
        if not isinstance(table.get(title, {}), dict):
            raise UsageError(f"{file}: {title} is a table: write [{SECTION}.{title}]")
    found = Declared(
        file,
        "",
        _pools(table.get("resources", {}), file),
        _entries(table, "databases", "db", Database, file),
        _entries(table, "servers", "server", Server, file),
        _struct(table["tests"], Tests, "tests", file) if "tests" in table else None,
        _entries(table, "containers", "container", Container, file),
    )
    for name, database in found.databases.items():
        _check_database(name, database, file)
    for name, container in found.containers.items():
        _check_container(name, container, file)
    return msgspec.structs.replace(found, digest=_digest(found))


def unknown(what: str, name: str, known: Mapping[str, object], file: Path) -> str:
    """One line on a name that is not declared; `what` is the table's."""
    near = get_close_matches(name, known, 1, 0.5)
    hint = f"did you mean {near[0]}?" if near else f"add [{SECTION}.{what}.{name}] to {file}"
    return f"no {what.removesuffix('s')} {name!r} is declared: {hint}"


def _pools(table: dict[str, Any], file: Path) -> dict[str, Pool]:
    pools = {}
    for name, value in table.items():
        if name in _TAKEN or not _can_be_asked(name, name):
            raise UsageError(f"{file}: [{SECTION}.resources] {name!r} is no name for a resource: choose another")
        entry = dict(value) if isinstance(value, dict) else {"capacity": value}
        if name == "mem":
            entry["capacity"] = _size(entry.get("capacity"), f"resources.{name}", file)
        pools[name] = _struct(entry, Pool, f"resources.{name}", file)
    return pools


def _entries(table: Mapping[str, Any], title: str, word: str, form: type[S], file: Path) -> dict[str, S]:
    """The tables of one title, by name."""
    entries = {}
    for name, value in table.get(title, {}).items():
        where = f"{title}.{name}"
        if not isinstance(value, dict):
            raise UsageError(f"{file}: [{SECTION}.{title}] holds one table for each name, such as [{SECTION}.{where}]")
        if not _can_be_asked(f"{word}:{name}", f"{word}:{name}"):
            raise UsageError(
                f"{file}: [{SECTION}.{where}] is no name that a task can ask for: use a to z, 0 to 9, - and _"
            )
        entry = dict(value)
        if form is Container and "memory" in entry:
            entry["memory"] = _size(entry["memory"], where, file)
        if form is Server and "port" in entry:
            entry["port"] = _ports(entry["port"], where, file)
        entries[name] = _struct(entry, form, where, file)
    return entries


def _struct(entry: dict[str, Any], form: type[S], where: str, file: Path) -> S:
    known = form.__struct_fields__
    for key in entry:
        if key not in known:
            near = get_close_matches(key, known, 1, 0.5)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"
            raise UsageError(f"{file}: [{SECTION}.{where}] has no {key!r}; {hint}")
    try:
        return msgspec.convert(entry, form)
    except msgspec.ValidationError as error:
        raise UsageError(f"{file}: [{SECTION}.{where}] {error}") from None


def _check_database(name: str, database: Database, file: Path) -> None:
    where = f"{file}: [{SECTION}.databases.{name}]"
    kind = database.url.partition(":")[0].partition("+")[0]
    if "://" not in database.url:
        raise UsageError(f"{where} url is no SQLAlchemy URL: write one such as postgresql:///app or sqlite:///app.db")
    for isolate, of, other in (("template", "postgresql", "copy"), ("copy", "sqlite", "template")):
        if database.isolate == isolate and kind != of:
            hint = f'isolate = "{other}"' if kind in ("postgresql", "sqlite") else 'isolate = "none"'
            raise UsageError(f"{where} isolate = {isolate!r} is for {of} alone: write {hint}")
    if database.template and database.isolate != "template":
        raise UsageError(f'{where} template needs isolate = "template"')


def _check_container(name: str, container: Container, file: Path) -> None:
    where = f"{file}: [{SECTION}.containers.{name}]"
    if container.ports and not container.network:
        raise UsageError(f"{where} ports need network = true")
    if not re.fullmatch(r"[A-Za-z0-9]\S*", container.image):  # else it may be an option of who starts it
        raise UsageError(f"{where} {container.image!r} is no name of an image: such as docker.io/library/debian")
    try:
        shlex.split(container.command)
    except ValueError as error:
        raise UsageError(f"{where} command: {error}: close the quotes") from None


def _can_be_asked(need: str, resource: str) -> bool:
    try:
        return parse(need).resource == resource
    except BadNeed:
        return False


def _size(value: object, where: str, file: Path) -> object:
    """Bytes of a text such as "512MiB"; a number is left as it is."""
    if not isinstance(value, str):
        return value
    try:
        return parse(f"mem={value}").amount
    except BadNeed as error:
        raise UsageError(f"{file}: [{SECTION}.{where}] {error}") from None


def _ports(value: object, where: str, file: Path) -> tuple[int, int] | None:
    try:
        return parse(f"port:{value}").choice
    except BadNeed as error:
        raise UsageError(f"{file}: [{SECTION}.{where}] {error}") from None


def _digest(found: Declared) -> str:
    """Of what a person must have seen before it is started or reached: commands, addresses, images, and where."""
    acts = {
        "databases": {name: (database.url, database.template) for name, database in found.databases.items()},
        "servers": {name: server.command for name, server in found.servers.items()},
        "tests": found.tests.command if found.tests else None,
        "containers": {name: (c.image, c.command, c.network, c.ports) for name, c in found.containers.items()},
    }
    if not any(acts.values()):
        return ""
    text = msgspec.json.encode([str(found.file), acts], order="deterministic")
    return blake2b(text, digest_size=16).hexdigest()
