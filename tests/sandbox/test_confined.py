"""Each rung of the sandbox by what a real program can do in it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from jupyter_orchestra.sandbox.probing import probe, rungs
from jupyter_orchestra.sandbox.values import Confinement, Sandbox

RUNGS = {rung.sandbox.kind: rung for rung in rungs()}
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(params=["bubblewrap", "landlock"])
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    rung = RUNGS[request.param]
    if rung.trouble:
        pytest.skip(f"{request.param}: {rung.trouble}")
    return rung.sandbox


@pytest.fixture
def run(sandbox: Sandbox, tmp_path: Path) -> Run:
    workspace = tmp_path / "workspace"
    workspace.mkdir()

    def confined(code: str, network: bool = False) -> subprocess.CompletedProcess[str]:
        argv = sandbox.wrapped(
            (sys.executable, "-I", "-S", "-c", code), Confinement((workspace,), workspace, network=network)
        )
        return subprocess.run(
            argv,
            cwd=workspace,
            capture_output=True,
            text=True,
            timeout=30,
            env={"PATH": os.environ["PATH"]},
            check=False,
        )

    return confined


def test_the_best_rung_that_works_is_taken() -> None:
    working = [kind for kind, rung in RUNGS.items() if not rung.trouble]
    assert probe().kind == [*working, "none"][0]


def test_it_writes_in_its_workspace_and_nowhere_else(run: Run, tmp_path: Path) -> None:
    assert run("open('mine', 'w').write('x')").returncode == 0
    assert (tmp_path / "workspace" / "mine").read_text() == "x"
    for place in (tmp_path / "outside", Path("/etc/jo-test"), Path.home() / "jo-test"):
        run(f"open({str(place)!r}, 'w').write('x')")
        assert not place.exists()


def test_a_link_in_its_workspace_leads_nowhere(run: Run, tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    run(f"import os\nos.symlink({str(tmp_path / 'target')!r}, 'out')\nopen('out/file', 'w').write('x')")
    assert list((tmp_path / "target").iterdir()) == []


def test_it_reaches_no_listener_of_this_machine(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 5)\nprint('in')"
        assert "in" not in run(code).stdout
        assert "in" in run(code, network=True).stdout


def test_its_output_and_exit_code_come_through(run: Run) -> None:
    done = run("import sys\nprint('out')\nprint('err', file=sys.stderr)\nsys.exit(7)")
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 7)


def test_bubblewrap_hides_home_and_the_processes_of_others(tmp_path: Path) -> None:
    rung = RUNGS["bubblewrap"]
    if rung.trouble:
        pytest.skip(rung.trouble)
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    code = f"import os\nprint(os.path.exists('/proc/{os.getpid()}/environ'), os.listdir(os.path.expanduser('~')))"
    argv = rung.sandbox.wrapped((sys.executable, "-I", "-S", "-c", code), Confinement((workspace,), workspace))
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    seen, entries = done.stdout.strip().split(" ", 1)
    hidden = {entry.name for entry in Path.home().iterdir()} - {".pyenv", ".local"}
    assert seen == "False"
    assert not hidden & set(eval(entries))


def test_without_any_rung_nothing_is_wrapped(tmp_path: Path) -> None:
    assert Sandbox("none").wrapped(("ls",), Confinement((tmp_path,), tmp_path)) == ("ls",)
    assert "all your rights" in Sandbox("none").limits
