"""The test runner and the dev server with real pytest, real processes and real sockets."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from jupyter_orchestra.core.needs import Need
from jupyter_orchestra.core.ports import Grant
from jupyter_orchestra.errors import ResourceError
from jupyter_orchestra.processes.launcher import LocalLauncher
from jupyter_orchestra.resources import declared
from jupyter_orchestra.resources.declared import Declared, Server
from jupyter_orchestra.resources.ports import is_free
from jupyter_orchestra.resources.server import ServerProvider
from jupyter_orchestra.resources.tests import TestRunner, detect

WEB = Need("server:web")
SUITE = "def test_good(): pass\ndef test_bad(): assert 0\n"


async def yes(action: str, detail: str) -> bool:
    return True


async def no(action: str, detail: str) -> bool:
    return False


def with_launcher(act: Callable[[LocalLauncher], Awaitable[None]]) -> None:
    async def run() -> None:
        launcher = LocalLauncher()
        try:
            await act(launcher)
        finally:
            await launcher.close()

    asyncio.run(run())


def grant(folder: Path, *needs: Need, shown: list[str] | None = None) -> Grant:
    own = folder / f"grant-{len(list(folder.iterdir()))}"
    own.mkdir(mode=0o700)
    return Grant("lease", "uid", "task", own, folder, needs, (shown if shown is not None else []).append)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_the_projects_tests_run_and_their_summary_is_read(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(SUITE)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    shown: list[str] = []

    async def act(launcher: LocalLauncher) -> None:
        runner = TestRunner(launcher, Declared(tmp_path / "pyproject.toml"), None)
        report = await runner.run(grant(tmp_path, Need("test-runner"), shown=shown), ("-p", "no:cacheprovider"))
        assert (report.passed, report.failed, report.exit_code) == (1, 1, 1)
        assert [name.partition(" ")[0] for name in report.failures] == ["test_it.py::test_bad"]

    with_launcher(act)
    assert any("1 failed, 1 passed" in line for line in shown)


def test_a_declared_command_runs_only_once_it_was_approved(tmp_path: Path) -> None:
    found = Declared(tmp_path / "pyproject.toml", tests=declared.Tests("touch ran; exit 3"))

    async def decline(launcher: LocalLauncher) -> None:
        with pytest.raises(ResourceError, match="declined to run the tests"):
            await TestRunner(launcher, found, no).run(grant(tmp_path))

    async def approve(launcher: LocalLauncher) -> None:
        assert (await TestRunner(launcher, found, yes).run(grant(tmp_path))).exit_code == 3

    with_launcher(decline)
    assert not (tmp_path / "ran").exists()
    with_launcher(approve)
    assert (tmp_path / "ran").exists()


def test_where_nothing_says_how_tests_are_run_the_person_is_told_what_to_write(tmp_path: Path) -> None:
    assert detect(tmp_path) is None

    async def act(launcher: LocalLauncher) -> None:
        with pytest.raises(ResourceError, match="tests"):
            await TestRunner(launcher, Declared(tmp_path / "pyproject.toml"), yes).run(grant(tmp_path))

    with_launcher(act)


def test_one_port_serves_two_servers_in_turn(tmp_path: Path) -> None:
    port = free_port()
    need = Need("port", choice=(port, port), units=(port,))

    async def act(launcher: LocalLauncher) -> None:
        servers = {name: Server(f"exec python -m http.server $PORT -d {name}") for name in ("one", "two")}
        served = ServerProvider(launcher, Declared(tmp_path / "pyproject.toml", servers=servers), yes)
        for name in ("one", "two"):
            os.mkdir(tmp_path / name)
            provision = await served.provide(Need(f"server:{name}"), grant(tmp_path, need, Need(f"server:{name}")))
            assert provision.environment["SERVER_URL"] == f"http://127.0.0.1:{port}/"
            assert not is_free(port)
            await provision.end()
            assert is_free(port)

    with_launcher(act)


@pytest.mark.parametrize(
    ("command", "said"),
    [("echo broken >&2; exit 4", "broken"), ("sleep 60", "answer"), ("no-such-program-here", "no-such-program-here")],
)
def test_a_server_that_does_not_come_up_says_why_and_leaves_nothing(tmp_path: Path, command: str, said: str) -> None:
    port = free_port()
    need = Need("port", choice=(port, port), units=(port,))

    async def act(launcher: LocalLauncher) -> None:
        found = Declared(tmp_path / "pyproject.toml", servers={"web": Server(command, seconds=1.0)})
        with pytest.raises(ResourceError, match=said) as caught:
            await ServerProvider(launcher, found, yes).provide(WEB, grant(tmp_path, need, WEB))
        assert "\n" not in str(caught.value)
        assert not launcher._running

    with_launcher(act)


def test_a_port_that_somebody_listens_on_is_no_place_for_a_server(tmp_path: Path) -> None:
    async def act(launcher: LocalLauncher) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            need = Need("port", choice=(port, port), units=(port,))
            found = Declared(tmp_path / "pyproject.toml", servers={"web": Server("sleep 60", seconds=1.0)})
            with pytest.raises(ResourceError, match="in use by another program"):
                await ServerProvider(launcher, found, yes).provide(WEB, grant(tmp_path, need, WEB))

    with_launcher(act)


@pytest.mark.parametrize("proxy", [True, False])
def test_where_a_proxy_is_installed_the_browsers_address_is_told_below_the_base_of_its_jupyter_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: bool
) -> None:
    (tmp_path / "jpserver-4711.json").write_text('{"base_url": "/lab-of-me/", "pid": 4711}')
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("JPY_PARENT_PID", "4711")
    monkeypatch.delenv("JUPYTERHUB_SERVICE_PREFIX", raising=False)
    if proxy:
        (tmp_path / "lib").mkdir()
        (tmp_path / "lib" / "jupyter_server_proxy.py").touch()
        monkeypatch.syspath_prepend(tmp_path / "lib")
    port = free_port()
    need = Need("port", choice=(port, port), units=(port,))

    async def act(launcher: LocalLauncher) -> None:
        served = ServerProvider(launcher, Declared(tmp_path / "pyproject.toml"), None)
        provision = await served.start("exec python -m http.server $PORT", grant(tmp_path, need), port)
        assert (f"in the browser: /lab-of-me/proxy/{port}/" in provision.notes) == proxy
        await provision.end()

    with_launcher(act)
