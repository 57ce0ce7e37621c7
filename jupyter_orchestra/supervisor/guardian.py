"""Owns what becomes of a supervisor's processes when it is killed: none outlives it; knows no launch, only descent.

The supervisor is its child, and what a dead supervisor leaves becomes its children, too: also a process that left its
session, cleared its environment and lost its parents, which nobody else could tell from a stranger.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time

from .census import descendants, look_at_all
from .tree import send

BY_ITSELF = 0.5  # seconds in which what has lost its owner may end without help, and take its files with it
PATIENCE = 10.0  # seconds that the killing goes on
AGAIN = 0.01  # seconds between two looks


def guard(supervisor: int) -> bool:
    """Wait until the supervisor has ended; True when it was killed, and then all that it owned has ended as well."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):  # which tell it to end, and then this ends, too
        signal.signal(number, signal.SIG_IGN)
    _, status = os.waitpid(supervisor, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0:
        return False
    begun = time.monotonic()
    while _has_children() and time.monotonic() < begun + PATIENCE:
        if time.monotonic() > begun + BY_ITSELF:
            _kill_all()
        time.sleep(AGAIN)
    return True


def _has_children() -> bool:
    """Whether any are left, when those that have ended are taken away."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        return True
    return False


def _kill_all() -> None:
    """Kill what there is, all of it stopped first: what is forked meanwhile is there at the next look."""
    below = [seen for seen in descendants(os.getpid(), look_at_all()) if seen.alive]
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for seen in below:
            send(seen.pid, number)
