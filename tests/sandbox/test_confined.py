"""Each rung of the sandbox by what a real program can do in it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from jupyter_orchestra.sandbox import bubblewrap, places
from jupyter_orchestra.sandbox.probing import rungs
from jupyter_orchestra.sandbox.values import Confinement, Sandbox

RUNGS = {rung.sandbox.kind: rung for rung in rungs()}
Done = subprocess.CompletedProcess[str]


def rung(kind: str) -> Sandbox:
    found = RUNGS[kind]  # type: ignore[index]
    if found.trouble:
        pytest.skip(f"{kind}: {found.trouble}")
    return found.sandbox


class Box:
    """A workspace, and what runs in it."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.sandbox, self.folder = sandbox, folder
        self.workspace = folder / "workspace"
        self.workspace.mkdir()

    def wrapped(self, *argv: str, **more: object) -> tuple[str, ...]:
        own: dict[str, object] = {"writable": (self.workspace,), "cwd": self.workspace, **more}
        return self.sandbox.wrapped(argv, Confinement(**own))  # type: ignore[arg-type]

    def run(self, *argv: str, **more: object) -> Done:
        return subprocess.run(
            self.wrapped(*argv, **more), cwd=self.workspace, capture_output=True, text=True, timeout=30,
            stdin=subprocess.DEVNULL, env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]}, check=False,
        )  # fmt: skip

    def python(self, code: str, **more: object) -> Done:
        return self.run(sys.executable, "-I", "-S", "-c", code, **more)

    def bash(self, script: str, **more: object) -> Done:
        return self.run("bash", "-c", script, **more)


@pytest.fixture(params=["bubblewrap", "landlock"])
def box(request: pytest.FixtureRequest, tmp_path: Path) -> Box:
    return Box(rung(request.param), tmp_path)


@pytest.fixture
def bwrap(tmp_path: Path) -> Box:
    return Box(rung("bubblewrap"), tmp_path)


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home folder that is in no other hidden one, with a secret in it."""
    folder = Path(tempfile.mkdtemp(prefix="jo-home-", dir="/var"))
    (folder / ".ssh").mkdir()
    (folder / ".ssh" / "id_rsa").write_text("canary")
    monkeypatch.setenv("HOME", str(folder))
    yield folder
    shutil.rmtree(folder)


# writing


def test_it_writes_in_its_workspace_and_nowhere_else(box: Box, tmp_path: Path) -> None:
    assert box.bash("echo x > mine; mkdir -p a/b; mv mine a/b/; rm -r a; echo y > kept").returncode == 0
    assert (box.workspace / "kept").read_text() == "y\n"
    places = [
        *(str(folder / "jo-test") for folder in (tmp_path, Path.home(), Path("/etc"), Path("/var"), Path("/tmp"))),
        *("/run/jo-test", "../jo-test"),
    ]
    with tempfile.NamedTemporaryFile(dir="/dev/shm", prefix="jo-test-") as shared:
        for place in (*places, shared.name):
            box.bash(f"echo x > {place}")
        assert shared.read() == b""
    assert not [place for place in places if (box.workspace / place).exists()]


@pytest.mark.parametrize(
    "attempt",
    [
        "ln -s {target} out; echo x > out/file; echo x > out/there",
        "ln {target}/there hard && echo x > hard",
        "echo x > ../target/there; cd ..; echo x > target/file",
        "mv {target} mine; mv {target}/there mine; rm -f {target}/there; rm -rf {target}",
        "truncate -s 0 {target}/there; cp /dev/null {target}/there",
        "unshare -Urm bash -c 'mount -o remount,rw,bind / ; umount /tmp; echo x > {target}/there'",
        "mount -o remount,rw /; umount -l /tmp; echo x > {target}/there",
        "python3 -c \"open('/proc/self/root{target}/there', 'w').write('x')\"; echo x > /proc/1/root{target}/there",
        "mv ../workspace ../moved; rm -rf ../workspace; ln -s {target} ../workspace",
    ],
)
def test_no_way_out_of_the_workspace_leads_to_a_write(box: Box, tmp_path: Path, attempt: str) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "there").write_text("as it was")
    box.bash(attempt.format(target=target))
    assert [(path.name, path.read_text()) for path in target.iterdir()] == [("there", "as it was")]
    assert box.workspace.is_dir()
    assert not box.workspace.is_symlink()


def test_a_workspace_that_became_a_link_is_not_bound(box: Box, tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    box.workspace.rmdir()
    box.workspace.symlink_to(tmp_path / "target")
    with pytest.raises(NotADirectoryError):
        box.wrapped("true")
    box.workspace.unlink()
    with pytest.raises(NotADirectoryError):
        box.wrapped("true")


# reading


def test_it_finds_none_of_the_persons_own_files(bwrap: Box, home: Path) -> None:
    runtime = Path(tempfile.mkdtemp(prefix="jo-", dir="/tmp"))
    try:
        (runtime / "secret").write_text("canary")
        said = bwrap.bash(f"cat ~/.ssh/id_rsa {home}/.ssh/id_rsa {runtime}/secret; ls -A ~ /tmp /run /root /home")
    finally:
        shutil.rmtree(runtime)
    assert "canary" not in said.stdout
    names = {"workspace", ".pyenv", Path(tempfile.gettempdir()).name}
    shown = {line for line in said.stdout.split() if not line.endswith(":")}
    assert not shown & {path.name for path in Path("/root").iterdir() if path.name not in names}


@pytest.mark.parametrize("variable", ["XDG_RUNTIME_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "XDG_STATE_HOME"])
def test_runtime_and_journal_folders_are_empty_wherever_they_are(
    bwrap: Box, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    with tempfile.TemporaryDirectory(prefix="jo-test-", dir="/var") as folder:
        Path(folder, "journal.db").write_text("canary")
        assert "canary" in bwrap.bash(f"cat {folder}/*").stdout
        monkeypatch.setenv(variable, folder)
        done = bwrap.bash(f"ls -A {folder}; cat {folder}/journal.db")
        assert done.stdout == ""


def test_what_is_named_is_hidden_and_what_is_deeper_is_shown(bwrap: Box) -> None:
    with tempfile.TemporaryDirectory(prefix="jo-test-", dir="/var") as name:
        project = Path(name)
        (project / "sub").mkdir()
        (project / "sub" / "data").write_text("data")
        (project / ".env").write_text("canary")
        (project / ".aws").mkdir()
        (project / ".aws" / "keys").write_text("canary")
        script = f"cat {name}/.env {name}/.aws/keys; cat {name}/sub/data"
        assert bwrap.bash(script, hide=(project / ".env", project / ".aws")).stdout == "data"
        assert bwrap.bash(script, hide=(project,)).stdout == ""
        assert bwrap.bash(script, hide=(project,), readable=(project / "sub",)).stdout == "data"
        assert bwrap.bash(f"echo x > {name}/sub/data", hide=(project,), readable=(project / "sub",)).returncode
        assert (project / "sub" / "data").read_text() == "data"


def test_a_project_below_home_is_shown_and_the_rest_of_home_is_not(bwrap: Box, home: Path) -> None:
    project = home / "work" / "project"
    project.mkdir(parents=True)
    (project / "data").write_text("data")
    (home / "work" / "other").write_text("canary")
    done = bwrap.bash("cat data ../other ~/.ssh/id_rsa; pwd", readable=(project,), cwd=project)
    assert done.stdout == f"data{project}\n"


def test_of_a_home_that_is_the_project_the_dotted_part_is_hidden(bwrap: Box, home: Path) -> None:
    (home / "data").write_text("data")
    (home / "keys").symlink_to(".ssh")
    (home / "more").symlink_to("data")
    done = bwrap.bash("ls -A; cat data more .ssh/id_rsa keys/id_rsa", readable=(home,), cwd=home)
    assert done.stdout == "data\nkeys\nmore\ndatadata"


def test_a_project_that_is_the_folder_for_temporary_files_shows_nothing_of_it(bwrap: Box) -> None:
    with tempfile.TemporaryDirectory(prefix="jo-test-", dir="/tmp") as folder:
        Path(folder, "socket").write_text("canary")
        assert "canary" not in bwrap.bash(f"cat {folder}/socket", readable=(Path("/tmp"), Path("/"))).stdout


def test_it_sees_no_process_but_its_own(bwrap: Box) -> None:
    done = bwrap.bash("cat /proc/[0-9]*/environ | tr '\\0' '\\n'; ls /proc | grep -c '^[0-9]'")
    assert "PYTEST_CURRENT_TEST" not in done.stdout
    assert int(done.stdout.split()[-1]) < 10


def test_no_environ_of_another_process_is_read(box: Box) -> None:
    code = f"try:\n    print(open('/proc/{os.getpid()}/environ').read())\nexcept OSError:\n    print('not seen')"
    assert box.python(code).stdout == "not seen\n"


def test_it_has_the_environment_that_it_is_given_and_no_other(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_API_KEY", "canary")
    done = box.bash("env; cat /proc/$$/environ /proc/$PPID/environ | tr '\\0' '\\n'")
    assert "canary" not in done.stdout
    assert "PATH=" in done.stdout


def test_a_card_to_compute_on_is_there(bwrap: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    (device, *_) = [path for path in ("/dev/fuse", "/dev/kmsg", "/dev/console") if os.path.exists(path)]
    assert bwrap.bash(f"test -e {device}").returncode == 1 or device == "/dev/console"
    monkeypatch.setattr(bubblewrap, "GRAPHICS", (device,))
    assert bwrap.bash(f"test -e {device}").returncode == 0


# the network and other processes


def test_it_reaches_no_listener_of_this_machine(box: Box) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 5)\nprint('in')"
        assert "in" not in box.python(code).stdout
        assert "in" in box.python(code, network=True).stdout


def test_it_reaches_no_socket_of_another_program(bwrap: Box) -> None:
    with tempfile.TemporaryDirectory(prefix="jo-test-", dir="/run") as folder, socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{folder}/s")
        server.listen()
        code = f"import socket\nsocket.socket(socket.AF_UNIX).connect('{folder}/s')\nprint('in')"
        assert "in" not in bwrap.python(code).stdout
        assert "in" not in bwrap.python(code, network=True).stdout


def test_it_signals_no_process_outside(box: Box) -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        try:
            assert box.bash(f"kill -9 {other.pid}").returncode != 0
            assert other.poll() is None
        finally:
            other.kill()


def test_what_left_its_session_dies_with_the_command(bwrap: Box) -> None:
    mark = f"{time.time()}"
    bwrap.bash(f"setsid bash -c '(exec -a sleeper-{mark} sleep 300) & disown' & sleep 0.2; exec env -i true")
    assert not named(mark)


def test_it_dies_with_who_started_it(bwrap: Box) -> None:
    mark = f"{time.time()}"
    argv = bwrap.wrapped("bash", "-c", f"setsid bash -c 'exec -a sleeper-{mark} sleep 300' & exec -a x{mark} sleep 300")
    starter = subprocess.Popen(
        [sys.executable, "-c", f"import subprocess; subprocess.run({argv!r}, env=dict())"], env=os.environ.copy()
    )
    until(lambda: len(named(f"sleeper-{mark}")) == 1)
    starter.kill()
    starter.wait()
    until(lambda: not named(mark))


def test_an_interrupt_is_for_what_runs_in_it(bwrap: Box) -> None:
    code = "import signal, time\ntry:\n    print('begun', flush=True)\n    time.sleep(60)\nexcept KeyboardInterrupt:\n"
    argv = bwrap.wrapped(sys.executable, "-I", "-S", "-c", f"{code}    print('heeded', flush=True)")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "begun\n"
        os.killpg(running.pid, signal.SIGINT)  # bubblewrap heeds it not
        for child in psutil.Process(running.pid).children(recursive=True):
            child.send_signal(signal.SIGINT)
        assert running.stdout.readline() == "heeded\n"
        assert running.wait(10) == 0


# what comes through


def test_its_output_and_exit_code_come_through(box: Box) -> None:
    done = box.python("import sys\nprint('out')\nprint('err', file=sys.stderr)\nsys.exit(7)")
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 7)


def test_the_signal_that_ended_it_comes_through(box: Box) -> None:
    code = box.bash("kill -9 $$").returncode
    assert code == (128 + 9 if box.sandbox.kind == "bubblewrap" else -9)


def test_temporary_files_have_a_place(box: Box) -> None:
    code = "import tempfile, os\nwith tempfile.NamedTemporaryFile() as f:\n    print(os.path.exists(f.name))"
    assert box.python(code).stdout == "True\n"


def test_a_command_that_is_not_there_is_told(box: Box) -> None:
    done = box.run("no-such-program")
    assert done.returncode == 127
    assert "no-such-program" in done.stderr


def test_a_device_that_does_no_harm_can_be_written(box: Box) -> None:
    assert box.bash("echo x > /dev/null; head -c 1 /dev/urandom > /dev/null; head -c1 /dev/zero > z").returncode == 0


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("kind", ["bubblewrap", "landlock"])
def test_another_user_is_confined_alike(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox = rung(kind)
    monkeypatch.setattr(places, "needed", lambda: iter(()))  # the Python of this test may be out of their reach
    with tempfile.TemporaryDirectory(prefix="jo-test-", dir="/var") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for below in ("workspace", "target"):
            (folder / below).mkdir()
            os.chown(folder / below, 65534, 65534)
        workspace = folder / "workspace"
        script = f"echo x > mine; echo x > {folder}/target/file; id -u"
        argv = sandbox.wrapped(("bash", "-c", script), Confinement((workspace,), workspace))
        if kind == "landlock":  # whose launcher they may not be able to read either
            launcher = folder / "landlock.py"
            shutil.copy(argv[3], launcher)
            argv = ("/usr/bin/python3", "-I", "-S", str(launcher), *argv[4:])
            if not os.path.exists(argv[0]):
                pytest.skip("there is no Python that another user may run")
        done = subprocess.run(argv, user=65534, group=65534, extra_groups=(), cwd=workspace, capture_output=True,
                              text=True, env={"PATH": "/usr/bin:/bin"}, timeout=30, check=False)  # fmt: skip
        assert done.stdout == "65534\n", done.stderr
        assert (workspace / "mine").read_text() == "x\n"
        assert list((folder / "target").iterdir()) == []


def test_it_costs_little(box: Box) -> None:
    def fastest(argv: tuple[str, ...]) -> float:
        took = []
        for _ in range(12):
            began = time.perf_counter()
            subprocess.run(argv, cwd=box.workspace, check=True)
            took.append(time.perf_counter() - began)
        return min(took)

    began = time.perf_counter()
    argv = box.wrapped("true")
    spelling = time.perf_counter() - began
    assert fastest(argv) + spelling - fastest(("true",)) <= 0.040


def named(mark: str) -> list[int]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.cmdline()[:1] and mark in process.cmdline()[0]:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
