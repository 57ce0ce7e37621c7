"""When a reply is drawn in its cell."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from jupyter_orchestra.core.model import Anchor, Stage
from jupyter_orchestra.core.talk import Message, Turn, TurnState, view_turn
from jupyter_orchestra.notebook import replies as module
from jupyter_orchestra.notebook.replies import Replies


class Cell:
    """A cell's display, and the turn that fills it."""

    def __init__(self) -> None:
        anchor = Anchor("notebook.ipynb", "cell", "display", {})
        self.turn = Turn(1, "uid", 0.0, anchor=anchor, messages=[Message("uid", "hello", 0.0, anchor)])
        self.drawn: asyncio.Queue[str] = asyncio.Queue()
        self.at_first_draw: Callable[[], None] = lambda: None
        self.replies = Replies(self, self, lambda: True, lambda: None)  # type: ignore[arg-type]

    @property
    def board(self) -> Any:
        return SimpleNamespace(turn=lambda number: view_turn(self.turn))

    def update_late(self, data: dict[str, str], *others: object) -> None:
        self.drawn.put_nowait(data["text/plain"].strip())
        act, self.at_first_draw = self.at_first_draw, lambda: None
        act()

    async def next_drawn(self) -> str:
        return await asyncio.wait_for(self.drawn.get(), 10)

    def end(self, text: str) -> None:
        self.turn.text, self.turn.state, self.turn.stage = text, TurnState.DONE, Stage.QUEUED
        self.replies.show_turn(view_turn(self.turn))


def test_the_end_of_a_reply_waits_for_no_refresh(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> tuple[str, str]:
        cell = Cell()
        cell.replies.say(1, "one")
        first = await cell.next_drawn()
        monkeypatch.setattr(module, "REFRESH", 1e6)
        cell.replies.say(1, "one two")  # has to wait
        cell.end("one two three")
        return first, await cell.next_drawn()

    assert asyncio.run(main()) == ("one", "one two three")


def test_an_end_that_comes_while_the_reply_is_drawn_follows_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> tuple[str, str]:
        cell = Cell()

        def end() -> None:
            monkeypatch.setattr(module, "REFRESH", 1e6)
            cell.end("one two")

        cell.at_first_draw = end
        cell.replies.say(1, "one")
        return await cell.next_drawn(), await cell.next_drawn()

    assert asyncio.run(main()) == ("one", "one two")
