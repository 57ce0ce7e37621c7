"""Owns what a client's words must look like before anything is done with them; it does nothing itself."""

from __future__ import annotations

import math
import re
from types import NoneType
from typing import Any

from .wire import Message

LONGEST = 1e7  # seconds that anything may be waited for
LIMITS = ("memory", "processes")  # None: none
LAUNCH: dict[str, tuple[type, ...]] = {
    "argv": (list,),
    "cwd": (str,),
    "environment": (dict,),
    "log": (str,),
    "spool": (str,),
    "mark": (str,),
    "around": (bool,),
    "kept": (str,),
    **dict.fromkeys(LIMITS, (int, NoneType)),
}
_MARK = re.compile(r"ORCHESTRA_\w+=[0-9a-f]{8,64}")  # processes are ended by it, so it is none that others may carry


def check_launch(message: Message) -> None:
    """See that a message orders a launch, before a process is started for it. Raises TypeError and ValueError."""
    for name, types in LAUNCH.items():
        if not isinstance(message[name], types):
            raise TypeError(f"{name} can't be {type(message[name]).__name__}")
    if not message["argv"] or not all(isinstance(part, str) for part in message["argv"]):
        raise TypeError("no command")
    if not all(isinstance(value, str) for value in message["environment"].values()):
        raise TypeError("no environment")
    if not _MARK.fullmatch(message["mark"]):
        raise ValueError("no mark of a launch")
    lease(message["kept"])


def lease(value: Any) -> str:
    """The id of a lease, which becomes a part of a line. Raises ValueError."""
    if not isinstance(value, str) or not (value.isprintable() and len(value) < 1000):
        raise ValueError("no lease")
    return value


def seconds(value: Any) -> float:
    """A time to wait. Raises TypeError and ValueError."""
    found = float(value)
    if not math.isfinite(found):
        raise ValueError("no time")
    return min(max(found, 0.0), LONGEST)
