"""What a kernel task comes to, by its spool and the end of its kernel; knows no kernel and no pool."""

from __future__ import annotations

import os
from typing import Any, Final

import msgspec

from ..core.model import Blob, Failure, Result, Usage
from ..core.ports import Blocked, Failed, Finished, Job, Lost, Outcome, Running
from ..errors import NO_ROOM
from ..processes.launcher import describe
from ..processes.spool import Frame
from ..processes.threads import in_thread
from .kernel_spool import Found
from .outputs import Collector, moved
from .starting import DISOWNED, not_started, over_limit

QUICK: Final = 4 << 10  # bytes that are put in the journal without the detour of a thread


class Ending:
    """How one task ends; its follower feeds ``collector`` and ``found``."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._spool = job.folder / "spool"
        self.collector = Collector(job.name, self._spool)
        self.found = Found()

    def trouble(
        self, reply: dict[str, Any] | None, code: int | None, running: Running
    ) -> Failure | Blocked | Lost | None:
        """What went wrong, by the spool, else by the kernel's reply, else by how its process ended."""
        end = self.found.end
        if end.get("status") == "ok":
            return None
        if end:
            return Failure(end["failure"], end["ename"], end["evalue"])
        if reply is None and running.lost:
            return Lost(DISOWNED)
        if reply is None and running.killed_for:
            return over_limit(running)
        if reply is None:
            code = code or 0
            how = f"was {describe(code)}" if code < 0 else f"ended with {describe(code)}"
            return Failure("killed" if code < 0 else "exit", "KernelEnded", f"its kernel {how}")
        if reply["status"] == "blocked":
            outcome = not_started(OSError(reply["errno"], reply["reason"], os.fspath(self._spool)))
            return outcome if isinstance(outcome, Blocked) else outcome.failure
        return Failure("exception", "KernelError", f"its kernel could not report: {reply.get('reason', reply)}")

    async def conclude(self, failure: Failure | None, seconds: float) -> Outcome:
        """The outcome."""
        if self.found.size > QUICK or self.found.files:
            return await in_thread(None, self._outcome, failure, seconds)
        return self._outcome(failure, seconds)

    def _outcome(self, failure: Failure | None, seconds: float) -> Outcome:
        found, usage = self.found, Usage(seconds=round(seconds, 6))
        try:
            result = self.collector.finish(self._job.store)
            result = msgspec.structs.replace(result, usage=usage, notes=result.notes + found.notes)
            if failure is not None:
                return Failed(failure, result)
            value = self._blob(found.value) if found.value else None
            returned = {name: self._blob(frame) for name, frame in found.returned.items()}
        except OSError as error:
            why = NO_ROOM.get(error.errno or 0, str(error))
            message = f"its result could not be kept ({why}); then retry the task"
            return Failed(failure or Failure("exception", type(error).__name__, message), Result(usage=usage))
        return Finished(msgspec.structs.replace(result, value=value, returned=returned, text=found.text))

    def _blob(self, frame: Frame) -> Blob:
        file = os.path.basename(frame.fields.get("file", ""))  # whatever a frame says, nothing outside is moved
        return moved(self._job.store, self._job.folder / file) if file else self._job.store.put(frame.payload)
