"""What a program that runs behind a lease puts out, line by line and its end; it knows nothing of what is in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..core.plain import plain
from ..core.ports import Running
from ..processes.spool import Frame, SpoolReader

KEPT = 16 << 10  # characters of the end that are kept
TICK = 0.1  # seconds between two looks


class Log:
    """Reads the spool of a running program. Of very much output it sees a line now and then, and the end."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._reader = SpoolReader()
        self._offset = 0
        self._begun = {"stdout": "", "stderr": ""}  # lines that are not whole yet
        self._tail = ""

    def read(self) -> list[str]:
        """The lines that were completed since the last look."""
        lines: list[str] = []
        while data := self._running.read(self._offset):
            self._offset += len(data)
            for frame in self._reader.feed(data):
                lines += self._take(frame)
        return lines

    def tail(self) -> str:
        """The end of it, as far as it was read."""
        return self._tail + "".join(plain(begun) for begun in self._begun.values())

    def last_line(self) -> str:
        """Its last line that says something, cut to 300 characters; empty when nothing does."""
        lines = (line.strip() for line in reversed(self.tail().splitlines()))
        return next((line[:300] for line in lines if line), "")

    def _take(self, frame: Frame) -> list[str]:
        stream = str(frame.fields.get("stream", frame.kind))
        if stream not in self._begun:
            return []
        text = frame.payload.decode("utf-8", "replace")
        if frame.kind == "line":  # a sample of what goes to a side file
            text = f"{text.splitlines()[-1]}\n" if text.strip() else ""
        elif frame.kind == "tail":
            self._begun[stream] = ""
        text = self._begun[stream] + text
        # A \r may be half of a line's end: it waits with its line.
        whole, end, self._begun[stream] = text.rpartition("\n")
        if not end:
            return []
        shown = plain(whole)
        self._tail = f"{self._tail}{shown}\n"[-KEPT:]
        return shown.split("\n")


async def follow(running: Running, log: Log, seen: Callable[[list[str]], object]) -> int:
    """Hand lines to `seen` until the program has ended and all is read. Returns its exit code."""
    ended = asyncio.ensure_future(running.wait())
    try:
        while not ended.done():
            await asyncio.wait({ended}, timeout=TICK)
            if lines := log.read():
                seen(lines)
        if lines := log.read():
            seen(lines)
        return ended.result()
    finally:
        ended.cancel()
