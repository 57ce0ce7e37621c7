"""A lease as who works with it sees it: its environment, and whether it is still held; it decides nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future

from .leases import Lease

Confirm = Callable[[Lease], "Future[bool] | None"]


class Held:
    """A lease while it is held. May be read from any thread.

    Parameters
    ----------
    confirm : callable
        Asks those who share its things whether it is held by its token; None: nobody else does.
    """

    def __init__(
        self,
        lease: Lease,
        environment: Mapping[str, str],
        notes: tuple[str, ...] = (),
        confirm: Confirm = lambda lease: None,
    ) -> None:
        self.lease, self.environment, self.notes = lease, environment, notes
        self.lost = False
        self._confirm = confirm

    def is_over(self, now: float) -> bool:
        """Whether it is no longer held, as far as can be said without asking: who stood still was told nothing."""
        expires = self.lease.expires
        return self.lost or self.lease.state != "held" or (expires is not None and expires <= now)

    def confirm(self) -> Future[bool] | None:
        """Whether the others see it as held, too, and if so for a while yet; None: nobody shares it.

        Raises
        ------
        RuntimeError
            When there is nobody to ask any more.
        """
        return self._confirm(self.lease)
