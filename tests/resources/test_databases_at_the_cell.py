"""Databases as a person meets them: tasks in a real kernel, with a real PostgreSQL and SQLite."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster import Cluster
from live_kernel import LiveKernel, wait_until

Start = Callable[..., LiveKernel]
Declare = Callable[..., None]
# Writes a row, waits for the other task to have done so too, and tells all rows that it then sees.
INSERT = """
import os, pathlib, time
from sqlalchemy import create_engine, text
me = os.environ["ORCHESTRA_TASK"]
with create_engine(os.environ["DATABASE_URL"]).begin() as connection:
    connection.execute(text("insert into seen values (:who)"), {"who": me})
pathlib.Path(f"inserted-{me}").touch()
while len(list(pathlib.Path().glob("inserted-*"))) < %d:
    time.sleep(0.02)
with create_engine(os.environ["DATABASE_URL"]).begin() as connection:
    rows = sorted(row[0] for row in connection.execute(text("select who from seen")))
"""


@pytest.fixture
def declare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Declare:
    (tmp_path / "run").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))

    def write(**keys: object) -> None:
        lines = "".join(f"{key} = {value if isinstance(value, int) else f'{value!r}'}\n" for key, value in keys.items())
        (tmp_path / "pyproject.toml").write_text(f"[tool.jupyter_orchestra.databases.main]\n{lines}")

    return write


@pytest.fixture
def template(cluster: Cluster) -> Iterator[str]:
    cluster.execute("create database stock owner worker")
    cluster.execute("create table seen (who text)", "stock", "worker")
    cluster.execute("insert into seen values ('base')", "stock", "worker")
    yield "stock"
    assert cluster.databases() <= {"stock", "app"}
    cluster.execute("drop database stock with (force)")


def approve(nb: LiveKernel, *names: str) -> None:
    for name in names:
        nb.until(lambda name=name: nb.state(name) == "running")
        nb.until(lambda name=name: "approve or decline" in nb.run(f"%orchestra explain {name}").text)
        nb.run(f"%approve {name}")


def test_two_tasks_at_once_have_a_postgresql_database_of_their_own(
    start_kernel: Start, declare: Declare, cluster: Cluster, template: str
) -> None:
    declare(url=cluster.url(template), isolate="template", slots=2)
    nb = start_kernel()
    for name in ("one", "two"):
        nb.run(f"%%dispatch {name} --needs db:main:w\n{INSERT % 2}\nrows")
    approve(nb, "one", "two")
    for name in ("one", "two"):
        assert nb.end(name) == "done", nb.ask(f"jo.task({name!r}).error")
        assert nb.ask(f"jo.task({name!r}).result") == sorted(["base", name])
    assert cluster.query("select who from seen", template) == ["base"]
    wait_until(lambda: cluster.databases() <= {template, "app"})


def test_the_database_of_a_cancelled_task_is_dropped_though_it_is_connected(
    start_kernel: Start, declare: Declare, cluster: Cluster, template: str
) -> None:
    declare(url=cluster.url(template), isolate="template")
    nb = start_kernel()
    stays = "connection = create_engine(os.environ['DATABASE_URL']).connect()\nconnection.execute(text('select 1'))\n"
    nb.run(f"%%dispatch held --needs db:main:w\n{INSERT % 1}{stays}open('inside', 'w').close()\ntime.sleep(600)")
    approve(nb, "held")
    wait_until(lambda: (nb.folder / "inside").exists())
    assert len(cluster.databases() - {template, "app"}) == 1
    nb.run("%cancel held")
    assert nb.end("held") == "cancelled"
    wait_until(lambda: cluster.databases() <= {template, "app"})


def test_what_a_killed_kernel_left_is_dropped_before_the_next_task_gets_its_own(
    start_kernel: Start, declare: Declare, cluster: Cluster, template: str, tmp_path: Path
) -> None:
    notebook = tmp_path / "nb.ipynb"
    notebook.write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    declare(url=cluster.url(template), isolate="template")
    first = start_kernel(notebook)
    first.run("%%dispatch held -w shell --needs db:main:w\ntouch inside; sleep 600")
    approve(first, "held")
    wait_until(lambda: (tmp_path / "inside").exists())
    (left,) = cluster.databases() - {template, "app"}
    first.kill()
    second = start_kernel(notebook)
    second.run("%%dispatch fresh --needs db:main:w\nimport os\nos.environ['DATABASE_URL']")
    approve(second, "fresh")
    assert second.end("fresh") == "done"
    assert left not in second.ask("jo.task('fresh').result")
    wait_until(lambda: cluster.databases() <= {template, "app"})


def test_two_tasks_at_once_have_a_copy_of_a_sqlite_file_of_their_own(
    start_kernel: Start, declare: Declare, tmp_path: Path
) -> None:
    source = tmp_path / "stock.db"
    with sqlite3.connect(source) as connection:
        connection.execute("create table seen (who text)")
        connection.execute("insert into seen values ('base')")
    connection.close()
    declare(url="sqlite:///stock.db", isolate="copy", slots=2)
    nb = start_kernel()
    for name in ("one", "two"):
        nb.run(f"%%dispatch {name} --needs db:main:w\n{INSERT % 2}\nrows, os.environ['DATABASE_URL']")
    approve(nb, "one", "two")
    for name in ("one", "two"):
        assert nb.end(name) == "done", nb.ask(f"jo.task({name!r}).error")
        rows, url = nb.ask(f"jo.task({name!r}).result")
        assert rows == sorted(["base", name])
        wait_until(lambda url=url: not os.path.exists(url.removeprefix("sqlite:///")))
    connection = sqlite3.connect(source)
    assert [row[0] for row in connection.execute("select who from seen")] == ["base"]
    connection.close()


def test_who_writes_to_a_shared_database_is_alone_and_readers_are_together(
    start_kernel: Start, declare: Declare, cluster: Cluster, template: str
) -> None:
    declare(url=cluster.url(template), slots=2)
    nb = start_kernel()
    nb.run("%%dispatch writer -w shell --needs db:main:w\nwhile [ ! -e go ]; do sleep 0.05; done")
    approve(nb, "writer")
    read = "import os\nfrom sqlalchemy import create_engine, text\n" + INSERT.partition("with create")[0]
    both = "\npathlib.Path(f'inserted-{me}').touch()\nwhile len(list(pathlib.Path().glob('inserted-*'))) < 2:\n"
    for name in ("reader-1", "reader-2"):
        nb.run(f"%%dispatch {name} --needs db:main:r\n{read}{both}    time.sleep(0.02)\nme")
    nb.until(lambda: "waits for db:main" in nb.run("%orchestra explain reader-1").text)
    assert "held by writer" in nb.run("%orchestra explain reader-2").text
    (nb.folder / "go").touch()
    for name in ("writer", "reader-1", "reader-2"):
        assert nb.end(name) == "done", nb.ask(f"jo.task({name!r}).error")
