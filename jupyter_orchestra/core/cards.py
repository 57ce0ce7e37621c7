"""How a task looks on the wire, for the page and for programs outside; it sends nothing."""

from __future__ import annotations

from . import wire
from .model import Usage
from .plain import visible
from .views import TaskView


def card_of(view: TaskView) -> wire.Card:
    """A task as the sidebar shows it."""
    usage = view.result.usage if view.result is not None else Usage()
    return wire.Card(
        uid=view.uid,
        name=view.name,
        worker=view.worker,
        role=view.role,
        tier=view.tier,
        model=view.model,
        state=view.state,
        origin=view.origin,
        deliver=view.deliver,
        attempt=view.attempt,
        version=view.version,
        order=view.order,
        dispatched_at=view.dispatched_at,
        queued_at=view.queued_at,
        started_at=view.started_at,
        ended_at=view.ended_at,
        paused_at=view.paused_at,
        held=view.held,
        lacks=view.lacks,
        waits=tuple(wire.Wait(since=since, until=until) for since, until in view.waits),
        after=view.after_uids,
        cell=view.anchor.cell if view.anchor is not None else "",
        result_cell=view.result_cell,
        progress=view.progress,
        line=view.line,
        reason=view.reason,
        needs_you=view.needs_you,
        question=question_of(view),
        stopping=view.stopping,
        unsandboxed=visible(view.unsandboxed),
        stage=view.stage,
        pausable=view.pausable,
        steerable=view.steerable,
        tokens=(usage.tokens_in + usage.tokens_out) or None,
        cost=usage.cost,
    )


def question_of(view: TaskView) -> wire.Question | None:
    """What the person is to answer first, with nothing in it that can't be seen."""
    if (ask := view.ask) is None:
        return None
    return wire.Question(
        action=visible(ask.action),
        detail=visible(ask.detail),
        digest=ask.digest,
        proposal=ask.proposal,
        more=view.asks - 1,
    )
