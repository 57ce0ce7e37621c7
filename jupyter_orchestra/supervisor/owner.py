"""Owns all launches: starts, signals, measures, limits and ends them; knows no socket and no client."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import signal
import time
from collections.abc import Callable, Collection
from itertools import count
from typing import Any

from .census import Seen, began_at, descendants, look, look_at_all, newest
from .loop import WRITE, Loop, Timer
from .spawning import spawn
from .tree import Tree

BEAT = 5.0  # seconds between two beats
SOON = 0.05  # seconds from a start to its first beat
OFTEN = 0.25  # seconds between two looks while anything has limits
SHARE = 20  # a look at all processes takes at most one of so many seconds of a processor
TERMINATE, KILL = 2.0, 5.0  # seconds from the interrupt
PATIENCE = 2.0  # seconds after which an end is told, though something lives on that can't be killed
SPARED = 0.5  # seconds that a spooler has to write down what a killed command left
PAUSES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05)  # seconds between the rounds of killing
UNWRITTEN = 1 << 20  # bytes typed that wait for their terminal; what is more gets lost
REMEMBERED = 4096  # launches that are over whose exit codes are kept
LAST = b"\n"  # over its lifeline, to what carries out one task after another: there will be no further one
NOTHING = {"spool": "", "log": "", "mark": "", "around": False, "memory": None, "processes": None, "kept": ""}

Done = Callable[[], None]


class Owner:
    """The trees of all launches, which are all that descends from this process.

    Parameters
    ----------
    tell
        Takes what all clients are to know.
    changed
        Called when other launches are kept than before.
    """

    def __init__(
        self, loop: Loop, tell: Callable[[dict[str, Any]], None], changed: Callable[[], None] = lambda: None
    ) -> None:
        self.trees: dict[int, Tree] = {}
        self._loop, self._tell, self._changed = loop, tell, changed
        self._numbers = count(time.monotonic_ns())  # never those of the supervisor before
        self._roots: dict[int, Tree] = {}  # by pid, until it is reaped
        self._whose: dict[int, tuple[int, Tree]] = {}  # by pid: when it began, and whose it is
        self._strays = Tree(0, NOTHING, 0, 0, 0.0, -1)  # descendants that nobody can tell whose they are
        self._strays.code, self._strays.over = 0, True
        self._newest = 0  # the last process that there was at the last look
        self._whole = False  # nothing was forked during that
        self._press: Timer | None = None
        self._round = 0
        self._tick: Timer | None = None
        self._tick_at = 0.0
        self._beat_at = 0.0
        self.alone = False  # no kernel is there, which would end what a first process has left

    # what clients may ask for

    def start(self, order: dict[str, Any]) -> Tree:
        """Start a launch. Raises OSError."""
        environment = dict(order["environment"])
        if "JPY_PARENT_PID" in environment:
            environment["JPY_PARENT_PID"] = str(os.getpid())
        pid, lifeline = spawn(order["argv"], order["cwd"], environment, order["log"])
        seen = look(pid)
        assert seen is not None  # it is our child, and not reaped
        tree = Tree(next(self._numbers), order, pid, seen.began, began_at(seen), lifeline)
        self.trees[tree.number] = self._roots[pid] = tree
        self._tick_in(SOON)
        self._beat_at = 0.0
        if tree.kept:
            self._changed()
        return tree

    def keep(self, tree: Tree, lease: str) -> None:
        """Let a launch outlive its kernel, under that lease; empty: let it not."""
        tree.kept = lease
        self._changed()

    def limit(self, tree: Tree, memory: int | None, processes: int | None) -> None:
        """Set what a tree may take; None: as much as there is. What it has in memory already does not count."""
        if memory is not None:
            self.look()
            tree.measure()
            tree.before = tree.memory
        tree.memory_limit, tree.processes_limit = memory, processes
        self._tick_in(OFTEN)

    @property
    def kept(self) -> list[Tree]:
        """What outlives its kernel and still lives."""
        return [tree for tree in self.trees.values() if tree.kept and not tree.over]

    def leave_alone(self, done: Done) -> None:
        """No kernel is there any more: kill what does not outlive it, and what those have left that do."""
        self.alone = True
        for tree in self.kept:
            if tree.code is not None:
                self.end(tree)
            elif not tree.around:
                self.write(tree, LAST)
        self.end_all({tree.pid for tree in self.trees.values() if tree.kept}, done)

    def signal(self, tree: Tree, number: int) -> None:
        """Send a signal to a tree whose first process lives."""
        if tree.code is not None:
            return
        if number in (signal.SIGSTOP, signal.SIGCONT):
            tree.paused = number == signal.SIGSTOP
        if not (tree.around and number in (signal.SIGSTOP, signal.SIGCONT)):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(tree.pid, number)
            self.look()
            tree.members = [seen for seen in tree.members if seen.group != tree.pid]
            tree.send(number)
            return
        before: set[int] = set()
        while True:  # what was not stopped yet may have forked
            self.look()
            tree.send(number)
            now = {seen.pid for seen in tree.living}
            if now <= before or number == signal.SIGCONT:
                return
            before |= now

    def settle(self, done: Done) -> None:
        """Call `done` once all that is paused stands still; what can't be stopped is waited for 2 s."""
        deadline = time.monotonic() + PATIENCE

        def look() -> None:
            self.look()
            moving = [tree for tree in self.trees.values() if tree.moving]
            if not moving or time.monotonic() > deadline:
                done()
                return
            for tree in moving:  # what it had just forked, and what got a SIGCONT from somebody else
                tree.send(signal.SIGSTOP)
            self._loop.after(PAUSES[0], look)

        if any(tree.paused for tree in self.trees.values()):
            look()
        else:
            done()

    def go_down_the_ladder(self, tree: Tree) -> None:
        """Interrupt (0 s), terminate (2 s), kill (5 s); the rest of it is killed as soon as its first process ended."""
        if tree.code is not None:
            self.end(tree)
        elif not tree.ladder:
            later = self._loop.after
            tree.ladder = [
                later(TERMINATE, lambda: self._ask(tree, signal.SIGTERM)),
                later(KILL, lambda: self.end(tree)),
            ]
            self._ask(tree, signal.SIGINT)

    def end(self, tree: Tree, done: Done | None = None) -> None:
        """Kill a tree; `done` is called when nothing of it lives, or after 2 s."""
        if tree.over:
            if done:
                done()
            return
        if done:
            tree.ended.append(done)
        tree.sparing = 0.0
        if not tree.ending:
            tree.deadline = time.monotonic() + PATIENCE
        self._press_now()

    def end_all(self, kept: Collection[int], done: Done) -> None:
        """End and forget all launches but those of these pids, with the folders of what still lived."""
        trees = [tree for tree in self.trees.values() if tree.pid not in kept]
        left = {tree.number for tree in trees}
        lived = [tree for tree in trees if not tree.over]  # the folder of another may be somebody else's by now

        def ended(tree: Tree) -> None:
            left.discard(tree.number)
            self.trees.pop(tree.number, None)
            if tree in lived:
                _remove(tree.folder)  # who had it started may be gone
            if not left:
                done()

        if not trees:
            done()
        for tree in trees:
            self.end(tree, lambda tree=tree: ended(tree))  # type: ignore[misc]

    def end_everything(self, done: Done) -> None:
        """End all that descends from this process."""
        strays = self._strays
        strays.over = False
        self.end_all((), lambda: self.end(strays, done))

    def write(self, tree: Tree, data: bytes) -> None:
        """Put bytes into a lifeline."""
        if tree.lifeline >= 0 and len(tree.unwritten) + len(data) <= UNWRITTEN:
            tree.unwritten += data
            self._write(tree)

    # what happens

    def reap(self) -> None:
        """Take what has ended."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            tree = self._roots.pop(pid, None)
            owner = tree or self._whose.get(pid, (0, self._strays))[1]
            owner.used += usage.ru_utime + usage.ru_stime
            # Of one of its processes alone, but between two looks nobody sees more.
            owner.peak = max(owner.peak, usage.ru_maxrss << 10)
            if tree is not None:
                self._root_ended(tree, os.waitstatus_to_exitcode(status))

    def look(self) -> None:
        """Look at all processes, and tell whose each one is."""
        self._newest = newest()
        everyone = look_at_all()
        self._whole = self._newest == newest() != 0
        trees = [self._strays, *self.trees.values()]
        for tree in trees:
            tree.members = []
        whose: dict[int, tuple[int, Tree]] = {}
        me = os.getpid()
        for seen in descendants(me, everyone):
            tree = self._whose_child(seen) if seen.parent == me else whose[seen.parent][1]
            whose[seen.pid] = seen.began, tree
            tree.members.append(seen)
        self._whose = whose
        now = time.monotonic()
        for tree in trees:
            if not tree.stopped:
                tree.ran = now
        if self._strays.members and not self._strays.ending:  # of launches that are over
            self._strays.over, self._strays.deadline = False, now + PATIENCE
            self._press_in(0)

    def beat(self) -> None:
        """Look, and tell all clients how each living launch is."""
        self._beat_at = time.monotonic() + BEAT
        living = [tree for tree in self.trees.values() if not tree.over]
        self._tell({"event": "beat", "launches": [tree.beat() for tree in living]})

    def tell_now(self) -> None:
        """Tell them of now, not of the last look."""
        self.look()
        for tree in self.trees.values():
            if not tree.over:
                tree.measure()
        self.beat()

    def _whose_child(self, seen: Seen) -> Tree:
        """Whose a child of this process is: a first process, or one whose parents are gone."""
        if (tree := self._roots.get(seen.pid)) is not None:
            return tree
        began, known = self._whose.get(seen.pid, (-1, self._strays))
        if began == seen.began and known is not self._strays:
            return known
        trees = [tree for tree in reversed(self.trees.values()) if not tree.over]
        owner = next((tree for tree in trees if tree.owns(seen)), None)
        if owner is None:  # first processes keep their descendants: so it is of one that has ended, and must end too
            owner = next((tree for tree in trees if tree.code is not None), self._strays)
        return owner

    def _root_ended(self, tree: Tree, code: int) -> None:
        tree.code = code
        self._close_lifeline(tree)
        tree.cpu = max(tree.cpu, tree.used)
        self._tell({"event": "exit", **tree.held(), "beat": tree.beat()})
        climbing = bool(tree.ladder)
        for timer in tree.ladder:
            timer.cancel()
        tree.ladder = []
        if climbing or tree.ending or (tree.kept and self.alone):
            self.end(tree)

    def _ask(self, tree: Tree, number: int) -> None:
        self.signal(tree, number)
        self.signal(tree, signal.SIGCONT)  # what is paused can't act on the other one

    # ending

    def _press_now(self) -> None:
        if self._press is not None:
            self._press.cancel()
        self._round = 0
        self._press = self._loop.after(0, self._kill)

    def _kill(self) -> None:
        """One round of killing all that is to end."""
        self._press = None
        self.reap()
        self.look()
        now = time.monotonic()
        trees = [tree for tree in (self._strays, *self.trees.values()) if tree.ending]
        for tree in trees:
            was_empty, tree.empty = tree.empty, tree.code is not None and not tree.living
            if tree.empty and (self._whole or was_empty):
                self._over(tree)
            elif now > tree.deadline and tree.ended:
                _call(tree)
                tree.deadline = now + PATIENCE
            else:
                tree.kill(spare=now < tree.sparing)
        if any(tree.ending for tree in trees):
            pause = PAUSES[min(self._round, len(PAUSES) - 1)]
            self._round += 1
            self._press_in(pause)

    def _press_in(self, seconds: float) -> None:
        if self._press is None:
            self._press = self._loop.after(seconds, self._kill)

    def _over(self, tree: Tree) -> None:
        tree.over = True
        tree.members, tree.memory = [], 0
        _call(tree)
        if tree.kept:
            self._changed()
        over = [number for number, tree in self.trees.items() if tree.over]
        for number in over[: max(len(over) - REMEMBERED, 0)]:
            del self.trees[number]

    # measuring

    def _tick_in(self, seconds: float) -> None:
        at = time.monotonic() + seconds
        if self._tick is not None and self._tick.act is not None:
            if self._tick_at <= at:
                return
            self._tick.cancel()
        self._tick, self._tick_at = self._loop.after(seconds, self._measure), at

    def _measure(self) -> None:
        self._tick = None
        living = [tree for tree in self.trees.values() if not tree.over]
        if not living:
            return
        begun = time.process_time()  # not by the clock, which runs on while a fork bomb has the processors
        if time.monotonic() >= self._beat_at or self._may_exceed(living):
            self.look()
            for tree in living:
                tree.measure()
                if not tree.ending and (why := tree.excess()):
                    self._end_for(tree, why)
        now = time.monotonic()
        if now >= self._beat_at:
            self.beat()
        often = any(tree.limited for tree in living)
        rest = min((time.process_time() - begun) * SHARE, BEAT)
        self._tick_in(max(OFTEN if often else self._beat_at - now, rest))

    def _may_exceed(self, living: list[Tree]) -> bool:
        """Whether something may be beyond its limits by now, as far as that can be told without a look at all."""
        if any(tree.memory_limit is not None for tree in living):
            return True
        begun, room = newest(), min(tree.room for tree in living)
        return room < math.inf and not (begun and self._newest <= begun <= self._newest + room)

    def _end_for(self, tree: Tree, why: str) -> None:
        if tree.code is None:
            tree.killed_for = why
        self.end(tree)
        if tree.around:
            tree.sparing = time.monotonic() + SPARED

    # lifelines

    def _write(self, tree: Tree) -> None:
        try:
            while tree.unwritten:
                del tree.unwritten[: os.write(tree.lifeline, tree.unwritten)]
        except BlockingIOError:
            self._loop.watch(tree.lifeline, WRITE, lambda events: self._write(tree))
            return
        except OSError:  # nobody reads it any more
            tree.unwritten.clear()
        self._loop.unwatch(tree.lifeline)

    def _close_lifeline(self, tree: Tree) -> None:
        if tree.lifeline >= 0:
            self._loop.unwatch(tree.lifeline)
            os.close(tree.lifeline)
            tree.lifeline = -1


def _remove(folder: str) -> None:
    """Remove the folder of a launch, and what it alone was in."""
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        os.rmdir(os.path.dirname(folder))


def _call(tree: Tree) -> None:
    ended, tree.ended = tree.ended, []
    for done in ended:
        done()
