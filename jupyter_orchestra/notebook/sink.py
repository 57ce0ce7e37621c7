"""Where results are shown while no page takes them: in the dispatching cell's card, or in the cell that runs next.

Two modes. Live (a Jupyter server runs the kernel): a card is updated where it stands, and fills itself with the
result. Headless (nbclient, papermill, nbval): late messages are dropped there, so results wait for the next cell that
runs, or for ``%gather``. Each result is shown once.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any

from ..client.client import Client
from ..core import events as e
from ..core.model import Stage, State
from ..core.views import TaskView
from ..errors import OrchestraError
from .cards import bundle, card, clipped, result_bundle
from .publisher import Publisher

REFRESH = 0.25  # seconds between two updates of a card
HEAVY = 64 << 10  # bytes of outputs that are not read and laid out on the runtime's loop
LIVE_LIMIT = 500  # outputs kept of a running attempt
Key = tuple[str, int]


class NotebookSink:
    """Shows cards and results in cells."""

    def __init__(self, client: Client, publisher: Publisher, live: bool) -> None:
        self._client, self._publisher, self.live = client, publisher, live
        self._lock = threading.Lock()
        self._arrived: dict[Key, TaskView] = {}
        self._delivered: set[Key] = set()
        self._ended: dict[str, TaskView] = {}  # tasks that ended without a result to show, for their cards
        self._claimed: set[str] = set()
        self._places: dict[str, list[tuple[str, dict[str, str]]]] = {}  # more displays that a task fills
        self._dirty: dict[str, TaskView] = {}
        self._refreshing = False
        self._output: dict[Key, list[dict[str, Any]]] = {}
        self._brought: list[TaskView] = []  # done tasks whose returned variables are not in the namespace yet

    # on the runtime's loop

    def show(self, view: TaskView) -> None:
        """A task changed: its card is updated soon, where that reaches anyone."""
        if view.ended:
            self._output.pop((view.uid, view.attempt), None)
        if not self._displays(view) or (view.ended and view.stage is not None):
            return
        if not self.live:
            if view.ended:
                with self._lock:
                    self._ended[view.uid] = view
            return
        self._dirty[view.uid] = view
        if not self._refreshing:
            self._refreshing = True
            asyncio.get_running_loop().call_later(REFRESH, self._refresh)

    def deliver(self, view: TaskView) -> None:
        """A result has come: it is shown at once where a card can take it, else with the next cell."""
        self._dirty.pop(view.uid, None)
        with self._lock:
            self._delivered.add((view.uid, view.attempt))
            if view.returns and view.state is State.DONE:
                self._brought.append(view)
            if not (self.live and self._displays(view)) or view.uid in self._claimed:
                self._arrived[view.uid, view.attempt] = view
                return
        if view.result is not None and view.result.outputs is not None and view.result.outputs.size > HEAVY:
            asyncio.get_running_loop().run_in_executor(None, self._fill, view)
        else:
            self._fill(view)

    def output(self, uid: str, attempt: int, output: dict[str, object]) -> None:
        """Live output of a running attempt, kept while it runs."""
        kept = self._output.setdefault((uid, attempt), [])
        kept.append(output)
        del kept[:-LIVE_LIMIT]

    def outputs_so_far(self, uid: str, attempt: int) -> list[dict[str, Any]]:
        """What a running attempt has put out."""
        return list(self._output.get((uid, attempt), ()))

    def _refresh(self) -> None:
        self._refreshing = False
        dirty, self._dirty = self._dirty, {}
        now = self._client.runtime.now()
        for view in dirty.values():
            self._update(view, bundle(card(view, now)))

    def _fill(self, view: TaskView) -> None:
        line = card(view, self._client.runtime.now())
        try:
            outputs = self._client.outputs(view)
        except OrchestraError as error:
            line, outputs = f"{line} · {error}", []
        self._update(view, result_bundle(line, outputs))
        self._places.pop(view.uid, None)
        self._was_shown(view)

    def _update(self, view: TaskView, data: dict[str, Any]) -> None:
        for display, parent in self._displays(view):
            self._publisher.update_late(data, display, parent)

    def _displays(self, view: TaskView) -> list[tuple[str, dict[str, str]]]:
        places = list(self._places.get(view.uid, ()))
        if view.anchor is not None and view.anchor.display:
            places.append((view.anchor.display, view.anchor.parent))
        return places

    def _was_shown(self, view: TaskView) -> None:
        runtime = self._client.runtime
        runtime.post(e.ResultShown(runtime.now(), view.uid, view.attempt))

    # in a cell

    @contextlib.contextmanager
    def claim(self, uids: Collection[str]) -> Iterator[None]:
        """The running cell waits for these tasks: their results are shown there."""
        with self._lock:
            mine = set(uids) - self._claimed
            self._claimed |= mine
        try:
            yield
        finally:
            with self._lock:
                self._claimed -= mine
                left = [view for key, view in self._arrived.items() if key[0] in mine]
                left = [view for view in left if self.live and self._displays(view)]
                for view in left:
                    del self._arrived[view.uid, view.attempt]
            for view in left:
                self._fill(view)

    def wait_for_delivery(self, wanted: Callable[[TaskView], bool]) -> None:
        """Wait until what is known to have ended has reached this place, at most 1 s: it comes after the commit."""
        end = time.monotonic() + 1.0
        self._client.settled()
        while self._is_owed(wanted) and not self._client.board.blocked and time.monotonic() < end:
            time.sleep(0.005)

    def _is_owed(self, wanted: Callable[[TaskView], bool]) -> bool:
        views = (view for view in self._client.board.all() if view.stage is Stage.QUEUED and wanted(view))
        return any((view.uid, view.attempt) not in self._delivered for view in views)

    def fills(self, uid: str, display: str, parent: dict[str, str]) -> None:
        """Let one more display show the task and, once it has ended, its result."""
        self._places.setdefault(uid, []).append((display, parent))

    def flush(self, wanted: Callable[[TaskView], bool] = lambda view: True) -> list[str]:
        """Show what has arrived, in order of arrival, in the running cell; the uids of what was shown."""
        shown: list[str] = []
        while (view := self._next(wanted)) is not None:
            try:
                self._show_here(view)
            except OrchestraError as error:  # its bytes are gone: said once, in its place
                self._publisher.stream(f"{error}\n", "stderr")
            except BaseException:  # interrupted: it comes with the next cell
                with self._lock:
                    self._arrived = {(view.uid, view.attempt): view, **self._arrived}
                raise
            self._was_shown(view)
            shown.append(view.uid)
        with self._lock:
            ended, self._ended = self._ended, {}
        for newest in map(self._client.board.get, ended.keys() - set(shown)):
            if newest is not None:
                self._update_here(newest)
        return shown

    def _next(self, wanted: Callable[[TaskView], bool]) -> TaskView | None:
        with self._lock:
            view = next(filter(wanted, self._arrived.values()), None)
            if view is not None:
                del self._arrived[view.uid, view.attempt]
            return view

    def _show_here(self, view: TaskView) -> None:
        self.render(view)
        self._update_here(view)

    def take_brought(self, uids: Collection[str] | None) -> list[TaskView]:
        """Done tasks whose returned variables are not in the notebook yet, once each: of `uids`, or all."""
        with self._lock:
            found = [view for view in self._brought if uids is None or view.uid in uids]
            self._brought = [view for view in self._brought if view not in found]
        return found

    def taken(self, uid: str) -> None:
        """The person took the value of a task without a card in hand: it need not be shown any more."""
        with self._lock:
            keys = [key for key, view in self._arrived.items() if key[0] == uid and not self._displays(view)]
            views = [self._arrived.pop(key) for key in keys]
        for view in views:
            self._was_shown(view)

    def render(self, view: TaskView) -> None:
        """Put a task's outputs into the running cell, as they came, below one line that names it."""
        line = card(view, self._client.runtime.now())
        self._publisher.stream(line + "\n")
        for note in view.result.notes if view.result is not None else ():
            self._publisher.stream(f"  {note}\n")
        for output in self._client.outputs(view):
            self._put(output)

    def _update_here(self, view: TaskView) -> None:
        """The task's cards get its line, by messages of the running cell."""
        line = card(view, self._client.runtime.now())
        for display, _ in self._displays(view):
            self._publisher.update_here(bundle(line), display)

    def _put(self, output: dict[str, Any]) -> None:
        match output["output_type"]:
            case "stream":
                self._publisher.stream(clipped(output["text"]), output["name"])
            case "error":
                # Not as an error output: a failed task must not make a runner think that this cell failed.
                self._publisher.stream("\n".join(output["traceback"]) + "\n", "stderr")
            case _:
                self._publisher.display(output["data"], output["metadata"])
