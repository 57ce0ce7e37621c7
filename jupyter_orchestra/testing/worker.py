"""A worker that does what a script says, and complains about what the script does not know."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import msgspec

from ..core.model import Failure, Kind, Process, Result
from ..core.ports import Blocked, Failed, Finished, Job, Outcome


class Step(msgspec.Struct, frozen=True):
    """One thing that a scripted attempt does."""


class Sleep(Step, frozen=True):
    """Take some seconds of the loop's time; the clock stands still while the task is paused."""

    seconds: float


class Started(Step, frozen=True):
    """Report a process."""

    process: Process = Process(1, 0.0)


class Progress(Step, frozen=True):
    """Report a fraction (0 to 1, or None) and a line."""

    fraction: float | None = None
    line: str = ""


class Output(Step, frozen=True):
    """Put out one nbformat output, live and in the result."""

    output: dict[str, Any]


class IgnoreStop(Step, frozen=True):
    """From here on a stop takes effect that many seconds late; an attempt that ends before comes to its own end."""

    seconds: float


class Hang(Step, frozen=True):
    """Wait until stopped."""


class Return(Step, frozen=True):
    """End well, with a value that can be pickled. So does a script that is at its end."""

    value: Any = None


class Raise(Step, frozen=True):
    """End with an exception of the task's own code."""

    name: str = "ValueError"
    message: str = ""


class Block(Step, frozen=True):
    """Do not begin, for want of something outside."""

    reason: str = "the disk is full"


Script = Sequence[Step] | Sequence[Sequence[Step]]


class ScriptedWorker:
    """Implements :class:`jupyter_orchestra.core.ports.Worker`.

    Parameters
    ----------
    kind : Kind or str
        What the machine is told; a name alone gets 4 slots.
    script : mapping of str to steps, or to one list of steps for each attempt
        By the name under which the task was dispatched.
    wrong : mapping of str to str
        What :meth:`check` finds wrong with a brief.

    Attributes
    ----------
    running : dict
        (name, attempt) to the job of everything that runs.
    steered : list of (name, text)
        What was said to running attempts.
    complaints : list of str
        What happened that no script foresaw.
    closed : bool
        Whether :meth:`close` was called.

    Examples
    --------
    >>> script = {"fit": [Sleep(3), Progress(0.5), Return(42)], "flaky": [[Raise()], [Return()]]}
    >>> worker = ScriptedWorker("kernel", script)
    """

    def __init__(self, kind: Kind | str, script: Mapping[str, Script], wrong: Mapping[str, str] | None = None) -> None:
        self.kind = Kind(kind, 4) if isinstance(kind, str) else kind
        self._attempts = {name: deque(_attempts(steps)) for name, steps in script.items()}
        self._unused: list[str] = []
        self._wrong = dict(wrong or {})
        self._gates: dict[tuple[str, int], _Gate] = {}
        self.running: dict[tuple[str, int], Job] = {}
        self.steered: list[tuple[str, str]] = []
        self.complaints: list[str] = []
        self.closed = False

    def check(self, brief: str) -> str:
        """What the script says is wrong with a brief."""
        return self._wrong.get(brief, "")

    async def run(self, job: Job) -> Outcome:
        """Follow the script of the next attempt of that name."""
        name = job.spec.name
        if not self._attempts.get(name):
            raise AssertionError(self._complain(f"unexpected attempt {job.attempt} of task {name!r}"))
        attempt = _Attempt(job, self._attempts[name].popleft())
        key = name, job.attempt
        self._gates[key], self.running[key] = attempt.gate, job
        try:
            return await attempt.run()
        finally:
            del self._gates[key], self.running[key]
            if attempt.left and not attempt.stopped:
                self._unused += [f"{name}#{job.attempt}: {step}" for step in attempt.left]

    async def pause(self, job: Job) -> None:
        """Let the attempt's clock stand still."""
        if (gate := self._gate_of(job, "pause")) is not None:
            gate.hold()

    async def resume(self, job: Job) -> None:
        """Let it go on."""
        if (gate := self._gate_of(job, "resume")) is not None:
            gate.go()

    async def steer(self, job: Job, text: str) -> None:
        """Note the message."""
        if self._gate_of(job, "steer") is not None:
            self.steered.append((job.spec.name, text))

    async def close(self) -> None:
        """Note the end."""
        if self.closed:
            self._complain("closed twice")
        self.closed = True

    def assert_exhausted(self) -> None:
        """Raise AssertionError when a step was never reached, an attempt still runs or something unforeseen happened.

        Steps behind a stop count as reached.
        """
        unused = [f"{name}: {step}" for name, rest in self._attempts.items() for steps in rest for step in steps]
        still = [f"{name}#{attempt} still runs" for name, attempt in self.running]
        if problems := [*self.complaints, *(f"never reached: {line}" for line in self._unused + unused), *still]:
            raise AssertionError("the script was not followed:\n  " + "\n  ".join(problems))

    def _gate_of(self, job: Job, what: str) -> _Gate | None:
        gate = self._gates.get((job.spec.name, job.attempt))
        if gate is None:
            self._complain(f"{what} of {job.spec.name}#{job.attempt}, which does not run")
        return gate

    def _complain(self, line: str) -> str:
        self.complaints.append(line)
        return line


def _attempts(script: Script) -> list[list[Step]]:
    """One list of steps for each attempt."""
    flat = [item for item in script if isinstance(item, Step)]
    if len(flat) == len(script):
        return [flat]
    if flat:
        raise TypeError("a script is a list of steps, or of one list of steps for each attempt, not a mixture")
    return [list(steps) for steps in script if not isinstance(steps, Step)]


class _Gate:
    """Whether an attempt is held, to be waited for either way."""

    def __init__(self) -> None:
        self.going, self.held = asyncio.Event(), asyncio.Event()
        self.going.set()

    def hold(self) -> None:
        self.going.clear()
        self.held.set()

    def go(self) -> None:
        self.held.clear()
        self.going.set()


class _Attempt:
    """One attempt that follows its steps."""

    def __init__(self, job: Job, steps: Sequence[Step]) -> None:
        self.job, self.left = job, deque(steps)
        self.gate = _Gate()
        self.stopped = False
        self._deaf = 0.0  # seconds for which a stop is ignored
        self._outputs: list[dict[str, Any]] = []

    async def run(self) -> Outcome:
        work = asyncio.ensure_future(self._follow())
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            self.stopped = True
            if self._deaf:
                await asyncio.wait({work}, timeout=self._deaf)
            if work.done() and not work.cancelled():
                return work.result()
            work.cancel()
            raise

    async def _follow(self) -> Outcome:
        while self.left:
            outcome = await self._take(self.left.popleft())
            if outcome is not None:
                return outcome
        return Finished(self._result())

    async def _take(self, step: Step) -> Outcome | None:
        match step:
            case Sleep(seconds):
                await self._sleep(seconds)
            case Started(process):
                self.job.reporter.started(process)
            case Progress(fraction, line):
                self.job.reporter.progress(fraction, line)
            case Output(output):
                self._outputs.append(output)
                self.job.reporter.output(output)
            case IgnoreStop(seconds):
                self._deaf = seconds
            case Hang():
                await asyncio.Event().wait()
            case Return(value):
                data = cloudpickle.dumps(value)
                return Finished(
                    msgspec.structs.replace(self._result(), value=self.job.store.put(data), text=repr(value)[:200])
                )
            case Raise(name, message):
                return Failed(Failure("exception", name, message), self._result())
            case Block(reason):
                return Blocked(reason)
            case _:
                raise TypeError(f"no such step: {step!r}")
        return None

    async def _sleep(self, seconds: float) -> None:
        loop, left = asyncio.get_running_loop(), seconds
        await asyncio.sleep(0)
        while left > 1e-9:
            await self.gate.going.wait()
            begun = loop.time()
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self.gate.held.wait()
            left -= loop.time() - begun

    def _result(self) -> Result:
        if not self._outputs:
            return Result()
        return Result(outputs=self.job.store.put(json.dumps(self._outputs).encode()))
