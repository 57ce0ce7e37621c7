"""Ends whole trees of processes, also what left their session; knows no tasks, only ids and a mark that they carry.

A process belongs to a tree when it is in the session or process group of its root, when its initial environment carries
its mark (``NAME=VALUE``), as that of a child does that was forked twice and left the session, or when it descends from
one of these.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import psutil

PATIENCE = 2.0  # seconds that the killing goes on
STILL = 1.0  # seconds in which all of a tree stands still, also where many want the processors
TICKS = os.sysconf("SC_CLK_TCK")  # of the system's clock in a second
_PAUSES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05)  # seconds between its rounds


class Root(NamedTuple):
    """The first process of a tree, perhaps dead by now; what :func:`started` said tells it from a later one."""

    pid: int
    started: float


class _Seen(NamedTuple):
    pid: int
    parent: int
    session: int
    group: int
    marked: bool


def end_tree(mark: str, root: Root | None = None, patience: float = PATIENCE) -> set[int]:
    """Kill a tree until nothing of it lives; blocks. Returns what outlived `patience` seconds, normally nothing.

    Never ends this process or one that it descends from.
    """
    deadline = time.monotonic() + patience
    pauses = iter(_PAUSES)
    find = partial(members, mark, root)
    while alive := find():
        _kill(alive, find)
        if time.monotonic() > deadline:
            return alive
        time.sleep(next(pauses, _PAUSES[-1]))
    return set()


def _kill(alive: set[int], find: Callable[[], set[int]]) -> None:
    """Stop all, then kill all.

    Else a script whose command was killed would begin its next one, and what somebody forks who is killed then would be
    nobody's, with nothing by which to find it.
    """
    deadline, pauses = time.monotonic() + STILL, iter(_PAUSES)
    stopped: set[int] = set()
    quiet = 0  # looks in a row that found nothing new: one alone may miss what is forked meanwhile
    while quiet < 2 and time.monotonic() < deadline:
        moving = {pid for pid in alive if pid not in stopped or _state(pid) in (b"R", b"S")}  # or goes on again
        for pid in moving:
            _send(pid, signal.SIGSTOP)
        stopped |= alive
        if moving:
            time.sleep(next(pauses, _PAUSES[-1]))
        else:
            alive = find()
            quiet = quiet + 1 if alive <= stopped else 0
    for pid in alive | stopped:
        _send(pid, signal.SIGKILL)


def sweep(mark: str, spared: int = 0) -> set[int]:
    """Kill what a dead kernel left behind under its mark, but for what descends from `spared`.

    Returns the processes that were found.
    """
    found: set[int] = set()
    deadline = time.monotonic() + PATIENCE

    def find() -> set[int]:
        return members(mark) - _below(spared)

    while (alive := find()) and time.monotonic() < deadline:
        found |= alive
        _kill(alive, find)
        time.sleep(_PAUSES[0])
    return found


def _below(pid: int) -> set[int]:
    return {pid, *_descendants({pid}, list(_processes("")))} if pid else set()


def signal_strays(number: int, mark: str, root: Root) -> None:
    """Send a signal to the part of a tree that is not in the root's process group."""
    for pid in members(mark, root):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getpgid(pid) != root.pid:
                _send(pid, number)


def signal_below(number: int, mark: str, root: Root) -> None:
    """Send a signal to everything in a tree but its root; again to what was forked meanwhile."""
    done = {root.pid}
    while fresh := members(mark, root) - done:
        for pid in fresh:
            _send(pid, number)
        done |= fresh
        if number != signal.SIGSTOP:
            break


def members(mark: str, root: Root | None = None) -> set[int]:
    """The living processes of a tree, as far as this process may see and end them."""
    seen = list(_processes(mark))
    found = {process.pid for process in seen if process.marked}
    if root is not None and _still_its(root):
        found |= {root.pid} | {p.pid for p in seen if root.pid in (p.pid, p.session, p.group)}
    found |= _descendants(found, seen)
    return found.intersection(process.pid for process in seen) - _protected(seen)


def is_stopped(pid: int, around: bool) -> bool:
    """Whether a process stands still and won't go on by itself; `around`: whether all that it was put around does."""
    if not around:
        return _state(pid) == b"T"
    with contextlib.suppress(OSError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return bool(children) and all(_state(int(child)) == b"T" for child in children)
    return False


def _state(pid: int) -> bytes:
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    return b""


def started(pid: int) -> float:
    """When a process began, by a clock that nobody sets: seconds since the system's start; 0 when it is gone.

    Where there is no /proc: POSIX seconds.
    """
    try:
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19]) / TICKS
    except (OSError, IndexError):
        return 0.0 if os.path.isdir("/proc/self") else _started_elsewhere(pid)


def age(began: float) -> float:
    """Seconds since a process began, from what :func:`started` said."""
    now = time.clock_gettime(time.CLOCK_BOOTTIME) if os.path.isdir("/proc/self") else time.time()
    return max(0.0, now - began)


def _started_elsewhere(pid: int) -> float:
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return 0.0


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _still_its(root: Root) -> bool:
    """Whether the root's number still means this tree: no later process has got it."""
    now = started(root.pid)
    return not now or not root.started or abs(now - root.started) < 0.05


def _descendants(pids: set[int], seen: list[_Seen]) -> set[int]:
    children: dict[int, list[int]] = {}
    for process in seen:
        children.setdefault(process.parent, []).append(process.pid)
    found: set[int] = set()
    ahead = list(pids)
    while ahead:
        fresh = [child for child in children.get(ahead.pop(), ()) if child not in found]
        found.update(fresh)
        ahead += fresh
    return found


def _protected(seen: list[_Seen]) -> set[int]:
    """This process and those that it descends from."""
    parents = {process.pid: process.parent for process in seen}
    line = {os.getpid()}
    ahead = os.getppid()
    while ahead and ahead not in line:
        line.add(ahead)
        ahead = parents.get(ahead, 0)
    return line


def _processes(mark: str) -> Iterator[_Seen]:
    """Every process but the zombies."""
    if os.path.isdir("/proc/self"):
        return _processes_from_proc(os.fsencode(mark))
    return _processes_from_psutil(mark)


def _processes_from_proc(mark: bytes) -> Iterator[_Seen]:
    # By hand, since psutil takes several times as long and this may run while the notebook's own code wants the GIL.
    found = {seen.pid: seen for name in os.listdir("/proc") if name.isdigit() and (seen := _look(name, mark))}
    for seen in list(found.values()):
        if seen.parent and seen.parent not in found and (again := _look(str(seen.pid), mark)):
            found[again.pid] = again  # its parent has ended meanwhile: it has another one by now
    yield from found.values()


def _look(name: str, mark: bytes) -> _Seen | None:
    try:
        with open(f"/proc/{name}/stat", "rb", buffering=0) as file:
            state, parent, group, session = file.read().rpartition(b")")[2].split(None, 4)[:4]
    except OSError:
        return None
    return None if state in b"ZX" else _Seen(int(name), int(parent), int(session), int(group), _carries(name, mark))


def _carries(pid: str, mark: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb", buffering=0) as file:
            return mark in file.read().split(b"\0")
    except OSError:  # gone, or another person's
        return False


def _processes_from_psutil(mark: str) -> Iterator[_Seen]:
    name, _, value = mark.partition("=")
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE:
                pid = process.pid
                marked = _environment(process).get(name) == value
                yield _Seen(pid, process.ppid(), os.getsid(pid), os.getpgid(pid), marked)
        except (psutil.Error, OSError):
            continue


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except (psutil.Error, OSError):
        return {}
