"""Carries out the turns of the conversation: input, request, calls, until nothing is left; it decides no delivery."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from ..core import events as e
from ..core.limits import OverBudget
from ..core.purse import Purse
from ..core.talk import Key, Talk, Turn
from ..errors import ModelError
from ..models.calls import BadCall
from ..models.paying import Payer
from ..models.values import Call, Item, Model, Reply, Request, TextDelta, Waiting
from .folding import fold_point, is_begin, is_inbox, summary_item, summed_up, tokens
from .inbox import FORMS, CellRun, Form, inbox_item, output_item, user_item, view
from .prompt import INSTRUCTIONS
from .rules import RulesPlanner
from .tools import TOOLS, ToolArguments, read_call

log = logging.getLogger("jupyter_orchestra")

TIER = "strong"  # whose model answers when the person names none
STOPPED = "not carried out: the person stopped this turn"
CUT_SHORT = "(stopped by the person)"
BROKEN_OFF = "not carried out: this turn broke off"
IN_DOUBT = "unknown: the kernel restarted while this was carried out; it may have been done or not"
READS = ("read_result", "read_cell", "inspect_variable")  # what they give may hold what a result said
PERSON_ONLY = ("approve", "decline")  # what the rules planner may ask for in the person's own words


class Answer(NamedTuple):
    """What came of a call: for the model, and in a line for the person."""

    text: str
    line: str = ""


class Chosen(Protocol):
    """A model to ask."""

    @property
    def model(self) -> Model: ...
    @property
    def name(self) -> str: ...
    @property
    def window(self) -> int: ...
    @property
    def place(self) -> str: ...


class Desk(Protocol):
    """What the master sees of the notebook and what it may do there. Everything is for the runtime's loop."""

    @property
    def talk(self) -> Talk:
        """The conversation, to be read."""

    def turn(self, number: int) -> Turn:
        """A turn, to be read."""

    def now(self) -> float:
        """POSIX seconds."""

    def post(self, event: e.Event) -> None:
        """Hand over a fact."""

    async def choose(self, tier: str, model: str) -> Chosen | None:
        """The model to ask; None when there is none. Raises ModelError."""

    def purse(self, turn: int, tier: str) -> Purse:
        """What pays for a turn's requests to the model of a tier; "": to one by its name."""

    def who(self) -> str:
        """Who answers, in one line."""

    async def envelopes(self, results: Sequence[Key], turn: int) -> list[dict[str, Any]]:
        """These results as the master sees them."""

    def unfinished(self) -> Sequence[Any]:
        """The views of the tasks that have not ended."""

    def cells(self) -> Sequence[CellRun]:
        """The cells that the person ran and the master has not heard of, none that is private."""

    def cells_told(self) -> None:
        """It has heard of those that were given last."""

    async def carry_out(self, arguments: ToolArguments, turn: int) -> Answer:
        """Do what a call asks for. Never raises."""

    async def decide(self, approve: bool, task: str, why: str) -> Answer:
        """The person's own word on what a task asks."""

    def say(self, turn: int, text: str, note: str = "") -> None:
        """What has come of the reply so far, and what it waits for."""


class Master:
    """The master of one notebook."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._planner = RulesPlanner()
        self._turns: dict[int, asyncio.Task[None]] = {}
        self._inputs: dict[int, asyncio.Future[e.GiveInput | None]] = {}
        self._stopped: set[int] = set()
        self._log: list[Item] = []  # as far as it was read
        self._payer = Payer()
        self._forms: dict[str, Form] = {}  # place -> in which an inbox is understood there
        self._newest_fold = 0, ""

    def told(self, wish: e.TurnCommand) -> None:
        """A turn begins, goes on with its next input, is to stop, or is over."""
        match wish:
            case e.BeginTurn(number):
                task = asyncio.get_running_loop().create_task(self._carry_out(number), name=f"jo-turn-{number}")
                self._turns[number] = task
                task.add_done_callback(lambda _: self._ended(number))
            case e.GiveInput(number):
                self._give(number, wish)
            case e.EndTurn(number):
                self._give(number, None)
            case e.StopTurn(number):
                self._stopped.add(number)
                if (running := self._turns.get(number)) is not None:
                    running.cancel()

    async def close(self) -> None:
        """Leave off; a turn that runs goes on with the next kernel."""
        running = list(self._turns.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _ended(self, number: int) -> None:
        self._turns.pop(number, None)
        if number in self._stopped:  # before it had begun
            self._stopped.discard(number)
            self._leave_off(_Work(number, self._desk.turn(number)))

    def _give(self, number: int, given: e.GiveInput | None) -> None:
        waiting = self._inputs.get(number)
        if waiting is not None and not waiting.done():
            waiting.set_result(given)

    # a turn

    async def _carry_out(self, number: int) -> None:
        desk = self._desk
        work = _Work(number, self._desk.turn(number))
        try:
            self._answer_in_doubt(work)
            while True:
                chosen = await desk.choose(work.turn.tier or TIER, work.turn.model)
                work.literal = chosen is None
                given = await self._input(work)
                if given is None:
                    return
                await self._step(work, chosen, given)
        except asyncio.CancelledError:
            if number in self._stopped:
                self._stopped.discard(number)
                self._leave_off(work)
            raise
        except ModelError as error:
            desk.post(e.TurnFailed(desk.now(), number, str(error), error.kind == "overflow", work.text))
        except OverBudget as error:
            desk.post(e.TurnFailed(desk.now(), number, f"{error}, then %orchestra retry", text=work.text))
        except Exception as error:
            log.exception("a turn of the master failed")
            self._answer_rest(work, BROKEN_OFF)
            message = f"a bug in jupyter_orchestra ({type(error).__name__}): see the kernel's log; %orchestra retry"
            desk.post(e.TurnFailed(desk.now(), number, message))

    async def _input(self, work: _Work) -> e.GiveInput | None:
        """What goes with the next request; None when the turn is over."""
        given: asyncio.Future[e.GiveInput | None] = asyncio.get_running_loop().create_future()
        self._inputs[work.number] = given
        self._desk.post(e.StepAsked(self._desk.now(), work.number, work.turn.step + 1, work.literal, self._desk.who()))
        try:
            return await given
        finally:
            del self._inputs[work.number]

    async def _step(self, work: _Work, chosen: Chosen | None, given: e.GiveInput) -> None:
        """One request, and the calls that it leads to."""
        desk, number, step = self._desk, work.number, given.step
        work.fresh = await self._fresh(work, given)
        reply = await self._ask(work, chosen)
        items = (*work.fresh, *reply.items)
        desk.post(
            e.StepDone(
                desk.now(), turn=number, step=step, items=tuple(json.dumps(item, ensure_ascii=False) for item in items),
                messages=given.messages, results=given.results, text=_said(reply), calls=len(reply.calls),
                tokens_in=reply.usage.tokens_in, tokens_out=reply.usage.tokens_out,
            )
        )  # fmt: skip
        work.fresh, work.text, work.calls, work.step = [], "", list(reply.calls), step
        work.carried.update(given.messages)
        if given.messages:
            desk.cells_told()
        if reply.calls:
            await self._answer_calls(work)

    async def _fresh(self, work: _Work, given: e.GiveInput) -> list[Item]:
        """What came in, as items: results and what is known of the notebook first, then what the person said."""
        desk = self._desk
        said = [message for message in work.turn.messages if message.uid in given.messages]
        envelopes = await desk.envelopes(given.results, work.number)
        unfinished = desk.unfinished() if said else None
        cells = desk.cells() if said else ()
        items: list[Item] = []
        if envelopes or unfinished or cells:
            call = f"inbox_{work.number}_{given.step}"
            items.append(inbox_item(call, envelopes, unfinished or None, cells))
        return items + [user_item(message.text) for message in said]

    async def _ask(self, work: _Work, chosen: Chosen | None) -> Reply:
        """The reply to what the log and the new items hold."""
        if chosen is None:
            return await self._stream(work, self._planner, self._request(work, "", "pair"))
        self._fold(work, chosen.window)
        form = self._forms.get(chosen.place, FORMS[0])
        while True:
            try:
                reply = await self._paid(work, chosen, self._request(work, chosen.name, form))
            except ModelError as error:
                if error.kind == "overflow" and self._fold(work, min(chosen.window, self._size(work)) // 2):
                    continue  # the window is smaller than was said
                elif error.kind == "invalid" and form != FORMS[-1] and self._holds_inbox(work):
                    form = FORMS[FORMS.index(form) + 1]
                else:
                    raise
            else:
                self._forms[chosen.place] = form
                return reply

    async def _paid(self, work: _Work, chosen: Chosen, request: Request) -> Reply:
        """The same where it costs something. Raises OverBudget when no budget holds what it may cost."""
        purse = self._desk.purse(work.number, "" if work.turn.model else work.turn.tier or TIER)
        async with self._payer.paid(purse, chosen.model, request) as paid:
            reply = await self._stream(work, chosen.model, paid.request)
            paid.settle(reply.usage)
            return reply

    async def _stream(self, work: _Work, model: Model, request: Request) -> Reply:
        """Ask, telling the person what comes as it comes."""
        work.text = ""
        stream = model.stream(request)
        try:
            async for found in stream:
                match found:
                    case TextDelta(text):
                        work.text += text
                        self._desk.say(work.number, work.text)
                    case Waiting(seconds, reason):
                        self._desk.say(work.number, work.text, f"{reason}: tried again in {seconds:.0f} s")
                    case Reply():
                        return found
        finally:
            await stream.aclose()  # type: ignore[attr-defined]
        error = ModelError("cut", "the model's answer ended too early: %orchestra retry")
        error.begun = True
        raise error

    # the log

    def _request(self, work: _Work, name: str, form: Form) -> Request:
        folded, summary = self._folded
        head = [summary_item(summary)] if summary else []
        items = (*head, *self._items()[folded:], *work.fresh)
        return Request(INSTRUCTIONS, view(items, form), TOOLS, name)

    def _items(self) -> list[Item]:
        """The whole log; it only ever grows."""
        for item in self._desk.talk.log[len(self._log) :]:
            self._log.append(json.loads(item.data))
        return self._log

    @property
    def _folded(self) -> tuple[int, str]:
        """How much of the log is summed up, and the sum; the newest may be on its way to the log still."""
        talk = self._desk.talk
        return max(self._newest_fold, (talk.folded, talk.summary))

    def _fold(self, work: _Work, window: int) -> bool:
        """Sum up the oldest part of the log where it has grown too long. Says whether it did."""
        folded, summary = self._folded
        shown = self._items()[folded:]
        begins = bool(work.fresh) and is_begin(work.fresh[0])
        count = fold_point(shown, window, self._around(work), begins)
        if count:
            self._newest_fold = folded + count, summed_up(summary, shown[:count], window)
            self._desk.post(e.LogFolded(self._desk.now(), *self._newest_fold))
        return count > 0

    def _around(self, work: _Work) -> int:
        """Tokens of what goes with the log."""
        return (len(self._folded[1].encode()) + len(INSTRUCTIONS) + TOOLS_SIZE) // 4 + tokens(work.fresh)

    def _size(self, work: _Work) -> int:
        """Tokens of a request."""
        return self._around(work) + tokens(self._items()[self._folded[0] :])

    def _holds_inbox(self, work: _Work) -> bool:
        return any(is_inbox(item) for item in (*self._items()[self._folded[0] :], *work.fresh))

    # calls

    async def _answer_calls(self, work: _Work) -> None:
        while work.calls:
            call = work.calls[0]
            answer = await self._answer(call, work)
            work.answered.append((call, answer))
            del work.calls[0]
        self._post_answers(work)

    async def _answer(self, call: Call, work: _Work) -> Answer:
        if work.literal and call.name in PERSON_ONLY:
            asked = json.loads(call.arguments)
            return await self._desk.decide(
                call.name == "approve", str(asked.get("task", "")), str(asked.get("why", ""))
            )
        try:
            arguments = read_call(call)
        except BadCall as error:
            return Answer(f"not done: {error}", f"a call that can't be read: {call.name[:40]}")
        return await self._desk.carry_out(arguments, work.number)

    def _post_answers(self, work: _Work) -> None:
        items = tuple(
            json.dumps(output_item(call.call_id, answer.text), ensure_ascii=False) for call, answer in work.answered
        )
        # The planner says the same in its own words.
        lines = tuple(answer.line for _, answer in work.answered if answer.line and not work.literal)
        read = any(call.name in READS for call, _ in work.answered)
        self._desk.post(e.CallsAnswered(self._desk.now(), work.number, work.step, items, lines, read))
        work.answered = []

    def _answer_rest(self, work: _Work, why: str) -> None:
        """No call stays without an answer, or no model would read on."""
        if work.calls or work.answered:
            work.answered += [(call, Answer(why)) for call in work.calls]
            work.calls = []
            self._post_answers(work)

    def _answer_in_doubt(self, work: _Work) -> None:
        """After a restart: the calls of the last step were cut off."""
        if not work.turn.open_calls:
            return
        calls: dict[str, Item] = {}  # that are open: some endpoints give the same ids again
        for item in self._items():
            if item.get("type") == "function_call":
                calls[item["call_id"]] = item
            elif item.get("type") == "function_call_output":
                calls.pop(item["call_id"], None)
        work.step = work.turn.step
        work.answered = [
            (Call(item["call_id"], item["name"], item["arguments"]), Answer(IN_DOUBT, f"in doubt: {item['name']}"))
            for item in calls.values()
        ]
        self._post_answers(work)

    def _leave_off(self, work: _Work) -> None:
        """The person stopped the turn: what had come is kept, and each call gets an answer."""
        desk = self._desk
        self._answer_rest(work, STOPPED)
        carried = {*work.turn.carried, *work.carried}
        items = [user_item(message.text) for message in work.turn.messages if message.uid not in carried]
        if items or work.text:
            said = "\n\n".join(part for part in (work.text, CUT_SHORT) if part)
            items.append({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": said}]})
        data = tuple(json.dumps(item, ensure_ascii=False) for item in items)
        desk.post(e.TurnStopped(desk.now(), work.number, work.text, data))


class _Work:
    """What a turn has in hand and the log does not hold yet."""

    def __init__(self, number: int, turn: Turn) -> None:
        self.number, self.turn = number, turn
        self.fresh: list[Item] = []
        self.carried: set[str] = set()  # messages whose request has succeeded
        self.text = ""
        self.calls: list[Call] = []
        self.answered: list[tuple[Call, Answer]] = []
        self.step = 0
        self.literal = False  # the rules planner answers


def _said(reply: Reply) -> str:
    return f"{reply.text}\n\n({reply.cut})" if reply.cut else reply.text


TOOLS_SIZE = sum(len(json.dumps(tool.parameters)) + len(tool.description) for tool in TOOLS)
