"""What a terminal shows and takes, between the runtime's loop and a page, without a program behind it."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from test_cells import view
from test_details import Source
from test_hub import Stage, play

from jupyter_orchestra.bridge.details import MORE, Watch
from jupyter_orchestra.core import wire
from jupyter_orchestra.core.model import Origin, State
from jupyter_orchestra.core.views import TaskView
from jupyter_orchestra.terminals import ENDED, KEPT, TYPED, Terminals

SECRET = "correct horse battery staple"


class Pty:
    """Keeps what is typed."""

    def __init__(self) -> None:
        self.typed = b""
        self.size = 24, 80

    def write(self, data: bytes) -> None:
        self.typed += data

    def resize(self, rows: int, columns: int) -> None:
        self.size = rows, columns


def running(**more: Any) -> TaskView:
    values: dict[str, Any] = {"state": State.RUNNING, "terminal": True, "attempt": 1, "ended_at": None, "result": None}
    return view(**values | more)


def read(terminals: Terminals, start: int = 0, most: int = KEPT) -> tuple[int, str]:
    return terminals.text("u1", 1, start, most)


def opened() -> tuple[Terminals, Pty]:
    terminals, pty = Terminals(), Pty()
    terminals.open("u1", 1, pty)
    return terminals, pty


# --- what is shown


def test_who_comes_late_gets_the_end_of_it_from_the_beginning_of_a_line() -> None:
    terminals, _ = opened()
    whole = "".join(f"\x1b[3{number % 8}mline {number}\x1b[0m\r\n" for number in range(30_000))
    for at in range(0, len(whole), 777):
        terminals.show("u1", 1, whole[at : at + 777])
    start, text = read(terminals)
    assert KEPT - 40 < len(text) <= KEPT
    assert whole[start - 1] == "\n"
    assert whole[start:] == text


@pytest.mark.parametrize("size", [1, 7, 4096, KEPT, 3 * KEPT])
def test_who_follows_gets_each_character_once(size: int) -> None:
    terminals, _ = opened()
    whole, got, at = "", "", 0
    for number in range(12):
        piece = f"{number}:" + "x" * size
        whole += piece
        terminals.show("u1", 1, piece)
        while (found := read(terminals, at, 1000)[1]) and size <= 4096:
            got, at = got + found, at + len(found)
    assert size > 4096 or got == whole
    assert whole.endswith(read(terminals)[1])
    assert read(terminals, len(whole)) == (len(whole), "")


def test_what_ended_terminals_showed_is_kept_for_some_of_them() -> None:
    terminals = Terminals()
    for number in range(ENDED + 1):
        terminals.open(f"u{number}", 1, Pty())
        terminals.show(f"u{number}", 1, "said")
        terminals.end(f"u{number}", 1)
    assert [terminals.has(f"u{number}", 1) for number in range(3)] == [False, True, True]
    terminals.drop("u1")
    assert not terminals.has("u1", 1)
    terminals.end("u2", 1)
    assert terminals.text("u2", 1, 0) == (0, "said")


def test_a_panel_gets_what_was_shown_then_what_is_new_and_no_outputs() -> None:
    source = Source(running(), [{"output_type": "stream", "name": "stdout", "text": "scrubbed"}])
    source.terminals.open("u1", 1, Pty())
    source.terminals.show("u1", 1, "$ \x1b[1mls\x1b[0m")
    watch = Watch("u1", source)
    detail, first = watch.next(), watch.next()
    assert isinstance(detail, wire.Detail)
    assert detail.terminal
    assert first == wire.Terminal(uid="u1", attempt=1, start=0, end=12, text="$ \x1b[1mls\x1b[0m")
    assert watch.next() is None
    source.terminals.show("u1", 1, "x" * (MORE + 1))
    assert [message.end for _ in range(2) if isinstance(message := watch.next(), wire.Terminal)] == [
        12 + MORE,
        13 + MORE,
    ]
    source.terminals.end("u1", 1)
    source.terminals.show("u1", 1, "last words")
    source.shown = view(terminal=True, attempt=1, result=None)
    assert watch.next() is None
    source.work()
    ended, rest = watch.next(), watch.next()
    assert isinstance(ended, wire.Detail)
    assert isinstance(rest, wire.Terminal)
    assert (ended.terminal, rest.text) == (True, "last words")
    assert watch.next() is None


def test_a_new_attempt_begins_with_an_empty_terminal() -> None:
    source = Source(running(), [])
    source.terminals.open("u1", 1, Pty())
    source.terminals.show("u1", 1, "first")
    watch = Watch("u1", source)
    watch.next()
    watch.next()
    source.shown = running(attempt=2)
    assert isinstance(watch.next(), wire.Detail)
    source.terminals.open("u1", 2, Pty())
    assert isinstance(watch.next(), wire.Detail)
    assert watch.next() == wire.Terminal(uid="u1", attempt=2, start=0, end=0, text="")


# --- what is typed


def test_what_is_typed_arrives_as_bytes() -> None:
    terminals, pty = opened()
    assert terminals.type(running(), 1, "ls é𝄞\r\x1b[A\x03") == ""
    assert pty.typed == "ls é𝄞\r\x1b[A\x03".encode()
    terminals.resize("u1", 1, 40, 132)
    assert pty.size == (40, 132)


@pytest.mark.parametrize("origin", list(Origin))
def test_the_person_may_type_whoever_wrote_what_runs(origin: Origin) -> None:
    terminals, pty = opened()
    assert terminals.type(running(origin=origin), 1, "y") == ""
    assert pty.typed == b"y"


@pytest.mark.parametrize(
    ("change", "attempt", "text", "why"),
    [
        ({}, 1, "x" * (TYPED + 1), "65 kB at once are too much to type (at most 64 kB): put it in a file"),
        ({}, 1, "€" * (TYPED // 3 + 1), "at most 64 kB"),
        ({"state": State.PAUSED}, 1, "x", "fit_all is paused: %resume fit_all, then type"),
        ({"state": State.DONE}, 1, "x", "fit_all has ended: nothing can be typed into it any more"),
        ({"state": State.QUEUED, "attempt": 2}, 2, "x", "fit_all is queued: type when it runs"),
        ({"attempt": 2}, 3, "x", "fit_all has ended: nothing can be typed into it any more"),
        ({"terminal": False, "uid": "u2"}, 1, "x", "has no terminal: dispatch it with -w shell --needs terminal"),
    ],
)  # fmt: skip
def test_what_can_not_be_typed_is_refused_in_one_line(
    change: dict[str, Any], attempt: int, text: str, why: str
) -> None:
    terminals, pty = opened()
    said = terminals.type(running(**change), attempt, text)
    assert why in said
    assert "\n" not in said
    assert pty.typed == b""


def test_nothing_is_typed_into_what_has_ended() -> None:
    terminals, pty = opened()
    terminals.end("u1", 1)
    assert "has ended" in terminals.type(running(state=State.DONE), 1, "x")
    terminals.resize("u1", 1, 1, 1)
    terminals.resize("nobody", 1, 1, 1)
    assert (pty.typed, pty.size) == (b"", (24, 80))


def test_a_page_types_is_answered_and_nothing_of_it_is_posted_or_logged(caplog: pytest.LogCaptureFixture) -> None:
    pty = Pty()

    async def scene(stage: Stage) -> None:
        stage.terminals.open("t1", 2, pty)
        stage.open("a")
        stage.say("a", wire.Type(request="r1", task="t1", attempt=2, text=SECRET))
        stage.say("a", wire.Type(request="r2", task="u1", attempt=2, text=SECRET))
        stage.say("a", wire.Type(request="r3", task="gone", attempt=1, text=SECRET))
        stage.say("a", wire.Resize(task="t1", attempt=2, rows=50, columns=200))
        answers = [(answer.request, answer.ok) for answer in stage.heard("a", wire.Answer)]
        assert answers == [("r1", True), ("r2", False), ("r3", False)]
        assert SECRET not in repr(stage.lines["a"][1].sent)
        assert not stage.posted

    with caplog.at_level(0):
        play(scene)
    assert (pty.typed, pty.size) == (SECRET.encode(), (50, 200))
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    "spoiled",
    [{"text": [SECRET]}, {"attempt": SECRET}, {"more": SECRET}, {"text": SECRET, "attempt": 1.5}],
    ids=["no text", "no attempt", "too much", "half an attempt"],
)
def test_a_malformed_message_is_answered_without_what_was_typed(
    spoiled: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    async def scene(stage: Stage) -> None:
        stage.open("a")
        data = {"type": "Type", "request": "r1", "task": "t1", "attempt": 2, "text": SECRET, **spoiled}
        stage.hub.heard(stage.lines["a"][0], data)  # type: ignore[arg-type]
        (answer,) = stage.heard("a", wire.Answer)
        assert not answer.ok
        assert SECRET not in repr(stage.lines["a"][1].sent)

    with caplog.at_level(0):
        play(scene)
    assert SECRET not in caplog.text


def test_no_picture_of_a_message_holds_what_was_typed() -> None:
    message = wire.Type(request="r1", task="t1", attempt=1, text=SECRET)
    assert SECRET not in f"{message!r} {message}"
    assert wire.read(msgspec.to_builtins(message)) == message


def test_what_a_terminal_shows_reaches_the_pages_that_look_at_it() -> None:
    async def scene(stage: Stage) -> None:
        stage.terminals.open("t1", 2, Pty())
        stage.open("a")
        stage.open("b")
        stage.say("a", wire.Watch(task="t1"))
        stage.terminals.show("t1", 2, "login: ")
        await stage.until(lambda: "login: " in shown(stage, "a"))
        stage.terminals.show("t1", 2, "ada")
        await stage.until(lambda: shown(stage, "a") == "login: ada")
        assert shown(stage, "b") == ""

    play(scene)


def test_a_flood_leaves_in_few_messages_of_which_the_last_is_the_end() -> None:
    def arrived(stage: Stage) -> bool:
        return "001999 y" in "".join(message.text for message in stage.heard("a", wire.Terminal)[-5:])

    async def scene(stage: Stage) -> None:
        stage.terminals.open("t1", 2, Pty())
        stage.open("a")
        stage.say("a", wire.Watch(task="t1"))
        for number in range(2000):
            stage.terminals.show("t1", 2, f"{number:06} " + "y\r\n" * 1000)
            if number % 50 == 0:
                await asyncio.sleep(0)
        await stage.until(lambda: arrived(stage))
        assert len(shown(stage, "a")) < 2000 * 3007 / 2

    play(scene)


def shown(stage: Stage, client: str) -> str:
    return "".join(message.text for message in stage.heard(client, wire.Terminal))
