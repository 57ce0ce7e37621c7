"""What a supervisor says of a launch; knows not how it is said."""

from __future__ import annotations

import msgspec

SAME = 0.001  # seconds by which two notes of one start may differ


class Beat(msgspec.Struct, frozen=True):
    """How a launch is: every 5 s while anything of it lives, and when its first process has ended."""

    pid: int
    started: float
    alive: bool  # its first process
    stopped: bool  # by a signal that did not come from its launcher
    cpu: float  # seconds, all its processes so far
    memory: int  # bytes, resident, all its processes
    peak: int  # the most of that which was seen
    processes: int


class Held(msgspec.Struct, frozen=True):
    """A launch that a supervisor knows of, as whoever may take it over sees it."""

    launch: int
    pid: int
    started: float
    spool: str
    mark: str
    code: int | None  # None: its first process lives
    killed_for: str = ""
    kept: str = ""  # the lease under which it outlives its kernel
