"""A private PostgreSQL cluster on a unix socket, and what the tests ask of it."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg


def binaries() -> Path | None:
    """Where Debian, or the PATH, has PostgreSQL's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    on_path = [Path(program).resolve().parent for name in ("initdb",) if (program := shutil.which(name))]
    return next((folder for folder in (*reversed(found), *on_path) if (folder / "postgres").exists()), None)


class Cluster:
    """Its socket lies in ``folder``; everybody who comes by it is let in by any name that exists, but for ``guarded``.

    Roles: ``boss`` may all, ``worker`` makes databases, ``guest`` makes none, ``guarded`` needs a password.
    """

    PASSWORD = "no-secret-of-anyone"

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="jo-pg-", dir="/tmp"))  # a socket's path must be short
        self._account = "postgres" if os.geteuid() == 0 else None  # the server refuses to run as root
        self._programs = binaries()
        if self._account:
            shutil.chown(self.folder, self._account, pwd.getpwnam(self._account).pw_gid)
        os.chmod(self.folder, 0o755)
        data = self.folder / "data"
        self._run("initdb", "-D", data, "-U", "boss", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
        rules = "local all guarded scram-sha-256\nlocal all all trust\n"
        (data / "pg_hba.conf").write_text(rules)
        settings = {
            "listen_addresses": "''",
            "unix_socket_directories": f"'{self.folder}'",
            "fsync": "off",
            "autovacuum": "off",
            "max_connections": "40",
            "shared_buffers": "'16MB'",
        }
        with (data / "postgresql.conf").open("a") as file:
            file.writelines(f"{key} = {value}\n" for key, value in settings.items())
        self._run("pg_ctl", "-D", data, "-w", "-l", self.folder / "log", "start")
        self.pid = int((data / "postmaster.pid").read_text().split()[0])
        self.execute("create role worker login createdb")
        self.execute("create role guest login")
        self.execute(f"create role guarded login password '{self.PASSWORD}'")

    def _run(self, program: str, *words: str | Path) -> None:
        assert self._programs is not None
        subprocess.run(
            [self._programs / program, *words],
            user=self._account,
            group=pwd.getpwnam(self._account).pw_gid if self._account else None,
            extra_groups=[] if self._account else None,
            cwd=self.folder,
            check=True,
            stdout=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            timeout=60,
        )

    def url(self, database: str, user: str = "worker", password: str = "") -> str:
        """A SQLAlchemy URL."""
        secret = f":{password}" if password else ""
        return f"postgresql+psycopg://{user}{secret}@/{database}?host={self.folder}"

    def connect(self, database: str = "postgres", user: str = "boss", **more: Any) -> psycopg.Connection[Any]:
        """A connection by psycopg, each statement its own transaction."""
        return psycopg.connect(host=str(self.folder), dbname=database, user=user, autocommit=True, **more)

    def execute(self, statement: str, database: str = "postgres", user: str = "boss") -> None:
        """Carry a statement out."""
        with contextlib.closing(self.connect(database, user)) as connection:
            connection.execute(statement)

    def query(self, statement: str, database: str = "postgres", user: str = "boss") -> list[Any]:
        """The first column of what a query gives."""
        with contextlib.closing(self.connect(database, user)) as connection:
            return [row[0] for row in connection.execute(statement)]

    def databases(self) -> set[str]:
        """All but the server's own."""
        return set(self.query("select datname from pg_database where not datistemplate and datname <> 'postgres'"))

    def sessions(self, database: str) -> list[int]:
        """The server's processes that serve a database."""
        return self.query(f"select pid from pg_stat_activity where datname = '{database}'")

    def close(self) -> None:
        """End it and remove it."""
        self._run("pg_ctl", "-D", self.folder / "data", "-m", "immediate", "-w", "stop")
        shutil.rmtree(self.folder)


@contextlib.contextmanager
def running() -> Iterator[Cluster]:
    """A cluster that ends with the block, whatever happens in it."""
    cluster = Cluster()
    try:
        yield cluster
    finally:
        cluster.close()
