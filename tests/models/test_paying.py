from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_orchestra.core.limits import Amounts, Limits, OverBudget
from jupyter_orchestra.errors import ModelError
from jupyter_orchestra.models.paying import FAIR, LONGEST, SHORTEST, Paid, Payer
from jupyter_orchestra.models.usage import Meter, most_tokens
from jupyter_orchestra.models.values import ModelUsage, Reply, Request, StreamEvent, ToolSpec

REQUEST = Request("You are an agent.", ({"type": "message", "role": "user", "content": "count"},), (), "m")


class Purse:
    """Holds what it is told to, and remembers."""

    def __init__(self, holds: Limits) -> None:
        self.holds = holds
        self.asked: list[Amounts] = []
        self.settled: list[Amounts | None] = []
        self.part = 1.0

    def room(self) -> Limits:
        return self.holds

    def left(self) -> float:
        return self.part

    async def reserve(self, amounts: Amounts) -> Purse:
        self.asked.append(amounts)
        for name in ("tokens", "tokens_out", "microusd"):
            most = getattr(self.holds, name)
            if most is not None and getattr(amounts, name) > most:
                raise OverBudget("its budget is spent")
        self._open = True
        return self

    def settle(self, actual: Amounts | None = None) -> None:
        if self._open:
            self.settled.append(actual)
        self._open = False

    def spend(self, amounts: Amounts) -> None:
        raise AssertionError("it reserves")


class Priced:
    """Costs 1 USD for a million tokens in, 10 for a million out; or nobody knows."""

    def __init__(self, known: bool = True) -> None:
        self._known = known

    async def stream(self, request: Request) -> AsyncIterator[StreamEvent]:
        yield Reply((), "well", (), ModelUsage(), "m")

    async def cost(self, usage: ModelUsage, model: str) -> float | None:
        return (usage.tokens_in + 10 * usage.tokens_out) / 1e6 if self._known else None


def pay(purse: Purse, act: Callable[[Paid], None], model: Any = None, payer: Payer | None = None) -> None:
    async def main() -> None:
        async with (payer or Payer()).paid(purse, model or Priced(), REQUEST) as paid:
            act(paid)

    asyncio.run(main())


def fails(begun: bool) -> Callable[[Paid], None]:
    error = ModelError("cut", "it broke off")
    error.begun = begun

    def act(paid: Paid) -> None:
        raise error

    return act


def test_what_was_reserved_is_settled_by_what_it_was() -> None:
    purse = Purse(Limits(tokens=10_000))
    pay(purse, lambda paid: paid.settle(ModelUsage(tokens_in=7, tokens_out=3, cost=0.0000015)))
    assert purse.settled == [Amounts(tokens_in=7, tokens_out=3, microusd=2)]
    assert purse.asked[0].tokens_in > 7


def test_a_request_that_no_model_worked_on_costs_nothing() -> None:
    purse = Purse(Limits(tokens=10_000))
    with pytest.raises(ModelError):
        pay(purse, fails(begun=False))
    assert purse.settled == [Amounts()]


def test_one_of_which_nobody_saw_the_end_costs_all_that_was_reserved() -> None:
    purse = Purse(Limits(tokens=10_000))
    with pytest.raises(ModelError):
        pay(purse, fails(begun=True))
    assert purse.settled == [None]


def test_so_does_one_that_is_broken_off() -> None:
    purse = Purse(Limits(tokens=10_000))

    async def main() -> None:
        async def work() -> None:
            async with Payer().paid(purse, Priced(), REQUEST):
                await asyncio.Event().wait()

        task = asyncio.ensure_future(work())
        while not purse.asked:  # noqa: ASYNC110
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})

    asyncio.run(main())
    assert purse.settled == [None]


@pytest.mark.parametrize(
    ("limits", "most"),
    [
        (Limits(), 0),
        (Limits(tool_calls=5), 0),
        (Limits(tokens_out=700), 700),
        (Limits(tokens_out=3_000), FAIR),
        (Limits(tokens_out=20_000), 5_000),  # a quarter: others spend from it too
        (Limits(tokens_out=10**9), LONGEST),
        (Limits(microusd=100_000), 2_500),
    ],
)
def test_a_reply_gets_its_part_of_what_is_left(limits: Limits, most: int) -> None:
    purse = Purse(limits)
    seen: list[Request] = []
    pay(purse, lambda paid: seen.append(paid.request))
    assert abs(seen[0].max_tokens - most) <= most // 20
    assert purse.asked[0].tokens_out == seen[0].max_tokens


@pytest.mark.parametrize("limits", [Limits(tokens=150), Limits(tokens_out=SHORTEST - 1), Limits(microusd=1_000)])
def test_where_less_is_left_than_a_reply_needs_nothing_is_asked(limits: Limits) -> None:
    with pytest.raises(OverBudget):
        pay(Purse(limits), lambda paid: pytest.fail("it was paid for"))


def test_dollars_are_reserved_for_the_longest_reply() -> None:
    purse = Purse(Limits(microusd=100_000))
    pay(purse, lambda paid: None)
    (asked,) = purse.asked
    assert asked.microusd == asked.tokens_in + 10 * asked.tokens_out


def test_what_has_no_price_is_not_paid_for_in_dollars() -> None:
    with pytest.raises(OverBudget, match="what m costs is not known: limit tokens instead"):
        pay(Purse(Limits(microusd=10**9)), lambda paid: None, Priced(known=False))


def test_the_end_is_near_when_little_is_left_or_two_more_requests_do_not_fit() -> None:
    payer, purse = Payer(), Purse(Limits(tokens=100_000))
    pay(purse, lambda paid: paid.settle(ModelUsage(tokens_in=30_000, tokens_out=10)), payer=payer)
    assert not payer.is_nearly_spent(purse)
    purse.holds = Limits(tokens=60_000)
    assert payer.is_nearly_spent(purse)
    purse.holds, purse.part = Limits(), 0.1
    assert payer.is_nearly_spent(purse)


def test_what_was_sent_before_needs_no_guess() -> None:
    meter = Meter()
    long = {"type": "message", "role": "user", "content": "word " * 4_000}
    first = Request("Work.", (long,), (), "m")
    guess = meter.most(first)
    assert guess > 9_000
    meter.learn(first, ModelUsage(tokens_in=4_000))
    more = {"type": "message", "role": "user", "content": "And now?"}
    assert 4_000 < meter.most(Request("Work.", (long, more), (), "m")) < 4_200
    assert meter.most(Request("Work.", (more,), (), "m")) < 200  # another conversation
    tool = ToolSpec("t", "does it", {})
    assert meter.most(Request("Work.", (long, more), (tool,), "m")) > guess


@given(st.text(alphabet="0123456789,.;{}[]ä漢🙂", max_size=200))
def test_each_byte_that_is_no_letter_may_be_a_token(text: str) -> None:
    assert most_tokens(text) >= len(text.encode())


@given(st.lists(st.text(alphabet="abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=12), max_size=30))
def test_words_are_at_least_two_bytes_a_token(words: list[str]) -> None:
    text = " ".join(words)
    assert len(text) // 2 <= most_tokens(text) <= len(text)


def test_where_others_took_of_what_was_left_meanwhile_less_is_asked_for() -> None:
    class Shared(Purse):
        async def reserve(self, amounts: Amounts) -> Purse:
            if not self.asked:
                self.holds = Limits(tokens_out=700)
            return await super().reserve(amounts)

    purse = Shared(Limits(tokens_out=900))
    seen: list[int] = []
    pay(purse, lambda paid: seen.append(paid.request.max_tokens))
    assert [amounts.tokens_out for amounts in purse.asked] == [900, 700]
    assert seen == [700]


def test_who_is_refused_though_nothing_has_changed_is_not_asked_for_less_for_ever() -> None:
    class Empty(Purse):
        async def reserve(self, amounts: Amounts) -> Purse:
            self.asked.append(amounts)
            raise OverBudget("its budget is spent")

    purse = Empty(Limits(tokens_out=900))
    with pytest.raises(OverBudget):
        pay(purse, lambda paid: None)
    assert len(purse.asked) == 1
