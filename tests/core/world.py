"""A model of the world outside the machine, which knows what really runs, and what must hold after each step.

Nothing here reads the machine's own book-keeping where the truth is known: processes live from StartTask until they
end by themselves, whatever the machine believes. One model, longer than other modules: its parts judge each other.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

import msgspec

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.machine import Machine, MachineState
from jupyter_orchestra.core.model import (
    ENDED,
    Blob,
    Capture,
    Failure,
    Kind,
    Process,
    Result,
    Spec,
    Stage,
    State,
    Task,
    When,
)
from jupyter_orchestra.core.transitions import TRANSITIONS

S = State
EPSILON = 1e-6
Key = tuple[str, int]  # (uid, attempt)


@dataclass
class Attempt:
    """One attempt as it really is."""

    uid: str
    number: int
    kind: str
    pools: tuple[str, ...]
    timeout: float | None
    since: float  # when the clock of its time-out was last started
    alive: bool = True  # False: it has ended and its report is in the inbox
    told_to_stop: bool = False
    paused: bool = False
    ran: float = 0.0

    def seconds(self, now: float) -> float:
        return self.ran + (0.0 if self.paused else now - self.since)


@dataclass
class World:
    """Feeds a machine, plays workers, journal and kernel, and checks every step against what really happened."""

    kinds: tuple[Kind, ...]
    tiers: dict[str, int] = field(default_factory=dict)
    limit: int = 10_000

    def __post_init__(self) -> None:
        self.machine = Machine()
        self.twin: Machine | None = None  # a machine restored from JSON, which must do the same from then on
        self.log: list[e.Event] = []
        self.now = 1_000.0
        self.epoch = 0
        self.slots: dict[str, int] = {}
        self.kind_of: dict[str, Kind] = {}
        self.unconfirmed: dict[Key, Attempt] = {}  # started, and its end not handled yet
        self.inbox: list[e.Event] = []  # reports that were posted and not handled
        self.snapshots: set[str] = set()  # uids whose snapshot will still be reported
        self.last_attempt: Counter[str] = Counter()
        self.delivered: Counter[Key] = Counter()  # in this epoch
        self.unshown: dict[str, Key] = {}  # uid -> a delivery that the person has not seen
        self.superseded: set[Key] = set()  # delivered, not seen, and run again
        self.cancelled: set[str] = set()  # tasks whose cancelling was accepted
        self.results: dict[str, Result] = {}
        self.journal_blocked = False
        self.requests = self.uids = 0
        self.seen: dict[str, tuple[State, int, int]] = {}  # uid -> (state, attempt, steps of its story)
        self.ended_as: dict[str, tuple[State, Result | None, str]] = {}
        self.start_kernel()

    # what happens

    def start_kernel(self) -> None:
        """A kernel starts; whatever the one before it had running or on the way is gone."""
        ran = {uid for uid, _ in self.unconfirmed}
        unended = {task.uid for task in self.machine.tasks.values() if not task.ended}
        cut_off = {
            uid for uid in ran & unended if S.RUNNING in (self.machine.tasks[uid].state, self.machine.tasks[uid].before)
        }
        stopping = {uid for uid in cut_off if self.machine.tasks[uid].stopping and not self.machine.tasks[uid].failure}
        never_copied = {uid for uid in self.snapshots if uid in unended}
        self.unconfirmed.clear()
        self.inbox.clear()
        self.snapshots.clear()
        self.delivered.clear()
        self.journal_blocked = False
        self.epoch += 1
        self._declare(*self.kinds)
        self.slots.update({f"tier:{name}": slots for name, slots in self.tiers.items()})
        again = {uid: key for uid, key in self.unshown.items() if key not in self.superseded}
        self.unshown = dict(again)
        self.send(e.KernelStarted(self.now, self.epoch, self.kinds, dict(self.tiers), self.limit))
        for uid in cut_off:
            state = self.machine.tasks[uid].state
            if uid in stopping:  # a cooperative one, cancelled before: that has come about
                assert state is S.CANCELLED, f"{uid} was cancelled and is {state}"
            else:
                assert state is S.LOST, f"{uid} was cut off and is {state}"
                assert self.machine.tasks[uid].needs_you
        for uid in never_copied:
            assert self.machine.tasks[uid].state in (S.FAILED, S.CANCELLED), "its variables can never come"
        for key in again.values():
            assert self.delivered[key] == 1, f"{key} was not shown before the kernel died and is not delivered again"

    def _declare(self, *kinds: Kind) -> None:
        for kind in kinds:
            self.kind_of[kind.name], self.slots[kind.name] = kind, kind.slots

    def change_slots(self, name: str, slots: int) -> None:
        kind = msgspec.structs.replace(self.kind_of[name], slots=slots)
        self._declare(kind)
        self.send(e.KindDeclared(self.now, kind))

    def new_uid(self) -> str:
        self.uids += 1
        return f"u{self.uids}"

    def dispatch(self, *specs: Spec) -> e.Answer:
        unended = sum(not task.ended for task in self.machine.tasks.values())
        replaced = {spec.name for spec in specs if spec.replace and not spec.auto}
        live = {n for n in replaced if (task := self.machine.find(n)) is not None and task.name == n and not task.ended}
        self.snapshots |= {spec.uid for spec in specs if spec.snapshot}
        doomed = {self.machine.state.names[name] for name in live}
        answer = self.ask(e.TasksDispatched(self.now, request=self.request(), tasks=specs))
        if isinstance(answer, e.Refused):
            self.snapshots -= {spec.uid for spec in specs}
            return answer
        assert unended + len(specs) <= self.limit
        assert answer.uids == tuple(spec.uid for spec in specs)
        for spec, name in zip(specs, answer.names, strict=True):
            task = self.machine.tasks[spec.uid]
            assert task.name == name == (spec.name if not spec.auto else name)
            assert task.state is not S.LOST
            assert len(name) <= 40
        self._was_cancelled(doomed)
        return answer

    def ask(self, event: e.Asked) -> e.Answer:
        """Send a request; exactly one answer must come, and a refusal must change nothing."""
        before = msgspec.msgpack.encode(self.machine.state)
        commands = self.send(event)
        answers = [c for c in commands if isinstance(c, e.Accepted | e.Refused)]
        assert len(answers) == 1, f"{type(event).__name__} got {answers}"
        assert answers[0].request == event.request
        if isinstance(answers[0], e.Refused):
            assert commands == answers, f"a refusal came with {commands}"
            assert msgspec.msgpack.encode(self.machine.state) == before, "a refusal changed something"
            assert answers[0].reason
        return answers[0]

    def request(self) -> str:
        self.requests += 1
        return f"r{self.requests}"

    def cancel(self, *targets: str, everything: bool = False) -> e.Answer:
        chosen = self._chosen(targets, everything)
        unended = {task.uid for task in chosen if not task.ended}
        answer = self.ask(e.CancelAsked(self.now, request=self.request(), targets=targets, all=everything))
        if isinstance(answer, e.Accepted):
            self._was_cancelled(unended)
        return answer

    def _was_cancelled(self, uids: set[str]) -> None:
        for uid in uids:
            self.cancelled.add(uid)
            task = self.machine.tasks[uid]
            assert task.state is S.CANCELLED or self._is_cooperative_and_runs(task), f"{uid} is {task.state}"

    def _is_cooperative_and_runs(self, task: Task) -> bool:
        return self.kind_of[task.spec.worker].cooperative and (task.uid, task.attempt) in self.unconfirmed

    def pause(self, *targets: str, everything: bool = False) -> e.Answer:
        chosen = self._chosen(targets, everything)
        answer = self.ask(e.PauseAsked(self.now, request=self.request(), targets=targets, all=everything))
        if isinstance(answer, e.Accepted):
            for task in chosen:
                held = task.state is S.PAUSED
                assert held or (everything and (task.ended or task.state is S.RUNNING)), f"{task.uid} is {task.state}"
        return answer

    def resume(self, *targets: str, everything: bool = False) -> e.Answer:
        chosen = self._chosen(targets, everything)
        answer = self.ask(e.ResumeAsked(self.now, request=self.request(), targets=targets, all=everything))
        if isinstance(answer, e.Accepted):
            assert all(task.state is not S.PAUSED for task in chosen)
        return answer

    def retry(self, *targets: str) -> e.Answer:
        chosen = self._chosen(targets)
        self._retrying = True
        try:
            answer = self.ask(e.RetryAsked(self.now, request=self.request(), targets=targets))
        finally:
            self._retrying = False
        if isinstance(answer, e.Accepted):
            self.cancelled -= set(answer.uids)
            self.superseded |= {self.unshown[uid] for uid in answer.uids if uid in self.unshown}
            for task in chosen:
                assert not task.ended, f"{task.uid} was to be run again and is {task.state}"
        return answer

    _retrying = False

    def forget(self, *targets: str, ended: bool = False) -> e.Answer:
        chosen = self._chosen(targets)
        answer = self.ask(e.ForgetAsked(self.now, request=self.request(), targets=targets, ended=ended))
        if isinstance(answer, e.Accepted):
            assert all(task.uid not in self.machine.tasks for task in chosen)
        return answer

    def steer(self, target: str) -> e.Answer:
        return self.ask(e.SteerAsked(self.now, request=self.request(), target=target, text="go on"))

    def _chosen(self, targets: tuple[str, ...], everything: bool = False) -> list[Task]:
        if everything:
            return [task for task in self.machine.tasks.values() if not task.ended]
        return [task for name in targets if (task := self.machine.find(name)) is not None]

    def advance(self, seconds: float) -> None:
        """Let time pass, with every alarm that the machine wants on the way."""
        until = self.now + seconds
        alarms = 0
        while (due := self.machine.due()) is not None and due <= until:
            self.now = max(self.now, due)
            self.send(e.TimePassed(self.now))
            alarms += 1
            assert alarms < 1_000, "the machine asks for the same moment again and again"
        self.now = until
        for attempt in self.unconfirmed.values():
            if attempt.timeout is not None and not attempt.told_to_stop:
                assert attempt.seconds(self.now) <= attempt.timeout + EPSILON, "it ran longer than its time-out"

    def block_journal(self) -> None:
        self.journal_blocked = True
        self.send(e.JournalBlocked(self.now, "the disk is full"))

    def free_journal(self) -> None:
        self.journal_blocked = False
        self.send(e.JournalFreed(self.now))

    # what workers do

    @property
    def alive(self) -> list[Attempt]:
        return [attempt for attempt in self.unconfirmed.values() if attempt.alive]

    def finish(self, attempt: Attempt) -> None:
        """A process ends well; its report is in the inbox, not yet handled."""
        result = Result(value=Blob(1, b"v"), text=f"{attempt.uid}#{attempt.number}")
        self._end(attempt, e.TaskFinished(self.now, attempt.uid, attempt.number, result))

    def fail(self, attempt: Attempt) -> None:
        failure = Failure("exception", "ValueError", "wrong")
        result = Result(text=f"{attempt.uid}#{attempt.number}")
        self._end(attempt, e.TaskFailed(self.now, attempt.uid, attempt.number, failure, result))

    def could_not_begin(self, attempt: Attempt) -> None:
        self._end(attempt, e.TaskBlocked(self.now, attempt.uid, attempt.number, "the disk is full"))

    def obey(self, attempt: Attempt) -> None:
        """A process that was told to stop is gone."""
        self._end(attempt, e.TaskStopped(self.now, attempt.uid, attempt.number))

    def _end(self, attempt: Attempt, report: e.Reported) -> None:
        attempt.alive = False
        self.inbox.append(report)

    def say(self, attempt: Attempt, report: type[e.WorkerStarted] | type[e.TaskProgressed]) -> None:
        if report is e.WorkerStarted:
            self.inbox.append(e.WorkerStarted(self.now, attempt.uid, attempt.number, Process(7, 1.0)))
        else:
            self.inbox.append(e.TaskProgressed(self.now, attempt.uid, attempt.number, 0.5, "half"))

    def copy(self, uid: str, well: bool) -> None:
        """The snapshot of a task is there, or could not be taken."""
        self.snapshots.discard(uid)
        if well:
            self.send(e.SnapshotTaken(self.now, uid, Capture(("x",), Blob(1, b"x"))))
        else:
            self.send(e.SnapshotFailed(self.now, uid, "x can't be pickled"))

    def show(self, uid: str) -> None:
        """A delivery is acknowledged."""
        key = self.unshown.pop(uid)
        self.send(e.ResultShown(self.now, *key))
        if uid in self.machine.tasks and self.machine.tasks[uid].attempt == key[1]:
            assert self.machine.tasks[uid].stage in (Stage.SHOWN, Stage.SUPERSEDED)

    def drain(self) -> None:
        """The oldest report of the inbox is handled."""
        event = self.inbox.pop(0)
        if not isinstance(event, e.TaskFinished | e.TaskFailed | e.TaskBlocked | e.TaskStopped):
            self.send(event)
            return
        uid, key = event.uid, (event.uid, event.attempt)
        attempt = self.unconfirmed.pop(key)
        task = self.machine.tasks.get(uid)
        if task is None:
            self.send(event)
            return
        before, attempts, retries = task.state, task.attempt, task.retries_left
        current = attempts == event.attempt and S.RUNNING in (before, task.before)
        self.send(event)
        assert self.machine.state.holds.get(uid, (0, ()))[0] != event.attempt, f"{key} ended and its slots are not free"
        if task.ended:
            assert not task.stopping, f"{uid} has ended, nothing of it runs, and it still says that it is being stopped"
        if attempt.told_to_stop or not current:
            assert task.state is not S.DONE or before is S.DONE, f"{uid} was to stop and is done"
            if uid in self.cancelled and attempts == event.attempt and before in (S.CANCELLED, S.RUNNING):
                assert task.state is S.CANCELLED, f"{uid} was cancelled and is {task.state}"
                if isinstance(event, e.TaskFinished | e.TaskFailed):
                    assert task.result == event.result, f"the late result of {uid} was not kept"
            return
        match event:
            case e.TaskFinished():
                assert task.state is S.DONE
                assert task.result == event.result
            case e.TaskBlocked():
                assert task.state in (S.QUEUED, S.PAUSED)
            case _ if retries:
                assert task.state in ((S.QUEUED, S.RUNNING) if before is S.RUNNING else (S.PAUSED,))
                assert task.retries_left == retries - 1
            case _:
                assert task.state is S.FAILED

    # one step

    def send(self, event: e.Event) -> list[e.Command]:
        """Let the machine handle an event, do as it wishes, and check everything."""
        self.log.append(event)
        commands = self.machine.handle(event)
        if self.twin is not None:
            assert self.twin.handle(event) == commands, "a restored machine behaves differently"
        for command in commands:
            self._obey(command)
        shown = {c.uid for c in commands if isinstance(c, e.ShowCard)}
        self._check({c.uid for c in commands if isinstance(c, e.StartTask)}, shown, event.at)
        return commands

    def _obey(self, command: e.Command) -> None:
        match command:
            case e.StartTask(uid, number):
                self._start(uid, number)
            case e.StopTask(uid, number):
                attempt = self.unconfirmed[uid, number]
                again = attempt.told_to_stop and not self.kind_of[attempt.kind].cooperative
                assert not again, f"{uid} is told to stop twice"
                attempt.told_to_stop = True
            case e.PauseTask(uid, number):
                attempt = self.unconfirmed[uid, number]
                assert self.kind_of[attempt.kind].pausable
                assert not attempt.paused
                attempt.ran, attempt.paused = attempt.seconds(self.now), True
            case e.ResumeTask(uid, number):
                attempt = self.unconfirmed[uid, number]
                assert attempt.paused
                attempt.since, attempt.paused = self.now, False
            case e.SteerTask(uid, number, _):
                assert self.kind_of[self.unconfirmed[uid, number].kind].steerable
            case e.Deliver(uid, number):
                self._deliver(uid, number)
            case e.DropTask(uid):
                self._drop(uid)

    def _start(self, uid: str, number: int) -> None:
        assert not self.journal_blocked, "it starts while the journal can't be written"
        assert not any(other == uid for other, _ in self.unconfirmed), f"{uid} starts while an older attempt lives"
        assert number > self.last_attempt[uid], f"{uid}: attempt {number} after {self.last_attempt[uid]}"
        self.last_attempt[uid] = number
        spec = self.machine.tasks[uid].spec
        pools = (spec.worker, f"tier:{spec.tier}") if spec.tier else (spec.worker,)
        self.unconfirmed[uid, number] = Attempt(uid, number, spec.worker, pools, spec.timeout, self.now)
        for pool in pools:
            assert self.used(pool) <= self.slots[pool], f"{pool}: {self.used(pool)} of {self.slots[pool]} slots"

    def used(self, pool: str) -> int:
        return sum(pool in attempt.pools for attempt in self.unconfirmed.values())

    def _deliver(self, uid: str, number: int) -> None:
        task = self.machine.tasks[uid]
        assert task.attempt == number
        self.delivered[uid, number] += 1
        self.superseded.discard((uid, number))
        self.unshown[uid] = uid, number
        if task.state is not S.CANCELLED:
            assert task.state in (S.DONE, S.FAILED)
            assert uid not in self.cancelled, f"{uid} was cancelled and is delivered"
            assert self.delivered[uid, number] == 1, f"{uid}#{number} is delivered twice"
        else:
            assert task.because, f"{uid} was cancelled by the person and is delivered"

    def _drop(self, uid: str) -> None:
        assert uid not in self.machine.tasks
        self.unshown.pop(uid, None)
        self.cancelled.discard(uid)
        self.seen.pop(uid, None)
        self.ended_as.pop(uid, None)

    # what must hold

    def _check(self, started: set[str], shown: set[str], now: float) -> None:
        tasks, names = self.machine.tasks, self.machine.state.names
        assert len(names) == len(tasks), "names and tasks do not match"
        holds = {(uid, number) for uid, (number, _) in self.machine.state.holds.items()}
        assert holds == self.unconfirmed.keys(), f"holds {holds}, in truth {set(self.unconfirmed)}"
        for uid, task in tasks.items():
            assert names[task.name] == uid
            assert self.machine.find(uid) is task
            self._check_change(task, uid in shown)
            self._check_state(task)
        for uid in started:
            self._check_order(tasks[uid], now)

    def _check_change(self, task: Task, shown: bool) -> None:
        before = self.seen.get(task.uid)
        now = task.state, task.attempt, len(task.story)
        if before == now:
            return
        assert shown, f"{task.uid} changed from {before} to {now} without a word"
        self.seen[task.uid] = now
        assert task.story[-1].state is task.state
        steps = [step.state for step in task.story]
        if before is None:
            assert steps[0] is S.WAITING
        for a, b in pairwise(steps):
            assert (a, b) in TRANSITIONS, f"{task.uid}: {a} -> {b}"
        if before is not None and before[0] in ENDED:
            assert self._retrying, f"{task.uid} had ended as {before[0]} and is {task.state}"
            self.ended_as.pop(task.uid, None)

    def _check_state(self, task: Task) -> None:
        uid, key = task.uid, (task.uid, task.attempt)
        if task.state is S.RUNNING or task.before is S.RUNNING:
            assert key in self.unconfirmed, f"{uid} is {task.state} and nothing of it runs"
        else:
            assert not task.stopping or uid in self.machine.state.holds
        match task.state:
            case S.WAITING:
                assert uid in self.snapshots or self._unended_before(task), f"{uid} waits for nothing"
                assert not self._dead_end(task), f"{uid} waits although {self._dead_end(task)}"
            case S.QUEUED:
                assert uid not in self.snapshots
                self._check_not_idle(task)
            case S.RUNNING:
                assert not task.snapshot
                self._check_deadline(task)
            case S.PAUSED:
                assert task.before in (S.WAITING, S.QUEUED, S.RUNNING)
            case S.DONE | S.FAILED | S.CANCELLED | S.LOST:
                self._check_ended(task)

    def _unended_before(self, task: Task) -> bool:
        return any(not self.machine.tasks[uid].ended for _, uid in task.after)

    def _dead_end(self, task: Task) -> str:
        """Why a waiting task can never begin, found out without the machine's own words."""
        states = {label: self.machine.tasks[uid].state for label, uid in task.after}
        match task.spec.when:
            case When.SUCCESS:
                return ", ".join(label for label, state in states.items() if state in ENDED and state is not S.DONE)
            case When.FAILURE if states and all(state in ENDED for state in states.values()):
                return "" if {S.FAILED, S.LOST} & set(states.values()) else "nothing failed"
        return ""

    def _check_not_idle(self, task: Task) -> None:
        at = self.machine.state.later.get(task.uid)
        if at is not None:
            assert at <= self.now + 5.0 + EPSILON
            due = self.machine.due()
            assert due is not None
            assert due <= at
            return
        if self.journal_blocked or any(uid == task.uid for uid, _ in self.unconfirmed):
            return
        spec = task.spec
        pools = (spec.worker, f"tier:{spec.tier}") if spec.tier else (spec.worker,)
        full = [pool for pool in pools if self.used(pool) >= self.slots[pool]]
        assert full, f"{task.uid} waits although {pools} have free slots"

    def _check_deadline(self, task: Task) -> None:
        attempt = self.unconfirmed[task.uid, task.attempt]
        if task.spec.timeout is None or attempt.told_to_stop:
            return
        due = self.machine.due()
        assert due is not None, f"nothing will end {task.uid} in time"
        assert due <= self.now + task.spec.timeout - attempt.seconds(self.now) + EPSILON

    def _check_order(self, task: Task, now: float) -> None:
        """Nobody who wants the same slots and ranks higher was passed over."""
        for other in self.machine.tasks.values():
            if (
                other.state is S.QUEUED
                and other.uid not in self.machine.state.later
                and not any(uid == other.uid for uid, _ in self.unconfirmed)
                and (other.spec.worker, other.spec.tier) == (task.spec.worker, task.spec.tier)
            ):
                mine, theirs = (t.spec.priority + (now - t.queued_at) / 30 for t in (task, other))
                assert mine >= theirs - EPSILON, f"{task.uid} ({mine}) passed {other.uid} ({theirs})"

    def _check_ended(self, task: Task) -> None:
        uid, key = task.uid, (task.uid, task.attempt)
        now = task.state, task.result, task.reason
        before = self.ended_as.setdefault(uid, now)
        if task.state is S.CANCELLED and before[1] is None:
            self.ended_as[uid] = now  # a late result is kept
        assert before[0] is task.state
        assert before[2] == task.reason
        if before[1] is not None:
            assert task.result == before[1], f"the result of {uid} was replaced"
        if task.state in (S.DONE, S.FAILED):
            was_shown = task.stage in (Stage.SHOWN, Stage.IN_CONTEXT)
            assert self.delivered[key] == 1 or was_shown, f"{uid} is {task.state} and was never delivered"
        if task.state is S.FAILED and task.failure is not None and task.failure.kind == "timeout":
            assert task.spec.timeout is not None
        if task.state is S.CANCELLED:
            if self.kind_of[task.spec.worker].cooperative:
                assert key not in self.unconfirmed, f"{uid} is called cancelled and still runs"
            if task.because:
                labels = [label for label, _ in task.after]
                assert task.spec.when is not When.SUCCESS or any(label in task.reason for label in labels)
                source = self.machine.tasks.get(task.because)
                gone = any(other not in self.machine.tasks for _, other in task.after)
                lost_variables = task.failure is not None and task.failure.kind == "snapshot"
                if source is not None and not gone and not lost_variables:
                    assert source.ended, f"{uid} stays cancelled because of {source.uid}, which is run again"

    # now and then

    def restore(self) -> None:
        """A machine made from the state's JSON takes part from here on."""
        data = msgspec.json.encode(self.machine.state)
        state = msgspec.json.decode(data, type=MachineState)
        assert state == self.machine.state
        self.twin = Machine(state)

    def replay(self) -> None:
        """The same events, sent through JSON, lead a fresh machine to the same state."""
        fresh = Machine()
        for event in self.log:
            again = e.decode(e.encode(event))
            assert again == event
            fresh.handle(again)
        assert fresh.state == self.machine.state
        if self.twin is not None:
            assert self.twin.state == self.machine.state

    def run_dry(self) -> None:
        """Everything ends once the journal is free, what is paused is resumed and workers do their work."""
        self.free_journal()
        for _ in range(10_000):
            if any(task.state is S.PAUSED for task in self.machine.tasks.values()):
                self.resume(everything=True)
            for uid in sorted(self.snapshots):
                self.copy(uid, well=True)
            for attempt in self.alive:
                self.obey(attempt) if attempt.told_to_stop else self.finish(attempt)
            while self.inbox:
                self.drain()
            if all(task.ended for task in self.machine.tasks.values()):
                assert not self.unconfirmed
                return
            if not self.alive:
                self.advance(5.0)
                for name, kind in list(self.kind_of.items()):
                    if not kind.slots:
                        self.change_slots(name, 1)
        raise AssertionError("tasks are left over")
