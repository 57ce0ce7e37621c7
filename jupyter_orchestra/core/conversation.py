"""Decides when the master is woken, what goes with its next request, and when a turn is over; it knows no model.

A result enters the context once: it is an arrival until the fact comes that a request which carried it succeeded, and
an item of the log from then on. Nothing here is undone by a kill, since only that fact moves it.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from . import events as e
from .model import Anchor, Delivery, Origin, Spec, Stage, State, Task
from .naming import Refusal
from .talk import Arrival, Key, LogItem, Message, Talk, Turn, TurnState

COHORT_HOLD = 5.0  # seconds from a cohort's first result in which the others may still join it
COMPOSING_HOLD = 20.0  # seconds that a wake waits while the person types
MAX_WAKES = 30  # since the person's last message: then results wait for the next one
MAX_STEPS = 24  # requests of one turn
REQUEST = 40  # results that go with one request; before the person's first message no more wait
AWAITED = 500  # results that wait: beyond, the oldest stay out of the context
FAN_OUT = 16  # tasks that one turn may dispatch
URGENT = (Delivery.NOW, Delivery.IDLE)


class Conversation:
    """The conversation of one notebook.

    Parameters
    ----------
    talk
        Its state.
    tasks
        All tasks, to be read.
    cohort
        The tasks that were dispatched together.
    show
        Told of each task whose picture changes.
    number
        Gives the next number for a result cell.
    """

    def __init__(
        self,
        talk: Talk,
        tasks: dict[str, Task],
        cohort: Callable[[str], list[Task]],
        show: Callable[[Task], None],
        number: Callable[[], int],
    ) -> None:
        self.talk = talk
        self._tasks, self._cohort, self._show, self._number = tasks, cohort, show, number
        self._out: list[e.Command] = []

    # what others ask

    @property
    def running(self) -> Turn | None:
        """The turn that runs."""
        last = self.last
        return last if last is not None and last.state is TurnState.RUNNING else None

    @property
    def last(self) -> Turn | None:
        """The newest turn."""
        return self.talk.turns[-1] if self.talk.turns else None

    def turn(self, number: int) -> Turn | None:
        """The turn with that number; they count from 1."""
        return self.talk.turns[number - 1] if 0 < number <= len(self.talk.turns) else None

    @property
    def idle(self) -> bool:
        """Whether nothing runs, waits or is about to wake the master."""
        waiting = any(not message.returned for message in self.talk.messages)
        return self.running is None and not waiting and not self._would_wake()

    def due(self) -> float | None:
        """When :meth:`consider` is wanted next, POSIX seconds."""
        talk = self.talk
        if self.running is not None or not self._may_wake():
            return None
        if talk.ready_since is not None:
            return talk.ready_since + COMPOSING_HOLD if talk.composing else talk.ready_since
        return min((arrival.at + COHORT_HOLD for arrival in self._urgent()), default=None)

    def dispatcher(self, number: int) -> Turn:
        """The running turn that asks for something. Raises Refusal when it is over."""
        turn = self.turn(number)
        if turn is None or turn.state is not TurnState.RUNNING or turn.stopping:
            raise Refusal("the turn that asks for this is over")
        return turn

    def admit(self, event: e.TasksDispatched) -> bool:
        """Whether what a turn dispatches is only proposed. Raises Refusal for too much and for the same again."""
        turn = self.dispatcher(event.turn)
        if turn.dispatched + len(event.tasks) > FAN_OUT:
            left = FAN_OUT - turn.dispatched
            raise Refusal(f"at most {FAN_OUT} tasks may be dispatched in one turn, and {left} are left: dispatch fewer")
        alive = [task for task in self._tasks.values() if task.spec.origin is Origin.MASTER and not task.ended]
        for spec in event.tasks:
            if spec.origin is not Origin.MASTER:
                raise Refusal("what the master dispatches is the master's")
            if spec.replace and turn.tainted:
                raise Refusal("a result has entered this turn, so it may replace no task: choose another name")
            twin = next((task for task in alive if _is_same(task.spec, spec)), None)
            if twin is not None:
                raise Refusal(f"task {twin.name!r} does the same and is {twin.state}: wait for it, or cancel it first")
        turn.dispatched += len(event.tasks)
        return turn.tainted

    # facts

    def handle(self, event: e.Event) -> list[e.Command]:
        """Take a fact of the conversation in. Raises Refusal for a request that can't be met."""
        _HANDLERS[type(event)].__get__(self)(event)
        return self._told()

    def arrived(self, task: Task, now: float) -> None:
        """A result has come; failures are told at the latest when the master is idle."""
        deliver = task.spec.deliver
        if task.state is not State.DONE and deliver in (Delivery.TURN, Delivery.SILENT):
            deliver = Delivery.IDLE
        if deliver is Delivery.SILENT:
            return
        arrivals = self.talk.arrivals
        arrivals.pop(task.uid, None)
        arrivals[task.uid] = Arrival(task.uid, task.attempt, now, task.spec.cohort, deliver)
        if len(arrivals) > (AWAITED if self.talk.started else REQUEST):
            del arrivals[next(iter(arrivals))]

    def forget(self, uid: str) -> None:
        """A result is superseded, or its task forgotten."""
        self.talk.arrivals.pop(uid, None)

    def awaits(self, uid: str) -> bool:
        """Whether a result is still to enter the context."""
        return self.talk.started and uid in self.talk.arrivals

    def shown(self, uid: str, tries: int) -> list[e.Command]:
        """A reply stands where the person sees it."""
        for turn in reversed(self.talk.turns):
            if turn.uid == uid and turn.tries == tries and turn.stage is Stage.QUEUED:
                turn.stage = Stage.SHOWN
                self._show_turn(turn)
        return self._told()

    def kernel_started(self, now: float) -> list[e.Command]:
        """A turn that was cut off goes on; replies that nobody saw are on their way again."""
        self.talk.composing.clear()
        for turn in self.talk.turns:
            if turn.state is TurnState.RUNNING:
                self._out.append(e.BeginTurn(turn.number))
            elif turn.stage is Stage.QUEUED:
                self._out.append(e.DeliverReply(turn.number))
        return self._told()

    def consider(self, now: float) -> list[e.Command]:
        """Begin a turn if one is due."""
        talk = self.talk
        if self.running is not None:
            talk.ready_since = None
        elif messages := self._next_messages():
            self._begin(now, messages)
        elif self._may_wake() and self._ready(now):
            talk.ready_since = now if talk.ready_since is None else talk.ready_since
            if not talk.composing or now >= talk.ready_since + COMPOSING_HOLD:
                talk.wakes += 1
                self._begin(now, [])
        else:
            talk.ready_since = None
        return self._told()

    # the person

    def _on_message_sent(self, event: e.MessageSent) -> None:
        if not event.text.strip():
            raise Refusal("there is nothing to say: write a message below the %%chat line")
        message = Message(event.uid, event.text, event.at, event.anchor, event.tier, event.model)
        self._supersede(message)
        self.talk.messages.append(message)
        self.talk.started, self.talk.wakes = True, 0
        self._out.append(e.Accepted(event.request, (event.uid,)))

    def _supersede(self, message: Message) -> None:
        """A cell that is run again has no place for the reply to what it said before."""
        for turn in self.talk.turns:
            if turn.stage is Stage.QUEUED and _same_cell(turn.anchor, message.anchor):
                turn.stage = Stage.SUPERSEDED
                self._show_turn(turn)

    def _on_composing_changed(self, event: e.ComposingChanged) -> None:
        if event.on:
            self.talk.composing.setdefault(event.page, event.at)
        else:
            self.talk.composing.pop(event.page, None)

    def _on_stop_turn_asked(self, event: e.StopTurnAsked) -> None:
        if (turn := self.running) is None:
            raise Refusal("the master is in no turn: there is nothing to stop (%cancel ends tasks)")
        turn.stopping = True
        self._out.append(e.StopTurn(turn.number))
        self._out.append(e.Accepted(event.request))

    def _on_retry_turn_asked(self, event: e.RetryTurnAsked) -> None:
        turn = self.last
        if turn is None or turn.state is not TurnState.FAILED:
            raise Refusal("no turn of the master has failed: say something with %%chat")
        mine = {message.uid for message in turn.messages}
        self.talk.messages = [message for message in self.talk.messages if message.uid not in mine]
        turn.state, turn.reason, turn.ended_at, turn.stopping = TurnState.RUNNING, "", None, False
        turn.partial = ""
        turn.tries += 1
        turn.stage = Stage.SUPERSEDED if turn.stage is Stage.QUEUED else turn.stage
        self._show_turn(turn)
        self._out += [e.BeginTurn(turn.number), e.Accepted(event.request)]

    # the master

    def _on_step_asked(self, event: e.StepAsked) -> None:
        turn = self.turn(event.turn)
        if turn is None or turn.state is not TurnState.RUNNING or turn.open_calls:
            self._out.append(e.EndTurn(event.turn))
            return
        if turn.stopping:
            self._out.append(e.StopTurn(turn.number))
            return
        if turn.step >= MAX_STEPS:
            self._end(turn, TurnState.DONE, event.at, f"ended after {MAX_STEPS} steps: say how to go on")
            return
        if event.who and event.who != self.talk.who:
            self.talk.who = event.who
            turn.lines.append(event.who)
            self._show_turn(turn)
        if turn.step and self.talk.messages:  # what the person said meanwhile joins it
            turn.messages += self.talk.messages
            turn.wake = False
            self.talk.messages = []
            self._show_turn(turn)
        fresh = [message.uid for message in turn.messages if message.uid not in turn.carried]
        results = self._input(turn, bool(fresh), event.at)[:REQUEST]
        if not fresh and not results and (turn.settled or not turn.step):  # what it was for is forgotten meanwhile
            self._finish(turn, event.at)
            return
        if not event.literal and (results or turn.results):
            turn.tainted = True
        self._out.append(e.GiveInput(turn.number, turn.step + 1, tuple(fresh), tuple(results)))

    def _input(self, turn: Turn, spoken: bool, now: float) -> list[Key]:
        """The results that go with the next request: with a message of the person, all that have come."""
        if spoken:
            return [arrival.key for arrival in self.talk.arrivals.values()]
        if turn.wake and not turn.step:
            return [arrival.key for arrival in self._ready(max(now, turn.begun_at))]  # clocks may step back
        return [arrival.key for arrival in self._urgent() if arrival.deliver is Delivery.NOW]

    def _on_step_done(self, event: e.StepDone) -> None:
        turn = self.turn(event.turn)
        if turn is None or turn.state is not TurnState.RUNNING or event.step != turn.step + 1:
            return
        waiting = {arrival.key for arrival in self.talk.arrivals.values()}
        entered = tuple(key for key in event.results if key in waiting)
        for index, item in enumerate(event.items):
            self.talk.log.append(LogItem(turn.number, item, () if index else entered))
        for uid, attempt in entered:
            del self.talk.arrivals[uid]
            task = self._tasks.get(uid)
            if task is not None and task.attempt == attempt:
                task.entered = turn.number
                self._show(task)
        turn.results += entered
        turn.carried += [uid for uid in event.messages if uid not in turn.carried]
        turn.step, turn.open_calls, turn.settled = event.step, event.calls, not event.calls
        turn.tokens_in += event.tokens_in
        turn.tokens_out += event.tokens_out
        turn.text = "\n\n".join(part for part in (turn.text, event.text) if part)
        self._show_turn(turn)
        if not event.calls and not any(arrival.deliver is Delivery.NOW for arrival in self._urgent()):
            self._finish(turn, event.at)

    def _on_calls_answered(self, event: e.CallsAnswered) -> None:
        turn = self.turn(event.turn)
        if turn is None or event.step != turn.step or not turn.open_calls:
            return
        self.talk.log += [LogItem(turn.number, item) for item in event.items]
        turn.open_calls = 0
        turn.lines += event.lines
        turn.tainted = turn.tainted or event.read
        self._show_turn(turn)

    def _on_turn_failed(self, event: e.TurnFailed) -> None:
        turn = self.turn(event.turn)
        if turn is None or turn.state is not TurnState.RUNNING:
            return
        back = [] if event.too_long else [message for message in turn.messages if message.uid not in turn.carried]
        returned = [Message(m.uid, m.text, m.at, m.anchor, m.tier, m.model, returned=True) for m in back]
        self.talk.messages = [*returned, *self.talk.messages]
        turn.partial = event.text
        self._end(turn, TurnState.FAILED, event.at, event.message)

    def _on_turn_stopped(self, event: e.TurnStopped) -> None:
        turn = self.turn(event.turn)
        if turn is None or turn.state is not TurnState.RUNNING:
            return
        self.talk.log += [LogItem(turn.number, item) for item in event.items]
        turn.carried = [message.uid for message in turn.messages]
        turn.open_calls = 0
        turn.text = "\n\n".join(part for part in (turn.text, event.text) if part)
        for uid, arrival in self.talk.arrivals.items():  # who stops the master wants it quiet until they speak again
            self.talk.arrivals[uid] = msgspec.structs.replace(arrival, deliver=Delivery.TURN)
        self._end(turn, TurnState.STOPPED, event.at, "stopped by you")

    def _on_log_folded(self, event: e.LogFolded) -> None:
        if self.talk.folded < event.upto <= len(self.talk.log):
            self.talk.folded, self.talk.summary = event.upto, event.item

    # moves

    def _next_messages(self) -> list[Message]:
        """What a new turn answers: the next message, and before it those that a failed turn left behind."""
        messages = self.talk.messages
        if all(message.returned for message in messages):  # they wait for the person: %orchestra retry, or a message
            return []
        count = next(index for index, message in enumerate(messages) if not message.returned) + 1
        taken, self.talk.messages = messages[:count], messages[count:]
        return taken

    def _begin(self, now: float, messages: list[Message]) -> None:
        talk = self.talk
        newest = messages[-1] if messages else None
        number = len(talk.turns) + 1
        turn = Turn(
            number,
            newest.uid if newest is not None else f"turn-{number}-{int(now * 1000):x}",
            now,
            anchor=newest.anchor if newest is not None else None,
            messages=messages,
            wake=newest is None,
            tainted=newest is None,
            tier=newest.tier if newest is not None else "",
            model=newest.model if newest is not None else "",
        )
        talk.turns.append(turn)
        talk.ready_since = None
        self._show_turn(turn)
        self._out.append(e.BeginTurn(number))

    def _finish(self, turn: Turn, now: float) -> None:
        silent = turn.step and not turn.text and not turn.lines
        self._end(turn, TurnState.DONE, now, "the model answered nothing" if silent else "")

    def _end(self, turn: Turn, state: TurnState, now: float, reason: str) -> None:
        turn.state, turn.reason, turn.ended_at, turn.stopping = state, reason, now, False
        for uid, attempt in turn.results if turn.text and state is TurnState.DONE else ():
            task = self._tasks.get(uid)
            if task is not None and task.attempt == attempt:
                task.discussed = True
                self._show(task)
        said = turn.text or turn.lines or turn.number_of_cell  # a cell that tells of a failure is written anew
        mine = {message.uid for message in turn.messages}
        if any(_same_cell(turn.anchor, later.anchor) and later.uid not in mine for later in self.talk.messages):
            turn.stage = Stage.SUPERSEDED
        elif not turn.wake or said or state is TurnState.FAILED:
            turn.stage = Stage.QUEUED
            if not turn.number_of_cell and (turn.anchor is None or not turn.anchor.cell):
                turn.number_of_cell = self._number()
            self._out.append(e.DeliverReply(turn.number))
        self._show_turn(turn)
        self._out.append(e.EndTurn(turn.number))

    def _show_turn(self, turn: Turn) -> None:
        turn.version += 1
        self._out.append(e.ShowTurn(turn.number))

    # helpers

    def _may_wake(self) -> bool:
        """Whether results may wake the master at all.

        Nobody who never talked to a model gets wakes, nor who has not seen to a failure, nor beyond the budget.
        """
        last = self.last
        failed = last is not None and last.state is TurnState.FAILED
        return self.talk.started and not failed and self.talk.wakes < MAX_WAKES

    def _would_wake(self) -> bool:
        return self._may_wake() and bool(self._urgent())

    def _urgent(self) -> list[Arrival]:
        return [arrival for arrival in self.talk.arrivals.values() if arrival.deliver in URGENT]

    def _ready(self, now: float) -> list[Arrival]:
        """What a wake would bring: the results of cohorts that are complete, or were waited for long enough."""
        urgent = self._urgent()
        first: dict[str, float] = {}
        for arrival in urgent:
            first[arrival.cohort] = min(arrival.at, first.get(arrival.cohort, arrival.at))
        ready = {
            cohort
            for cohort, since in first.items()
            if not cohort or now >= since + COHORT_HOLD or all(task.ended for task in self._cohort(cohort))
        }
        return [arrival for arrival in urgent if arrival.deliver is Delivery.NOW or arrival.cohort in ready]

    def _told(self) -> list[e.Command]:
        out, self._out = self._out, []
        return out


def _same_cell(one: Anchor | None, other: Anchor | None) -> bool:
    return one is not None and other is not None and bool(one.cell) and one.cell == other.cell


def _is_same(one: Spec, other: Spec) -> bool:
    return (one.worker, one.brief, one.after) == (other.worker, other.brief, other.after)


_HANDLERS: dict[type[e.Event], Callable[..., None]] = {
    e.MessageSent: Conversation._on_message_sent,
    e.ComposingChanged: Conversation._on_composing_changed,
    e.StopTurnAsked: Conversation._on_stop_turn_asked,
    e.RetryTurnAsked: Conversation._on_retry_turn_asked,
    e.StepAsked: Conversation._on_step_asked,
    e.StepDone: Conversation._on_step_done,
    e.CallsAnswered: Conversation._on_calls_answered,
    e.TurnFailed: Conversation._on_turn_failed,
    e.TurnStopped: Conversation._on_turn_stopped,
    e.LogFolded: Conversation._on_log_folded,
}
OF_CONVERSATION = frozenset(_HANDLERS)
