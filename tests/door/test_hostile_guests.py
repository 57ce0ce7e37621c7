from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from guests import Guest, House, descriptors, wait_for

from jupyter_orchestra.core import events as e
from jupyter_orchestra.door import place, server, visit, words
from jupyter_orchestra.door.client import DoorError


@pytest.fixture
def unharmed(house: House) -> Iterator[House]:
    """Whatever came to the door, it works after it, and nothing is left open."""
    house.dispatch("fit")
    with house.visit() as door:
        door.tasks()
    before = descriptors()
    yield house
    wait_for(lambda: not house.door._visits)
    wait_for(lambda: descriptors() <= before)
    with house.visit() as door:
        assert [card.name for card in door.tasks().cards] == ["fit"]


def frame(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        struct.pack(">I", 0xFFFFFFFF),
        struct.pack(">I", words.LIMIT + 1) + b"x" * 100,
        frame(b""),
        frame(b"null"),
        frame(b'{"type":"Hello"}'),
        frame(b'{"type":"Hello","protocol":1,"token":7}'),
        frame(b'{"type":"Tasks","request":"1"}'),
        frame(b"[" * 100_000),
        frame(b'{"type":"Hello","protocol":1,"token":"\xff\xfe"}'),
        frame(b'{"type":"Hello","protocol":1,"token":"\\ud800"}'),
        frame(b'{"type":"Hello","protocol":1,"token":""}'),
    ],
)
def test_who_does_not_say_who_they_are_is_turned_out(unharmed: House, data: bytes) -> None:
    with unharmed.knock() as guest:
        guest.send(data)
        with contextlib.suppress(OSError):
            guest.socket.shutdown(socket.SHUT_WR)
        assert guest.is_turned_out()


def test_a_wrong_token_opens_nothing(unharmed: House) -> None:
    token = unharmed.token
    for wrong in ("x", token[:-1], token + "x", token.swapcase(), "\N{SNOWMAN}"):
        with pytest.raises(DoorError, match="opens no door"):
            unharmed.visit(wrong)


def test_a_program_of_another_version_is_told_so(unharmed: House) -> None:
    with unharmed.knock() as guest:
        guest.say({"type": "Hello", "protocol": 99, "token": unharmed.token, "new": [1, 2]})
        assert "install the same version" in guest.hear()["message"]
        assert guest.is_turned_out()


def test_nonsense_after_the_hello_is_answered_and_the_next_word_counts(unharmed: House) -> None:
    nonsense: list[object] = [
        {}, [], "x", {"type": "Nothing"}, {"type": "Explain", "request": 1}, {"type": "Tasks", "request": "1", "x": 1},
        {"type": "Hello", "protocol": 1, "token": "x"}, {"type": "Ask", "request": "1", "event": {}},
        {"type": "Ask", "request": "1", "event": {"type": "CancelAsked", "at": "now"}},
    ]  # fmt: skip
    with unharmed.greeted() as guest:
        for message in nonsense:
            guest.say(message)
            assert guest.hear()["type"] == "Problem"
        guest.send(frame(b'{"type":"Explain","request":"1","name":"\\ud800"}'))
        assert guest.hear()["type"] == "Problem"
        guest.say({"type": "Explain", "request": "1", "name": "fit"})
        assert guest.hear()["lines"] == ["fit is running"]


def test_random_bytes_break_nothing(unharmed: House) -> None:
    chance = random.Random(7)
    good = json.dumps({"type": "Ask", "request": "1", "event": {"type": "PauseAsked", "at": 0, "targets": ["x"]}})
    for _ in range(60):
        with unharmed.greeted() as guest, contextlib.suppress(OSError):
            for _ in range(5):
                body = bytearray(good.encode())
                for _ in range(chance.randrange(1, 6)):
                    body[chance.randrange(len(body))] = chance.randrange(256)
                guest.send(frame(bytes(body)) if chance.random() < 0.8 else chance.randbytes(50))


def test_a_length_beyond_the_limit_ends_the_visit(unharmed: House) -> None:
    with unharmed.greeted() as guest:
        guest.send(struct.pack(">I", words.LIMIT + 1))
        assert "at most" in guest.hear()["message"]
        assert guest.is_turned_out()


def test_who_drips_or_falls_silent_is_turned_out(unharmed: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visit, "HELLO_WITHIN", 0.3)
    monkeypatch.setattr(visit, "IDLE", 0.3)
    with unharmed.knock() as silent, unharmed.knock() as dripping, unharmed.greeted() as idle:
        start = time.monotonic()
        dripping.send(b"\0\0")
        with contextlib.suppress(OSError):
            while time.monotonic() < start + 5:
                dripping.send(b"\0")
                time.sleep(0.05)
        assert time.monotonic() - start < 5
        assert silent.is_turned_out()
        assert idle.is_turned_out()


def test_who_takes_nothing_is_turned_out(unharmed: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visit, "TAKE_WITHIN", 0.3)
    monkeypatch.setattr(visit, "LINGER", 0.1)
    unharmed.lines = ["x" * 100_000] * 5
    with unharmed.greeted() as guest:
        with contextlib.suppress(OSError):
            for number in range(200):
                guest.say({"type": "Leases", "request": str(number)})
        wait_for(lambda: not unharmed.door._visits)


def is_served(house: House) -> bool:
    """Whether the person gets in and hears of the tasks; in a flood it may take more than one knock."""
    try:
        with house.visit() as door:
            return [card.name for card in door.tasks().cards] == ["fit"]
    except DoorError:
        return False


def test_a_thousand_connections_do_not_keep_the_person_out(unharmed: House) -> None:
    guests: list[Guest] = []
    try:
        most = 0
        for number in range(1_000):
            with contextlib.suppress(OSError):
                guests.append(unharmed.knock())
            most = max(most, len(unharmed.door._visits))
            if number % 250 == 249:
                wait_for(lambda: is_served(unharmed))
        assert len(guests) > 3 * server.MOST  # the system itself turns some away
        assert 0 < most <= server.MOST
    finally:
        for guest in guests:
            guest.socket.close()


def test_known_programs_are_not_turned_out_for_others(unharmed: House) -> None:
    known = [unharmed.visit() for _ in range(server.MOST)]
    try:
        with pytest.raises(DoorError, match="busy with others"):
            unharmed.visit()
        assert all(door.explain("fit") == ["fit is running"] for door in known)
        known.pop().close()
        wait_for(lambda: len(unharmed.door._visits) < server.MOST)
        with unharmed.visit() as door:
            assert door.explain("fit") == ["fit is running"]
    finally:
        for door in known:
            door.close()


def test_the_loop_goes_on_while_many_guests_misbehave(unharmed: House) -> None:
    def flood(guest: Guest) -> None:
        with contextlib.suppress(OSError):
            guest.socket.setblocking(False)
            guest.send(frame(b"[" * 500_000) * 2)

    worst = 0.0
    for _ in range(20):
        with unharmed.greeted() as guest:
            flood(guest)
            start = time.monotonic()
            unharmed.call(lambda: None)
            worst = max(worst, time.monotonic() - start)
    assert worst < 1.0


def test_another_user_is_not_heard(unharmed: House) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "_uid_of", lambda writer: os.getuid() + 1)
        with unharmed.knock() as guest:
            with contextlib.suppress(OSError):
                guest.say({"type": "Hello", "protocol": words.PROTOCOL, "token": unharmed.token})
            assert guest.is_turned_out()


def test_the_system_says_who_is_at_the_other_end(house: House) -> None:
    seen: list[int] = []
    real: Callable[[Any], int] = server._uid_of
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "_uid_of", lambda writer: seen.append(real(writer)) or seen[-1])
        house.visit().close()
    assert seen == [os.getuid()]


def test_who_leaves_while_the_machine_works_harms_nobody(unharmed: House) -> None:
    for number in range(50):
        with unharmed.greeted() as guest:
            event = {"type": "ResumeAsked", "at": 0, "targets": ["fit"]}
            guest.say({"type": "Ask", "request": str(number), "event": event})
            guest.say({"type": "Watch", "request": "w"})
    assert (unharmed.folder / place.SOCKET).exists()


def test_a_question_that_is_never_answered_is_given_up(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visit, "ANSWER_WITHIN", 0.2)
    house.dispatch("fit")
    house.journal.blocked = "it hangs, and has not said so"
    with house.visit() as door:
        with pytest.raises(DoorError, match="no answer yet"):
            door.ask(e.CancelAsked(0.0, targets=("fit",)))
        assert door.explain("fit")
    house.call(house.journal.free)
