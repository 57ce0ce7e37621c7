"""Where results are shown: offered to a page, else in the dispatching cell's card, or in the cell that runs next.

Headless (nbclient, papermill, nbval): late messages are dropped there, so results wait for the next cell that runs,
or for ``%gather``. Live (a front end is there): a result is offered to the page, which makes a cell of it; where no
page has ever come, the card fills itself with it. Each result is shown once.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import CancelledError
from functools import partial
from typing import Any, Protocol

from ..client.client import Client
from ..core import events as e
from ..core.lines import card, clipped
from ..core.model import Stage, State
from ..core.talk import TurnView
from ..core.views import TaskView
from ..errors import OrchestraError
from .cards import bundle, page_bundle, result_bundle
from .inline import InlineCards
from .live_output import LiveOutput
from .publisher import Publisher
from .replies import Pages as ReplyPages
from .replies import Replies

REFRESH = 0.25  # seconds between two updates of a card
AT_ONCE = 5  # cards of one refresh while a page is there, which shows them itself: at most 20 a second
PAGE_WITHIN = 10.0  # seconds from the start after which nobody waits for a first page any more
HEAVY = 64 << 10  # bytes of outputs that are not read and laid out on the runtime's loop
Key = tuple[str, int]
Place = tuple[str, dict[str, str]]  # (display id, header of the execute request)


class Pages(ReplyPages, Protocol):
    """The pages of a front end, which make cells of results. Everything is for the runtime's loop."""

    def show(self, view: TaskView) -> None:
        """A task changed."""

    def show_leases(self) -> None:
        """Who holds things, or who waits for them, has changed."""

    def output(self, uid: str) -> None:
        """A running attempt has put something out."""

    def drop(self, uid: str) -> None:
        """A task was forgotten."""

    def offer(self, view: TaskView, into: str = "", filled: bool = False) -> None:
        """A result wants a cell: `into`, which may show it already, or a new one."""

    def take_back(self, uid: str) -> bool:
        """It does no longer; False when a page has it already."""


class NotebookSink:
    """Shows cards and results.

    Parameters
    ----------
    live
        Whether a front end is there that takes late updates of a cell's output.
    awaits_page
        Whether a page may come and take results.
    inline
        The cards where no page comes; lines of text when absent.
    """

    def __init__(
        self,
        client: Client,
        publisher: Publisher,
        live: bool,
        awaits_page: bool = False,
        inline: InlineCards | None = None,
    ) -> None:
        self._client, self._publisher, self._inline = client, publisher, inline
        self._live, self._awaits_page = live, live and awaits_page
        self._pages: Pages | None = None
        self._until = time.monotonic() + PAGE_WITHIN
        self.replies = Replies(client, publisher, lambda: self.live, self._page_within)
        self._lock = threading.Lock()
        self._arrived: dict[Key, TaskView] = {}
        self._delivered: set[Key] = set()
        self._ended: dict[str, TaskView] = {}  # tasks that ended without a result to show, for their cards
        self._claimed: set[str] = set()
        self._offered: dict[str, TaskView] = {}  # what pages are to show
        self._filled: dict[str, TaskView] = {}  # of these, what stands in a card because no page ever came
        self._into: dict[str, str] = {}  # uid -> the cell that is to become its result cell
        self._places: dict[str, list[Place]] = {}  # more displays that a task fills
        self._dirty: dict[str, TaskView] = {}
        self._marked: dict[str, object] = {}  # what a card said last while a page is there
        self._refreshing = False
        self._output = LiveOutput()
        self._brought: list[TaskView] = []  # done tasks whose returned variables are not in the namespace yet

    @property
    def live(self) -> bool:
        """Whether cards are updated late."""
        return self._live or self._seen

    @property
    def attached(self) -> bool:
        """Whether a page is there."""
        return self._pages is not None and self._pages.attached

    @property
    def _seen(self) -> bool:
        return self._pages is not None and self._pages.seen

    @property
    def _offers(self) -> bool:
        """Whether results go to pages."""
        return self._awaits_page or self._seen

    @property
    def _shows_inline(self) -> bool:
        """Whether a front end is there, and no page that shows cards."""
        return self._live and not self._seen and (not self._awaits_page or time.monotonic() >= self._until)

    def _page_within(self) -> float | None:
        """Seconds within which a first page may come; 0 when one was there, None when none is waited for."""
        if self._seen:
            return 0.0
        return max(0.0, self._until - time.monotonic()) or None if self._awaits_page else None

    # on the runtime's loop

    def attach(self, pages: Pages | None) -> None:
        """Say who brings results to pages; None: nobody any more."""
        self._pages = pages
        self.replies.attach(pages)
        if pages is not None:
            for view in self._offered.values():
                pages.offer(view, self._into.get(view.uid, ""))

    def show(self, view: TaskView) -> None:
        """A task changed: its card is updated soon, where that reaches anyone."""
        if view.ended:
            cut_off = view.result is None or view.result.outputs is None
            self._output.end(view.uid, view.attempt, cut_off)
        if self._pages is not None:
            self._pages.show(view)
        self._let_go(view)
        if not self._displays(view):
            return
        if self.attached:
            marks = (view.state, view.name, view.stopping, view.needs_you)
            if self._marked.get(view.uid) == marks:
                return
            self._marked[view.uid] = marks
            if self._inline is not None:
                self._inline.close()  # the page shows cards itself
        elif self._shows_inline and self._inline is not None:
            for display, parent in self._displays(view):
                self._inline.show(view, display, parent)
            return
        elif view.ended and view.stage is not None:
            return
        elif not self.live:
            if view.ended:
                with self._lock:
                    self._ended[view.uid] = view
            return
        self._dirty[view.uid] = view
        self._refresh_soon()

    def show_leases(self) -> None:
        """Who holds things, or who waits for them, has changed."""
        if self._pages is not None:
            self._pages.show_leases()

    def deliver(self, view: TaskView) -> None:
        """A result has come: it goes to a page or a card, else it is shown with the next cell."""
        if not self.attached:
            self._dirty.pop(view.uid, None)
        with self._lock:
            self._delivered.add((view.uid, view.attempt))
            if view.returns and view.state is State.DONE:
                self._brought.append(view)
            takes_late = self._offers or (self.live and self._displays(view))
            if not takes_late or view.uid in self._claimed:
                self._arrived[view.uid, view.attempt] = view
                return
        if self._offers:
            self._offer(view)
        else:
            self._fill_soon(view, self._fill)

    def output(self, uid: str, attempt: int, output: dict[str, object]) -> None:
        """Live output of a running attempt, kept while it runs."""
        self._output.add(uid, attempt, output)
        if self._pages is not None:
            self._pages.output(uid)

    def show_turn(self, turn: TurnView) -> None:
        """A turn of the master changed."""
        self.replies.show_turn(turn)

    def reply(self, turn: TurnView) -> None:
        """A reply of the master has come."""
        self.replies.reply(turn)

    def drop(self, uid: str) -> None:
        """A task was forgotten: nothing of it is shown any more."""
        if self._pages is not None:
            self._pages.drop(uid)
        if self._inline is not None:
            self._inline.drop(uid)
        self._output.drop(uid)
        with self._lock:
            self._arrived = {key: view for key, view in self._arrived.items() if key[0] != uid}
            self._delivered = {key for key in self._delivered if key[0] != uid}
        for of_tasks in (self._offered, self._filled, self._into, self._places, self._dirty, self._marked):
            of_tasks.pop(uid, None)

    def outputs_so_far(self, uid: str, attempt: int) -> list[dict[str, Any]]:
        """What a running attempt has put out."""
        return self._output.kept(uid, attempt)[1]

    def kept(self, uid: str, attempt: int) -> tuple[int, list[dict[str, Any]]]:
        """The same, as far as it is kept, and the index of the first."""
        return self._output.kept(uid, attempt)

    def _offer(self, view: TaskView) -> None:
        """A page makes a cell of it; the card does where no page ever comes."""
        self._offered[view.uid] = view
        if self._pages is not None:
            self._pages.offer(view, self._into.get(view.uid, ""))
        wait = 0.0 if self._seen else max(0.0, self._until - time.monotonic())
        if not self._seen:
            asyncio.get_running_loop().call_later(wait, self._fall_back, view)
        if self._displays(view) and (self._seen or wait > REFRESH):
            self._dirty[view.uid] = view
            self._refresh_soon()

    def _fall_back(self, view: TaskView) -> None:
        """No page has come in time, or at all so far."""
        if self._seen or self._offered.get(view.uid) is not view or view.uid in self._filled:
            return
        if self._displays(view):
            self._filled[view.uid] = view
            self._fill_soon(view, self._paint)
        elif self._take_back(view.uid):
            with self._lock:
                self._arrived[view.uid, view.attempt] = view

    def _take_back(self, uid: str) -> TaskView | None:
        """What is offered and no page has yet is shown elsewhere."""
        if uid in self._offered and (self._pages is None or self._pages.take_back(uid)):
            self._filled.pop(uid, None)
            return self._offered.pop(uid)
        return None

    def _let_go(self, view: TaskView) -> None:
        """What was shown, or belongs to an attempt that is over, is no longer on offer."""
        offered = self._offered.get(view.uid)
        if offered is None:
            return
        if offered.attempt != view.attempt or view.stage is not Stage.QUEUED:
            self._take_back(view.uid)
            for of_tasks in (self._offered, self._filled, self._into, self._places):
                of_tasks.pop(view.uid, None)

    def _refresh_soon(self) -> None:
        if not self._refreshing:
            self._refreshing = True
            asyncio.get_running_loop().call_later(REFRESH, self._refresh)

    def _refresh(self) -> None:
        self._refreshing = False
        due = list(self._dirty)[: AT_ONCE if self.attached else None]
        for uid in due:
            view = self._dirty.pop(uid)
            self._update(view, self.bundle(view))
        if self._dirty:
            self._refresh_soon()

    def _fill_soon(self, view: TaskView, fill: Callable[[TaskView], None]) -> None:
        if view.result is not None and view.result.outputs is not None and view.result.outputs.size > HEAVY:
            asyncio.get_running_loop().run_in_executor(None, fill, view)
        else:
            fill(view)

    def _fill(self, view: TaskView) -> None:
        self._paint(view)
        self._places.pop(view.uid, None)
        self._was_shown(view)

    def _paint(self, view: TaskView) -> None:
        line = card(view, self._client.runtime.now())
        try:
            outputs = self._outputs(view)
        except OrchestraError as error:
            line, outputs = f"{line} · {error}", []
        self._update(view, result_bundle(line, outputs))

    def _update(self, view: TaskView, data: dict[str, Any]) -> None:
        for display, parent in self._displays(view):
            self._publisher.update_late(data, display, parent)

    def _displays(self, view: TaskView) -> list[Place]:
        places = list(self._places.get(view.uid, ()))
        if not view.ended:  # a cell that is run over and over adds one each time
            places = places[-AT_ONCE:]
        if view.anchor is not None and view.anchor.display:
            places.append((view.anchor.display, view.anchor.parent))
        return places

    def _was_shown(self, view: TaskView) -> None:
        runtime = self._client.runtime
        runtime.post(e.ResultShown(runtime.now(), view.uid, view.attempt))

    # in a cell

    def bundle(self, view: TaskView) -> dict[str, Any]:
        """The card of a task, in one line; a page links it to its own card."""
        line = card(view, self._client.runtime.now())
        return page_bundle(line, view) if self.attached else bundle(line)

    @contextlib.contextmanager
    def claim(self, uids: Collection[str], everything: bool = False) -> Iterator[None]:
        """The running cell waits for these tasks: their results are shown there, with `everything` all that wait."""
        with self._lock:
            mine = set(uids) - self._claimed
            self._claimed |= mine
        self._take_from_pages(list(self._offered) if everything and not self.attached else mine)
        try:
            yield
        finally:
            with self._lock:
                self._claimed -= mine
                left = [view for key, view in self._arrived.items() if key[0] in mine]
                left = [view for view in left if self._offers or (self.live and self._displays(view))]
                for view in left:
                    del self._arrived[view.uid, view.attempt]
            for view in left:
                if self._offers:
                    self._client.runtime.on_loop(partial(self._offer, view))
                else:
                    self._fill(view)

    def _take_from_pages(self, uids: Collection[str]) -> None:
        """What no page has yet is shown in the cell that asks for it."""
        wanted = [uid for uid in uids if uid in self._offered and uid not in self._filled]
        if not wanted:
            return

        def take() -> None:
            views = [view for uid in wanted if (view := self._take_back(uid)) is not None]
            with self._lock:
                self._arrived.update({(view.uid, view.attempt): view for view in views})

        self._on_loop(take)

    def _on_loop(self, act: Callable[[], None]) -> None:
        """Do something on the runtime's loop and wait for it, at most 1 s."""
        with contextlib.suppress(TimeoutError, CancelledError):
            self._client.runtime.on_loop(act).result(1.0)

    def wait_for_delivery(self, wanted: Callable[[TaskView], bool]) -> None:
        """Wait until what is known to have ended has reached this place, at most 1 s: it comes after the commit."""
        end = time.monotonic() + 1.0
        self._client.settled()
        while self._is_owed(wanted) and not self._client.board.blocked and time.monotonic() < end:
            time.sleep(0.005)

    def _is_owed(self, wanted: Callable[[TaskView], bool]) -> bool:
        views = (view for view in self._client.board.all() if view.stage is Stage.QUEUED and wanted(view))
        return any((view.uid, view.attempt) not in self._delivered for view in views)

    def fills(self, uid: str, display: str, parent: dict[str, str], cell: str) -> None:
        """Let one more display show the task, whose cell becomes its result cell once it has ended."""

        def note() -> None:
            self._places.setdefault(uid, []).append((display, parent))
            if cell:
                self._into[uid] = cell
            newest = self._client.board.get(uid)
            if (view := self._offered.get(uid)) is not None:  # it has ended meanwhile
                self._offer(view)
            elif self.live and newest is not None and newest.ended:
                self._paint(newest)
                self._places.pop(uid, None)

        self._on_loop(note)

    def show_again(self, view: TaskView, cell: str) -> None:
        """Put the result of an ended task into the running cell, which becomes its result cell if it has none yet."""
        if self.attached and cell and view.stage is Stage.QUEUED:
            self.render(view)
            self._on_loop(partial(self._offer_filled, view, cell))
            return
        with self.claim([view.uid]):
            if not self.flush(lambda other: other.uid == view.uid):
                self.render(view)

    def _offer_filled(self, view: TaskView, cell: str) -> None:
        if self._pages is not None and view.uid in self._offered:
            self._pages.offer(view, cell, filled=True)

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

    def settle(self) -> None:
        """The person has run a cell and no page ever came: what stands in cards was seen there."""
        if not self._seen:
            for view in list(self._filled.values()):
                self._was_shown(view)

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
        for output in self._outputs(view):
            self._put(output)

    def _outputs(self, view: TaskView) -> list[dict[str, Any]]:
        """The outputs of an ended task, harmless where no person wrote what made them; of an agent its report."""
        if view.trusted:
            return self._client.outputs(view)
        from ..clean.outputs import kept_output, report_output  # slow to import

        if view.agent:
            return [report_output(view.result.report or view.result.text)] if view.result is not None else []
        outputs = (kept_output(output, False) for output in self._client.outputs(view))
        return [output for output in outputs if output is not None]

    def _update_here(self, view: TaskView) -> None:
        """The task's cards get its line, by messages of the running cell."""
        for display, _ in self._displays(view):
            self._publisher.update_here(self.bundle(view), display)

    def _put(self, output: dict[str, Any]) -> None:
        match output["output_type"]:
            case "stream":
                self._publisher.stream(clipped(output["text"]), output["name"])
            case "error":
                # Not as an error output: a failed task must not make a runner think that this cell failed.
                self._publisher.stream("\n".join(output["traceback"]) + "\n", "stderr")
            case _:
                self._publisher.display(output["data"], output["metadata"])
