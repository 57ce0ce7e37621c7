"""The terminals of running attempts: what they show, and what is typed into them; it knows no page and no program.

None of it is a fact: what is typed may be a password, so it goes to the program, and is neither kept nor written down.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from .core.model import State
from .core.ports import Pty
from .core.views import TaskView

KEPT = 256 << 10  # characters of each terminal that a page which comes later still gets
TYPED = 64 << 10  # bytes that are typed at once, at most
ENDED = 20  # attempts that are over whose terminals can still be looked at
Key = tuple[str, int]


class Terminals:
    """The terminals of one runtime, on its loop."""

    def __init__(self) -> None:
        self.shown: Callable[[str], None] = lambda uid: None  # told of the task whose terminal shows more
        self._texts: dict[Key, _Text] = {}
        self._open: dict[Key, Pty] = {}
        self._over: dict[Key, None] = {}

    def open(self, uid: str, attempt: int, pty: Pty) -> None:
        """An attempt has one."""
        self._open[uid, attempt] = pty
        self._texts[uid, attempt] = _Text()

    def show(self, uid: str, attempt: int, text: str) -> None:
        """A program put this out."""
        if (kept := self._texts.get((uid, attempt))) is not None:
            kept.add(text)
            self.shown(uid)

    def end(self, uid: str, attempt: int) -> None:
        """The attempt is over: what it showed can be looked at for a while."""
        if self._open.pop((uid, attempt), None) is not None:
            self._over[uid, attempt] = None
            while len(self._over) > ENDED:
                oldest = next(iter(self._over))
                del self._over[oldest], self._texts[oldest]

    def drop(self, uid: str) -> None:
        """The task was forgotten."""
        for key in [key for key in self._texts if key[0] == uid]:
            self._open.pop(key, None)
            self._over.pop(key, None)
            del self._texts[key]

    def has(self, uid: str, attempt: int) -> bool:
        """Whether there is anything to look at."""
        return (uid, attempt) in self._texts

    def text(self, uid: str, attempt: int, start: int, most: int = KEPT) -> tuple[int, str]:
        """What it has shown from character `start` on, as far as that is kept, and where that begins."""
        kept = self._texts.get((uid, attempt))
        return (start, "") if kept is None else kept.since(start, most)

    def type(self, view: TaskView, attempt: int, text: str) -> str:
        """Type into the terminal of an attempt. Why not, in one line; empty when it was done."""
        data = text.encode("utf-8", "replace")
        if len(data) > TYPED:
            size = -(-len(data) >> 10)
            return f"{size:,} kB at once are too much to type (at most {TYPED >> 10} kB): put it in a file"
        pty = self._open.get((view.uid, attempt))
        if pty is None or view.ended:
            return _why_not(view, attempt)
        if view.state is State.PAUSED:
            return f"{view.name} is paused: %resume {view.name}, then type"
        pty.write(data)
        return ""

    def resize(self, uid: str, attempt: int, rows: int, columns: int) -> None:
        """Give a terminal another size, in characters; nothing when it is gone."""
        if (pty := self._open.get((uid, attempt))) is not None:
            pty.resize(rows, columns)


class _Text:
    """The end of a long text, and how much went before."""

    def __init__(self) -> None:
        self._chunks: deque[str] = deque()
        self._size = 0
        self._end = 0

    def add(self, text: str) -> None:
        text, skipped = text[-KEPT:], max(len(text) - KEPT, 0)
        self._chunks.append(text)
        self._size += len(text)
        self._end += len(text) + skipped
        while self._size - len(self._chunks[0]) >= KEPT:
            self._size -= len(self._chunks.popleft())

    def since(self, start: int, most: int) -> tuple[int, str]:
        missing = self._end - start
        if missing <= 0:
            return self._end, ""
        if missing > min(self._size, KEPT):  # what is left begins with a line, or it might begin in an escape sequence
            last = "".join(self._chunks)[-KEPT:]
            cut = last.find("\n") + 1
            return self._end - len(last) + cut, last[cut:]
        found: list[str] = []
        for chunk in reversed(self._chunks):
            found.append(chunk[-missing:])
            missing -= len(found[-1])
            if not missing:
                break
        return start, "".join(reversed(found))[:most]


def _why_not(view: TaskView, attempt: int) -> str:
    if not view.terminal:
        return f"{view.name} has no terminal: dispatch it with -w shell --needs terminal"
    if view.ended or attempt != view.attempt:
        return f"{view.name} has ended: nothing can be typed into it any more"
    return f"{view.name} is {view.state}: type when it runs"
