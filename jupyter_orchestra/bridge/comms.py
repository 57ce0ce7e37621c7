"""The comms to pages: registers their targets, hands what comes to the runtime's loop, sends; it knows no message.

Handlers run on whatever thread the kernel has for a message: they only hop. What is sent never bears the parent of
the cell that happened to run last, and a comm that has sent nothing by the kernel's own way is never routed away
from the subshell that the page asked for.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from comm import get_comm_manager

from ..core.wire import ANNOUNCE, DOWN, UP

log = logging.getLogger("jupyter_orchestra")
Data = dict[str, Any]


class Line:
    """One comm. ``session`` is that of the page which opened it. Everything is for the runtime's loop."""

    def __init__(self, comm: Any, session: str) -> None:
        self._comm, self.id, self.session = comm, str(comm.comm_id), session

    def send(self, data: Data) -> None:
        """Send a message; nothing once the line is closed."""
        self._comm.send(data)

    def close(self) -> None:
        """Close the comm, here and in the page."""
        with contextlib.suppress(KeyError):  # the manager has let go of it already
            self._comm.close()

    def drop(self) -> None:
        """Forget the comm without a word: the page that opened it is no longer there, and others would wonder."""
        self._comm.publish_msg = _say_nothing
        self.close()


def _say_nothing(*_: object, **__: object) -> None:
    """What a comm without a page says."""


class Listener(Protocol):
    """Hears of comms, on the runtime's loop."""

    def opened_down(self, line: Line, data: object) -> None:
        """A page opened the comm on which the kernel speaks."""

    def opened_up(self, line: Line, data: object) -> None:
        """A page opened the comm on which it speaks, and said something."""

    def heard(self, line: Line, data: object) -> None:
        """A page said something."""

    def closed(self, line: Line) -> None:
        """A page closed a comm."""


class Comms:
    """The comm targets of one kernel.

    Parameters
    ----------
    kernel
        The ipykernel, whose session sends.
    hop
        Calls something on the runtime's loop, from any thread.
    """

    def __init__(self, kernel: Any, hop: Callable[[Callable[[], None]], object]) -> None:
        self._kernel, self._hop = kernel, hop

    def listen(self, listener: Listener) -> None:
        """Register the targets."""
        manager = get_comm_manager()
        manager.register_target(DOWN, partial(self._on_open, listener, listener.opened_down))
        manager.register_target(UP, partial(self._on_open, listener, listener.opened_up))

    def silence(self) -> None:
        """Take the targets away."""
        for target in (DOWN, UP):
            get_comm_manager().targets.pop(target, None)

    def announce(self) -> None:
        """Tell every page that looks at this kernel to attach: a comm that is opened and closed at once."""
        comm_id = f"jo-announce-{self._kernel.session.session}"
        self._publish(comm_id, b"comm-" + comm_id.encode(), "comm_open", target_name=ANNOUNCE, target_module=None)
        self._publish(comm_id, b"comm-" + comm_id.encode(), "comm_close")

    def _on_open(self, listener: Listener, opened: Callable[[Line, object], None], comm: Any, message: Data) -> None:
        # The kernel's own way of sending takes the parent of the last cell, and with it the route of what comes back.
        comm.publish_msg = partial(self._publish, comm.comm_id, comm.topic)
        line = Line(comm, str(message["header"].get("session", "")))
        comm.on_msg(lambda said: self._tell(partial(listener.heard, line, said["content"].get("data"))))
        comm.on_close(lambda said: self._tell(partial(listener.closed, line)))
        self._tell(partial(opened, line, message["content"].get("data")))

    def _tell(self, act: Callable[[], None]) -> None:
        self._hop(partial(_safely, act))

    def _publish(
        self, comm_id: str, topic: bytes, kind: str, data: Data | None = None, metadata: Data | None = None,
        buffers: Any = None, **keys: Any,
    ) -> None:  # fmt: skip
        content = {"data": data or {}, "comm_id": comm_id, **keys}
        self._kernel.session.send(
            self._kernel.iopub_socket, kind, content, metadata=metadata or {}, parent={}, ident=topic, buffers=buffers
        )


def _safely(act: Callable[[], None]) -> None:
    try:
        act()
    except Exception:
        log.exception("a page's message could not be handled")
