"""A short way to tell a machine a story: tasks by name, reports of the current attempt."""

from __future__ import annotations

from typing import Any

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.machine import Machine
from jupyter_orchestra.core.model import Blob, Capture, Failure, Kind, Result, Spec, State, Task

KINDS = (
    Kind("kernel", 2),
    Kind("shell", 1),
    Kind("loop", 2, pausable=False, cooperative=True),
    Kind("agent", 1, steerable=True),
)


class Play:
    def __init__(self, *kinds: Kind, tiers: dict[str, int] | None = None, limit: int = 10_000) -> None:
        self.machine = Machine()
        self.now = 0.0
        self.kinds, self.tiers, self.limit = kinds or KINDS, tiers or {}, limit
        self.log: list[e.Event] = []
        self.out: list[e.Command] = []  # what the last event led to
        self.epoch = 0
        self.kernel()

    def send(self, event: e.Event) -> list[e.Command]:
        self.log.append(event)
        self.out = self.machine.handle(event)
        return self.out

    def kernel(self) -> list[e.Command]:
        self.epoch += 1
        return self.send(e.KernelStarted(self.now, self.epoch, self.kinds, self.tiers, self.limit))

    def wait(self, seconds: float) -> None:
        until = self.now + seconds
        while (due := self.machine.due()) is not None and due <= until:
            self.now = max(due, self.now)
            self.send(e.TimePassed(self.now))
        self.now = until

    def answer(self) -> e.Answer:
        (answer,) = [command for command in self.out if isinstance(command, e.Accepted | e.Refused)]
        return answer

    def refusal(self) -> str:
        answer = self.answer()
        assert isinstance(answer, e.Refused), answer
        return answer.reason

    def all(self, kind: type[e.Command]) -> list[Any]:
        return [command for command in self.out if isinstance(command, kind)]

    @property
    def started(self) -> list[str]:
        return [self.machine.tasks[command.uid].name for command in self.all(e.StartTask)]

    @property
    def delivered(self) -> list[str]:
        return [self.machine.tasks[command.uid].name for command in self.all(e.Deliver)]

    def task(self, name: str) -> Task:
        task = self.machine.find(name)
        assert task is not None, name
        return task

    def state(self, name: str) -> State:
        return self.task(name).state

    # what people ask

    @staticmethod
    def spec(name: str, worker: str = "kernel", uid: str = "", **more: Any) -> Spec:
        return Spec(uid or f"uid-{name}", name, worker, "pass", **more)

    def dispatch(self, *specs: Spec | str, **more: Any) -> e.Answer:
        made = tuple(self.spec(s, **more) if isinstance(s, str) else s for s in specs)
        self.send(e.TasksDispatched(self.now, request="r", tasks=made))
        return self.answer()

    def cancel(self, *names: str, **more: Any) -> list[e.Command]:
        return self.send(e.CancelAsked(self.now, request="r", targets=names, **more))

    def pause(self, *names: str, **more: Any) -> list[e.Command]:
        return self.send(e.PauseAsked(self.now, request="r", targets=names, **more))

    def resume(self, *names: str, **more: Any) -> list[e.Command]:
        return self.send(e.ResumeAsked(self.now, request="r", targets=names, **more))

    def retry(self, *names: str) -> list[e.Command]:
        return self.send(e.RetryAsked(self.now, request="r", targets=names))

    def forget(self, *names: str, **more: Any) -> list[e.Command]:
        return self.send(e.ForgetAsked(self.now, request="r", targets=names, **more))

    # what workers report

    def _key(self, name: str, attempt: int) -> tuple[str, int]:
        task = self.task(name)
        running, _ = self.machine.state.holds.get(task.uid, (task.attempt, ()))
        return task.uid, attempt or running

    def finish(self, name: str, text: str = "", attempt: int = 0) -> list[e.Command]:
        return self.send(e.TaskFinished(self.now, *self._key(name, attempt), Result(text=text)))

    def fail(self, name: str, message: str = "wrong", attempt: int = 0) -> list[e.Command]:
        failure = Failure("exception", "ValueError", message)
        return self.send(e.TaskFailed(self.now, *self._key(name, attempt), failure, Result(text="before")))

    def block(self, name: str) -> list[e.Command]:
        return self.send(e.TaskBlocked(self.now, *self._key(name, 0), "the disk is full"))

    def stopped(self, name: str, attempt: int = 0) -> list[e.Command]:
        return self.send(e.TaskStopped(self.now, *self._key(name, attempt)))

    def copied(self, name: str) -> list[e.Command]:
        return self.send(e.SnapshotTaken(self.now, self.task(name).uid, Capture(("x",), Blob(1, b"x"))))

    def not_copied(self, name: str) -> list[e.Command]:
        return self.send(e.SnapshotFailed(self.now, self.task(name).uid, "x can't be pickled"))
