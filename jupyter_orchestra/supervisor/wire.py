"""Owns the form of a message between launcher and supervisor: a length, then JSON; knows no message."""

from __future__ import annotations

import json
import struct
from typing import Any

LARGEST = 16 << 20  # bytes of one message
FIRST = 1 << 10  # bytes of one message as long as nobody knows who speaks

Message = dict[str, Any]
_LENGTH = struct.Struct(">I")


def pack(message: Message) -> bytes:
    """A message as it goes over the wire. Raises ValueError when it is too large."""
    body = json.dumps(message, separators=(",", ":")).encode("ascii")
    if len(body) > LARGEST:
        raise ValueError(f"a message of {len(body)} bytes is too large")
    return _LENGTH.pack(len(body)) + body


class Unpacker:
    """Makes messages of bytes as they come."""

    def __init__(self, largest: int = LARGEST) -> None:
        self.largest = largest
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """The messages that `data` completes. Raises ValueError for what can't be one; nothing more is read then."""
        self._buffer += data
        messages = []
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > self.largest:
                raise ValueError(f"a message of {length} bytes is too large")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                break
            message = json.loads(self._buffer[_LENGTH.size : end])
            if not isinstance(message, dict):
                raise ValueError("a message is a JSON object")
            messages.append(message)
            del self._buffer[:end]
            if self.largest < LARGEST:
                break  # whoever reads this one may allow larger ones
        return messages
