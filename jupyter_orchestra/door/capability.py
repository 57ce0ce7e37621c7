"""By what right a program outside speaks: an unguessable token and what it may do; it carries out nothing."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection
from hmac import compare_digest

import msgspec

from ..core import events as e
from . import words

VERBS: dict[type, str] = {
    e.CancelAsked: "cancel",
    e.PauseAsked: "pause",
    e.ResumeAsked: "resume",
    e.RetryAsked: "retry",
    e.ApproveAsked: "approve",
    e.DeclineAsked: "decline",
    words.Tasks: "tasks",
    words.Watch: "watch",
    words.Explain: "explain",
    words.Leases: "leases",
}
FULL = frozenset(VERBS.values())
PERSONAL = frozenset({"approve", "decline"})  # the answers of the person, which no program gives for them
FOREVER = float("inf")


class Capability(msgspec.Struct, frozen=True):
    """What the bearer of `token` may do: to one task (its uid) or, when `task` is empty, to any."""

    token: str
    allows: frozenset[str]
    task: str = ""
    expires: float = FOREVER  # seconds by the clock of its table


class Capabilities:
    """Those that are in force.

    Parameters
    ----------
    clock
        Gives seconds, never backwards.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.full = Capability(secrets.token_urlsafe(32), FULL)
        self._held = {self.full.token: self.full}

    def grant(self, allows: Collection[str], task: str = "", seconds: float = FOREVER) -> Capability:
        """Make one that allows no more than this, for some seconds.

        Raises
        ------
        ValueError
            When it names what there is not, or what the person alone may do.
        """
        wanted = frozenset(allows)
        if unknown := sorted(wanted - FULL):
            raise ValueError(f"the door knows no {unknown[0]!r}; there are: {', '.join(sorted(FULL - PERSONAL))}")
        if personal := sorted(wanted & PERSONAL):
            raise ValueError(f"{personal[0]} is for the person alone")
        granted = Capability(secrets.token_urlsafe(32), wanted, task, self._clock() + seconds)
        self._drop_expired()
        self._held[granted.token] = granted
        return granted

    def revoke(self, token: str) -> None:
        """Let one be in force no longer."""
        self._held.pop(token, None)

    def find(self, token: str) -> Capability | None:
        """The one with that token, while it is in force."""
        self._drop_expired()
        shown = token.encode("utf-8", "replace")
        return next((one for one in self._held.values() if compare_digest(one.token.encode(), shown)), None)

    def _drop_expired(self) -> None:
        now = self._clock()
        for token in [one.token for one in self._held.values() if one.expires <= now]:
            del self._held[token]
