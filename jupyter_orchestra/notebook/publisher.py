"""Sends display messages of the kernel, from any thread and for any cell; it knows no task.

On the main shell a display is an ordinary one, which ``%%capture`` takes. On a subshell it goes straight to the cell
that runs there: `sys.stdout` and the display publisher are the process's, and the cell on the main shell may have
put its own in their place.
"""

from __future__ import annotations

import sys
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

from .conversation import on_subshell

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
        if self._aside():
            self._send("display_data", {"data": data, "metadata": metadata or {}, "transient": transient})
            return
        self._shell.display_pub.publish(data=data, metadata=metadata or {}, transient=transient)

    def display_first(self, data: Bundle, display_id: str, metadata: Bundle | None = None) -> None:
        """Show a bundle in a cell that has put out nothing yet, so that no stream need be flushed before it."""
        publisher: Any = self._shell.display_pub
        if self._aside() or type(publisher).__name__ != "ZMQDisplayPublisher" or publisher._hooks:
            self.display(data, metadata, display_id)
            return
        content = {"data": data, "metadata": metadata or {}, "transient": {"display_id": display_id}}
        parent = publisher.parent_header
        self._kernel.session.send(
            self._kernel.iopub_socket, "display_data", content, parent=parent, ident=publisher.topic
        )

    def update_here(self, data: Bundle, display_id: str) -> None:
        """Update a display with a message of the running cell: the only way that headless runners take."""
        transient = {"display_id": display_id}
        if self._aside():
            self._send("update_display_data", {"data": data, "metadata": {}, "transient": transient})
            return
        self._shell.display_pub.publish(data=data, metadata={}, transient=transient, update=True)

    def update_late(
        self, data: Bundle, display_id: str, parent: dict[str, str], metadata: Bundle | None = None
    ) -> None:
        """Update a display of a cell that has ended, from any thread. Nothing outside a kernel."""
        if self._kernel is None:
            return
        content = {"data": data, "metadata": metadata or {}, "transient": {"display_id": display_id}}
        self._kernel.session.send(
            self._kernel.iopub_socket, "update_display_data", content, parent=parent, ident=b"update_display_data"
        )

    def pulse(self) -> None:
        """Make the kernel count as active, though no cell runs: what culls idle kernels goes by messages of cells."""
        self.update_late({}, ACTIVITY, {"msg_id": ACTIVITY, "msg_type": "execute_request"})

    def stream(self, text: str, name: str = "stdout") -> None:
        """Write to a stream of the cell that runs now."""
        if self._aside():
            self._send("stream", {"name": name, "text": text})
            return
        stream = sys.stderr if name == "stderr" else sys.stdout
        stream.write(text)
        stream.flush()

    def _aside(self) -> bool:
        """Whether the cell that runs here runs beside the main shell."""
        return self._kernel is not None and on_subshell()

    def _send(self, kind: str, content: Bundle) -> None:
        """A message of the cell that runs on this thread, past all that may capture it."""
        from ipykernel.jsonutil import encode_images, json_clean

        if "data" in content:
            content = {**content, "data": encode_images(content["data"])}
        header = self._shell.get_parent().get("header", {})  # type: ignore[attr-defined]
        self._kernel.session.send(
            self._kernel.iopub_socket, kind, json_clean(content), parent=header, ident=kind.encode()
        )
