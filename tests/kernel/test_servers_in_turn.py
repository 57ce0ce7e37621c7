"""One port serves two servers in turn: declared ones, and those that tasks start themselves."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from live_kernel import LiveKernel, wait_until

Start = Callable[..., LiveKernel]
READ = "import os, urllib.request\nurllib.request.urlopen(os.environ['SERVER_URL'] + 'who').read().decode().strip()"


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, port: int) -> Path:
    (tmp_path / "run").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    tables = ""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "who").write_text(name)
        command = f"exec python -m http.server --bind 127.0.0.1 -d {name} $PORT"
        tables += f'[tool.jupyter_orchestra.servers.{name}]\ncommand = "{command}"\nport = "{port}"\n'
    (tmp_path / "pyproject.toml").write_text(tables)
    return tmp_path


def answered(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def test_two_declared_servers_have_one_port_in_turn(project: Path, start_kernel: Start, port: int) -> None:
    nb = start_kernel()
    wait = "import pathlib, time\nwhile not pathlib.Path('go').exists():\n    time.sleep(0.05)\n"
    nb.run(f"%%dispatch first --needs server:one\n{wait}{READ}")
    nb.until(lambda: "approve or decline" in nb.run("%orchestra explain first").text)
    nb.run("%approve first")
    nb.until(lambda: answered(port))
    nb.run(f"%%dispatch second --needs server:two\n{READ}")
    nb.until(lambda: f"waits for port:{port}, held by first" in nb.run("%orchestra explain second").text)
    (project / "go").touch()
    assert [nb.end("first"), nb.end("second")] == ["done", "done"], nb.ask("jo.task('second').error")
    assert nb.ask("[jo.task(name).result for name in ('first', 'second')]") == ["one", "two"]
    wait_until(lambda: not answered(port))
    assert not [process for process in nb.processes() if "http.server" in process.cmdline()]


def test_two_notebooks_serve_from_one_port_in_turn(project: Path, start_kernel: Start, port: int) -> None:
    nb, other = start_kernel(), start_kernel()
    serve = "exec python -m http.server --bind 127.0.0.1 -d {} $PORT"
    nb.run(f"%%dispatch mine -w shell --needs port:{port}\n{serve.format('one')}")
    nb.until(lambda: answered(port))
    other.run(f"%%dispatch theirs -w shell --needs port:{port}\n{serve.format('two')}")
    other.until(lambda: f"waits for port:{port}, held by " in other.run("%orchestra explain theirs").text)
    nb.run("%cancel mine")
    assert nb.end("mine") == "cancelled"
    other.until(lambda: answered(port))
    read = f"import urllib.request\nsaid = urllib.request.urlopen('http://127.0.0.1:{port}/who').read()"
    other.run(read)
    assert other.ask("said") == b"two"
    other.run("%cancel theirs")
    assert other.end("theirs") == "cancelled"
    wait_until(lambda: not answered(port))
