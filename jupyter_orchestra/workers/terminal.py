"""Makes of a program's raw output the text that a terminal would show; knows no streams, frames or notebooks."""

from __future__ import annotations

import re
from collections import deque

COLOURS = 10_000  # colour sequences of one text; a page draws an element for each
HEAD = TAIL = 512 << 10  # characters kept of a long text
LONGEST = 256 << 10  # characters of a line that is still being edited
_HELD = 4096  # characters of an escape sequence that may still become whole

_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[ -/]*[0-~]|)")
_UNFINISHED = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b\n]*\x1b?|[ -/]*)\Z")
_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_ERASE = re.compile(r"\x1b\[[02]?K")  # to the end of the line, with which progress bars clean up
_CONTROL = re.compile(r"[\x00-\x07\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_ALTERNATE = re.compile(r"\x1b\[\?(?:1049|1047|47)([hl])")  # what fills the whole screen begins, or ends
_EDIT = re.compile(r"[\r\b]|\x1b\[[02]?K")
_PIECE = re.compile(r"\r|\x08|\x1b\[[0-9;:]*m|\x1b\[[02]?K|[^\r\x08\x1b]+|\x1b")
_RESET = "\x1b[0m"
DRAWN = "… what a program drew on the whole screen is not kept …\n"


def scrubbed(text: str) -> str:
    """`text` without lone surrogates (one of them can empty a notebook's file) and NULs."""
    if _SURROGATE.search(text):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text.replace("\0", "\ufffd")


def plain(text: str) -> str:
    """`text` without escape sequences and control characters."""
    return _CONTROL.sub("", _ESCAPE.sub("", text))


def collapsed(line: str) -> str:
    """What a line shows after its carriage returns, backspaces and erasures; it has only colours besides."""
    if not _EDIT.search(line):
        return line
    cells: list[tuple[str, str]] = []  # colour, character
    colour, at = "", 0
    for piece in _PIECE.findall(line):
        if piece == "\r":
            at = 0
        elif piece == "\b":
            at = max(at - 1, 0)
        elif piece[0] != "\x1b":
            cells[at : at + len(piece)] = [(colour, character) for character in piece]
            at += len(piece)
        elif piece[-1] == "K":
            del cells[0 if piece == "\x1b[2K" else at :]
            cells += [("", " ")] * (at - len(cells))
        elif piece[-1] == "m":
            colour = "" if piece in ("\x1b[m", _RESET) else colour + piece
    return _drawn(cells, colour).rstrip(" ") if not colour else _drawn(cells, colour)


def _drawn(cells: list[tuple[str, str]], last: str) -> str:
    parts: list[str] = []
    now = ""
    for colour, character in cells:
        if colour != now:
            parts.append((_RESET if now else "") + colour)
            now = colour
        parts.append(character)
    if last != now:
        parts.append((_RESET if now else "") + last)
    return "".join(parts)


class Text:
    """A long text that keeps its beginning and its end."""

    def __init__(self, head: int = HEAD, tail: int = TAIL) -> None:
        self._room = head
        self._tail_size = tail
        self._head: list[str] = []
        self._tail: deque[str] = deque()
        self._in_tail = 0
        self.missing = 0  # characters between the two

    def add(self, text: str) -> None:
        """Append."""
        first, rest = text[: self._room], text[self._room :]
        self._room -= len(first)
        if first:
            self._head.append(first)
        if rest:
            self._tail.append(rest[-self._tail_size :])
            self.missing += len(rest) - len(self._tail[-1])
            self._in_tail += len(self._tail[-1])
        while self._in_tail - len(self._tail[0] if self._tail else "") > self._tail_size:
            lost = len(self._tail.popleft())
            self.missing += lost
            self._in_tail -= lost

    def __str__(self) -> str:
        gap = f"\n… {self.missing:,} characters not shown …\n" if self.missing else ""
        return "".join((*self._head, gap, *self._tail))


class Screen:
    """The text that a stream of raw output comes to; `terminal`: programs may draw on the whole of it."""

    def __init__(self, head: int = HEAD, tail: int = TAIL, *, terminal: bool = False) -> None:
        self._text = Text(head, tail)
        self._terminal = terminal
        self._covered = False  # something fills the whole screen
        self._colours = COLOURS
        self._held = ""  # the beginning of an escape sequence
        self._open = ""  # the line that is not ended yet
        self._settled = 0  # length of the open line when it was last collapsed
        self._last = ""  # the last ended line that shows something

    def feed(self, raw: str) -> str:
        """Add output, which may end anywhere. Returns it cleaned, carriage returns and all, for a page to follow."""
        cleaned = self._cleaned(raw)
        *ended, last = cleaned.split("\n")
        for part in ended:
            line = collapsed(self._open + part)
            self._open, self._settled = "", 0
            self._text.add(line + "\n")
            if line and not line.isspace():
                self._last = line
        self._open += last
        if len(self._open) > 2 * self._settled + 4096:
            self._settle()
        return _ERASE.sub("", cleaned)

    def __str__(self) -> str:
        return str(self._text) + collapsed(self._open)

    @property
    def line(self) -> str:
        """The last line that shows something, plain."""
        return plain(collapsed(self._open[-LONGEST:])).strip() or plain(self._last).strip()

    def _cleaned(self, raw: str) -> str:
        raw = self._held + raw
        self._held = ""
        unfinished = _UNFINISHED.search(raw, max(len(raw) - _HELD, 0)) if "\x1b" in raw else None
        if unfinished:
            self._held, raw = unfinished.group(), raw[: unfinished.start()]
        if self._terminal and (self._covered or "\x1b" in raw):
            raw = self._uncovered(raw)
        if "\x1b" in raw:
            raw = _ESCAPE.sub(self._escape, raw)
        return _CONTROL.sub("", scrubbed(raw.replace("\0", "")))

    def _uncovered(self, raw: str) -> str:
        """What stands there when nothing fills the screen any more."""
        kept: list[str] = []
        for index, part in enumerate(_ALTERNATE.split(raw)):
            if index % 2:
                kept += [DRAWN] if part == "h" and not self._covered else []
                self._covered = part == "h"
            elif not self._covered:
                kept.append(part)
        return "".join(kept)

    def _escape(self, match: re.Match[str]) -> str:
        sequence = match.group()
        if _ERASE.fullmatch(sequence):
            return sequence
        if not _COLOUR.fullmatch(sequence) or len(sequence) > 64 or not self._colours:
            return ""
        self._colours -= 1
        return sequence if self._colours else _RESET

    def _settle(self) -> None:
        """Collapse the open line, so that it stays short however often it is drawn again."""
        shown, back, rest = self._open.rpartition("\r")
        self._open = collapsed(shown) + back + rest
        self._settled = len(self._open)
        if self._settled > LONGEST:
            self._text.add(collapsed(self._open))
            self._open, self._settled = "", 0
