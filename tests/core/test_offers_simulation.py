"""Pages with documents of their own, on slow lines, against the decisions of ``core.offers``.

What is true stands in the documents of this file alone; nothing is read back from the machine that is judged.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from jupyter_orchestra.core.offers import Key, Offers, Page, Parcel, SendGrant, SendOffer, Shown, Wish

HOME = "/home/ada/work/nb.ipynb"


@dataclass
class Tab:
    """A browser tab: what it holds in memory; `lines` are messages on their way, which keep their order."""

    client: str
    path: str
    life: int
    cells: set[str]
    held: set[Key]
    deleted: set[Key]
    visible: bool = True
    to_page: deque[tuple[float, Wish]] = field(default_factory=deque)
    to_kernel: deque[tuple[float, Callable[[], list[Wish]]]] = field(default_factory=deque)


class Files:
    """What is saved: for each path the cells, results and tombstones of the notebook."""

    def __init__(self) -> None:
        self.cells = {"work/nb.ipynb": {"a", "b"}, "work/other.ipynb": {"c"}}
        self.held: dict[str, set[Key]] = {path: set() for path in self.cells}
        self.deleted: dict[str, set[Key]] = {path: set() for path in self.cells}


class World:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.offers, self.files, self.now = Offers(), Files(), 1000.0
        self.tabs: dict[str, Tab] = {}
        self.shown: Counter[Key] = Counter()
        self.ready: list[Parcel] = []
        self.withdrawn: set[Key] = set()
        self.inserted: dict[Key, list[tuple[str, int]]] = {}
        self.deleted_by_person: set[Key] = set()
        self.after_deletion: list[Key] = []
        self.order: dict[tuple[str, str], list[Key]] = {}
        self.lives = 0
        self.lossy = True

    # the lines

    def delay(self) -> float:
        return self.random.choice((0.001, 0.01, 0.1, 0.3, 1.0, 5.0)) if self.lossy else 0.01

    def push(self, line: deque[tuple[float, Any]], what: Any) -> None:
        at = max(self.now + self.delay(), line[-1][0] if line else 0.0)
        line.append((at, what))

    def obey(self, wishes: list[Wish]) -> None:
        for wish in wishes:
            if isinstance(wish, Shown):
                self.shown[wish.parcel.key] += 1
            elif wish.client in self.tabs:
                self.push(self.tabs[wish.client].to_page, wish)
                if isinstance(wish, SendGrant):
                    self.order.setdefault(wish.parcel.lane, []).append(wish.parcel.key)
                    self.obey(self.offers.sent(wish.client, wish.parcel.key, self.now))

    def say(self, tab: Tab, fact: Callable[[], list[Wish]]) -> None:
        self.push(tab.to_kernel, fact)

    # a page

    def open(self, client: str, path: str) -> None:
        self.lives += 1
        tab = Tab(
            client, path, self.lives, set(self.files.cells[path]), set(self.files.held[path]),
            set(self.files.deleted[path]),
        )  # fmt: skip
        self.tabs[client] = tab
        page = Page(client, f"session-{self.lives}", path, True, self.now)
        self.obey(self.offers.came(page, self.now))

    def close(self, client: str) -> None:
        del self.tabs[client]
        self.obey(self.offers.left(client, self.now))

    def hear(self, tab: Tab, wish: Wish) -> None:
        parcel = wish.parcel
        key = parcel.key
        if isinstance(wish, SendOffer):
            standing = "deleted" if key in tab.deleted else "present" if key in tab.held else "absent"
            anchored = (parcel.into or parcel.cell) in tab.cells
            for _ in range(2 if self.lossy and self.random.random() < 0.1 else 1):
                self.say(
                    tab,
                    lambda: self.offers.claimed(
                        tab.client, key, standing, anchored, self.now, wish.round  # type: ignore[arg-type]
                    ),
                )  # fmt: skip
            if standing == "present":
                self.save(tab, key)
        elif isinstance(wish, SendGrant):
            if key not in tab.held and key not in tab.deleted:
                granted = self.inserted.get(key, [])
                others = [other for other in self.tabs.values() if other is not tab and key in other.held]
                elsewhere = [other.client for other in others if (other.client, other.life) in granted]
                assert not elsewhere, f"{key} was inserted in {tab.client} and lives in {elsewhere}"
                if key in self.deleted_by_person:
                    self.after_deletion.append(key)
                tab.held.add(key)
                self.inserted.setdefault(key, []).append((tab.client, tab.life))
            self.save(tab, key)

    def save(self, tab: Tab, key: Key) -> None:
        """It may fail, and the word of it may be lost, or come twice."""
        if self.lossy and self.random.random() < 0.3:
            return
        self.files.held[tab.path] = set(tab.held)
        self.files.deleted[tab.path] = set(tab.deleted)
        for _ in range(self.random.choice((0, 1, 1, 2)) if self.lossy else 1):
            self.say(tab, lambda: self.offers.acked(key, self.now))

    def delete(self, tab: Tab) -> None:
        """The person deletes a result, and it is saved."""
        if tab.held:
            key = self.random.choice(sorted(tab.held))
            tab.held.discard(key)
            tab.deleted.add(key)
            self.deleted_by_person.add(key)
            self.files.held[tab.path] = set(tab.held)
            self.files.deleted[tab.path] = set(tab.deleted)

    # time

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while True:
            moments = [line[0][0] for tab in self.tabs.values() for line in (tab.to_page, tab.to_kernel) if line]
            if (due := self.offers.due()) is not None:
                moments.append(due)
            at = min((max(moment, self.now) for moment in moments), default=end)
            if at > end:
                self.now = end
                return
            self.now = at
            self.obey(self.offers.passed(self.now))
            for tab in list(self.tabs.values()):
                if tab.to_kernel and tab.to_kernel[0][0] <= self.now:
                    self.obey(tab.to_kernel.popleft()[1]())
                if tab.to_page and tab.to_page[0][0] <= self.now:
                    self.hear(tab, tab.to_page.popleft()[1])
            if not moments:
                self.now = end
                return

    def step(self) -> None:
        pick = self.random.random()
        if pick < 0.35:
            self.bring()
        elif pick < 0.5:
            client = self.random.choice("xyz")  # a client that is there already: its page was reloaded
            self.open(client, self.random.choice(("work/nb.ipynb", "work/nb.ipynb", "work/other.ipynb")))
        elif pick < 0.6 and self.tabs:
            self.close(self.random.choice(sorted(self.tabs)))
        elif pick < 0.7 and self.tabs:
            tab = self.tabs[self.random.choice(sorted(self.tabs))]
            tab.visible = not tab.visible
            front = self.now if tab.visible else 0.0
            page = Page(tab.client, f"session-{tab.life}", tab.path, tab.visible, front)
            self.obey(self.offers.changed(page, self.now))
        elif pick < 0.8 and self.tabs:
            self.delete(self.tabs[self.random.choice(sorted(self.tabs))])
        elif pick < 0.83 and self.ready:
            parcel = self.random.choice(self.ready)
            self.withdrawn.update(known.key for known in self.ready if known.uid == parcel.uid)
            self.obey(self.offers.withdrawn(parcel.uid, self.now))
        self.run(self.random.choice((0.0, 0.05, 0.5, 3.0, 9.0)))

    def bring(self) -> None:
        if self.ready and self.random.random() < 0.2:  # tried again: the older attempt is superseded
            older = self.random.choice(self.ready)
            newest = max(parcel.attempt for parcel in self.ready if parcel.uid == older.uid)
            parcel = Parcel(older.uid, newest + 1, older.notebook, older.cell)
            self.withdrawn.update(known.key for known in self.ready if known.uid == older.uid)
        else:
            cell = self.random.choice(("a", "b", "gone"))
            into = self.random.choice(("", "", "", "b", "gone"))
            parcel = Parcel(f"u{len(self.ready)}", 1, HOME, cell, into=into)
        self.ready.append(parcel)
        self.obey(self.offers.ready(parcel, self.now))


@pytest.mark.parametrize("batch", range(8))
def test_no_living_document_gets_what_another_one_holds_and_all_is_shown_in_the_end(batch: int) -> None:
    for seed in range(batch * 40, batch * 40 + 40):
        world = World(seed)
        for _ in range(40):
            world.step()
        world.lossy = False
        for client in list(world.tabs):
            world.close(client)
        world.open("x", "work/nb.ipynb")
        world.run(60.0)
        owed = {parcel.key for parcel in world.ready} - world.withdrawn
        assert not world.offers.pending, f"seed {seed}: {world.offers.pending}"
        assert owed <= world.shown.keys(), f"seed {seed}: never shown: {owed - world.shown.keys()}"
        assert not [key for key, times in world.shown.items() if times > 1], f"seed {seed}"


@pytest.mark.parametrize("seed", range(60))
def test_with_one_page_each_result_is_inserted_once_in_its_order_and_a_deleted_one_stays_deleted(seed: int) -> None:
    world = World(seed)
    world.open("x", "work/nb.ipynb")
    for _ in range(30):
        world.bring()
        if world.random.random() < 0.2:
            world.delete(world.tabs["x"])
        world.run(world.random.choice((0.0, 0.1, 5.0)))
    world.lossy = False
    world.run(60.0)
    assert all(len(places) == 1 for places in world.inserted.values())
    assert not world.after_deletion
    for lane, keys in world.order.items():
        first = list(dict.fromkeys(keys))
        arrived = [parcel.key for parcel in world.ready if parcel.lane == lane and parcel.key in first]
        assert first == arrived
