"""A lease as who works with it sees it: its environment, and whether it is still held; it decides nothing."""

from __future__ import annotations

from collections.abc import Mapping

from .leases import Lease


class Held:
    """A lease while it is held. May be read from any thread."""

    def __init__(self, lease: Lease, environment: Mapping[str, str], notes: tuple[str, ...] = ()) -> None:
        self.lease, self.environment, self.notes = lease, environment, notes
        self.lost = False
