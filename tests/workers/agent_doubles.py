"""What the tests of agents stand on: a model that says what a script says, and a person who answers."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from worker_doubles import FolderStore, Remembering

from jupyter_orchestra.core.grants import GrantState, GrantTable
from jupyter_orchestra.core.model import Ask, Blob, Input, Place, Result, Spec, State, Task
from jupyter_orchestra.core.ports import Failed, Finished, Job, Outcome, Verdict
from jupyter_orchestra.errors import ModelError
from jupyter_orchestra.models.values import Call, Item, ModelUsage, Reply, Request, StreamEvent, TextDelta
from jupyter_orchestra.processes.launcher import LocalLauncher
from jupyter_orchestra.workers.agent import AgentWorker

YES = Verdict(True)

Line = Reply | ModelError | Callable[[Request], Any]


def say(text: str = "", *calls: Call) -> Reply:
    """A reply of the model."""
    items: list[Item] = []
    if text:
        items.append({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]})
    items += [
        {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments}
        for call in calls
    ]
    return Reply(tuple(items), text, calls, ModelUsage(tokens_in=10, tokens_out=2), "scripted")


_numbers = iter(range(1, 1_000_000))


def call(name: str, **arguments: Any) -> Call:
    return Call(f"call_{next(_numbers)}", name, json.dumps(arguments))


def use(name: str, **arguments: Any) -> Reply:
    return say("", call(name, **arguments))


def end(headline: str = "done", **more: Any) -> Reply:
    return use("final_result", headline=headline, **{"summary": "All is said.", **more})


class ScriptedModel:
    """Says one line of its script for each request; the last one again and again."""

    def __init__(self, *script: Line) -> None:
        self.script = list(script)
        self.requests: list[Request] = []
        self.asked: list[tuple[str, str]] = []
        self.broken_off = 0

    async def model(self, tier: str, name: str = "") -> tuple[ScriptedModel, str]:
        self.asked.append((tier, name))
        return self, name or f"a-{tier}-model"

    async def stream(self, request: Request) -> AsyncIterator[StreamEvent]:
        self.requests.append(request)
        line: Any = self.script[min(len(self.requests), len(self.script)) - 1]
        try:
            if callable(line):
                line = line(request)
                if isinstance(line, Awaitable):
                    line = await line
        except asyncio.CancelledError:
            self.broken_off += 1
            raise
        if isinstance(line, ModelError):
            raise line
        for start in range(0, len(line.text), 8):
            yield TextDelta(line.text[start : start + 8])
        yield line

    def outputs(self, number: int = -1) -> list[str]:
        """The answers to calls that a request shows."""
        return outputs_of(self.requests[number])

    def tools(self) -> set[str]:
        return {tool.name for tool in self.requests[0].tools}


def outputs_of(request: Request) -> list[str]:
    return [item["output"] for item in request.items if item["type"] == "function_call_output"]


def said_by_person(request: Request) -> list[str]:
    return [item["content"][0]["text"] for item in request.items if item.get("role") == "user"]


class Person(Remembering):
    """A reporter whose questions are answered by `verdict`, at once; None: never."""

    def __init__(self, verdict: Verdict | None = YES) -> None:
        super().__init__()
        self.verdict = verdict
        self.asks: list[Ask] = []
        self.steps: list[Blob] = []
        self.approve: Callable[[Ask], None] = lambda ask: None

    def step(self, items: Blob) -> None:
        self.steps.append(items)

    async def ask(self, ask: Ask) -> Verdict:
        self.asks.append(ask)
        if self.verdict is None:
            await asyncio.Event().wait()
        assert self.verdict is not None
        if self.verdict.approved:
            self.approve(ask)
        return self.verdict

    @property
    def lines(self) -> list[str]:
        return [line for _, line in self.told]


class Scene:
    """A project and what an agent needs to work on it. What it may do stands in a table like the machine's."""

    def __init__(self, folder: Path, role: str = "explorer", verdict: Verdict | None = YES) -> None:
        self.folder, self.role = folder, role
        self.project = folder / "project"
        self.project.mkdir()
        self.person = Person(verdict)
        self.person.approve = lambda ask: self.grants.approve("u1", ask, False, self.now)
        self.tasks: dict[str, Task] = {}
        self.grants = GrantTable(GrantState(), self.tasks, lambda task: True)
        self.now = 1_000.0
        self.store = FolderStore(folder / "store")
        self.runs = 0

    def job(self, brief: str = "Look around.", inputs: dict[str, Input] | None = None, **more: Any) -> Job:
        self.runs += 1
        own = self.folder / "runtime" / f"job-{self.runs}"
        own.mkdir(mode=0o700, parents=True)
        steps = more.pop("steps", ())
        spec: dict[str, Any] = {"place": Place(os.fspath(self.project)), "role": self.role, **more}
        task = self.admit(Spec("u1", "scan", "agent", brief, **spec))
        permit = self.grants.permit("u1", 1, lambda: self.now)
        return Job(task.spec, "scan", 1, own, inputs or {}, self.store, self.person, steps, grants=permit)

    def admit(self, spec: Spec) -> Task:
        """Let a task run that may do what its role may."""
        task = self.tasks[spec.uid] = Task(spec, spec.name, State.RUNNING, self.now, attempt=1)
        self.grants.admit(task)
        return task

    async def run(self, model: ScriptedModel, job: Job | None = None, **options: Any) -> Outcome:
        async with workers(model, **options) as worker:
            return await asyncio.wait_for(worker.run(job or self.job()), 60)

    def finish(self, model: ScriptedModel, job: Job | None = None, **options: Any) -> Result:
        outcome = asyncio.run(self.run(model, job, **options))
        assert isinstance(outcome, Finished), outcome
        return outcome.result

    def fail(self, model: ScriptedModel, job: Job | None = None, **options: Any) -> Failed:
        outcome = asyncio.run(self.run(model, job, **options))
        assert isinstance(outcome, Failed), outcome
        return outcome

    def answers(self, *calls: Call) -> list[str]:
        """What an agent is told that makes these calls, one a step."""
        model = ScriptedModel(*(say("", made) for made in calls), end())
        self.finish(model)
        return model.outputs()


@asynccontextmanager
async def workers(model: Any, **options: Any) -> AsyncIterator[AgentWorker]:
    launcher = LocalLauncher()
    try:
        yield AgentWorker(model, launcher, **options)
    finally:
        await launcher.close()


async def until(condition: Callable[[], object], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.002)
