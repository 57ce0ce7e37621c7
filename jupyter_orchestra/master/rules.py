"""The rules planner: stands where a model would, and carries out the person's plain words; it invents nothing.

It understands task lists (`rules_parse`), quoted and fenced commands (`rules_commands`) and plain verbs
(`rules_verbs`), writes digests of results (`rules_digest`), and says how to connect a model to all else. The same log
gives the same reply. What stands in a result is never taken for an order.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from ..models.values import Call, Item, ModelUsage, Reply, Request, TextDelta, Waiting
from .inbox import whole
from .rules_commands import forbids, in_sequence, read_commands
from .rules_digest import digest, quoted, report
from .rules_moment import Moment, read_moment
from .rules_parse import Found, Misread, read_list
from .rules_verbs import TIED, read_orders, steers
from .tools import DispatchTask

NAME = "rules"
LONGEST = 100_000  # characters of a message that are read
PIECES = 4  # in which a reply streams
CONNECT = """\
No model is connected, so I carry out only task lists, code blocks, quoted commands and plain verbs such as `pause \
scan`; to connect one, run one of these lines in a cell (the first asks for a key, the second names a model server):
```
import os, getpass; os.environ["OPENAI_API_KEY"] = getpass.getpass("API key: ")
import os; os.environ["OPENAI_BASE_URL"] = "http://127.0.0.1:11434/v1"
%orchestra model strong=NAME
```"""

Planned = tuple[str, dict[str, Any]]  # a tool and its arguments


class Plan(msgspec.Struct):
    """What to say and what to call."""

    said: list[str]
    calls: list[Planned]


class RulesPlanner:
    """A `Model` without a model."""

    async def stream(self, request: Request) -> AsyncIterator[TextDelta | Waiting | Reply]:
        """Reply to the newest items of the request; its tools and tier don't matter."""
        found = plan(request.items)
        text = "\n\n".join(found.said)
        step = -(-len(text) // PIECES) or 1
        for start in range(0, len(text), step):
            yield TextDelta(text[start : start + step])
        calls = _number(found.calls, request.items)
        items: list[Item] = []
        if text:
            items.append({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]})
        items += [
            {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments}
            for call in calls
        ]
        yield Reply(items=tuple(items), text=text, calls=calls, usage=ModelUsage(), model=NAME)


def plan(items: Sequence[Item]) -> Plan:
    """What to say and to call next."""
    moment = read_moment(items)
    found = Plan([], [])
    if moment.answers:
        found.said.append(report(moment.answers))
    if moment.results:
        found.said.append(digest(moment.results))
    taken = {name.lower() for name in moment.unfinished}
    for text in moment.said:
        _answer(text, moment, taken, found)
    if not found.said and not found.calls:
        found.said.append("Nothing has come in.")
    return found


def _answer(text: str, moment: Moment, taken: set[str], found: Plan) -> None:
    """Add what one message of the person asks for; `taken` gets the names of its tasks."""
    if len(text) > LONGEST:
        found.said.append(f"That has {len(text):,} characters; I read messages of at most {LONGEST:,}: send less.")
        return
    try:
        tasks, around = _tasks(text, moment, taken)
        orders = read_orders(around, moment)
        if tasks and TIED.search(around):
            raise Misread("say in one message what to dispatch, and in another what to do with other tasks")
    except Misread as why:
        found.said.append(f"Nothing was dispatched: {why}.")
        return
    found.said += orders.lines
    found.calls += orders.calls
    if tasks:
        taken |= {task.name.lower() for task in tasks}
        found.calls.append(("dispatch", {"tasks": [_arguments(task) for task in tasks]}))
    elif not orders.calls and not orders.lines:
        found.said += [] if CONNECT in found.said else [CONNECT]
    elif orders.rest:
        found.said.append(
            f"Not understood: {', '.join(map(quoted, orders.rest[:3]))}{' …' if orders.rest[3:] else ''}."
        )


def _tasks(text: str, moment: Moment, taken: set[str]) -> tuple[list[DispatchTask], str]:
    """The tasks that a message asks for, and the words around them. Raises Misread."""
    if steers(text):
        return [], text
    known = {**moment.ended, **moment.unfinished}
    found = read_list(text)
    if found.tasks:
        return ([], text) if forbids(found.around) else (_ordered(found, known), found.around)
    commands = read_commands(text, list(known), taken)
    return list(commands.tasks), commands.around


def _ordered(found: Found, known: dict[str, Any]) -> list[DispatchTask]:
    """The tasks of a list, `after` spelled as the tasks are; a chain if the words around it ask for one."""
    tasks = list(found.tasks)
    spelled = {name.lower(): name for name in (*known, *(task.name for task in tasks))}
    exact = {*known, *(task.name for task in tasks)}
    if in_sequence(found.around) and not any(task.after for task in tasks):
        befores = [[], *([task.name] for task in tasks[:-1])]
    else:
        befores = [[n if n in exact else spelled.get(n.lower(), n) for n in task.after] for task in tasks]
    return [msgspec.structs.replace(task, after=before) for task, before in zip(tasks, befores, strict=True)]


def _arguments(task: DispatchTask) -> dict[str, Any]:
    """A task as a call says it: what is as usual is left out."""
    found: dict[str, Any] = msgspec.to_builtins(task)
    usual = {field.name: field.default for field in msgspec.structs.fields(DispatchTask)}
    return {key: value for key, value in found.items() if value not in (usual[key], [], None)}


def _number(calls: Sequence[Planned], items: Sequence[Item]) -> tuple[Call, ...]:
    """The calls with ids that the log alone determines."""
    seed = hashlib.blake2b(json.dumps([*items], default=str).encode(), digest_size=8).hexdigest()
    return tuple(
        Call(call_id=f"call_{seed}_{n}", name=name, arguments=whole(json.dumps(arguments, ensure_ascii=False)))
        for n, (name, arguments) in enumerate(calls)
    )
