"""The commands that speak to living kernels through their doors: they ask, print the answer, and decide nothing."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from .core import events as e
from .core.model import State
from .core.naming import unknown
from .core.plain import plain, visible
from .core.wire import Card
from .door.client import Door, Found, find
from .door.words import Cards
from .errors import OrchestraError, RefusedError, UsageError

DONE, FAILED, MISUSED = 0, 1, 2  # exit codes
NOTE = 100  # characters of a task's last word in the list
NOBODY = "no notebook is at work here: run %load_ext jupyter_orchestra in one"


def run(arguments: argparse.Namespace) -> int:
    """Carry out one command and return the exit code."""
    try:
        return _COMMANDS[arguments.command](arguments)
    except UsageError as error:
        code, message = MISUSED, str(error)
    except OrchestraError as error:
        code, message = FAILED, str(error)
    print(f"jupyter orchestra {arguments.command}: {_line(message)}", file=sys.stderr)
    return code


def _choose(notebook: str | None) -> Found:
    """The kernel that is meant. Raises UsageError when that is not clear."""
    found = find(notebook)
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"{len(found)} kernels are at work: {_titles(found)}; say which with --notebook")
    raise _nobody(notebook)


def _nobody(notebook: str | None) -> RefusedError:
    others = find() if notebook is not None else []
    if others:
        return RefusedError(f"no kernel of {notebook} is at work; there is: {_titles(others)}")
    return RefusedError(NOBODY)


def _titles(found: Sequence[Found]) -> str:
    return ", ".join(one.title for one in found)


# looking


def _status(arguments: argparse.Namespace) -> int:
    found = find(arguments.notebook)
    if not found:
        raise _nobody(arguments.notebook)
    told = [(one, *_try_tasks(one)) for one in found]
    if arguments.json:
        _print_json([_as_json(one, listing, trouble) for one, listing, trouble in told])
    else:
        _print("\n".join(line for one, listing, trouble in told for line in _lines(one, listing, trouble)))
    return FAILED if any(trouble for _, _, trouble in told) else DONE


def _try_tasks(found: Found) -> tuple[Cards | None, str]:
    """The tasks, or why they can't be had: one kernel that is silent must not hide the others."""
    try:
        with Door(found) as door:
            return door.tasks(), ""
    except OrchestraError as error:
        return None, str(error)


def _lines(found: Found, listing: Cards | None, trouble: str) -> list[str]:
    if listing is None:
        return [trouble]
    states = " · ".join(f"{number} {state}" for state, number in _states(listing).items()) or "no tasks yet"
    asking = [f"  {card.name} {_need(card)}" for card in listing.cards if card.needs_you]
    blocked = [f"  the journal can't be written: {listing.blocked}"] if listing.blocked else []
    return [f"{found.title}: {states}", *blocked, *asking]


def _need(card: Card) -> str:
    return f"asks you: {card.question.action}" if card.question is not None else f"needs you: {card.needs_you}"


def _as_json(found: Found, listing: Cards | None, trouble: str) -> dict[str, Any]:
    return {
        "notebook": found.notebook,
        "pid": found.pid,
        "trouble": trouble or (listing.blocked if listing is not None else ""),
        "states": dict(_states(listing)) if listing is not None else {},
        "needs_you": [card.name for card in listing.cards if card.needs_you] if listing is not None else [],
    }


def _states(listing: Cards) -> dict[str, int]:
    counts = Counter(card.state for card in listing.cards)
    return {str(state): counts[state] for state in State if counts[state]}


def _tasks(arguments: argparse.Namespace) -> int:
    with Door(_choose(arguments.notebook)) as door:
        listing = door.tasks()
    if arguments.json:
        _print_json(msgspec.to_builtins(listing.cards))
    else:
        _print(_table(listing))
    return DONE


def _table(listing: Cards) -> str:
    if not listing.cards:
        return "no tasks yet: %%dispatch NAME at the top of a cell starts one"
    rows = [("name", "worker", "state", "time", "")]
    for card in listing.cards:
        done = f" {card.progress:.0%}" if card.progress is not None and card.state is State.RUNNING else ""
        note = _line(card.needs_you or card.reason or card.line)[:NOTE]
        rows.append((card.name, card.worker, f"{card.state}{done}", f"{_seconds(card, listing.now):.1f} s", note))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]).rstrip()
        for row in rows
    )


def _seconds(card: Card, now: float) -> float:
    """How long it has run."""
    if card.started_at is None:
        return 0.0
    until = next(at for at in (card.ended_at, card.paused_at, now) if at is not None)
    return max(0.0, until - card.started_at - card.held)


def _explain(arguments: argparse.Namespace) -> int:
    with Door(_choose(arguments.notebook)) as door:
        lines = door.explain(arguments.name)
        question = _find(door, arguments.name).question
    if question is not None:
        lines += ["", question.action, *(f"  {line}" for line in question.detail.splitlines())]
    _print("\n".join(lines))
    return DONE


def _leases(arguments: argparse.Namespace) -> int:
    with Door(_choose(arguments.notebook)) as door:
        _print("\n".join(door.leases()))
    return DONE


# acting


def _cancel(arguments: argparse.Namespace) -> int:
    def outcome(card: Card) -> str:
        if card.state is State.CANCELLED:
            return f"cancelled {card.name}"
        return f"stopping {card.name}" if card.stopping else f"{card.name} had ended: {card.state}"

    return _act(arguments, e.CancelAsked(0.0, targets=tuple(arguments.names), all=arguments.all), outcome)


def _pause(arguments: argparse.Namespace) -> int:
    event = e.PauseAsked(0.0, targets=tuple(arguments.names), all=arguments.all)
    return _act(arguments, event, lambda card: f"paused {card.name}")


def _resume(arguments: argparse.Namespace) -> int:
    event = e.ResumeAsked(0.0, targets=tuple(arguments.names), all=arguments.all)
    return _act(arguments, event, lambda card: f"resumed {card.name}")


def _act(
    arguments: argparse.Namespace,
    event: e.CancelAsked | e.PauseAsked | e.ResumeAsked,
    outcome: Callable[[Card], str],
) -> int:
    if bool(event.targets) == event.all:
        raise UsageError("which task? give names, or --all" if not event.all else "give names or --all, not both")
    with Door(_choose(arguments.notebook)) as door:
        acted = set(door.ask(event).uids)
        cards = [card for card in door.tasks().cards if card.uid in acted]
    _print("\n".join(map(outcome, cards)) or "no task to act on")
    return DONE


def _approve(arguments: argparse.Namespace) -> int:
    def answer(uid: str, digest: str) -> e.ApproveAsked:
        return e.ApproveAsked(0.0, target=uid, digest=digest, always=arguments.always)

    return _answer(arguments, answer, "approved")


def _decline(arguments: argparse.Namespace) -> int:
    def answer(uid: str, digest: str) -> e.DeclineAsked:
        return e.DeclineAsked(0.0, target=uid, digest=digest, why=" ".join(arguments.why))

    return _answer(arguments, answer, "declined")


def _answer(
    arguments: argparse.Namespace, answer: Callable[[str, str], e.ApproveAsked | e.DeclineAsked], done: str
) -> int:
    """Answer the question that stands on the task's card now, and no other."""
    with Door(_choose(arguments.notebook)) as door:
        card = _find(door, arguments.name)
        if card.question is None:
            raise RefusedError(f"task {card.name!r} asks for no approval: it is {card.state}")
        door.ask(answer(card.uid, card.question.digest))
    _print(f"{done}: {card.question.action}")
    return DONE


def _find(door: Door, name: str) -> Card:
    """The card of the task with that name or uid. Raises RefusedError."""
    cards = door.tasks().cards
    # A name may have been another task's before: the newest one bears it.
    card = next((card for card in reversed(cards) if name in (card.name, card.uid)), None)
    if card is None:
        raise RefusedError(unknown(name, [card.name for card in cards]))
    return card


# printing


def _line(text: str) -> str:
    """What workers and tasks say, as one line without what a terminal would obey."""
    return " ".join(plain(text).split())


def _print(text: str) -> None:
    print(visible(text))


def _print_json(value: object) -> None:
    print(json.dumps(value))  # in ASCII: nothing in it moves a terminal


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "status": _status,
    "tasks": _tasks,
    "cancel": _cancel,
    "pause": _pause,
    "resume": _resume,
    "approve": _approve,
    "decline": _decline,
    "explain": _explain,
    "leases": _leases,
}
