"""Passes what a terminal shows from its spool on as it came; it knows neither the program nor who looks."""

from __future__ import annotations

import codecs
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from ..processes.spool import Frame

AT_ONCE = 256 << 10  # bytes of one look; of what is more the end is shown
_OWN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class TerminalFeed:
    """The text of one terminal: in frames at first, and when it grows long in the file beside the spool.

    Parameters
    ----------
    spool
        Where the frames come from.
    show
        Takes the text.
    """

    def __init__(self, spool: Path, show: Callable[[str], None]) -> None:
        self._side, self._show = Path(f"{spool}.txt"), show
        self._at = 0  # bytes that were shown
        self._spilled = False
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def take(self, frame: Frame) -> None:
        """A frame came."""
        if frame.kind == "stdout" and not self._spilled:
            self._at += len(frame.payload)
            self._show(frame.payload.decode("utf-8", "replace"))
        elif frame.kind == "spilled":  # the file beside begins with what the frames held
            self._spilled = True

    def look(self) -> None:
        """See what the file beside has got."""
        if not self._spilled:
            return
        # No link: what runs in a sandbox may have put one there.
        with contextlib.suppress(OSError), open(os.open(self._side, _OWN), "rb", buffering=0) as file:
            behind = os.fstat(file.fileno()).st_size - self._at
            if behind > AT_ONCE:
                self._skip(behind - AT_ONCE)
            data = os.pread(file.fileno(), AT_ONCE, self._at)
            self._at += len(data)
            if text := self._decoder.decode(data):
                self._show(text)

    def _skip(self, size: int) -> None:
        self._at += size
        self._decoder.reset()
        self._show(f"\x1b[0m\r\n… {size / 1e6:.1f} MB not shown …\r\n")
