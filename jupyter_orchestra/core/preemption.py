"""What a more urgent request may take from running tasks, and when; it takes nothing itself and grants nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from .leases import AGEING, Lease, LeaseTable
from .model import Kind, State, Task
from .needs import Need, spell
from .queues import is_thing

HOLD = 10.0  # seconds that a task keeps what it got before another may take it
TAKEN = 2  # times that one attempt may have to give something up


class Preemption:
    """Looks for who must give way.

    Parameters
    ----------
    resources
        What may be taken from a running task at present.
    """

    def __init__(
        self,
        table: LeaseTable,
        tasks: Mapping[str, Task],
        kind_of: Callable[[Task], Kind],
        resources: Callable[[], Collection[str]],
    ) -> None:
        self._table, self._tasks, self._kind_of, self._resources = table, tasks, kind_of, resources

    def to_take(self) -> Iterator[tuple[Task, float]]:
        """Running tasks from which something is to be taken, and when."""
        for request in self._table.heads(self._resources()):
            blockers = self._table.blockers(request.id)
            takable = [task for lease in blockers if (task := self._takable(lease)) is not None]
            if takable and len(takable) == len(blockers):
                for task, lease in zip(takable, blockers, strict=True):
                    passed = request.since + AGEING * max(0, task.spec.priority + 1 - request.priority)
                    yield task, max(lease.granted_at + HOLD, passed)

    def part(self, needs: Iterable[Need]) -> tuple[Need, ...]:
        """What of these may be taken."""
        return tuple(need for need in needs if need.resource in self._resources())

    def contested(self, leases: Iterable[Lease]) -> str:
        """What of these leases may be taken, in words."""
        return ", ".join(spell(need) for lease in leases for need in self.part(lease.needs))

    def _takable(self, lease: Lease) -> Task | None:
        task = self._tasks.get(lease.holder)
        if task is None or task.state is not State.RUNNING or task.stopping or task.preempted >= TAKEN:
            return None
        given = len(self.part(lease.needs)) == sum(map(is_thing, lease.needs))
        return task if given and self._kind_of(task).pausable else None
