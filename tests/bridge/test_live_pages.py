from __future__ import annotations

from typing import Any

import msgspec
import pytest

from jupyter_orchestra.bridge.hub import hello_of
from jupyter_orchestra.bridge.orders import event_of
from jupyter_orchestra.bridge.pages import PING_EVERY, SILENT_FOR, LivePage, LivePages
from jupyter_orchestra.bridge.pump import Bucket
from jupyter_orchestra.core import wire
from jupyter_orchestra.errors import UsageError


class Line:
    """A comm that keeps what is sent."""

    count = 0

    def __init__(self) -> None:
        Line.count += 1
        self.id, self.session = f"comm-{Line.count}", ""
        self.sent: list[dict[str, Any]] = []
        self.closed = self.dropped = 0

    def send(self, data: dict[str, Any]) -> None:
        assert not self.closed
        self.sent.append(data)

    def close(self) -> None:
        self.closed += 1

    def drop(self) -> None:
        self.dropped += 1


class Door:
    """Live pages with a clock in the hand of the test."""

    def __init__(self) -> None:
        self.now = 0.0
        self.came: list[LivePage] = []
        self.left: list[LivePage] = []
        self.mismatched: list[Any] = []
        self.pages = LivePages(lambda: self.now, self.came.append, self.left.append, self.mismatched.append)

    def knock(self, client: str, *, down_first: bool = True, protocol: int = wire.PROTOCOL) -> tuple[Line, Line]:
        up, down = Line(), Line()
        steps = [
            lambda: self.pages.opened_down(down, client),
            lambda: self.pages.said_hello(up, hello(client, down, protocol)),
        ]
        for step in steps if down_first else steps[::-1]:
            step()
        return up, down


def hello(client: str, down: Line, protocol: int = wire.PROTOCOL) -> wire.Hello:
    return wire.Hello(
        client=client, protocol=protocol, version="", session="s", path="a.ipynb", visible=True, down=down.id
    )


@pytest.mark.parametrize("down_first", [True, False])
def test_a_page_is_there_once_both_comms_are_open_in_whatever_order(down_first: bool) -> None:
    door = Door()
    up, _ = door.knock("tab", down_first=down_first)
    assert [page.id for page in door.came] == ["tab"]
    assert door.pages.of(up) is door.came[0]
    assert door.pages.seen


def test_a_new_hello_of_the_same_page_ends_the_comms_of_the_older_and_tells_nobody() -> None:
    door = Door()
    old = door.knock("tab")
    new = door.knock("tab")
    assert [(line.closed, line.dropped) for line in old] == [(0, 1), (0, 1)]
    assert [(line.closed, line.dropped) for line in new] == [(0, 0), (0, 0)]
    assert len(door.left) == 1
    assert len(door.pages) == 1
    assert door.pages.of(old[0]) is None


@pytest.mark.parametrize("order", ["up down-again up-again", "up up-again down-again", "down down-again up up-again"])
def test_what_is_left_of_an_opening_in_vain_does_not_become_half_of_the_next(order: str) -> None:
    door = Door()
    lines = {name: Line() for name in ("up", "down", "up-again", "down-again")}
    for name in order.split():
        if name.startswith("down"):
            door.pages.opened_down(lines[name], "tab")
        else:
            down = lines[name.replace("up", "down")]
            door.pages.said_hello(lines[name], hello("tab", down))
    (page,) = door.came
    assert (page.up, page.down) == (lines["up-again"], lines["down-again"])
    assert door.pages.of(lines["up-again"]) is page


def test_a_silent_page_is_asked_and_then_forgotten_and_a_living_one_stays() -> None:
    door = Door()
    silent, living = door.knock("silent"), door.knock("living")
    while not door.left:
        door.now += 1.0
        door.pages.look()
        assert door.now <= SILENT_FOR
        if living[1].sent:
            living[1].sent.clear()
            door.pages.of(living[0])
    assert door.now == SILENT_FOR
    assert [page.id for page in door.left] == ["silent"]
    assert [line.closed for line in (*silent, *living)] == [1, 1, 0, 0]
    assert len(silent[1].sent) == 2, f"it was asked each {PING_EVERY:g} s"


def test_half_a_page_is_forgotten_in_the_end() -> None:
    door = Door()
    down, up = Line(), Line()
    door.pages.opened_down(down, "no-hello")
    door.pages.said_hello(up, hello("no-down", Line()))
    assert not door.came
    door.now = SILENT_FOR
    door.pages.look()
    assert (down.closed, up.closed) == (1, 1)
    assert door.pages.empty


def test_a_page_of_another_protocol_is_no_page() -> None:
    door = Door()
    _, down = door.knock("tab", protocol=wire.PROTOCOL + 1)
    assert door.mismatched == [down]
    assert not door.came
    assert not down.closed, "it would attach again at once"


def test_a_page_that_does_not_say_which_comm_is_its_other_one_gets_the_one_that_it_has() -> None:
    door = Door()
    up, down = Line(), Line()
    door.pages.opened_down(down, "tab")
    door.pages.said_hello(up, msgspec.structs.replace(hello("tab", down, protocol=1), down=""))
    assert door.mismatched == [down]


def test_a_page_that_closes_one_comm_has_gone() -> None:
    door = Door()
    up, down = door.knock("tab")
    door.pages.closed(down)
    assert len(door.left) == 1
    assert (up.closed, up.dropped) == (0, 1)


def test_a_hello_of_a_later_version_may_say_what_this_one_does_not_know() -> None:
    assert hello_of({"type": "Hello", "client": "c", "protocol": 99, "colour": "red"}).protocol == 99
    assert hello_of({"type": "Hello", "client": "c", "protocol": 99, "down": "d"}).down == "d"
    for data in ({"type": "Hello", "client": "c", "protocol": wire.PROTOCOL}, {"client": 3, "protocol": 99}, None):
        with pytest.raises(msgspec.ValidationError):
            hello_of(data)


def test_never_more_than_twenty_messages_go_within_a_second() -> None:
    now = [0.0]
    bucket = Bucket(lambda: now[0])
    sent: list[float] = []
    for quiet in (0.0, 0.4, 7.0):
        now[0] += quiet
        assert bucket.wait() == 0.0 or quiet < 1
        until = now[0] + 3.0
        while now[0] < until:
            if (wait := bucket.wait()) > 0.0:
                now[0] += wait
            bucket.take()
            sent.append(now[0])
    for at in sent:
        assert len([other for other in sent if at <= other < at + 1.0 - 1e-6]) <= 20


def test_what_can_not_be_written_down_is_refused_before_it_is_posted() -> None:
    with pytest.raises(UsageError, match="written down"):
        event_of(wire.Act(request="r", action="cancel", tasks=("\ud800",)), 0.0, "r")
