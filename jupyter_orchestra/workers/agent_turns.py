"""Carries out one attempt of an agent: request, calls, request, until it gives its result; knows no tool's inside."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterable
from typing import Final, Protocol

import cloudpickle  # type: ignore[import-untyped]

from ..core.limits import Amounts, OverBudget
from ..core.model import Failure, Result, Usage
from ..core.plain import plain
from ..core.ports import Failed, Finished, Job, Outcome
from ..errors import ModelError
from ..models.paying import Payer
from ..models.values import Call, Item, Model, Reply, Request, TextDelta, Waiting
from . import agent_prompt as prompt
from .agent_hands import Given, Hands, waited
from .agent_tools import Role
from .agent_voice import Voice
from .agent_workspace import TooLarge
from .starting import not_started

REMINDERS: Final = 2  # times that it is told to give a result
SAME: Final = 3  # equal calls in a row from which it is told, and then failed
CALLS: Final = 16  # in one step
SO_FAR: Final = 20_000  # characters of what it wrote that are kept without a result
RESULT: Final = "final_result"
WARNED: Final = 3  # replies left from which it is told


class ModelAccess(Protocol):
    """The models that there are."""

    async def model(self, tier: str, name: str = "") -> tuple[Model, str]:
        """The client and the model's name, of a tier or by its name. Raises ModelError when there is none."""


class GaveUp(Exception):
    """The agent does not come to a result; the message says why. ``name``: in one word."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


class Turns:
    """One attempt: its conversation, and how it stands. ``steps``: replies that it has at most."""

    def __init__(self, job: Job, role: Role, access: ModelAccess, hands: Hands, voice: Voice, steps: int) -> None:
        self._job, self._role, self._access, self._hands, self._voice = job, role, access, hands, voice
        self._steps = steps
        self._items: list[Item] = []
        self._messages: list[str] = []  # of the person, on their way in
        self._free = asyncio.Event()  # to go on: not paused
        self._free.set()
        self._replies = self._reminders = self._same = 0
        self._last: tuple[str, str] | None = None  # the last call
        self._shorter = False  # the context was once too full
        self._tokens_in = self._tokens_out = 0
        self._payer, self._told_of_budget = Payer(), False
        self._texts: list[str] = []  # what it wrote so far
        self._cost: float | None = 0.0  # None once one request's is not known

    def pause(self) -> None:
        """Hold before the next request."""
        self._free.clear()

    def resume(self) -> None:
        """Go on."""
        self._free.set()

    def steer(self, text: str) -> None:
        """Take a message in at the next request."""
        self._messages.append(text)

    async def run(self) -> Outcome:
        """Until it has a result, or can't have one."""
        began = time.monotonic()
        try:
            await self._begin()
            given = await self._converse()
            return Finished(await waited(self._result, given, self._usage(began)))
        except ModelError as error:
            failure = Failure("exception", "ModelError", str(error))
        except OverBudget as error:
            failure = Failure("budget", "OverBudget", str(error))
            return Failed(failure, Result(report=_so_far(self._texts), usage=self._usage(began)))
        except GaveUp as error:
            failure = Failure("exception", error.name, str(error))
        except TooLarge as error:
            failure = Failure("start", "TooLarge", str(error))
        except KeyError:
            failure = Failure("exception", "StepsGone", "what it had done before the restart is gone: retry the task")
        except OSError as error:
            outcome = not_started(error)
            if not isinstance(outcome, Failed):
                return outcome
            failure = outcome.failure
        return Failed(failure, Result(usage=self._usage(began)))

    # the conversation

    async def _begin(self) -> None:
        """Take up the work, from where it was left when there are steps."""
        self._items = prompt.opening(self._job.spec.brief, await self._hands.begin())
        if not self._job.steps:
            return
        for step in await waited(self._recalled):
            self._items += step
            self._replies += any(item.get("role") != "user" and "output" not in item for item in step)
        in_doubt = [prompt.answer(call, prompt.IN_DOUBT) for call in prompt.open_calls(self._items)]
        await self._keep([*in_doubt, prompt.message(prompt.restarted(self._role))])

    def _recalled(self) -> list[list[Item]]:
        return [json.loads(self._job.store.get(blob)) for blob in self._job.steps]

    async def _converse(self) -> Given:
        while self._replies < self._steps:
            await self._free.wait()
            await self._take_in()
            reply = await self._ask()
            self._replies += 1
            await self._keep(reply.items)
            if reply.calls:
                await self._answer(reply.calls)
            elif not self._messages:
                await self._remind(reply)
            if self._hands.result is not None and not self._messages:
                return self._hands.result
            self._hands.result = None
        raise GaveUp("NoResult", f"used its {self._steps} replies without a result: give it a smaller task")

    async def _take_in(self) -> None:
        """What the person said meanwhile."""
        said, self._messages = self._messages, []
        if said:
            self._reminders = 0
        if (left := self._steps - self._replies) == WARNED:
            said.append(prompt.nearly_over(left))
        if not self._told_of_budget and self._payer.is_nearly_spent(self._job.purse):
            self._told_of_budget = True
            said.append(prompt.NEARLY_SPENT)
        if said:
            await self._keep([prompt.message(text) for text in said])

    async def _ask(self) -> Reply:
        """The reply to all there is; once more with less when that is too much for the model."""
        try:
            return await self._stream()
        except ModelError as error:
            if error.kind != "overflow" or self._shorter:
                raise
        self._shorter = True
        return await self._stream()

    async def _stream(self) -> Reply:
        spec = self._job.spec
        model, name = await self._access.model(spec.tier or "standard", spec.model)
        items = prompt.shortened(self._items) if self._shorter else self._items
        request = Request(prompt.instructions(self._role, self._steps), tuple(items), self._hands.tools, name)
        async with self._payer.paid(self._job.purse, model, request) as paid:
            reply = await self._heard(model, paid.request)
            paid.settle(reply.usage)
            return reply

    async def _heard(self, model: Model, request: Request) -> Reply:
        """What the model answers, told as it comes."""
        text = ""
        stream = model.stream(request)
        try:
            async for found in stream:
                match found:
                    case TextDelta(piece):
                        text += piece
                        self._voice.words(text)
                    case Waiting(seconds, reason):
                        self._voice.progress(None, f"{reason}: tried again in {seconds:.0f} s")
                    case Reply():
                        self._voice.words(found.text, last=True)
                        self._texts.append(found.text)
                        self._tokens_in += found.usage.tokens_in
                        self._cost = _sum(self._cost, found.usage.cost)
                        self._tokens_out += found.usage.tokens_out
                        return found
        finally:
            await stream.aclose()  # type: ignore[attr-defined]
        error = ModelError("cut", "the model's answer ended too early: retry the task")
        error.begun = True
        raise error

    async def _answer(self, calls: tuple[Call, ...]) -> None:
        """Carry out the calls of one reply, in order."""
        for number, call in enumerate(calls):
            if self._hands.result is not None:
                said = prompt.RESULT_GIVEN
            elif number >= CALLS:
                said = prompt.TOO_MANY.format(CALLS)
            elif self._repeats(call):
                said = prompt.REPEATED
            else:
                said = await self._carry_out(call)
            await self._keep([prompt.answer(call.call_id, said)])

    async def _carry_out(self, call: Call) -> str:
        """Do what a call asks for, and pay for it; its result an agent may always give."""
        if call.name == RESULT:
            return await self._hands.carry_out(call)
        kept = await self._job.purse.reserve(Amounts(tool_calls=1, output_bytes=1))  # how much comes is known after
        size = 0
        try:
            said = await self._hands.carry_out(call)
            size = len(said.encode("utf-8", "replace"))
        finally:
            kept.settle(Amounts(tool_calls=1, output_bytes=size))
        return said

    def _repeats(self, call: Call) -> bool:
        """Whether a call has come too often in a row. Raises GaveUp when it was told so before."""
        made = call.name, call.arguments
        self._same = self._same + 1 if made == self._last else 1
        self._last = made
        if self._same > SAME:
            raise GaveUp("NoResult", f"made the same call over and over ({plain(call.name)[:60]}): say it differently")
        return self._same == SAME

    async def _remind(self, reply: Reply) -> None:
        """It has ended without a result: tell it, or give up."""
        if self._reminders == REMINDERS:
            said = " ".join(plain(reply.text).split())[-200:]
            raise GaveUp("NoResult", "ended without a result" + (f"; its last words: {said}" if said else ""))
        self._reminders += 1
        await self._keep([prompt.message(prompt.unfinished(reply.cut))])

    async def _keep(self, items: Iterable[Item]) -> None:
        """Add to the conversation, and journal it."""
        items = list(items)
        self._items += items
        self._voice.step(await waited(self._job.store.put, json.dumps(items).encode()))

    # the end

    def _usage(self, began: float) -> Usage:
        return Usage(round(time.monotonic() - began, 6), self._tokens_in, self._tokens_out, self._cost)

    def _result(self, given: Given, usage: Usage) -> Result:
        value = {
            "headline": given.headline,
            "summary": given.summary,
            "findings": list(given.findings),
            "data": given.data,
            "artifacts": [artifact.name for artifact in given.artifacts],
        }
        return Result(
            value=self._job.store.put(cloudpickle.dumps(value)),
            artifacts=given.artifacts,
            text=given.headline,
            report=_report(given),
            usage=usage,
        )


def _sum(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one + other


def _report(given: Given) -> str:
    """A result as markdown."""
    parts = [f"**{given.headline}**", given.summary]
    parts.append("\n".join("- " + finding.replace("\n", "\n  ") for finding in given.findings))
    if given.data is not None:
        data = json.dumps(given.data, indent=1)
        parts.append(f"```json\n{data if len(data) <= 4000 else data[:4000] + ' …'}\n```")
    if given.artifacts:
        parts.append("Files: " + ", ".join(f"`{os.path.basename(artifact.name)}`" for artifact in given.artifacts))
    return "\n\n".join(part for part in parts if part)


def _so_far(texts: list[str]) -> str:
    """What an agent wrote that came to no result, as markdown."""
    text = "\n\n".join(text.strip() for text in texts if text.strip())
    return f"It came to no result. What it had written by then:\n\n{text[-SO_FAR:]}" if text else ""
