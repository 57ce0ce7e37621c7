"""The machine that decides: facts in, wishes out. It holds all state and knows no I/O, clock, thread or random number.

Longer than the other modules on purpose: one class, one short method for each fact, so that the whole of what is
decided can be read in one place.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from heapq import heappop, heappush
from typing import Any

import msgspec

from . import events as e
from . import naming, questions
from .budget import BudgetState
from .controller import OF_CONTROLLER, Controller, ControllerState, is_slot, needs_of, next_lease, outlives
from .conversation import OF_CONVERSATION, Conversation
from .grants import GrantState, GrantTable
from .leases import Lease
from .model import (
    RETRYABLE,
    Ask,
    Failure,
    Input,
    Kind,
    Origin,
    Process,
    Spec,
    Stage,
    State,
    Step,
    Task,
    When,
)
from .naming import Refusal
from .needs import Need, spell_all
from .spending import OF_SPENDING, Spending
from .talk import Talk
from .transitions import TRANSITIONS, IllegalTransition

S = State
BLOCKED_RETRY = 5.0  # seconds until a blocked attempt is tried again
Pools = tuple[str, ...]  # the names of what a task has a slot of
STORY_LIMIT = 200  # steps kept of one task's story
PAUSED = "paused by you"
DEPTH = 3  # tasks that dispatch tasks, one below the other


class MachineState(msgspec.Struct):
    """Everything that the machine knows; what else it holds is an index of this."""

    tasks: dict[str, Task] = {}
    names: dict[str, str] = {}  # present name -> uid
    older: dict[str, int] = {}  # name -> how many older tasks bear NAME@k
    stems: dict[str, int] = {}  # made-up name -> the last number that made it unique
    kinds: dict[str, Kind] = {}
    tiers: dict[str, int] = {}
    max_unfinished: int = 10_000
    dispatched: int = 0
    delivered: int = 0  # results so far, so that the id of a result cell never comes twice
    epoch: int = 0
    holds: dict[str, tuple[int, Pools]] = {}  # uid -> (attempt, pools) of what still runs or is being stopped
    blocked: str = ""  # why the journal can't be written; nothing new starts meanwhile
    later: dict[str, float] = {}  # uid of a blocked task -> when it is tried again
    talk: Talk = msgspec.field(default_factory=Talk)
    control: ControllerState = msgspec.field(default_factory=ControllerState)
    budgets: BudgetState = msgspec.field(default_factory=BudgetState)
    grants: GrantState = msgspec.field(default_factory=GrantState)


class Machine:
    """The state of all tasks. Change it only through :meth:`handle`."""

    def __init__(self, state: MachineState | None = None) -> None:
        self.state = state or MachineState()
        self._dependents: dict[str, list[str]] = {}
        self._cohorts: dict[str, dict[str, None]] = {}  # cohort -> uids, in the order of dispatch
        self._unended = 0
        self._due: list[tuple[float, str]] = []  # may hold moments that no longer matter
        self._out: list[e.Command] = []
        self._shown: set[str] = set()
        self.conversation = Conversation(self.state.talk, self.state.tasks, self.cohort, self._show, self._next_number)
        self.spending = Spending(self.state.budgets, self.state.tasks)
        self.grants = GrantTable(self.state.grants, self.state.tasks, self._is_agent)
        self._now = 0.0  # of the fact that is handled
        self._restore_leases()
        self.controller = Controller(
            self.state.control, self.state.tasks, self._kind, begin=self._begin, go_on=self._resume,
            hold=self._take_from, expired=self._on_lease_expired, show=self._show, lacks=self._note_lack,
            blocked=lambda: bool(self.state.blocked),
        )  # fmt: skip
        self._rebuild()
        self.controller.take()

    # what others ask

    @property
    def tasks(self) -> dict[str, Task]:
        """All tasks by uid, in the order of dispatch. To be read, never changed."""
        return self.state.tasks

    def find(self, name: str) -> Task | None:
        """The task with that name (or ``NAME@k``) or uid."""
        return self.state.tasks.get(self.state.names.get(name, name))

    def due(self) -> float | None:
        """When the next :class:`~.events.TimePassed` is wanted, POSIX seconds."""
        first = self._due[0][0] if self._due else None
        moments = (first, self.conversation.due(), self.controller.due(), self.spending.due())
        return min((at for at in moments if at is not None), default=None)

    def inputs(self, task: Task) -> dict[str, Input]:
        """What ``results`` holds for a task."""
        found = {}
        for name, uid in task.after:
            before = self.state.tasks.get(uid)
            if before is None:
                found[name] = Input(S.LOST, error=f"task {name!r} was forgotten")
            elif before.state is S.DONE and before.result is not None:
                trusted = before.spec.origin is Origin.PERSON and not self._kind(before).agent
                found[name] = Input(S.DONE, before.result.value, trusted=trusted)
            else:
                found[name] = Input(before.state, error=before.failure.line() if before.failure else before.reason)
        return found

    def cohort(self, cohort: str) -> list[Task]:
        """The tasks that were dispatched together."""
        return [self.state.tasks[uid] for uid in self._cohorts.get(cohort, ())]

    def ahead(self, task: Task) -> int:
        """How many tasks wait for the same slots before this one."""
        waits = task.state is S.QUEUED and task.uid not in self.state.later and task.uid not in self.state.holds
        return self.controller.ahead(task) if waits else 0

    def free_slots(self, kind: str) -> tuple[int, int]:
        """(taken, all) slots of a worker kind."""
        slots = self.state.kinds[kind].slots if kind in self.state.kinds else 0
        return self.controller.table.used(f"slots:{kind}"), slots

    # the one way in

    def handle(self, event: e.Event) -> list[e.Command]:
        """Take a fact in and say what is to be done about it.

        Raises
        ------
        IllegalTransition
            When the machine itself has a bug.
        """
        self._out, self._shown, self._now = [], set(), event.at
        try:
            self._take(event)
        except Refusal as refusal:
            assert isinstance(event, e.Asked)
            self._out.append(e.Refused(event.request, str(refusal)))
        self._out += self.conversation.consider(event.at)
        self._start(event.at)
        return self._out

    def _take(self, event: e.Event) -> None:
        if type(event) in OF_CONVERSATION:
            self._out += self.conversation.handle(event)
            return
        if type(event) in OF_CONTROLLER:
            self.controller.handle(event)
            return
        if type(event) in OF_SPENDING:
            self._out += self.spending.handle(event)
            return
        handler: Callable[[Any], None] = _HANDLERS[type(event)].__get__(self)
        handler(event)

    # facts about the whole

    def _on_kernel_started(self, event: e.KernelStarted) -> None:
        state = self.state
        pending = [task for task in state.tasks.values() if task.stage is Stage.QUEUED]
        state.epoch, state.tiers, state.max_unfinished = event.epoch, dict(event.tiers), event.max_unfinished
        state.kinds, state.blocked = {kind.name: kind for kind in event.kinds}, ""
        self._declare_slots()
        stopping = {uid for uid in state.holds if uid in state.tasks and state.tasks[uid].stopping}
        going_on = {uid for uid in state.holds if self._goes_on(uid)}
        again = {uid for uid in going_on if self._leased(state.tasks[uid])}
        going_on -= again
        ran_on = {uid for uid in going_on if self._kind(state.tasks[uid]).adoptable}
        self.spending.kernel_started(state.tiers, ran_on)
        for uid, (attempt, _) in list(state.holds.items()):
            if uid in going_on:
                continue
            if uid in state.tasks:  # it may be forgotten already
                state.tasks[uid].stopping = False
            self._release(uid, attempt)
        self.controller.kernel_started(going_on, event.at)
        for task in list(state.tasks.values()):
            if task.uid in going_on:
                self._go_on(task)
                continue
            if task.uid in again:
                self._wait_again(task, event.at)
                continue
            if task.ended:
                if task.snapshot:
                    self._lose_snapshot(task, "the kernel died before its variables were copied")
                continue
            if task.uid in stopping and task.failure is None:  # a cooperative one: its cancel has come about
                self._end(task, S.CANCELLED, event.at, task.reason)
            elif task.state is S.RUNNING or task.before is S.RUNNING:
                task.needs_you = "rerun it or drop it"
                self._end(task, S.LOST, event.at, "the kernel died while it ran")
            elif task.snapshot:
                self._fail_snapshot(task, event.at, "the kernel died before its variables were copied")
        self._out += [e.Deliver(task.uid, task.attempt) for task in pending]
        self._out += self.conversation.kernel_started(event.at)

    def survivors(self) -> list[Process]:
        """The processes of a kernel that is gone which the next one takes over."""
        tasks = [self.state.tasks[uid] for uid in self.state.holds if self._goes_on(uid)]
        return [task.process for task in tasks if task.process is not None and self._kind(task).adoptable]

    def _goes_on(self, uid: str) -> bool:
        task = self.state.tasks.get(uid)
        if task is None or task.stopping or S.RUNNING not in (task.state, task.before):
            return False
        kind = self._kind(task)
        return kind.resumable or (outlives(kind, task.spec) and task.process is not None)

    def _leased(self, task: Task) -> bool:
        """Whether its leases died with the kernel: what is shared with the machine, and what was kept for it."""
        return bool(task.spec.needs) and not self._kind(task).adoptable

    def _wait_again(self, task: Task, now: float) -> None:
        """It goes on with the same attempt, once it has its leases again."""
        self._ask(task, [ask for ask in task.asks if ask.proposal])
        task.counted, task.process, task.gave, task.yielded = True, None, (), False
        if task.state is S.PAUSED:
            task.before = S.QUEUED
            return
        self._move(task, S.QUEUED, now, "its leases went with the kernel")
        self._enqueue(task)

    def _go_on(self, task: Task) -> None:
        """Its worker goes on from its last step or with its process, and asks again what it had asked."""
        self._ask(task, [ask for ask in task.asks if ask.proposal])
        self._out.append(e.StartTask(task.uid, task.attempt))
        if task.state is S.RUNNING:
            self.spending.started(task, self._now)
            if self._kind(task).adoptable:  # the kernel may have died before it passed the last word on
                self._out.append(e.ResumeTask(task.uid, task.attempt))
        if task.state is S.PAUSED:
            self._out.append(e.PauseTask(task.uid, task.attempt))
            if task.gave and task.yielded:
                self.controller.regain(task)

    def _on_kind_declared(self, event: e.KindDeclared) -> None:
        self.state.kinds[event.kind.name] = event.kind
        self._declare_slots()

    def _on_tiers_declared(self, event: e.TiersDeclared) -> None:
        self.state.tiers = dict(event.tiers)
        self._declare_slots()

    def _on_admission_declared(self, event: e.AdmissionDeclared) -> None:
        self.state.max_unfinished = event.max_unfinished

    def _on_journal_blocked(self, event: e.JournalBlocked) -> None:
        self.state.blocked = event.reason
        self._show_unended()

    def _on_journal_freed(self, event: e.JournalFreed) -> None:
        self.state.blocked = ""
        self._show_unended()

    def _on_time_passed(self, event: e.TimePassed) -> None:
        self.controller.tick(event.at)
        for late, why in self.spending.out_of_time(event.at):
            self._stop_for(late, Failure("budget", "OverBudget", why), event.at)
        while self._due and self._due[0][0] <= event.at:
            _, uid = heappop(self._due)
            task = self.state.tasks.get(uid)
            if task is None:
                continue
            if (at := self.state.later.get(uid)) is not None and at <= event.at:
                del self.state.later[uid]
                task.needs_you = ""
                if task.state is S.QUEUED:
                    self._enqueue(task)
                    self._show(task)
            elif (
                task.state is S.RUNNING
                and task.deadline is not None
                and task.deadline <= event.at
                and not task.stopping
            ):
                self._time_out(task, event.at)

    # dispatch

    def _on_tasks_dispatched(self, event: e.TasksDispatched) -> None:
        state = self.state
        self._refuse_too_many(len(event.tasks))
        if len({spec.uid for spec in event.tasks}) < len(event.tasks):
            raise Refusal("two tasks of one dispatch have the same uid")
        names, stems = naming.choose_names(event.tasks, self.find, state.stems)
        afters = naming.resolve(event.tasks, names, self.find, state.names)
        for spec in event.tasks:
            if spec.worker not in state.kinds:
                raise Refusal(f"unknown worker {spec.worker!r}; there are: {', '.join(state.kinds)}")
            if spec.tier and spec.tier not in state.tiers:
                raise Refusal(f"unknown tier {spec.tier!r}; there are: {', '.join(state.tiers) or 'none yet'}")
            if spec.uid in state.tasks:
                raise Refusal(f"a task with the uid {spec.uid} exists")
            if self._depth(spec) > DEPTH:
                raise Refusal(f"tasks may dispatch tasks {DEPTH} deep at most")
            if spec.needs and (why := self.controller.impossible(spec.needs)):
                raise Refusal(why)
        if why := self.spending.refusal(event.tasks):
            raise Refusal(why)
        proposed = bool(event.turn) and self.conversation.admit(event)
        for spec, name in zip(event.tasks, names, strict=True):
            self._retire_name(name, event.at)
            task = Task(
                spec, name, S.WAITING, event.at, after=afters[spec.uid], retries_left=spec.retries,
                snapshot=spec.snapshot, capture=spec.capture, order=state.dispatched, story=[Step(event.at, S.WAITING)],
                turn=len(state.talk.turns), proposed=proposed and not questions.is_harmless(spec),
            )  # fmt: skip
            if task.proposed:
                task.asks = [questions.may_start(spec, name)]
            state.dispatched += 1
            state.tasks[spec.uid], state.names[name] = task, spec.uid
            self._unended += 1
            self._cohorts.setdefault(spec.cohort, {})[spec.uid] = None
            self.spending.dispatched(task, state.kinds[spec.worker].agent)
            self.grants.admit(task)
            self._show(task)
        for spec in event.tasks:
            for _, uid in afters[spec.uid]:
                self._dependents.setdefault(uid, []).append(spec.uid)
            self._settle(state.tasks[spec.uid], event.at)
        state.stems.update(stems)
        waits = any(state.tasks[spec.uid].proposed for spec in event.tasks)
        self._out.append(e.Accepted(event.request, tuple(spec.uid for spec in event.tasks), tuple(names), waits))

    def _depth(self, spec: Spec) -> int:
        depth, parent = 0, self.state.tasks.get(spec.parent)
        while parent is not None and depth <= DEPTH:
            depth, parent = depth + 1, self.state.tasks.get(parent.spec.parent)
        return depth

    def _refuse_too_many(self, more: int) -> None:
        limit = self.state.max_unfinished
        if self._unended + more > limit:
            raise Refusal(
                f"{self._unended} tasks have not ended yet and the limit is {limit}: wait for some, cancel some, "
                "or raise it with %config Orchestra.max_unfinished"
            )

    def _retire_name(self, name: str, now: float) -> None:
        """An older task of that name becomes NAME@k; a live one (``--replace``) is cancelled first."""
        older = self.find(name)
        if older is None or older.name != name:
            return
        if not older.ended:
            self._cancel(older, now, "replaced by a new task of that name")
        count = self.state.older.get(name, 0) + 1
        self.state.older[name] = count
        older.name = f"{name}@{count}"
        self.state.names[older.name] = older.uid
        self._show(older)

    def _on_snapshot_taken(self, event: e.SnapshotTaken) -> None:
        task = self.state.tasks.get(event.uid)
        if task is None or not task.snapshot:
            return
        task.snapshot, task.capture = False, event.capture
        self._settle(task, event.at)

    def _on_snapshot_failed(self, event: e.SnapshotFailed) -> None:
        task = self.state.tasks.get(event.uid)
        if task is not None and task.snapshot and task.ended:
            self._lose_snapshot(task, event.message)
        elif task is not None and task.snapshot:
            self._fail_snapshot(task, event.at, event.message)

    @staticmethod
    def _lose_snapshot(task: Task, message: str) -> None:
        """Its variables will never come: whether it was cancelled meanwhile or not, it can't be run again."""
        task.snapshot = False
        task.failure = Failure("snapshot", "SnapshotFailed", message)

    def _fail_snapshot(self, task: Task, now: float, message: str) -> None:
        self._lose_snapshot(task, message)
        if task.state is S.PAUSED:
            self._move(task, S.WAITING, now)
        self._end(task, S.FAILED, now, message)

    # what is asked of tasks

    def _on_cancel_asked(self, event: e.CancelAsked) -> None:
        tasks = self._targets(event.targets, event.all)
        if self._proposes(event, [task for task in tasks if not task.ended], "cancel"):
            return
        # The last ones first: what the person cancels must not end for the sake of another, and come back with it.
        for task in sorted(tasks, key=lambda task: -task.order):
            if not task.ended:
                self._cancel(task, event.at, event.reason)
            elif task.state is S.LOST:
                task.needs_you = ""
                self._show(task)
        self._accept(event.request, tasks)

    def _on_pause_asked(self, event: e.PauseAsked) -> None:
        tasks = [task for task in self._targets(event.targets, event.all) if not (event.all and task.state is S.PAUSED)]
        if event.all:
            tasks = [task for task in tasks if task.state is not S.RUNNING or self._kind(task).pausable]
            tasks = [task for task in tasks if not task.stopping]
        for task in tasks:
            if task.ended:
                raise Refusal(f"task {task.name!r} is {task.state}: only a task that has not ended can be paused")
            if task.state is S.PAUSED and not task.yielded:
                raise Refusal(f"task {task.name!r} is paused already: %resume {task.name} lets it go on")
            if task.stopping:
                raise Refusal(f"task {task.name!r} is being stopped already")
            if task.state is S.RUNNING and not self._kind(task).pausable:
                raise Refusal(
                    f"task {task.name!r} can't be paused while it runs: {task.spec.worker} tasks have no pause"
                )
        if self._proposes(event, tasks, "pause"):
            return
        for task in tasks:
            if task.yielded:
                task.yielded, task.reason = False, PAUSED
                self.controller.leave(task)
                self._show(task)
            else:
                self._pause(task, event.at, PAUSED)
        self._accept(event.request, tasks)

    def _on_resume_asked(self, event: e.ResumeAsked) -> None:
        tasks = [task for task in self._targets(event.targets, event.all) if not event.all or task.state is S.PAUSED]
        for task in tasks:
            if task.state is not S.PAUSED:
                raise Refusal(f"task {task.name!r} is {task.state}, not paused")
        if self._proposes(event, tasks, "resume"):
            return
        for task in tasks:
            if task.gave:
                self._want_back(task)
            else:
                self._resume(task, event.at)
        self._accept(event.request, tasks)

    def _on_retry_asked(self, event: e.RetryAsked) -> None:
        tasks = self._targets(event.targets)
        again = {task.uid for task in tasks}
        for task in tasks:
            if task.state not in RETRYABLE:
                hint = "it has not ended" if not task.ended else "it succeeded: dispatch it again instead"
                raise Refusal(f"task {task.name!r} is {task.state}: {hint}")
            if _without_variables(task):
                raise Refusal(f"task {task.name!r} never got its variables: dispatch it again")
            if gone := [label for label, uid in task.after if uid not in self.state.tasks]:
                raise Refusal(f"task {gone[0]!r}, which {task.name!r} comes after, was forgotten: dispatch it again")
            if verdict := self._verdict(task, again):
                raise Refusal(f"task {task.name!r} can't begin, since {verdict}: retry that one too")
        revived = list(self._revivable(tasks))
        self._refuse_too_many(len(tasks) + len(revived))
        for task in tasks:
            task.proposed = False  # who runs it again approves of it
        for task in (*tasks, *revived):
            self._again(task, event.at, "retry")
        for task in (*tasks, *revived):
            self._settle(task, event.at)
        self._accept(event.request, [*tasks, *revived])

    def _revivable(self, tasks: list[Task]) -> Iterator[Task]:
        """Tasks that were cancelled only because one of these did not succeed, and those after them."""
        seen = {task.uid for task in tasks}
        todo = list(tasks)
        while todo:
            source = todo.pop()
            for uid in self._dependents.get(source.uid, ()):
                task = self.state.tasks.get(uid)
                if task is None or uid in seen or task.state is not S.CANCELLED or task.because != source.uid:
                    continue
                gone = any(before not in self.state.tasks for _, before in task.after)
                if not gone and not _without_variables(task):
                    seen.add(uid)
                    todo.append(task)
                    yield task

    def _on_forget_asked(self, event: e.ForgetAsked) -> None:
        if event.ended:
            tasks = [task for task in self.state.tasks.values() if self._forgettable(task)]
        else:
            tasks = self._targets(event.targets)
        for task in tasks:
            if not task.ended:
                raise Refusal(f"task {task.name!r} is still {task.state}: cancel it first (%cancel {task.name})")
            for uid in self._dependents.get(task.uid, ()):
                other = self.state.tasks.get(uid)
                if other is not None and not other.ended:
                    raise Refusal(
                        f"task {other.name!r} comes after {task.name!r} and has not ended: wait, or cancel it"
                    )
        for task in tasks:
            self._forget(task)
        self._accept(event.request, tasks)

    def _forgettable(self, task: Task) -> bool:
        dependents = (self.state.tasks.get(uid) for uid in self._dependents.get(task.uid, ()))
        return (
            task.ended
            and task.uid not in self.state.holds
            and task.state is not S.LOST
            and task.stage is not Stage.QUEUED
            and not self.conversation.awaits(task.uid)
            and all(other is None or other.ended for other in dependents)
        )

    def _forget(self, task: Task) -> None:
        for _, uid in task.after:
            if uid in self._dependents:
                self._dependents[uid] = [other for other in self._dependents[uid] if other != task.uid]
        self._dependents.pop(task.uid, None)
        mates = self._cohorts[task.spec.cohort]
        del mates[task.uid], self.state.tasks[task.uid]
        if not mates:
            del self._cohorts[task.spec.cohort]
        self.conversation.forget(task.uid)
        self.spending.forget(task.uid)
        if self.state.names.get(task.name) == task.uid:
            del self.state.names[task.name]
        self._out.append(e.DropTask(task.uid))

    def _on_steer_asked(self, event: e.SteerAsked) -> None:
        (task,) = self._targets((event.target,))
        if not self._kind(task).steerable:
            raise Refusal(f"task {task.name!r} takes no messages: {task.spec.worker} tasks can't be steered")
        if task.state is not S.RUNNING:
            raise Refusal(f"task {task.name!r} is {task.state}: only a running task can be steered")
        if self._proposes(event, [task], "tell"):
            return
        task.intervened = task.intervened or not event.turn
        self._out.append(e.SteerTask(task.uid, task.attempt, event.text))
        self._accept(event.request, [task])

    # questions to the person

    def _proposes(self, event: questions.Wanted, tasks: list[Task], verb: str) -> bool:
        """Whether this is the wish of a turn that a result has entered: then the person is asked about each task."""
        if not event.turn or not self.conversation.dispatcher(event.turn).tainted:
            return False
        asks = [(task, questions.may_act(event, task, verb)) for task in tasks]
        if asks and all(self.grants.lets_master(task.uid, ask.digest, event.at) for task, ask in asks):
            return False
        for task, ask in asks:
            if all(other.digest != ask.digest for other in task.asks):
                self._ask(task, [*task.asks, ask])
        self._accept(event.request, tasks, proposed=bool(tasks))
        return True

    def _on_approval_needed(self, event: e.ApprovalNeeded) -> None:
        task = self._current(event)
        if task is None or task.stopping:
            return
        ask = questions.bound(event.ask)
        if self.grants.is_answered(task.uid, ask, event.at):
            self._out.append(e.AnswerTask(task.uid, task.attempt, ask.id, True))
        elif why := self.grants.refusal(task.uid, ask, event.at):
            self._out.append(e.AnswerTask(task.uid, task.attempt, ask.id, False, f"it {why}"))
        else:
            self._ask(task, [*task.asks, ask])

    def _on_approve_asked(self, event: e.ApproveAsked) -> None:
        task, ask = self._question(event)
        if ask.order:
            self._take(questions.order_of(ask, event.at))
            self._out = [wish for wish in self._out if not isinstance(wish, e.Accepted)]
            if event.always:
                self.grants.let_master(task.uid, ask.digest, event.at)
        elif ask.proposal:
            task.proposed = False
        elif why := self.grants.refusal(task.uid, ask, event.at):
            raise Refusal(f"task {task.name!r} {why} any more: say no (%decline {task.name})")
        else:
            self.grants.approve(task.uid, ask, event.always, event.at)
            self._out.append(e.AnswerTask(task.uid, task.attempt, ask.id, True))
        self._ask(task, [other for other in task.asks if other.id != ask.id])
        self._settle(task, event.at)
        self._accept(event.request, [task])

    def _on_decline_asked(self, event: e.DeclineAsked) -> None:
        task, ask = self._question(event)
        self._ask(task, [other for other in task.asks if other.id != ask.id])
        if not ask.proposal:
            self._out.append(e.AnswerTask(task.uid, task.attempt, ask.id, False, event.why))
        elif not ask.order:
            self._cancel(task, event.at, "declined by you" + (f": {event.why}" if event.why else ""))
        self._accept(event.request, [task])

    def _on_revoke_asked(self, event: e.RevokeAsked) -> None:
        tasks = self._targets(event.targets)
        for task in tasks:
            if task.ended:
                raise Refusal(f"task {task.name!r} is {task.state}: it may do nothing any more")
        for task in tasks:
            self.grants.revoke(task.uid, event.capabilities)
            self._show(task)
        self._accept(event.request, tasks)

    def _question(self, event: e.ApproveAsked | e.DeclineAsked) -> tuple[Task, Ask]:
        (task,) = self._targets((event.target,))
        return task, questions.find(task, event.digest)

    def _ask(self, task: Task, asks: list[Ask]) -> None:
        task.asks = asks
        self._show(task)

    # what workers report

    def _on_worker_started(self, event: e.WorkerStarted) -> None:
        if task := self._current(event):
            task.process = event.process

    def _on_task_unsandboxed(self, event: e.TaskUnsandboxed) -> None:
        if task := self._current(event):
            task.unsandboxed = event.why
            self._show(task)

    def _on_step_taken(self, event: e.StepTaken) -> None:
        if task := self._current(event):
            task.steps.append(event.items)

    def _on_task_progressed(self, event: e.TaskProgressed) -> None:
        if task := self._current(event):
            if event.fraction is not None:
                task.progress = event.fraction
            task.line = event.line or task.line
            self._show(task)

    def _on_task_finished(self, event: e.TaskFinished) -> None:
        self._release(event.uid, event.attempt)
        task = self._current(event)
        if task is None:
            self._keep_late(event)
            return
        task.result = event.result
        if task.stopping:  # asked to stop, and yet it came to its end: the stop stays
            self._end_stopped(task, event.at)
        else:
            task.progress = 1.0
            self._end(task, S.DONE, event.at, "")

    def _on_task_failed(self, event: e.TaskFailed) -> None:
        self._release(event.uid, event.attempt)
        task = self._current(event)
        if task is None:
            self._keep_late(event)
            return
        task.result = event.result
        if task.stopping:
            self._end_stopped(task, event.at)
        else:
            self._fail(task, event.failure, event.at)

    def _on_task_blocked(self, event: e.TaskBlocked) -> None:
        if (task := self._left_off(event)) is None:
            return
        if task.state is S.PAUSED and not task.yielded:
            task.before, task.gave = S.QUEUED, ()  # the next attempt begins with all that it needs
            self._show(task)
            return
        self._hold_no_more(task, event.at)
        self._move(task, S.QUEUED, event.at, event.reason)
        task.needs_you = event.reason
        self.state.later[task.uid] = event.at + BLOCKED_RETRY
        heappush(self._due, (event.at + BLOCKED_RETRY, task.uid))

    def _on_task_lost(self, event: e.TaskLost) -> None:
        if (task := self._left_off(event)) is not None:
            task.needs_you = "rerun it or drop it"
            self._end(task, S.LOST, event.at, event.reason)

    def _left_off(self, event: e.Reported) -> Task | None:
        """An attempt is over without an outcome: its task, unless that was to stop anyway."""
        self._release(event.uid, event.attempt)
        task = self._current(event)
        if task is not None and task.stopping:
            self._end_stopped(task, event.at)
            return None
        return task

    def _on_task_held(self, event: e.TaskHeld) -> None:
        task = self._current(event)
        if task is None or task.state is not S.PAUSED:
            return
        self.controller.give_up(task)
        if task.yielded and not task.gave:  # there was nothing to give
            self._resume(task, event.at)
        elif task.yielded:
            self._want_back(task)

    def _take_from(self, task: Task, now: float, why: str) -> None:
        """Another task needs what this one has: it is held until it has that back."""
        self._pause(task, now, why)
        task.yielded = True

    def _want_back(self, task: Task) -> None:
        task.yielded = True
        self.controller.regain(task)
        self._show(task)

    def _on_lease_expired(self, task: Task, now: float, why: str) -> None:
        """It no longer has what it works with: it is ended before anyone else gets that."""
        if not task.ended and not task.stopping:
            failure = Failure("killed", "LeaseExpired", f"its leases were taken from it: {why}")
            self._stop_for(task, failure, now)

    def _on_task_stopped(self, event: e.TaskStopped) -> None:
        self._release(event.uid, event.attempt)
        task = self._current(event)
        if task is None:
            stopped = self.state.tasks.get(event.uid)
            if stopped is not None and stopped.attempt == event.attempt:
                stopped.stopping = False
                self._show(stopped)
        elif task.stopping:
            self._end_stopped(task, event.at)
        else:
            self._fail(task, Failure("killed", "Stopped", "its worker ended without a result"), event.at)

    def _on_result_shown(self, event: e.ResultShown) -> None:
        task = self.state.tasks.get(event.uid)
        if task is not None and task.attempt == event.attempt and task.stage is Stage.QUEUED:
            task.stage = Stage.SHOWN
            self._show(task)
        elif task is None:
            self._out += self.conversation.shown(event.uid, event.attempt)

    def _keep_late(self, event: e.TaskFinished | e.TaskFailed) -> None:
        """A result that comes after a cancel is kept with the task and never delivered."""
        task = self.state.tasks.get(event.uid)
        if task is not None and task.attempt == event.attempt and task.state is S.CANCELLED and task.result is None:
            task.result = event.result

    # moves

    def _move(self, task: Task, to: State, now: float, reason: str = "") -> None:
        if (task.state, to) not in TRANSITIONS:
            raise IllegalTransition(task, to)
        task.state, task.reason = to, reason
        self._tell(task, Step(now, to, reason))

    def _tell(self, task: Task, step: Step) -> None:
        task.story.append(step)
        if len(task.story) > STORY_LIMIT:
            del task.story[1]
        self._show(task)

    def _note_lack(self, task: Task, now: float, needs: tuple[Need, ...]) -> None:
        """What it waits for besides slots, in the queue or while it runs, is a part of its story."""
        last = task.story[-1]
        if task.state not in (S.QUEUED, S.RUNNING) or bool(needs) is last.leases:
            return
        if not needs:
            self._tell(task, Step(now, task.state, "waits for a slot" if task.state is S.QUEUED else "goes on"))
            return
        if last.at == now and not last.reason:
            task.story.pop()
        self._tell(task, Step(now, task.state, f"waits for {spell_all(needs)}", leases=True))

    def _end(self, task: Task, to: State, now: float, reason: str, because: str = "") -> None:
        """End a task and, in a loop rather than by recursion, whatever its end cancels."""
        todo = [(task, to, reason, because)]
        while todo:
            current, state, why, source = todo.pop()
            if current.ended:
                continue
            self.controller.leave(current)
            self.grants.end(current.uid)
            self.state.later.pop(current.uid, None)
            self._move(current, state, now, why)
            self._count_pause(current, now)
            current.ended_at, current.before, current.because = now, None, source
            current.deadline = current.remaining = None
            if state is not S.LOST:
                current.needs_you = ""
            current.asks = []
            current.stopping = current.stopping and current.uid in self.state.holds
            self._unended -= 1
            self._deliver(current)
            for uid in self._dependents.get(current.uid, ()):
                dependent = self.state.tasks.get(uid)
                if dependent is None or dependent.state not in (S.WAITING, S.PAUSED):
                    continue
                if dependent.state is S.PAUSED and dependent.before is not S.WAITING:
                    continue
                if verdict := self._verdict(dependent):
                    todo.append((dependent, S.CANCELLED, verdict, self._culprit(dependent)))
                elif dependent.state is S.WAITING:
                    self._settle(dependent, now)

    def _deliver(self, task: Task) -> None:
        """What the person did not end themselves comes back to them."""
        wanted = task.state in (S.DONE, S.FAILED) or (bool(task.because) and task.spec.when is When.SUCCESS)
        if wanted:
            task.stage, task.number = Stage.QUEUED, self._next_number()
            self._out.append(e.Deliver(task.uid, task.attempt))
            self.conversation.arrived(task, task.ended_at or 0.0)

    def _next_number(self) -> int:
        self.state.delivered += 1
        return self.state.delivered

    def _settle(self, task: Task, now: float) -> None:
        """A waiting task goes on to the queue, or is cancelled, once what it waits for has ended."""
        if task.state is not S.WAITING:
            return
        before = [self.state.tasks[uid] for _, uid in task.after]
        if verdict := self._verdict(task):
            self._end(task, S.CANCELLED, now, verdict, self._culprit(task))
        elif not task.snapshot and not task.proposed and all(other.ended for other in before):
            self._move(task, S.QUEUED, now)
            task.queued_at = now
            self._enqueue(task)

    def _verdict(self, task: Task, again: Collection[str] = ()) -> str:
        """Why a task can never begin; empty while it still can. Those in `again` are about to be run again."""
        before = [(label, self.state.tasks[uid]) for label, uid in task.after]
        over = [(label, other) for label, other in before if other.ended and other.uid not in again]
        if task.spec.when is When.SUCCESS:
            return next((f"{label} {_ended_how(other)}" for label, other in over if other.state is not S.DONE), "")
        if task.spec.when is When.FAILURE and before and len(over) == len(before):
            if all(other.state is S.DONE for _, other in over):
                return "nothing before it failed"
            if not any(other.state in (S.FAILED, S.LOST) for _, other in over):
                return "what comes before it was cancelled, not failed"
        return ""

    def _culprit(self, task: Task) -> str:
        """The task whose end is the reason of a verdict; when it is run again, so is `task`."""
        before = [self.state.tasks[uid] for _, uid in task.after]
        wrong = [other for other in before if other.ended and other.state is not S.DONE] or before
        return wrong[0].uid

    def _enqueue(self, task: Task) -> None:
        if task.uid not in self.state.holds:  # else its older attempt is still being stopped: see _release
            self.controller.enqueue(task)

    def _start(self, now: float) -> None:
        self.controller.grant(now)
        self._out += self.controller.take()

    def _begin(self, task: Task, now: float) -> None:
        """It has its slots and leases."""
        task.attempt += not task.counted
        task.counted, task.held, task.preempted = False, 0.0, 0
        task.started_at, task.ended_at, task.progress, task.line = now, None, None, ""
        task.process, task.unsandboxed, task.gave, task.yielded = None, "", (), False
        self.state.holds[task.uid] = (task.attempt, _pools(task))
        self._move(task, S.RUNNING, now)
        if task.spec.timeout is not None:
            self._arm(task, now + task.spec.timeout)
        self.spending.started(task, now)
        self._out.append(e.StartTask(task.uid, task.attempt))

    def _arm(self, task: Task, deadline: float) -> None:
        task.deadline = deadline
        heappush(self._due, (deadline, task.uid))

    def _time_out(self, task: Task, now: float) -> None:
        self._stop_for(task, Failure("timeout", "TimedOut", f"it ran longer than its {task.spec.timeout:g} s"), now)

    def _stop_for(self, task: Task, failure: Failure, now: float) -> None:
        """It must not run on, for that reason."""
        task.stopping = True
        self._out.append(e.StopTask(task.uid, task.attempt))
        if self._kind(task).cooperative:
            task.failure = failure
            self._show(task)
        else:
            self._fail(task, failure, now)

    def _fail(self, task: Task, failure: Failure, now: float) -> None:
        """An attempt failed: the next one, if the person asked for retries, or the end."""
        task.failure = failure
        if not task.retries_left:
            self._end(task, S.FAILED, now, failure.line())
            return
        task.retries_left -= 1
        self.grants.renew(task.uid)
        if task.state is S.PAUSED and not task.yielded:  # the person paused it: held before the next attempt
            task.before = S.QUEUED
            self._clear(task)
            task.queued_at = now
            self._show(task)
            return
        self._hold_no_more(task, now)
        self._move(task, S.QUEUED, now, f"{failure.line()}; tried again")
        self._clear(task)
        task.queued_at = now
        self._enqueue(task)

    def _end_stopped(self, task: Task, now: float) -> None:
        """A stop took effect: it was a cancel, or there was a reason why it must not run on."""
        if task.failure is not None:
            task.stopping = False
            self._fail(task, task.failure, now)
        else:
            self._end(task, S.CANCELLED, now, task.reason)

    def _cancel(self, task: Task, now: float, reason: str) -> None:
        runs = task.state is S.RUNNING or task.before is S.RUNNING
        cooperative = self._kind(task).cooperative
        if runs and (not task.stopping or cooperative):  # code may have swallowed the first one
            self._out.append(e.StopTask(task.uid, task.attempt))
            task.stopping = True
        if runs and cooperative:
            task.reason, task.failure = reason, None  # a cancel wins over a time-out that is not confirmed yet
            self._show(task)
            return
        self._end(task, S.CANCELLED, now, reason)

    def _pause(self, task: Task, now: float, reason: str) -> None:
        before = task.state
        if before is S.RUNNING:
            self.spending.rests(task, now)
            self._out.append(e.PauseTask(task.uid, task.attempt))
            if task.deadline is not None:
                task.remaining, task.deadline = max(0.0, task.deadline - now), None
        self.controller.leave(task)
        self.state.later.pop(task.uid, None)
        self._move(task, S.PAUSED, now, reason)
        task.before, task.paused_at = before, now

    @staticmethod
    def _count_pause(task: Task, now: float) -> None:
        if task.paused_at is not None:
            task.held += now - task.paused_at
            task.paused_at = None

    def _hold_no_more(self, task: Task, now: float) -> None:
        """Nothing keeps it from going on, and there is nothing that it needs back for that."""
        self._count_pause(task, now)
        task.before, task.gave, task.yielded = None, (), False

    def _resume(self, task: Task, now: float) -> None:
        before = task.before or S.QUEUED
        self._hold_no_more(task, now)
        self._move(task, before, now)
        if before is S.RUNNING:
            self.spending.started(task, now)
            self._out.append(e.ResumeTask(task.uid, task.attempt))
            self.controller.look_at(task, now)
            if task.remaining is not None:
                self._arm(task, now + task.remaining)
                task.remaining = None
        elif before is S.QUEUED:
            task.needs_you = ""
            self._enqueue(task)
        else:
            self._settle(task, now)

    def _again(self, task: Task, now: float, reason: str) -> None:
        """Back from an end to waiting, with a clean slate."""
        self._move(task, S.WAITING, now, reason)
        self._clear(task)
        self.grants.admit(task)
        task.retries_left = task.spec.retries
        task.attempt += 1
        task.counted = True
        self._unended += 1
        task.entered, task.discussed, task.intervened = 0, False, False
        if task.proposed:
            task.asks = [questions.may_start(task.spec, task.name)]
        if task.stage is Stage.QUEUED:
            task.stage = Stage.SUPERSEDED
        self.conversation.forget(task.uid)

    @staticmethod
    def _clear(task: Task) -> None:
        task.result = task.failure = task.process = None
        task.because = task.needs_you = task.line = ""
        task.stopping, task.steps, task.gave, task.yielded = False, [], (), False
        task.asks = [ask for ask in task.asks if ask.proposal]
        task.started_at = task.ended_at = task.progress = task.deadline = task.remaining = None

    # helpers

    def _release(self, uid: str, attempt: int) -> None:
        held = self.state.holds.get(uid)
        if held is None or held[0] != attempt:
            return
        del self.state.holds[uid]
        self.controller.release(uid, attempt)
        self.spending.ended(uid, attempt, self._now)
        task = self.state.tasks.get(uid)
        if task is not None and task.state is S.QUEUED:
            self._enqueue(task)
        elif task is not None and task.ended and task.stopping:
            task.stopping = False
            self._show(task)

    def _current(self, event: e.Reported) -> Task | None:
        """The task, if that attempt of it still runs; a report of an older one is stale."""
        task = self.state.tasks.get(event.uid)
        if task is None or task.attempt != event.attempt:
            return None
        return task if task.state is S.RUNNING or task.before is S.RUNNING else None

    def _targets(self, names: tuple[str, ...], everything: bool = False) -> list[Task]:
        if everything:
            return [task for task in self.state.tasks.values() if not task.ended]
        if not names:
            raise Refusal("which task? give a name, or --all")
        found = {}
        for name in names:
            task = self.find(name)
            if task is None:
                raise Refusal(naming.unknown(name, self.state.names))
            found[task.uid] = task
        return list(found.values())

    def _accept(self, request: str, tasks: Iterable[Task], proposed: bool = False) -> None:
        tasks = list(tasks)
        self._out.append(e.Accepted(request, tuple(t.uid for t in tasks), tuple(t.name for t in tasks), proposed))

    def _kind(self, task: Task) -> Kind:
        return self.state.kinds.get(task.spec.worker) or Kind(task.spec.worker, 0)

    def _is_agent(self, task: Task) -> bool:
        """Whether a model writes what comes of it; of a kind that is not there it is to be feared."""
        kind = self.state.kinds.get(task.spec.worker)
        return kind is None or kind.agent

    def _declare_slots(self) -> None:
        slots = {name: kind.slots for name, kind in self.state.kinds.items()}
        self.controller.declare_slots(slots | {f"tier:{name}": count for name, count in self.state.tiers.items()})

    def _restore_leases(self) -> None:
        """What a state of an earlier version says of slots becomes leases."""
        known = self.state.control.leases.leases
        for uid, (attempt, pools) in self.state.holds.items():
            id = f"{uid}#{attempt}"
            if not any(lease.id.partition("+")[0] == id for lease in known.values()):
                known[id] = Lease(id, uid, tuple(Need(f"slots:{pool}") for pool in pools))

    def _show(self, task: Task) -> None:
        task.version += 1
        if task.uid not in self._shown:
            self._shown.add(task.uid)
            self._out.append(e.ShowCard(task.uid))

    def _show_unended(self) -> None:
        for task in self.state.tasks.values():
            if not task.ended:
                self._show(task)

    def _rebuild(self) -> None:
        """Make the indexes anew from the state."""
        self._declare_slots()
        for task in self.state.tasks.values():
            self._unended += not task.ended
            self._cohorts.setdefault(task.spec.cohort, {})[task.uid] = None
            for _, uid in task.after:
                self._dependents.setdefault(uid, []).append(task.uid)
            if task.uid in self.state.later:
                heappush(self._due, (self.state.later[task.uid], task.uid))
            elif task.state is S.QUEUED and next_lease(task) not in self.controller.leases:
                self._enqueue(task)
            if task.deadline is not None:
                heappush(self._due, (task.deadline, task.uid))


def _pools(task: Task) -> Pools:
    return tuple(need.resource.removeprefix("slots:") for need in needs_of(task) if is_slot(need))


def _without_variables(task: Task) -> bool:
    return task.capture is None and task.failure is not None and task.failure.kind == "snapshot"


def _ended_how(task: Task) -> str:
    return {S.FAILED: "failed", S.CANCELLED: "was cancelled", S.LOST: "was lost"}.get(task.state, str(task.state))


_HANDLERS: dict[type[e.Event], Callable[..., None]] = {
    e.KernelStarted: Machine._on_kernel_started,
    e.KindDeclared: Machine._on_kind_declared,
    e.TiersDeclared: Machine._on_tiers_declared,
    e.AdmissionDeclared: Machine._on_admission_declared,
    e.TasksDispatched: Machine._on_tasks_dispatched,
    e.SnapshotTaken: Machine._on_snapshot_taken,
    e.SnapshotFailed: Machine._on_snapshot_failed,
    e.CancelAsked: Machine._on_cancel_asked,
    e.PauseAsked: Machine._on_pause_asked,
    e.ResumeAsked: Machine._on_resume_asked,
    e.RetryAsked: Machine._on_retry_asked,
    e.ForgetAsked: Machine._on_forget_asked,
    e.SteerAsked: Machine._on_steer_asked,
    e.ApproveAsked: Machine._on_approve_asked,
    e.DeclineAsked: Machine._on_decline_asked,
    e.RevokeAsked: Machine._on_revoke_asked,
    e.ApprovalNeeded: Machine._on_approval_needed,
    e.StepTaken: Machine._on_step_taken,
    e.WorkerStarted: Machine._on_worker_started,
    e.TaskUnsandboxed: Machine._on_task_unsandboxed,
    e.TaskProgressed: Machine._on_task_progressed,
    e.TaskFinished: Machine._on_task_finished,
    e.TaskFailed: Machine._on_task_failed,
    e.TaskBlocked: Machine._on_task_blocked,
    e.TaskStopped: Machine._on_task_stopped,
    e.TaskLost: Machine._on_task_lost,
    e.TaskHeld: Machine._on_task_held,
    e.ResultShown: Machine._on_result_shown,
    e.TimePassed: Machine._on_time_passed,
    e.JournalBlocked: Machine._on_journal_blocked,
    e.JournalFreed: Machine._on_journal_freed,
}
