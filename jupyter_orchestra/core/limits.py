"""Amounts that are spent and the limits on them, read and spelled; it knows no account.

Everything is a whole number, so that no sum is ever off by a rounding: money in millionths of a US dollar, time in
milliseconds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final

import msgspec

LARGEST: Final = 10**15  # of any limit


class BadBudget(ValueError):
    """A budget can't be read; says in one line what would be right."""


class OverBudget(Exception):
    """A budget does not allow it; the message says which, and how much of it is spent."""


class Amounts(msgspec.Struct, frozen=True, omit_defaults=True):
    """What something costs."""

    tokens_in: int = 0
    tokens_out: int = 0
    microusd: int = 0
    millis: int = 0  # that attempts ran, those side by side added up
    tool_calls: int = 0
    children: int = 0  # tasks that a task dispatches, and those below them
    output_bytes: int = 0

    @property
    def tokens(self) -> int:
        """Both kinds together."""
        return self.tokens_in + self.tokens_out

    def __add__(self, other: Amounts) -> Amounts:
        return Amounts(*(getattr(self, name) + getattr(other, name) for name in SPENT))

    def __sub__(self, other: Amounts) -> Amounts:
        return Amounts(*(getattr(self, name) - getattr(other, name) for name in SPENT))


class Limits(msgspec.Struct, frozen=True, omit_defaults=True):
    """How much may be spent; None: as much as the accounts above allow."""

    tokens: int | None = None  # in and out together
    tokens_in: int | None = None
    tokens_out: int | None = None
    microusd: int | None = None
    millis: int | None = None
    tool_calls: int | None = None
    children: int | None = None
    output_bytes: int | None = None
    depth: int | None = None  # tasks that dispatch tasks, one below the other
    slots: int | None = None  # tasks that a task dispatches and that run at once

    def __bool__(self) -> bool:
        """Whether anything is limited."""
        return any(limit is not None for limit in msgspec.structs.astuple(self))


SPENT: Final = Amounts.__struct_fields__
COUNTED: Final = ("tokens", *SPENT)  # what adds up against a limit
NOTHING: Final = Amounts()

_COUNT: Final = {"": 1, "k": 1_000, "K": 1_000, "M": 1_000_000, "G": 1_000_000_000}
_TIME: Final = {"": 1_000, "s": 1_000, "m": 60_000, "min": 60_000, "h": 3_600_000}
_BYTES: Final = {
    "": 1, "B": 1, "k": 1_000, "kB": 1_000, "KB": 1_000, "M": 10**6, "MB": 10**6, "G": 10**9, "GB": 10**9,
    "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30,
}  # fmt: skip
_KEYS: Final[dict[str, tuple[str, dict[str, int], str]]] = {  # word -> field, units, an example
    "tokens": ("tokens", _COUNT, "200k"),
    "tokens_in": ("tokens_in", _COUNT, "200k"),
    "tokens_out": ("tokens_out", _COUNT, "20k"),
    "usd": ("microusd", {"": 1_000_000}, "1.50"),
    "seconds": ("millis", _TIME, "90 (or 5m, 1h)"),
    "tools": ("tool_calls", _COUNT, "40"),
    "children": ("children", _COUNT, "5"),
    "depth": ("depth", _COUNT, "1"),
    "slots": ("slots", _COUNT, "2"),
    "output": ("output_bytes", _BYTES, "10MB"),
}
_MAY_BE_NONE: Final = ("tool_calls", "children", "depth")
_NUMBER: Final = re.compile(r"\$?([0-9]{1,18}(?:\.[0-9]{1,9})?|\.[0-9]{1,9})\s*([A-Za-z]*)", re.ASCII)


def parse_budget(text: str | Mapping[str, object]) -> Limits:
    """The limits that a text such as ``tokens=200k,usd=1.50,seconds=90`` names, or a mapping of the same words.

    Raises
    ------
    BadBudget
        For the first item that can't be right, in one line that says what would be.
    """
    pairs = [] if isinstance(text, str) else [(key, str(value)) for key, value in text.items()]
    for key, sign, value in (item.partition("=") for item in (text.split(",") if isinstance(text, str) else ())):
        if not sign and not key.strip():
            raise BadBudget(f"an item of the budget is empty: name limits such as tokens=200k,usd=1.50, not {text!r}")
        if not sign:
            raise BadBudget(f"a budget names limits such as tokens=200k,usd=1.50, not {key.strip()!r}")
        pairs.append((key, value))
    found: dict[str, int] = {}
    for key, value in pairs:
        name = str(key).strip()
        if name not in _KEYS:
            near = get_close_matches(name, _KEYS, 1, 0.6)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(_KEYS)}"
            raise BadBudget(f"a budget has no {name!r}: {hint}")
        field = _KEYS[name][0]
        if field in found:
            raise BadBudget(f"the budget names {name} twice: keep one")
        found[field] = _read(name, value)
    return Limits(**found)


def _read(name: str, value: str) -> int:
    field, units, example = _KEYS[name]
    number = _NUMBER.fullmatch(value.strip())
    if number is None or number[2] not in units or ("$" in value and name != "usd"):
        raise BadBudget(f"{name} of a budget takes a number such as {example}, not {value.strip()!r}")
    whole, _, part = number[1].partition(".")
    digits = int((whole or "0") + part)
    amount: int
    amount, rest = divmod(digits * units[number[2]], 10 ** len(part))
    if rest or amount > LARGEST or (amount == 0 and field not in _MAY_BE_NONE):
        hint = "a whole number" if rest else "more than nothing" if amount == 0 else "less"
        raise BadBudget(f"{name} of a budget takes {hint}, such as {example}, not {value.strip()!r}")
    return amount


def spell(limits: Limits) -> str:
    """The text that :func:`parse_budget` reads the same limits from; empty for none."""
    given = {name: getattr(limits, field) for name, (field, _, _) in _KEYS.items()}
    return ",".join(f"{name}={_written(name, value)}" for name, value in given.items() if value is not None)


def _written(name: str, value: int) -> str:
    if name in ("usd", "seconds"):
        scale, places = (1_000_000, 6) if name == "usd" else (1_000, 3)
        return f"{value // scale}.{value % scale:0{places}d}".rstrip("0").rstrip(".")
    units = (("GB", "MB", "kB") if name == "output" else ("M", "k")) if value else ()
    sizes = _KEYS[name][1]
    unit = next((unit for unit in units if value % sizes[unit] == 0), "")
    return f"{value // sizes.get(unit, 1)}{unit}"


def said(name: str, value: int) -> str:
    """An amount of one kind in words, such as ``10,000 tokens``."""
    match name:
        case "microusd":
            return f"${value / 1_000_000:,.2f}" if value % 10_000 == 0 else f"${value / 1_000_000:,.4f}"
        case "millis":
            return f"{value / 1000:,.10g} s"
        case "output_bytes":
            return f"{value / 1e6:,.10g} MB of output" if value >= 100_000 else f"{value:,} bytes of output"
        case _:
            return f"{value:,} {_WORDS[name]}"


def figure(name: str, value: int) -> str:
    """The same without the thing that is counted."""
    return said(name, value).removesuffix(" of output") if name not in _WORDS else f"{value:,}"


_WORDS: Final = {
    "tokens": "tokens",
    "tokens_in": "tokens in",
    "tokens_out": "tokens out",
    "tool_calls": "tool calls",
    "children": "tasks below it",
}
