from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path
from urllib.parse import unquote

import pytest
from cluster import Cluster

from jupyter_orchestra.core.needs import Need
from jupyter_orchestra.core.ports import Grant
from jupyter_orchestra.errors import ResourceError, UsageError
from jupyter_orchestra.resources.database import DatabaseProvider, amount_of
from jupyter_orchestra.resources.declared import read


async def approved(action: str, detail: str) -> bool:
    assert "secret" not in detail
    return True


def provider(folder: Path, living: bool = True, **database: object) -> DatabaseProvider:
    declared = read({"databases": {"main": database}}, folder / "pyproject.toml")
    return DatabaseProvider(declared, approved, "runtime", lambda lease: living)


def grant(folder: Path, lease: str) -> Grant:
    (folder / lease).mkdir(mode=0o700)
    return Grant(lease, lease, lease, folder / lease, folder, (Need("db:main"),), lambda line: None)


def test_each_task_has_a_database_of_its_own_from_the_template(cluster: Cluster, tmp_path: Path) -> None:
    cluster.execute("create database app owner worker")
    cluster.execute("create table seen (who text)", "app")
    cluster.execute("alter table seen owner to worker", "app")

    async def run() -> None:
        served = provider(tmp_path, url=cluster.url("app"), isolate="template")
        need = Need("db:main")
        one, two = await asyncio.gather(
            served.provide(need, grant(tmp_path, "one")), served.provide(need, grant(tmp_path, "two"))
        )
        urls = [provision.environment["DATABASE_URL"] for provision in (one, two)]
        assert all(str(cluster.folder) in unquote(url) for url in urls)
        names = [url.partition("?")[0].rpartition("/")[2] for url in urls]
        assert len(set(names)) == 2
        assert "app" not in names
        for name in names:
            cluster.execute(f"insert into seen values ('{name}')", name)
        assert [cluster.query("select who from seen", name) for name in names] == [[names[0]], [names[1]]]
        assert cluster.query("select who from seen", "app") == []
        with contextlib.closing(cluster.connect(names[0], "worker")):  # a task may leave its connection open
            await one.end()
        await two.end()
        assert not set(names) & cluster.databases()

    asyncio.run(run())


def test_a_writer_of_a_shared_database_is_alone(tmp_path: Path) -> None:
    declared = read({"databases": {"main": {"url": "sqlite:///a.db", "slots": 3}}}, tmp_path / "pyproject.toml")
    database = declared.databases["main"]
    assert amount_of(Need("db:main", mode="w"), database) == 3
    assert amount_of(Need("db:main", mode="r"), database) == 1


def test_each_task_has_its_own_copy_of_a_sqlite_file(tmp_path: Path) -> None:
    source = tmp_path / "app.db"
    with sqlite3.connect(source) as connection:
        connection.execute("create table seen (who text)")
        connection.execute("insert into seen values ('base')")
    connection.close()

    async def run() -> None:
        served = provider(tmp_path, url="sqlite:///app.db", isolate="copy")
        own = await served.provide(Need("db:main"), grant(tmp_path, "one"))
        copy = own.environment["DATABASE_URL"].removeprefix("sqlite:///")
        assert copy != str(source)
        for file, rows in ((copy, ["base", "mine"]), (source, ["base"])):
            connection = sqlite3.connect(file)
            if file == copy:
                connection.execute("insert into seen values ('mine')")
                connection.commit()
            assert [row[0] for row in connection.execute("select who from seen")] == rows
            connection.close()
        await own.end()
        gone.append(Path(copy))

    gone: list[Path] = []
    asyncio.run(run())
    assert [file.exists() for file in gone] == [False]


@pytest.mark.parametrize(
    ("url", "said"), [("sqlite:///nowhere/at/all.db", "main"), ("postgresql+psycopg://x@127.0.0.1:1/app", "main")]
)
def test_what_can_not_be_reached_is_told_in_one_line(tmp_path: Path, url: str, said: str) -> None:
    served = provider(tmp_path, url=url)
    with pytest.raises(ResourceError, match=said) as caught:
        asyncio.run(served.provide(Need("db:main"), grant(tmp_path, "one")))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"databases": {"main": {"ur": "sqlite:///a"}}}, "did you mean url?"),
        ({"databases": {"main": {"url": "a.db"}}}, "no SQLAlchemy URL"),
        ({"databases": {"main": {"url": "sqlite:///a", "isolate": "template"}}}, 'isolate = "copy"'),
        ({"databases": {"main": {"url": "sqlite:///a", "slots": 0}}}, "slots"),
        ({"resources": {"port": 1}}, "choose another"),
        ({"resources": {"press": 0}}, "press"),
        ({"resources": {"press": {"capacity": 1, "preemptable": True}}}, "did you mean preemptible?"),
        ({"servers": {"web": {"comand": "x"}}}, "did you mean command?"),
        ({"servers": {"web": {"command": "x", "port": "99"}}}, "1024"),
        ({"tests": {"command": ""}}, "command"),
        ({"servers": []}, "is a table"),
        ({"containers": {"box": {"image": "x", "command": "say 'x"}}}, "close the quotes"),
        ({"containers": {"box": {"image": "--privileged"}}}, "no name of an image"),
        ({"containers": {"box": {"image": "x", "ports": [80]}}}, "network = true"),
    ],
)
def test_what_a_project_declares_wrongly_is_told_with_what_would_be_right(
    tmp_path: Path, table: dict[str, object], said: str
) -> None:
    with pytest.raises(UsageError) as caught:
        read(table, tmp_path / "pyproject.toml")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
