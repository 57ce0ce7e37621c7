"""What an agent's programs can do to the person, in each rung of the sandbox and without any."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import msgspec
import pytest
from agent_doubles import Scene, ScriptedModel, call, end, say

from jupyter_orchestra.config import Orchestra
from jupyter_orchestra.core.model import Input, State
from jupyter_orchestra.core.needs import parse_all
from jupyter_orchestra.core.ports import Verdict
from jupyter_orchestra.errors import UsageError
from jupyter_orchestra.sandbox.probing import rungs
from jupyter_orchestra.sandbox.values import Sandbox
from jupyter_orchestra.workers import confining

RUNGS = {rung.sandbox.kind: rung for rung in rungs()}
NO = Verdict(False, "no")


def use_only(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "none":
        monkeypatch.setattr(confining, "probe", lambda: Sandbox("none"))
        return
    rung = RUNGS[kind]  # type: ignore[index]
    if rung.trouble:
        pytest.skip(f"{kind}: {rung.trouble}")
    monkeypatch.setattr(confining, "probe", lambda: rung.sandbox)


@pytest.fixture
def bwrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    use_only("bubblewrap", monkeypatch)
    return Scene(tmp_path, "worker", NO)


@pytest.fixture(params=["bubblewrap", "landlock"])
def confined(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    use_only(request.param, monkeypatch)
    return Scene(tmp_path, "worker")


def test_a_worker_runs_without_asking_in_bubblewrap(bwrap: Scene) -> None:
    said = bwrap.answers(
        call("run_command", command="echo $((6 * 7))"),
        call("run_python", code="x = 6"),
        call("run_python", code="x * 7"),
    )
    assert said == ["42\n\n[exit code 0]", "[no output]", "42"]
    assert bwrap.person.asks == []
    assert bwrap.person.bare == []
    assert not [line for line in bwrap.person.lines if "UNSANDBOXED" in line]


@pytest.mark.parametrize(("kind", "begins"), [("landlock", "run"), ("none", "UNSANDBOXED: run")])
def test_a_worker_asks_where_its_home_is_not_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, begins: str
) -> None:
    use_only(kind, monkeypatch)
    scene = Scene(tmp_path, "worker", NO)
    said = scene.answers(call("run_command", command="touch mark"), call("run_python", code="1"))
    assert [line[:20] for line in said] == ["the person declined:"] * 2
    assert [ask.action for ask in scene.person.asks] == [f"{begins}: touch mark", f"{begins} Python: 1"]
    assert ("with all your rights" if kind == "none" else "half confined") in scene.person.asks[0].detail
    assert ("UNSANDBOXED: run: touch mark" in scene.person.lines) == (kind == "none")


def test_landlock_suffices_where_the_person_has_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_only("landlock", monkeypatch)
    scene = Scene(tmp_path, "worker", NO)
    model = ScriptedModel(say("", call("run_command", command=f"echo in; touch {tmp_path}/out; echo x > mine")), end())
    scene.finish(model, landlock_suffices=lambda: True)
    assert model.outputs()[0].startswith("in\ntouch: ")
    assert scene.person.asks == []
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["bubblewrap", "landlock", "none"])
def test_default_asks_in_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    use_only(kind, monkeypatch)
    scene = Scene(tmp_path, "default")
    (said,) = scene.answers(call("run_command", command="echo in"))
    assert said == "in\n\n[exit code 0]"
    assert len(scene.person.asks) == 1


def test_what_leases_something_outside_asks(bwrap: Scene) -> None:
    model = ScriptedModel(say("", call("run_command", command="true")), end())
    bwrap.finish(model, bwrap.job(needs=parse_all("db:main:w,press")))
    assert bwrap.person.bare == ["it leases db:main:w, which nothing confined can reach"]
    assert [ask.action for ask in bwrap.person.asks] == ["UNSANDBOXED: run: true"]


@pytest.mark.parametrize(("role", "says"), [("worker", True), ("default", True), ("explorer", False)])
def test_an_agent_that_may_run_things_says_from_the_first_that_nothing_confines_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, role: str, says: bool
) -> None:
    monkeypatch.setattr(confining, "probe", lambda: Sandbox("none", why="bubblewrap: not found"))
    scene = Scene(tmp_path, role)
    scene.finish(ScriptedModel(end()))
    assert scene.person.bare == (["bubblewrap: not found"] if says else [])


def test_it_changes_nothing_outside_its_workspace(confined: Scene) -> None:
    (confined.project / "a").write_text("a")
    outside = confined.folder / "outside"
    places = [confined.project / "a", confined.project / "new", outside, Path.home() / "jo-test", Path("/etc/jo-test")]
    script = "\n".join(f"echo x > {place}" for place in (*places, "../up"))
    code = f"for place in {[*map(str, places), '../up']!r}:\n  try: open(place, 'w').write('x')\n  except OSError: pass"
    said = confined.answers(
        call("run_command", command=f"{script}\necho x > mine; cat mine a"), call("run_python", code=code)
    )
    assert "x\na" in said[0]
    assert said[1] == "[no output]"
    assert (confined.project / "a").read_text() == "a"
    assert not [place for place in places[1:] if place.exists()]
    assert {path.name for path in confined.folder.iterdir()} == {"project", "store", "runtime"}


def test_it_reads_neither_the_project_itself_nor_the_journal_nor_home(bwrap: Scene) -> None:
    (bwrap.project / ".env").write_text("canary")
    (bwrap.folder / "runtime").mkdir()
    (bwrap.folder / "runtime" / "journal.db").write_text("canary")
    paths = [bwrap.project / ".env", bwrap.folder / "runtime" / "journal.db"]
    script = f"cat {paths[0]} {paths[1]} ../../journal.db .env; ls -A ~ | grep -v pyenv; ls {bwrap.project}"
    names = [*map(str, paths), "../../journal.db", ".env"]
    code = f"found = []\nfor path in {names!r}:\n  try: found.append(open(path).read())"
    said = bwrap.answers(
        call("run_command", command=script), call("run_python", code=f"{code}\n  except OSError: pass\nfound")
    )
    assert "canary" not in said[0]
    assert said[1] == "[]"


def test_it_has_the_network_once_the_person_agrees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_only("bubblewrap", monkeypatch)
    with socket.create_server(("127.0.0.1", 0)) as server:
        script = f"(echo > /dev/tcp/127.0.0.1/{server.getsockname()[1]}) 2> /dev/null && echo in || echo out"
        scene = Scene(tmp_path, "worker")
        said = scene.answers(call("run_command", command=script), call("run_command", command=script, network=True))
        assert [line.split()[0] for line in said] == ["out", "in"]
        (ask,) = scene.person.asks
        assert ask.action.startswith("run with network: ")
        assert "the network is granted" in ask.detail
        scene.person.verdict = NO
        (declined,) = scene.answers(call("run_command", command=script, network=True))
        assert declined.startswith("the person declined")


def test_what_the_kernel_puts_in_the_place_of_its_files_leads_nobody_out(confined: Scene) -> None:
    """Its folder is its own; who reads there from outside must not follow it."""
    secret, target = confined.folder / "secret", confined.folder / "target"
    secret.write_text('{"k":"stdout"}canary')
    target.write_text("as it was")
    link = f"""
import glob, os
for spool in glob.glob({str(confined.folder)!r} + '/runtime/*/python/spool-*'):
    for name in (spool, spool + '.txt', spool + '.1'):
        if os.path.lexists(name):
            os.unlink(name)
        os.symlink({{target!r}}, name)
os.symlink({{target!r}}, os.path.dirname(spool) + '/spool-2')
os.mkfifo(os.path.dirname(spool) + '/spool-3')
"""
    big = "from IPython.display import display\ndisplay({'image/png': 'x' * 9_000_000}, raw=True)"
    said = confined.answers(
        call("run_python", code=f"{link.format(target=str(secret))}\n{big}"),
        call("run_python", code="print('second')"),
        call("run_python", code="print('third')"),
    )
    assert "canary" not in str(said)
    assert target.read_text() == "as it was"
    assert secret.read_text() == '{"k":"stdout"}canary'


def test_a_workspace_can_not_be_exchanged(bwrap: Scene) -> None:
    target = bwrap.folder / "target"
    target.mkdir()
    said = bwrap.answers(
        call("run_python", code="import os\ntry: os.rename(os.getcwd(), '../x')\nexcept OSError as e: print(e)"),
        call("run_command", command=f'rm -rf "$ORCHESTRA_WORKSPACE"; ln -s {target} ../workspace; echo x > file'),
        call("run_command", command="ls"),
    )
    assert "file" in said[2]
    assert list(target.iterdir()) == []


def test_results_before_are_there_though_their_files_are_hidden(bwrap: Scene) -> None:
    import cloudpickle  # type: ignore[import-untyped]

    small, large = [bwrap.store.put(cloudpickle.dumps("x" * size)) for size in (10, 200_000)]
    inline = msgspec.structs.replace(large, data=bwrap.store.get(large), digest=None)
    inputs = {name: Input(State.DONE, blob) for name, blob in zip("abc", (small, large, inline), strict=True)}
    model = ScriptedModel(say("", call("run_python", code="[len(results[name]) for name in 'abc']")), end())
    bwrap.finish(model, bwrap.job(inputs=inputs))
    assert model.outputs()[-1] == "[10, 200000, 200000]"


def test_an_interrupted_kernel_keeps_its_variables(confined: Scene) -> None:
    said = confined.answers(
        call("run_python", code="x = 5"),
        call("run_python", code="import time; time.sleep(60)", seconds=1),
        call("run_python", code="x"),
    )
    assert said[1].endswith("[interrupted after 1 s, its time limit]")
    assert said[2] == "5"


def test_a_kernel_that_is_killed_is_told_so(confined: Scene) -> None:
    (said,) = confined.answers(call("run_python", code="import os; os.kill(os.getpid(), 9)"))
    assert said == "[Python ended (killed by SIGKILL): all variables are gone; the next run starts anew]"


def test_no_key_is_found_in_it(bwrap: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_API_KEY", "canary-1")
    (said,) = bwrap.answers(call("run_command", command="env; cat /proc/*/environ | tr '\\0' '\\n'"))
    assert "canary" not in said
    assert f"ORCHESTRA_WORKSPACE={os.sep}" in said or "ORCHESTRA_WORKSPACE=." in said


def test_no_project_says_that_landlock_suffices(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.jupyter_orchestra]\nsandbox = "landlock"\n')
    config = Orchestra()
    with pytest.raises(UsageError, match="no project says what runs without asking you: take it out"):
        config.apply_project(tmp_path)
    assert config.sandbox == "auto"
