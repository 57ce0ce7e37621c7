"""Makes a cell's outputs of the frames of a spool, in bounded memory; knows neither who wrote nor who shows them."""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import mimetypes
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.model import Artifact, Blob, Result
from ..core.ports import Store
from ..processes.spool import TAIL, Frame
from .terminal import Screen, scrubbed

Output = dict[str, Any]  # as nbformat has it

MOST = 1000  # outputs kept, the first and the last
LARGE = 8 << 20  # characters of one representation from which it becomes an artifact
SHOWN = 64 << 20  # bytes of displays kept in memory; after that what is over SMALL becomes an artifact
SMALL = 64 << 10
LINE = 200  # characters
STREAMS = ("stdout", "stderr")

_OWN = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_UNCLEAN = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")


@dataclass(slots=True)
class _Stream:
    name: str
    screen: Screen

    def output(self) -> Output:
        return {"output_type": "stream", "name": self.name, "text": str(self.screen)}


@dataclass(slots=True)
class _Shown:
    content: Output
    display: str = ""

    def output(self) -> Output:
        return self.content


class Collector:
    """The outputs of one attempt; `name` is the task's, for its artifacts. Big ones wait as files beside the spool.

    `terminal`: they were written to one.
    """

    def __init__(
        self, name: str, spool: Path, *, large: int = LARGE, shown: int = SHOWN, terminal: bool = False
    ) -> None:
        self._name = name
        self._spool = spool
        self._large, self._terminal = large, terminal
        self._room = shown
        self._entries: list[_Stream | _Shown] = []
        self._left_out = 0  # outputs dropped from the middle
        self._clear_next = False
        self._spilled = False
        self._tailed = False
        self._cut: tuple[int, int] | None = None  # bytes dropped, limit
        self._files: list[tuple[str, Path, str]] = []  # name, file, mime type
        self._notes: list[str] = []
        self._fraction: float | None = None
        self._line = ""
        self._line_of: Screen | None = None  # the stream that has the last line
        self.exit: int | None = None  # from the spooler's last frame

    @property
    def outputs(self) -> list[Output]:
        """What there is so far."""
        outputs = [entry.output() for entry in self._entries]
        if self._left_out:
            gap = f"… {self._left_out:,} outputs not shown …\n"
            outputs.insert(MOST // 2, {"output_type": "stream", "name": "stderr", "text": gap})
        return outputs

    @property
    def line(self) -> str:
        """The last line that shows something, plain and clipped."""
        line = self._line_of.line if self._line_of else ""
        return (line or self._line)[:LINE]

    @property
    def progress(self) -> tuple[float | None, str]:
        """How far the task says it is (0 to 1), and its last line."""
        return self._fraction, self.line

    def text(self, stream: str) -> str:
        """All that is kept of "stdout" or "stderr"."""
        return "".join(str(e.screen) for e in self._entries if isinstance(e, _Stream) and e.name == stream)

    def feed(self, frame: Frame) -> list[Output]:
        """Take a frame in; what a page that follows live should be sent for it.

        Besides outputs that is ``update_display_data`` and ``clear_output``, shaped as the Jupyter messages are.
        """
        if frame.kind in STREAMS:
            return self._stream(frame.kind, frame.payload.decode("utf-8", "replace"))
        handle = _HANDLERS.get(frame.kind)
        return handle(self, frame) if handle else []

    def finish(self, store: Store) -> Result:
        """Everything that goes into the journal; blocks on the disk. Raises OSError when that does not take it."""
        side = Path(f"{self._spool}.txt")
        if self._spilled and not self._tailed:
            self._tail_from(side)
        artifacts = [Artifact(name, store.adopt(file), mime) for name, file, mime in self._files if file.exists()]
        if self._spilled and side.exists():
            size = side.stat().st_size
            name = f"{self._name}.txt"
            artifacts.append(Artifact(name, moved(store, side), "text/plain"))
            self._notes.append(f"{words(size)} of output: the whole is in artifact {name}")
        if self._cut:
            self._notes.append(f"output cut at {words(self._cut[1])}: {self._cut[0]:,} bytes dropped")
        outputs = self.outputs
        blob = store.put(json.dumps(outputs, allow_nan=False).encode()) if outputs else None
        return Result(outputs=blob, artifacts=tuple(artifacts), notes=tuple(self._notes))

    def _stream(self, name: str, text: str) -> list[Output]:
        last = self._next_after_clear()
        if not isinstance(last, _Stream) or last.name != name:
            last = _Stream(name, Screen(terminal=self._terminal))
            self._add(last)
        live = last.screen.feed(text)
        self._line_of = last.screen
        return [{"output_type": "stream", "name": name, "text": live}] if live else []

    def _next_after_clear(self) -> _Stream | _Shown | None:
        if self._clear_next:
            self._entries.clear()
            self._left_out = 0
            self._clear_next = False
        return self._entries[-1] if self._entries else None

    def _add(self, entry: _Stream | _Shown) -> None:
        self._entries.append(entry)
        if len(self._entries) > MOST:
            del self._entries[MOST // 2]
            self._left_out += 1

    def _display(self, frame: Frame) -> list[Output]:
        output = self._read_output(frame)
        if output is None:
            return []
        self._next_after_clear()
        display = str(frame.fields.get("id") or "")
        self._add(_Shown(output, display))
        # Live, it carries its id, so that a later update finds it.
        return [output | {"transient": {"display_id": display}}] if display else [output]

    def _update_display(self, frame: Frame) -> list[Output]:
        output = self._read_output(frame)
        display = str(frame.fields.get("id") or "")
        if output is None or not display:
            return []
        for entry in self._entries:
            if isinstance(entry, _Shown) and entry.display == display:
                entry.content = entry.content | {"data": output["data"], "metadata": output["metadata"]}
        update = {"output_type": "update_display_data", "transient": {"display_id": display}}
        return [{**update, "data": output["data"], "metadata": output["metadata"]}]

    def _error(self, frame: Frame) -> list[Output]:
        content = self._read_json(frame)
        if content is None:
            return []
        lines = content.get("traceback")
        error = {
            "output_type": "error",
            "ename": str(content.get("ename", "")),
            "evalue": _drawn(str(content.get("evalue", "")), 10_000),
            "traceback": [_drawn(str(line), 100_000) for line in lines] if isinstance(lines, list) else [],
        }
        self._next_after_clear()
        self._add(_Shown(error))
        return [error]

    def _clear(self, frame: Frame) -> list[Output]:
        wait = bool(frame.fields.get("wait"))
        self._clear_next = True
        if not wait:
            self._next_after_clear()
        return [{"output_type": "clear_output", "wait": wait}]

    def _progress(self, frame: Frame) -> list[Output]:
        fraction = frame.fields.get("fraction")
        if isinstance(fraction, int | float) and fraction == fraction:
            self._fraction = min(max(float(fraction), 0.0), 1.0)
        line = frame.fields.get("line")
        if isinstance(line, str) and line:
            self._set_line(line)
        return []

    def _late_line(self, frame: Frame) -> list[Output]:
        self._set_line(frame.payload.decode("utf-8", "replace"))
        return []

    def _set_line(self, text: str) -> None:
        screen = Screen()
        screen.feed(text)
        if screen.line:
            self._line, self._line_of = screen.line, None

    def _spill(self, frame: Frame) -> list[Output]:
        self._spilled = True
        return []

    def _tail(self, frame: Frame) -> list[Output]:
        self._tailed = True
        skipped = frame.fields.get("skipped", 0)
        gap = f"\n… {words(skipped)} not shown …\n" if skipped else ""
        end = None if self._clear_next else self._take_end()
        live = self._stream(str(frame.fields["stream"]), gap + frame.payload.decode("utf-8", "replace"))
        if end is not None:
            self._add(end)
        return live

    def _take_end(self) -> _Shown | None:
        """The value or error that stands last, which came after the text whose end comes now."""
        last = self._entries[-1] if self._entries else None
        if not isinstance(last, _Shown) or last.content["output_type"] not in ("execute_result", "error"):
            return None
        self._entries.pop()
        return last

    def _tail_from(self, side: Path) -> None:
        """For a writer that was killed before it wrote the end of its text."""
        # No link: what runs in a sandbox may have put one there.
        with contextlib.suppress(OSError), open(os.open(side, os.O_RDONLY | _OWN), "rb") as file:
            file.seek(max(os.fstat(file.fileno()).st_size - TAIL, 0))
            self._stream("stdout", "\n… more was not shown; the end:\n" + file.read().decode("utf-8", "replace"))

    def _cut_off(self, frame: Frame) -> list[Output]:
        self._cut = int(frame.fields["dropped"]), int(frame.fields["limit"])
        return []

    def _exit(self, frame: Frame) -> list[Output]:
        self.exit = int(frame.fields["code"])
        return []

    def _read_output(self, frame: Frame) -> Output | None:
        content = self._read_json(frame)
        if content is None or not isinstance(content.get("data"), dict):
            return None
        result = content.get("output_type") == "execute_result"
        output: Output = {"output_type": "execute_result" if result else "display_data"}
        if result:
            output["execution_count"] = content.get("execution_count")
        metadata = content.get("metadata")
        data = self._small_enough(content["data"], len(frame.payload))
        return output | {"data": data, "metadata": metadata if isinstance(metadata, dict) else {}}

    def _read_json(self, frame: Frame) -> Output | None:
        text = frame.payload.decode("utf-8", "replace")
        try:
            content = json.loads(text, parse_constant=lambda name: None)  # a page can't read NaN
            if _UNCLEAN.search(frame.payload):
                content = _scrubbed_deep(content)
        except (ValueError, RecursionError):
            content = None
        if isinstance(content, dict):
            return content
        self._notes.append("an output could not be read and was left out")
        return None

    def _small_enough(self, data: Output, size: int) -> Output:
        largest = self._large if self._room >= size else min(SMALL, self._large)
        big = {mime: value for mime, value in data.items() if _length(value) > largest} if size > largest else {}
        if not big:
            self._room -= size
            return data
        names = ", ".join(self._keep_file(mime, value) for mime, value in big.items())
        note = f"too large to show here, kept as artifact: {names}"
        return {mime: value for mime, value in data.items() if mime not in big} | {"text/plain": note}

    def _keep_file(self, mime: str, value: Any) -> str:
        number = len(self._files) + 1
        name = f"{self._name}-{number}{mimetypes.guess_extension(mime) or '.txt'}"
        file = Path(f"{self._spool}.{number}")
        try:
            file.unlink(missing_ok=True)  # of a reader before this one
            with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OWN, 0o600), "wb") as new:
                new.write(_raw(mime, value))
        except OSError as error:
            return f"{mime} (not kept: {error.strerror})"
        self._files.append((name, file, mime))
        return f"{name} ({words(file.stat().st_size)})"


_HANDLERS: dict[str, Callable[[Collector, Frame], list[Output]]] = {
    "display": Collector._display,
    "update_display": Collector._update_display,
    "error": Collector._error,
    "clear": Collector._clear,
    "progress": Collector._progress,
    "line": Collector._late_line,
    "spilled": Collector._spill,
    "tail": Collector._tail,
    "cut": Collector._cut_off,
    "exit": Collector._exit,
}


def moved(store: Store, path: Path) -> Blob:
    """Move a file into the store. Raises OSError.

    It keeps its old name too: a kernel that dies before this is durable leaves the next one to do it again.
    """
    blob = store.adopt(path)
    if (there := store.file(blob)) is not None:
        with contextlib.suppress(OSError):
            os.link(there, path)
    return blob


def words(size: int) -> str:
    """A number of bytes for a person."""
    if size >= 1 << 30 and size % (1 << 30) == 0:
        return f"{size >> 30} GiB"
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"


def _drawn(text: str, most: int) -> str:
    screen = Screen(most // 2, most // 2)
    screen.feed(text)
    return str(screen)


def _length(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return sum(map(len, value))
    return len(json.dumps(value))


def _raw(mime: str, value: Any) -> bytes:
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        value = "".join(value)
    if not isinstance(value, str):
        return json.dumps(value).encode()
    if not mime.startswith("text/") and mime != "image/svg+xml":
        with contextlib.suppress(binascii.Error, ValueError):
            return base64.b64decode(value, validate=False)
    return scrubbed(value).encode()


def _scrubbed_deep(value: Any) -> Any:
    if isinstance(value, str):
        return scrubbed(value)
    if isinstance(value, list):
        return [_scrubbed_deep(item) for item in value]
    if isinstance(value, dict):
        return {scrubbed(key): _scrubbed_deep(item) for key, item in value.items()}
    return value
