"""A house with a master in it: the real runtime, desk and client, and workers that end when they are told to."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

from shapes import plain_items, shape

from jupyter_orchestra.client.client import Client
from jupyter_orchestra.client.handle import TaskHandle
from jupyter_orchestra.client.request import make_request
from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.model import Failure, Kind, Process, Result, State, Task
from jupyter_orchestra.core.ports import Failed, Finished, Job, Outcome
from jupyter_orchestra.core.talk import Talk, TurnView, view_turn
from jupyter_orchestra.core.views import TaskView
from jupyter_orchestra.master.inbox import view
from jupyter_orchestra.master.turns import Master
from jupyter_orchestra.models.access import Access
from jupyter_orchestra.models.client import EndpointClient
from jupyter_orchestra.models.discovery import Found
from jupyter_orchestra.models.endpoint import Endpoint, Secret, Wire
from jupyter_orchestra.models.retries import Retries
from jupyter_orchestra.models.values import Item
from jupyter_orchestra.notebook.context import CellContext
from jupyter_orchestra.notebook.desk import NotebookDesk
from jupyter_orchestra.notebook.recorder import Recorder
from jupyter_orchestra.runtime import Runtime
from jupyter_orchestra.testing import MemoryJournal
from jupyter_orchestra.testing.model_server import ModelServer, SeenRequest
from jupyter_orchestra.testing.settle import settle_sync
from jupyter_orchestra.thread import RuntimeThread, replay

T = TypeVar("T")
KEY = "sk-canary-4242424242"
PID = 987_654_321
SPOOL, CONNECTION, LINE = "/run/canary-spool", "/run/canary-connection.json", "canary-line-of-progress"
CANARIES = (KEY, str(PID), "canary-spool", "canary-connection", LINE, "jo-turn-", "Traceback")
TIERS = {"fast": 4, "standard": 4, "strong": 4}
KINDS = (
    Kind("kernel", 64),
    Kind("shell", 64, pausable=True),
    Kind("notebook", 64),
    Kind("loop", 64),
    Kind("agent", 64, steerable=True, agent=True),
)


class Hands:
    """A worker whose attempts run until the test ends them."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.started: list[str] = []
        self.acts: list[tuple[str, ...]] = []  # pauses, resumes, messages, stops
        self.jobs: dict[str, Job] = {}
        self.ends: dict[str, asyncio.Future[Outcome]] = {}

    def check(self, brief: str) -> str:
        return ""

    async def run(self, job: Job) -> Outcome:
        self.started.append(job.name)
        self.jobs[job.name] = job
        self.ends[job.name] = end = asyncio.get_running_loop().create_future()
        job.reporter.started(Process(PID, 1.0, SPOOL, CONNECTION))
        job.reporter.progress(0.5, LINE)
        try:
            outcome: Outcome = await end
            return outcome
        except asyncio.CancelledError:
            self.acts.append(("stop", job.name))
            raise
        finally:
            del self.jobs[job.name]

    async def pause(self, job: Job) -> None:
        self.acts.append(("pause", job.name))

    async def resume(self, job: Job) -> None:
        self.acts.append(("resume", job.name))

    async def steer(self, job: Job, text: str) -> None:
        self.acts.append(("steer", job.name, text))

    async def close(self) -> None:
        pass


class Standing(Runtime):
    """A runtime for which time passes when the test says so."""

    def _set_timer(self) -> None:
        pass


class Eye:
    """What the person sees: notes everything, and says that it was shown."""

    def __init__(self) -> None:
        self.runtime: Runtime | None = None
        self.replies: list[TurnView] = []
        self.said: list[tuple[int, str, str]] = []
        self.delivered: list[TaskView] = []

    def show(self, view: TaskView) -> None: ...

    def output(self, uid: str, attempt: int, output: dict[str, object]) -> None: ...

    def show_turn(self, turn: TurnView) -> None: ...

    def show_leases(self) -> None: ...

    def drop(self, uid: str) -> None: ...

    def deliver(self, view: TaskView) -> None:
        self.delivered.append(view)
        self._shown(view.uid, view.attempt)

    def reply(self, turn: TurnView) -> None:
        self.replies.append(turn)
        self._shown(turn.uid, turn.tries)

    def say(self, turn: int, text: str, note: str = "") -> None:
        if self.said and not note and self.said[-1][0] == turn and not self.said[-1][2]:
            self.said.pop()  # the same, and more
        self.said.append((turn, text, note))

    def _shown(self, uid: str, attempt: int) -> None:
        assert self.runtime is not None
        self.runtime.post(e.ResultShown(self.runtime.now(), uid, attempt))


class House:
    """One notebook's master at work, on a thread of its own.

    Parameters
    ----------
    choose
        Gives the model; None stands for the server's.
    server
        The scripted model, over HTTP.
    still
        Whether time stands still but for :meth:`advance`.
    """

    def __init__(
        self,
        folder: Path,
        server: ModelServer | None = None,
        wire: Wire = "responses",
        *,
        choose: Callable[[str, str], Any] | None = None,
        journal: MemoryJournal | None = None,
        still: bool = True,
        at: float = 1_000_000.0,
        window: int = 128_000,
        **settings: Any,
    ) -> None:
        self.folder, self.server, self.wire = folder, server, wire
        self.journal = journal or MemoryJournal()
        self.at, self._still, self._window = at, still, window
        self._settings = {"retries": Retries(first=0.01, chance=lambda: 0.5), **settings}
        self._choose, self._cells = choose, itertools.count(1)
        self.epoch = 1 + sum(isinstance(event, e.KernelStarted) for event in self.journal.events)
        self.hands = {kind.name: Hands(kind) for kind in KINDS}
        self.eye, self.recorder = Eye(), Recorder()
        self.namespace: dict[str, Any] = {}
        self.cell = ""
        snapshots: Any = SimpleNamespace(wanted=lambda *_: False, local=lambda *_: "", drop=lambda _: None)
        shell: Any = SimpleNamespace(get_parent=self._parent, user_ns=self.namespace)
        self.context = CellContext(shell, "/home/ada/work.ipynb", snapshots)
        self.client = Client(lambda: self.runtime, self.context)
        self.access = Access(self._discover, self._connect)
        self._clients: list[EndpointClient] = []
        self.heir: House | None = None  # after a crash
        self.stable = True  # whether what it asks for is to have a stable prefix
        self.thread = RuntimeThread(self._make)
        self.runtime = self.thread.runtime(10)

    def _make(self) -> Runtime:
        kind = Standing if self._still else Runtime
        self.runtime = runtime = kind(
            self.journal, self.hands.values(), self.folder / f"runs-{self.epoch}",
            machine=replay(self.journal.events), epoch=self.epoch, tiers=TIERS,
            clock=(lambda: self.at) if self._still else None,
        )  # fmt: skip
        runtime.sink, self.eye.runtime = self.eye, runtime
        choose = self._choose or self.access.choose
        desk = NotebookDesk(
            self.client, self.context, self.recorder, self.namespace, choose, self.eye.say, lambda: "master: scripted"
        )
        self.client.conversation_so_far = desk.said_so_far
        runtime.master = Master(desk)
        return runtime

    async def _discover(self) -> Found:
        assert self.server is not None
        tiers = dict.fromkeys(TIERS, "scripted")
        endpoint = Endpoint(
            self.server.url, "scripted", tiers=tiers, wire=self.wire, window=self._window, key=Secret.of(KEY)
        )
        return Found(endpoint, (), "scripted")

    def _connect(self, endpoint: Endpoint) -> EndpointClient:
        self._clients.append(EndpointClient(endpoint, **self._settings))
        return self._clients[-1]

    def _parent(self) -> dict[str, Any]:
        return {"header": {"msg_id": self.cell}, "metadata": {"cellId": self.cell}}

    # ends

    def close(self) -> None:
        """Leave."""

        async def leave() -> None:
            if self.runtime.master is not None:
                await self.runtime.master.close()
            for client in self._clients:
                await client.close()

        asyncio.run_coroutine_threadsafe(leave(), self.runtime.loop).result(10)
        self.thread.stop()

    def crash(self, **more: Any) -> House:
        """The kernel is killed when all facts so far are on the disk; the next one."""
        heir = MemoryJournal()
        for event in list(self.journal.events):
            heir.append(event)
        heir.barrier(lambda: None)
        heir._blobs = dict(self.journal._blobs)
        self.close()
        self.heir = House(
            self.folder, self.server, self.wire, choose=self._choose, journal=heir, at=self.at + 60, **more
        )
        self.heir.stable = self.stable
        return self.heir

    # what is known

    @property
    def talk(self) -> Talk:
        return self.runtime.machine.state.talk

    @property
    def requests(self) -> list[SeenRequest]:
        assert self.server is not None
        return self.server.requests

    @property
    def last(self) -> SeenRequest:
        return self.requests[-1]

    def task(self, name: str) -> Task:
        task = self.runtime.machine.find(name)
        assert task is not None, name
        return task

    def turn(self, number: int = -1) -> TurnView:
        turns = self.talk.turns
        return view_turn(turns[number - 1 if number > 0 else number])

    @property
    def log(self) -> list[Item]:
        return [json.loads(item.data) for item in self.talk.log]

    @property
    def log_view(self) -> list[Item]:
        """The log as a model sees it."""
        return list(view(self.log, "pair"))

    @property
    def started(self) -> list[str]:
        """All that a worker began."""
        return sorted(name for hands in self.hands.values() for name in hands.started)

    @property
    def acts(self) -> list[tuple[str, ...]]:
        return [act for hands in self.hands.values() for act in hands.acts]

    def until(self, condition: Callable[[], T], what: str = "") -> T:
        try:
            return settle_sync(condition, 20, what)
        except TimeoutError as error:
            raise AssertionError(f"{error}\n{shape(self.log)}\n{self.talk}") from None

    def settled(self) -> None:
        """All facts handed over so far have been taken in."""
        for _ in range(2):
            self.runtime.on_loop(lambda: None).result(10)

    def rest(self, turns: int | None = None) -> TurnView:
        """Wait until no turn runs (and there were so many); the last one."""
        self.until(
            lambda: (
                self.runtime.machine.conversation.running is None
                and all(message.returned for message in self.talk.messages)
                and len(self.talk.turns) >= (turns or 0)
            )
        )
        self.settled()
        return self.turn()

    # what the model, the person and time do

    def hold(self) -> threading.Event:
        """Let the model's answers wait for this event."""
        assert self.server is not None
        return self.server.hold()

    def new_cell(self) -> str:
        self.cell = f"cell-{next(self._cells)}"
        return self.cell

    def say(self, text: str, **options: str) -> str:
        self.new_cell()
        return self.client.say(text, **options)

    def chat(self, text: str, **options: str) -> TurnView:
        """Say it and wait for the reply."""
        uid = self.say(text, **options)
        self.until(lambda: any(m.uid == uid for turn in self.talk.turns for m in turn.messages))
        return self.rest()

    def dispatch(self, name: str, worker: str = "kernel", cell: str = "", **options: Any) -> TaskHandle:
        """As the person; in a cell of its own unless one is named."""
        self.cell = cell or self.new_cell()
        brief = options.pop("brief", f"work_of_{name.replace('-', '_')}()")
        handle = self.client.dispatch(
            make_request(brief, name, worker=worker, workers=list(self.hands), card=True, **options)
        )
        if not options.get("after"):
            self.runs(name)
        return handle

    def runs(self, *names: str) -> None:
        """Wait until these run."""
        self.until(lambda: all(any(name in hands.jobs for hands in self.hands.values()) for name in names))

    def end(self, name: str, text: str = "", *, error: str = "", report: str = "", output: str = "") -> None:
        """A task comes to its end."""
        self.runs(name)
        result = Result(text=text, report=report, outputs=self._outputs(output))
        outcome: Outcome = Failed(Failure("exception", "ValueError", error), result) if error else Finished(result)
        self.end_with(name, outcome)

    def end_with(self, name: str, outcome: Outcome) -> None:
        self.runs(name)
        uid = self.task(name).uid
        end = next(hands.ends[name] for hands in self.hands.values() if name in hands.jobs)
        self.runtime.on_loop(lambda: end.set_result(outcome)).result(10)
        self.until(lambda: (view := self.client.board.get(uid)) is not None and view.ended, f"{name} ends")
        self.settled()

    def end_with_kill(self, name: str) -> None:
        """A task comes to its end, and the kernel is killed at some point after that."""
        self.runs(name)
        end = self.hands["kernel"].ends[name]
        self.runtime.on_loop(lambda: end.set_result(Finished(Result(text="ready")))).result(10)
        self.until(lambda: self.journal.dead, "the kill comes")  # type: ignore[attr-defined]

    def _outputs(self, text: str) -> Any:
        if not text:
            return None
        return self.journal.put(json.dumps([{"output_type": "stream", "name": "stdout", "text": text}]).encode())

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.at += seconds
        self.runtime.post(e.TimePassed(self.at))
        self.settled()

    def types(self, on: bool = True, page: str = "page") -> None:
        self.runtime.post(e.ComposingChanged(self.at, page, on))
        self.settled()

    def ask(self, kind: Callable[..., e.Asked], **more: Any) -> e.Accepted:
        answer = self.runtime.ask(kind(self.at, self.runtime.new_request(), **more)).result(10)
        assert isinstance(answer, e.Accepted), answer
        return answer

    def stop(self) -> None:
        self.ask(e.StopTurnAsked)

    def retry(self) -> None:
        self.ask(e.RetryTurnAsked)

    def approve(self, name: str, digest: str = "") -> None:
        self.ask(e.ApproveAsked, target=name, digest=digest)

    def decline(self, name: str) -> None:
        self.ask(e.DeclineAsked, target=name)

    def cancel(self, name: str) -> None:
        self.ask(e.CancelAsked, targets=(name,))

    def state(self, name: str) -> State:
        return self.task(name).state


# what a request holds


def check_stable(house: House) -> None:
    """What stood before the newest part of a request stands in the log for good, the same bytes in the same order."""
    whole = plain_items(view(house.log, "pair"))
    requests = house.requests
    assert len({request.instructions for request in requests}) <= 1
    assert len({json.dumps(request.body.get("tools")) for request in requests}) <= 1
    for request in requests:
        items = plain_items(request.items)
        known = 1 + max(
            (
                index
                for index, item in enumerate(items)
                if item[:2] == ("message", "assistant") or (item[0] == "output" and not item[1].startswith("inbox_"))
            ),
            default=-1,
        )
        assert items[:known] == whole[:known]
