"""The newest outputs of running attempts, kept while they run; they are no facts and are not journaled."""

from __future__ import annotations

from collections import deque
from typing import Any

LIMIT = 500  # outputs kept of a running attempt


class LiveOutput:
    """What running attempts have put out. Written on the runtime's loop, read anywhere."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, int], deque[dict[str, Any]]] = {}
        self._count: dict[tuple[str, int], int] = {}

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

    def end(self, uid: str, attempt: int) -> None:
        """The attempt is over."""
        self._kept.pop((uid, attempt), None)
        self._count.pop((uid, attempt), None)
