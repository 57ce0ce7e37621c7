import pytest

from jupyter_orchestra.core.queue import SlotQueue


def queue(**slots: int) -> SlotQueue:
    made = SlotQueue()
    made.slots = dict(slots)
    return made


def drain(q: SlotQueue) -> list[str]:
    taken = []
    while (found := q.take()) is not None:
        taken.append(found[0])
    return taken


def test_first_come_first_served() -> None:
    q = queue(k=9)
    for order, uid in enumerate("abc"):
        q.add(uid, ("k",), 0, 0.0, order)
    assert drain(q) == ["a", "b", "c"]


def test_a_higher_priority_goes_first() -> None:
    q = queue(k=9)
    for order, priority in enumerate((0, 2, -1, 1)):
        q.add(str(priority), ("k",), priority, 0.0, order)
    assert drain(q) == ["2", "1", "0", "-1"]


@pytest.mark.parametrize(("waited", "first"), [(29.9, "new"), (30.1, "old")])
def test_thirty_seconds_of_waiting_are_worth_one_step(waited: float, first: str) -> None:
    q = queue(k=1)
    q.add("old", ("k",), 0, 0.0, 0)
    q.add("new", ("k",), 1, waited, 1)
    assert drain(q) == [first]


def test_at_exactly_thirty_seconds_the_older_one_goes_first() -> None:
    q = queue(k=1)
    q.add("new", ("k",), 1, 30.0, 1)
    q.add("old", ("k",), 0, 0.0, 0)
    assert drain(q) == ["old"]


def test_a_task_takes_a_slot_of_each_pool_or_none() -> None:
    q = queue(k=2, t=1)
    q.add("a", ("k", "t"), 0, 0.0, 0)
    q.add("b", ("k", "t"), 0, 0.0, 1)
    q.add("c", ("k",), 0, 0.0, 2)
    assert drain(q) == ["a", "c"]
    assert q.used == {"k": 2, "t": 1}
    q.free(("k", "t"))
    assert drain(q) == ["b"]


def test_who_does_not_fit_lets_others_pass() -> None:
    q = queue(k=1, t=0)
    q.add("a", ("k", "t"), 9, 0.0, 0)
    q.add("b", ("k",), 0, 0.0, 1)
    assert drain(q) == ["b"]


def test_a_pool_without_slots_starts_nothing() -> None:
    q = queue()
    q.add("a", ("k",), 0, 0.0, 0)
    assert drain(q) == []
    assert len(q) == 1


def test_fewer_slots_start_nothing_until_enough_are_free() -> None:
    q = queue(k=1)
    q.hold(("k",))
    q.hold(("k",))
    q.add("a", ("k",), 0, 0.0, 0)
    q.free(("k",))
    assert drain(q) == []
    q.free(("k",))
    assert drain(q) == ["a"]


def test_what_was_removed_is_not_taken() -> None:
    q = queue(k=9)
    q.add("a", ("k",), 0, 0.0, 0)
    q.add("b", ("k",), 0, 0.0, 1)
    q.remove("a")
    q.remove("a")
    q.remove("unknown")
    assert len(q) == 1
    assert drain(q) == ["b"]


def test_who_comes_back_is_taken_once_and_at_the_new_place() -> None:
    q = queue(k=9)
    q.add("a", ("k",), 5, 0.0, 0)
    q.add("b", ("k",), 1, 0.0, 1)
    q.remove("a")
    q.add("a", ("k",), 0, 0.0, 0)
    assert drain(q) == ["b", "a"]


def test_who_comes_back_with_the_same_key_is_taken_once() -> None:
    q = queue(k=9)
    q.add("a", ("k",), 0, 0.0, 0)
    q.remove("a")
    q.add("a", ("k",), 0, 0.0, 0)
    assert drain(q) == ["a"]
    assert q.used["k"] == 1


def test_removed_entries_do_not_pile_up() -> None:
    q = queue(k=1)
    for n in range(1_000):
        q.add(f"u{n}", ("k",), 0, float(n), n)
    for n in range(990):
        q.remove(f"u{n}")
    assert sum(map(len, q._heaps.values())) < 150
    q.slots["k"] = 99
    assert drain(q) == [f"u{n}" for n in range(990, 1_000)]


def test_coming_and_going_for_long_does_not_grow_the_heap() -> None:
    q = queue(k=0)
    for n in range(10_000):
        q.add("a", ("k",), 0, float(n), 0)
        q.remove("a")
    assert sum(map(len, q._heaps.values())) < 200


def test_ahead_counts_those_that_want_the_same_and_live() -> None:
    q = queue(k=0, s=0)
    for order, uid in enumerate("abcd"):
        q.add(uid, ("k",), 0, 0.0, order)
    q.add("e", ("s",), 9, 0.0, 9)
    q.remove("b")
    assert [q.ahead(uid) for uid in "acde"] == [0, 1, 2, 0]
