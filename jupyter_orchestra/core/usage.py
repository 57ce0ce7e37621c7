"""What a task uses of the machine and of models, as the person sees it; it measures nothing."""

from __future__ import annotations

import msgspec

from .model import Usage
from .sizes import spell_size
from .views import TaskView


class Measured(msgspec.Struct, frozen=True):
    """What the processes of one attempt use: seconds of CPU so far, bytes of memory, how many live."""

    cpu: float = 0.0
    memory: int = 0
    peak: int = 0
    processes: int = 0


class TaskUsage(msgspec.Struct, frozen=True):
    """What the present attempt of a task uses; once it has ended, what was measured last.

    Attributes
    ----------
    seconds : float
        How long it has run by the clock, without the time for which it was paused.
    cpu_seconds : float or None
        Seconds of CPU of all its processes, also of those that have ended; of a task that was taken over from an
        earlier kernel since its process began. None where its processes are not measured: for tasks in the notebook's
        own process, outside Linux, and of an attempt that ended before this kernel began.
    memory : int or None
        Bytes of resident memory of all its processes; of an ended task at the last look. None as above.
    peak_memory : int or None
        The most of that in bytes that was seen. It is looked at every 5 s and whenever it is asked for. None as above.
    processes : int or None
        How many it has; of an ended task none. None as above.
    tokens_in, tokens_out : int
        Tokens that were sent to models and came from them; known once it has ended.
    cost : float or None
        What those cost in US dollars; None where that is not known.
    """

    seconds: float
    cpu_seconds: float | None = None
    memory: int | None = None
    peak_memory: int | None = None
    processes: int | None = None
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float | None = None

    @property
    def line(self) -> str:
        """What its processes use, in one line; empty where they are not measured."""
        if self.cpu_seconds is None or self.memory is None or self.peak_memory is None:
            return ""
        used = f"{self.cpu_seconds:.1f} s of CPU"
        if not self.processes:
            return f"it used {used}" + (f" and at most {spell_size(self.peak_memory)}" if self.peak_memory else "")
        many = f"{self.processes} process{'es' if self.processes > 1 else ''}"
        return f"it uses {spell_size(self.memory)} (at most {spell_size(self.peak_memory)}) in {many}, {used} so far"


def usage_of(view: TaskView, measured: Measured | None, now: float) -> TaskUsage | None:
    """What a task uses, or has used; None before it starts."""
    result = view.result
    if view.started_at is None and result is None:
        return None
    spent = result.usage if result is not None else Usage()
    found = TaskUsage(
        spent.seconds or view.seconds(now), tokens_in=spent.tokens_in, tokens_out=spent.tokens_out, cost=spent.cost
    )
    if measured is None:
        return found
    return msgspec.structs.replace(
        found,
        cpu_seconds=round(measured.cpu, 3),
        memory=measured.memory,
        peak_memory=measured.peak,
        processes=0 if view.ended else measured.processes,
    )
