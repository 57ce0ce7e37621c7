"""Ties pages to the orchestra: what they say becomes facts, what changes reaches them; nothing here decides a task."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import msgspec

from .. import __version__
from ..client.client import Client
from ..core import events as e
from ..core import wire
from ..core.cards import card_of
from ..core.composed import Composed
from ..core.resources import LeasePicture, picture
from ..core.talk import TurnView
from ..core.views import TaskView, explain
from ..errors import OrchestraError
from .comms import Comms, Line
from .contents import Contents
from .deliveries import Deliveries
from .details import Live, Outputs, Watch, clean_live, read_ended
from .fetch import fetch
from .orders import Order, answer_of, event_of
from .pages import Down, LivePage, LivePages
from .pictures import turn_of
from .pump import Pump

log = logging.getLogger("jupyter_orchestra")
LOOK = 1.0  # seconds between two looks at who is there
Compose = Callable[[str, str], Composed]  # (text, session of the page)


class Hub:
    """All pages of one kernel. Everything but the constructor's caller is on the runtime's loop.

    Parameters
    ----------
    client
        The person's side of the runtime.
    comms
        How pages are reached.
    live
        The outputs of a running attempt that are kept, and the index of the first of them.
    compose
        Sends what the person wrote into the composer on its way; may block, so it is called on another thread.
    private
        Whether the journal goes when the kernel ends.
    """

    def __init__(self, client: Client, comms: Comms, live: Live, compose: Compose, *, private: bool) -> None:
        self._client, self._comms, self._compose, self._private = client, comms, compose, private
        self.live = live
        self._runtime = runtime = client.runtime
        self._loop = asyncio.get_running_loop()
        self._pages = LivePages(runtime.now, self._came, self._left, self._say_mismatch)
        self._pump = Pump(self.view, runtime.now, lambda: runtime.board.blocked, self.leases)
        self._leases: LeasePicture | None = None  # None: it has changed
        self._contents = Contents(client)
        self._deliveries = Deliveries(self._contents, self._pages.get, runtime.now)
        self._composing: set[str] = set()  # pages in which the person types a message
        self._master = ""
        self._turn: wire.Turn | None = None
        self._work: set[asyncio.Task[None]] = set()
        self._looking: asyncio.TimerHandle | None = None
        runtime.terminals.shown = self.output
        comms.listen(self)

    # for the sink

    @property
    def attached(self) -> bool:
        """Whether a page is there."""
        return len(self._pages) > 0

    @property
    def seen(self) -> bool:
        """Whether a page was ever there."""
        return self._pages.seen

    def show(self, view: TaskView) -> None:
        """A task changed."""
        self._pump.changed(view.uid)

    def show_leases(self) -> None:
        """Who holds things, or who waits for them, has changed."""
        self._leases = None
        self._pump.leases()

    def output(self, uid: str) -> None:
        """A running attempt has put something out."""
        if any(uid in feed.panels for feed in self._pump.feeds):
            self._pump.run()

    def drop(self, uid: str) -> None:
        """A task was forgotten."""
        self._deliveries.drop(uid)
        self._pump.gone(uid)

    def offer(self, view: TaskView, into: str = "", filled: bool = False) -> None:
        """A result wants a place in a document: in the cell `into`, which may show it already, or in a new one."""
        self._deliveries.offer(self._contents.parcel(view, into, filled))

    def take_back(self, uid: str) -> bool:
        """A result is shown elsewhere; False when a page has it already."""
        return self._deliveries.take_back(uid)

    def set_master(self, line: str) -> None:
        """Who answers, in one line."""
        self._master = line
        self._pump.master(line)

    def show_turn(self, turn: TurnView, text: str, note: str) -> None:
        """A turn changed; `text` is its reply so far, `note` what it waits for. At most some ten times a second."""
        if self._turn is None or turn.number >= self._turn.number:
            self._turn = turn_of(turn, text, note)
            self._pump.turn(self._turn)

    def offer_reply(self, turn: TurnView) -> None:
        """The reply of a turn that is over wants a place: its cell's output, or a cell of its own."""
        self._deliveries.offer(self._contents.reply(turn))

    def take_back_reply(self, uid: str) -> bool:
        """It is shown elsewhere, or the turn goes on; False when a page has it already."""
        if not self._deliveries.take_back(uid):
            return False
        self._contents.forget(uid)
        return True

    def path(self, session: str) -> str:
        """The notebook's present path by its page of that session, empty when there is none. Any thread."""
        return self._pages.path(session)

    def announce(self) -> None:
        """Tell pages that the extension is loaded."""
        self._comms.announce()
        for page in self._pages:
            self._pump.renew(page, self._snapshot())

    def close(self) -> None:
        """Let go of all pages."""
        self._comms.silence()
        self._runtime.terminals.shown = lambda uid: None
        for task in self._work:
            task.cancel()
        if self._looking is not None:
            self._looking.cancel()
        self._deliveries.close()
        self._pages.close()
        self._pump.close()

    # for panels

    def view(self, uid: str) -> TaskView | None:
        """The newest announced view of a task."""
        return self._client.board.get(uid)

    def leases(self) -> LeasePicture:
        """Who holds things and who waits for them, as pages show it."""
        if self._leases is None:
            watched = dict.fromkeys(uid for feed in self._pump.feeds for uid in feed.panels)
            self._leases = picture(self._runtime.machine, watched)
        return self._leases

    def explain(self, uid: str) -> str:
        """Why a task is where it is."""
        task = self._runtime.machine.tasks.get(uid)
        return explain(self._runtime.machine, task, self._runtime.now()) if task is not None else ""

    def has_terminal(self, uid: str, attempt: int) -> bool:
        """Whether there is a terminal to look at."""
        return self._runtime.terminals.has(uid, attempt)

    def terminal(self, uid: str, attempt: int, start: int, most: int) -> tuple[int, str]:
        """What a terminal has shown from a character on."""
        return self._runtime.terminals.text(uid, attempt, start, most)

    def load(self, view: TaskView, done: Callable[[Outputs], None]) -> None:
        """Read the outputs of an ended task, off the loop."""
        self._do(self._read(partial(read_ended, self._client.outputs, self.live, view), done), f"jo-read-{view.name}")

    def clean(self, outputs: Outputs, done: Callable[[Outputs], None]) -> None:
        """Make live outputs harmless, off the loop."""
        self._do(self._read(partial(clean_live, outputs), done), "jo-clean")

    # what pages do

    def opened_down(self, line: Line, data: object) -> None:
        """The comm on which the kernel speaks; the hello comes on the other."""
        try:
            client = msgspec.convert(data, Down).client
        except msgspec.ValidationError as error:
            line.send(wire.write(wire.Problem(message=f"this comm does not say whose it is: {error}")))
            line.close()
            return
        self._pages.opened_down(line, client)
        self._watch_pages()

    def opened_up(self, line: Line, data: object) -> None:
        """A page says hello."""
        try:
            hello = hello_of(data)
        except msgspec.ValidationError as error:
            log.debug("a page said no hello: %s", error)
            line.close()
            return
        self._pages.said_hello(line, hello)
        self._watch_pages()

    def heard(self, line: Line, data: object) -> None:
        """A page says something."""
        page = self._pages.of(line)
        if page is None:
            return
        try:
            message = wire.read(data)
        except (msgspec.ValidationError, RecursionError) as error:
            request = data.get("request") if isinstance(data, dict) else None
            if isinstance(request, str):
                self._refuse_request(page, request, f"the kernel does not understand this: {error}")
            page.say(wire.Problem(message=str(error)))
            return
        self._take(page, message)

    def closed(self, line: Line) -> None:
        """A page closed a comm."""
        self._pages.closed(line)

    def _say_mismatch(self, down: Line) -> None:
        message = (
            f"the page and the kernel have different versions of jupyter_orchestra (the kernel has {__version__}): "
            "install the same one for both, then restart the kernel and reload the page"
        )
        down.send(wire.write(wire.Mismatch(protocol=wire.PROTOCOL, version=__version__, message=message)))

    def _take(self, page: LivePage, message: wire.ToKernel) -> None:
        match message:
            case wire.Pong():
                pass
            case wire.PageChanged(path=path, visible=visible):
                self._pages.changed(page, path, visible)
                self._deliveries.changed(page)
            case wire.Act() | wire.Steer() | wire.TurnAct():
                self._order(page, message)
            case wire.Compose():
                self._do(self._send(page, message), "jo-compose")
            case wire.Composing(on=on):
                self._composes(page, on)
            case wire.Watch(task=task, on=on):
                self._watch(page, task, on)
            case wire.Type():
                self._type(page, message)
            case wire.Resize(task=task, attempt=attempt, rows=rows, columns=columns):
                self._runtime.terminals.resize(task, attempt, rows, columns)
            case wire.Fetch():
                self._do(self._fetch(page, message), "jo-fetch")
            case wire.Claim():
                self._deliveries.claimed(page, message)
            case wire.Ack():
                self._deliveries.acked(message)
            case wire.Bye():
                self._pages.forget(page, gone=True)
            case wire.Hello():
                page.say(wire.Problem(message="a hello opens a comm, it does not come later"))

    # pages come and go

    def _came(self, page: LivePage) -> None:
        self._pump.add(page, self._snapshot())
        self._deliveries.came(page)

    def _left(self, page: LivePage) -> None:
        self._pump.remove(page)
        self._deliveries.left(page)
        self._composes(page, False)

    def _composes(self, page: LivePage, on: bool) -> None:
        """The person types a message there, or no longer does."""
        if on == (page.id in self._composing) or (on and not page.live):
            return
        self._composing ^= {page.id}
        self._runtime.post(e.ComposingChanged(self._runtime.now(), page.id, on))

    def _snapshot(self) -> wire.Snapshot:
        board = self._client.board
        return wire.Snapshot(
            seq=0,
            protocol=wire.PROTOCOL,
            version=__version__,
            now=self._runtime.now(),
            private=self._private,
            blocked=board.blocked,
            workers=tuple(self._runtime.workers),
            master=self._master,
            turn=self._turn,
            leases=self.leases(),
            cards=tuple(map(card_of, board.all())),
        )

    def _watch_pages(self) -> None:
        if self._looking is None:
            self._looking = self._loop.call_later(LOOK, self._look)

    def _look(self) -> None:
        self._looking = None
        self._pages.look()
        self._pump.run()  # the journal may be blocked, or free again
        if not self._pages.empty:
            self._watch_pages()

    # what a person wants

    def _order(self, page: LivePage, order: Order) -> None:
        try:
            event = event_of(order, self._runtime.now(), self._runtime.new_request())
        except OrchestraError as error:
            self._refuse_request(page, order.request, str(error))
            return

        def answer(future: Any) -> None:
            if future.cancelled():
                self._refuse_request(page, order.request, "the orchestra has ended")
                return
            said: e.Answer = future.result()
            if isinstance(event, e.ForgetAsked) and isinstance(said, e.Accepted):
                self._client.forget_values(said.uids)
            page.say(answer_of(order.request, said))

        self._runtime.ask(event).add_done_callback(answer)

    def _type(self, page: LivePage, order: wire.Type) -> None:
        view = self._client.board.find(order.task)
        why_not = f"there is no task {order.task!r}: it may have been forgotten"
        if view is not None:
            why_not = self._runtime.terminals.type(view, order.attempt, order.text)
        page.say(wire.Answer(request=order.request, ok=not why_not, message=why_not))

    async def _send(self, page: LivePage, order: wire.Compose) -> None:
        act = partial(self._compose, order.text, page.session)
        try:
            uids, names, message = await self._loop.run_in_executor(None, act)
        except OrchestraError as error:
            self._refuse_request(page, order.request, " ".join(str(error).split()))
            return
        except Exception as error:
            log.exception("the composer's text could not be sent")
            self._refuse_request(page, order.request, f"a bug in jupyter_orchestra ({error!r}): see the kernel's log")
            return
        page.say(wire.Answer(request=order.request, ok=True, message=message, uids=uids, names=names))

    def _watch(self, page: LivePage, task: str, on: bool) -> None:
        feed = self._pump.feed(page)
        view = self._client.board.find(task)
        if feed is None or view is None:
            if on:
                page.say(wire.Problem(message=f"there is no task {task!r}: it may have been forgotten"))
            return
        if on:
            feed.panels[view.uid] = Watch(view.uid, self)
            self.show_leases()  # it says of this task as well why it waits
        else:
            feed.panels.pop(view.uid, None)

    async def _fetch(self, page: LivePage, order: wire.Fetch) -> None:
        view = self._client.board.find(order.task)
        page.say(await fetch(page, order.request, view, order.artifact, lambda: self._runtime.journal))

    def _refuse_request(self, page: LivePage, request: str, message: str) -> None:
        page.say(wire.Answer(request=request, ok=False, message=message))

    # work that takes time

    async def _read(self, read: Callable[[], Outputs], done: Callable[[Outputs], None]) -> None:
        done(await self._loop.run_in_executor(None, read))
        self._pump.run()

    def _do(self, work: Coroutine[object, object, None], name: str) -> None:
        task = self._loop.create_task(work, name=name)
        self._work.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._work.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s failed", task.get_name(), exc_info=error)


def hello_of(data: object) -> wire.Hello:
    """The hello of a page, of another version too. Raises ValidationError for what is none."""
    with contextlib.suppress(msgspec.ValidationError):
        brief = msgspec.convert(data, _AnyHello)
        if brief.protocol != wire.PROTOCOL:
            return wire.Hello(
                client=brief.client, protocol=brief.protocol, version="", session="", path="", visible=False,
                down=brief.down,
            )  # fmt: skip
    return msgspec.convert(data, wire.Hello)


class _AnyHello(msgspec.Struct):
    """What is in the hello of every version."""

    client: str
    protocol: int
    down: str = ""  # versions before the third do not say it
