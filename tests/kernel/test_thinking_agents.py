"""Agents that hold what was leased to them while their model thinks."""

from __future__ import annotations

import threading

from mortals import Project

from jupyter_orchestra.testing.model_server import ModelServer, SeenRequest, Step, ToolCall

FINAL = {"headline": "Looked.", "summary": "Once.", "findings": [], "data": "{}", "artifacts": []}
MACHINE = "jo.app._app.runtime().machine"
LEASE = f"{MACHINE}.controller.leases[jo.task('thinker').uid + '#1']"


class Thinker:
    """An agent's model: has a command run, then thinks for as long as it is to."""

    def __init__(self) -> None:
        self.done = threading.Event()

    def __call__(self, seen: SeenRequest) -> Step:
        if not any("function_call_output" in str(item) for item in seen.items):
            return Step(call=[ToolCall("run_command", {"command": "echo looked"})])
        return Step(call=[ToolCall("final_result", FINAL)], gate=self.done)


def test_an_agent_whose_command_has_ended_keeps_its_lease_while_its_model_thinks(project: Project) -> None:
    project.declare(warm_kernels=0)  # so that nothing lives of which a supervisor speaks
    model = Thinker()
    with ModelServer(model) as server:
        a = project.open("a", OPENAI_BASE_URL=server.url)
        a.run("import jupyter_orchestra.controlling as controlling\ncontrolling.UNHEARD = 0.0")  # each silence is one
        a.run("%%dispatch thinker -w agent -r worker --needs press\nLook around.")

        def thinks() -> bool:
            a.run("for task in jo.tasks():\n    if task.view.asks: task.approve()")  # where nothing confines them
            return len(server.requests) > 1

        a.until(thinks)
        assert a.ask(f"{MACHINE}.tasks[jo.task('thinker').uid].process is not None")
        before = float(a.ask(f"{LEASE}.expires"))
        a.until(lambda: a.ask(f"{LEASE}.expires") > before)
        assert a.state("thinker") == "running"
        model.done.set()
        assert a.end("thinker") == "done"
        a.shut_down()
