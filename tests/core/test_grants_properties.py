"""Whatever is approved, taken back, over, tried again or restarted: nobody may more than what is above, or was said."""

from __future__ import annotations

import os
from typing import NamedTuple

import msgspec
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.machine import Machine, MachineState
from jupyter_orchestra.core.model import Ask, Capability, Failure, Kind, Origin, Result, Spec, State, Task
from jupyter_orchestra.core.rights import Consent

SCHEDULES = int(os.environ.get("ORCHESTRA_SCHEDULES", "2000"))
STEPS = int(os.environ.get("ORCHESTRA_STEPS", "40"))
SHRINK = os.environ.get("ORCHESTRA_SHRINK", "1") == "1"

C = Capability
HOURS = 8 * 3600.0
KINDS = (Kind("agent", 9, steerable=True, agent=True, resumable=True), Kind("shell", 9))
FROM_THE_FIRST = {
    "explorer": {C.READ},
    "default": {C.READ},
    "worker": {C.READ, C.WRITE, C.RUN},
    "person": set(C),
    "master": {C.READ, C.WRITE, C.RUN},
    "task": {C.READ, C.WRITE, C.RUN},
}
picks = st.integers(0, 30)
wishes = st.sampled_from(({C.RUN, C.NETWORK}, {C.WRITE}, {C.RUN}, {C.NETWORK}, {C.READ, C.BROWSE}, set()))
roles = st.sampled_from(("default", "worker", "default", "explorer"))


class Yes(NamedTuple):
    """What the person said, and to which attempts it was said: that of who asked, and those above it."""

    capability: Capability
    digest: str
    ask: str | None
    at: float
    attempts: dict[str, int]

    def counts(self, task: Task, capability: Capability, consent: Consent, now: float) -> bool:
        same = (self.capability, self.digest) == (capability, consent.digest) and self.ask in (None, consent.ask)
        return same and self.attempts.get(task.uid) == task.attempt and now < self.at + HOURS


class Table(RuleBasedStateMachine):
    """A machine beside what the person really said."""

    @initialize(batch=st.lists(st.tuples(roles, picks, st.integers(0, 1)), min_size=2, max_size=4))
    def begin(self, batch: list[tuple[str, int, int]]) -> None:
        self.machine, self.now, self.epoch, self.ids = Machine(), 1_000.0, 0, 0
        self.log: list[e.Event] = []
        self.said: list[Yes] = []
        self.taken: dict[tuple[str, Capability], int] = {}  # what was taken back from which attempt
        self.forgotten: list[str] = []
        self.kernel()
        for role, parent, retries in batch:
            self.dispatch(role, False, Origin.PERSON, parent, retries)

    def tell(self, event: e.Event) -> list[e.Command]:
        self.log.append(event)
        return self.machine.handle(event)

    def task(self, number: int) -> Task:
        tasks = list(self.machine.tasks.values())
        return tasks[-1 - number % len(tasks)]  # the youngest ones first: they stand below others

    def line(self, uid: str) -> list[str]:
        above = self.machine.tasks[uid].spec.parent if uid in self.machine.tasks else ""
        return [uid, *(self.line(above) if above else [])]

    # what happens

    def dispatch(self, role: str, code: bool, origin: Origin, parent: int, retries: int) -> None:
        self.ids += 1
        above = self.task(parent).uid if self.machine.tasks and parent < 26 else ""
        worker, role = ("shell", "") if code and parent % 3 == 0 else ("agent", role)
        spec = Spec(
            f"t{self.ids}", f"t{self.ids}", worker, "", role=role, parent=above, retries=retries,
            origin=Origin.TASK if above else origin,
        )  # fmt: skip
        self.tell(e.TasksDispatched(self.now, "r", tasks=(spec,)))

    @precondition(lambda self: any(task.state is State.RUNNING for task in self.machine.tasks.values()))
    @rule(who=picks, digest=st.sampled_from("ab"), wanted=wishes, answer=picks)
    def ask(self, who: int, digest: str, wanted: set[Capability], answer: int) -> None:
        self.ids += 1
        running = [task for task in self.machine.tasks.values() if task.state is State.RUNNING]
        task = running[-1 - who % len(running)]
        question = Ask(f"q{self.ids}", "do", "it", digest, capabilities=tuple(sorted(wanted)))
        told = self.tell(e.ApprovalNeeded(self.now, task.uid, task.attempt, question))
        for told_so in (wish for wish in told if isinstance(wish, e.AnswerTask) and wish.approved):
            assert told_so.ask == question.id
            for one in wanted:
                fits = [yes for yes in self.said if yes.ask is None]
                assert any(yes.counts(task, one, Consent(digest), self.now) for yes in fits), "nobody said yes to that"
        if answer < 24:
            self.answer(answer, yes=answer % 6 != 0, always=answer % 2 == 0)

    @precondition(lambda self: any(task.asks for task in self.machine.tasks.values()))
    @rule(who=picks, yes=st.booleans(), always=st.booleans())
    def answer(self, who: int, yes: bool, always: bool) -> None:
        asking = [task for task in self.machine.tasks.values() if task.asks]
        if not asking:
            return
        task = asking[-1 - who % len(asking)]
        question = task.asks[0]
        if not yes:
            self.tell(e.DeclineAsked(self.now, "r", target=task.uid))
            return
        told = self.tell(e.ApproveAsked(self.now, "r", target=task.uid, always=always))
        if any(isinstance(wish, e.Refused) for wish in told):
            return
        tasks = self.machine.tasks
        attempts = {uid: tasks[uid].attempt for uid in self.line(task.uid) if uid in tasks}
        ask = None if always else question.id
        self.said += [Yes(one, question.digest, ask, self.now, dict(attempts)) for one in question.capabilities]
        for one in question.capabilities:
            assert self.allows(task.uid, one, Consent(question.digest, question.id)), "the yes has no effect"

    @precondition(lambda self: self.machine.tasks)
    @rule(who=picks, back=st.sets(st.sampled_from(list(C)), max_size=3))
    def take_back(self, who: int, back: set[Capability]) -> None:
        task = self.task(who)
        told = self.tell(e.RevokeAsked(self.now, "r", targets=(task.uid,), capabilities=tuple(sorted(back))))
        if any(isinstance(wish, e.Refused) for wish in told):
            assert task.ended
            return
        for yes in self.said:
            if not back or yes.capability in back:
                yes.attempts.pop(task.uid, None)
        self.taken |= {(task.uid, one): task.attempt for one in back}

    @precondition(lambda self: self.machine.tasks)
    @rule(
        who=picks,
        how=st.sampled_from(("finish", "fail", "fail", "cancel", "pause", "resume", "retry", "retry", "forget")),
    )
    def act(self, who: int, how: str) -> None:
        task, now = self.task(who), self.now
        uid, attempt, ended = task.uid, task.attempt, task.ended
        running = State.RUNNING in (task.state, task.before)
        match how:
            case "finish" if running:
                self.tell(e.TaskFinished(now, uid, attempt, Result()))
            case "fail" if running:
                self.tell(e.TaskFailed(now, uid, attempt, Failure("exception", "E", "m"), Result()))
                if not task.ended:  # tried again by itself: nothing of what was said counts for it, nothing comes back
                    self.forget_what_was_said_to(uid)
                    self.taken |= {key: task.attempt for key in self.taken if key[0] == uid}
            case "cancel":
                self.tell(e.CancelAsked(now, "r", targets=(uid,)))
                self.tell(e.TaskStopped(now, uid, attempt))
            case "pause":
                self.tell(e.PauseAsked(now, "r", targets=(uid,)))
            case "resume":
                self.tell(e.ResumeAsked(now, "r", targets=(uid,)))
            case "retry":
                self.tell(e.RetryAsked(now, "r", targets=(uid,)))
                if ended and not task.ended:
                    self.forget_what_was_said_to(uid)
                    self.taken = {key: number for key, number in self.taken.items() if key[0] != uid}
            case "forget":
                self.tell(e.ForgetAsked(now, "r", targets=(uid,)))
                if uid not in self.machine.tasks:
                    self.forgotten.append(uid)

    def forget_what_was_said_to(self, uid: str) -> None:
        for yes in self.said:
            yes.attempts.pop(uid, None)

    @rule(seconds=st.sampled_from((HOURS / 2, HOURS - 1, HOURS, 60.0)))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.tell(e.TimePassed(self.now))

    @rule(role=roles, code=st.booleans(), origin=st.sampled_from(list(Origin)), parent=picks, rare=picks)
    def something_rare(self, role: str, code: bool, origin: Origin, parent: int, rare: int) -> None:
        match rare % 4:
            case 0:
                self.kernel()
            case 1:
                self.restore()
            case _:
                self.dispatch(role, code, origin, parent, rare % 2)

    def kernel(self) -> None:
        self.epoch += 1
        self.tell(e.KernelStarted(self.now, self.epoch, KINDS))

    def restore(self) -> None:
        state = msgspec.json.decode(msgspec.json.encode(self.machine.state), type=MachineState)
        assert state == self.machine.state
        self.machine = Machine(state)

    # what must hold

    def allows(self, uid: str, capability: Capability, consent: Consent) -> bool:
        return self.machine.grants.allows(uid, capability, self.now, consent)

    @invariant()
    def nobody_may_more(self) -> None:
        for number in self.forgotten[-3:]:
            assert not any(self.allows(number, one, Consent()) for one in C)
        consents = {Consent(), Consent("c"), Consent("a", "q0"), Consent("a"), Consent("b")}
        consents |= {Consent(yes.digest, yes.ask) for yes in self.said[-4:]}
        consents |= {Consent("c", yes.ask) for yes in self.said[-2:]}
        for task in self.machine.tasks.values():
            for one in C:
                for consent in consents:
                    if self.allows(task.uid, one, consent):
                        self.check(task, one, consent)

    def check(self, task: Task, capability: Capability, consent: Consent) -> None:
        """That a task may do something, which it says, is so."""
        spec = task.spec
        assert not task.ended, "it has ended"
        if spec.parent:
            assert self.allows(spec.parent, capability, consent), "it may more than what is above it"
        origin = "person" if spec.origin is Origin.PERSON else str(spec.origin)
        base = FROM_THE_FIRST[spec.role if spec.worker == "agent" else origin]
        if capability in base and self.taken.get((task.uid, capability)) != task.attempt:
            return
        assert any(yes.counts(task, capability, consent, self.now) for yes in self.said), "nobody has granted that"

    def teardown(self) -> None:
        if not hasattr(self, "machine"):
            return
        fresh = Machine()
        for event in self.log:
            fresh.handle(e.decode(e.encode(event)))
        assert fresh.state.grants == self.machine.state.grants
        live = {uid for uid, task in self.machine.tasks.items() if not task.ended}
        assert self.machine.state.grants.tasks.keys() == live
        assert self.machine.state.grants.master.keys() <= live


TestGrants = Table.TestCase
TestGrants.settings = settings(
    max_examples=SCHEDULES // 3,
    stateful_step_count=STEPS,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate, *([Phase.shrink] if SHRINK else [])),
)
