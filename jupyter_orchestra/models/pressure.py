"""Takes pressure off models that refuse or fail: fewer at once for a while, and none at all after failures in a row.

It knows no endpoint and makes no request; the clock is given.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, Final

from ..errors import ModelError
from .values import Model, ModelUsage, Priced, Reply, Request, StreamEvent, TextDelta, Waiting

QUIET: Final = 15.0  # seconds without a failure after which one slot comes back
TOGETHER: Final = 2.0  # seconds in which failures are one: those that were under way together
ROW: Final = 5  # failures in a row that open the circuit
WITHIN: Final = 30.0  # seconds that they may lie apart
OPEN: Final = 30.0  # seconds that it is open at first, doubled each time up to LONGEST
LONGEST: Final = 300.0
TROUBLES: Final = ("rate", "server", "connection", "hang")  # that say something of the endpoint, not of the request


class Pressure:
    """How hard one tier's model may be pressed.

    Parameters
    ----------
    slots
        Gives how many tasks may use it at once when all is well; 0 where nobody counts them.
    now
        Gives seconds that only ever grow.
    """

    def __init__(self, slots: Callable[[], int], now: Callable[[], float]) -> None:
        self._slots, self._now = slots, now
        self._fewer: int | None = None  # slots while there are fewer than usual
        self._since = 0.0  # the last failure, or the last slot that came back
        self._halved = float("-inf")
        self._failures: list[float] = []  # in a row
        self._open_until: float | None = None
        self._open_for = OPEN
        self._trying = False  # the one request that finds out whether it is well again
        self.trouble: Any = "server"  # kind of the last failure

    @property
    def slots(self) -> int:
        """How many tasks may use it at once now."""
        usual = self._slots()
        return usual if self._fewer is None else min(usual, self._fewer)

    def admit(self) -> float:
        """0 for a request that may be made now; else the seconds until one may be tried."""
        if self._open_until is None:
            return 0.0
        wait = self._open_until - self._now()
        if wait <= 0 and not self._trying:
            self._trying = True
            return 0.0
        return max(wait, 1.0)

    @property
    def is_open(self) -> bool:
        """Whether requests fail at once."""
        return self._open_until is not None

    def failed(self, trouble: str, trial: bool = False) -> None:
        """A request was refused, or failed; ``trial``: the one that was to find out whether it is well again."""
        now = self._now()
        self.trouble = trouble
        self._failures = [*(at for at in self._failures if now - at <= WITHIN), now][-ROW:]
        if trial or (self._open_until is None and len(self._failures) == ROW):
            self._open_until = now + self._open_for
            self._open_for = min(self._open_for * 2, LONGEST)
            self._trying = False
        self._since = now
        usual = self._slots()
        if usual and now - self._halved >= TOGETHER:
            self._halved = now
            self._fewer = max(1, self.slots // 2)

    def went_well(self) -> None:
        """A request was answered."""
        self._failures.clear()
        self._open_until, self._open_for, self._trying = None, OPEN, False

    def broken_off(self) -> None:
        """The trial ended without saying how well it is: the next request is one."""
        self._trying = False

    def due(self) -> float | None:
        """When :meth:`ease` is wanted next; None while all is well."""
        return None if self._fewer is None else self._since + QUIET

    def ease(self) -> None:
        """Time has passed: give back what is due."""
        while self._fewer is not None and self._now() >= self._since + QUIET:
            self._since += QUIET
            self._fewer += 1
            if self._fewer >= self._slots():
                self._fewer = None


class Pressures:
    """The pressures of all tiers. Everything is for the runtime's loop.

    Parameters
    ----------
    slots
        Gives a tier's slots as they are set; 0 for what is no tier.
    changed
        Told when a tier has other slots for now: its name, and how many.
    now
        Gives seconds that only ever grow.
    later
        Calls something after so many seconds.
    """

    def __init__(
        self,
        slots: Callable[[str], int],
        changed: Callable[[str, int], None],
        now: Callable[[], float],
        later: Callable[[float, Callable[[], None]], object],
    ) -> None:
        self._slots, self._changed, self._now, self._later = slots, changed, now, later
        self._all: dict[str, Pressure] = {}
        self._told: dict[str, int] = {}
        self._waits = False

    def of(self, tier: str) -> Pressure:
        """A tier's."""
        if tier not in self._all:
            self._all[tier] = Pressure(lambda: self._slots(tier), self._now)
        return self._all[tier]

    def slots(self, tier: str) -> int:
        """How many tasks of a tier may run at once now."""
        return self._all[tier].slots if tier in self._all else self._slots(tier)

    def tell(self) -> None:
        """Say what has changed, and come back when something is due."""
        for tier, pressure in self._all.items():
            slots, before = pressure.slots, self._told.get(tier, self._slots(tier))
            self._told[tier] = slots
            if slots != before:
                self._changed(tier, slots)
        due = min((at for one in self._all.values() if (at := one.due()) is not None), default=None)
        if due is not None and not self._waits:
            self._waits = True
            self._later(max(0.0, due - self._now()), self._ease)

    def _ease(self) -> None:
        self._waits = False
        for pressure in self._all.values():
            pressure.ease()
        self.tell()


class Pressed:
    """Implements :class:`jupyter_orchestra.models.values.Model`: a model that is left alone while it does not work."""

    def __init__(self, model: Model, tier: str, place: str, pressures: Pressures) -> None:
        self._model, self._tier, self._place, self._pressures = model, tier, place, pressures
        self._pressure = pressures.of(tier)

    async def stream(self, request: Request) -> AsyncIterator[StreamEvent]:
        """Ask, unless it has failed too often: then raises ModelError at once, which says when it is tried again."""
        trial = self._let_in()
        try:
            async with aclosing(self._model.stream(request)) as events:  # type: ignore[type-var]
                async for event in events:
                    if isinstance(event, Waiting) and event.trouble in TROUBLES:
                        self._failed(event.trouble, trial)
                        trial = self._let_in()
                    elif isinstance(event, TextDelta | Reply):
                        self._pressure.went_well()
                        trial = False
                    yield event
        except _LeftAlone:
            raise
        except ModelError as error:
            if error.kind in TROUBLES:
                self._failed(error.kind, trial)
                trial = False
            raise
        finally:
            if trial:
                self._pressure.broken_off()

    async def cost(self, usage: ModelUsage, model: str) -> float | None:
        """What that many tokens cost in USD."""
        return await self._model.cost(usage, model) if isinstance(self._model, Priced) else None

    def _failed(self, trouble: str, trial: bool) -> None:
        self._pressure.failed(trouble, trial)
        self._pressures.tell()

    def _let_in(self) -> bool:
        """Whether this request is the trial. Raises ModelError when none is let through."""
        if seconds := self._pressure.admit():
            hint = "%orchestra retry then, or use another model"
            message = f"{self._place} has failed {ROW} times in a row: it is tried again in {seconds:.0f} s: {hint}"
            raise _LeftAlone(self._pressure.trouble, message)
        return self._pressure.is_open


class _LeftAlone(ModelError):
    """Nothing was asked."""
