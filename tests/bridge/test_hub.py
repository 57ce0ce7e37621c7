from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from talk import COMPOSED, turn
from test_cells import view
from test_live_pages import Line

from jupyter_orchestra.bridge.hub import Hub
from jupyter_orchestra.bridge.pump import BURST, RATE
from jupyter_orchestra.core import events as e
from jupyter_orchestra.core import wire
from jupyter_orchestra.core.composed import Composed
from jupyter_orchestra.core.machine import Machine
from jupyter_orchestra.core.model import State
from jupyter_orchestra.core.needs import parse_all
from jupyter_orchestra.core.talk import TurnState
from jupyter_orchestra.errors import UsageError
from jupyter_orchestra.terminals import Terminals

Scene = Callable[["Stage"], Awaitable[None]]


class Stage:
    """A hub whose runtime keeps what is posted, and pages without a kernel."""

    def __init__(self) -> None:
        self.posted: list[Any] = []
        self.composed: list[tuple[str, str]] = []
        self.terminals = Terminals()
        running = view(uid="t1", name="sh", state=State.RUNNING, terminal=True, agent=False, ended_at=None, result=None)
        views = [view(uid="u1", name="scan"), running]
        by_uid = {one.uid: one for one in views}
        board = SimpleNamespace(blocked="", all=lambda: views, get=by_uid.get, find=by_uid.get)
        self.machine = machine = Machine()
        machine.cohort = lambda cohort: views  # type: ignore[assignment,method-assign,return-value]
        loop = asyncio.get_running_loop()
        runtime = SimpleNamespace(
            now=loop.time, board=board, machine=machine, workers={"kernel": None}, post=self.posted.append,
            terminals=self.terminals,
        )  # fmt: skip
        client = SimpleNamespace(runtime=runtime, board=board, outputs=lambda shown: [])
        comms = SimpleNamespace(listen=lambda hub: None, announce=lambda: None, silence=lambda: None)
        self.hub = Hub(client, comms, lambda uid, attempt: (0, []), self.compose, private=False)  # type: ignore[arg-type]
        self.lines: dict[str, tuple[Line, Line]] = {}

    def compose(self, text: str, session: str) -> Composed:
        self.composed.append((text, session))
        if "refuse" in text:
            raise UsageError("no\nway")
        return Composed(("m1",), (), "") if text[0] != "%" else Composed(("u1",), ("scan",), "dispatched scan")

    def open(self, client: str, path: str = "nb.ipynb") -> Line:
        up, down = Line(), Line()
        hello = wire.Hello(
            client=client, protocol=wire.PROTOCOL, version="", session=f"s-{client}", path=path, visible=True,
            down=down.id,
        )  # fmt: skip
        self.hub.opened_down(down, {"client": client})  # type: ignore[arg-type]
        self.hub.opened_up(up, msgspec.to_builtins(hello))  # type: ignore[arg-type]
        self.lines[client] = up, down
        return down

    def say(self, client: str, message: wire.FromPage) -> None:
        self.hub.heard(self.lines[client][0], msgspec.to_builtins(message))  # type: ignore[arg-type]

    def heard(self, client: str, kind: type[Any]) -> list[Any]:
        said = [msgspec.convert(data, wire.ToPage) for data in self.lines[client][1].sent]
        return [message for message in said if isinstance(message, kind)]

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(5):
            while not condition():  # noqa: ASYNC110 - what is asked are lists
                await asyncio.sleep(0.001)


def play(scene: Scene) -> None:
    async def run() -> None:
        stage = Stage()
        try:
            await scene(stage)
        finally:
            stage.hub.close()

    asyncio.run(run())


def test_a_page_that_comes_hears_who_answers_and_how_the_newest_turn_stands() -> None:
    async def scene(stage: Stage) -> None:
        stage.hub.set_master("small-1")
        stage.hub.show_turn(turn(state=TurnState.RUNNING), "so far", "")
        stage.open("a")
        (snapshot,) = stage.heard("a", wire.Snapshot)
        assert (snapshot.master, snapshot.turn.text) == ("small-1", "so far")

    play(scene)


def test_a_streaming_reply_makes_few_messages_of_which_the_last_is_whole() -> None:
    async def scene(stage: Stage) -> None:
        stage.open("a")
        loop = asyncio.get_running_loop()
        since = loop.time()
        for length in range(2000):
            stage.hub.show_turn(turn(state=TurnState.RUNNING), "x" * length, "")
            if length % 100 == 0:
                await asyncio.sleep(0)
        stage.hub.show_turn(turn(), "the end", "")
        await stage.until(lambda: stage.heard("a", wire.Changes)[-1:] and stage.heard("a", wire.Changes)[-1].turn)
        await stage.until(lambda: stage.heard("a", wire.Changes)[-1].turn.text == "the end")
        said = stage.heard("a", wire.Changes)
        assert len(said) <= BURST + 1 + RATE * (loop.time() - since)
        assert [change.seq for change in said] == list(range(1, len(said) + 1))
        assert all(change.master is None and not change.cards for change in said)

    play(scene)


def lease(stage: Stage, id: str, ask: bool = True) -> None:
    """The person's own code takes the terminal, or gives it back."""
    if ask:
        stage.machine.handle(e.ResourcesDeclared(1.0, {"terminal": 1}))
    event = e.LeaseAsked(2.0, "r", id=id, needs=parse_all("terminal")) if ask else e.LeaseReleased(3.0, id)
    if any(isinstance(wish, e.ShowLeases) for wish in stage.machine.handle(event)):
        stage.hub.show_leases()


def test_a_page_hears_at_once_who_holds_what_and_then_only_what_has_changed() -> None:
    async def scene(stage: Stage) -> None:
        lease(stage, "a")
        stage.open("page")
        (snapshot,) = stage.heard("page", wire.Snapshot)
        assert [(one.name, len(one.holders)) for one in snapshot.leases.resources] == [("terminal", 1)]
        stage.hub.show_leases()  # nothing has changed after all
        stage.hub.show(stage.hub.view("u1"))
        await stage.until(lambda: stage.heard("page", wire.Changes))
        assert stage.heard("page", wire.Changes)[0].leases is None
        lease(stage, "b")
        await stage.until(lambda: len(stage.heard("page", wire.Changes)) > 1)
        change = stage.heard("page", wire.Changes)[1]
        assert [len(one.waiting) for one in change.leases.resources] == [1]
        assert change.cards == ()

    play(scene)


def test_leases_that_change_all_the_time_make_few_messages_of_which_the_last_is_right() -> None:
    async def scene(stage: Stage) -> None:
        stage.open("page")
        loop = asyncio.get_running_loop()
        since = loop.time()
        for number in range(500):
            lease(stage, f"l{number}")
            lease(stage, f"l{number}", ask=False)
            if number % 50 == 0:
                await asyncio.sleep(0)
        lease(stage, "last")
        told = lambda: [change.leases for change in stage.heard("page", wire.Changes) if change.leases]  # noqa: E731
        await stage.until(lambda: told() and told()[-1].resources)
        await asyncio.sleep(0)
        assert len(stage.heard("page", wire.Changes)) <= BURST + 1 + RATE * (loop.time() - since)
        assert [one.name for one in told()[-1].resources] == ["terminal"]

    play(scene)


def test_an_older_turn_is_not_shown_in_the_place_of_a_newer_one() -> None:
    async def scene(stage: Stage) -> None:
        stage.open("a")
        stage.hub.show_turn(turn(number=4, state=TurnState.RUNNING), "new", "")
        stage.hub.show_turn(turn(number=3), "old", "")
        stage.hub.set_master("the rules planner")
        await stage.until(lambda: stage.heard("a", wire.Changes))
        (change,) = stage.heard("a", wire.Changes)
        assert (change.turn.text, change.master) == ("new", "the rules planner")

    play(scene)


def test_typing_in_a_page_is_told_once_and_ends_when_the_page_goes() -> None:
    async def scene(stage: Stage) -> None:
        stage.open("a")
        stage.open("b")
        for _ in range(3):
            stage.say("a", wire.Composing(on=True))
        stage.say("b", wire.Composing(on=True))
        stage.say("b", wire.Composing(on=False))
        stage.say("a", wire.Bye())
        stage.say("a", wire.Composing(on=True))
        told = [(event.page, event.on) for event in stage.posted if isinstance(event, e.ComposingChanged)]
        assert told == [("a", True), ("b", True), ("b", False), ("a", False)]

    play(scene)


def test_a_page_that_is_closed_or_comes_again_no_longer_types() -> None:
    async def scene(stage: Stage) -> None:
        stage.open("a")
        stage.say("a", wire.Composing(on=True))
        stage.open("a")
        stage.say("a", wire.Composing(on=True))
        stage.hub.closed(stage.lines["a"][1])  # type: ignore[arg-type]
        assert [event.on for event in stage.posted] == [True, False, True, False]

    play(scene)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("what failed?", {"ok": True, "uids": ("m1",), "names": (), "message": ""}),
        ("%%dispatch scan\n1", {"ok": True, "uids": ("u1",), "names": ("scan",), "message": "dispatched scan"}),
        ("refuse this", {"ok": False, "message": "no way", "uids": (), "names": ()}),
    ],
)
def test_what_is_composed_is_answered(text: str, answer: dict[str, Any]) -> None:
    async def scene(stage: Stage) -> None:
        stage.open("a")
        stage.say("a", wire.Compose(request="r1", text=text))
        await stage.until(lambda: stage.heard("a", wire.Answer))
        assert stage.heard("a", wire.Answer) == [wire.Answer(request="r1", **answer)]
        assert stage.composed == [(text, "s-a")]

    play(scene)


def test_a_reply_is_offered_then_granted_to_the_page_that_holds_its_cell_and_shown_when_it_is_saved() -> None:
    async def scene(stage: Stage) -> None:
        stage.open("a")
        stage.hub.offer_reply(turn())
        (offer,) = stage.heard("a", wire.Offer)
        assert (offer.uid, offer.cell, offer.into) == ("m1", "chat-1", "chat-1")
        stage.say("a", wire.Claim(uid="m1", attempt=1, standing="absent", anchored=True, round=1))
        await stage.until(lambda: stage.heard("a", wire.Grant))
        (grant,) = stage.heard("a", wire.Grant)
        assert (grant.into, grant.filled, grant.last) == ("chat-1", False, False)
        assert grant.cells[0].outputs[0]["metadata"] == {"orchestra": {"reply": "jo-reply-m1"}}
        assert not stage.hub.take_back_reply("m1"), "a page has it"
        stage.say("a", wire.Ack(uid="m1", attempt=1))
        (shown,) = [event for event in stage.posted if isinstance(event, e.ResultShown)]
        assert (shown.uid, shown.attempt) == ("m1", 1)

    play(scene)


def test_a_reply_to_the_composer_comes_as_a_cell_at_the_end() -> None:
    async def scene(stage: Stage) -> None:
        stage.open("a")
        stage.hub.offer_reply(turn(anchor=COMPOSED, number_of_cell=5, said=("well?",)))
        await stage.until(lambda: stage.heard("a", wire.Grant))
        (grant,) = stage.heard("a", wire.Grant)
        assert (grant.cell, grant.into, grant.cells[0].id) == ("", "", "jo-master-5")

    play(scene)


def test_a_reply_that_no_page_has_can_be_taken_back() -> None:
    async def scene(stage: Stage) -> None:
        stage.hub.offer_reply(turn())
        assert stage.hub.take_back_reply("m1")
        stage.open("a")
        assert not stage.heard("a", wire.Offer)

    play(scene)
