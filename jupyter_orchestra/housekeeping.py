"""Keeps what the orchestra stores small: the event log, snapshots nobody needs, a journal beyond its limit."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Collection, Iterable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from .core import events as e
from .core.machine import Machine
from .core.model import Capture, Stage, Task
from .runtime import Runtime
from .workers import capture

if TYPE_CHECKING:
    from .journal.journal import Journal

log = logging.getLogger("jupyter_orchestra")

EVERY = 60.0  # seconds between two looks
BACKLOG = 8 << 20  # bytes of events after which the state is written down, so that a start replays little
KEEP = 0.8  # of the limit: what is left after the oldest results were let go


class Housekeeper:
    """Tidies one journal.

    Parameters
    ----------
    limit
        Bytes that the journal may take.
    """

    def __init__(self, runtime: Runtime, journal: Journal, limit: int) -> None:
        self._runtime, self._journal, self._limit = runtime, journal, limit
        self._measuring = False

    @property
    def captures(self) -> Path:
        """Where snapshots keep big buffers for which shared memory has no room."""
        return self._journal.folder / "captures"

    def look(self) -> None:
        """On the runtime's loop: write the state down when the log has grown, and measure the folder elsewhere."""
        if self._journal.backlog > BACKLOG:
            self._checkpoint()
        if not self._measuring:
            self._measuring = True
            threading.Thread(target=self._measure, name="jo-housekeeping", daemon=True).start()

    def clean(self) -> int:
        """Give back what is stored and no longer named; the bytes freed. Not on the runtime's loop."""
        return self._runtime.on_loop(self._sweep).result(10).result(60)

    def release(self, unneeded: Capture) -> None:
        """A snapshot is not needed any more."""
        capture.drop(unneeded)

    def sweep_captures(self) -> None:
        """Remove buffers that a crash left behind before their task was known."""
        named = {task.capture.buffers for task in self._runtime.machine.tasks.values() if task.capture is not None}
        for folder in (self.captures, capture.shared_memory(self.captures)):
            for file in folder.glob("*") if folder.is_dir() else ():
                if str(file) not in named:
                    with suppress(OSError):
                        file.unlink()

    def sweep_runs(self) -> None:
        """On the loop: remove the folders of attempts that earlier kernels left, but for those that go on."""
        kept = {Path(process.spool).parent for process in self._runtime.machine.survivors()}
        self._runtime.loop.run_in_executor(None, self._remove_runs, kept)

    def _remove_runs(self, kept: Collection[Path]) -> None:
        for epoch in self._journal.runs.parent.glob("*"):
            if epoch == self._journal.runs or not epoch.is_dir():
                continue
            for folder in epoch.iterdir():
                if folder not in kept:
                    shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):
                epoch.rmdir()

    def close(self, gone: bool) -> None:
        """The kernel ends; `gone`: so does the journal."""
        if gone:
            forget_buffers(self._journal.folder)
            return
        with suppress(OSError):
            capture.shared_memory(self.captures).rmdir()  # if it is empty
        if self._journal.backlog > BACKLOG // 8:
            self._checkpoint()

    def _checkpoint(self) -> None:
        self._journal.checkpoint(msgspec.json.encode(self._runtime.machine.state))

    def _sweep(self) -> Future[int]:
        self._checkpoint()
        named = (blob.digest for task in self._runtime.machine.tasks.values() for blob in task.blobs())
        return self._journal.clean({digest for digest in named if digest})

    def _measure(self) -> None:
        try:
            with suppress(OSError):
                self._journal.refresh()
            size = self._journal.size()
            if size > self._limit:
                self._let_go(size - int(self._limit * KEEP))
        except Exception:
            log.exception("tidying the journal failed")
        finally:
            self._measuring = False

    def _let_go(self, wanted: int) -> None:
        runtime = self._runtime
        uids = runtime.on_loop(lambda: oldest(runtime.machine, wanted)).result(10)
        if uids:
            runtime.ask(e.ForgetAsked(runtime.now(), runtime.new_request(), targets=tuple(uids))).result(10)
        self.clean()


def forget_buffers(folder: Path) -> None:
    """Remove what the snapshots of the journal at `folder` keep in shared memory."""
    shutil.rmtree(capture.shared_memory(folder / "captures"), ignore_errors=True)


def oldest(machine: Machine, wanted: int) -> list[str]:
    """The uids of the tasks that ended first and have been shown, whose results take at least `wanted` bytes."""
    awaited = {uid for task in machine.tasks.values() if not task.ended for _, uid in task.after}
    awaited |= {task.uid for task in machine.tasks.values() if machine.conversation.awaits(task.uid)}
    candidates = [task for task in machine.tasks.values() if _may_go(task) and task.uid not in awaited]
    chosen: list[str] = []
    for task in sorted(candidates, key=lambda task: task.ended_at or 0.0):
        if wanted <= 0:
            break
        chosen.append(task.uid)
        wanted -= sum(_sizes(task))
    return chosen


def _may_go(task: Task) -> bool:
    return task.ended and not task.needs_you and task.stage is not Stage.QUEUED


def _sizes(task: Task) -> Iterable[int]:
    return (blob.size for blob in task.blobs())
