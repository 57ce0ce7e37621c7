"""The places at which a test may end or break the process; knows nothing of what happens there."""

from __future__ import annotations

from collections.abc import Callable


def _pass(name: str) -> None:
    """Nothing happens at `name`."""


reach: Callable[[str], None] = _pass  # call as ``points.reach("name")``; tests put their own function here
