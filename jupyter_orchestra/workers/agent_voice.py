"""Tells of an agent while it works: its words, a line for each call, what its programs put out; decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Final

from ..core.model import Ask, Blob, Process
from ..core.plain import plain
from ..core.ports import Job, Verdict

EVERY: Final = 0.25  # seconds between two updates of a text that grows
SHOWN: Final = 64_000  # characters of a text that are shown live
LINE: Final = 200  # characters


class Voice:
    """What one attempt says. To what runs programs it is a reporter, which gets their plain text alone."""

    def __init__(self, job: Job) -> None:
        self._reporter = job.reporter
        self._name = f"{job.spec.uid}-{job.attempt}"
        self._loop = asyncio.get_running_loop()
        self._texts = 0
        self._begun = False
        self._at = 0.0

    def words(self, text: str, last: bool = False) -> None:
        """The reply so far; `last`: all of it, the next one is another."""
        now = self._loop.time()
        if text and (last or now - self._at >= EVERY):
            self._at = now
            self._show(plain(text[:SHOWN]))
        if last:
            self._texts, self._begun = self._texts + 1, False
            if text:
                self.progress(None, text.strip().rpartition("\n")[2])

    def call(self, line: str) -> None:
        """A tool is used."""
        self.output({"output_type": "stream", "name": "stdout", "text": f"▸ {_line(line)}\n"})
        self.progress(None, line)

    def started(self, process: Process) -> None:
        """A process of this attempt exists."""
        self._reporter.started(process)

    def unsandboxed(self, why: str) -> None:
        """Nothing confines what its model wrote."""
        self._reporter.unsandboxed(why)

    def progress(self, fraction: float | None, line: str = "") -> None:
        """A line; how far a program says it is says nothing of the agent."""
        if line:
            self._reporter.progress(None, _line(line))

    def output(self, output: dict[str, object]) -> None:
        """What a program puts out, as plain text."""
        text = plain(text_of(output))
        if text:
            self._reporter.output({"output_type": "stream", "name": "stdout", "text": text})

    def step(self, items: Blob) -> None:
        """A step is over."""
        self._reporter.step(items)

    def ask(self, ask: Ask) -> Awaitable[Verdict]:
        """Put a question to the person and wait for the answer."""
        return self._reporter.ask(ask)

    def _show(self, text: str) -> None:
        kind = "update_display_data" if self._begun else "display_data"
        self._begun = True
        where = {"display_id": f"{self._name}-{self._texts}"}
        self._reporter.output(
            {"output_type": kind, "data": {"text/markdown": text}, "metadata": {}, "transient": where}
        )


def text_of(output: dict[str, object]) -> str:
    """What an output comes to as text."""
    match output:
        case {"output_type": "stream", "text": str(text)}:
            return text
        case {"output_type": "error", "traceback": list(lines)}:
            return "".join(f"{line}\n" for line in lines)
        case {"output_type": "display_data" | "execute_result", "data": dict(data)}:
            others = [f"[{mime}, not shown]" for mime in data if not str(mime).startswith("text/")]
            return "".join(f"{text}\n" for text in (*others, data.get("text/plain", "")) if text)
    return ""


def _line(text: str) -> str:
    return " ".join(plain(text).split())[:LINE]
