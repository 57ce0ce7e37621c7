import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from world import Attempt, World

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.model import Kind, Spec, State, Task, When

# `make test` takes the defaults; ORCHESTRA_SCHEDULES=100000 is for the night.
SCHEDULES = int(os.environ.get("ORCHESTRA_SCHEDULES", "2000"))
STEPS = int(os.environ.get("ORCHESTRA_STEPS", "40"))
SHRINK = os.environ.get("ORCHESTRA_SHRINK", "1") == "1"

KINDS = ("kernel", "shell", "loop", "agent")

picks = st.integers(0, 19)  # of what there is, by remainder; the highest ones mean something unusual
wishes = st.fixed_dictionaries(
    {
        "name": picks,
        "after": st.lists(picks, max_size=2),
        "worker": st.sampled_from(("kernel", "kernel", *KINDS)),
        "when": st.sampled_from((When.SUCCESS, When.SUCCESS, When.FAILURE, When.ALWAYS)),
    },
    optional={
        "priority": st.integers(-1, 2),
        "timeout": st.sampled_from((3.0, 20.0)),
        "retries": st.integers(1, 2),
        "tier": st.just("fast"),
        "replace": st.just(True),
        "snapshot": st.just(True),
        "auto": st.just(True),
    },
)


def any_task(condition: Callable[[Task], bool]) -> Callable[[Any], bool]:
    return lambda self: any(condition(task) for task in self.world.machine.tasks.values())


class Outside(RuleBasedStateMachine):
    """Any order of what people, workers, the journal and kernels may do."""

    world: World

    @initialize(
        kernel=st.integers(1, 3),
        shell=st.integers(0, 2),
        fast=st.integers(1, 2),
        limit=st.integers(10, 30),
        batch=st.lists(wishes, min_size=1, max_size=4),
    )
    def begin(self, kernel: int, shell: int, fast: int, limit: int, batch: list[dict[str, Any]]) -> None:
        kinds = (
            Kind("kernel", kernel),
            Kind("shell", shell),
            Kind("loop", 2, pausable=False, cooperative=True),
            Kind("agent", 1, steerable=True, cooperative=True),
        )
        self.world = World(kinds, {"fast": fast}, limit)
        self.dispatch(batch)

    def _name(self, pick: int, condition: Callable[[Task], bool] = lambda task: True) -> str:
        if pick == 19:
            return "nobody"
        names = [task.name for task in self.world.machine.tasks.values() if condition(task)]
        names = names or list(self.world.machine.state.names) or ["nobody"]
        return names[-1 - pick % len(names)]

    def _attempt(self, pick: int, stopping: bool = False) -> Attempt:
        alive = [attempt for attempt in self.world.alive if attempt.told_to_stop or not stopping]
        return alive[pick % len(alive)]

    # people

    @rule(batch=st.lists(wishes, min_size=1, max_size=3))
    def dispatch(self, batch: list[dict[str, Any]]) -> None:
        specs: list[Spec] = []
        for wish in batch:
            uid = self.world.new_uid()
            name = self._name(wish["name"]).partition("@")[0] if wish["name"] > 12 else f"t{uid}"
            fresh = [spec.name for spec in specs] + (["t" + uid] if 17 in wish["after"] else [])
            after = tuple(
                fresh[pick % len(fresh)] if fresh and pick % 2 else self._name(pick)
                for pick in wish["after"]
                if fresh or self.world.machine.tasks
            )
            specs.append(Spec(uid=uid, brief="", **{**wish, "name": name, "after": after}))
        self.world.dispatch(*specs)

    @precondition(any_task(lambda task: not task.ended))
    @rule(some=st.lists(picks, min_size=1, max_size=2))
    def cancel(self, some: list[int]) -> None:
        if some[0] == 18:
            self.world.cancel(everything=True)
        else:
            self.world.cancel(*(self._name(pick, lambda task: not task.ended) for pick in some))

    @precondition(any_task(lambda task: not task.ended and task.state is not State.PAUSED))
    @rule(some=st.lists(picks, min_size=1, max_size=2))
    def pause(self, some: list[int]) -> None:
        if some[0] > 16:
            self.world.pause(everything=True)
        else:
            waiting = lambda task: not task.ended and task.state is not State.PAUSED  # noqa: E731
            self.world.pause(*(self._name(pick, waiting) for pick in some))

    @precondition(any_task(lambda task: task.state is State.PAUSED))
    @rule(pick=picks)
    def resume(self, pick: int) -> None:
        if pick > 15:
            self.world.resume(everything=True)
        else:
            self.world.resume(self._name(pick, lambda task: task.state is State.PAUSED))

    @precondition(any_task(lambda task: task.ended and task.state is not State.DONE))
    @rule(some=st.lists(picks, min_size=1, max_size=3))
    def retry(self, some: list[int]) -> None:
        self.world.retry(*(self._name(pick, lambda task: task.ended and task.state is not State.DONE) for pick in some))

    @precondition(any_task(lambda task: task.ended))
    @rule(pick=picks)
    def forget(self, pick: int) -> None:
        if pick == 18:
            self.world.forget(ended=True)
        else:
            self.world.forget(self._name(pick, lambda task: task.ended))

    @precondition(lambda self: self.world.machine.tasks)
    @rule(pick=picks, what=st.sampled_from(("forget", "steer", "retry", "resume", "pause", "cancel")))
    def ask_for_anything(self, pick: int, what: str) -> None:
        getattr(self.world, what)(self._name(pick))

    # workers

    @precondition(lambda self: self.world.alive)
    @rule(pick=picks, well=st.booleans())
    def work_ends(self, pick: int, well: bool) -> None:
        attempt = self._attempt(pick)
        self.world.finish(attempt) if well else self.world.fail(attempt)

    @precondition(lambda self: self.world.alive)
    @rule(pick=picks, well=st.booleans())
    def work_ends_and_is_handled(self, pick: int, well: bool) -> None:
        self.work_ends(pick, well)
        self.drain(100)

    @precondition(lambda self: self.world.alive)
    @rule(pick=picks)
    def work_fails_and_is_handled(self, pick: int) -> None:
        self.work_ends_and_is_handled(pick, well=False)

    @precondition(lambda self: self.world.alive)
    @rule(pick=picks)
    def work_can_not_begin(self, pick: int) -> None:
        self.world.could_not_begin(self._attempt(pick))
        self.drain(pick % 3)

    @precondition(lambda self: any(a.told_to_stop for a in self.world.alive))
    @rule(pick=picks)
    def work_obeys(self, pick: int) -> None:
        self.world.obey(self._attempt(pick, stopping=True))
        self.drain(pick % 3)

    @precondition(lambda self: self.world.alive)
    @rule(pick=picks, report=st.sampled_from((e.WorkerStarted, e.TaskProgressed)))
    def work_says(self, pick: int, report: Any) -> None:
        self.world.say(self._attempt(pick), report)

    @precondition(lambda self: self.world.inbox)
    @rule(count=st.integers(1, 5))
    def drain(self, count: int) -> None:
        for _ in range(min(count, len(self.world.inbox))):
            self.world.drain()

    @precondition(lambda self: self.world.snapshots)
    @rule(pick=picks)
    def copy(self, pick: int) -> None:
        uids = sorted(self.world.snapshots)
        self.world.copy(uids[pick % len(uids)], well=pick < 14)

    @precondition(lambda self: self.world.unshown)
    @rule(pick=picks)
    def show(self, pick: int) -> None:
        uids = sorted(self.world.unshown)
        self.world.show(uids[pick % len(uids)])

    # the world

    @rule(seconds=st.sampled_from((4.0, 31.0, 0.5, 20.0)))
    def time_passes(self, seconds: float) -> None:
        self.world.advance(seconds)

    @rule(pick=picks)
    def something_rare(self, pick: int) -> None:
        match pick:
            case 0 | 1 | 2 | 3:
                self.world.restore()
            case 4 | 5 | 6 | 7:
                self.world.free_journal() if self.world.journal_blocked else self.world.block_journal()
            case 8 | 9 | 10 | 11:
                self.world.start_kernel()
            case _:
                self.world.change_slots(KINDS[pick % 4], pick % 3)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.run_dry()
            self.world.restore()
            self.world.replay()


Outside.TestCase.settings = settings(
    max_examples=SCHEDULES,
    stateful_step_count=STEPS,
    deadline=None,
    print_blob=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate, *([Phase.shrink] if SHRINK else [])),
)


@pytest.mark.timeout(3600)
class TestMachineOutside(Outside.TestCase):
    pass
