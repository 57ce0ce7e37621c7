"""What a person asks for in the page, as the same facts that the magics post; it sends and decides nothing."""

from __future__ import annotations

import msgspec

from ..core import events as e
from ..core import wire
from ..errors import UsageError

Order = wire.Act | wire.Steer | wire.TurnAct
NEITHER = "which task? name one, or all of them"
ANSWERS = ("approve", "decline")


def event_of(order: Order, at: float, request: str) -> e.Asked:
    """The fact to post. Raises UsageError for what can't be asked."""
    event = _event(order, at, request)
    try:
        e.decode(e.encode(event))
    except (msgspec.ValidationError, TypeError, UnicodeError) as error:
        raise UsageError(f"this can't be written down: {error}") from None
    return event


def _event(order: Order, at: float, request: str) -> e.Asked:
    match order:
        case wire.Steer():
            return _steer(order, at, request)
        case wire.TurnAct(action="stop"):
            return e.StopTurnAsked(at, request)
        case wire.TurnAct():
            return e.RetryTurnAsked(at, request)
        case wire.Act(action=action) if action in ANSWERS:
            return _answer(order, at, request)
        case wire.Act():
            return _act(order, at, request)


def _steer(order: wire.Steer, at: float, request: str) -> e.Asked:
    if not order.text.strip():
        raise UsageError("there is nothing to send: write a message")
    return e.SteerAsked(at, request, target=order.task, text=order.text)


def _answer(order: wire.Act, at: float, request: str) -> e.Asked:
    """The person's answer to the question that they read, and to no other."""
    if order.all or order.ended or len(order.tasks) != 1:
        raise UsageError(f"{order.action} answers the question of one task: name it")
    if not order.digest:
        raise UsageError("which question is that the answer to? reload the page, and read it there")
    (target,) = order.tasks
    if order.action == "approve":
        return e.ApproveAsked(at, request, target=target, digest=order.digest, always=order.always)
    return e.DeclineAsked(at, request, target=target, digest=order.digest, why=order.why)


def _act(order: wire.Act, at: float, request: str) -> e.Asked:
    if order.ended and order.action != "forget":
        raise UsageError("only forget takes every task that has ended")
    if order.all and order.action in ("retry", "forget"):
        raise UsageError(f"{order.action} takes the names of tasks")
    if not (order.tasks or order.all or order.ended):
        raise UsageError(NEITHER)
    match order.action:
        case "cancel":
            return e.CancelAsked(at, request, targets=order.tasks, all=order.all)
        case "pause":
            return e.PauseAsked(at, request, targets=order.tasks, all=order.all)
        case "resume":
            return e.ResumeAsked(at, request, targets=order.tasks, all=order.all)
        case "retry":
            return e.RetryAsked(at, request, targets=order.tasks)
        case _:
            return e.ForgetAsked(at, request, targets=order.tasks, ended=order.ended)


def answer_of(request: str, answer: e.Answer) -> wire.Answer:
    """What the machine said, for the page."""
    if isinstance(answer, e.Refused):
        return wire.Answer(request=request, ok=False, message=answer.reason)
    return wire.Answer(request=request, ok=True, uids=answer.uids, names=answer.names)
