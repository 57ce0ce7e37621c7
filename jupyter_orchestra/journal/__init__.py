"""What survives a kill: the event log of a notebook and the bytes that its events name, in SQLite and files."""

from __future__ import annotations

from .journal import Journal
from .start import open_journal

__all__ = ["Journal", "open_journal"]
