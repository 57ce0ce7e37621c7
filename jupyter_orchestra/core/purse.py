"""What a spender sees of its budget: reserve before, settle after; it decides nothing."""

from __future__ import annotations

from typing import Final, Protocol

from .limits import Amounts, Limits, OverBudget

__all__ = ["UNLIMITED", "Allowance", "OverBudget", "Purse", "Reservation"]


class Reservation(Protocol):
    """What is kept for one act."""

    def settle(self, actual: Amounts | None = None) -> None:
        """It was done: what it cost, None when nobody knows (then all of it). A second time nothing happens."""


class Purse(Protocol):
    """The budget of whoever spends. Everything is for the runtime's loop."""

    def room(self) -> Limits:
        """What is left; None where nothing limits it."""

    def left(self) -> float:
        """The part from 0 to 1 that is left of what is nearest to its end."""

    async def reserve(self, amounts: Amounts) -> Reservation:
        """Keep that much. Raises OverBudget, whose message says why it can't be."""

    def spend(self, amounts: Amounts) -> None:
        """Tell of what was spent without a reservation."""


class Allowance(Protocol):
    """What a person's notebooks may spend together. Everything is for the runtime's loop."""

    def room(self) -> Limits:
        """What was left when it was looked at last."""

    def left(self) -> float:
        """The part from 0 to 1 that was left."""

    async def reserve(self, id: str, amounts: Amounts) -> None:
        """Keep that much. Raises OverBudget."""

    def settle(self, id: str, actual: Amounts | None) -> None:
        """It was spent: so much, or nobody knows (then all that was reserved)."""

    def close(self) -> None:
        """Write down what is not written yet, and end; may block."""


class _Nothing:
    """Nothing was kept."""

    def settle(self, actual: Amounts | None = None) -> None:
        """Nothing is to be settled."""


class _Unlimited:
    """The purse of who spends what nobody counts."""

    def room(self) -> Limits:
        return Limits()

    def left(self) -> float:
        return 1.0

    async def reserve(self, amounts: Amounts) -> Reservation:
        return _Nothing()

    def spend(self, amounts: Amounts) -> None:
        """Nobody counts it."""


UNLIMITED: Final[Purse] = _Unlimited()
