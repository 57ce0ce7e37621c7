"""The messages of both sides as plain JSON: what the page's own tests read is what the kernel writes and reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from jupyter_orchestra.core import typescript, wire

GOLDEN = Path(__file__).parent / "golden"
PROTOCOL_TS = Path(__file__).parents[2] / "labextension" / "src" / "protocol.ts"
UNIONS: dict[str, Any] = {"to_page": wire.ToPage, "to_kernel": wire.ToKernel}


def messages(side: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((GOLDEN / f"{side}.json").read_text("utf-8"))
    return found


@pytest.mark.parametrize("side", UNIONS)
def test_every_message_reads_and_writes_back_the_same(side: str) -> None:
    for data in messages(side):
        message = msgspec.convert(data, UNIONS[side])
        assert json.loads(msgspec.json.encode(message)) == data
        assert msgspec.json.decode(msgspec.json.encode(message), type=UNIONS[side]) == message


@pytest.mark.parametrize("side", UNIONS)
def test_every_kind_of_message_occurs(side: str) -> None:
    occurring = {data["type"] for data in messages(side)}
    assert occurring == {member.__name__ for member in get_args(UNIONS[side])}


def test_the_typescript_is_made_from_the_python() -> None:
    assert PROTOCOL_TS.read_text("utf-8") == typescript.render()


def test_the_page_may_leave_out_what_has_a_default() -> None:
    claim = {"type": "Claim", "uid": "u", "attempt": 1, "standing": "absent", "anchored": True}
    assert wire.read(claim) == wire.Claim(uid="u", attempt=1, standing="absent", anchored=True)


def test_the_page_may_not_say_more_than_there_is() -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        wire.read({"type": "Pong", "more": 1})
