"""What the person is asked before something happens: each question is bound to its exact action; it does nothing."""

from __future__ import annotations

import hashlib

import msgspec

from . import events as e
from .model import Ask, Spec, Task
from .naming import Refusal

SAID = 60  # characters of a text that a question repeats
Wanted = e.CancelAsked | e.PauseAsked | e.ResumeAsked | e.SteerAsked


def may_start(spec: Spec, name: str) -> Ask:
    """Whether a task that the master has proposed may begin."""
    action = f"start {name} ({spec.worker}): {_said(spec.brief)}"
    return _proposal(spec.uid, action, f"{_manner(spec)}\n{spec.brief}")


def _manner(spec: Spec) -> str:
    """What of a task is no part of its brief and yet of what it does."""
    parts = (
        spec.worker,
        spec.role and f"role {spec.role}",
        spec.model and f"model {spec.model}",
        spec.after and f"after {', '.join(spec.after)}",
        spec.returns and f"brings back {', '.join(spec.returns)}",
        spec.timeout and f"at most {spec.timeout:g} s",
    )
    return " · ".join(part for part in parts if part)


def may_act(wanted: Wanted, task: Task, verb: str) -> Ask:
    """Whether what the master wants done to a task may be done."""
    at, action = wanted.at, f"{verb} {task.name}"
    if isinstance(wanted, e.SteerAsked):
        action = f"tell {_said(wanted.text)!r} to {task.name}"
        return _proposal(task.uid, action, wanted.text, e.SteerAsked(at, target=task.uid, text=wanted.text))
    return _proposal(task.uid, action, action, type(wanted)(at, targets=(task.uid,)))


def order_of(ask: Ask, now: float) -> e.Event:
    """What happens once that proposal is approved."""
    return msgspec.structs.replace(e.decode(ask.order.encode()), at=now)


def bound(ask: Ask) -> Ask:
    """A worker's question, bound to its action also where the worker has left that out."""
    if ask.digest:
        return ask
    return msgspec.structs.replace(ask, digest=_digest(ask.action, ask.detail))


def find(task: Task, digest: str) -> Ask:
    """The question of a task that is answered: the one with that digest, or the oldest. Raises Refusal."""
    if not task.asks:
        raise Refusal(f"task {task.name!r} asks for no approval: it is {task.state}")
    ask = next((ask for ask in task.asks if digest in ("", ask.digest)), None)
    if ask is None:
        raise Refusal(f"task {task.name!r} no longer asks that: look at its card again")
    return ask


def is_harmless(spec: Spec) -> bool:
    """Whether a turn that a result has entered may start it: an explorer can change nothing."""
    return spec.worker == "agent" and spec.role == "explorer"


def _proposal(uid: str, action: str, detail: str, order: e.Event | None = None) -> Ask:
    digest = _digest(uid, action, detail)
    return Ask(digest, action, detail, digest, e.encode(order).decode() if order is not None else "", proposal=True)


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode("utf-8", "replace"), digest_size=16).hexdigest()


def _said(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SAID else f"{line[:SAID]}…"
