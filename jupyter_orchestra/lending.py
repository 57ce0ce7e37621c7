"""Lends to an attempt what it needs while it works, though it may begin before anybody keeps leases."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Final, Protocol

from .core import events as e
from .core.leasing import Held
from .core.model import Failure
from .core.needs import Need
from .core.ports import Failed, Keeper, Lender
from .errors import ResourceError

WHY: Final = "leases can't be kept here: the kernel's log says why"
UNKEPT: Final = Failed(Failure("start", "ResourceError", WHY))


def answer_unkept(wish: e.LeaseCommand, now: float) -> e.Event | None:
    """What becomes of a wish where nobody keeps leases: no task waits for ever, each begins and ends with the reason.

    Nothing is said to be fenced: who is to be is stopped besides, and what it had is free when it has ended.
    """
    match wish:
        case e.ClaimLease():
            return e.LeaseClaimed(now, wish.lease.id, claim=wish.claim)
        case e.GiveLease():
            return e.LeaseReleased(now, wish.lease.id)
        case _:
            return None


class Home(Protocol):
    """What it needs of the runtime."""

    async def kept(self) -> Keeper | None: ...


class AttemptLender:
    """The lender of one attempt. What it needs is waited for until there is a keeper."""

    def __init__(self, home: Home, uid: str, attempt: int) -> None:
        self._home, self._uid, self._attempt = home, uid, attempt
        self._lender: Lender | None = None

    async def needs_of(self, command: str) -> tuple[Need, ...]:
        """What a script for the shell must hold while it runs. Raises ResourceError."""
        return await (await self._found()).needs_of(command)

    @contextlib.asynccontextmanager
    async def lease(self, *needs: Need) -> AsyncIterator[Held]:
        """Wait for all of it, and hold it as long as the block runs. Raises RefusedError or ResourceError."""
        lender = await self._found()
        async with lender.lease(*needs) as held:
            yield held

    async def _found(self) -> Lender:
        if self._lender is None:
            if (keeper := await self._home.kept()) is None:
                raise ResourceError(WHY)
            self._lender = keeper.lender(self._uid, self._attempt)
        return self._lender
