"""Pays for the requests of one conversation: reserves the most that one may cost, settles what it did; it asks none."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from ..core.limits import Amounts, OverBudget
from ..core.purse import Purse, Reservation
from ..errors import ModelError
from .usage import Meter
from .values import Model, ModelUsage, Priced, Request

SHORTEST: Final = 256  # tokens that a reply needs to be of use
LONGEST: Final = 8_192  # tokens of a reply, where a budget is limited
FAIR: Final = 1_024  # tokens that a reply may have before it leaves others their part
PART: Final = 4  # of what is left one reply may have the n-th part
NEARLY: Final = 0.15  # of a budget: less is nearly nothing


class Paid:
    """One request that may be made. ``request``: as it is to be made, its reply no longer than was reserved."""

    def __init__(self, request: Request, kept: Reservation, meter: Meter) -> None:
        self.request, self._kept, self._meter = request, kept, meter

    def settle(self, usage: ModelUsage) -> None:
        """The reply has come, and cost so much."""
        self._meter.learn(self.request, usage)
        cost = math.ceil((usage.cost or 0.0) * 1e6)
        self._kept.settle(Amounts(tokens_in=usage.tokens_in, tokens_out=usage.tokens_out, microusd=cost))


class Payer:
    """One conversation's requests, whoever pays for them."""

    def __init__(self) -> None:
        self._meter = Meter()

    @asynccontextmanager
    async def paid(self, purse: Purse, model: Model, request: Request) -> AsyncIterator[Paid]:
        """A request that is paid for. What is not settled inside counts as all that was reserved, as nobody saw its
        end, or as nothing where the model was never asked.

        Raises
        ------
        OverBudget
            When the purse does not hold as much as the request may cost.
        """
        amounts, kept = await self._reserve(purse, model, request)
        try:
            yield Paid(msgspec.structs.replace(request, max_tokens=amounts.tokens_out), kept, self._meter)
        except ModelError as error:
            if not error.begun:
                kept.settle(Amounts())
            raise
        finally:
            kept.settle()

    def is_nearly_spent(self, purse: Purse) -> bool:
        """Whether little is left, or not enough for two more requests like the last one."""
        tokens = purse.room().tokens
        return purse.left() < NEARLY or (tokens is not None and tokens < 2 * (self._meter.last + SHORTEST))

    async def _reserve(self, purse: Purse, model: Model, request: Request) -> tuple[Amounts, Reservation]:
        """The most that a request may cost, and that it is kept; less where others took of what was left meanwhile."""
        amounts = await self._most(purse, model, request)
        while True:
            try:
                return amounts, await purse.reserve(amounts)
            except OverBudget:
                less = await self._most(purse, model, request)
                if not less.tokens_out or less.tokens_out >= (amounts.tokens_out or math.inf):
                    raise
                amounts = less

    async def _most(self, purse: Purse, model: Model, request: Request) -> Amounts:
        """What a request may cost at most; ``tokens_out`` 0: nothing limits how long its reply is."""
        room = purse.room()
        asked = self._meter.most(request)
        left = [] if room.tokens is None else [room.tokens - asked]
        left += [] if room.tokens_out is None else [room.tokens_out]
        if room.microusd is None:
            return Amounts(tokens_in=asked, tokens_out=_long(left) if left else 0)
        fixed, each = await _prices(model, request.model, asked)
        left += [int((room.microusd - fixed) / each)] if each else [LONGEST]
        out = _long(left)
        return Amounts(tokens_in=asked, tokens_out=out, microusd=math.ceil(fixed + each * out))


def _long(left: list[int]) -> int:
    """How long a reply may be; where less is left than it needs, the refusal says of what."""
    most = min(left)
    return max(SHORTEST, min(most, LONGEST, max(FAIR, most // PART)))


async def _prices(model: Model, name: str, asked: int) -> tuple[float, float]:
    """Millionths of a dollar that go in cost, and each token that comes out."""
    many = 1_000_000
    inside = await model.cost(ModelUsage(tokens_in=asked), name) if isinstance(model, Priced) else None
    whole = await model.cost(ModelUsage(tokens_in=asked, tokens_out=many), name) if isinstance(model, Priced) else None
    if inside is None or whole is None:
        raise OverBudget(
            f"its budget is in USD, and what {name} costs is not known: limit tokens instead, or install genai-prices"
        )
    return inside * 1e6, max(0.0, whole - inside) * 1e6 / many
