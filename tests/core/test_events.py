import json
import typing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jupyter_orchestra.core import events as e

EXAMPLES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "events.json").read_text())


def test_there_is_one_example_of_each_event() -> None:
    assert [example["type"] for example in EXAMPLES] == [kind.__name__ for kind in typing.get_args(e.AnyEvent)]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["type"])
def test_an_example_is_read_and_written_the_same(example: dict[str, Any]) -> None:
    event = e.decode(json.dumps(example).encode())
    assert type(event).__name__ == example["type"]
    assert json.loads(e.encode(event)) == example
    assert e.decode(e.encode(event)) == event


def test_every_field_of_every_event_is_in_its_example() -> None:
    for example in EXAMPLES:
        fields = msgspec.structs.fields(getattr(e, example["type"]))
        assert {field.encode_name for field in fields} <= example.keys(), example["type"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b'{"type":"Nonsense","at":1}',
        b'{"type":"TimePassed"}',
        b'{"type":"TimePassed","at":"soon"}',
        b"\xff",
    ],
)
def test_what_is_no_event_is_an_error(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        e.decode(data)


def test_fields_of_a_later_version_are_ignored() -> None:
    assert e.decode(b'{"type":"TimePassed","at":1.5,"weather":"fine"}') == e.TimePassed(1.5)


def test_an_event_can_not_be_changed() -> None:
    with pytest.raises(AttributeError):
        e.TimePassed(1.0).at = 2.0  # type: ignore[misc]
