"""What there is of one resource and what is held of it: whether needs fit, with which units; it knows no holders."""

from __future__ import annotations

from typing import Protocol

from .needs import Need

Needs = tuple[Need, ...]


class Stock(Protocol):
    """What is held of one resource."""

    capacity: int
    busy: set[int]  # units that are held outside of this table

    def copy(self) -> Stock:
        """The same, to be tried on."""

    def choose(self, needs: Needs) -> Needs | None:
        """The needs with their units; None when they don't fit."""

    def put(self, needs: Needs) -> None:
        """Hold them."""

    def drop(self, needs: Needs) -> None:
        """Hold them no longer."""

    def keep(self, needs: Needs) -> bool:
        """Leave what is there to one who does not fit yet; whether others may fit all the same."""


class Counted:
    """So many units, of which each takes some; one who writes is alone."""

    def __init__(self, capacity: int, cards: bool = False) -> None:
        self.capacity, self.cards = capacity, cards
        self.used = self.writers = 0
        self.units: set[int] = set()
        self.busy: set[int] = set()

    def copy(self) -> Counted:
        other = Counted(self.capacity, self.cards)
        other.used, other.writers, other.units, other.busy = self.used, self.writers, set(self.units), self.busy
        return other

    def choose(self, needs: Needs) -> Needs | None:
        (need,) = needs
        if self.used + need.amount > self.capacity or self.writers or (need.mode == "w" and self.used):
            return None
        if not self.cards:
            return needs
        free = [unit for unit in range(self.capacity) if unit not in self.units and unit not in self.busy]
        return (_granted(need, free[: need.amount]),) if len(free) >= need.amount else None

    def put(self, needs: Needs) -> None:
        for need in needs:
            self.used += need.amount
            self.writers += need.mode == "w"
            self.units.update(need.units)

    def drop(self, needs: Needs) -> None:
        for need in needs:
            self.used -= need.amount
            self.writers -= need.mode == "w"
            self.units.difference_update(need.units)

    def keep(self, needs: Needs) -> bool:
        return needs[0].amount > self.capacity  # that one waits for a larger capacity, not for its turn


class Ports:
    """Ports, of which each takes one of a range."""

    def __init__(self) -> None:
        self.capacity = 1
        self.units: set[int] = set()
        self.busy: set[int] = set()
        self.kept: list[tuple[int, int]] = []

    def copy(self) -> Ports:
        other = Ports()
        other.units, other.busy, other.kept = set(self.units), self.busy, list(self.kept)
        return other

    def choose(self, needs: Needs) -> Needs | None:
        chosen: dict[int, Need] = {}
        taken: set[int] = set()
        for index in sorted(range(len(needs)), key=lambda i: _last_first(needs[i])) if len(needs) > 1 else (0,):
            first, last = needs[index].choice or (0, -1)
            unit = next((unit for unit in range(first, last + 1) if unit not in taken and self._is_free(unit)), None)
            if unit is None:
                return None
            taken.add(unit)
            chosen[index] = _granted(needs[index], [unit])
        return tuple(chosen[index] for index in range(len(needs)))

    def put(self, needs: Needs) -> None:
        for need in needs:
            self.units.update(need.units)

    def drop(self, needs: Needs) -> None:
        for need in needs:
            self.units.difference_update(need.units)

    def keep(self, needs: Needs) -> bool:
        self.kept += [need.choice for need in needs if need.choice]
        return True

    def _is_free(self, unit: int) -> bool:
        if unit in self.units or unit in self.busy:
            return False
        return not any(first <= unit <= last for first, last in self.kept)


def _granted(need: Need, units: list[int]) -> Need:
    return Need(need.resource, need.amount, need.mode, need.path, need.choice, tuple(units))


def _last_first(need: Need) -> tuple[int, int]:
    """Whoever must end first chooses first: so a choice is found whenever there is one."""
    first, last = need.choice or (0, 0)
    return last, first
