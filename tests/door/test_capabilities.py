from __future__ import annotations

import pytest
from guests import House

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.model import State
from jupyter_orchestra.door.client import DoorError
from jupyter_orchestra.errors import RefusedError


def test_a_token_allows_what_it_was_given_and_no_more(house: House) -> None:
    house.dispatch("fit")
    granted = house.call(lambda: house.door.grant({"tasks", "pause"}))
    with house.visit(granted.token) as door:
        assert door.welcome.allows == ("pause", "tasks")
        assert [card.name for card in door.tasks().cards] == ["fit"]
        with pytest.raises(RefusedError, match="does not allow to cancel"):
            door.ask(e.CancelAsked(0.0, targets=("fit",)))
        for refused in (lambda: door.explain("fit"), door.leases, lambda: next(door.watch())):
            with pytest.raises(RefusedError, match="does not allow"):
                refused()
        door.ask(e.PauseAsked(0.0, targets=("fit",)))
    assert house.view("fit").state is State.PAUSED


def test_a_token_of_one_task_reaches_no_other(house: House) -> None:
    house.dispatch("fit", "plot")
    granted = house.call(lambda: house.door.grant({"tasks", "watch", "cancel", "explain"}, "uid-fit"))
    with house.visit(granted.token) as door:
        assert door.welcome.task == "uid-fit"
        assert [card.name for card in door.tasks().cards] == ["fit"]
        for event in (
            e.CancelAsked(0.0, targets=("plot",)),
            e.CancelAsked(0.0, targets=("fit", "plot")),
            e.CancelAsked(0.0, targets=("nobody",)),
            e.CancelAsked(0.0, all=True),
            e.CancelAsked(0.0, targets=("fit",), all=True),
        ):
            with pytest.raises(RefusedError, match="one task alone"):
                door.ask(event)
        with pytest.raises(RefusedError, match="one task alone"):
            door.explain("plot")
        assert door.explain("fit") == ["fit is running"]
        assert [card.name for card in next(door.watch()).cards] == ["fit"]
    with house.visit(granted.token) as door:
        assert door.ask(e.CancelAsked(0.0, targets=("fit",))).names == ("fit",)
    assert house.view("plot").state is State.RUNNING


def test_no_program_is_given_what_the_person_alone_may_do(house: House) -> None:
    for word in ("approve", "decline"):
        with pytest.raises(ValueError, match="for the person alone"):
            house.call(lambda word=word: house.door.grant({word, "tasks"}))
    with pytest.raises(ValueError, match="knows no 'everything'"):
        house.call(lambda: house.door.grant({"everything"}))


def test_an_expired_token_opens_nothing_and_is_noticed_at_the_next_call(house: House) -> None:
    lasting = house.call(lambda: house.door.grant({"tasks"}, seconds=3_600))
    with house.visit(lasting.token) as door:
        assert door.tasks().cards == ()
        now = house.runtime.loop.time()
        house.call(lambda: setattr(house.door.capabilities, "_clock", lambda: now + 3_601))
        with pytest.raises(RefusedError, match="no longer in force"):
            door.tasks()
    with pytest.raises(DoorError, match="opens no door"):
        house.visit(lasting.token)
    with house.visit() as door:  # the person's own is for ever
        assert door.tasks().cards == ()


def test_a_revoked_token_ends_with_the_next_call(house: House) -> None:
    granted = house.call(lambda: house.door.grant({"tasks"}))
    with house.visit(granted.token) as door:
        door.tasks()
        house.call(lambda: house.door.revoke(granted.token))
        with pytest.raises(RefusedError, match="no longer in force"):
            door.tasks()
        with pytest.raises(DoorError):
            door.tasks()


def test_no_two_tokens_are_alike(house: House) -> None:
    tokens = {house.call(lambda: house.door.grant({"tasks"}).token) for _ in range(100)} | {house.token}
    assert len(tokens) == 101
    assert min(map(len, tokens)) >= 43
