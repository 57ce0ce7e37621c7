"""An agent does only what is granted to it at that moment, whatever was granted when it began."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from agent_doubles import Person, Scene, ScriptedModel, call, end, outputs_of, say, use

from jupyter_orchestra.core.grants import LASTS
from jupyter_orchestra.core.leases import Lease
from jupyter_orchestra.core.leasing import Held
from jupyter_orchestra.core.model import Ask, Capability, Origin, Spec
from jupyter_orchestra.core.needs import Need
from jupyter_orchestra.core.ports import Verdict
from jupyter_orchestra.models.values import Call, Reply, Request
from jupyter_orchestra.sandbox.probing import rungs
from jupyter_orchestra.sandbox.values import Sandbox
from jupyter_orchestra.workers import confining

C = Capability
CALLS = {
    "list_files": (C.READ, {}),
    "read_file": (C.READ, {"path": "a.txt"}),
    "search": (C.READ, {"pattern": "old"}),
    "write_file": (C.WRITE, {"path": "a.txt", "text": "new"}),
    "run_command": (C.RUN, {"command": "touch made"}),
    "run_python": (C.RUN, {"code": "open('made', 'w').close()"}),
}
NO = Verdict(False, "no")


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    scene = Scene(tmp_path, "worker")
    (scene.project / "a.txt").write_text("old\n")
    return scene


@pytest.fixture
def bubblewrap(monkeypatch: pytest.MonkeyPatch) -> None:
    rung = next(rung for rung in rungs() if rung.sandbox.kind == "bubblewrap")
    if rung.trouble:
        pytest.skip(f"bubblewrap: {rung.trouble}")
    monkeypatch.setattr(confining, "probe", lambda: rung.sandbox)


def after(act: Callable[[], object], *calls: Call) -> Callable[[Request], Reply]:
    """The model's next reply; before it comes, something changes."""

    def reply(request: Request) -> Reply:
        act()
        return say("", *calls)

    return reply


def refused(line: str, what: str) -> bool:
    return line == f"not done: it is not granted to you to {what}. Do without it, or say so in your result"


@pytest.mark.usefixtures("bubblewrap")
@pytest.mark.parametrize("name", CALLS)
def test_a_call_is_refused_once_its_grant_is_gone_and_changes_nothing(scene: Scene, name: str) -> None:
    capability, arguments = CALLS[name]
    made, look = call(name, **arguments), call("list_files", depth=3)
    model = ScriptedModel(
        say("", made), after(lambda: scene.grants.revoke("u1", [capability]), call(name, **arguments), look), end()
    )
    result = scene.finish(model)
    first, second, listed = model.outputs()
    assert "not granted" not in first
    words = {C.READ: "read", C.WRITE: "write in its workspace", C.RUN: "run"}
    assert refused(second, words[capability])
    assert refused(listed, "read") == (capability is C.READ)
    assert result.text == "done"
    assert scene.person.asks == []


@pytest.mark.usefixtures("bubblewrap")
def test_what_was_refused_was_not_done(scene: Scene) -> None:
    def take_back() -> None:
        scene.grants.revoke("u1", [C.WRITE, C.RUN])

    refusals = [call(name, **arguments) for name, (capability, arguments) in CALLS.items() if capability is not C.READ]
    model = ScriptedModel(after(take_back, *refusals, call("read_file", path="a.txt"), call("list_files")), end())
    scene.finish(model)
    assert model.outputs()[-2:] == ["old", "a.txt  4 bytes"]
    assert scene.person.processes == []


@pytest.mark.usefixtures("bubblewrap")
def test_what_ends_above_ends_below_in_the_midst_of_an_attempt(scene: Scene) -> None:
    scene.admit(Spec("above", "boss", "agent", "Dispatch.", role="worker"))
    job = scene.job(origin=Origin.TASK, parent="above")
    model = ScriptedModel(
        use("run_command", command="echo in"),
        after(lambda: scene.grants.end("above"), call("run_command", command="echo in"), call("list_files")),
        end(),
    )
    assert scene.finish(model, job).text == "done", "its result it may always give"
    assert model.outputs()[0] == "in\n\n[exit code 0]"
    assert refused(model.outputs()[1], "read")
    assert refused(model.outputs()[2], "read")


def test_a_worker_below_one_that_asks_asks_too(scene: Scene) -> None:
    scene.admit(Spec("above", "boss", "agent", "Dispatch.", role="default"))
    model = ScriptedModel(say("", call("write_file", path="a.txt", text="new"), call("read_file", path="a.txt")), end())
    scene.finish(model, scene.job(origin=Origin.TASK, parent="above"))
    assert [ask.action for ask in scene.person.asks] == ["write: a.txt (3 bytes)"]
    assert model.outputs()[-1] == "new"


def test_below_an_explorer_nobody_is_asked(scene: Scene) -> None:
    scene.admit(Spec("above", "boss", "agent", "Look.", role="explorer"))
    calls = [call(name, **arguments) for name, (capability, arguments) in CALLS.items() if capability is not C.READ]
    model = ScriptedModel(say("", *calls), end())
    scene.finish(model, scene.job(origin=Origin.TASK, parent="above"))
    assert refused(model.outputs()[0], "write in its workspace")
    assert refused(model.outputs()[1], "run")
    assert refused(model.outputs()[2], "run")
    assert scene.person.asks == []


def test_an_explorer_that_may_read_no_more_writes_no_note_either(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    note = {"path": "@scratch/note", "text": "x"}
    model = ScriptedModel(
        use("write_file", **note), after(lambda: scene.grants.end("u1"), call("write_file", **note)), end()
    )
    scene.finish(model)
    assert model.outputs()[0] == "written: @scratch/note (1 bytes)"
    assert refused(model.outputs()[1], "read")


def test_a_result_without_the_files_that_can_no_longer_be_read(scene: Scene) -> None:
    model = ScriptedModel(
        use("list_files"),
        after(lambda: scene.grants.end("u1"), call("final_result", headline="h", summary="s", artifacts=["a.txt"])),
        end(),
    )
    assert scene.finish(model).artifacts == ()
    assert refused(model.outputs()[-1], "read")


# what the person approves


class Recalling(Person):
    """Approves, and then takes it back before the agent acts on it; or lets so many seconds pass."""

    def __init__(self, then: Callable[[], None]) -> None:
        super().__init__()
        self.then = then

    async def ask(self, ask: Ask) -> Verdict:
        verdict = await super().ask(ask)
        self.then()
        return verdict


@pytest.mark.parametrize("how", ["revoked", "over"])
def test_a_yes_that_counts_no_longer_lets_nothing_be_done(tmp_path: Path, how: str) -> None:
    scene = Scene(tmp_path, "default")

    def lapse() -> None:
        if how == "revoked":
            scene.grants.revoke("u1")
        else:
            scene.now += LASTS

    approve, scene.person = scene.person.approve, Recalling(lapse)
    scene.person.approve = approve
    said = scene.answers(call("write_file", path="a.txt", text="x"), call("run_command", command="touch made"))
    assert refused(said[0], "write in its workspace")
    assert refused(said[1], "run")
    assert scene.person.processes == []


def test_nor_does_what_its_role_may_where_nothing_confines_it(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confining, "probe", lambda: Sandbox("none"))
    approve, scene.person = scene.person.approve, Recalling(lambda: scene.grants.revoke("u1"))
    scene.person.approve = approve
    (said,) = scene.answers(call("run_command", command="touch made"))
    assert [ask.action for ask in scene.person.asks] == ["UNSANDBOXED: run: touch made"]
    assert refused(said, "run")
    assert scene.person.processes == []


def test_a_yes_without_a_grant_behind_it_lets_nothing_be_done(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "default")
    scene.person.approve = lambda ask: None
    (said,) = scene.answers(call("run_command", command="touch made"))
    assert refused(said, "run")


@pytest.mark.usefixtures("bubblewrap")
def test_the_network_granted_for_one_command_is_none_for_another(scene: Scene) -> None:
    """Once, and also for good."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        script = f"(echo > /dev/tcp/127.0.0.1/{server.getsockname()[1]}) 2> /dev/null && echo in || echo out"
        calls = [
            call("run_command", command=command, network=network)
            for command, network in ((script, True), (script, False), (f"{script} ", True), (script, True))
        ]
        said = scene.answers(*calls)
        assert [line.split()[0] for line in said] == ["in", "out", "in", "in"]
        assert len({ask.digest for ask in scene.person.asks}) == 2
        assert len(scene.person.asks) == 3

        scene.person.asks.clear()
        scene.person.approve = lambda ask: (  # for good, and only the first
            scene.grants.approve("u1", ask, True, scene.now) if len(scene.person.asks) == 1 else None
        )
        said = scene.answers(*calls)
        assert [line.split()[0] for line in said] == ["in", "out", "not", "in"]


@pytest.mark.usefixtures("bubblewrap")
def test_a_general_grant_of_the_network_asks_nobody_and_ends_at_once(scene: Scene) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        script = f"(echo > /dev/tcp/127.0.0.1/{server.getsockname()[1]}) 2> /dev/null && echo in || echo out"
        job, row = scene.job(), scene.grants.state.tasks["u1"]
        scene.grants.state.tasks["u1"] = (*row, msgspec.structs.replace(row[0], capability=C.NETWORK))
        scene.person.verdict = NO
        model = ScriptedModel(
            use("run_command", command=script, network=True),
            after(
                lambda: scene.grants.revoke("u1", [C.NETWORK]),
                call("run_command", command=script, network=True),
                call("run_command", command=script),
            ),
            end(),
        )
        scene.finish(model, job)
        said = model.outputs()
        assert [line.split()[0] for line in said] == ["in", "the", "out"]
        assert said[1].startswith("the person declined: no")
        assert len(scene.person.asks) == 1


@pytest.mark.usefixtures("bubblewrap")
def test_a_grant_that_goes_while_a_command_waits_for_its_leases_lets_it_not_run(scene: Scene) -> None:
    class Slow:
        """Lends after something has changed."""

        async def needs_of(self, command: str) -> tuple[Need, ...]:
            return (Need("test-runner"),)

        @asynccontextmanager
        async def lease(self, *needs: Need) -> Any:
            await asyncio.sleep(0)
            scene.grants.revoke("u1", [C.RUN])
            yield Held(Lease("lease", "u1", needs), {})

    job = msgspec.structs.replace(scene.job(), lender=Slow())
    model = ScriptedModel(use("run_command", command="pytest -q"), end())
    scene.finish(model, job)
    assert refused(outputs_of(model.requests[-1])[0], "run")
    assert scene.person.processes == []
