"""What the panel of one task is told: its whole picture, then its output as it comes; it sends nothing."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any, Protocol

from ..core import wire
from ..core.views import TaskView
from ..errors import OrchestraError
from .pictures import detail_of

log = logging.getLogger("jupyter_orchestra")
OUTPUTS = 200  # outputs of one message
MORE = 64 << 10  # characters of a terminal in one message, once the page has what went before
Outputs = list[dict[str, Any]]
Live = Callable[[str, int], tuple[int, Outputs]]


class Source(Protocol):
    """Where panels get what they show."""

    def view(self, uid: str) -> TaskView | None:
        """The newest announced view."""

    def explain(self, uid: str) -> str:
        """Why the task is where it is, in one line."""

    def live(self, uid: str, attempt: int) -> tuple[int, Outputs]:
        """The outputs of a running attempt that are still kept, and the index of the first of them."""

    def has_terminal(self, uid: str, attempt: int) -> bool:
        """Whether an attempt runs in a terminal, or did and what that showed is still kept."""

    def terminal(self, uid: str, attempt: int, start: int, most: int) -> tuple[int, str]:
        """What a terminal has shown from character `start` on, as far as it is kept, and where that begins."""

    def load(self, view: TaskView, done: Callable[[Outputs], None]) -> None:
        """Read the outputs of an ended task, off the loop; `done` gets them on the loop, cleaned unless trusted."""

    def clean(self, outputs: Outputs, done: Callable[[Outputs], None]) -> None:
        """Make live outputs that are not trusted harmless, off the loop; `done` gets them on the loop."""


class Watch:
    """One task as one page watches it."""

    def __init__(self, uid: str, source: Source) -> None:
        self._uid, self._source = uid, source
        self._told: tuple[object, ...] = ()  # what the last Detail said
        self._attempt, self._sent = 0, 0  # outputs told of this attempt
        self._loading: tuple[object, ...] = ()
        self._loaded: Outputs | None = None
        self._cleaning = False
        self._cleaned: wire.Output | None = None
        self._shown: tuple[int, int | None] = 0, None  # attempt, and how much of its terminal the page has

    def next(self) -> wire.ToPage | None:
        """A Detail whenever the state has changed, else the output that came since."""
        view = self._source.view(self._uid)
        if view is None:
            return None
        terminal = self._source.has_terminal(view.uid, view.attempt)
        why = (view.stopping, view.needs_you, view.lacks)
        marks = (view.attempt, view.state, *why, view.name, view.result is None, terminal)
        if marks != self._told:
            return self._detail(view, marks)
        if terminal:
            return self._terminal(view)
        return None if view.ended else self._output(view)

    def _detail(self, view: TaskView, marks: tuple[object, ...]) -> wire.Detail | None:
        if not view.ended:
            first, outputs = self._source.live(view.uid, view.attempt)
            outputs = outputs if view.trusted else []  # cleaning takes time: they come after it
            self._cleaning, self._cleaned = False, None
        elif self._loaded is None or self._loading != marks:
            if self._loading != marks:
                self._loading, self._loaded = marks, None
                self._source.load(view, lambda found: self._take(marks, found))
            return None
        else:
            first = 0 if _has_outputs(view) else self._source.live(view.uid, view.attempt)[0]
            outputs = self._loaded
        self._told, self._loaded, self._loading = marks, None, ()
        self._attempt, self._sent = view.attempt, first + len(outputs)
        terminal = self._source.has_terminal(view.uid, view.attempt)
        return detail_of(view, self._source.explain(view.uid), first, outputs, terminal)

    def _take(self, marks: tuple[object, ...], outputs: Outputs) -> None:
        if self._loading == marks:
            self._loaded = outputs

    def _output(self, view: TaskView) -> wire.Output | None:
        if self._cleaning:
            return None
        if (ready := self._cleaned) is not None:
            self._cleaned = None
            self._sent = ready.index + len(ready.outputs)
            return ready
        first, kept = self._source.live(view.uid, view.attempt)
        index = max(self._sent, first)
        new = kept[index - first : index - first + OUTPUTS]
        if not new:
            return None
        if not view.trusted:
            self._clean(view, index, new)
            return None
        self._sent = index + len(new)
        return wire.Output(uid=view.uid, attempt=view.attempt, index=index, outputs=tuple(new))

    def _terminal(self, view: TaskView) -> wire.Terminal | None:
        """What it has shown so far, then what is new; of a program that puts out more than can be sent, the newest."""
        attempt, shown = self._shown
        if attempt != view.attempt:
            shown = None
        most = MORE if shown is not None else sys.maxsize
        start, text = self._source.terminal(view.uid, view.attempt, shown or 0, most)
        end = start + len(text)
        if not text and shown is not None:
            return None
        self._shown = view.attempt, end
        return wire.Terminal(uid=view.uid, attempt=view.attempt, start=start, end=end, text=text)

    def _clean(self, view: TaskView, index: int, outputs: Outputs) -> None:
        told, self._cleaning = self._told, True

        def take(cleaned: Outputs) -> None:
            if told is self._told:  # no Detail has come in between
                self._cleaning = False
                self._cleaned = wire.Output(
                    uid=view.uid, attempt=view.attempt, index=index, outputs=tuple(cleaned)
                )  # fmt: skip

        self._source.clean(outputs, take)


def _has_outputs(view: TaskView) -> bool:
    """Whether what it put out is in its result."""
    return view.result is not None and view.result.outputs is not None


def read_ended(read: Callable[[TaskView], Outputs], live: Live, view: TaskView) -> Outputs:
    """The outputs of an ended task as its panel may show them; of one that was cut off, what came until then."""
    if not _has_outputs(view):
        outputs = live(view.uid, view.attempt)[1]
        return outputs if view.trusted else clean_live(outputs)
    outputs = outputs_or_why(read, view)
    if view.trusted:
        return outputs
    from ..clean.outputs import kept_output  # slow to import

    return [cleaned for output in outputs if (cleaned := kept_output(output, False)) is not None]


def clean_live(outputs: Outputs) -> Outputs:
    """As many outputs as there were, which are counted, harmless."""
    from ..clean.outputs import live_output

    return [live_output(output) for output in outputs]


def outputs_or_why(read: Callable[[TaskView], Outputs], view: TaskView) -> Outputs:
    """The outputs of a task, or an output that says why there are none."""
    try:
        return read(view)
    except OrchestraError as error:
        return [{"output_type": "stream", "name": "stderr", "text": f"{error}\n"}]
    except Exception as error:
        log.exception("the outputs of %s could not be read", view.name)
        return [{"output_type": "stream", "name": "stderr", "text": f"its outputs can't be read: {error!r}\n"}]
