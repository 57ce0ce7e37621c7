"""Whether and when a request that has not begun is tried again; it waits for nothing itself."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime

from ..errors import ModelError


class Again(Exception):
    """A try failed in a way that may pass. ``error``: what to raise when no try is left; ``wished``: seconds."""

    def __init__(self, error: ModelError, reason: str, wished: float | None = None) -> None:
        super().__init__(reason)
        self.error, self.reason, self.wished = error, reason, wished


class Retries:
    """Exponential back-off with jitter, within a number of tries and a total of seconds.

    Parameters
    ----------
    tries : int
        Requests in all.
    total : float
        Seconds from the first try within which the last one has to begin.
    first : float
        Seconds before the second try; doubled before each other one, up to 8.
    chance : callable
        Gives a number from 0 to 1.
    """

    def __init__(
        self, tries: int = 4, total: float = 60.0, first: float = 0.5, chance: Callable[[], float] = random.random
    ) -> None:
        self._tries, self._total, self._first, self._chance = tries, total, first, chance

    def seconds(self, tried: int, spent: float, wished: float | None) -> float | None:
        """How long to wait after `tried` tries that took `spent` seconds; None when it is enough.

        What the server wished for is waited for, never less.
        """
        pause = wished
        if pause is None:
            pause = min(self._first * 2 ** (tried - 1), 8.0) * (0.75 + self._chance() / 2)
        return pause if tried < self._tries and spent + pause <= self._total else None


def wished_seconds(headers: Mapping[str, str]) -> float | None:
    """What ``retry-after-ms`` or ``Retry-After`` (seconds or a date) says."""
    try:
        if (value := headers.get("retry-after-ms")) is not None:
            return max(0.0, float(value) / 1000)
        if (value := headers.get("retry-after")) is None:
            return None
        if value.strip().replace(".", "", 1).isdigit():
            return float(value)
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
