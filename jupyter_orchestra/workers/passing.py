"""Owns which part of this process's environment its children get; knows no tasks."""

from __future__ import annotations

import os
from typing import Final

from .safe_environment import safe_environment

NOT_PASSED_ON: Final = ("JPY_SESSION_NAME",)  # says which notebook a kernel belongs to; a worker belongs to none

_passed_on: tuple[dict[bytes, bytes], dict[str, str]] = ({}, {})


def passed_on() -> dict[str, str]:
    """The environment of this process as its children get it; not to be changed, as it is kept while that stays so."""
    global _passed_on
    now = dict(os.environb)
    if now != _passed_on[0]:
        _passed_on = now, {name: value for name, value in os.environ.items() if name not in NOT_PASSED_ON}
    return _passed_on[1]


def passed_on_safely() -> dict[str, str]:
    """What of it goes on to code that a model wrote."""
    return safe_environment(passed_on())
