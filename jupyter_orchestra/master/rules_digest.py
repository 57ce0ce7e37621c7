"""What the rules planner writes: of results, of what its calls were answered, of what runs. Facts alone.

What it repeats of a result stands in code spans, which nothing in it can leave.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from .envelope import compact, one_line
from .rules_moment import Answer, Moment, loads

QUOTED = 240  # bytes of a value or an error that is repeated
LISTED = 20  # names in one line
NOT_DONE = ("refused", "error", "not done", "not carried out", "unknown")  # how an answer begins that says no
DONE = {"pause": "paused", "resume": "resumed", "cancel": "cancelled", "approve": "approved", "decline": "declined"}


def digest(results: Sequence[dict[str, Any]]) -> str:
    """What came of each task, and how many of them."""
    lines = [f"- {describe(result)}" for result in results]
    counts = Counter("skipped" if result.get("skipped") else str(result.get("state")) for result in results)
    total = ", ".join(f"{count} {one_line(state, 20)}" for state, count in counts.items())
    return "\n".join([*lines, "", f"{len(results)} {'task' if len(results) == 1 else 'tasks'} ended: {total}."])


def describe(result: dict[str, Any]) -> str:
    """One result in a line of markdown."""
    name, state = one_line(str(result.get("task")), 48), one_line(str(result.get("state")), 20)
    head = f"**{name}** ({one_line(str(result.get('worker')), 40)}) "
    if skipped := result.get("skipped"):
        return f"{head}was skipped and never ran: {quoted(skipped)}"
    seconds = result.get("seconds")
    timed = isinstance(seconds, float | int) and state != "cancelled"
    said = [f"{'is done' if state == 'done' else state} {'in' if state == 'done' else 'after'} {seconds} s"]
    said = said if timed else [state]
    if error := result.get("error"):
        said.append(quoted(error))
    if printed := result.get("printed"):
        said.append(f"it printed {quoted(printed)}")
    if (value := result.get("value")) is not None:
        said.append(f'value {quoted(value)}, `jo.task("{name}").result`')
    if summary := result.get("summary"):
        said += [quoted(part) for part in (result.get("headline"), summary) if part]
    for key, word in (("variables", "brought back"), ("artifacts", "files"), ("notes", "note")):
        if isinstance(found := result.get(key), list) and found:
            said.append(f"{word} {', '.join(quoted(part) for part in found[:LISTED])}")
    if stale := result.get("stale"):
        said.append(f"stale: {quoted(stale)}")
    if result.get("person_talked_to_it") is True:
        said.append("you talked to it meanwhile")
    return head + "; ".join(said)


def quoted(value: Any) -> str:
    """Text or JSON as one code span."""
    text = one_line(value if isinstance(value, str) else compact(value), QUOTED)
    return f"`{text.replace('`', chr(0x2CB)) or ' '}`"


def report(answers: Sequence[Answer]) -> str:
    """A line for each call: what was done, or why not."""
    return "\n".join(_report_one(*answer) for answer in answers)


def _report_one(tool: str, arguments: str, output: str) -> str:
    asked, answer = loads(arguments), loads(output)
    reason = answer.get("refused") or answer.get("error")
    if not answer and output.lower().startswith(NOT_DONE):
        reason = output.removeprefix("refused: ")
    if reason:
        return f"{tool} was not done: {one_line(str(reason), 600)}"
    names = _tasks_of(asked)
    if tool == "dispatch":
        named = answer.get("dispatched")
        names = [str(name) for name in named] if isinstance(named, list) and named else names
        when = "when it ends" if len(names) == 1 else "after both" if len(names) == 2 else f"after all {len(names)}"
        return f"dispatched {enumerated(names)}; report {when}"
    if tool == "steer":
        return f"sent to {enumerated(names)}"
    which = "all unfinished tasks" if asked.get("all") is True else enumerated(names)
    return f"{DONE.get(tool, tool)} {which}"


def _tasks_of(asked: dict[str, Any]) -> list[str]:
    tasks = asked.get("tasks", [asked.get("task", "")])
    names = [task.get("name") if isinstance(task, dict) else task for task in tasks] if isinstance(tasks, list) else []
    return [one_line(str(name), 48) for name in names]


def roster(moment: Moment) -> str:
    """What runs, in a sentence."""
    if not moment.unfinished:
        return "No task is unfinished."
    named = [f"{one_line(name, 48)} ({one_line(state, 20)})" for name, state in moment.unfinished.items()]
    count = len(named) + moment.more
    return f"{count} unfinished: {enumerated(named, moment.more)}."


def enumerated(names: Sequence[str], more: int = 0) -> str:
    """Names in a row, and how many are left out."""
    left = len(names) - LISTED + more if len(names) > LISTED else more
    return ", ".join(names[:LISTED]) + (f" and {left} more" if left > 0 else "")
