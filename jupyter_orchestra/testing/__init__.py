"""Test doubles for whoever writes workers: a deterministic loop, a scripted worker, a journal in memory."""

from __future__ import annotations

from .journal import MemoryJournal
from .loop import Deadlock, SeededLoop, run
from .settle import settle, settle_sync
from .worker import (
    Block,
    Hang,
    IgnoreStop,
    Output,
    Progress,
    Raise,
    Return,
    Script,
    ScriptedWorker,
    Sleep,
    Started,
    Step,
)

__all__ = [
    "Block",
    "Deadlock",
    "Hang",
    "IgnoreStop",
    "MemoryJournal",
    "Output",
    "Progress",
    "Raise",
    "Return",
    "Script",
    "ScriptedWorker",
    "SeededLoop",
    "Sleep",
    "Started",
    "Step",
    "run",
    "settle",
    "settle_sync",
]
