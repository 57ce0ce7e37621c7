"""What others see of a task: one frozen picture of it for cards, handles and tables, and its explanation in a line."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from .machine import Machine
from .model import Anchor, Ask, Capture, Delivery, Failure, Kind, Origin, Result, Stage, State, Step, Task
from .naming import cell_id

S = State
WAITS = 20  # of one task that others are told of


class Wait(NamedTuple):
    """A time of waiting in POSIX seconds; no end: it goes on."""

    since: float
    until: float | None


class TaskView(msgspec.Struct, frozen=True):
    """A task at one moment. Times are POSIX seconds; ``progress`` is from 0 to 1, ``held`` counts paused seconds."""

    uid: str
    name: str
    worker: str
    brief: str
    state: State
    origin: Origin
    deliver: Delivery
    attempt: int
    version: int
    order: int
    dispatched_at: float
    started_at: float | None
    ended_at: float | None
    after: tuple[str, ...]
    returns: tuple[str, ...]
    cohort: str
    anchor: Anchor | None
    capture: Capture | None
    paused_at: float | None
    held: float
    progress: float | None
    line: str
    reason: str
    needs_you: str
    stopping: bool
    snapshot: bool
    because: str
    stage: Stage | None
    result: Result | None
    failure: Failure | None
    story: tuple[Step, ...]
    after_uids: tuple[str, ...] = ()
    queued_at: float | None = None
    role: str = ""
    tier: str = ""
    number: int = 0  # of its result cell
    agent: bool = True  # a model writes what comes of it: never trusted
    pausable: bool = False  # at present
    steerable: bool = False
    terminal: bool = False  # it runs in one, into which the person may type
    model: str = ""
    ask: Ask | None = None  # what the person is to answer first
    asks: int = 0  # how many questions there are
    turn: int = 0  # the master's turn at dispatch, 0 before the first
    entered: int = 0  # the turn in whose context its result is, 0 for none
    intervened: bool = False  # the person talked to its worker
    base: str = ""  # commit of the project at dispatch
    unsandboxed: str = ""  # why nothing confines what a model wrote and it runs; empty where it is none's, or confined

    @property
    def result_cell(self) -> str:
        """The id of the cell that holds its result, or will; empty when none is due."""
        if self.stage in (None, Stage.SUPERSEDED):
            return ""
        return cell_id(self.name, self.number)

    @property
    def trusted(self) -> bool:
        """Whether its outputs are trusted like a run of what the person wrote."""
        return self.origin is Origin.PERSON and not self.agent

    @property
    def ended(self) -> bool:
        """Whether the task has come to an end."""
        return self.state in (S.DONE, S.FAILED, S.CANCELLED, S.LOST)

    @property
    def lacks(self) -> str:
        """What it waits for besides slots, such as "waits for press"; empty when it lacks nothing else."""
        return self.story[-1].reason if self.story and self.story[-1].leases else ""

    @property
    def waits(self) -> tuple[Wait, ...]:
        """When the present attempt waited for leases, from the queue on; the last ones of many."""
        found: list[Wait] = []
        for number, step in enumerate(self.story):
            if not step.leases or step.at < (self.queued_at or 0.0):
                continue
            since = found.pop().since if found and found[-1].until == step.at else step.at
            found.append(Wait(since, self.story[number + 1].at if number + 1 < len(self.story) else None))
        return tuple(found[-WAITS:])

    def seconds(self, now: float) -> float:
        """Run time of the present attempt by `now` or by its end, in seconds; 0 before it starts."""
        if self.started_at is None:
            return 0.0
        until = next(at for at in (self.ended_at, self.paused_at, now) if at is not None)
        return max(0.0, until - self.started_at - self.held)


def view(task: Task, blocked: str = "", kind: Kind | None = None) -> TaskView:
    """The picture of a task; `blocked` says why nothing new starts at present. An unknown kind is not trusted."""
    spec = task.spec
    needs_you = task.needs_you
    if needs_you and task.state is S.LOST:
        needs_you = f"rerun it (%orchestra retry {task.name}) or drop it (%orchestra forget {task.name})"
    if blocked and task.state in (S.WAITING, S.QUEUED):
        needs_you = needs_you or blocked
    if task.asks:
        needs_you = f"approve or decline: {task.asks[0].action}"
    return TaskView(
        uid=spec.uid,
        name=task.name,
        worker=spec.worker,
        brief=spec.brief,
        state=task.state,
        origin=spec.origin,
        deliver=spec.deliver,
        attempt=task.attempt,
        version=task.version,
        order=task.order,
        dispatched_at=task.dispatched_at,
        started_at=task.started_at,
        ended_at=task.ended_at,
        after=tuple(label for label, _ in task.after),
        returns=spec.returns,
        cohort=spec.cohort,
        anchor=spec.anchor,
        capture=task.capture,
        paused_at=task.paused_at,
        held=task.held,
        progress=task.progress,
        line=task.line,
        reason=task.reason,
        needs_you=needs_you,
        stopping=task.stopping,
        snapshot=task.snapshot,
        because=task.because,
        stage=_stage(task),
        result=task.result,
        failure=task.failure,
        story=tuple(task.story),
        after_uids=tuple(uid for _, uid in task.after),
        queued_at=None if task.state is S.WAITING else task.queued_at or None,
        role=spec.role,
        tier=spec.tier,
        number=task.number,
        agent=kind is None or kind.agent,
        pausable=_is_pausable(task, kind),
        steerable=task.state is S.RUNNING and kind is not None and kind.steerable,
        terminal=kind is not None and kind.terminal and spec.terminal,
        model=spec.model,
        ask=task.asks[0] if task.asks else None,
        asks=len(task.asks),
        turn=task.turn,
        entered=task.entered,
        intervened=task.intervened,
        base=spec.base,
        unsandboxed=task.unsandboxed if S.RUNNING in (task.state, task.before) else "",
    )


def _stage(task: Task) -> Stage | None:
    """How far its result is: the person first, then the master."""
    if task.stage is not Stage.SHOWN or not task.entered:
        return task.stage
    return Stage.DISCUSSED if task.discussed else Stage.IN_CONTEXT


def _is_pausable(task: Task, kind: Kind | None) -> bool:
    """Whether a pause would be accepted now."""
    if task.ended or task.state is S.PAUSED or task.stopping:
        return False
    return task.state is not S.RUNNING or (kind is not None and kind.pausable)


def explain(machine: Machine, task: Task, now: float) -> str:
    """In one line, why a task is where it is, and what an agent that runs may do."""
    line, kind = _explain(machine, task, now), machine.state.kinds.get(task.spec.worker)
    if task.state is S.RUNNING and not task.stopping and kind is not None and kind.agent:
        return f"{line}; {machine.grants.describe(task.uid, now)}"
    return line


def _explain(machine: Machine, task: Task, now: float) -> str:
    state = machine.state
    head = f"{task.name} ({task.spec.worker}) "
    if state.blocked and task.state in (S.WAITING, S.QUEUED):
        return head + f"is held: {state.blocked}"
    if task.asks:
        return head + f"asks you ({task.state}): {view(task).needs_you}; %approve {task.name} or %decline {task.name}"
    if task.state is S.WAITING:
        if task.snapshot:
            return head + "waits for the cell above: its variables are copied when that has run"
        open_tasks = [label for label, uid in task.after if not state.tasks[uid].ended]
        return head + f"waits for {', '.join(open_tasks)}"
    if task.state is S.QUEUED:
        return head + _explain_queued(machine, task, now)
    if task.state is S.RUNNING:
        ran = now - (task.started_at or now)
        if task.stopping:
            return head + f"was asked to stop and has not ended yet; it has run for {ran:.1f} s"
        wants = machine.controller.explain_task(task, now)  # an agent takes what it needs while it works
        doing = f"it {wants}" if wants else task.line
        return head + f"has run for {ran:.1f} s (attempt {task.attempt})" + (f": {doing}" if doing else "")
    if task.state is S.PAUSED:
        if task.yielded:
            wants = machine.controller.explain_task(task, now)
            return head + f"{task.reason}; it goes on by itself" + (f": it {wants}" if wants else "")
        return head + f"is paused; it was {task.before}: %resume {task.name} lets it go on"
    ending = head + f"is {task.state}"
    if task.needs_you:
        return f"{ending}: {task.reason}; {view(task).needs_you}"
    return ending + (f": {task.reason}" if task.reason else "")


def _explain_queued(machine: Machine, task: Task, now: float) -> str:
    if task.uid in machine.state.later:
        if task.needs_you:
            return f"is blocked: {task.needs_you}; it is tried again by itself"
        return "waits until its attempt before has ended"
    waited = max(0.0, now - task.queued_at)
    if line := machine.controller.explain_task(task, now):
        return f"has waited {waited:.1f} s: it {line}"
    taken, slots = machine.free_slots(task.spec.worker)
    ahead = machine.ahead(task)
    slots_taken = f"{taken} of {slots} {task.spec.worker} slots are taken, {ahead} ahead"
    return f"has waited {waited:.1f} s for a slot: {slots_taken}"
