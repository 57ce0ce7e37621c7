"""Where the person is: the running cell, its namespace, and when its variables may be copied."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from IPython.core.interactiveshell import InteractiveShell

from ..client.request import Request
from ..core.model import Anchor, Capture
from .conversation import on_subshell

SNAPSHOT_CODE = "__import__('jupyter_orchestra.app').app.take_snapshot({uid!r})"


class Snapshots(Protocol):
    """Copies the notebook's variables."""

    def wanted(self, brief: str, namespace: dict[str, Any], later: bool) -> bool:
        """Whether the body uses variables of the notebook; `later`: that the notebook may yet get."""

    def local(self, request: Request, namespace: dict[str, Any]) -> str:
        """A name that the body reads and that means something else where it is dispatched."""

    def take(self, request: Request, namespace: dict[str, Any]) -> Capture | None:
        """Copy them. Raises UsageError naming what can't be copied."""

    def drop(self, capture: Capture) -> None:
        """Remove what a snapshot keeps outside the journal."""


class CellContext:
    """The cell that runs now, as the client needs to know it.

    Parameters
    ----------
    shell
        The notebook's IPython shell.
    notebook
        The notebook's path, empty when unknown.
    snapshots
        What copies variables.
    """

    def __init__(self, shell: InteractiveShell, notebook: str, snapshots: Snapshots) -> None:
        self._shell, self._notebook, self._snapshots = shell, notebook, snapshots
        self._later: dict[str, Request] = {}
        self.present: Callable[[str], str] = lambda session: ""  # a page's word for its notebook's path

    def files(self) -> Iterator[Path]:
        """Where the notebook's file may be, the likeliest first: it may have been renamed since the kernel started.

        The page says where it is now, below a folder that only the server knows.
        """
        if not self._notebook:
            return
        start = Path(self._notebook)
        present = Path(self.present(self.header().get("session", "")).lstrip("/"))
        if present.name and ".." not in present.parts:
            yield from (folder / present for folder in start.parents)
        yield start

    def parent(self) -> dict[str, Any]:
        """The execute request of the running cell, empty outside a kernel."""
        get_parent = getattr(self._shell, "get_parent", None)
        return dict(get_parent() or {}) if get_parent is not None else {}

    def header(self) -> dict[str, str]:
        """What late outputs need of that request."""
        header = self.parent().get("header", {})
        return {key: str(value) for key, value in header.items() if key != "date"}

    def anchor(self, uid: str, request: Request) -> Anchor | None:
        """The running cell, bound now and for good."""
        cell = str(self.parent().get("metadata", {}).get("cellId", ""))
        return Anchor(self._notebook, cell, f"jo-card-{uid}" if request.card else "", self.header())

    def message_anchor(self, uid: str) -> Anchor:
        """The running cell, and the display that the master's reply fills."""
        cell = str(self.parent().get("metadata", {}).get("cellId", ""))
        return Anchor(self._notebook, cell, f"jo-reply-{uid}", self.header())

    def cohort(self) -> str:
        """The id of the execute request."""
        return self.header().get("msg_id", "")

    def captures(self, request: Request) -> bool:
        """Whether the body needs variables of the notebook."""
        if request.share is not None:
            return bool(request.share)
        later = self.must_wait() and not request.share_now
        namespace = {**self._shell.user_ns, **request.local} if request.local else self._shell.user_ns
        return self._snapshots.wanted(request.brief, namespace, later)

    def local(self, request: Request) -> str:
        """A name that the body reads and that is bound in the dispatching function alone."""
        return self._snapshots.local(request, self._shell.user_ns) if request.local else ""

    def snapshot(self, request: Request) -> Capture | None:
        """Copy them now."""
        return self._snapshots.take(request, self._shell.user_ns)

    def must_wait(self) -> bool:
        """On a subshell, cells sent before this one may still run on the main shell.

        A thread that a cell began does not wait: what it sees is there, and its cell may be waiting for it.
        """
        return on_subshell()

    def snapshot_later(self, uid: str, request: Request) -> None:
        """Queue behind the cells sent so far: the kernel asks itself, through its own shell channel."""
        self._later[uid] = request
        courier = threading.Thread(target=_ask_main_shell, args=(uid,), name=f"jo-snapshot-{uid}", daemon=True)
        courier.start()

    def waiting(self) -> list[str]:
        """The tasks whose snapshot waits for the cell that runs here on the main shell; nothing anywhere else."""
        here = threading.current_thread() is threading.main_thread() and not self.must_wait()
        return list(self._later) if here else []

    def take_later(self, uid: str) -> Request | None:
        """The request whose snapshot is due, once."""
        return self._later.pop(uid, None)

    def drop(self, capture: Capture) -> None:
        """A snapshot is not needed after all."""
        self._snapshots.drop(capture)

    def pump(self, done: Callable[[], bool], timeout: float) -> bool:
        """Run the kernel's own loop from inside a cell, so that loop tasks get on meanwhile."""
        if threading.current_thread() is not threading.main_thread():
            return False
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return False
        import nest_asyncio2  # type: ignore[import-untyped]

        nest_asyncio2.apply(loop)
        loop.run_until_complete(_spin(done, loop.time() + timeout))
        return True


class PageContext(CellContext):
    """What a person writes in the page of a session: in no cell, on any thread, while any cell may run."""

    def __init__(self, cells: CellContext, session: str) -> None:
        super().__init__(cells._shell, cells._notebook, cells._snapshots)
        self._later, self._session = cells._later, session
        self._cohort = uuid.uuid4().hex

    def parent(self) -> dict[str, Any]:
        """No request: the last cell's is not its own."""
        return {}

    def anchor(self, uid: str, request: Request) -> Anchor:
        """The notebook and the page."""
        return self.message_anchor(uid)

    def message_anchor(self, uid: str) -> Anchor:
        """The same: no cell waits for a reply."""
        return Anchor(self._notebook, "", "", {"session": self._session})

    def cohort(self) -> str:
        """An id of its own."""
        return self._cohort

    def must_wait(self) -> bool:
        """Cells sent before may still run."""
        return True

    def pump(self, done: Callable[[], bool], timeout: float) -> bool:
        """It waits for nothing."""
        return False


async def _spin(done: Callable[[], bool], end: float) -> None:
    """Let the loop run; short sleeps, since an interrupt is only seen when the loop wakes."""
    loop = asyncio.get_running_loop()
    while not done() and loop.time() < end:  # noqa: ASYNC110 - what `done` asks changes on another thread
        await asyncio.sleep(0.01)


def _ask_main_shell(uid: str) -> None:
    """Send the kernel a silent execute request, which the main shell handles after all that were sent before it."""
    from ipykernel.kernelapp import IPKernelApp
    from jupyter_client.blocking.client import BlockingKernelClient

    client = BlockingKernelClient()
    client.load_connection_file(IPKernelApp.instance().abs_connection_file)
    channel = client.shell_channel
    channel.start()
    try:
        while True:
            sent = client.execute(
                SNAPSHOT_CODE.format(uid=uid), silent=True, store_history=False, allow_stdin=False, stop_on_error=False
            )
            reply = channel.get_msg()
            while reply["parent_header"].get("msg_id") != sent:
                reply = channel.get_msg()
            if reply["content"]["status"] != "aborted":  # an error in a cell before it aborts what is queued: again
                return
    finally:
        client.stop_channels()
