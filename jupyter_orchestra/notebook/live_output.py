"""The newest outputs of running attempts, and of some that were cut off; they are no facts and are not journaled."""

from __future__ import annotations

from collections import deque
from typing import Any

LIMIT = 500  # outputs kept of a running attempt
CUT_OFF = 20  # attempts that were cut off whose outputs are kept: no result has them


class LiveOutput:
    """What running attempts have put out. Written on the runtime's loop, read anywhere."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, int], deque[dict[str, Any]]] = {}
        self._count: dict[tuple[str, int], int] = {}
        self._cut_off: dict[tuple[str, int], None] = {}

    def add(self, uid: str, attempt: int, output: dict[str, Any]) -> None:
        """One more output."""
        key = uid, attempt
        self._kept.setdefault(key, deque(maxlen=LIMIT)).append(output)
        self._count[key] = self._count.get(key, 0) + 1

    def kept(self, uid: str, attempt: int) -> tuple[int, list[dict[str, Any]]]:
        """The outputs that are kept, and the index of the first of them."""
        key = uid, attempt
        outputs = list(self._kept.get(key, ()))
        return self._count.get(key, 0) - len(outputs), outputs

    def end(self, uid: str, attempt: int, cut_off: bool = False) -> None:
        """The attempt is over; where it was cut off, a person may still want to see how far it had come."""
        key = uid, attempt
        if cut_off and key in self._kept:
            self._cut_off[key] = None
            key = next(iter(self._cut_off))
            if len(self._cut_off) <= CUT_OFF:
                return
        self._cut_off.pop(key, None)
        self._kept.pop(key, None)
        self._count.pop(key, None)

    def drop(self, uid: str) -> None:
        """The task was forgotten."""
        for key in [key for key in self._kept if key[0] == uid]:
            self.end(*key)
