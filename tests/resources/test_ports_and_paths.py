from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from jupyter_orchestra.core.needs import BadNeed, parse
from jupyter_orchestra.resources.commands import is_test_command, needs_of, server_command
from jupyter_orchestra.resources.paths import resolve
from jupyter_orchestra.resources.ports import is_free


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_port_that_somebody_listens_on_is_not_free(address: str) -> None:
    with socket.create_server((address, 0)) as server:
        port = server.getsockname()[1]
        assert not is_free(port)
    assert is_free(port)


def test_a_path_is_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "src" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to("src")
    top = Path(os.path.realpath(tmp_path))
    for text in ("path:src/**:w", "path:./src:w", "path:src/deep/..:w", "path:link:w", "path:link/deep/../:w"):
        assert resolve(parse(text), tmp_path).path == (top / "src").parts
    assert resolve(parse("path:new/file.txt:w"), tmp_path).path == (top / "new" / "file.txt").parts
    assert resolve(parse("path:**:r"), tmp_path).path == top.parts


@pytest.mark.parametrize("text", ["path:..:w", "path:/etc:w", "path:out:w", "path:a/../../b:w", "path:loop:r"])
def test_a_path_that_leads_out_or_nowhere_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "out").symlink_to("/etc")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(BadNeed) as caught:
        resolve(parse(text), tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "command",
    [
        "pytest", "python -m pytest -q tests", "cd x && pytest -q", "A=1 B=2 pytest", "uv run pytest", "tox -e py311",
        "make test", "npm test", "npm run test", "cargo test", "go test ./...", "ctest", "python -m unittest",
        "set -e\npytest | tee log", "timeout 60 pytest",
    ],
)  # fmt: skip
def test_what_runs_tests_takes_the_test_runner(command: str) -> None:
    assert is_test_command(command)
    assert [need.resource for need in needs_of(command)] == ["test-runner"]


@pytest.mark.parametrize(
    "command",
    ["ls tests", "cat pytest.ini", "echo pytest", "grep -r pytest .", "pip install pytest", "pytest --version"],
)
def test_what_only_speaks_of_tests_does_not(command: str) -> None:
    assert not is_test_command(command)


@pytest.mark.parametrize(
    "command", ["python -m http.server 8000", "flask run", "uvicorn app:app", "npm run dev", "vite"]
)
def test_what_serves_takes_a_port(command: str) -> None:
    assert server_command(command)
    assert [need.resource for need in needs_of(command)] == ["port"]
