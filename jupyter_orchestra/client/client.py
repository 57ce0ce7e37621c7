"""Dispatches, asks and waits on a person's behalf; what cell it speaks from is told by the context that it is given."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pickle
import sys
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from ..board import Board
from ..core import events as e
from ..core.model import TIERS, Anchor, Blob, Capture, Origin, Place, Spec, State
from ..core.naming import unknown
from ..core.needs import Need
from ..core.plain import plain
from ..core.views import TaskView, explain
from ..errors import (
    GatherTimeout,
    OrchestraError,
    RefusedError,
    UnknownTaskError,
    UnknownVariableError,
    UsageError,
    ValueGoneError,
)
from ..runtime import Runtime
from ..unpickle import NotPlainError, loads_untrusted
from .commit import commit_of
from .context import Context
from .handle import TaskHandle
from .keyboard import refuse_terminal
from .request import Request, is_text
from .usage import usage

if TYPE_CHECKING:
    from .controller import Controller

ANSWER_WITHIN = 1.0  # seconds that a cell waits for the machine's answer
TICK = 0.2  # seconds between two looks at the clock while a cell waits, so that an interrupt works at once


class Master(NamedTuple):
    """On whose behalf the master dispatches: its turn, what its tasks have in common, and where their results go."""

    turn: int
    cohort: str
    anchor: Anchor | None
    context: str = ""  # what has been said, for agents that may know it
    literal: bool = False  # it carries out the person's own words


class Client:
    """The person's side of one runtime."""

    def __init__(self, runtime: Callable[[], Runtime], context: Context) -> None:
        self._runtime = runtime
        self.context = context
        self.live: dict[tuple[str, int], object] = {}  # values of loop tasks, which never left this process
        self.taken: Callable[[str], None] = lambda uid: None  # told when a person took a result in hand
        self.bring_back: Callable[[Collection[str]], None] = lambda uids: None  # returned variables, into the notebook
        self.resolve: Callable[[tuple[Need, ...]], tuple[Need, ...]] = lambda needs: needs  # as they are here
        self.copy_waiting: Callable[[], None] = lambda: None  # told while a cell waits for tasks
        self.measure: Callable[[], Future[None] | None] = lambda: None  # have what runs measured now
        self.conversation_so_far: Callable[[], str] = lambda: ""
        self.saying: Callable[[Anchor], None] = lambda anchor: None  # told where a reply will stand
        self.live_outputs: Callable[[str, int], list[dict[str, Any]]] = lambda uid, attempt: []
        self._values: dict[tuple[str, int, str], object] = {}

    @property
    def runtime(self) -> Runtime:
        """The runtime; waits for it while it starts."""
        return self._runtime()

    @property
    def controller(self) -> Controller:
        """Leases, for the person's own code."""
        from .controller import Controller

        return Controller(self)

    @property
    def board(self) -> Board:
        """What has been announced."""
        return self.runtime.board

    # dispatching

    def dispatch(self, request: Request) -> TaskHandle:
        """Start a task in the background.

        Raises
        ------
        UsageError
            When the body does not compile or a variable can't be copied; nothing was started.
        RefusedError
            When the machine says no, with the reason.
        """
        runtime = self.runtime
        if problem := runtime.workers[request.worker].check(request.brief):
            raise UsageError(problem)
        self._refuse_early(request)
        request = self._resolved(request)
        capture, later = self._capture(request)
        uid = uuid.uuid4().hex[:16]
        spec = self._spec(uid, request, capture, later)
        try:
            answer = self.ask(e.TasksDispatched(runtime.now(), runtime.new_request(), tasks=(spec,)))
        except OrchestraError:
            if capture is not None:
                self.context.drop(capture)
            raise
        if later:
            self.context.snapshot_later(uid, request)
        # One that has ended at once, since what it comes after has failed, is announced with the commit.
        self.board.wait([uid], lambda view: view is not None, ANSWER_WITHIN)
        return TaskHandle(self, answer.uids[0])

    def _capture(self, request: Request) -> tuple[Capture | None, bool]:
        """The snapshot, or that it follows."""
        if request.worker != "kernel" or request.no_share or not self.context.captures(request):
            return None, False
        if request.share is None and (local := self.context.local(request)):
            raise UsageError(
                f"{local!r} belongs to the function that dispatches, and a task sees the notebook's own variables: "
                "put its value into the code, or make it a variable of the notebook"
            )
        if self.context.must_wait() and not request.share_now:
            return None, True
        return self.context.snapshot(request), False

    def _resolved(self, request: Request) -> Request:
        refuse_terminal(request, self.runtime.workers[request.worker].kind)
        return msgspec.structs.replace(request, needs=self.resolve(request.needs)) if request.needs else request

    def _refuse_early(self, request: Request) -> None:
        """What the machine would refuse anyway, before variables are copied for nothing."""
        holder = self.board.find(request.name)
        if not request.auto and holder is not None and not holder.ended and not request.replace:
            return  # the machine's own words are better, and the copy is dropped
        for name in request.after:
            if name != request.name and self.board.find(name) is None:
                raise RefusedError(unknown(name, self.board.names()))

    def dispatch_all(self, requests: Sequence[Request], by: Master) -> e.Accepted:
        """Start what the master wants, all or nothing.

        Raises
        ------
        UsageError
            When a body does not compile or a variable can't be copied; nothing was started.
        RefusedError
            When the machine says no, with the reason.
        """
        runtime = self.runtime
        drafts: list[tuple[str, Request, Capture | None, bool]] = []
        try:
            for request in requests:
                if problem := runtime.workers[request.worker].check(request.brief):
                    raise UsageError(f"{request.name}: {problem}")
                found = self._resolved(request)
                drafts.append((uuid.uuid4().hex[:16], found, *self._capture(found)))
            specs = [
                msgspec.structs.replace(
                    self._spec(*draft), origin=Origin.MASTER, literal=by.literal, cohort=by.cohort, anchor=by.anchor,
                    context=by.context if draft[1].inherit else "",
                )
                for draft in drafts
            ]  # fmt: skip
            answer = self.ask(e.TasksDispatched(runtime.now(), runtime.new_request(), tasks=tuple(specs), turn=by.turn))
        except OrchestraError:
            for _, _, capture, _ in drafts:
                if capture is not None:
                    self.context.drop(capture)
            raise
        for uid, request, _, later in drafts:
            if later:
                self.context.snapshot_later(uid, request)
        return answer

    def _spec(self, uid: str, request: Request, capture: Capture | None, later: bool) -> Spec:
        place = _place()
        return Spec(
            uid=uid,
            name=request.name,
            auto=request.auto,
            worker=request.worker,
            brief=request.brief,
            after=request.after,
            when=request.when,
            priority=request.priority,
            timeout=request.timeout,
            retries=request.retries,
            returns=request.returns,
            deliver=request.deliver,
            origin=Origin.PERSON,
            cohort=self.context.cohort(),
            tier=request.tier,
            model=request.model,
            role=request.role,
            inherit=request.inherit,
            context=self.conversation_so_far() if request.inherit else "",
            base=commit_of(place.cwd),
            replace=request.replace,
            snapshot=later,
            capture=capture,
            needs=request.needs,
            budget=request.budget,
            place=place,
            anchor=self.context.anchor(uid, request),
        )

    # the master

    def say(self, text: str, tier: str = "", model: str = "") -> str:
        """Say something to the master; the uid of the message.

        Raises
        ------
        UsageError
            For a tier that is none, when there is nothing to say, and for text that no file can hold.
        """
        if tier and tier not in TIERS:
            raise UsageError(f"the tier is one of {', '.join(TIERS)}, not {tier!r}")
        if tier and model:
            raise UsageError("a tier and a model exclude each other: keep one")
        if not str(text).strip():
            raise UsageError("there is nothing to say: write a message below the %%chat line")
        uid, said = uuid.uuid4().hex[:16], str(text).strip()
        runtime = self.runtime
        anchor = self.context.message_anchor(uid)
        self.saying(anchor)
        self.ask(
            e.MessageSent(
                runtime.now(), runtime.new_request(), uid=uid, text=said, anchor=anchor, tier=tier, model=model
            )
        )
        return uid

    def wait_for_master(self, timeout: float) -> None:
        """Wait until something of the conversation changes, at most `timeout` seconds. Interruptible."""
        self.board.wait_turn(timeout)
        if self.board.closed:
            raise OrchestraError(f"{self.board.closed}: restart the kernel, the journal keeps every task")

    @property
    def master_is_idle(self) -> bool:
        """Whether nothing of the conversation is under way."""
        return self.runtime.machine.conversation.idle

    def ask(self, event: e.Asked) -> e.Accepted:
        """Post a request and wait up to 1 s for the answer.

        Raises
        ------
        RefusedError
            With the machine's reason.
        """
        try:
            e.decode(e.encode(event))
        except (msgspec.ValidationError, TypeError, UnicodeError) as error:
            raise UsageError(f"this can't be written down: {error}") from None
        future = self.runtime.ask(event)
        try:
            answer = future.result(ANSWER_WITHIN)
        except FutureTimeout:
            if blocked := self.board.blocked:
                raise RefusedError(f"the journal can't be written: {blocked}") from None
            try:  # a loaded machine: it was heard and will be answered
                answer = future.result(10 * ANSWER_WITHIN)
            except (FutureTimeout, CancelledError):
                why = self.board.closed or "the machine is overloaded"
                raise OrchestraError(f"no answer ({why}): look at %tasks before you try again") from None
        if isinstance(answer, e.Refused):
            raise (UnknownTaskError if answer.reason.startswith("no task is called") else RefusedError)(answer.reason)
        return answer

    # acting on tasks

    def control(self, kind: type[e.Asked], names: Sequence[str] = (), **more: Any) -> list[TaskHandle]:
        """Post a request about tasks: ``kind`` is one of the events whose name ends with Asked."""
        if kind is not e.SteerAsked:
            more["targets"] = tuple(names)
        answer = self.ask(kind(self.runtime.now(), self.runtime.new_request(), **more))
        return [TaskHandle(self, uid) for uid in answer.uids]

    def find(self, name: str) -> TaskHandle:
        """The handle of a task by name. Raises UnknownTaskError."""
        view = self.board.find(str(name))
        if view is None:
            raise UnknownTaskError(unknown(str(name), self.board.names()))
        return TaskHandle(self, view.uid)

    def all(self) -> list[TaskHandle]:
        """Handles of all tasks, in the order of dispatch."""
        return [TaskHandle(self, view.uid) for view in self.board.all()]

    def explain(self, name: str) -> str:
        """In one line, why a task is where it is, and what its processes use or have used."""
        view = self.find(name).view
        machine = self.runtime.machine
        line = explain(machine, machine.tasks[view.uid], self.runtime.now())
        used = found.line if (found := usage(self, view)) is not None else ""
        return f"{line}; {used}" if used else line

    # waiting

    def wait(self, uids: Collection[str], timeout: float | None = None) -> bool:
        """Wait until tasks have ended, in short waits so that Ctrl-C ends the waiting at once. True when they have.

        Parameters
        ----------
        timeout
            Seconds; None waits as long as it takes.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            tick = TICK if end is None else min(TICK, max(0.0, end - time.monotonic()))
            if self._wait_once(uids, tick):
                self._bring_back(uids)
                return True
            if self.board.closed:
                raise OrchestraError(f"{self.board.closed}: restart the kernel, the journal keeps every task")
            if end is not None and time.monotonic() >= end:
                return False

    def _bring_back(self, uids: Collection[str]) -> None:
        """Returned variables are in the notebook once a cell has waited for their task."""
        if any((view := self.board.get(uid)) is not None and view.returns for uid in uids):
            self.settled()
            self.bring_back(uids)

    def _wait_once(self, uids: Collection[str], tick: float) -> bool:
        board = self.board
        self.copy_waiting()

        def over() -> bool:
            return all((view := board.get(uid)) is None or view.ended for uid in uids)

        views = [view for uid in uids if (view := board.get(uid)) is not None]
        loop_task = any(view.worker == "loop" and not view.ended for view in views)
        if loop_task and self.context.pump(over, tick):
            return over()
        return board.wait(uids, lambda view: view is None or view.ended, tick)

    def wait_any(self, uids: Collection[str], tick: float) -> None:
        """Wait until one of these has ended, at most `tick` seconds."""
        board = self.board
        self.copy_waiting()
        views = [view for uid in uids if (view := board.get(uid)) is not None]
        if any(view.worker == "loop" for view in views) and self.context.pump(lambda: board.any_ended(uids), tick):
            return
        board.wait_any(uids, tick)
        if board.closed:
            raise OrchestraError(f"{board.closed}: restart the kernel, the journal keeps every task")

    def settled(self) -> None:
        """Wait until what came with the last announcement, such as results, has reached its place."""
        self.runtime.on_loop(lambda: None).result(ANSWER_WITHIN)

    async def wait_async(self, uid: str) -> None:
        """Wait until a task has ended, ticking, so that an interrupt of the cell works."""
        loop = asyncio.get_running_loop()
        changed = asyncio.Event()
        end = self.board.watch(lambda: _poke(loop, changed))
        try:
            while (view := self.board.get(uid)) is not None and not view.ended and not self.board.closed:
                self.copy_waiting()
                changed.clear()
                try:
                    await asyncio.wait_for(changed.wait(), 0.1)
                except TimeoutError:
                    continue
        finally:
            end()

    def gather(self, handles: Iterable[TaskHandle], timeout: float | None = None) -> list[Any]:
        """The values of tasks, in their order, once all have ended.

        Raises
        ------
        GatherTimeout
            When they have not ended within `timeout` seconds; they run on.
        TaskFailed, TaskCancelled
            For the first one that has no value.
        """
        handles = list(handles)
        if not self.wait([handle.uid for handle in handles], timeout):
            raise self.late(handles, timeout)
        return [handle.get() for handle in handles]

    def late(self, handles: Iterable[TaskHandle], timeout: float | None) -> GatherTimeout:
        """What says that the waiting ended too early."""
        views = [handle.view for handle in handles if not handle.ready()]
        names = ", ".join(view.name for view in views)
        why = next((view.needs_you for view in views if view.needs_you), "") or self.board.blocked
        on = f"blocked: {why}" if why else "the waiting is over, the tasks go on"
        return GatherTimeout(f"not ended within {timeout:g} s: {names}; {on}")

    # values

    def value(self, view: TaskView, variable: str = "") -> Any:
        """The live value of a done task, or one of its returned variables; always the same object."""
        key = (view.uid, view.attempt, variable)
        if key in self._values:
            return self._values[key]
        if not variable and key[:2] in self.live:
            return self.live[key[:2]]
        assert view.result is not None
        if variable:
            if variable not in view.result.returned:
                known = ", ".join(view.result.returned) or "none"
                raise UnknownVariableError(f"task {view.name!r} brought back no {variable!r}; it brought back: {known}")
            blob: Blob | None = view.result.returned[variable]
        else:
            blob = view.result.value
        self._values[key] = value = None if blob is None else self._load(view, variable, blob)
        return value

    def _load(self, view: TaskView, variable: str, blob: Blob) -> Any:
        data = self.read(view, blob)
        what = f"{variable!r} of {view.name!r}" if variable else f"the value of {view.name!r}"
        try:
            return pickle.loads(data) if view.trusted else loads_untrusted(data)
        except NotPlainError as error:
            raise ValueGoneError(
                f"{what} holds {error}, which is not loaded from what a model wrote: dispatch its code yourself, or "
                f"have it return plain data; its output is kept: %task {view.name}"
            ) from None
        except Exception as error:
            why = plain(" ".join(f"{type(error).__name__}: {error}".split()))
            message = f"{what} can't be loaded here ({why}); its output is kept: %task {view.name}"
            raise ValueGoneError(message) from error

    def outputs(self, view: TaskView) -> list[dict[str, Any]]:
        """The outputs of a task, as nbformat has them; so far, while it runs."""
        if not view.ended:
            return self.live_outputs(view.uid, view.attempt)
        if view.result is None or view.result.outputs is None:
            return []
        found: list[dict[str, Any]] = json.loads(self.read(view, view.result.outputs))
        return found

    def artifacts(self, view: TaskView) -> dict[str, Path]:
        """The files that belong to a result."""
        made = view.result.artifacts if view.result is not None else ()
        files = ((artifact.name, self.runtime.journal.file(artifact.blob)) for artifact in made)
        return {name: path for name, path in files if path is not None}

    def read(self, view: TaskView, blob: Blob) -> bytes:
        """Bytes that belong to a result."""
        try:
            return self.runtime.journal.get(blob)
        except KeyError:
            raise OrchestraError(f"the result of {view.name!r} has left the journal: dispatch it again") from None

    def forget_values(self, uids: Collection[str]) -> None:
        """Let go of the live values of forgotten tasks."""
        for key in [key for key in self._values if key[0] in uids]:
            del self._values[key]
        for pair in [pair for pair in self.live if pair[0] in uids]:
            del self.live[pair]

    def unfinished(self) -> list[TaskHandle]:
        """Handles of the tasks that have not ended."""
        return [TaskHandle(self, view.uid) for view in self.board.all() if not view.ended]


def states_of(views: Iterable[TaskView]) -> dict[State, int]:
    """How many tasks are in each state."""
    counts: dict[State, int] = {}
    for view in views:
        counts[view.state] = counts.get(view.state, 0) + 1
    return counts


def _place() -> Place:
    try:
        cwd = os.getcwd()
    except FileNotFoundError:
        raise UsageError("the notebook's working directory is gone: os.chdir to one that exists") from None
    if not is_text(cwd):
        raise UsageError("the working directory's name is not UTF-8: os.chdir to one whose name is")
    return Place(cwd, tuple(filter(is_text, map(str, sys.path))))


def _poke(loop: asyncio.AbstractEventLoop, changed: asyncio.Event) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has closed
        loop.call_soon_threadsafe(changed.set)
