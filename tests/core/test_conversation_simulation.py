"""A person, tasks, a scripted master and a kernel that may die at any time, against the decisions of the conversation.

What is true stands in the facts that were journaled before a kill and in what the scripted master has sent and got;
a kill takes with it the master, the workers and the tail of the journal.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.conversation import COHORT_HOLD
from jupyter_orchestra.core.machine import Machine, MachineState
from jupyter_orchestra.core.model import Delivery, Failure, Kind, Origin, Result, Spec, State
from jupyter_orchestra.core.talk import Key, TurnState

KINDS = (Kind("kernel", 6), Kind("agent", 3, steerable=True, cooperative=True, agent=True, resumable=True))
SEEDS, STEPS = 30, 70  # of each batch; of each seed


@dataclass
class Master:
    """What the master has in hand; all of it is gone with the kernel."""

    turn: int
    wants: bool = True  # its next input; else a request is on its way, or calls are carried out
    given: e.GiveInput | None = None  # what the request on its way carries
    calls: int = 0


@dataclass
class Attempt:
    key: Key
    stopping: bool = False


@dataclass
class Journal:
    """The facts in order; those from `safe` on are lost if the kernel dies now."""

    events: list[e.Event] = field(default_factory=list)
    safe: int = 0


class World:
    def __init__(self, seed: int, seen: Counter[str]) -> None:
        self.random = random.Random(seed)
        self.seen = seen  # what happened in all schedules, so that none of it is missing
        self.machine, self.journal, self.now = Machine(), Journal(), 1000.0
        self.epoch = self.count = 0
        self.master: Master | None = None
        self.alive: dict[Key, Attempt] = {}
        self.delivered: dict[Key, int] = {}  # to the person -> index of the fact that led to it
        self.superseded: dict[Key, int] = {}  # run again or forgotten
        self.cancelled: dict[str, int] = {}
        self.log: list[str] = []  # as it was seen last
        self.faults = True
        self.kernel()

    def chance(self, of: float) -> bool:
        return self.random.random() < of

    def new(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}{self.count}"

    # the machine

    def send(self, event: e.Event) -> list[e.Command]:
        self.journal.events.append(event)
        wishes = self.machine.handle(event)
        for wish in wishes:
            self.obey(wish)
        self.check()
        if self.chance(0.4):
            self.journal.safe = len(self.journal.events)
        return wishes

    def obey(self, wish: e.Command) -> None:
        match wish:
            case e.StartTask(uid, attempt):
                self.alive[uid, attempt] = Attempt((uid, attempt))
            case e.StopTask(uid, attempt):
                self.alive[uid, attempt].stopping = True
            case e.Deliver(uid, attempt):
                self.delivered.setdefault((uid, attempt), len(self.journal.events))
            case e.BeginTurn(turn):
                assert self.master is None, f"turn {turn} begins while {self.master} is at work"
                self.master = Master(turn)
            case e.EndTurn(turn):
                if self.master is not None and self.master.turn == turn:
                    self.master = None
            case e.StopTurn(turn):
                assert self.master is not None
                assert self.master.turn == turn
            case _:
                pass

    def check(self) -> None:
        talk = self.machine.state.talk
        running = [turn.number for turn in talk.turns if turn.state is TurnState.RUNNING]
        assert len(running) <= 1
        assert running == ([self.master.turn] if self.master is not None else []), f"{running}, {self.master}"
        log = [item.data for item in talk.log]
        assert log[: len(self.log)] == self.log, "the log was changed"
        self.log = log
        found = Counter(key for item in log for key in keys_in(item))
        assert not [key for key, times in found.items() if times > 1], found
        said = Counter(uid for item in log if (uid := json.loads(item).get("user")))
        assert not [uid for uid, times in said.items() if times > 1], said

    # the kernel

    def kernel(self) -> None:
        self.epoch += 1
        self.send(e.KernelStarted(self.now, self.epoch, KINDS))

    def kill(self) -> None:
        """The kernel dies; another one takes the journal over."""
        if self.master is not None and self.master.given is not None:
            self.seen["killed between a request and its success"] += 1
        facts = self.journal.events
        cut = self.random.randint(self.journal.safe, len(facts))
        if any(isinstance(event, e.StepDone) for event in facts[cut:]):
            self.seen["killed between a success and the journal"] += 1
        del facts[cut:]
        self.machine = self.replayed()
        self.master, self.alive = None, {}
        self.log = self.log[: len(self.machine.state.talk.log)]
        for known in (self.delivered, self.superseded, self.cancelled):
            for gone in [what for what, index in known.items() if index > cut]:
                del known[gone]
        self.kernel()

    def replayed(self) -> Machine:
        """A machine from all facts, or from the state at one of them and the facts since."""
        facts = [e.decode(e.encode(event)) for event in self.journal.events]
        machine = Machine()
        checkpoint = self.random.randint(0, len(facts))
        for index, event in enumerate(facts):
            if index == checkpoint:
                machine = Machine(msgspec.json.decode(msgspec.json.encode(machine.state), type=MachineState))
            machine.handle(event)
        return machine

    def check_replay(self) -> None:
        again = self.replayed().state
        assert msgspec.json.encode(again) == msgspec.json.encode(self.machine.state), "replayed, it is another one"

    # time

    def advance(self, seconds: float) -> None:
        until = self.now + seconds
        while (due := self.machine.due()) is not None and due <= until:
            self.now = max(self.now, due)
            self.send(e.TimePassed(self.now))
            assert self.machine.due() != due, "the same moment is wanted again"
        self.now = until

    # the master

    def work(self) -> None:
        """The master does the next thing; what that leads to depends on the weather."""
        master = self.master
        assert master is not None
        turn = self.machine.state.talk.turns[master.turn - 1]
        if turn.open_calls and not master.calls:  # of the kernel before
            self.seen["calls in doubt"] += 1
            master.calls = turn.open_calls
        if master.calls:
            self.answer_calls(master)
        elif master.given is not None:
            self.hear(master, master.given)
        else:
            self.ask(master)

    def ask(self, master: Master) -> None:
        turn = self.machine.state.talk.turns[master.turn - 1]
        calls_before, waited = turn.step and not turn.settled, len(turn.messages)
        for wish in self.send(e.StepAsked(self.now, master.turn, turn.step + 1)):
            if isinstance(wish, e.StopTurn):
                self.leave_off(master)
            if isinstance(wish, e.GiveInput):
                assert wish.step == turn.step + 1
                assert wish.messages or wish.results or calls_before, "a request for nothing"
                known = {key for item in self.log for key in keys_in(item)}
                assert not known & set(wish.results), "what is in the context is given again"
                assert not self.superseded.keys() & set(wish.results), "what was run again or forgotten is given"
                master.given = wish
                self.seen["a message joined"] += len(turn.messages) > waited
                self.seen["results came with a message"] += bool(wish.messages and wish.results)
                self.seen["results joined in mid-turn"] += bool(wish.step > 1 and wish.results)

    def hear(self, master: Master, given: e.GiveInput) -> None:
        if self.faults and self.chance(0.2):
            self.seen["a request failed"] += 1
            self.send(e.TurnFailed(self.now, given.turn, "503"))
            return
        calls = self.random.choice((0, 0, 1, 2)) if self.faults else 0
        items = (*carried(given), json.dumps({"out": given.step}))
        master.given, master.calls = None, calls
        self.send(
            e.StepDone(
                self.now, turn=given.turn, step=given.step, items=items, messages=given.messages,
                results=given.results, text="well", calls=calls,
            )
        )  # fmt: skip
        for key in given.results:
            task = self.machine.tasks.get(key[0])
            if task is not None and key not in self.superseded:
                assert task.entered == given.turn
        self.seen["a wake brought several results"] += len(given.results) > 1 and not given.messages

    def answer_calls(self, master: Master) -> None:
        turn = self.machine.state.talk.turns[master.turn - 1]
        if self.chance(0.5):
            self.dispatch(origin=Origin.MASTER, turn=master.turn)
        if self.chance(0.1):
            self.cancel(turn=master.turn)
        master.calls = 0
        self.send(e.CallsAnswered(self.now, turn.number, turn.step, (json.dumps({"answers": turn.step}),)))

    def stop(self, master: Master) -> None:
        """The person stops the turn; the master may ask for its input at that very moment, or the kernel die."""
        self.seen["stopped"] += 1
        self.send(e.StopTurnAsked(self.now, "r"))
        if self.chance(0.2):
            self.seen["killed while it stopped"] += 1
            self.kill()
        elif master.given is None and not master.calls and self.chance(0.5):
            self.ask(master)
        else:
            self.leave_off(master)

    def leave_off(self, master: Master) -> None:
        turn = self.machine.state.talk.turns[master.turn - 1]
        if turn.open_calls:
            self.send(e.CallsAnswered(self.now, turn.number, turn.step, (json.dumps({"answers": turn.step}),)))
        said = [json.dumps({"user": message.uid}) for message in turn.messages if message.uid not in turn.carried]
        self.send(e.TurnStopped(self.now, master.turn, "half", tuple(said)))
        assert turn.state is TurnState.STOPPED

    # the person

    def say(self) -> None:
        self.send(e.MessageSent(self.now, "r", uid=self.new("m"), text="do it"))

    def dispatch(self, origin: Origin = Origin.PERSON, turn: int = 0) -> None:
        cohort = self.new("k") if self.chance(0.7) else ""
        deliver = self.random.choice((Delivery.IDLE, Delivery.IDLE, *Delivery))
        specs: list[Spec] = []
        for _ in range(self.random.randint(1, 4)):
            uid = self.new("t")
            after = (specs[-1].uid,) if specs and self.chance(0.2) else ()
            worker = self.random.choice(("kernel", "kernel", "agent"))
            specs.append(
                Spec(
                    uid, uid, worker, uid, after=after, deliver=deliver, cohort=cohort, origin=origin, role="explorer",
                )
            )  # fmt: skip
        self.send(e.TasksDispatched(self.now, "r", tasks=tuple(specs), turn=turn))

    def cancel(self, turn: int = 0) -> None:
        if unended := [uid for uid, task in self.machine.tasks.items() if not task.ended]:
            uid = self.random.choice(unended)
            wishes = self.send(e.CancelAsked(self.now, "r", targets=(uid,), turn=turn))
            if any(isinstance(wish, e.Accepted) and not wish.proposed for wish in wishes):
                self.cancelled[uid] = len(self.journal.events)

    def answer(self, well: bool) -> bool:
        """The person says yes or no to what is asked first. Says whether anything is asked."""
        asking = next((task for task in self.machine.tasks.values() if task.asks), None)
        if asking is not None:
            self.seen["a proposal was answered"] += 1
            starts = not asking.asks[0].order
            ask = e.ApproveAsked if well else e.DeclineAsked
            self.send(ask(self.now, "r", target=asking.uid, digest=asking.asks[0].digest))
            if starts is not well:
                self.cancelled[asking.uid] = len(self.journal.events)
        return asking is not None

    def run_again(self) -> None:
        if wrong := [uid for uid, task in self.machine.tasks.items() if task.state in (State.FAILED, State.LOST)]:
            uid = self.random.choice(wrong)
            attempts = {known: task.attempt for known, task in self.machine.tasks.items()}
            for wish in self.send(e.RetryAsked(self.now, "r", targets=(uid,))):
                if isinstance(wish, e.Accepted):
                    for again in wish.uids:
                        self.supersede((again, attempts[again]))
                        self.cancelled.pop(again, None)

    def forget(self) -> None:
        if ended := [uid for uid, task in self.machine.tasks.items() if task.ended]:
            uid = self.random.choice(ended)
            key = uid, self.machine.tasks[uid].attempt
            if any(isinstance(wish, e.Accepted) for wish in self.send(e.ForgetAsked(self.now, "r", targets=(uid,)))):
                self.supersede(key)

    def supersede(self, key: Key) -> None:
        self.superseded[key] = len(self.journal.events)

    # workers

    def end_one(self, well: bool) -> None:
        key = self.random.choice(sorted(self.alive))
        attempt = self.alive.pop(key)
        if attempt.stopping and self.chance(0.5):
            self.send(e.TaskStopped(self.now, *key))
        elif well:
            self.send(e.TaskFinished(self.now, *key, Result(text="1")))
        else:
            self.send(e.TaskFailed(self.now, *key, Failure("exception", "ValueError", "wrong"), Result()))

    # all of it

    def step(self) -> None:
        talk = self.machine.state.talk
        pick = self.random.random()
        if pick < 0.30 and self.master is not None:
            self.work()
        elif pick < 0.50 and self.alive:
            self.end_one(well=self.chance(0.8))
        elif pick < 0.58:
            self.say()
        elif pick < 0.70:
            self.dispatch()
        elif pick < 0.74:
            self.send(e.ComposingChanged(self.now, self.random.choice("xy"), self.chance(0.5)))
        elif pick < 0.77:
            self.cancel()
        elif pick < 0.80:
            self.run_again()
        elif pick < 0.81:
            self.forget()
        elif pick < 0.83:
            self.answer(well=self.chance(0.8))
        elif pick < 0.85 and self.master is not None:
            self.stop(self.master)
        elif pick < 0.89 and talk.turns and talk.turns[-1].state is TurnState.FAILED:
            self.seen["a failed turn went on"] += 1
            self.send(e.RetryTurnAsked(self.now, "r"))
        elif pick < 0.91 and talk.log:
            self.send(e.LogFolded(self.now, self.random.randint(1, len(talk.log)), "{}"))
        elif pick < 0.96:
            self.kill()
        else:
            self.check_replay()
        self.advance(self.random.choice((0.0, 0.0, 0.5, 3.0, 9.0, 30.0)))

    def come_to_rest(self) -> None:
        """Nothing fails any more, everything ends, and the person says a last word."""
        self.faults = False
        for page in "xy":
            self.send(e.ComposingChanged(self.now, page, on=False))
        self.say()
        for _ in range(2_000):
            if self.master is not None:
                self.work()
            elif self.alive:
                self.end_one(well=True)
            elif self.answer(well=True):
                continue
            elif self.machine.due() is not None:
                self.advance(30.0)
            else:
                break
        self.say()  # and with it comes what has waited for it
        while self.master is not None:
            self.work()


def carried(given: e.GiveInput) -> list[str]:
    """The items that stand in the log for an input."""
    inbox = [json.dumps({"inbox": given.results})] if given.results else []
    return inbox + [json.dumps({"user": uid}) for uid in given.messages]


def keys_in(item: str) -> list[Key]:
    return [(uid, attempt) for uid, attempt in json.loads(item).get("inbox", ())]


def schedules(batch: int, seen: Counter[str]) -> Any:
    for seed in range(batch * SEEDS, (batch + 1) * SEEDS):
        world = World(seed, seen)
        for _ in range(STEPS):
            world.step()
        world.come_to_rest()
        yield seed, world


@pytest.mark.parametrize("batch", range(8))
def test_each_result_and_each_message_enters_the_context_once_whatever_dies_when(batch: int) -> None:
    seen: Counter[str] = Counter()
    for seed, world in schedules(batch, seen):
        state = world.machine.state
        assert world.machine.conversation.idle, f"seed {seed}"
        assert all(task.ended for task in world.machine.tasks.values()), f"seed {seed}"
        turns = len(state.talk.turns)
        world.advance(100_000)
        assert (len(state.talk.turns), world.machine.due()) == (turns, None), (
            f"seed {seed}: it does not wait in silence"
        )
        world.check_replay()
        check_results(seed, world)
        check_messages(seed, world)
        check_cohorts(seed, world)
    missing = {
        "killed between a request and its success", "killed between a success and the journal", "calls in doubt",
        "killed while it stopped", "stopped", "a request failed", "a failed turn went on", "a message joined",
        "results came with a message", "results joined in mid-turn", "a wake brought several results",
        "a proposal was answered",
    } - {what for what, times in seen.items() if times}  # fmt: skip
    assert not missing, "the schedules have become too tame"


def check_results(seed: int, world: World) -> None:
    """Those of which the person gets a cell are in the context; silent ones and what was cancelled is not."""
    entered = {key for item in world.log for key in keys_in(item)}
    specs = {
        spec.uid: spec for event in world.journal.events if isinstance(event, e.TasksDispatched) for spec in event.tasks
    }
    owed = set()
    for key in world.delivered.keys() - world.superseded.keys():
        done = world.machine.tasks[key[0]].state is State.DONE
        if not done or specs[key[0]].deliver is not Delivery.SILENT:
            owed.add(key)
    assert owed <= entered, f"seed {seed}: lost {owed - entered}"
    assert entered <= owed | world.superseded.keys(), f"seed {seed}: nobody wanted {entered - owed}"
    assert not {uid for uid, _ in entered - world.superseded.keys()} & world.cancelled.keys(), f"seed {seed}"
    marked = [key for item in world.machine.state.talk.log for key in item.results]
    assert len(marked) == len(set(marked)), f"seed {seed}"
    assert set(marked) >= owed, f"seed {seed}"


def check_messages(seed: int, world: World) -> None:
    """Each was carried, or was there when its turn was stopped, in the order in which they were sent."""
    sent = [event.uid for event in world.journal.events if isinstance(event, e.MessageSent)]
    assert [uid for item in world.log if (uid := json.loads(item).get("user"))] == sent, f"seed {seed}"


def check_cohorts(seed: int, world: World) -> None:
    """One whose results all came within the hold woke the master once at most."""
    came: dict[str, list[float]] = {}
    carried_by: dict[str, set[int]] = {}
    tasks = world.machine.tasks
    talk = world.machine.state.talk
    superseded = {uid for uid, _ in world.superseded}
    for task in tasks.values():
        if task.spec.cohort and task.spec.deliver is not Delivery.NOW:
            came.setdefault(task.spec.cohort, []).append(task.ended_at or 0.0)
    for index, item in enumerate(talk.log):
        for uid, _ in item.results:
            task_turn = talk.turns[item.turn - 1]
            with_message = any("user" in json.loads(other.data) for other in talk.log[index + 1 : index + 2])
            if uid in tasks and task_turn.results and not with_message:
                carried_by.setdefault(tasks[uid].spec.cohort, set()).add(index)
    for cohort, moments in came.items():
        again = {uid for uid, task in tasks.items() if task.spec.cohort == cohort} & superseded
        if max(moments) - min(moments) < COHORT_HOLD and not again:
            assert len(carried_by.get(cohort, ())) <= 1, f"seed {seed}: cohort {cohort} woke the master more than once"
