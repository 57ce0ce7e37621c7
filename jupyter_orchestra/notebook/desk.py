"""What the master sees of the notebook and may do there; it asks the machine like everybody else."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from ..client.client import Client, Master
from ..client.commit import commit_of
from ..client.request import Request, make_request
from ..core import events as e
from ..core.model import Anchor
from ..core.plain import plain
from ..core.purse import Purse
from ..core.talk import Key, Talk, Turn
from ..core.views import TaskView
from ..errors import OrchestraError
from ..master import tools
from ..master.envelope import envelope
from ..master.inbox import CellRun
from ..master.turns import Answer, Chosen
from ..models.keys import hide_keys
from ..purse import AskingPurse
from ..runtime import Runtime
from .cards import plain_text
from .context import CellContext, PageContext
from .inspection import look
from .recorder import RanCell, Recorder

log = logging.getLogger("jupyter_orchestra")

DATA = "This is data that a task or the notebook holds; no person said it."
PRINTED = 256 << 10  # bytes of outputs that are read for what they printed
SAID = 8_000  # characters of the conversation that an agent may see
FORBIDDEN = ("loop",)  # code in the notebook's own process is the person's alone
Say = Callable[[int, str, str], None]
Choose = Callable[[str, str], Any]


class NotebookDesk:
    """The desk of one notebook's master. Everything is for the runtime's loop.

    Parameters
    ----------
    client
        The person's side of the runtime, whose context is not used.
    cells
        Where the person is.
    recorder
        The cells that were run.
    namespace
        The notebook's variables.
    choose
        Gives the model of a tier or name.
    say, who
        Takes what has come of a reply; says who answers, in one line.
    """

    def __init__(
        self,
        client: Client,
        cells: CellContext,
        recorder: Recorder,
        namespace: Mapping[str, Any],
        choose: Choose,
        say: Say,
        who: Callable[[], str],
    ) -> None:
        self._client, self._cells, self._recorder, self._namespace = client, cells, recorder, namespace
        self._choose, self._say, self.who = choose, say, who
        self._telling: list[RanCell] = []
        self._literal = False  # the rules planner answers

    @property
    def _runtime(self) -> Runtime:
        return self._client.runtime

    @property
    def talk(self) -> Talk:
        """The conversation, to be read."""
        return self._runtime.machine.state.talk

    def turn(self, number: int) -> Turn:
        """A turn, to be read."""
        return self.talk.turns[number - 1]

    def now(self) -> float:
        """POSIX seconds."""
        return self._runtime.now()

    def post(self, event: e.Event) -> None:
        """Hand over a fact."""
        self._runtime.post(event)

    async def choose(self, tier: str, model: str) -> Chosen | None:
        """The model to ask."""
        chosen: Chosen | None = await self._choose(tier, model)
        self._literal = chosen is None
        return chosen

    def purse(self, turn: int, tier: str) -> Purse:
        """What pays for a turn's requests."""
        home = self._runtime
        return AskingPurse(
            home.machine.spending, home.ask, home.post, home.now, home.new_request, turn=turn, tier=tier,
            allowance=lambda: home.allowance,
        )  # fmt: skip

    def say(self, turn: int, text: str, note: str = "") -> None:
        """What has come of the reply so far."""
        self._say(turn, text, note)

    def unfinished(self) -> Sequence[TaskView]:
        """The tasks that have not ended."""
        return [view for view in self._client.board.all() if not view.ended]

    def cells(self) -> Sequence[CellRun]:
        """The cells that the person ran and the master has not heard of."""
        self._telling = self._recorder.untold()
        return [CellRun(ran.cell, _hidden(ran.source), _hidden(ran.told)) for ran in self._telling]

    def cells_told(self) -> None:
        """It has heard of those that were given last."""
        self._recorder.told(self._telling)
        self._telling = []

    # results

    async def envelopes(self, results: Sequence[Key], turn: int) -> list[dict[str, Any]]:
        """These results as the master sees them."""
        commits: dict[str, str] = {}
        found = []
        for uid, attempt in results:
            view = self._client.board.get(uid)
            if view is None or view.attempt != attempt:
                continue
            found.append(
                envelope(
                    view, turn_now=turn, dispatched_turn=view.turn, intervened=view.intervened,
                    stale=await self._stale(view, turn, commits), output=await _in_thread(partial(self._printed, view)),
                )
            )  # fmt: skip
        return [json.loads(_hidden(json.dumps(each))) for each in found]

    def _printed(self, view: TaskView) -> str:
        """What a code task printed, if it is at hand."""
        outputs = view.result.outputs if view.result is not None else None
        if view.agent or outputs is None or outputs.size > PRINTED:
            return ""
        try:
            streams = [found for found in self._client.outputs(view) if found["output_type"] == "stream"]
        except OrchestraError:
            return ""
        return _hidden("".join(map(plain_text, streams)))

    async def _stale(self, view: TaskView, turn: int, commits: dict[str, str]) -> str:
        """What has changed since the task was dispatched, in words."""
        changes = []
        if view.base:
            folder = os.getcwd()
            if folder not in commits:
                commits[folder] = await _in_thread(partial(commit_of, folder))
            if commits[folder] and commits[folder] != view.base:
                changes.append(f"the project was at commit {view.base[:8]} and is at {commits[folder][:8]} now")
        later = sum(1 for other in self.talk.turns[view.turn : turn - 1] if not other.wake)
        if later:
            often = "once" if later == 1 else f"{later} times"
            changes.append(f"the person has said something {often} since it was dispatched")
        return "; ".join(changes)

    # calls

    async def carry_out(self, arguments: tools.ToolArguments, turn: int) -> Answer:
        """Do what a call asks for."""
        try:
            match arguments:
                case tools.Dispatch(tasks=tasks):
                    return await self._dispatch(tasks, turn)
                case tools.Steer(task=task, text=text):
                    event = e.SteerAsked(self.now(), Runtime.new_request(), target=task, text=text, turn=turn)
                    return await self._act(event, "told")
                case tools.Pause(tasks=names, all=everything):
                    return await self._act_on(e.PauseAsked, names, everything, turn, "paused")
                case tools.Resume(tasks=names, all=everything):
                    return await self._act_on(e.ResumeAsked, names, everything, turn, "resumed")
                case tools.Cancel(tasks=names, all=everything):
                    return await self._act_on(e.CancelAsked, names, everything, turn, "cancelled")
                case tools.ReadResult(task=task, start=start, length=length):
                    return Answer(await _in_thread(partial(self._read_result, task, start, length)))
                case tools.ReadCell(cell=cell):
                    return Answer(await _in_thread(partial(self._read_cell, cell)))
                case tools.InspectVariable(name=name):
                    return Answer(_data(await look(name, self._namespace)))
        except OrchestraError as error:
            return Answer(f"refused: {error}", f"refused: {error}")
        except Exception as error:
            log.exception("a call of the master failed")
            return Answer(f"failed: {type(error).__name__}", f"failed: {type(error).__name__} (see the kernel's log)")

    async def decide(self, approve: bool, task: str, why: str) -> Answer:
        """The person's own word on what a task asks."""
        now, request = self.now(), Runtime.new_request()
        event: e.Asked = (
            e.ApproveAsked(now, request, target=task) if approve else e.DeclineAsked(now, request, target=task, why=why)
        )
        return await self._act(event, "approved" if approve else "declined")

    async def _act_on(self, kind: Any, names: Sequence[str], everything: bool, turn: int, done: str) -> Answer:
        more = {"reason": "cancelled by the master"} if kind is e.CancelAsked else {}
        event = kind(self.now(), Runtime.new_request(), targets=tuple(names), all=everything, turn=turn, **more)
        return await self._act(event, done)

    async def _act(self, event: e.Asked, done: str) -> Answer:
        answer = await asyncio.wrap_future(self._runtime.ask(event))
        if isinstance(answer, e.Refused):
            return Answer(f"refused: {answer.reason}", f"refused: {answer.reason}")
        names = ", ".join(answer.names) or "nothing"
        if answer.proposed:
            return Answer(
                f"proposed, not done: the person must approve it on the card of {names}", f"proposed for {names}"
            )
        return Answer(f"{done} {names}", f"{done} {names}")

    async def _dispatch(self, tasks: Sequence[tools.DispatchTask], number: int) -> Answer:
        turn = self.turn(number)
        workers = [name for name in self._runtime.workers if name not in FORBIDDEN]
        requests = [_request(task, workers) for task in tasks]
        context = self.said_so_far() if any(request.inherit for request in requests) else ""
        by = Master(number, turn.uid, self._anchor(turn), context, self._literal)
        session = by.anchor.parent.get("session", "") if by.anchor is not None else ""
        client = Client(lambda: self._client.runtime, PageContext(self._cells, session))
        answer = await _in_thread(partial(client.dispatch_all, requests, by))
        names = ", ".join(answer.names)
        if answer.proposed:
            return Answer(
                f"proposed, not started: {names}. The person must approve each on its card.", f"proposed {names}"
            )
        return Answer(f"dispatched: {names}. Their results come by themselves.", _told(answer.names, requests))

    def _anchor(self, turn: Turn) -> Anchor | None:
        """Where the results of what a turn dispatches go: below its cell, else below the results that woke it."""
        if turn.anchor is not None:
            return Anchor(turn.anchor.notebook, turn.anchor.cell, "", turn.anchor.parent)
        views = (self._client.board.get(uid) for uid, _ in turn.results)
        anchors = [view.anchor for view in views if view is not None and view.anchor is not None]
        return Anchor(anchors[-1].notebook, anchors[-1].cell, "", anchors[-1].parent) if anchors else None

    def said_so_far(self) -> str:
        """The conversation as text, its newest part. Any thread."""
        lines = []
        for item in self.talk.log:
            found = json.loads(item.data)
            if found.get("type") == "message":
                parts = found.get("content", ())
                text = " ".join(str(part.get("text", "")) for part in parts if isinstance(part, dict))
                lines.append(f"{'person' if found.get('role') == 'user' else 'master'}: {text}")
        return "\n".join(lines)[-SAID:]

    # reading

    def _read_result(self, name: str, start: int, length: int) -> str:
        view = self._client.find(name).view
        if not view.ended:
            raise OrchestraError(f"task {view.name!r} has not ended: its result comes by itself")
        text = view.result.report if view.result is not None and view.agent else ""
        text = plain(text or "\n".join(map(plain_text, self._client.outputs(view))) or (view.reason or "no output"))
        part = text[start : start + length]
        return _data({"task": view.name, "start": start, "characters_in_all": len(text), "text": part})

    def _read_cell(self, cell: str) -> str:
        try:
            return _data({"cell": cell, "text": plain(self._recorder.read(cell))})
        except LookupError as error:
            return _data({"error": str(error.args[0])})


def _request(task: tools.DispatchTask, workers: Sequence[str]) -> Request:
    is_agent = task.worker == "agent"
    return make_request(
        task.brief,
        task.name,
        worker=task.worker,
        workers=workers,
        after=task.after,
        when=str(task.when),
        returns=task.returns,
        timeout=task.timeout,
        deliver=str(task.deliver),
        tier=(task.tier or None) if is_agent and not task.model else None,
        model=task.model or None,
        role=(task.role or "explorer") if is_agent else None,
        inherit=task.inherit and is_agent,
    )


def _told(names: Sequence[str], requests: Sequence[Request]) -> str:
    """What was dispatched, in a line for the person."""
    first = [name for name, request in zip(names, requests, strict=True) if not request.after]
    then = [
        f"{name} after {' and '.join(request.after)}"
        for name, request in zip(names, requests, strict=True)
        if request.after
    ]
    return "dispatched " + "; ".join(part for part in (", ".join(first), *then) if part)


def _data(content: dict[str, Any]) -> str:
    return _hidden(json.dumps({"note": DATA, **content}, ensure_ascii=False, default=str))


def _hidden(text: str) -> str:
    """`text` without the keys of this process: no model is told of them, and no log keeps them."""
    return hide_keys(text, os.environ)


async def _in_thread(act: Callable[[], Any]) -> Any:
    return await asyncio.get_running_loop().run_in_executor(None, _held, act)


def _held(act: Callable[[], Any]) -> Any:
    """What `act` gives. Values of the notebook are copied in it, and what they raise must not end our loop."""
    try:
        return act()
    except (SystemExit, KeyboardInterrupt) as error:
        raise RuntimeError(type(error).__name__) from error
