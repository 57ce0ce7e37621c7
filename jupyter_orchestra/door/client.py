"""How a program outside finds the doors of living kernels and speaks through one; it waits, and knows no loop."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Self, TypeVar

from ..core import events as e
from ..core.wire import Card
from ..errors import OrchestraError, RefusedError
from . import place, words

PATIENCE = 15.0  # seconds that a kernel may take to answer
T = TypeVar("T", bound=words.FromDoor | e.Command)


class DoorError(OrchestraError):
    """The kernel can't be reached, or did not answer as it should; nobody knows whether anything was done."""


class Found(NamedTuple):
    """The door of a living kernel."""

    folder: Path
    notebook: str  # path, empty when the kernel knows none
    pid: int

    @property
    def title(self) -> str:
        """What a person calls it."""
        return f"{self.notebook or 'a kernel without a notebook'} (process {self.pid})"


def find(notebook: str | None = None) -> list[Found]:
    """The doors of this person's living kernels, the oldest first.

    Parameters
    ----------
    notebook
        Path of a notebook, or the id of a kernel's process; None: any.
    """
    found = [Found(folder, entry.notebook, entry.pid) for folder, entry in place.entries()]
    if notebook is None:
        return found
    path = os.path.realpath(notebook)
    paths = {one: os.path.realpath(one.notebook) if one.notebook else "" for one in found}
    return [one for one in found if notebook == str(one.pid) or paths[one] == path]


class Door:
    """A connection to one kernel.

    Parameters
    ----------
    found
        Which one.
    token
        By what right; empty: that of the person's own programs.

    Raises
    ------
    DoorError
        When nobody answers, or the token opens nothing.
    """

    def __init__(self, found: Found, token: str = "") -> None:
        self._found = found
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE)
        self._count = 0
        try:
            with self._trouble():
                token = token or (found.folder / place.TOKEN).read_text("ascii")
                self._socket.connect(str(found.folder / place.SOCKET))
            self._send(words.Hello(protocol=words.PROTOCOL, token=token))
            self.welcome = self._receive(words.Welcome)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Go."""
        self._socket.close()

    def ask(self, event: words.AskedEvent) -> e.Accepted:
        """Ask something of tasks; `at` and `request` of the event are not looked at. Raises RefusedError, DoorError."""
        self._send(words.Ask(request=self._next(), event=event))
        return self._receive(e.Accepted)

    def tasks(self) -> words.Cards:
        """All tasks, in the order of dispatch."""
        self._send(words.Tasks(request=self._next()))
        return self._batch()

    def watch(self) -> Iterator[words.Cards]:
        """All tasks, then again and again what has changed, as long as the kernel lives."""
        self._send(words.Watch(request=self._next()))
        yield self._batch()
        self._socket.settimeout(None)
        with contextlib.suppress(DoorError):
            while True:
                yield self._batch()

    def explain(self, name: str) -> list[str]:
        """Why a task is where it is. Raises RefusedError when there is none of that name."""
        self._send(words.Explain(request=self._next(), name=name))
        return list(self._receive(words.Lines).lines)

    def leases(self) -> list[str]:
        """Who holds what, and who waits for it."""
        self._send(words.Leases(request=self._next()))
        return list(self._receive(words.Lines).lines)

    def _next(self) -> str:
        self._count += 1
        return str(self._count)

    def _batch(self) -> words.Cards:
        cards: list[Card] = []
        while not (part := self._receive(words.Cards)).last:
            cards += part.cards
        return words.Cards(
            request=part.request, now=part.now, blocked=part.blocked, cards=(*cards, *part.cards), gone=part.gone,
            last=True,
        )  # fmt: skip

    def _send(self, message: words.Said) -> None:
        with self._trouble():
            self._socket.sendall(words.frame(message))

    def _receive(self, kind: type[T]) -> T:
        with self._trouble():
            answer = words.read_answer(self._read(words.length(self._read(words.HEAD.size))))
        match answer:
            case e.Refused(reason=reason):
                raise RefusedError(reason)
            case words.Problem(message=message):
                raise DoorError(message)
        if not isinstance(answer, kind):
            raise DoorError(f"the kernel of {self._found.title} said {type(answer).__name__} out of turn: try again")
        return answer

    def _read(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            if not (more := self._socket.recv(size - len(data))):
                raise EOFError
            data += more
        return bytes(data)

    @contextlib.contextmanager
    def _trouble(self) -> Iterator[None]:
        """What went wrong, in words that say what to do."""
        title = self._found.title
        try:
            yield
        except TimeoutError:
            raise DoorError(f"the kernel of {title} does not answer: it may be stopped or overloaded") from None
        except (OSError, EOFError):
            raise DoorError(f"the kernel of {title} has gone, or is busy with others: try again") from None
        except (words.BadFrame, words.BadMessage) as error:
            raise DoorError(f"{error}: install the same version of jupyter_orchestra here and there") from None
