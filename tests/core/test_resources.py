"""What a person sees of leases: who holds what, who waits for it, and why; and when that must be shown anew."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from play import Play

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.lacking import Lack
from jupyter_orchestra.core.model import Kind, State
from jupyter_orchestra.core.needs import parse_all
from jupyter_orchestra.core.resources import HolderView, LeasePicture, lines_of, picture, view_resources
from jupyter_orchestra.core.views import explain

SENTENCES = Path(__file__).parents[1] / "bridge" / "golden" / "sentences.json"


@pytest.fixture
def play() -> Play:
    made = Play(Kind("kernel", 2), Kind("agent", 4, agent=True, steerable=True))
    made.send(e.ResourcesDeclared(0.0, {"terminal": 1, "press": 2, "pool": 1}))
    return made


def claim(play: Play) -> None:
    while claims := play.all(e.ClaimLease):
        for wish in claims:
            play.send(e.LeaseClaimed(play.now, wish.lease.id))


def dispatch(play: Play, name: str, needs: str = "", **more: object) -> None:
    play.dispatch(play.spec(name, needs=parse_all(needs) if needs else (), **more))  # type: ignore[arg-type]
    claim(play)


def shown(play: Play, *watched: str) -> LeasePicture:
    return picture(play.machine, watched)


def told(play: Play) -> bool:
    return bool(play.all(e.ShowLeases))


def test_where_nothing_is_leased_or_waited_for_nothing_is_shown(play: Play) -> None:
    assert shown(play) == LeasePicture()
    dispatch(play, "plain")
    assert shown(play) == LeasePicture()
    assert "press: 0 of 2 in use" in list(lines_of(view_resources(play.machine), play.now))


def test_holders_and_queue_are_shown_in_order(play: Play) -> None:
    dispatch(play, "one", "press")
    play.wait(1.0)
    dispatch(play, "both", "press=2", worker="agent")
    play.wait(1.0)
    dispatch(play, "late", "press", worker="agent")
    (press,) = shown(play).resources
    assert (press.name, press.used, press.capacity, press.slots) == ("press", 1, 2, False)
    assert press.holders == (HolderView("one", "uid-one", 0.0, "press", "held"),)
    assert [(one.name, one.since, one.what) for one in press.waiting] == [
        ("both", 1.0, "press=2"),
        ("late", 2.0, "press"),
    ]
    play.finish("one")
    claim(play)
    (press,) = shown(play).resources
    assert [one.name for one in press.holders] == ["both"]
    play.finish("both")
    claim(play)
    play.finish("late")
    assert shown(play) == LeasePicture()


def test_the_persons_own_code_is_shown_without_a_name(play: Play) -> None:
    play.send(e.LeaseAsked(0.0, "r", id="l1", needs=parse_all("terminal,path:src:w")))
    claim(play)
    assert [(one.name, one.capacity, one.holders[0].name) for one in shown(play).resources] == [
        ("terminal", 1, ""),
        ("path", None, ""),
    ]


def test_slots_are_shown_while_somebody_waits_for_nothing_else(play: Play) -> None:
    for name in "abcd":
        dispatch(play, name)
    (slots,) = shown(play).resources
    assert (slots.name, slots.used, slots.slots) == ("slots:kernel", 2, True)
    assert [one.name for one in slots.holders] == ["a", "b"]
    assert [one.name for one in slots.waiting] == ["c", "d"]
    assert shown(play).lacks == ()
    play.finish("a")
    play.finish("b")
    assert shown(play) == LeasePicture()


def test_what_another_notebook_has_is_shown_as_far_as_it_is_known(play: Play) -> None:
    play.dispatch(play.spec("scan", needs=parse_all("press,pool")))
    (wish,) = play.all(e.ClaimLease)
    play.send(e.LeaseRefused(play.now, wish.lease.id, ("press|/project",), "fit of o\u202ether.ipynb"))
    assert told(play)
    press, pool = shown(play).resources
    assert press.holders == (HolderView("fit of o⟨U+202E⟩ther.ipynb", "", None, "press", "elsewhere"),)
    assert pool.holders == ()
    assert "press: 0 of 2 in use here" in list(lines_of(view_resources(play.machine), play.now))
    assert "    press held by fit of o⟨U+202E⟩ther.ipynb" in list(lines_of(view_resources(play.machine), play.now))
    (lack,) = shown(play).lacks
    assert lack.words(play.now) == "waits for press, held by fit of o⟨U+202E⟩ther.ipynb"
    play.send(e.LeaseOpened(play.now, wish.lease.id))
    claim(play)
    assert [one.state for view in shown(play).resources for one in view.holders] == ["held", "held"]


def test_why_a_task_waits_is_the_sentence_of_explain(play: Play) -> None:
    dispatch(play, "holder", "terminal")
    play.wait(3.0)
    for name in ("a", "b", "c"):
        dispatch(play, name, "terminal", worker="agent")
    play.wait(4.0)
    lacks = {lack.uid: lack for lack in shown(play).lacks}
    assert lacks["uid-c"].words(play.now) == "waits for terminal, held by holder (for 7 s); 2 ahead of it"
    for name in ("a", "b", "c"):
        assert explain(play.machine, play.task(name), play.now).endswith(lacks[f"uid-{name}"].words(play.now))


def test_who_waits_for_another_thing_is_not_ahead_of_it(play: Play) -> None:
    dispatch(play, "holder", "terminal,pool", worker="agent")
    for name in "ab":
        dispatch(play, name, "pool")
    dispatch(play, "next", "terminal")
    lacks = {lack.uid: lack.ahead for lack in shown(play).lacks}
    assert lacks == {"uid-a": 0, "uid-b": 1, "uid-next": 0}


def test_a_picture_is_bounded_and_says_how_much_it_leaves_out(play: Play) -> None:
    play.send(e.ResourcesDeclared(0.0, {f"r{number}": 1 for number in range(60)}))
    play.send(e.LeaseAsked(0.0, "r", id="all", needs=parse_all(",".join(f"r{number}" for number in range(60)))))
    claim(play)
    for number in range(120):
        needs = parse_all("r59" if number < 30 else f"r{number % 30}")
        play.dispatch(play.spec(f"t{number}", needs=needs))
    found = shown(play)
    assert (len(found.resources), found.more, len(found.lacks)) == (50, 10, 100)
    first = next(one for one in found.resources if one.name == "r59")
    assert (len(first.waiting), first.more_waiting) == (20, 10)
    assert all(one.waiting for one in found.resources[:31])  # what is waited for is not left out


def test_a_task_that_is_watched_is_explained_though_many_come_before_it(play: Play) -> None:
    dispatch(play, "holder", "terminal")
    for number in range(150):
        dispatch(play, f"t{number}", "terminal", worker="agent")
    assert "uid-t149" not in {lack.uid for lack in shown(play).lacks}
    watched = {lack.uid: lack for lack in shown(play, "uid-t149", "uid-gone").lacks}
    assert watched["uid-t149"].ahead == 149


def test_ten_thousand_that_wait_are_counted_and_the_first_of_them_named(play: Play) -> None:
    dispatch(play, "one")
    dispatch(play, "two")
    for number in range(0, 10_000 - 2, 100):
        play.dispatch(*(play.spec(f"t{number + n}", uid=f"u{number + n}") for n in range(100) if number + n < 9_998))
    (slots,) = shown(play).resources
    assert [one.name for one in slots.waiting] == [f"t{number}" for number in range(20)]
    assert len(slots.waiting) + slots.more_waiting == 9_998
    play.cancel("t0", "t5")
    (slots,) = shown(play).resources
    assert [one.name for one in slots.waiting][:5] == ["t1", "t2", "t3", "t4", "t6"]
    assert len(slots.waiting) + slots.more_waiting == 9_996


# when it is shown


def test_a_task_that_needs_nothing_and_finds_a_slot_changes_nothing_that_is_shown(play: Play) -> None:
    dispatch(play, "plain")
    assert not told(play)
    play.finish("plain")
    assert not told(play)


def test_each_change_of_what_is_shown_is_told(play: Play) -> None:
    """What a page would see before and after each fact, whether anything was said of it."""
    before = shown(play)
    changes = 0

    def look() -> None:
        nonlocal before, changes
        now = shown(play)
        assert now == before or told(play)
        changes += now != before
        before = now

    def send(event: e.Event) -> None:
        play.send(event)
        look()

    def start(name: str, needs: str = "", worker: str = "kernel") -> None:
        spec = play.spec(name, worker, needs=parse_all(needs) if needs else ())
        send(e.TasksDispatched(play.now, request="r", tasks=(spec,)))
        while claims := [lease for lease in play.machine.controller.leases.values() if lease.state == "claiming"]:
            send(e.LeaseClaimed(play.now, claims[0].id))

    start("a", "press")
    start("b", "press=2,terminal")
    start("c")
    start("d")
    start("e", "pool", worker="agent")
    send(e.LeaseAsked(play.now, "r", id="l1", needs=parse_all("path:src:w")))
    send(e.LeaseClaimed(play.now, "l1"))
    send(e.LeaseDowngraded(play.now, "l1", parse_all("path:src:w")[0]))
    send(e.KindDeclared(play.now, Kind("kernel", 3)))
    send(e.PauseAsked(play.now, request="r", targets=("b",)))
    send(e.ResumeAsked(play.now, request="r", targets=("b",)))
    send(e.TaskFinished(play.now, "uid-a", 1, e.Result()))
    send(e.LeaseReleased(play.now, "l1"))
    send(e.CancelAsked(play.now, request="r", targets=("e",)))
    send(e.TaskStopped(play.now, "uid-e", 1))
    send(e.LeaseAsked(play.now, "r", id="l2", needs=parse_all("pool")))
    send(e.LeaseClaimed(play.now, "l2"))
    send(e.ResourcesDeclared(play.now, {"terminal": 1, "press": 2, "pool": 3}))
    play.now += 15.0
    send(e.TimePassed(play.now))
    send(e.LeaseFenced(play.now, "l2"))
    send(e.TasksDispatched(play.now, request="r", tasks=(play.spec("far", "agent", needs=parse_all("pool")),)))
    refused = [lease for lease in play.machine.controller.leases.values() if lease.holder == "uid-far"]
    send(e.LeaseRefused(play.now, refused[0].id, ("pool|/project",), "fit of other.ipynb"))
    send(e.KindDeclared(play.now, Kind("agent", 0)))
    send(e.LeaseOpened(play.now, refused[0].id))
    send(e.KindDeclared(play.now, Kind("agent", 4)))
    send(e.LeaseClaimed(play.now, refused[0].id))
    send(e.JournalBlocked(play.now, "the disk is full"))
    send(e.TasksDispatched(play.now, request="r", tasks=(play.spec("late", "agent"),)))
    play.now += 1.0
    send(e.JournalFreed(play.now))
    send(e.KernelStarted(play.now, 2, play.kinds))
    assert changes > 20
    assert play.task("b").state in (State.QUEUED, State.LOST)


# the sentence, which the page makes too


def sentences() -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(SENTENCES.read_text("utf-8"))
    return found


@pytest.mark.parametrize("case", sentences(), ids=lambda case: case["words"])
def test_why_someone_waits_reads_the_same_as_on_the_page(case: dict[str, object]) -> None:
    now = case["now"]
    assert isinstance(now, float)
    assert msgspec.convert(case["lack"], Lack).words(now) == case["words"]
