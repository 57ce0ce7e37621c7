"""The table of what each task may do: filled at its dispatch, narrowed by all that is above it, gone with its end.

It asks nobody and carries nothing out: who is about to act looks here first, each time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import cache
from typing import Final

import msgspec

from .model import Ask, Capability, State, Task
from .rights import ACTS, ASKED, NO_CONSENT, Consent, Permit, Rights, rights_of

LASTS: Final = 8 * 3600.0  # seconds that an approval of the person counts at most
PERSON: Final = "person"
C = Capability


class Grant(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that may be done."""

    capability: Capability
    by: str  # role, "person", or else the origin on whose account it is given
    digest: str = ""  # of the one exact action; empty: each
    until: float | None = None  # POSIX seconds; None: as long as its task has not ended
    ask: str | None = None  # the one question that it answers; None: it counts each time

    def is_over(self, now: float) -> bool:
        """Whether its time has passed."""
        return self.until is not None and now >= self.until

    def covers(self, capability: Capability, consent: Consent, now: float) -> bool:
        """Whether it lets that action be done."""
        same_action = self.digest in ("", consent.digest)
        same_question = self.ask is None or self.ask == consent.ask
        return self.capability is capability and same_action and same_question and not self.is_over(now)


Row = tuple[Grant, ...]


class GrantState(msgspec.Struct):
    """All grants."""

    tasks: dict[str, Row] = {}  # uid of each task that has not ended -> what it may do, but for what narrows that
    master: dict[str, Row] = {}  # uid -> what the person lets the master do to that task each time


class GrantTable:
    """The grants of one notebook.

    Parameters
    ----------
    state
        All grants.
    tasks
        All tasks, to be read.
    is_agent
        Whether a model writes what comes of a task, so that its role counts.
    """

    def __init__(self, state: GrantState, tasks: Mapping[str, Task], is_agent: Callable[[Task], bool]) -> None:
        self.state, self._tasks, self._is_agent = state, tasks, is_agent
        for task in tasks.values():
            if not task.ended and task.uid not in state.tasks:  # of a state that knew no grants
                self.admit(task)

    # what others ask

    def allows(self, uid: str, capability: Capability, now: float, consent: Consent = NO_CONSENT) -> bool:
        """Whether a task may do something: it, and each above it."""
        return all(any(grant.covers(capability, consent, now) for grant in self._row(one)) for one in self._line(uid))

    def may(self, uid: str, capability: Capability, now: float) -> bool:
        """Whether it may, or may ask the person to."""
        return all(
            one in self.state.tasks
            and (capability in self._asks(one) or any(g.covers(capability, NO_CONSENT, now) for g in self._row(one)))
            for one in self._line(uid)
        )

    def refusal(self, uid: str, ask: Ask, now: float) -> str:
        """Why a question can't be answered with yes, in one line; empty when it can."""
        return next((f"may not {ACTS[one]}" for one in ask.capabilities if not self.may(uid, one, now)), "")

    def is_answered(self, uid: str, ask: Ask, now: float) -> bool:
        """Whether the person has said yes for good to that very action; what a role may do answers no question."""
        return bool(ask.capabilities) and all(
            self.agrees(uid, one, now, Consent(ask.digest)) for one in ask.capabilities
        )

    def agrees(self, uid: str, capability: Capability, now: float, consent: Consent) -> bool:
        """Whether the person's yes to that very action still counts, whatever its role may do anyway."""
        said = any(grant.digest and grant.covers(capability, consent, now) for grant in self._row(uid))
        return said and self.allows(uid, capability, now, consent)

    def lets_master(self, uid: str, digest: str, now: float) -> bool:
        """Whether the person lets the master do that to a task each time."""
        row = self.state.master.get(uid, ())
        return any(grant.covers(C.RUN, Consent(digest), now) for grant in row)

    def permit(self, uid: str, attempt: int, now: Callable[[], float]) -> Permit:
        """What one attempt sees: nothing once it is over, or is being stopped."""
        return _Permit(self, self._tasks, uid, attempt, now)

    def describe(self, uid: str, now: float) -> str:
        """What a task may do, in words."""
        holds = [one for one in C if self.allows(uid, one, now)]
        asks = [ASKED[one] for one in C if one not in holds and self.may(uid, one, now)]
        acts = [ACTS[one] for one in holds]
        if C.READ in holds and not self._works(uid):
            acts.append("write in its scratch")
        line = f"may {', '.join(acts) or 'do nothing any more'}"
        line += f"; asks for {', '.join(asks)}" if asks else ""
        given = [grant for grant in self._row(uid) if grant.digest and grant.ask is None and not grant.is_over(now)]
        actions = {one.digest for one in given if self.allows(uid, one.capability, now, Consent(one.digest))}
        return line + (f"; {len(actions)} approved for good" if actions else "")

    # what the machine tells

    def admit(self, task: Task) -> None:
        """A task was dispatched, or is run again by the person: it has what its role has, and nothing else."""
        by, rights = self._rights(task)
        self.state.tasks[task.uid] = _base(by, rights.may)
        self.state.master.pop(task.uid, None)

    def end(self, uid: str) -> None:
        """A task has ended."""
        self.state.tasks.pop(uid, None)
        self.state.master.pop(uid, None)

    def renew(self, uid: str) -> None:
        """A task is tried again by itself: what the person approved was for the attempt that failed."""
        self.state.tasks[uid] = tuple(grant for grant in self._row(uid) if not grant.digest)
        self.state.master.pop(uid, None)

    def approve(self, uid: str, ask: Ask, always: bool, now: float) -> None:
        """The person said yes. To what is below they say it through all that is above, where that can't do it alone."""
        for capability in ask.capabilities:
            given = Grant(capability, PERSON, ask.digest, now + LASTS, None if always else ask.id)
            for one in self._line(uid):
                alone = any(grant.covers(capability, NO_CONSENT, now) for grant in self._row(one))
                if one == uid or not alone:
                    self.state.tasks[one] = _with(self._row(one), given, now)

    def let_master(self, uid: str, digest: str, now: float) -> None:
        """The person lets the master do something to a task, from now on."""
        if uid in self.state.tasks:
            given = Grant(C.RUN, PERSON, digest, now + LASTS)
            self.state.master[uid] = _with(self.state.master.get(uid, ()), given, now)

    def revoke(self, uid: str, capabilities: Collection[Capability] = ()) -> None:
        """The person takes these back; without any, all that they have approved for single actions."""
        kept = lambda grant: not grant.digest if not capabilities else grant.capability not in capabilities  # noqa: E731
        self.state.tasks[uid] = tuple(filter(kept, self._row(uid)))
        if not capabilities:
            self.state.master.pop(uid, None)

    # helpers

    def _row(self, uid: str) -> Row:
        return self.state.tasks.get(uid, ())

    def _line(self, uid: str) -> list[str]:
        """A task and all above it. One that has ended, or is no more, is still above."""
        found: dict[str, None] = {}
        while uid and uid not in found:
            found[uid] = None
            uid = self._tasks[uid].spec.parent if uid in self._tasks else ""
        return list(found)

    def _rights(self, task: Task) -> tuple[str, Rights]:
        """Its rights, and on whose account it has them."""
        return rights_of(task.spec, self._is_agent(task))

    def _asks(self, uid: str) -> tuple[Capability, ...]:
        return self._rights(self._tasks[uid])[1].asks if uid in self._tasks else ()

    def _works(self, uid: str) -> bool:
        return C.RUN in sum(self._rights(self._tasks[uid])[1], ())


class _Permit:
    def __init__(
        self, table: GrantTable, tasks: Mapping[str, Task], uid: str, attempt: int, now: Callable[[], float]
    ) -> None:
        self._table, self._tasks, self._uid, self._attempt, self._now = table, tasks, uid, attempt, now

    def allows(self, capability: Capability, consent: Consent = NO_CONSENT) -> bool:
        return self._goes_on() and self._table.allows(self._uid, capability, self._now(), consent)

    def agrees(self, capability: Capability, consent: Consent) -> bool:
        return self._goes_on() and self._table.agrees(self._uid, capability, self._now(), consent)

    def may(self, capability: Capability) -> bool:
        return self._goes_on() and self._table.may(self._uid, capability, self._now())

    def _goes_on(self) -> bool:
        task = self._tasks.get(self._uid)
        if task is None or task.attempt != self._attempt or task.stopping:
            return False
        return State.RUNNING in (task.state, task.before)


@cache
def _base(by: str, may: tuple[Capability, ...]) -> Row:
    return tuple(Grant(one, by) for one in may)


def _with(row: Row, given: Grant, now: float) -> Row:
    """A row with one more, which takes the place of the same one, and without what is over."""
    same = (given.capability, given.digest, given.ask)
    kept = [grant for grant in row if not grant.is_over(now) and (grant.capability, grant.digest, grant.ask) != same]
    return (*kept, given)
