from itertools import count

import pytest

from jupyter_orchestra.core.leases import BUSY, TTL, Lease, LeaseState, LeaseTable
from jupyter_orchestra.core.needs import parse_all

CAPACITIES = {"slots:kernel": 2, "press": 1, "pool": 4, "test-runner": 1, "terminal": 1, "mem": 8 << 30, "gpu": 2}


class Desk:
    """A table, and a clock that is moved by hand."""

    def __init__(self, **more: int) -> None:
        self.table = LeaseTable()
        self.table.declare({**CAPACITIES, **more})
        self.now = 100.0
        self._order = count(1)

    def ask(self, id: str, needs: str, priority: int = 0, holder: str = "") -> None:
        self.table.add(id, holder or id, parse_all(needs), priority, self.now, next(self._order))

    def grant(self) -> list[str]:
        """Take all that can be had, the machine's part included; the ids."""
        found = []
        while (lease := self.table.take(self.now)) is not None:
            if lease.state == "claiming":
                self.table.claimed(lease.id, 0, self.now)
            found.append(lease.id)
        return found

    def lease(self, id: str) -> Lease:
        return self.table.state.leases[id]


def test_all_is_granted_together_or_nothing_is_held() -> None:
    desk = Desk()
    desk.ask("a", "press")
    desk.ask("b", "press,pool=4")
    assert desk.grant() == ["a"]
    assert desk.table.used("pool") == 0
    desk.table.release("a")
    assert desk.grant() == ["b"]
    assert desk.table.used("pool") == 4


def test_nobody_overtakes_on_what_an_earlier_one_waits_for() -> None:
    desk = Desk()
    desk.ask("small", "pool=1")
    desk.ask("large", "pool=4")
    desk.ask("late", "pool=1")
    assert desk.grant() == ["small"]
    desk.table.release("small")
    assert desk.grant() == ["large"]
    desk.table.release("large")
    assert desk.grant() == ["late"]


def test_what_has_nothing_in_common_with_those_that_wait_goes_ahead() -> None:
    desk = Desk()
    desk.ask("a", "press,slots:kernel")
    desk.ask("b", "press,slots:kernel")
    desk.ask("c", "slots:kernel")
    desk.ask("d", "path:docs:w")
    assert desk.grant() == ["a", "c", "d"]


def test_priority_goes_first_and_ages() -> None:
    desk = Desk()
    desk.ask("held", "press")
    desk.grant()
    desk.ask("old", "press", priority=0)
    desk.now += 29.0
    desk.ask("urgent", "press", priority=1)
    desk.now += 100.0
    desk.ask("late", "press", priority=1)
    desk.table.release("held")
    assert desk.grant() == ["urgent"]
    desk.table.release("urgent")
    assert desk.grant() == ["old"]


def test_expiry_alone_frees_nothing() -> None:
    desk = Desk()
    desk.ask("hung", "press")
    desk.grant()
    desk.ask("next", "press")
    desk.now += TTL
    assert [lease.id for lease in desk.table.expire(desk.now)] == ["hung"]
    assert desk.grant() == []
    assert not desk.table.valid("hung", desk.lease("hung").token)
    desk.table.release("hung")  # fenced
    assert desk.grant() == ["next"]


def test_a_renewed_lease_does_not_expire_and_an_expired_one_is_not_renewed() -> None:
    desk = Desk()
    desk.ask("a", "press")
    desk.grant()
    desk.now += TTL - 1
    desk.table.renew(["a"], desk.now)
    desk.now += TTL - 1
    assert desk.table.expire(desk.now) == []
    desk.now += 2
    assert len(desk.table.expire(desk.now)) == 1
    desk.table.renew(["a"], desk.now)
    assert desk.lease("a").state == "fencing"


def test_slots_alone_never_expire() -> None:
    desk = Desk()
    desk.ask("a", "slots:kernel")
    desk.grant()
    assert desk.table.due() is None
    assert desk.table.expire(desk.now + 1e6) == []


def test_tokens_rise_with_every_grant_and_only_the_present_one_is_valid() -> None:
    desk = Desk()
    tokens = []
    for id in ("a", "b", "c"):
        desk.ask(id, "press")
        desk.grant()
        tokens.append(desk.lease(id).token)
        assert desk.table.valid(id, tokens[-1])
        assert not desk.table.valid(id, tokens[-1] - 1)
        desk.table.release(id)
        assert not desk.table.valid(id, tokens[-1])
    assert tokens == sorted(set(tokens))


def test_each_gets_a_port_of_its_own_the_lowest_that_is_free() -> None:
    desk = Desk()
    desk.ask("a", "port:3000-3001")
    desk.ask("b", "port:3000-3001")
    desk.ask("c", "port:3000-3001")
    desk.ask("d", "port:4000")
    assert desk.grant() == ["a", "b", "d"]
    assert [desk.lease(id).needs[0].units for id in "abd"] == [(3000,), (3001,), (4000,)]
    desk.table.release("a")
    assert desk.grant() == ["c"]
    assert desk.lease("c").needs[0].units == (3000,)


def test_graphics_cards_are_handed_out_by_number() -> None:
    desk = Desk()
    desk.ask("a", "gpu")
    desk.ask("b", "gpu")
    assert desk.grant() == ["a", "b"]
    assert desk.lease("a").needs[0].units + desk.lease("b").needs[0].units == (0, 1)


def test_readers_share_a_path_and_a_writer_is_alone() -> None:
    desk = Desk()
    desk.ask("r1", "path:src:r")
    desk.ask("r2", "path:src/a:r")
    desk.ask("w", "path:src/a/b:w")
    desk.ask("r3", "path:src:r")
    assert desk.grant() == ["r1", "r2"]
    desk.table.release("r1")
    assert desk.grant() == []
    desk.table.release("r2")
    assert desk.grant() == ["w"]
    desk.table.release("w")
    assert desk.grant() == ["r3"]


def test_a_downgrade_lets_readers_in() -> None:
    desk = Desk()
    desk.ask("w", "path:src:w")
    desk.grant()
    desk.ask("r", "path:src:r")
    assert desk.grant() == []
    (need,) = parse_all("path:src:w")
    assert desk.table.downgrade("w", need)
    assert desk.grant() == ["r"]
    assert not desk.table.downgrade("w", need)


def test_an_extension_is_had_now_or_not_at_all() -> None:
    desk = Desk()
    desk.ask("a", "press")
    desk.ask("b", "pool=4")
    desk.grant()
    assert "pool" in str(desk.table.extend("a", parse_all("pool"), desk.now))
    assert list(desk.table.requests()) == []
    desk.table.release("b")
    assert isinstance(desk.table.extend("a", parse_all("pool=2"), desk.now), Lease)
    assert desk.table.used("pool") == 2
    desk.table.release("a")
    assert (desk.table.used("pool"), desk.table.used("press")) == (0, 0)


def test_slots_that_got_a_thing_by_an_extension_expire_with_it() -> None:
    desk = Desk()
    desk.ask("a", "slots:kernel")
    desk.grant()
    desk.now += 5.0
    assert isinstance(desk.table.extend("a", parse_all("terminal"), desk.now), Lease)
    desk.now += TTL - 1
    assert desk.table.expire(desk.now) == []
    desk.now += 1
    assert [lease.id for lease in desk.table.expire(desk.now)] == ["a"]


def test_what_another_program_has_is_given_back_and_waited_for_in_the_old_place() -> None:
    desk = Desk()
    desk.ask("a", "press,slots:kernel")
    lease = desk.table.take(desk.now)
    assert lease is not None
    assert lease.state == "claiming"
    desk.table.refused("a", ("press|/project",), desk.now)
    assert desk.table.used("slots:kernel") == 0
    desk.ask("b", "press")
    desk.ask("c", "slots:kernel")
    assert desk.grant() == ["c"]  # a holds nothing up but the press
    desk.table.open("a")
    assert desk.grant() == ["a"]


def test_who_is_let_go_before_an_older_refusal_arrives_is_tried_again_once() -> None:
    desk = Desk()
    desk.ask("a", "press")
    assert desk.table.take(desk.now) is not None
    desk.table.open("a")
    desk.table.refused("a", ("press|/project",), desk.now)
    assert desk.table.take(desk.now) is not None
    desk.table.refused("a", ("press|/project",), desk.now)
    assert desk.table.take(desk.now) is None


def test_a_busy_port_is_left_alone_for_a_while_and_another_one_is_taken() -> None:
    desk = Desk()
    desk.ask("a", "port:3000-3001")
    assert desk.table.take(desk.now) is not None
    desk.table.refused("a", ("port/3000",), desk.now)
    assert desk.grant() == ["a"]
    assert desk.lease("a").needs[0].units == (3001,)
    desk.ask("b", "port:3000")
    assert desk.grant() == []
    desk.now += 6.0
    assert desk.grant() == ["b"]


def test_the_only_port_is_tried_again_when_another_program_has_it() -> None:
    desk = Desk()
    desk.ask("a", "port:3000")
    assert desk.table.take(desk.now) is not None
    desk.table.refused("a", ("port/3000",), desk.now)
    assert desk.grant() == []
    due = desk.table.due()
    assert due is not None
    desk.now = due
    desk.table.expire(desk.now)
    assert desk.grant() == ["a"]


@pytest.mark.parametrize(
    ("needs", "busy", "waits"),
    [
        ("port:3000", ("port/3000",), True),
        ("press", ("press|/project",), False),
        ("path:src:w", ("path|/project/src",), False),
        ("mem=1GiB", ("mem",), False),
        ("port:3000,press", ("port/3000", "press|/project"), False),
        ("press", (), True),  # nobody knows what others hold
    ],
)
def test_the_clock_is_asked_for_only_where_nobody_will_tell_when_it_is_free(
    needs: str, busy: tuple[str, ...], waits: bool
) -> None:
    desk = Desk()
    desk.ask("a", needs)
    assert desk.table.take(desk.now) is not None
    desk.table.refused("a", busy, desk.now)
    desk.table.state.outside.clear()
    assert desk.table.due() == (desk.now + BUSY if waits else None)


def test_what_waits_no_longer_is_not_what_the_clock_is_asked_for() -> None:
    desk = Desk()
    desk.ask("a", "press")
    assert desk.table.take(desk.now) is not None
    desk.table.refused("a", (), desk.now)
    desk.table.remove("a")
    assert desk.table.due() is None
    table = LeaseTable(LeaseState(barred={"gone": 101.0}))
    assert table.due() == 101.0
    table.expire(101.0)
    assert table.due() is None


def test_a_port_that_its_holder_has_given_up_is_tried_again_at_once() -> None:
    desk = Desk()
    desk.ask("a", "port:3000")
    assert desk.table.take(desk.now) is not None
    desk.table.refused("a", ("port/3000",), desk.now)
    desk.table.open("a")
    assert desk.grant() == ["a"]


def test_the_time_is_wanted_when_a_busy_port_may_be_free_for_another_that_waits() -> None:
    desk = Desk()
    desk.ask("a", "port:3000-3001")
    assert desk.table.take(desk.now) is not None
    desk.table.refused("a", ("port/3000",), desk.now)
    assert desk.grant() == ["a"]
    desk.table.release("a")
    desk.ask("b", "port:3000")
    assert desk.grant() == []
    due = desk.table.due()
    assert due is not None
    desk.now = due
    desk.table.expire(desk.now)
    assert desk.grant() == ["b"]


def test_what_can_never_be_had_is_told_with_the_nearest_name() -> None:
    table = Desk().table
    assert "there is pool=4 at most" in table.impossible(parse_all("pool=5"))
    assert "did you mean press?" in table.impossible(parse_all("pres"))
    assert "declare it" in table.impossible(parse_all("something-else"))
    assert table.impossible(parse_all("pool=4,press,port:3000,path:a:w,container:x,mem=8GiB")) == ""


def test_who_holds_something_waits_for_later_things_alone() -> None:
    desk = Desk()
    desk.ask("t#1", "test-runner", holder="t")
    desk.grant()
    assert desk.table.may_wait("t", parse_all("port:3000"))
    assert not desk.table.may_wait("t", parse_all("path:src:w"))
    assert desk.table.may_wait("other", parse_all("path:src:w"))


def test_one_that_waits_is_told_what_for_and_who_has_it() -> None:
    desk = Desk()
    desk.ask("a", "press,pool=1")
    desk.grant()
    desk.ask("b", "press,slots:kernel")
    desk.ask("c", "press")
    found = desk.table.explain("c")
    assert found is not None
    assert (found.missing, found.holders, found.ahead) == ("press", (("a", 100.0),), 1)
    assert desk.table.explain("a") is None


def test_a_cancelled_one_holds_nobody_up() -> None:
    desk = Desk()
    desk.ask("a", "pool=3")
    desk.ask("b", "pool=4")
    desk.ask("c", "pool=1")
    assert desk.grant() == ["a"]
    desk.table.remove("b")
    assert desk.grant() == ["c"]


def test_a_part_can_be_given_back() -> None:
    desk = Desk()
    desk.ask("a", "press,pool=2")
    desk.grant()
    desk.table.shrink("a", lambda need: need.resource != "press")
    desk.ask("b", "press")
    assert desk.grant() == ["b"]
    desk.table.release("a")
    assert desk.table.used("pool") == 0


@pytest.mark.parametrize("many", [10_000])
def test_ten_thousand_that_want_one_slot_each_go_in_order(many: int) -> None:
    desk = Desk()
    for number in range(many):
        desk.ask(f"t{number}", "slots:kernel")
    gone = []
    while granted := desk.grant():
        gone += granted
        for id in granted:
            desk.table.release(id)
    assert gone == [f"t{number}" for number in range(many)]
