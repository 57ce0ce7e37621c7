"""Owns how a spawned kernel waits for a full disk, so that what a task made is not lost to it; writes nothing."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")
FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
AGAIN: Final = 0.5  # seconds between two tries


def patiently(act: Callable[[], T]) -> T:
    """Do what writes to the disk, again and again while that is full. A cancel interrupts it."""
    while True:
        try:
            return act()
        except OSError as error:
            if error.errno not in FULL:
                raise
            time.sleep(AGAIN)
