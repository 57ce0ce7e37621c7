from __future__ import annotations

import os
import stat
import threading

import msgspec
import pytest
from guests import House, wait_for

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.cards import card_of
from jupyter_orchestra.core.model import State
from jupyter_orchestra.door import place, words
from jupyter_orchestra.door.client import DoorError, find
from jupyter_orchestra.errors import RefusedError


def test_a_program_finds_the_door_by_the_notebook_or_the_process_of_its_kernel(house: House) -> None:
    (found,) = find()
    assert (found.folder, found.notebook, found.pid) == (house.folder, "/books/analysis.ipynb", os.getpid())
    assert find("/books/../books/analysis.ipynb") == find(str(os.getpid())) == [found]
    assert find("/books/other.ipynb") == []
    with house.visit() as door:
        assert door.welcome.notebook == "/books/analysis.ipynb"
        assert set(door.welcome.allows) >= {"cancel", "approve", "tasks", "leases"}


def test_nobody_else_can_read_or_enter_what_belongs_to_the_door(house: House) -> None:
    for name in (place.SOCKET, place.TOKEN, place.ENTRY):
        assert stat.S_IMODE((house.folder / name).lstat().st_mode) == 0o600
    assert stat.S_IMODE(house.folder.lstat().st_mode) == 0o700
    assert house.token not in (house.folder / place.ENTRY).read_text()


def test_the_tasks_are_told_as_the_page_has_them(house: House) -> None:
    house.dispatch("fit", "plot", "broken")
    house.question("fit")
    with house.visit() as door:
        told = door.tasks()
    assert list(told.cards) == [card_of(view) for view in house.runtime.board.all()]
    assert [card.name for card in told.cards] == ["fit", "plot", "broken"]
    assert told.cards[0].question is not None
    assert told.cards[0].question.action == "run: rm -rf build"


def test_what_is_asked_is_done_and_answered(house: House) -> None:
    house.dispatch("fit", "plot", "broken")
    with house.visit() as door:
        assert door.ask(e.PauseAsked(0.0, targets=("fit",))).names == ("fit",)
        assert house.view("fit").state is State.PAUSED
        assert door.ask(e.ResumeAsked(0.0, targets=("uid-fit",))).names == ("fit",)
        assert house.view("fit").state is State.RUNNING
        assert door.ask(e.RetryAsked(0.0, targets=("broken",))).names == ("broken",)
        wait_for(lambda: house.view("broken").attempt == 2)
        assert set(door.ask(e.CancelAsked(0.0, all=True)).names) >= {"fit", "plot"}
    house.until("fit", State.CANCELLED)
    house.until("plot", State.CANCELLED)


def test_a_refusal_has_the_words_of_the_machine_and_the_visit_goes_on(house: House) -> None:
    house.dispatch("fit")
    with house.visit() as door:
        with pytest.raises(RefusedError, match="no task is called 'fitt'; did you mean 'fit'"):
            door.ask(e.CancelAsked(0.0, targets=("fitt",)))
        with pytest.raises(RefusedError, match="which task"):
            door.ask(e.CancelAsked(0.0))
        assert door.ask(e.CancelAsked(0.0, targets=("fit",))).names == ("fit",)


def test_an_answer_is_bound_to_the_question_that_was_read(house: House) -> None:
    house.dispatch("fit")
    house.question("fit")
    with house.visit() as door:
        with pytest.raises(RefusedError, match="digest"):
            door.ask(e.ApproveAsked(0.0, target="fit"))
        with pytest.raises(RefusedError, match="no longer asks that"):
            door.ask(e.ApproveAsked(0.0, target="fit", digest="another"))
        assert house.view("fit").ask is not None
        door.ask(e.ApproveAsked(0.0, target="fit", digest="d1"))
        assert house.view("fit").ask is None


def test_time_and_request_are_the_kernels_own_and_no_program_speaks_for_the_master(house: House) -> None:
    house.dispatch("fit")
    before = house.runtime.now()
    with house.greeted() as guest:
        event = {"type": "CancelAsked", "at": 5.0, "request": "mine", "targets": ["fit"], "reason": "no more"}
        guest.say({"type": "Ask", "request": "7", "event": event | {"turn": 1}})
        refused = guest.hear()
        assert (refused["type"], refused["request"]) == ("Refused", "7")
        assert "turn" in refused["reason"]
        guest.say({"type": "Ask", "request": "8", "event": event})
        assert guest.hear() == {
            "type": "Accepted", "request": "8", "uids": ["uid-fit"], "names": ["fit"], "proposed": False
        }  # fmt: skip
    (posted,) = [one for one in house.journal.events if isinstance(one, e.CancelAsked)]
    assert posted.at >= before
    assert posted.request not in ("mine", "8", "")
    assert (posted.reason, posted.turn) == ("no more", 0)


def test_only_what_a_person_asks_of_tasks_comes_in(house: House) -> None:
    house.dispatch("fit")
    with house.greeted() as guest:
        for event in (
            {"type": "TaskStopped", "at": 1.0, "uid": "uid-fit", "attempt": 1},
            {"type": "KernelStarted", "at": 1.0, "epoch": 9, "kinds": []},
            {"type": "TasksDispatched", "at": 1.0, "tasks": []},
        ):
            guest.say({"type": "Ask", "request": "1", "event": event})
            assert guest.hear()["type"] == "Problem"
    assert house.view("fit").state is State.RUNNING


def test_explanations_and_leases_are_told_and_what_goes_wrong_there_is_said(house: House) -> None:
    house.dispatch("fit", "scan")
    with house.visit() as door:
        assert door.explain("fit") == ["fit is running"]
        assert door.leases() == house.lines
        with pytest.raises(RefusedError, match="no task is called 'nobody'"):
            door.explain("nobody")
        with pytest.raises(DoorError, match="see the kernel's log"):
            door.explain("scan")
        assert door.explain("fit") == ["fit is running"]


def test_thousands_of_tasks_and_a_huge_question_come_whole_in_small_messages(house: House) -> None:
    house.dispatch("fit")
    house.question("fit")
    view = house.view("fit")
    assert view.ask is not None
    huge = msgspec.structs.replace(view.ask, detail="\N{SNOWMAN}" * words.LIMIT)
    for number in range(1, 3_001):
        ask = huge if number == 1_000 else None
        house.runtime.board.announce(
            msgspec.structs.replace(view, uid=f"u{number}", name=f"n{number}", order=view.order + number, ask=ask)
        )
    with house.visit() as door:
        told = door.tasks()
    assert [card.name for card in told.cards] == ["fit", *(f"n{number}" for number in range(1, 3_001))]
    question = told.cards[1_000].question
    assert question is not None
    assert question.detail.startswith("\N{SNOWMAN}" * 10)
    assert question.detail.endswith("more characters")


def test_a_watcher_hears_of_all_tasks_and_then_of_each_change(house: House) -> None:
    house.dispatch("fit", "broken")
    with house.visit() as door:
        heard = door.watch()
        assert [card.name for card in next(heard).cards] == ["fit", "broken"]
        with house.visit() as other:
            other.ask(e.CancelAsked(0.0, targets=("fit",)))
        changed = next(heard)
        while changed.cards[-1].state is not State.CANCELLED:
            changed = next(heard)
        assert [card.name for card in changed.cards] == ["fit"]
        house.runtime.ask(e.ForgetAsked(house.runtime.now(), house.runtime.new_request(), targets=("broken",)))
        while not changed.gone:
            changed = next(heard)
        assert changed.gone == ("uid-broken",)
        house.runtime.post(e.JournalBlocked(house.runtime.now(), "the disk is full"))
        while not changed.blocked:
            changed = next(heard)
        assert changed.blocked == "the disk is full"


def test_a_watch_ends_with_the_door(house: House) -> None:
    with house.visit() as door:
        heard = door.watch()
        next(heard)
        over = threading.Event()
        rest: list[words.Cards] = []

        def listen() -> None:
            rest.extend(heard)
            over.set()

        thread = threading.Thread(target=listen)
        thread.start()
        house.do(house.door.close())
        assert over.wait(10)
        thread.join()
    assert find() == []
