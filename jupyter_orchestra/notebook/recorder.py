"""Remembers the cells that the person ran, as far as the master may know of them; it sends nothing to anyone."""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Collection
from typing import Any

import msgspec

from .conversation import is_conversation

KEPT = 50  # cells
SOURCE = 4_000  # characters of each
OUTPUT = 2_000
OURS = ("%load_ext", "%gather", "%%dispatch")  # tell the master nothing that it does not know
STEERED = re.compile(r"^([ \t]*%steer[ \t]+\S+)[ \t].*$", re.MULTILINE)  # what is typed so may be a password
PRIVATE = "private"  # the tag of cells of which the master never hears


class RanCell(msgspec.Struct):
    """A cell as it was run. ``told`` is what is said of its output unasked: no words that a worker may have written."""

    cell: str
    source: str
    output: str = ""
    told: str = ""


class Recorder:
    """The newest cells that were run. Any thread."""

    def __init__(self) -> None:
        self._cells: deque[RanCell] = deque(maxlen=KEPT)
        self._untold: deque[RanCell] = deque(maxlen=KEPT)
        self._private: set[str] = set()
        self._running: RanCell | None = None
        self._lock = threading.Lock()

    def begin(self, source: str, parent: dict[str, Any]) -> None:
        """A cell begins."""
        metadata = parent.get("metadata", {})
        cell = str(metadata.get("cellId", ""))
        with self._lock:
            self._running = None
            if PRIVATE in (metadata.get("tags") or ()):
                self._private.add(cell)
                self._cells, self._untold = (
                    deque((known for known in cells if known.cell != cell), maxlen=KEPT)
                    for cells in (self._cells, self._untold)
                )
            elif source.strip() and not is_conversation(source) and not source.lstrip().startswith(OURS):
                self._private.discard(cell)
                self._running = RanCell(cell, STEERED.sub(r"\1 …", source)[:SOURCE])

    def end(self, result: Any) -> None:
        """It has ended: with a value, an error, or neither."""
        with self._lock:
            ran, self._running = self._running, None
        if ran is None:
            return
        error = getattr(result, "error_in_exec", None) or getattr(result, "error_before_exec", None)
        if error is not None:
            ran.output, ran.told = f"{type(error).__name__}: {error}"[:OUTPUT], f"it raised {type(error).__name__}"
        elif (value := getattr(result, "result", None)) is not None:
            ran.output = short(value)
            ran.told = (
                f"{type(value).__name__} of length {len(value)}" if isinstance(value, str | bytes) else ran.output
            )
        with self._lock:
            self._cells.append(ran)
            self._untold.append(ran)

    def untold(self) -> list[RanCell]:
        """The cells that were run and that the master has not heard of."""
        with self._lock:
            return list(self._untold)

    def told(self, cells: Collection[RanCell]) -> None:
        """It has heard of these."""
        with self._lock:
            self._untold = deque((ran for ran in self._untold if all(ran is not one for one in cells)), maxlen=KEPT)

    def read(self, cell: str) -> str:
        """The last run of the cell with that id, as text. Raises LookupError for one that is not to be read."""
        with self._lock:
            ran = next((ran for ran in reversed(self._cells) if ran.cell and ran.cell == cell), None)
        if ran is None or cell in self._private:
            raise LookupError(f"no cell {cell!r} was run that you may read")
        return f"{ran.source}\n\n{ran.output}".rstrip()


def short(value: object) -> str:
    """A value in a few words: its type and shape, and its beginning where that is cheap to tell."""
    kind = type(value).__name__
    if isinstance(value, str | bytes | int | float | bool | complex):
        return repr(value[:OUTPUT] if isinstance(value, str | bytes) else value)[:OUTPUT]
    if isinstance(value, list | tuple | dict | set | frozenset | range):  # another may have to ask a database
        return f"{kind} of length {len(value)}"
    try:
        shape = getattr(value, "shape", None)
        return f"{kind} of shape {shape}" if isinstance(shape, tuple) else kind
    except Exception:
        return kind
