"""What belongs to one running attempt: its worker's coroutine, its folder, what it says; it decides nothing."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import NamedTuple

from .core import events as e
from .core.model import Ask, Blob, Failure, Process, Result
from .core.ports import Blocked, Failed, Finished, Job, Lost, Outcome, Pty, Verdict
from .patience import PatientStore
from .terminals import Terminals

log = logging.getLogger("jupyter_orchestra")

FEW = 16  # files that are removed without a thread
PROGRESS_EVERY = 0.25  # seconds between two journaled reports of progress of one attempt
Output = dict[str, object]


class Attempt(NamedTuple):
    """What runs."""

    work: asyncio.Task[Outcome]
    job: Job
    reporter: Reporter
    store: PatientStore
    begun: asyncio.Event  # set when its worker has it


class Reporter:
    """What one attempt says, turned into facts; progress at most four times a second.

    Parameters
    ----------
    post
        Takes the facts; drops those of an attempt that is over.
    now
        Gives POSIX seconds.
    show
        Takes live output.
    terminals
        Where a terminal is opened.
    """

    def __init__(
        self,
        uid: str,
        attempt: int,
        post: Callable[[e.Reported], None],
        now: Callable[[], float],
        show: Callable[[str, int, Output], None],
        terminals: Terminals,
    ) -> None:
        self._uid, self._attempt = uid, attempt
        self._post, self._now, self._show, self._terminals = post, now, show, terminals
        self._loop = asyncio.get_running_loop()
        self._said = 0.0
        self._pending: tuple[float | None, str] | None = None
        self._asked: dict[str, asyncio.Future[Verdict]] = {}

    def started(self, process: Process) -> None:
        """A process of this attempt exists."""
        self._post(e.WorkerStarted(self._now(), self._uid, self._attempt, process))

    def unsandboxed(self, why: str) -> None:
        """Nothing confines what a model wrote."""
        self._post(e.TaskUnsandboxed(self._now(), self._uid, self._attempt, why))

    def progress(self, fraction: float | None, line: str = "") -> None:
        """How far it is, and the last line of output."""
        if self._pending is not None:
            before = self._pending
            self._pending = (before[0] if fraction is None else fraction), line or before[1]
            return
        self._pending = fraction, line
        wait = self._said + PROGRESS_EVERY - self._loop.time()
        if wait <= 0:
            self._say()
        else:
            self._loop.call_later(wait, self._say)

    def output(self, output: Output) -> None:
        """One nbformat output, live."""
        self._show(self._uid, self._attempt, output)

    def terminal(self, pty: Pty) -> None:
        """What runs has a terminal."""
        self._terminals.open(self._uid, self._attempt, pty)

    def show(self, text: str) -> None:
        """What it shows."""
        self._terminals.show(self._uid, self._attempt, text)

    def step(self, items: Blob) -> None:
        """A step is over."""
        self._post(e.StepTaken(self._now(), self._uid, self._attempt, items))

    async def ask(self, ask: Ask) -> Verdict:
        """Put a question to the person and wait for the answer."""
        answer: asyncio.Future[Verdict] = self._loop.create_future()
        self._asked[ask.id] = answer
        self._post(e.ApprovalNeeded(self._now(), self._uid, self._attempt, ask))
        try:
            return await answer
        finally:
            del self._asked[ask.id]

    def answer(self, ask: str, verdict: Verdict) -> None:
        """The person has answered."""
        if (waiting := self._asked.get(ask)) is not None and not waiting.done():
            waiting.set_result(verdict)

    def _say(self) -> None:
        if self._pending is None:
            return
        fraction, line = self._pending
        self._pending, self._said = None, self._loop.time()
        self._post(e.TaskProgressed(self._now(), self._uid, self._attempt, fraction, line))


def outcome_of(work: asyncio.Task[Outcome]) -> Outcome:
    """What an attempt came to; an exception of the worker itself is a failed task."""
    error = work.exception()
    if error is None:
        outcome: object = work.result()
        if isinstance(outcome, Finished | Failed | Blocked | Lost):
            return outcome
        error = TypeError(f"the worker returned {type(outcome).__name__}, which is no outcome")
    log.error("the worker itself failed", exc_info=error)
    return Failed(Failure("exception", type(error).__name__, str(error) or "the worker itself failed"), Result())


def made_up_for(event: e.Event, now: float) -> e.Event | None:
    """What stands for an end that could not be kept, such as one that is no text: each attempt and each turn ends."""
    lost = "could not be kept: see the kernel's log"
    failure = Failure("exception", "ReportLost", f"its report {lost}")
    if isinstance(event, e.TaskFinished | e.TaskFailed | e.TaskBlocked) and getattr(event, "failure", 0) != failure:
        return e.TaskFailed(now, event.uid, event.attempt, failure, Result())
    if isinstance(event, e.StepDone | e.CallsAnswered | e.TurnStopped):
        return e.TurnFailed(now, event.turn, f"what came {lost}, then %orchestra retry")
    return None


async def after(begun: asyncio.Event, act: Coroutine[object, object, None]) -> None:
    """Do something to an attempt once its worker has it."""
    await begun.wait()
    await act


def emptied(folder: Path) -> bool:
    """Whether an attempt's folder could be emptied at once, for the next attempt; only a few files are."""
    try:
        with os.scandir(folder) as entries:
            for count, entry in enumerate(entries):
                if count >= FEW:
                    return False
                os.unlink(entry)
    except OSError:
        return False
    return True
