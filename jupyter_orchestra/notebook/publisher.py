"""Sends display messages of the kernel, from any thread and for any cell; it knows no task."""

from __future__ import annotations

import sys
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

Bundle = dict[str, Any]
ACTIVITY = "jo-activity"  # a display that no front end has


class Publisher:
    """Displays in the cell that runs now, and updates displays of earlier cells."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._kernel: Any = getattr(shell, "kernel", None)

    def display(self, data: Bundle, metadata: Bundle | None = None, display_id: str = "") -> None:
        """Show a bundle in the cell of this thread's context."""
        transient = {"display_id": display_id} if display_id else {}
        self._shell.display_pub.publish(data=data, metadata=metadata or {}, transient=transient)

    def display_first(self, data: Bundle, display_id: str) -> None:
        """Show a bundle in a cell that has put out nothing yet, so that no stream need be flushed before it."""
        publisher: Any = self._shell.display_pub
        if type(publisher).__name__ != "ZMQDisplayPublisher" or publisher._hooks:  # captured, or no kernel
            self.display(data, display_id=display_id)
            return
        content = {"data": data, "metadata": {}, "transient": {"display_id": display_id}}
        parent = publisher.parent_header
        self._kernel.session.send(
            self._kernel.iopub_socket, "display_data", content, parent=parent, ident=publisher.topic
        )

    def update_here(self, data: Bundle, display_id: str) -> None:
        """Update a display with a message of the running cell: the only way that headless runners take."""
        self._shell.display_pub.publish(data=data, metadata={}, transient={"display_id": display_id}, update=True)

    def update_late(self, data: Bundle, display_id: str, parent: dict[str, str]) -> None:
        """Update a display of a cell that has ended, from any thread. Nothing outside a kernel."""
        if self._kernel is None:
            return
        content = {"data": data, "metadata": {}, "transient": {"display_id": display_id}}
        self._kernel.session.send(
            self._kernel.iopub_socket, "update_display_data", content, parent=parent, ident=b"update_display_data"
        )

    def pulse(self) -> None:
        """Make the kernel count as active, though no cell runs: what culls idle kernels goes by messages of cells."""
        self.update_late({}, ACTIVITY, {"msg_id": ACTIVITY, "msg_type": "execute_request"})

    @staticmethod
    def stream(text: str, name: str = "stdout") -> None:
        """Write to a stream of the cell that runs now."""
        stream = sys.stderr if name == "stderr" else sys.stdout
        stream.write(text)
        stream.flush()
