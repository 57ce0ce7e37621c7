"""Tells the cell that a person runs from cells that it runs in turn, as ``%%capture`` does; it runs and shows none."""

from __future__ import annotations

from typing import Any


class Nesting:
    """The cells that run inside each other on the main shell."""

    def __init__(self) -> None:
        self._outer: Any = None  # the info of the outermost one
        self._request = ""

    def begin(self, info: Any, request: str) -> None:
        """A cell begins, by an execute request with that id."""
        if self._outer is None or self._request != request:
            self._outer, self._request = info, request

    def end(self, result: Any, request: str) -> bool:
        """A cell has ended; whether it was the outermost one. One that was cancelled, or is blank, never began."""
        info = getattr(result, "info", None)
        inner = info is not None and self._outer is not None and info is not self._outer and self._request == request
        if not inner:
            self._outer = None
        return not inner
