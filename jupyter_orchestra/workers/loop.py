"""Owns the kind ``loop``: async bodies on the notebook kernel's own loop, in its live namespace; decides nothing.

Two loops meet here. ``run`` waits on the runtime's; the body runs on the kernel's, in another thread. Each side only
ever posts to the other.
"""

from __future__ import annotations

import asyncio
import base64
from collections import deque
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from ..core.model import Blob, Failure, Input, Kind, Result, Usage
from ..core.ports import Failed, Finished, Job, Outcome, Reporter, Store
from ..processes.spool import Frame
from ..processes.threads import in_thread
from . import source
from .leaving import clean
from .loop_body import Body, Ending, Order
from .loop_output import Catching, Sink
from .outputs import Collector
from .words import words

Live = MutableMapping[tuple[str, int], object]
NO_LOOP: Final = "loop tasks need a notebook kernel's event loop: use the kernel worker here"


class LoopWorker:
    """Runs async cell bodies on the notebook kernel's loop.

    Parameters
    ----------
    shell
        Gives the notebook's InteractiveShell; called for each task.
    loop
        Gives the kernel's asyncio loop, None where there is none; called for each task.
    live
        Takes the value of each finished task itself, by (uid, attempt), for those who ask in the same kernel.
    slots
        How many may run at once.
    """

    def __init__(
        self,
        shell: Callable[[], Any],
        loop: Callable[[], asyncio.AbstractEventLoop | None],
        live: Live,
        slots: int = 64,
    ) -> None:
        self.kind = Kind("loop", slots, pausable=False, cooperative=True)
        self._shell = shell
        self._loop = loop
        self._live = live
        self._catching = Catching()

    def check(self, brief: str) -> str:
        """What is wrong with a body, in one line; empty when nothing is."""
        return NO_LOOP if self._loop() is None else source.check(brief)

    async def run(self, job: Job) -> Outcome:
        """Run it to its end. Cancelled: it stops at its next await, and this comes back when it has."""
        return clean(await self._outcome(job))

    async def _outcome(self, job: Job) -> Outcome:
        relay = _Relay(job, asyncio.get_running_loop())
        inputs = await in_thread(None, _references, job.inputs, job.store) if job.inputs else {}
        ending = await self._finish(job, relay, inputs)
        relay.flush()
        if ending.failure is None:
            self._live[job.spec.uid, job.attempt] = ending.value
        try:
            result = await in_thread(None, _result, ending, relay.collector, job.store)
        except OSError as error:
            message = f"it ran, but its result could not be written ({error.strerror}): free some space"
            return Failed(Failure("exception", "OSError", message))
        return Finished(result) if ending.failure is None else Failed(ending.failure, result)

    async def pause(self, job: Job) -> None:
        """Not possible; the machine does not ask."""

    async def resume(self, job: Job) -> None:
        """Not possible; the machine does not ask."""

    async def steer(self, job: Job, text: str) -> None:
        """Not possible; the machine does not ask."""

    async def close(self) -> None:
        """Nothing is kept between tasks."""

    async def _finish(self, job: Job, relay: _Relay, inputs: Mapping[str, Mapping[str, str]]) -> Ending:
        here = asyncio.get_running_loop()
        ended: asyncio.Future[Ending] = here.create_future()

        def end(ending: Ending) -> None:  # on the kernel's thread
            here.call_soon_threadsafe(ended.set_result, ending)

        try:
            shell, loop = self._shell(), self._loop()
            if loop is None:
                return Ending(failure=Failure("start", "NoLoop", NO_LOOP))
            order = Order(job.name, job.spec.brief, job.spec.returns, inputs)
            body = Body(order, Sink(relay.put), relay.progress, end)
            body.begin(loop, shell, self._catching)
        except RuntimeError as error:  # the kernel's loop is closed
            return Ending(failure=Failure("start", "RuntimeError", words(error)))
        return await _wait(ended, body, loop)


async def _wait(ended: asyncio.Future[Ending], body: Body, loop: asyncio.AbstractEventLoop) -> Ending:
    """Wait for the end, whatever happens: a body that was told to stop is over only when it is."""
    cancelled: asyncio.CancelledError | None = None
    while True:
        try:
            ending = await asyncio.shield(ended)
        except asyncio.CancelledError as error:
            cancelled = error
            try:
                if body.cancel(loop):
                    raise
            except RuntimeError:
                raise error from None  # the kernel's loop is closed: nothing runs there any more
            continue
        if cancelled is not None:
            raise cancelled
        return ending


class _Relay:
    """Carries what a body says to the runtime's loop: many words, few wake-ups."""

    def __init__(self, job: Job, loop: asyncio.AbstractEventLoop) -> None:
        self.collector = Collector(job.name, job.folder / "output")
        self._reporter: Reporter = job.reporter
        self._loop = loop
        self._frames: deque[Frame] = deque()
        self._posted = False

    def put(self, frame: Frame) -> None:
        """From any thread."""
        self._frames.append(frame)
        self._post()

    def progress(self, fraction: float, note: str) -> None:
        """From any thread."""
        self.put(Frame("progress", {"fraction": fraction, "line": note}, b""))

    def _post(self) -> None:
        if not self._posted:
            self._posted = True
            with suppress(RuntimeError):  # the runtime has gone; the body need not hear of it
                self._loop.call_soon_threadsafe(self.flush)

    def flush(self) -> None:
        """On the runtime's loop."""
        self._posted = False  # first: what is put from here on is posted again
        before = self.collector.progress
        while self._frames:
            for output in self.collector.feed(self._frames.popleft()):
                self._reporter.output(output)
        if self.collector.progress != before:
            self._reporter.progress(*self.collector.progress)


def _result(ending: Ending, collector: Collector, store: Store) -> Result:
    """What goes into the journal; blocks on the disk."""
    shown = collector.finish(store)
    return Result(
        value=None if ending.pickle is None else store.put(ending.pickle),
        returned={name: store.put(data) for name, data in ending.returned.items()},
        outputs=shown.outputs,
        artifacts=shown.artifacts,
        text=ending.text,
        notes=(*shown.notes, *ending.notes),
        usage=Usage(seconds=round(ending.seconds, 6)),
    )


def _references(inputs: Mapping[str, Input], store: Store) -> dict[str, dict[str, str]]:
    return {name: _reference(found, store) for name, found in inputs.items()}


def _reference(found: Input, store: Store) -> dict[str, str]:
    if found.error or found.value is None:
        return {"error": found.error} if found.error else {}
    link = _bytes(found.value, store)
    return link if found.trusted else link | {"by": "model"}


def _bytes(blob: Blob, store: Store) -> dict[str, str]:
    path: Path | None = store.file(blob)
    if path is not None:
        return {"file": str(path)}
    try:
        return {"data": base64.b64encode(store.get(blob)).decode()}
    except KeyError:
        return {"error": "it is gone"}
