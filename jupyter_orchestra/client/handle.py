"""The handle of a task: what a person holds in a variable; it asks the client for everything and keeps nothing."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ..core import events as e
from ..core.model import Origin, State
from ..core.usage import TaskUsage
from ..core.views import TaskView
from ..errors import RefusedError, TaskCancelled, TaskFailed, TaskLost, UnknownTaskError
from .keyboard import steer
from .request import patience
from .usage import usage

if TYPE_CHECKING:
    from .client import Client


class TaskHandle:
    """A dispatched task. Awaitable; speaks the AsyncResult of multiprocessing and ipyparallel.

    Attributes
    ----------
    uid : str
        The task's identity; its name may pass to a newer task, its uid never does.
    """

    __slots__ = ("__weakref__", "_client", "uid")

    def __init__(self, client: Client, uid: str) -> None:
        self._client, self.uid = client, uid

    @property
    def view(self) -> TaskView:
        """The newest announced picture of the task. Raises UnknownTaskError when it was forgotten."""
        view = self._client.board.get(self.uid)
        if view is None:
            raise UnknownTaskError(f"the task with the uid {self.uid} was forgotten: dispatch it again")
        return view

    @property
    def name(self) -> str:
        """Its present name."""
        return self.view.name

    @property
    def worker(self) -> str:
        """The kind of worker that carries it out."""
        return self.view.worker

    @property
    def attempt(self) -> int:
        """How often it was started."""
        return self.view.attempt

    @property
    def origin(self) -> Origin:
        """Who dispatched it: person, master or task."""
        return self.view.origin

    @property
    def state(self) -> State:
        """waiting, queued, running, paused, done, failed, cancelled or lost."""
        return self.view.state

    @property
    def progress(self) -> float | None:
        """How far it is, from 0 to 1; None while unknown."""
        return self.view.progress

    @property
    def elapsed(self) -> float:
        """Seconds that the present attempt has run, or ran; 0 before it starts."""
        return self.view.seconds(self._client.runtime.now())

    @property
    def dispatched_at(self) -> float:
        """When it was dispatched, POSIX seconds."""
        return self.view.dispatched_at

    @property
    def started_at(self) -> float | None:
        """When its present attempt started, POSIX seconds."""
        return self.view.started_at

    @property
    def ended_at(self) -> float | None:
        """When it ended, POSIX seconds."""
        return self.view.ended_at

    @property
    def usage(self) -> TaskUsage | None:
        """What its present attempt uses, measured now; what was measured last once it has ended; None before it starts.

        Returns
        -------
        TaskUsage or None
            ``seconds`` by the clock, ``cpu_seconds``, ``memory`` and ``peak_memory`` in bytes, ``processes``,
            ``tokens_in``, ``tokens_out``, and ``cost`` in US dollars.
        """
        return usage(self._client, self.view)

    @property
    def error(self) -> str | None:
        """Why it failed, was cancelled or lost, in one line; None otherwise."""
        view = self.view
        if view.failure is not None:
            return view.failure.line()
        return view.reason if view.ended and view.state is not State.DONE else None

    @property
    def needs_you(self) -> str:
        """What it asks of you, in one line; empty when nothing. The action itself is in ``question``."""
        return self.view.needs_you

    @property
    def question(self) -> str:
        """The whole action that it asks your approval for, such as a command or a brief; empty when it asks nothing."""
        ask = self.view.ask
        return ask.detail if ask is not None else ""

    @property
    def result(self) -> Any:
        """Its value once it is done, None before and otherwise."""
        view = self.view
        if view.state is not State.DONE:
            return None
        self._client.taken(self.uid)
        return self._client.value(view)

    @property
    def outputs(self) -> list[dict[str, Any]]:
        """What it put out, as nbformat outputs; so far, while it runs."""
        return self._client.outputs(self.view)

    @property
    def artifacts(self) -> dict[str, Path]:
        """The files that it made, such as an executed notebook or a long output: name to path, for reading only."""
        return self._client.artifacts(self.view)

    @property
    def stdout(self) -> str:
        """The text of its standard output."""
        return self._stream("stdout")

    @property
    def stderr(self) -> str:
        """The text of its standard error."""
        return self._stream("stderr")

    def __getitem__(self, variable: str) -> Any:
        """A variable that ``--return`` brought back. Raises UnknownVariableError (a KeyError) for another one."""
        self._raise_unless_done(self.view)
        return self._client.value(self.view, variable)

    def get(self, timeout: float | None = None) -> Any:
        """Its value, once it is done.

        Parameters
        ----------
        timeout
            Seconds to wait; None waits as long as it takes.

        Raises
        ------
        TaskFailed, TaskCancelled
            When it has no value.
        TimeoutError
            When it has not ended in time; it runs on.
        """
        if not self.wait(timeout):
            raise self._client.late([self], patience(timeout))
        self._raise_unless_done(self.view)
        return self.result

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it has ended, at most `timeout` seconds; True when it has."""
        return self._client.wait([self.uid], patience(timeout))

    def ready(self) -> bool:
        """Whether it has ended."""
        return self.view.ended

    def successful(self) -> bool:
        """Whether it is done. Raises ValueError while it has not ended."""
        if not self.ready():
            raise ValueError(f"{self.name} has not ended yet: it is {self.state}")
        return self.state is State.DONE

    def cancel(self) -> None:
        """Cancel it; nothing when it has ended."""
        self._client.control(e.CancelAsked, [self.uid])

    abort = cancel

    def pause(self) -> None:
        """Hold it. Raises RefusedError when it can't be held."""
        self._client.control(e.PauseAsked, [self.uid])

    def resume(self) -> None:
        """Let it go on. Raises RefusedError when it is not paused."""
        self._client.control(e.ResumeAsked, [self.uid])

    def retry(self) -> None:
        """Run it again after it failed, was cancelled or lost. Raises RefusedError otherwise."""
        self._client.control(e.RetryAsked, [self.uid])

    def steer(self, text: str) -> None:
        """Send it a message; into a terminal it is typed, with Enter. Raises RefusedError when it takes none."""
        steer(self._client, self.uid, str(text))

    def approve(self, always: bool = False) -> None:
        """Say yes to what it asks. Raises RefusedError when it asks nothing."""
        self._refuse_unasked()
        self._client.ask(self._answer(e.ApproveAsked, always=always))

    def decline(self, why: str = "") -> None:
        """Say no to what it asks. Raises RefusedError when it asks nothing."""
        self._refuse_unasked()
        self._client.ask(self._answer(e.DeclineAsked, why=why))

    def _answer(self, kind: type[e.ApproveAsked] | type[e.DeclineAsked], **said: Any) -> e.Asked:
        """To the question that stands on the card now, and to no other."""
        runtime, ask = self._client.runtime, self.view.ask
        digest = ask.digest if ask is not None else ""
        return kind(runtime.now(), runtime.new_request(), target=self.uid, digest=digest, **said)

    def __await__(self) -> Generator[Any, None, Any]:
        return self._finish().__await__()

    async def _finish(self) -> Any:
        await self._client.wait_async(self.uid)
        return self.get(0)

    def _refuse_unasked(self) -> None:
        view = self.view
        if view.state is State.LOST:
            raise RefusedError(f"{view.name} was lost: {view.needs_you}")
        if view.ask is None:
            raise RefusedError(f"{view.name} asks for no approval: it is {view.state}")

    def _stream(self, name: str) -> str:
        parts = (o["text"] for o in self.outputs if o["output_type"] == "stream" and o["name"] == name)
        return "".join(part if isinstance(part, str) else "".join(part) for part in parts)

    def _raise_unless_done(self, view: TaskView) -> None:
        if view.state is State.DONE:
            return
        message = f"{view.name}: {self.error or view.state}"
        if view.state is State.CANCELLED:
            raise TaskCancelled(message)
        if view.state is State.LOST:
            raise TaskLost(f"{message}; {view.needs_you}", view.name)
        if view.state is State.FAILED:
            self._client.taken(self.uid)
            traces = [o["traceback"] for o in self.outputs if o["output_type"] == "error"]
            raise TaskFailed(message, view.name, traces[-1] if traces else [])
        raise RefusedError(f"{view.name} has no value yet: it is {view.state}; get() waits for it")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a handle works in its notebook only: with --after NAME a task finds the value in results")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TaskHandle) and other.uid == self.uid

    def __hash__(self) -> int:
        return hash(self.uid)

    def __repr__(self) -> str:
        view = self._client.board.get(self.uid)
        return f"<Task {view.name} · {view.worker} · {view.state}>" if view else f"<Task {self.uid}, forgotten>"
