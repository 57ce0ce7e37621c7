"""Why someone waits for a lease, as a value and in one line; it knows no table and no task."""

from __future__ import annotations

import msgspec

NAMED = 3  # holders that the line names
OWN_CODE = "your own code"


class Holding(msgspec.Struct, frozen=True):
    """Someone who has what is waited for."""

    name: str  # of the task, empty for the person's own code
    since: float  # POSIX seconds


class Lack(msgspec.Struct, frozen=True):
    """What a request waits for."""

    uid: str  # of the task, empty for the person's own code
    missing: str  # as needs are written
    holders: tuple[Holding, ...]  # the first ones
    more: int  # holders that are left out
    elsewhere: str  # who has it in another notebook or program, as far as that is known
    ahead: int  # who wants the same and comes before it

    def words(self, now: float) -> str:
        """The whole of it in one line; the page says it in the same words."""
        held = [f"{one.name or OWN_CODE} (for {max(0.0, now - one.since):.0f} s)" for one in self.holders]
        by = ", ".join(held) + (f" and {self.more} more" if self.more > 0 else "")
        who = by or self.elsewhere
        line = f"waits for {self.missing}" + (f", held by {who}" if who else "")
        return line + (f"; {self.ahead} ahead of it" if self.ahead else "")
