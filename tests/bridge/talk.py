"""Turns of the master for the tests of what pages are told of them."""

from __future__ import annotations

from typing import Any

from jupyter_orchestra.core.model import Anchor, Stage
from jupyter_orchestra.core.talk import TurnState, TurnView

SPOKEN = Anchor("/home/ada/nb.ipynb", "chat-1", "jo-reply-m1", {"session": "s1", "msg_id": "e1"})
COMPOSED = Anchor("/home/ada/nb.ipynb", "", "", {"session": "s1"})


def turn(**more: Any) -> TurnView:
    values: dict[str, Any] = {
        "number": 3,
        "uid": "m1",
        "tries": 1,
        "state": TurnState.DONE,
        "begun_at": 1.0,
        "ended_at": 2.0,
        "anchor": SPOKEN,
        "joined": (),
        "wake": False,
        "text": "**Two** failed.",
        "lines": (),
        "reason": "",
        "results": (),
        "stage": Stage.QUEUED,
        "number_of_cell": 0,
        "version": 1,
    }
    return TurnView(**values | more)
