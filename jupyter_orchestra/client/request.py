"""What a dispatch may say: the options, checked, as one value; it starts nothing and knows no cell."""

from __future__ import annotations

import keyword
import re
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

import msgspec

from ..core.limits import BadBudget, Limits, parse_budget
from ..core.model import ROLES, Delivery, When
from ..core.needs import ANY_PORT, BadNeed, Need, parse_all
from ..errors import NotAvailableError, UsageError

NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
E = TypeVar("E", When, Delivery)
LARGEST = 1_000_000  # of priorities and retries
LONGEST = 3.2e7  # seconds: a year
UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
LATER_WORKERS = ("codex", "browser")
LATER = {
    "on": "--on cluster is",
    "allow": "--allow widens what a browser task may visit and browser workers are",
    "review": "--review is",
}


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A dispatch with every option checked. ``timeout`` is in seconds."""

    brief: str
    name: str
    auto: bool
    worker: str
    after: tuple[str, ...]
    when: When
    share: tuple[str, ...] | None
    no_share: bool
    share_now: bool
    returns: tuple[str, ...]
    timeout: float | None
    priority: int
    deliver: Delivery
    retries: int
    replace: bool
    tier: str
    model: str
    role: str
    needs: tuple[Need, ...]  # as they were written
    budget: Limits
    inherit: bool  # an agent also sees the master's conversation
    local: Mapping[str, Any]  # what is bound in the function that dispatches, which a task does not see
    card: bool  # whether the cell shows a card of the task


def make_request(
    brief: str,
    name: str | None = None,
    *,
    worker: str = "kernel",
    workers: Collection[str],
    after: Any = (),
    when: str = "success",
    share: Any = None,
    no_share: bool = False,
    share_now: bool = False,
    returns: Any = (),
    timeout: float | str | None = None,
    priority: int | str = 0,
    isolate: str | None = None,
    deliver: str | None = None,
    retry: int | str = 0,
    replace: bool = False,
    tier: str | None = None,
    model: str | None = None,
    role: str | None = None,
    inherit: bool = False,
    needs: Any = (),
    budget: Any = None,
    local: Mapping[str, Any] | None = None,
    card: bool = False,
    later: Mapping[str, Any] | None = None,
) -> Request:
    """Check the options of a dispatch; `later` holds those that this version does not have yet.

    Raises
    ------
    UsageError
        For the first option that can't be right, in one line.
    NotAvailableError
        For an option of a later version.
    """
    for option, value in (later or {}).items():
        if value not in (None, (), [], False, "", {}):
            raise NotAvailableError(f"{LATER[option]} not available yet in this version: leave it out")
    if isolate not in (None, "none"):
        if isolate != "worktree":
            raise UsageError(f"--isolate is worktree or none, not {isolate!r}")
        raise NotAvailableError("--isolate worktree is not available yet in this version: leave it out")
    for value, what in ((brief, "body"), ("" if name is None else name, "name"), (worker, "worker")):
        if not isinstance(value, str):
            raise UsageError(f"the {what} must be text, not {type(value).__name__}: pass it as a string")
    if not is_text(brief):
        raise UsageError("the body holds half of a surrogate pair, which no file can hold: write it as an escape")
    if worker in LATER_WORKERS or worker.startswith("acp:"):
        known = ", ".join(sorted(workers))
        raise NotAvailableError(f"{worker} workers are not available yet in this version; there are: {known}")
    if worker not in workers:
        known = ", ".join(sorted(workers))
        raise UsageError(f"unknown worker {worker!r}{_nearest(worker, workers)}; there are: {known}")
    if name is not None and not NAME.fullmatch(name):
        raise UsageError(f"the name {name!r} can't be used: 1 to 40 of A-Z a-z 0-9 _ -")
    if share is not None and share is not False and no_share:
        raise UsageError("--share and --no-share exclude each other: keep one")
    if worker != "kernel" and (share or share_now or no_share):
        raise UsageError(f"{worker} tasks capture no variables: leave out --share, --no-share and --share-now")
    names_back = _variables(returns, "--return")
    if names_back and worker not in ("kernel", "loop"):
        raise UsageError(f"{worker} tasks have no variables to bring back: leave out --return")
    if worker != "agent" and (model or role or inherit or tier):
        raise UsageError(f"{worker} tasks have no model: leave out the tier, the model and the role, or use -w agent")
    if role and role not in ROLES:
        raise UsageError(f"the role is one of {', '.join(ROLES)}, not {role!r}")
    if tier and model:
        raise UsageError("a tier and a model exclude each other: keep one")
    return Request(
        brief=str(brief),
        name=str(name or stem(brief)),
        auto=name is None,
        worker=str(worker),
        after=tuple(_names(after)),
        when=_choice(When, when, "--when"),
        share=None if share is None or share is False or share is True else _variables(share, "--share"),
        no_share=bool(no_share) or share is False,
        share_now=bool(share_now),
        returns=names_back,
        timeout=None if timeout is None else seconds(timeout, "--timeout"),
        priority=_integer(priority, "--priority"),
        deliver=_choice(Delivery, deliver or "idle", "--deliver"),
        retries=_integer(retry, "--retry", least=0),
        replace=bool(replace),
        tier="" if worker != "agent" else str(tier or "standard"),
        model=str(model or ""),
        role="" if worker != "agent" else str(role or "worker"),
        needs=read_needs(needs),
        budget=read_budget(budget),
        inherit=bool(inherit),
        local=local or {},
        card=card,
    )


def read_needs(needs: Any) -> tuple[Need, ...]:
    """Needs from a text with commas or a collection of texts. Raises UsageError."""
    if needs is None:
        return ()
    if not isinstance(needs, str) and not (isinstance(needs, Iterable) and all(isinstance(one, str) for one in needs)):
        raise UsageError(f"--needs takes texts such as port:3000-3010, not {needs!r}")
    try:
        return parse_all(needs if isinstance(needs, str) else ",".join(needs))
    except BadNeed as error:
        raise UsageError(f"--needs: {error}") from None


def read_budget(budget: Any) -> Limits:
    """Limits from a text such as ``tokens=200k,usd=1.50`` or a mapping of the same words. Raises UsageError."""
    if budget is None or budget == "" or budget == {}:
        return Limits()
    if not isinstance(budget, str | Mapping):
        raise UsageError(f"--budget takes limits such as tokens=200k,usd=1.50,seconds=90, not {budget!r}")
    try:
        return parse_budget(budget)
    except BadBudget as error:
        raise UsageError(f"--budget: {error}") from None


def is_text(text: str) -> bool:
    """Whether it can be written to a file: no lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def seconds(value: float | str, flag: str) -> float:
    """A positive time in seconds from a number or a text such as ``30``, ``2.5s``, ``5m`` or ``1h``."""
    wrong = UsageError(f"{flag} takes seconds, such as 30 or 2.5 (or 5m, 1h), not {value!r}")
    if isinstance(value, str):
        found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+(?:e-?[0-9]+)?)\s*([A-Za-z]*)\s*", value)
        if found is None or found[2] not in UNITS:
            raise wrong
        number = float(found[1]) * UNITS[found[2]]
    else:
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise wrong from None
    if isinstance(value, bool) or not 0 < number <= LONGEST:
        raise wrong
    return number


def served(needs: tuple[Need, ...]) -> tuple[Need, ...]:
    """What is to be leased for a server whose command is given: a port. Raises UsageError where none is meant."""
    if not any(need.resource == "server" for need in needs):
        raise UsageError("a command is that of a server: ask for server besides")
    others = tuple(need for need in needs if need.resource != "server")
    return others if any(need.resource == "port" for need in others) else (*others, Need("port", choice=ANY_PORT))


def patience(value: float | str | None) -> float | None:
    """How long to wait, in seconds; None for as long as it takes, 0 for not at all."""
    return None if value is None else 0.0 if value == 0 else seconds(value, "timeout")


def stem(brief: str) -> str:
    """A short name from the first words of a body."""
    words = re.findall(r"[A-Za-z][A-Za-z0-9_]*", brief)
    skipped = {"import", "from", "as", "def", "async", "await", "return", "for", "in", "with", "print", "np", "plt"}
    kept = [word for word in words if word not in skipped][:3] or words[:1] or ["task"]
    return "-".join(kept)[:24].strip("-_") or "task"


def _names(value: Any) -> Iterable[str]:
    """Task names from a text with commas, a handle, or a collection of both."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(uid := getattr(value, "uid", None), str):
        return [uid]
    if not isinstance(value, Iterable):
        raise UsageError(f"--after takes names or handles of tasks, not {value!r}")
    return [name for item in value for name in _names(item)]


def _variables(value: Any, flag: str) -> tuple[str, ...]:
    if not isinstance(value, Iterable):
        raise UsageError(f"{flag} takes names of variables, such as x,y; {value!r} is none")
    parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else [str(part) for part in value]
    parts = [part for part in parts if part]
    for part in parts:
        if not is_variable(part):
            raise UsageError(f"{flag} takes names of variables, such as x,y; {part!r} is none")
    return tuple(dict.fromkeys(parts))


def is_variable(name: str) -> bool:
    """Whether a variable can bear that name."""
    return name.isidentifier() and not keyword.iskeyword(name)


def _choice(kind: type[E], value: str, flag: str) -> E:
    try:
        return kind(value)
    except ValueError:
        raise UsageError(f"{flag} is one of {', '.join(kind)}, not {value!r}") from None


def _integer(value: int | str, flag: str, least: int | None = None) -> int:
    try:
        number = int(str(value))
    except ValueError:
        raise UsageError(f"{flag} takes a whole number, not {value!r}") from None
    if least is not None and number < least:
        raise UsageError(f"{flag} takes a whole number from {least} up, not {number}")
    if abs(number) > LARGEST:
        raise UsageError(f"{flag} takes a whole number of at most {LARGEST:,}, not {number}")
    return number


def _nearest(word: str, words: Collection[str]) -> str:
    near = get_close_matches(word, list(words), 1, 0.6)
    return f" (did you mean {near[0]}?)" if near else ""
