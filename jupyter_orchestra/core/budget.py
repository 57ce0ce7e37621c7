"""Accounts of what may be spent: what is reserved, what is spent, what is left; it knows no task, no model, no clock.

An account has parents, and whatever is reserved or spent in it counts in each account above it too, so that a child
never spends what its parents do not have. Reserved plus spent never exceeds a limit, in no account and no quantity.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Final

import msgspec

from .limits import COUNTED, NOTHING, SPENT, Amounts, Limits, figure, said

UNLIMITED: Final = Limits()


class Account(msgspec.Struct, omit_defaults=True):
    """One account. ``limits`` hold; ``wanted`` are those asked for, where more was used already when they came."""

    parents: tuple[str, ...] = ()
    limits: Limits = Limits()
    wanted: Limits = Limits()
    reserved: Amounts = NOTHING
    spent: Amounts = NOTHING
    over: Amounts = NOTHING  # used beyond what was reserved for it and what was left
    below: int = 0  # accounts right below it
    live: list[str] = []  # whose running time counts here now
    at: float = 0.0  # up to when it was counted

    def used(self, name: str) -> int:
        """Reserved and spent of one quantity."""
        found: int = getattr(self.reserved, name) + getattr(self.spent, name)
        return found

    @property
    def overdrawn(self) -> bool:
        """Whether more is used than a limit allows, which must never be."""
        limits = ((name, getattr(self.limits, name)) for name in COUNTED)
        return any(limit is not None and self.used(name) > limit for name, limit in limits)

    def free(self, name: str) -> int | None:
        """What is left of one quantity here; None without a limit."""
        limit = getattr(self.limits, name)
        return None if limit is None else max(0, limit - self.used(name))


class Held(msgspec.Struct, frozen=True):
    """A reservation that is not settled. ``holder``: who has to settle it."""

    account: str
    amounts: Amounts
    holder: str = ""


class BudgetState(msgspec.Struct):
    """All accounts and reservations."""

    accounts: dict[str, Account] = {}
    held: dict[str, Held] = {}


class Figure(msgspec.Struct, frozen=True):
    """One quantity of one account. ``reserved`` and ``spent`` together never exceed ``limit``."""

    account: str
    quantity: str
    limit: int | None
    reserved: int
    spent: int
    over: int


class Budget:
    """The accounts of one notebook. Everything that can be refused says why in one line, or gives ""."""

    def __init__(self, state: BudgetState | None = None) -> None:
        self.state = state or BudgetState()
        self._ticking = {name for name, account in self.state.accounts.items() if account.live}
        self._changed: dict[str, None] = {}  # accounts whose figures nobody has seen yet

    # accounts

    def has(self, account: str) -> bool:
        """Whether there is such an account."""
        return account in self.state.accounts

    def open(self, account: str, parents: tuple[str, ...] = (), limits: Limits = UNLIMITED) -> str:
        """Make an account below others. A task below a task has one level less below it."""
        accounts = self.state.accounts
        if account in accounts:
            return f"there is an account {account} already"
        if missing := [name for name in parents if name not in accounts]:
            return f"there is no account {missing[0]}"
        depth = self._depth(account, parents, limits.depth)
        if depth is not None and depth < 0:
            return f"{_whose(self._shallowest(parents), account)} lets no task be dispatched below it"
        limits = msgspec.structs.replace(limits, depth=depth)
        accounts[account] = Account(parents, limits, limits)
        for name in parents:
            accounts[name].below += 1
        self._changed[account] = None
        return ""

    def limit(self, account: str, limits: Limits) -> None:
        """Set an account's limits anew; where more is used already, nothing is left until they hold."""
        found = self.state.accounts[account]
        found.wanted = limits
        _tighten(found)
        self._changed[account] = None

    def mend(self) -> None:
        """Where more is used than a limit allows, which only a mistake of this program can lead to, nothing is left."""
        for name, account in self.state.accounts.items():
            if account.overdrawn:
                _fit(account)
            self._changed[name] = None

    def close(self, account: str) -> None:
        """End an account: what it has not spent is its parents' again. Accounts below it hang on those from now on."""
        accounts = self.state.accounts
        if account not in accounts:
            return
        for id in [id for id, held in self.state.held.items() if held.account == account]:
            self.settle(id)
        gone = accounts.pop(account)
        self._changed[account] = None
        self._ticking.discard(account)
        for name in gone.parents:
            accounts[name].below -= 1
        for other in accounts.values() if gone.below else ():
            if account in other.parents:
                kept = tuple(name for name in other.parents if name != account)
                other.parents = tuple(dict.fromkeys((*kept, *gone.parents)))
                for name in set(other.parents) - set(kept):
                    accounts[name].below += 1

    # spending

    def reserve(self, id: str, account: str, amounts: Amounts, holder: str = "") -> str:
        """Keep `amounts` for whoever is about to spend up to that much."""
        if id in self.state.held:
            return "that is reserved already"
        if why := self.refusal(account, amounts):
            return why
        self.state.held[id] = Held(account, amounts, holder)
        for name, found in self._chain(account):
            found.reserved += amounts
            self._changed[name] = None
        return ""

    def settle(self, id: str, actual: Amounts | None = None) -> bool:
        """Turn a reservation into what was really spent; None: nobody knows, so all of it.

        More than was reserved is taken from what is left; where that is not enough, nothing is left, and the rest is
        told as ``over``. Gives whether there was such a reservation: one that is settled already stays as it is.
        """
        held = self.state.held.pop(id, None)
        if held is None:
            return False
        for _, found in self._chain(held.account):
            found.reserved -= held.amounts
        self._take(held.account, held.amounts if actual is None else actual)
        for _, found in self._chain(held.account):
            _tighten(found)
        return True

    def spend(self, account: str, amounts: Amounts) -> str:
        """Count what was spent without a reservation; says when that was more than was left."""
        why = self.refusal(account, amounts)
        if self.has(account):
            self._take(account, amounts)
        return why

    def refusal(self, account: str, amounts: Amounts) -> str:
        """Why that much can't be spent now."""
        if account not in self.state.accounts:
            return "its account is closed"
        if any(getattr(amounts, name) < 0 for name in SPENT):
            return "less than nothing was asked for"
        for name, found in self._chain(account):
            for quantity in COUNTED:
                asked, free = getattr(amounts, quantity), found.free(quantity)
                if asked and free is not None and asked > free:
                    return _over(name, account, found, quantity, asked)
        return ""

    def room(self, account: str) -> Limits:
        """What is left for an account; None where nothing limits it, all nothing when there is no such account."""
        if account not in self.state.accounts:
            return Limits(*(0 for _ in Limits.__struct_fields__))
        chain = [found for _, found in self._chain(account)]
        free = {name: _least(found.free(name) for found in chain) for name in COUNTED}
        own = self.state.accounts[account].limits
        return Limits(**free, depth=own.depth, slots=own.slots)

    def left(self, account: str) -> float:
        """The part from 0 to 1 that is left of what is nearest to its end."""
        parts = [1.0]
        for _, found in self._chain(account) if self.has(account) else ():
            for name in COUNTED:
                if (limit := getattr(found.limits, name)) is not None:
                    parts.append((limit - getattr(found.spent, name)) / limit if limit else 0.0)
        return min(parts)

    def limited(self, account: str) -> bool:
        """Whether anything limits what an account spends."""
        room = self.room(account)
        return any(getattr(room, name) is not None for name in COUNTED)

    def unsettled(self, holder: str = "") -> list[str]:
        """The reservations of a holder, or all."""
        return [id for id, held in self.state.held.items() if not holder or held.holder == holder]

    def take_changed(self) -> dict[str, tuple[Figure, ...]]:
        """What is limited or was used of every account that has changed since the last call; nothing of one that is no
        more."""
        changed, self._changed = self._changed, {}
        return {name: tuple(self._figures(name)) for name in changed}

    def _figures(self, name: str) -> Iterator[Figure]:
        if (found := self.state.accounts.get(name)) is None:
            return
        for quantity in COUNTED:
            limit = getattr(found.limits, quantity)
            parts = [getattr(amounts, quantity) for amounts in (found.reserved, found.spent, found.over)]
            if limit is not None or any(parts):
                yield Figure(name, quantity, limit, *parts)

    # running time

    def run(self, account: str, who: str, now: float) -> None:
        """From now on time counts, once for everyone who runs."""
        for name, found in self._chain(account):
            self._count(name, now)
            if who not in found.live:
                found.live = [*found.live, who]
            self._ticking.add(name)

    def rest(self, who: str, now: float) -> None:
        """Someone runs no longer."""
        for name in list(self._ticking):
            found = self.state.accounts[name]
            if who in found.live:
                self._count(name, now)
                found.live = [other for other in found.live if other != who]
                if not found.live:
                    self._ticking.discard(name)

    def stop_clocks(self, but: Collection[str] = ()) -> None:
        """Nobody runs `but` these, and nobody else has since time was counted last."""
        for name in list(self._ticking):
            found = self.state.accounts[name]
            found.live = [who for who in found.live if who in but]
            if not found.live:
                self._ticking.discard(name)

    def runs_out(self, goes_on: Callable[[str], bool] = lambda who: True) -> float | None:
        """When the time of an account that runs is over, as far as that ends anyone who `goes_on`."""
        moments = []
        for name in self._ticking:
            found = self.state.accounts[name]
            if (free := found.free("millis")) is not None and any(map(goes_on, found.live)):
                moments.append(found.at + -(-free // len(found.live)) / 1000)
        return min(moments, default=None)

    def out_of_time(self, now: float) -> dict[str, str]:
        """Who runs although the time is over, and why that is so."""
        found: dict[str, str] = {}
        for name in sorted(self._ticking):
            account = self.state.accounts[name]
            self._count(name, now)
            if account.free("millis") == 0:
                for who in account.live:
                    found.setdefault(who, _over(name, f"task:{who}", account, "millis", 0))
        return found

    def _count(self, name: str, now: float) -> None:
        account = self.state.accounts[name]
        if not account.live:
            account.at = now
            return
        self._changed[name] = None
        millis = int(max(0.0, now - account.at) * 1000 + 0.001)
        account.at += millis / 1000  # what is less than one counts the next time
        passed = millis * len(account.live)
        free = account.free("millis")
        taken = passed if free is None else min(passed, free)
        account.spent += Amounts(millis=taken)
        account.over += Amounts(millis=passed - taken)

    # helpers

    def _chain(self, account: str) -> Iterator[tuple[str, Account]]:
        """An account and all above it, the nearest first, each once."""
        todo = [account]
        for name in todo:  # grows meanwhile
            found = self.state.accounts[name]
            yield name, found
            todo += [parent for parent in found.parents if parent not in todo]

    def _take(self, account: str, amounts: Amounts) -> None:
        """Count something as spent as far as all accounts have it, and the rest as over."""
        above = dict(self._chain(account))
        self._changed |= dict.fromkeys(above)
        chain, taken = above.values(), {}
        for name in SPENT:
            free = _least(found.free(name) for found in chain)
            amount = max(0, getattr(amounts, name))
            taken[name] = amount if free is None else min(amount, free)
        both = _least(found.free("tokens") for found in chain)
        if both is not None:
            taken["tokens_out"] = min(taken["tokens_out"], both)
            taken["tokens_in"] = min(taken["tokens_in"], both - taken["tokens_out"])
        spent = Amounts(**taken)
        rest = Amounts(*(max(0, getattr(amounts, name) - taken[name]) for name in SPENT))
        for found in chain:
            found.spent += spent
            found.over += rest

    def _depth(self, account: str, parents: tuple[str, ...], wished: int | None) -> int | None:
        """How many levels there may be below an account."""
        depths = [wished]
        for name in parents:
            above = self.state.accounts[name].limits.depth
            below = account.startswith("task:") and name.startswith("task:")
            depths.append(None if above is None else above - below)
        return _least(depths)

    def _shallowest(self, parents: tuple[str, ...]) -> str:
        return min(parents, key=lambda name: (depth := self.state.accounts[name].limits.depth) is None or depth)


def _tighten(account: Account) -> None:
    """Let the limits asked for hold, where they do not yet."""
    if account.limits != account.wanted:
        _fit(account)


def _fit(account: Account) -> None:
    """Let the limits asked for hold as far as what is used allows."""
    held = {}
    for name in COUNTED:
        wanted = getattr(account.wanted, name)
        held[name] = None if wanted is None else max(wanted, account.used(name))
    account.limits = Limits(**held, depth=account.wanted.depth, slots=account.wanted.slots)


def _least(found: Iterator[int | None] | list[int | None]) -> int | None:
    return min((one for one in found if one is not None), default=None)


def _over(name: str, asking: str, account: Account, quantity: str, asked: int) -> str:
    limit = getattr(account.limits, quantity)
    parts = [f"{figure(quantity, getattr(account.spent, quantity))} used"]
    if held := getattr(account.reserved, quantity):
        parts.append(f"{figure(quantity, held)} held for what is under way")
    if asked:
        parts.append(f"{figure(quantity, asked)} more asked for")
    verb = "is spent" if limit else "allows none"
    return f"{_whose(name, asking)} of {said(quantity, limit)} {verb} ({', '.join(parts)}): {_hint(name)}"


def _whose(account: str, asking: str) -> str:
    """A budget in words, for who asks."""
    kind, _, name = account.partition(":")
    match kind:
        case "task" if account == asking:
            return "its budget"
        case "task":
            return "the budget of the task that dispatched it"
        case "tier":
            return f"the budget of the tier {name}"
        case "notebook":
            return "the notebook's budget"
        case _:
            return f"the budget of all your notebooks for {name or 'today'}"


def _hint(account: str) -> str:
    """How a budget is raised."""
    kind, _, name = account.partition(":")
    setting = {"user": "user_budget", "notebook": "budget", "tier": f"{name}_budget"}.get(kind)
    return f"raise it with %config Orchestra.{setting}" if setting else "dispatch it again with a larger --budget"
