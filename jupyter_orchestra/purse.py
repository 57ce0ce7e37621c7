"""The purse of a task's attempt or of a turn: asks the machine before something is spent, and tells it after."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future

import msgspec

from .core import events as e
from .core.limits import COUNTED, Amounts, Limits, OverBudget
from .core.purse import Allowance
from .core.spending import Spending


class AskingPurse:
    """Implements :class:`jupyter_orchestra.core.purse.Purse`. Where nothing is limited, it asks nobody.

    Parameters
    ----------
    spending
        The machine's, to be read.
    ask, post
        Hand a wish and a fact over.
    now
        POSIX seconds.
    new_id
        Gives an id that was never used.
    uid, attempt
        Of the task that spends; else `turn`, and the tier of the model that it asks.
    allowance
        Gives what is to be asked besides for what models cost, if anything.
    """

    def __init__(
        self,
        spending: Spending,
        ask: Callable[[e.Asked], Future[e.Answer]],
        post: Callable[[e.Event], None],
        now: Callable[[], float],
        new_id: Callable[[], str],
        *,
        uid: str = "",
        attempt: int = 0,
        turn: int = 0,
        tier: str = "",
        allowance: Callable[[], Allowance | None] = lambda: None,
    ) -> None:
        self._spending, self._ask, self._post, self._now, self._new_id = spending, ask, post, now, new_id
        self._uid, self._attempt, self._turn, self._tier, self._allowance = uid, attempt, turn, tier, allowance

    def room(self) -> Limits:
        """What is left."""
        room, allowance = self._spending.budget.room(self._account), self._allowance()
        return room if allowance is None else _narrower(room, allowance.room())

    def left(self) -> float:
        """The part of it that is left."""
        left, allowance = self._spending.budget.left(self._account), self._allowance()
        return left if allowance is None else min(left, allowance.left())

    async def reserve(self, amounts: Amounts) -> Reserved:
        """Keep that much. Raises OverBudget."""
        allowance = self._allowance() if amounts.tokens or amounts.microusd else None
        if allowance is None and not self._spending.budget.limited(self._account):
            return Reserved(lambda actual: self.spend(actual or Amounts()))
        id = self._new_id()
        reserved = await self._reserve_here(id, amounts)
        return reserved if allowance is None else await _reserve_above(allowance, id, amounts, reserved)

    async def _reserve_here(self, id: str, amounts: Amounts) -> Reserved:
        wish = e.ReserveAsked(
            self._now(), self._new_id(), id=id, amounts=amounts,
            uid=self._uid, attempt=self._attempt, turn=self._turn, tier=self._tier,
        )  # fmt: skip
        reserved = Reserved(lambda actual: self._post(e.Settled(self._now(), id, actual)))
        try:
            answer = await asyncio.shield(asyncio.wrap_future(self._ask(wish)))
        except BaseException:  # it may be granted all the same, and nothing was begun
            reserved.settle(Amounts())
            raise
        if isinstance(answer, e.Refused):
            raise OverBudget(answer.reason)
        return reserved

    def spend(self, amounts: Amounts) -> None:
        """Tell of what was spent."""
        if amounts != Amounts():
            self._post(e.Spent(self._now(), amounts=amounts, uid=self._uid, turn=self._turn, tier=self._tier))

    @property
    def _account(self) -> str:
        spending = self._spending
        return spending.account_of(self._uid) if self._uid else spending.account_of_turn(self._tier)


async def _reserve_above(allowance: Allowance, id: str, amounts: Amounts, reserved: Reserved) -> Reserved:
    try:
        await allowance.reserve(id, amounts)
    except BaseException:
        reserved.settle(Amounts())
        raise

    def settle(actual: Amounts | None) -> None:
        allowance.settle(id, actual)
        reserved.settle(actual)

    return Reserved(settle)


def _narrower(one: Limits, other: Limits) -> Limits:
    """What both allow of what is counted."""
    pairs = {name: (getattr(one, name), getattr(other, name)) for name in COUNTED}
    least = {name: min((part for part in pair if part is not None), default=None) for name, pair in pairs.items()}
    return msgspec.structs.replace(one, **least)


class Reserved:
    """What is kept for one act; settled once."""

    def __init__(self, settle: Callable[[Amounts | None], None]) -> None:
        self._settle: Callable[[Amounts | None], None] | None = settle

    def settle(self, actual: Amounts | None = None) -> None:
        """It was done, for so much."""
        settle, self._settle = self._settle, None
        if settle is not None:
            settle(actual)
