"""A master whose kernel is killed at drawn moments: one person, one model and many lives, in virtual time, by a seed.

A kill is what a process sees of it: at that very moment the journal holds what it holds, and nothing that the killed
life does afterwards counts. The points at which it may come are the calls that lead out of the master: each fact that
is journaled, each commit, each moment of a request.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
from house import TIERS
from shapes import check_pairs, inboxes, shape

from jupyter_orchestra.client.client import Client
from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.model import Delivery, Failure, Kind, Origin, Result, Spec, State
from jupyter_orchestra.core.ports import Failed, Finished, Job, Outcome
from jupyter_orchestra.core.talk import TurnState
from jupyter_orchestra.errors import ModelError
from jupyter_orchestra.master.inbox import view
from jupyter_orchestra.master.turns import Answer, Master
from jupyter_orchestra.models.access import Chosen
from jupyter_orchestra.models.values import Call, ModelUsage, Reply, Request, StreamEvent, TextDelta
from jupyter_orchestra.notebook.context import CellContext
from jupyter_orchestra.notebook.desk import NotebookDesk
from jupyter_orchestra.notebook.recorder import Recorder
from jupyter_orchestra.runtime import Runtime
from jupyter_orchestra.testing import MemoryJournal
from jupyter_orchestra.thread import replay

LIVES = 4  # at most
EVENTS = 14  # that the person brings about


class MortalJournal(MemoryJournal):
    """Tells of each of its moments; after the kill it holds what it held then."""

    def __init__(self, point: Callable[[str], None]) -> None:
        super().__init__()
        self._point, self.dead = point, False

    def append(self, event: e.Event) -> None:
        if not self.dead:
            self._point(f"before {type(event).__name__}")
        if not self.dead:
            super().append(event)
            self._point(f"after {type(event).__name__}")

    def barrier(self, done: Callable[[], None]) -> None:
        if not self.dead:
            super().barrier(done)
            self._point("commit")


class Work:
    """A worker whose attempts take drawn times; what each returns is found nowhere else."""

    def __init__(self, kind: Kind, chance: random.Random) -> None:
        self.kind, self._chance = kind, chance

    def check(self, brief: str) -> str:
        return ""

    async def run(self, job: Job) -> Outcome:
        await asyncio.sleep(self._chance.choice([0, 0.5, 3, 8, 30]))
        token = f"token-{job.name}-{job.attempt}."
        if self._chance.random() < 0.2:
            return Failed(Failure("exception", "ValueError", token))
        return Finished(Result(text=token))

    async def pause(self, job: Job) -> None: ...

    async def resume(self, job: Job) -> None: ...

    async def steer(self, job: Job, text: str) -> None: ...

    async def close(self) -> None: ...


class ThreadlessDesk(NotebookDesk):
    """The desk of a notebook, but that it dispatches on the loop: threads have no place in virtual time."""

    async def _dispatch(self, tasks: Any, number: int) -> Answer:
        turn = self.turn(number)
        specs = tuple(
            Spec(
                f"uid-{task.name}", task.name, task.worker, task.brief, deliver=task.deliver, origin=Origin.MASTER,
                cohort=turn.uid, role="explorer" if task.worker == "agent" else "",
                after=tuple(task.after), when=task.when,
            )
            for task in tasks
        )  # fmt: skip
        asked = e.TasksDispatched(self.now(), Runtime.new_request(), tasks=specs, turn=number)
        return await self._act(asked, "dispatched")


class Asked(msgspec.Struct):
    """A request that was sent."""

    life: int
    items: list[dict[str, Any]]
    recorded: set[str]  # tokens that a recorded success had carried by then


class World:
    """The whole, by a seed."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.seed = folder, seed
        self.chance = random.Random(seed)
        self.journal = MortalJournal(self._point)
        self.asked: list[Asked] = []
        self.killed = asyncio.Event()
        self.points: list[str] = []  # at which it was killed
        self._said = self._made = self._lives = 0
        self._left = 0  # points until the kill
        self._draw()

    def _draw(self) -> None:
        self._left = self.chance.randint(1, 90) if self._lives < LIVES else 1 << 30

    def _point(self, name: str) -> None:
        """The kernel may be killed here."""
        self._left -= 1
        if self._left == 0:
            self.points.append(name)
            self.journal.dead = True
            self.killed.set()

    # one life

    async def run(self) -> None:
        """Live, die and live on until the person has done all, and all has come to rest."""
        done = False
        while not done:
            self._lives += 1
            self.killed.clear()
            runtime = self._start()
            life = asyncio.create_task(runtime.run(), name=f"life-{self._lives}")
            person = asyncio.create_task(self._person(runtime), name="person")
            death = asyncio.create_task(self.killed.wait(), name="death")
            await asyncio.wait({person, death}, return_when=asyncio.FIRST_COMPLETED)
            done = person.done() and not self.journal.dead
            if done:
                await person
            self.journal.dead, held = True, self.journal
            for task in (person, death):
                task.cancel()
            runtime.stop()
            await asyncio.wait({life, person, death})
            self.runtime = runtime
            if not done:
                self._inherit(held)

    def _inherit(self, held: MemoryJournal) -> None:
        """The next life has what was durable, and perhaps some of what was on its way to the disk."""
        surely = len(held.durable)
        count = self.chance.randint(surely, len(held.events))
        self.journal = MortalJournal(lambda _: None)
        for event in held.events[:count]:
            self.journal.append(event)
        self.journal.barrier(lambda: None)
        self.journal._point = self._point
        self._draw()

    def _start(self) -> Runtime:
        kinds = Kind("kernel", 3), Kind("agent", 3, steerable=True, agent=True)
        runtime = Runtime(
            self.journal, [Work(kind, self.chance) for kind in kinds], self.folder / f"life-{self._lives}",
            machine=replay(self.journal.events), epoch=self._lives, tiers=TIERS,
            clock=lambda: 1_000 + asyncio.get_running_loop().time(),
        )  # fmt: skip
        shell: Any = SimpleNamespace(get_parent=dict, user_ns={})
        context = CellContext(shell, "", shell)
        client = Client(lambda: runtime, context)
        model = Mind(self, self.journal, self._lives)

        async def choose(tier: str, name: str) -> Chosen:
            self._point("choose")
            return Chosen(model, "scripted", 128_000, "here")

        desk = ThreadlessDesk(client, context, Recorder(), {}, choose, lambda *_: None, lambda: "")
        runtime.master = Master(desk)
        return runtime

    # the person

    async def _person(self, runtime: Runtime) -> None:
        while self._said + self._made < EVENTS:
            await asyncio.sleep(self.chance.choice([0, 0, 0.01, 0.4, 2, 6, 25]))
            await self._act(runtime)
        await self._rest(runtime)
        await self._say(runtime)  # what waits for the person's next message comes with it
        await self._rest(runtime)

    async def _rest(self, runtime: Runtime) -> None:
        """Wait until all has come to rest, deciding what is asked meanwhile."""
        conversation = runtime.machine.conversation
        for _ in range(1_000):
            tasks = [task for task in runtime.machine.tasks.values() if not task.ended]
            for task in tasks:
                if task.asks:
                    kind = self.chance.choice([e.ApproveAsked, e.DeclineAsked])
                    await self._ask(runtime, kind(runtime.now(), Runtime.new_request(), target=task.uid))
            last = conversation.last
            if last is not None and last.state is TurnState.FAILED:
                await self._ask(runtime, e.RetryTurnAsked(runtime.now(), Runtime.new_request()))
            elif not tasks and conversation.idle:
                return
            await asyncio.sleep(20)
        raise AssertionError(f"no rest: {conversation.talk}")

    async def _act(self, runtime: Runtime) -> None:
        match self.chance.choices(["say", "dispatch", "type", "stop", "retry", "cancel"], [5, 6, 2, 1, 1, 1])[0]:
            case "say":
                await self._say(runtime)
            case "dispatch":
                self._made += 1
                cohort = self.chance.choice(["", "x", f"cohort-{self._made}"])
                specs = tuple(
                    self._spec(f"{self._made}{letter}", cohort) for letter in "abc"[: self.chance.randint(1, 3)]
                )
                await self._ask(runtime, e.TasksDispatched(runtime.now(), Runtime.new_request(), tasks=specs))
            case "type":
                on = self.chance.random() < 0.5
                runtime.post(e.ComposingChanged(runtime.now(), "page", on))
            case "stop":
                await self._ask(runtime, e.StopTurnAsked(runtime.now(), Runtime.new_request()))
            case "retry":
                await self._ask(runtime, e.RetryTurnAsked(runtime.now(), Runtime.new_request()))
            case "cancel":
                live = [task.name for task in runtime.machine.tasks.values() if not task.ended]
                if live:
                    name = self.chance.choice(live)
                    await self._ask(runtime, e.CancelAsked(runtime.now(), Runtime.new_request(), targets=(name,)))

    def _spec(self, name: str, cohort: str) -> Spec:
        deliver = self.chance.choice([Delivery.NOW, Delivery.IDLE, Delivery.IDLE, Delivery.TURN, Delivery.SILENT])
        return Spec(f"uid-p{name}", f"p{name}", "kernel", f"work {name}", deliver=deliver, cohort=cohort)

    async def _say(self, runtime: Runtime) -> None:
        self._said += 1
        uid = f"message-{self._said}."
        await self._ask(runtime, e.MessageSent(runtime.now(), Runtime.new_request(), uid=uid, text=f"said {uid}"))

    async def _ask(self, runtime: Runtime, event: e.Asked) -> None:
        await asyncio.wrap_future(runtime.ask(event))

    # what must hold

    def check(self) -> None:
        """Each result and each message once, in every view from its first recorded success on; all at rest."""
        machine = self.runtime.machine
        talk = machine.state.talk
        log = [json.loads(item.data) for item in talk.log]
        check_pairs(list(view(log, "pair")))
        for asked in self.asked:
            check_pairs(asked.items)
            tokens = [token_of(result) for inbox in inboxes(asked.items) for result in inbox.get("results", ())]
            assert len(tokens) == len(set(tokens)), f"twice in one request: {shape(asked.items)}"
            assert asked.recorded <= set(tokens), f"left out again: {asked.recorded - set(tokens)}"
        keys = [key for item in talk.log for key in item.results]
        assert len(keys) == len(set(keys))
        for task in machine.tasks.values():
            told = (task.uid, task.attempt) in keys
            if task.state in (State.DONE, State.FAILED) and task.spec.deliver is not Delivery.SILENT:
                assert told, f"{task.name} never came: {task}"
            if task.state is State.CANCELLED and not task.because:
                assert not told, f"{task.name} was cancelled"
        text = json.dumps(log)
        sent = [event.uid for event in self.journal.events if isinstance(event, e.MessageSent)]
        for uid in sent:
            assert text.count(f"said {uid}") == 1, f"{uid} stands {text.count(uid)} times in the log"
        spoken = [item["content"][0]["text"] for item in log if item.get("role") == "user"]
        assert spoken == [f"said {uid}" for uid in sent]
        assert all(turn.state is not TurnState.RUNNING for turn in talk.turns)
        assert msgspec.json.encode(replay(self.journal.events).state) == msgspec.json.encode(machine.state)


class Mind:
    """A model that says, calls and fails by chance, and notes what it was asked."""

    def __init__(self, world: World, journal: MortalJournal, life: int) -> None:
        self._world, self._journal, self._life = world, journal, life

    async def stream(self, request: Request) -> AsyncIterator[StreamEvent]:
        world, chance = self._world, self._world.chance
        if self._journal.dead:
            raise ModelError("cut", "dead")
        items = list(request.items)
        world.asked.append(Asked(self._life, items, self._recorded()))
        world._point("request sent")
        await asyncio.sleep(chance.choice([0, 0.1, 1, 7]))
        world._point("reply begins")
        yield TextDelta("I ")
        await asyncio.sleep(chance.choice([0, 0.1, 2]))
        if chance.random() < 0.12:
            raise ModelError("server", "the server failed: %orchestra retry")
        world._point("reply ends")
        calls = self._calls(chance)
        said = [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I see."}]}]
        made = [
            {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments}
            for call in calls
        ]
        yield Reply((*said, *made), "I see.", calls, ModelUsage(1, 0, 1), "scripted")

    def _calls(self, chance: random.Random) -> tuple[Call, ...]:
        world = self._world
        if chance.random() < 0.65:
            return ()
        calls = []
        for _ in range(chance.randint(1, 2)):
            world._made += 1
            name = f"m{world._made}"
            tasks = [{"name": name, "worker": chance.choice(["kernel", "agent"]), "brief": f"do {name}"}]
            tool = chance.choice(["dispatch", "dispatch", "cancel", "nonsense"])
            arguments: dict[str, Any] = {"tasks": tasks} if tool == "dispatch" else {"tasks": [name]}
            calls.append(Call(f"call-{name}", tool, json.dumps(arguments)))
        return tuple(calls)

    def _recorded(self) -> set[str]:
        tasks = self._world.journal.events
        names = {spec.uid: spec.name for event in tasks if isinstance(event, e.TasksDispatched) for spec in event.tasks}
        return {
            f"{names[uid]}-{attempt}"
            for event in self._journal.events
            if isinstance(event, e.StepDone)
            for uid, attempt in event.results
        }


def token_of(result: dict[str, Any]) -> str:
    """Which attempt of which task it is: skipped ones have none, and come once."""
    text = json.dumps(result)
    _, found, rest = text.partition("token-")
    return rest.partition(".")[0] if found else f"{result['task']}-0"


async def at_once(act: Callable[[], Any]) -> Any:
    """In place of a thread."""
    await asyncio.sleep(0)
    return act()
