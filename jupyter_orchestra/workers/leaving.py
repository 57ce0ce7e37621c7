"""Owns the last look at what leaves a worker: texts that the journal can't encode never do; knows no kind of work."""

from __future__ import annotations

import msgspec

from ..core.model import Failure, Result
from ..core.ports import Blocked, Failed, Finished, Lost, Outcome
from .terminal import scrubbed


def clean(outcome: Outcome) -> Outcome:
    """The outcome with every text of it scrubbed."""
    match outcome:
        case Finished():
            return Finished(_result(outcome.result))
        case Failed():
            return Failed(_failure(outcome.failure), _result(outcome.result))
        case Blocked():
            return Blocked(scrubbed(outcome.reason))
        case Lost():
            return Lost(scrubbed(outcome.reason))


def _failure(failure: Failure) -> Failure:
    return Failure(failure.kind, scrubbed(failure.name), scrubbed(failure.message))


def _result(result: Result) -> Result:
    artifacts = tuple(msgspec.structs.replace(found, name=scrubbed(found.name)) for found in result.artifacts)
    notes = tuple(scrubbed(note) for note in result.notes)
    return msgspec.structs.replace(result, text=scrubbed(result.text), notes=notes, artifacts=artifacts)
