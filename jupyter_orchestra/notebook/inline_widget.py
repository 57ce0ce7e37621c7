"""The widget of one inline card and the comm that carries it; imported late, since widgets take their time to import.

What a page says on a comm of ipykernel is heard on the shell for whose cell the kernel last spoke there: on one that a
cell keeps busy. This comm speaks past that bookkeeping, always for the cell that its card stands in, and so it is heard
where the page asks for it: on its subshell.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets
from ipykernel.comm.comm import BaseComm
from ipykernel.jsonutil import json_clean
from ipykernel.kernelbase import Kernel
from ipywidgets import __protocol_version__  # type: ignore[import-untyped]

SOURCE = Path(__file__).with_name("inline.js").read_text("utf-8")


class CardComm(BaseComm):
    """A comm of one cell, heard on the subshell that the page names."""

    def __init__(self, parent: dict[str, str], **more: Any) -> None:
        self._parent = parent
        super().__init__(**more)  # type: ignore[no-untyped-call]

    def publish_msg(
        self, msg_type: str, data: Any = None, metadata: Any = None, buffers: Any = None, **keys: Any
    ) -> None:
        """Send a message, from any thread."""
        if not Kernel.initialized():
            return
        self.kernel = kernel = Kernel.instance()  # widgets say nothing on a comm without one
        assert kernel.session is not None
        content = json_clean({"data": data or {}, "comm_id": self.comm_id, **keys})
        kernel.session.send(
            kernel.iopub_socket, msg_type, content, metadata=metadata or {}, parent=self._parent, ident=self.topic,
            buffers=buffers,
        )  # fmt: skip


class CardWidget(anywidget.AnyWidget):
    """One task in a cell's output.

    Parameters
    ----------
    card
        What it shows, as ``inline.js`` reads it.
    heard
        Called with each message of the page, on whatever thread it comes.
    parent
        The header of the dispatching cell's request.
    """

    comm: Any
    _esm = SOURCE
    card = traitlets.Dict().tag(sync=True)
    layout = traitlets.Any(None)  # a model of its own otherwise, for nothing

    def __init__(self, card: dict[str, Any], heard: Callable[[Any], None], parent: dict[str, str]) -> None:
        self._cell = parent
        super().__init__(card=card)
        self.on_msg(lambda widget, content, buffers: heard(content))

    def open(self) -> None:
        """Show the page that the model is there."""
        if self.comm is None:
            self.comm = CardComm(
                self._cell,
                target_name="jupyter.widget",
                data={"state": self.get_state(), "buffer_paths": []},
                metadata={"version": __protocol_version__},
            )

    def bundle(self, line: str) -> dict[str, Any]:
        """What makes a front end show it; `line` is for those that can't."""
        view = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        return {"application/vnd.jupyter.widget-view+json": view, "text/plain": line}
