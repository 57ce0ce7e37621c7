"""Server-sent events from bytes, with a bound on each; it knows no connection and no meaning of an event."""

from __future__ import annotations

from collections.abc import Iterator

LARGEST = 8 << 20  # bytes of one event: more than a reply within bounds, repeated at its end, can be


class TooLarge(Exception):
    """An event without end."""


class Events:
    """Cuts bytes into the data of events; comments, names and ids are passed over."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The data of each event that ends within `piece`. Raises TooLarge."""
        self._rest += piece
        *lines, rest = self._rest.split(b"\n")
        self._rest = rest
        for line in lines:
            line = line.rstrip(b"\r")
            if line.startswith(b"data:"):
                self._data.append(bytes(line[5:].removeprefix(b" ")))
                self._size += len(line)
            elif not line and self._data:
                yield b"\n".join(self._data)
                self._data, self._size = [], 0
            self._check()
        self._check()

    def end(self) -> Iterator[bytes]:
        """The data of a last event that no empty line ends."""
        yield from self.feed(b"\n\n")

    def _check(self) -> None:
        if self._size + len(self._rest) > LARGEST:
            raise TooLarge
