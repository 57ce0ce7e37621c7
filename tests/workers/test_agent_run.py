import asyncio
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import pytest
from agent_doubles import Scene, ScriptedModel, call, end, say, until, use, workers
from kernels import alive

from jupyter_orchestra.core.model import Input, Place, State
from jupyter_orchestra.core.ports import Finished, Verdict
from jupyter_orchestra.sandbox.values import Sandbox
from jupyter_orchestra.workers import confining
from jupyter_orchestra.workers.agent_workspace import Copy
from jupyter_orchestra.workers.safe_environment import safe_environment

KEYS = {"OPENAI_API_KEY": "sk-canary-1", "AWS_SECRET_ACCESS_KEY": "canary-2", "MY_OWN_SETTING": "canary-3"}


@pytest.fixture(params=["default", "worker"])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Scene:
    return Scene(tmp_path, request.param)


@pytest.fixture
def worker_scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path, "worker")


def test_a_command_runs_in_the_workspace(scene: Scene) -> None:
    (scene.project / "a.txt").write_text("old\n")
    command = "echo new > a.txt\ncat a.txt; ls /nowhere; exit 3"
    (said,) = scene.answers(call("run_command", command=command))
    assert said.startswith("new\nls: ")
    assert said.endswith("[exit code 3]")
    assert (scene.project / "a.txt").read_text() == "old\n"
    if scene.role == "worker":
        assert scene.person.asks == []
        return
    (ask,) = scene.person.asks
    assert ask.action == "run: echo new > a.txt (and 1 more lines)"
    assert ask.detail.startswith(f"{command}\n\n(in its workspace: {scene.folder}")
    assert len(ask.digest) == 32


def test_what_is_asked_is_bound_to_the_exact_action(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "default")
    scene.answers(
        call("run_command", command="true"),
        call("run_command", command="true "),
        call("run_python", code="true"),
        call("run_command", command="true"),
    )
    digests = [ask.digest for ask in scene.person.asks]
    assert digests[0] == digests[3]
    assert len(set(digests)) == 3
    assert len({ask.id for ask in scene.person.asks}) == 4


def test_nothing_runs_that_the_person_declines(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "default", Verdict(False, "too risky"))
    mark = tmp_path / "mark"
    said = scene.answers(
        call("run_command", command=f"touch {mark}"), call("run_python", code=f"open({str(mark)!r}, 'w')")
    )
    assert said == ["the person declined: too risky. It was not done: do without it, or say so in your result"] * 2
    assert not mark.exists()
    assert scene.person.processes == []


@pytest.mark.parametrize("code", ["ls # \u202e safe", "ls\x1b[8m; rm -rf x", "l\u200bs", "ls\r\nrm x", "", " \n"])
def test_what_a_person_can_not_see_is_not_run(worker_scene: Scene, code: str) -> None:
    (said,) = worker_scene.answers(call("run_command", command=code))
    assert said.startswith("not run: ")
    assert worker_scene.person.asks == []


def test_an_explorer_runs_nothing(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    said = scene.answers(call("run_command", command="true"), call("run_python", code="1"))
    assert [line[:20] for line in said] == ["there is no tool 'ru"] * 2
    assert scene.person.asks == []


def test_no_key_is_in_the_environment_of_what_an_agent_runs(
    worker_scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    code = "import os; print(dict(os.environ)); print(open('/proc/self/environ').read())"
    commands, python = worker_scene.answers(
        call("run_command", command="env; cat /proc/self/environ | tr '\\0' '\\n'"), call("run_python", code=code)
    )
    for said in (commands, python):
        assert "canary" not in said
        assert "PATH" in said
        assert "ORCHESTRA_TASK" in said


def test_only_known_names_go_on() -> None:
    given = {"PATH": "/bin", "LANG": "C", **KEYS, "PGPASSWORD": "x", "JUPYTER_TOKEN": "x", "KEYBOARD": "x"}
    assert safe_environment(given) == {"PATH": "/bin", "LANG": "C"}


def test_python_keeps_its_variables_and_has_the_results_before(worker_scene: Scene) -> None:
    (worker_scene.project / "helper.py").write_text("def double(x):\n    return 2 * x\n")
    value = worker_scene.store.put(cloudpickle.dumps([1, 2, 3]))
    model = ScriptedModel(
        use("run_python", code="from helper import double\nx = double(results['load'][2])\nprint('set')"),
        use("run_python", code="import helper, os\n(x, os.path.basename(os.getcwd()), 'workspace' in helper.__file__)"),
        use("run_python", code="open('made.txt', 'w').write('yes')\n1 / 0"),
        use("run_python", code="x + 1;"),
        end(artifacts=["made.txt"]),
    )
    place = Place(os.fspath(worker_scene.project), (os.fspath(worker_scene.project), ""))
    result = worker_scene.finish(model, worker_scene.job(inputs={"load": Input(State.DONE, value)}, place=place))
    said = model.outputs()[1:]
    assert said[0] == "set"
    assert said[1] == "(6, 'workspace', True)"
    assert "ZeroDivisionError: division by zero" in said[2]
    assert "\x1b" not in said[2]
    assert said[3] == "[no output]"
    assert worker_scene.store.get(result.artifacts[0].blob) == b"yes"
    assert not (worker_scene.project / "made.txt").exists()
    assert not [pid for pid in pids(worker_scene) if alive(pid)]


def test_python_that_dies_is_started_anew(worker_scene: Scene) -> None:
    said = worker_scene.answers(
        call("run_python", code="x = 1; import os; os.kill(os.getpid(), 9)"),
        call("run_python", code="'x' in globals()"),
    )
    assert said == ["[Python ended (killed by SIGKILL): all variables are gone; the next run starts anew]", "False"]


def test_what_takes_too_long_is_ended(worker_scene: Scene) -> None:
    said = worker_scene.answers(
        call("run_command", command="echo begun; sleep 60", seconds=1),
        call("run_python", code="x = 1"),
        call("run_python", code="import time; time.sleep(60)", seconds=1),
        call("run_python", code="x"),
    )
    assert said[0] == "begun\n\n[ended after 1 s, its time limit]"
    assert said[2].endswith("[interrupted after 1 s, its time limit]")
    assert said[3] == "1"


def test_a_link_that_a_command_makes_leads_no_file_tool_out(worker_scene: Scene) -> None:
    (worker_scene.folder / "secret").write_text("of somebody else")
    said = worker_scene.answers(
        call("run_command", command=f"ln -s {worker_scene.folder} out; ln -s {worker_scene.folder}/secret file"),
        call("read_file", path="file"),
        call("read_file", path="out/secret"),
        call("write_file", path="file", text="x"),
        call("write_file", path="out/secret", text="x"),
        call("search", pattern="somebody"),
        call("list_files", depth=4),
    )
    assert (worker_scene.folder / "secret").read_text() == "of somebody else"
    assert said[1] == "file is a symbolic link: links are not followed"
    assert said[2] == said[4] == "out/secret leads through a link or a file: links are not followed"
    assert said[5] == "nothing found"
    assert said[6] == "file  (a link, not followed)\nout  (a link, not followed)"


def test_no_path_of_ours_is_told_to_the_model(worker_scene: Scene) -> None:
    model = ScriptedModel(
        use("run_command", command="pwd; nosuch"), use("run_python", code="__import__('os').getcwd()"), end()
    )
    worker_scene.finish(model)
    assert model.outputs()[0].startswith(".\n../run-1/script.sh: line 1: nosuch: ")
    assert model.outputs()[1] == "'.'"
    assert "runtime" not in json.dumps([request.items for request in model.requests])


def test_a_workspace_that_its_agent_removed_is_told_so(worker_scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confining, "probe", lambda: Sandbox("none"))  # from within it can be emptied only
    said = worker_scene.answers(
        call("run_command", command='rm -r "$ORCHESTRA_WORKSPACE"'),
        call("run_command", command="true"),
        call("run_python", code="1"),
        call("read_file", path="a"),
    )
    assert [line[:26] for line in said[1:]] == ["your workspace is gone: so"] * 2 + ["there is no a: list_files "]


def test_output_of_programs_is_told_live_as_plain_text(worker_scene: Scene) -> None:
    code = "from IPython.display import HTML, display\ndisplay(HTML('<script>1</script>'))\nprint('\\x1b[31mred')"
    (said,) = worker_scene.answers(call("run_python", code=code))
    texts = [str(output["text"]) for output in worker_scene.person.outputs if output["output_type"] == "stream"]
    assert "".join(texts).startswith("▸ run_python from IPython.display import HTML, display\n")
    assert "red\n" in "".join(texts)
    assert not [output for output in worker_scene.person.outputs if "text/html" in output.get("data", {})]  # type: ignore[operator]
    assert "red" in said


@pytest.mark.parametrize(
    "made",
    [
        call("run_command", command="sleep 300 & echo $! > pids; sleep 300; echo"),
        call("run_python", code="import subprocess as s; p = s.Popen(['sleep', '300']); print('begun'); p.wait()"),
    ],
)
def test_a_cancel_ends_what_runs_within_200_ms(worker_scene: Scene, made: Any) -> None:
    async def cancelled() -> float:
        job = worker_scene.job()
        async with workers(ScriptedModel(say("", made))) as worker:
            work = asyncio.ensure_future(worker.run(job))
            await until(lambda: children(worker_scene))
            running = [*pids(worker_scene), *children(worker_scene)]
            began = time.monotonic()
            work.cancel()
            with pytest.raises(asyncio.CancelledError):
                await work
            took = time.monotonic() - began
            assert not [pid for pid in running if alive(pid)]
            assert list(job.folder.iterdir()) == []
            return took

    # Other programs on the machine may hold one of them up.
    assert any(asyncio.run(cancelled()) < 0.2 for _ in range(5))


def test_a_cancel_while_the_person_is_asked_runs_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        scene = Scene(tmp_path, "default", None)
        async with workers(ScriptedModel(use("run_command", command=f"touch {tmp_path}/mark"))) as worker:
            work = asyncio.ensure_future(worker.run(scene.job()))
            await until(lambda: scene.person.asks)
            work.cancel()
            with pytest.raises(asyncio.CancelledError):
                await work
        assert not (tmp_path / "mark").exists()

    asyncio.run(main())


def test_the_loop_is_free_while_the_project_is_copied(worker_scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    free = threading.Event()
    make = Copy.make

    def slow(self: Copy) -> None:
        assert free.wait(20), "the loop waits for the copy"
        make(self)

    async def main() -> None:
        async with workers(ScriptedModel(use("list_files"), end())) as worker:
            work = asyncio.ensure_future(worker.run(worker_scene.job()))
            await until(lambda: "copying the project into its workspace" in worker_scene.person.lines)
            free.set()
            assert isinstance(await work, Finished)

    monkeypatch.setattr(Copy, "make", slow)
    asyncio.run(main())


def test_a_cancel_gives_a_copy_up_and_leaves_none_of_it(worker_scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    (worker_scene.project / "a").write_text("a")
    begun, stopped, stop = threading.Event(), threading.Event(), Copy.stop
    pour = Copy._file

    def slow(self: Copy, *args: Any) -> None:
        begun.set()
        assert stopped.wait(20), "nobody stops the copy"
        pour(self, *args)

    def stop_too(self: Copy) -> None:
        stop(self)
        stopped.set()

    async def main() -> None:
        job = worker_scene.job()
        async with workers(ScriptedModel(use("list_files"))) as worker:
            work = asyncio.ensure_future(worker.run(job))
            await until(begun.is_set)
            work.cancel()
            with pytest.raises(asyncio.CancelledError):
                await work
        assert list(job.folder.iterdir()) == []

    monkeypatch.setattr(Copy, "_file", slow)
    monkeypatch.setattr(Copy, "stop", stop_too)
    asyncio.run(main())


def pids(scene: Scene) -> list[int]:
    return [process.pid for process in scene.person.processes]


def children(scene: Scene) -> list[int]:
    """What sleeps below the processes that were started."""
    import psutil

    found = []
    for pid in pids(scene):
        try:
            found += [child.pid for child in psutil.Process(pid).children(recursive=True) if child.name() == "sleep"]
        except psutil.NoSuchProcess:
            continue
    return found
