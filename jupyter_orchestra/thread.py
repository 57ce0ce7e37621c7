"""The thread on which a runtime works, and what it starts from; it knows neither workers nor the notebook."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future

from .core import events as e
from .core.machine import Machine, MachineState
from .runtime import Runtime

log = logging.getLogger("jupyter_orchestra")


def replay(events: Iterable[e.Event], state: MachineState | None = None) -> Machine:
    """A machine with the state that these facts lead to; what it wishes on the way is discarded."""
    machine = Machine(state)
    for event in events:
        try:
            machine.handle(event)
        except Exception:
            log.exception("replaying %s failed", type(event).__name__)
    return machine


class RuntimeThread:
    """The thread on which a runtime works, so that nothing waits for the notebook's cells."""

    def __init__(self, make: Callable[[], Runtime]) -> None:
        self._make = make
        self._ready: Future[Runtime] = Future()
        self._thread = threading.Thread(target=self._run, name="jupyter-orchestra", daemon=True)
        self._thread.start()

    def runtime(self, timeout: float | None = None) -> Runtime:
        """The runtime, once it works. Raises what kept it from starting, or TimeoutError."""
        return self._ready.result(timeout)

    @property
    def works(self) -> bool:
        """Whether :meth:`runtime` gives it at once."""
        return self._ready.done() and self._ready.exception() is None

    def stop(self, timeout: float = 4.0) -> None:
        """End the runtime and wait for its thread, at most `timeout` seconds."""
        with contextlib.suppress(Exception):  # it never started, or does not start in time
            self._ready.result(timeout).stop()
        self._thread.join(timeout)

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:
            log.exception("the orchestra has ended")
            if not self._ready.done():
                self._ready.set_exception(error)
            else:
                self._ready.result().board.close(f"the orchestra has ended: {error!r}")

    async def _main(self) -> None:
        runtime = self._make()
        asyncio.get_running_loop().call_soon(self._ready.set_result, runtime)
        await runtime.run()
