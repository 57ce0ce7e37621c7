"""The live pages: who said hello, what they show, who has gone silent; it knows no task."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from ..core import wire
from ..core.offers import Page
from .comms import Line

PING_EVERY = 10.0  # seconds
SILENT_FOR = 30.0  # seconds after which a page counts as gone


class LivePage:
    """One live page and its two comms."""

    def __init__(self, hello: wire.Hello, up: Line, down: Line, now: float) -> None:
        self.id, self.session = hello.client, hello.session
        self.path, self.visible = hello.path, hello.visible
        self.up, self.down = up, down
        self.heard = self.pinged = now
        self.front = now if hello.visible else 0.0
        self.live = True

    def say(self, message: wire.ToPage) -> None:
        """Send the page a message; nothing once it has gone."""
        if self.live:
            self.down.send(wire.write(message))

    @property
    def page(self) -> Page:
        """What counts when results are given out."""
        return Page(self.id, self.session, self.path, self.visible, self.front)

    def end(self, gone: bool) -> None:
        """Close its comms, so that a page that lives after all attaches again; nobody hears of it when it has gone."""
        self.live = False
        for line in (self.up, self.down):
            if gone:
                line.drop()
            else:
                line.close()


class LivePages:
    """The pages that said hello and still live. Everything is for the runtime's loop.

    Parameters
    ----------
    now
        Gives seconds.
    came, left
        Told of each page that comes and goes.
    mismatched
        Told of the comm to a page that speaks another protocol; nothing else will be said there.
    """

    def __init__(
        self,
        now: Callable[[], float],
        came: Callable[[LivePage], None],
        left: Callable[[LivePage], None],
        mismatched: Callable[[Line], None],
    ) -> None:
        self._now, self._came, self._left, self._mismatched = now, came, left, mismatched
        self._clients: dict[str, LivePage] = {}
        self._by_up: dict[str, LivePage] = {}
        self._by_down: dict[str, LivePage] = {}
        self._downs: dict[str, tuple[Line, float]] = {}  # client id -> a comm whose hello has not come
        self._hellos: dict[str, tuple[Line, wire.Hello, float]] = {}  # the other way round
        self.seen = False  # whether any page ever said hello

    def __iter__(self) -> Iterator[LivePage]:
        return iter(tuple(self._clients.values()))

    def __len__(self) -> int:
        return len(self._clients)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to look after."""
        return not (self._clients or self._downs or self._hellos)

    def get(self, client: str) -> LivePage | None:
        """The live page with that id."""
        return self._clients.get(client)

    def path(self, session: str) -> str:
        """What the page of a session shows now, empty when there is none. Any thread."""
        return next((page.path for page in self if page.session == session), "")

    def of(self, up: Line) -> LivePage | None:
        """The live page that speaks on that comm; it has given a sign of life."""
        client = self._by_up.get(up.id)
        if client is not None:
            client.heard = self._now()
        return client

    def opened_down(self, line: Line, client: str) -> None:
        """The two comms come on two threads of the kernel, so either may be the first."""
        if (older := self._downs.pop(client, None)) is not None:
            older[0].drop()
        self._downs[client] = line, self._now()
        self._pair(client)

    def said_hello(self, line: Line, hello: wire.Hello) -> None:
        """A page is there, or is there again: what it was before goes."""
        if (older := self._hellos.pop(hello.client, None)) is not None:
            older[0].drop()
        self._hellos[hello.client] = line, hello, self._now()
        self._pair(hello.client)

    def changed(self, client: LivePage, path: str, visible: bool) -> None:
        """It was renamed, or came to the front or left it."""
        if visible and not client.visible:
            client.front = self._now()
        client.path, client.visible = path, visible

    def closed(self, line: Line) -> None:
        """A comm was closed by the page: the page has gone."""
        client = self._by_up.get(line.id) or self._by_down.get(line.id)
        if client is not None:
            self.forget(client, gone=True)
        for waiting in (self._downs, self._hellos):
            for key in [key for key, entry in waiting.items() if entry[0].id == line.id]:
                del waiting[key]

    def forget(self, client: LivePage, gone: bool = False) -> None:
        """Let go of a page; `gone`: it is known to be no longer there."""
        self._by_up.pop(client.up.id, None)
        self._by_down.pop(client.down.id, None)
        client.end(gone)
        if self._clients.get(client.id) is client:
            del self._clients[client.id]
            self._left(client)

    def look(self) -> None:
        """Ask for signs of life, and let go of pages that gave none."""
        now = self._now()
        for client in self:
            if now - client.heard >= SILENT_FOR:
                self.forget(client)
            elif now - max(client.pinged, client.heard) >= PING_EVERY:
                client.pinged = now
                client.say(wire.Ping())
        for down, since in list(self._downs.values()):
            if now - since >= SILENT_FOR:
                self.closed(down)
                down.close()
        for up, _, since in list(self._hellos.values()):
            if now - since >= SILENT_FOR:
                self.closed(up)
                up.close()

    def close(self) -> None:
        """Let go of all."""
        for client in self:
            self.forget(client)
        for line in [down for down, _ in self._downs.values()] + [up for up, _, _ in self._hellos.values()]:
            line.close()
        self._downs.clear()
        self._hellos.clear()

    def _pair(self, name: str) -> None:
        if name not in self._downs or name not in self._hellos:
            return
        (down, _), (up, hello, _) = self._downs[name], self._hellos[name]
        if hello.down not in (down.id, ""):
            return  # halves of two openings: what is still to come of the newer one takes the place of the older
        del self._downs[name], self._hellos[name]
        older = self._clients.get(name)
        if older is not None:
            self.forget(older, gone=True)
        if hello.protocol != wire.PROTOCOL:
            self._mismatched(down)
            return
        client = LivePage(hello, up, down, self._now())
        self._clients[name] = self._by_up[up.id] = self._by_down[down.id] = client
        self.seen = True
        self._came(client)


class Down(msgspec.Struct, frozen=True):
    """The data of the comm_open on ``down``."""

    client: str
