"""A page without a browser: opens the two comms on subshells of their own and speaks the protocol."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from live_kernel import LiveKernel, Message

from jupyter_orchestra.core import wire

M = TypeVar("M", bound=wire.FromKernel)
Key = tuple[str, int]


class Document:
    """A notebook as a page holds it: the ids of its cells in order, and the results in them."""

    def __init__(self, *cells: str) -> None:
        self.cells = list(cells)
        self.results: dict[Key, tuple[wire.NewCell, ...]] = {}
        self.deleted: set[Key] = set()
        self.inserted: list[Key] = []  # every insertion that ever happened

    def copy(self) -> Document:
        """What is loaded from the file."""
        other = Document(*self.cells)
        other.results, other.deleted = dict(self.results), set(self.deleted)
        return other


class Page:
    """One page of one kernel.

    Parameters
    ----------
    document
        What it shows; its own when absent.
    takes
        Whether it answers offers and inserts what it is granted.
    acks
        Whether what it inserted is saved.
    """

    def __init__(
        self,
        kernel: LiveKernel,
        client: str = "",
        path: str = "nb.ipynb",
        *,
        document: Document | None = None,
        visible: bool = True,
        session: str | None = None,
        takes: bool = True,
        acks: bool = True,
        pongs: bool = True,
        attach: bool = True,
    ) -> None:
        self.kernel, self.client, self.path, self.visible = kernel, client or secrets.token_hex(4), path, visible
        self.session = kernel.client.session.session if session is None else session
        self.document = document or Document()
        self.takes, self.acks, self.pongs = takes, acks, pongs
        self.messages: list[Any] = []  # of the kernel
        self.times: list[float] = []  # when each of them was sent
        self.parents: list[Message] = []  # their parent headers
        self.closed: list[str] = []  # comms that the kernel closed
        self.announced = 0
        self.cards: dict[str, wire.Card] = {}
        self.seq = -1
        self.up = self.down = ""
        self._requests = 0
        self._subshells: tuple[str, str] | None = None  # of up and of down
        kernel.comm_listeners.append(self._hear)
        if attach:
            self.attach()

    # what it does

    def attach(self, hello: dict[str, Any] | None = None) -> None:
        """Open both comms, each on a subshell that stays the page's; again when the extension is announced later."""
        self.open_down()
        self.open_up(hello)

    def open_down(self) -> None:
        """Open the comm on which the kernel speaks."""
        self.down = secrets.token_hex(16)
        self._send(self.down, "comm_open", {"client": self.client}, target_name=wire.DOWN)

    def open_up(self, hello: dict[str, Any] | None = None) -> None:
        """Open the comm on which the page speaks, and say hello."""
        self.up = secrets.token_hex(16)
        said = hello or msgspec.to_builtins(
            wire.Hello(
                client=self.client, protocol=wire.PROTOCOL, version="0", session=self.session, path=self.path,
                visible=self.visible, down=self.down,
            )
        )  # fmt: skip
        self._send(self.up, "comm_open", said, target_name=wire.UP)

    def reload(self) -> None:
        """What F5 does: the document as it was saved, no word to the kernel, the same client id."""
        self.kernel.comm_listeners.remove(self._hear)
        self.kernel.comm_listeners.append(self._hear)
        self.seq, self.cards = -1, {}
        self.attach()

    def close(self) -> None:
        """The tab is closed, and nobody is told."""
        self.kernel.comm_listeners.remove(self._hear)

    def say(self, message: wire.FromPage) -> None:
        """Send a message."""
        self.say_data(msgspec.to_builtins(message))

    def say_data(self, data: Any) -> None:
        """Send whatever it is."""
        self._send(self.up, "comm_msg", data)

    def ask(self, kind: Callable[..., wire.FromPageAsked], **fields: Any) -> wire.Answer:
        """Send a request and wait for its answer."""
        request = self.send(kind, **fields)
        self.kernel.until(lambda: self.answer(request) is not None, why="no answer")
        answer = self.answer(request)
        assert answer is not None
        return answer

    def send(self, kind: Callable[..., wire.FromPageAsked], **fields: Any) -> str:
        """Send a request and do not wait; its id."""
        self._requests += 1
        request = f"{self.client}-{self._requests}"
        self.say(kind(request=request, **fields))
        return request

    def answer(self, request: str) -> wire.Answer | None:
        """What came as its answer."""
        return next((answer for answer in self.all(wire.Answer) if answer.request == request), None)

    # what it heard

    def all(self, kind: type[M]) -> list[M]:
        """All messages of a kind."""
        return [message for message in self.messages if type(message) is kind]

    def wait_for(self, kind: type[M], condition: Callable[[M], object] = lambda message: True) -> M:
        """Wait for a message."""

        def found() -> list[M]:
            return [message for message in self.all(kind) if condition(message)]

        self.kernel.until(found, why=f"no such {kind.__name__} came")
        return found()[0]

    def card(self, name: str) -> wire.Card | None:
        """The card of a task."""
        return next((card for card in self.cards.values() if card.name == name), None)

    def until_card(self, name: str, condition: Callable[[wire.Card], object]) -> wire.Card:
        """Wait until a card is as it should be."""
        self.kernel.until(lambda: (card := self.card(name)) is not None and condition(card), why=f"card {name}")
        card = self.card(name)
        assert card is not None
        return card

    @property
    def sources(self) -> list[str]:
        """What stands in its result cells, in the order of their insertion."""
        return [cell.source for cells in self.document.results.values() for cell in cells]

    def text(self, name: str) -> str:
        """The outputs of the result cells of a task, as plain text."""
        cells = [cell for cells in self.document.results.values() for cell in cells if name in cell.id]
        return "".join(_text(output) for cell in cells for output in cell.outputs)

    # inside

    def _send(self, comm: str, kind: str, data: Any, **more: Any) -> None:
        self._subshells = self._subshells or (self.kernel.subshell(), self.kernel.subshell())
        session = self.kernel.client.session
        message = session.msg(kind, {"comm_id": comm, "data": data, **more})
        message["header"]["subshell_id"] = self._subshells[comm == self.down]
        self.kernel.client.shell_channel.send(message)

    def _hear(self, message: Message) -> None:
        content = message["content"]
        if message["msg_type"] == "comm_open" and content["target_name"] == wire.ANNOUNCE:
            self.announced += 1
            if self.up and self.seq < 0:  # it came before the extension was there
                self.attach()
        elif content["comm_id"] not in (self.up, self.down):
            return
        elif message["msg_type"] == "comm_close":
            self.closed.append(content["comm_id"])
        else:
            assert content["comm_id"] == self.down, "the kernel spoke on the page's own comm"
            self.parents.append(message["parent_header"])
            self.times.append(message["header"]["date"].timestamp())
            self._take(msgspec.convert(content["data"], wire.ToPage))

    def _take(self, message: Any) -> None:
        self.messages.append(message)
        match message:
            case wire.Snapshot():
                self.seq, self.cards = message.seq, {card.uid: card for card in message.cards}
            case wire.Changes():
                assert message.seq == self.seq + 1, "a message is missing"
                self.seq = message.seq
                self.cards.update({card.uid: card for card in message.cards})
                for uid in message.gone:
                    self.cards.pop(uid, None)
            case wire.Ping() if self.pongs:
                self.say(wire.Pong())
            case wire.Offer() if self.takes:
                self._claim(message)
            case wire.Grant() if self.takes:
                self._insert(message)

    def _claim(self, offer: wire.Offer) -> None:
        key = offer.uid, offer.attempt
        document = self.document
        standing: Any = "deleted" if key in document.deleted else "present" if key in document.results else "absent"
        anchored = (offer.into or offer.cell) in document.cells
        self.say(
            wire.Claim(uid=offer.uid, attempt=offer.attempt, standing=standing, anchored=anchored, round=offer.round)
        )
        if standing == "present" and self.acks:
            self.say(wire.Ack(uid=offer.uid, attempt=offer.attempt))

    def _insert(self, grant: wire.Grant) -> None:
        key = grant.uid, grant.attempt
        if key not in self.document.results:
            self.document.results[key] = grant.cells
            self.document.inserted.append(key)
        if self.acks:
            self.say(wire.Ack(uid=grant.uid, attempt=grant.attempt))


def attach(kernel: LiveKernel, *args: Any, **more: Any) -> Page:
    """A page that has got everything there is."""
    page = Page(kernel, *args, **more)
    page.wait_for(wire.Snapshot)
    return page


def _text(output: dict[str, Any]) -> str:
    found = output.get("text") or output.get("data", {}).get("text/plain", "")
    return found if isinstance(found, str) else "".join(found)
