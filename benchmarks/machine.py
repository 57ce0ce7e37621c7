"""What the machine that decides costs for each event, by the number of tasks that are alive."""

from __future__ import annotations

import gc
import time
from collections import deque
from collections.abc import Iterator

from benchmarks.kernels import Bench
from benchmarks.table import Row, p50, quantity
from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.machine import Machine
from jupyter_orchestra.core.model import Kind, Process, Result, Spec

SLOTS = 4
PROCESS = Process(1, 1.0)


class Load:
    """A machine with `size` live tasks: SLOTS run, the others are queued or, every second one, come after one."""

    def __init__(self, size: int, room: int = 10) -> None:
        self.machine = Machine()
        self.events = 0
        self._at, self._number = 0.0, 0
        self._running: deque[tuple[str, int]] = deque()
        kinds = (Kind("kernel", SLOTS),)
        self._do(e.KernelStarted(0.0, 1, kinds=kinds, max_unfinished=size + room))
        for _ in range(size // 2):
            self._dispatch_pair()

    def cycle(self) -> None:
        """Two tasks come, two go through their lives: the size stays."""
        self._dispatch_pair()
        for _ in range(2):
            uid, attempt = self._running.popleft()
            self._do(e.WorkerStarted(self._at, uid, attempt, PROCESS))
            self._do(e.TaskProgressed(self._at, uid, attempt, 0.5, "half"))
            self._do(e.TaskFinished(self._at, uid, attempt, Result()))
            self._do(e.ResultShown(self._at, uid, attempt))
            before = self.machine.tasks[uid].after
            if before:  # the last one of a pair: both may go
                self._do(e.ForgetAsked(self._at, "r", targets=(uid, before[0][1])))

    def dispatch(self, name: str, after: tuple[str, ...] = (), auto: bool = False) -> str:
        """One more task; its uid."""
        self._number += 1
        spec = Spec(f"u{self._number}", name, "kernel", "None", auto=auto, after=after)
        self._do(e.TasksDispatched(self._at, "r", tasks=(spec,)))
        return spec.uid

    def _dispatch_pair(self) -> None:
        first = self.dispatch(f"task-{self._number + 1}" if self._number else "task")
        self.dispatch(f"task-{self._number + 1}", after=(first,))

    def _do(self, event: e.Event) -> None:
        self.events += 1
        self._at += 0.001
        for wish in self.machine.handle(event):
            if isinstance(wish, e.StartTask):
                self._running.append((wish.uid, wish.attempt))
            elif isinstance(wish, e.Refused):
                raise RuntimeError(wish.reason)


def cost(size: int, cycles: int) -> float:
    """Microseconds for each event, the median of five parts."""
    load = Load(size)
    for _ in range(20):
        load.cycle()
    gc.collect()
    parts = []
    for _ in range(5):
        before, began = load.events, time.process_time()
        for _ in range(cycles):
            load.cycle()
        parts.append(1e6 * (time.process_time() - began) / (load.events - before))
    return p50(parts)


def dispatch_cost(size: int, cycles: int) -> float:
    """Microseconds for a dispatch whose name is made up, while `size` live tasks have such names."""
    load = Load(size, room=cycles)
    gc.collect()
    taken = []
    for _ in range(cycles):
        began = time.process_time()
        load.dispatch("task", auto=True)
        taken.append(1e6 * (time.process_time() - began))
    return p50(taken)


def run(bench: Bench) -> list[Row]:
    """Rows for the whole lives of tasks, and for dispatches in a loop, whose names are made up."""
    sizes = (100, 1_000) if bench.quick else (100, 1_000, 10_000)
    cycles = bench.size(100, 20)
    cost(sizes[0], cycles)  # warm-up
    lives = {size: cost(size, cycles) for size in sizes}
    made_up = {size: dispatch_cost(size, cycles) for size in sizes}
    return [
        *_rows("machine cost per event", lives, "12 events in the lives of two tasks, dispatch to forget"),
        *_rows("machine cost of a dispatch, name made up of the same words", made_up, "as `for …: jo.dispatch(code)`"),
    ]


def _rows(title: str, costs: dict[int, float], what: str) -> Iterator[Row]:
    """One row for each size, over the smallest."""
    told = ", ".join(f"{quantity(value, 'µs')} at {size:,}" for size, value in costs.items())
    how = f"process_time around Machine.handle, no disk, garbage collection on; {what}; medians: {told}"
    for size in list(costs)[1:]:
        figure = f"{title}, {size:,} live tasks over 100"
        yield Row(figure=figure, value=costs[size] / costs[100], unit="times", most=1.5, how=how)
