"""One row for each figure, the verdict on it, and the table in Markdown; it measures nothing."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

HEADS = ("figure", "measured", "must reach", "verdict", "peer", "peer's value", "ratio", "note")


@dataclass(frozen=True, kw_only=True)
class Row:
    """A figure and what it is held against.

    Attributes
    ----------
    most
        The largest value that is good enough, in the same unit.
    times
        The factor of the peer's value that must be kept: at most so much, or at least where `more` is better.
    why
        What keeps the figure from its bound, should it miss it.
    """

    figure: str
    value: float
    unit: str
    how: str
    most: float | None = None
    times: float | None = None
    more: bool = False
    peer: str = ""
    peer_value: float | None = None
    why: str = ""

    @property
    def ratio(self) -> float | None:
        """Our value over the peer's."""
        return self.value / self.peer_value if self.peer_value else None

    @property
    def bounds(self) -> str:
        """What it must reach, in words."""
        found = [] if self.most is None else [f"≤ {self.most:g} {self.unit}"]
        if self.times is not None:
            found.append(f"{'≥' if self.more else '≤'} {self.times:g} \u00d7 peer")
        return ", ".join(found) or "none"

    @property
    def excess(self) -> float | None:
        """By which part it misses its worst bound; zero or less: met. None when there was nothing to compare with."""
        found = [] if self.most is None else [self.value / self.most - 1 if self.most else self.value]
        if self.times is not None and self.ratio is not None:
            found.append(1 - self.ratio / self.times if self.more else self.ratio / self.times - 1)
        return max(found, default=None)

    @property
    def is_missed(self) -> bool:
        """Whether a bound is missed."""
        return self.excess is not None and self.excess > 0

    @property
    def verdict(self) -> str:
        """Met, or missed and by how much."""
        if self.excess is None:
            return "not compared"
        if self.excess > 0:
            return f"**missed** by {self.excess:.0%}"
        return "met" if self.times is None or self.ratio is not None else "met (no peer)"

    def cells(self, note: int) -> tuple[str, ...]:
        """The row as texts, in the order of HEADS."""
        peer_value = "" if self.peer_value is None else quantity(self.peer_value, self.unit)
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        value = quantity(self.value, self.unit)
        return (self.figure, value, self.bounds, self.verdict, self.peer, peer_value, ratio, str(note))


def quantity(value: float, unit: str) -> str:
    """A number with three digits that count."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f} {unit}"


def markdown(rows: Iterable[Row]) -> str:
    """The table, and below it how each figure was taken."""
    rows = list(rows)
    notes = list(dict.fromkeys(row.how for row in rows))
    lines = [HEADS, tuple("---" for _ in HEADS), *(row.cells(notes.index(row.how) + 1) for row in rows)]
    table = ["| " + " | ".join(text.replace("|", "\\|") for text in line) + " |" for line in lines]
    explained = [(row, f", beside {row.peer}" if row.peer else "") for row in rows if row.is_missed and row.why]
    reasons = dict.fromkeys(f"- {row.figure}{beside}: {row.why}" for row, beside in explained)
    missed = ["", "Why a bound is missed:", "", *reasons] if reasons else []
    return "\n".join([*table, "", *(f"{number}. {note}" for number, note in enumerate(notes, 1)), *missed])


def p50(values: Sequence[float]) -> float:
    """The median."""
    return statistics.median(values)


def p95(values: Sequence[float]) -> float:
    """The smallest value that 95 % of them do not exceed."""
    return _part(values, 95)


def p99(values: Sequence[float]) -> float:
    """The smallest value that 99 % of them do not exceed."""
    return _part(values, 99)


def _part(values: Sequence[float], percent: int) -> float:
    ranked = sorted(values)
    return ranked[max(0, -(-len(ranked) * percent // 100) - 1)]


def spread(values: Sequence[float], unit: str) -> str:
    """How many there are and how far they lie apart."""
    return f"n = {len(values)}, {quantity(min(values), unit)} to {quantity(max(values), unit)}"
