"""The queue of tasks that want slots: who is next, in O(log n); it knows no states and starts nothing.

A task's priority rises by one each 30 s that it waits. Since all age alike, the order of two waiting tasks never
changes, and ``queued_at / 30 - priority`` is a key that need not be touched again.
"""

from __future__ import annotations

from collections import Counter
from heapq import heapify, heappop, heappush

AGEING = 30.0  # seconds of waiting that are worth one step of priority

Entry = tuple[float, int, str, int]  # (key, dispatch order, uid, serial: a task that comes back is a new entry)
Pools = tuple[str, ...]  # the pools of which a task takes one slot each


class SlotQueue:
    """Heaps of waiting tasks, one for each set of pools, and the slots that are taken."""

    def __init__(self) -> None:
        self.slots: dict[str, int] = {}
        self.used: Counter[str] = Counter()
        self._heaps: dict[Pools, list[Entry]] = {}
        self._live: dict[str, Entry] = {}
        self._dead: Counter[Pools] = Counter()
        self._pools: dict[str, Pools] = {}
        self._serial = 0

    def __len__(self) -> int:
        return len(self._live)

    def add(self, uid: str, pools: Pools, priority: int, queued_at: float, order: int) -> None:
        """Let a task wait for one slot of each of `pools`."""
        self._serial += 1
        entry = (queued_at / AGEING - priority, order, uid, self._serial)
        self._live[uid], self._pools[uid] = entry, pools
        heappush(self._heaps.setdefault(pools, []), entry)

    def remove(self, uid: str) -> None:
        """Take a task out; its heap entry dies lazily."""
        if self._live.pop(uid, None) is None:
            return
        pools = self._pools.pop(uid)
        self._dead[pools] += 1
        heap = self._heaps[pools]
        if self._dead[pools] > 64 and self._dead[pools] * 2 > len(heap):
            heap[:] = [entry for entry in heap if self._live.get(entry[2]) == entry]
            heapify(heap)
            self._dead[pools] = 0

    def take(self) -> tuple[str, Pools] | None:
        """The next task for which all slots are free, its slots taken; None when nothing fits."""
        best: tuple[Entry, Pools] | None = None
        for pools, heap in self._heaps.items():
            if any(self.used[pool] >= self.slots.get(pool, 0) for pool in pools):
                continue
            head = self._head(pools, heap)
            if head is not None and (best is None or head < best[0]):
                best = head, pools
        if best is None:
            return None
        (_, _, uid, _), pools = best
        heappop(self._heaps[pools])
        del self._live[uid], self._pools[uid]
        self.hold(pools)
        return uid, pools

    def hold(self, pools: Pools) -> None:
        """Take slots without waiting."""
        for pool in pools:
            self.used[pool] += 1

    def free(self, pools: Pools) -> None:
        """Give slots back."""
        for pool in pools:
            self.used[pool] -= 1

    def ahead(self, uid: str) -> int:
        """How many tasks that want the same pools come before `uid`."""
        entry, pools = self._live[uid], self._pools[uid]
        return sum(other < entry and self._live.get(other[2]) == other for other in self._heaps[pools])

    def _head(self, pools: Pools, heap: list[Entry]) -> Entry | None:
        while heap and self._live.get(heap[0][2]) != heap[0]:
            heappop(heap)
            self._dead[pools] -= 1
        return heap[0] if heap else None
