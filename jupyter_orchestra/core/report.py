"""What a run of tests came to, read from what pytest says at its end; it runs nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import ClassVar

import msgspec

MOST_FAILURES = 50

# "== 1 failed, 2 passed in 0.12s ==", with -q without the lines around it
_CLOSING = re.compile(
    r"(?:=+ )?((?:\d+ [a-z]+(?: [a-z]+)?(?:, )?)+|no tests ran) in ([\d.]+)s(?: \([\d:, days]+\))?(?: =+)?"
)
_COUNT = re.compile(r"(\d+) ([a-z]+)")
_HEADER = "short test summary info"
_FAILURE = re.compile(r"(?:FAILED|ERROR) (\S.*)")


class TestReport(msgspec.Struct, frozen=True):
    """One run of the tests.

    Attributes
    ----------
    command : str
        What ran.
    exit_code : int
        0 when all is well; minus the signal that ended it.
    passed, failed, errors, skipped, xfailed, xpassed : int
        As pytest counts; all 0 when its closing line did not come.
    seconds : float
        How long it took.
    failures : tuple of str
        Names of what failed, at most 50.
    tail : str
        The end of the output.
    """

    __test__: ClassVar[bool] = False  # pytest itself takes it for tests

    command: str
    exit_code: int
    passed: int = 0
    failed: int = 0
    errors: int = 0
    skipped: int = 0
    xfailed: int = 0
    xpassed: int = 0
    seconds: float = 0.0
    failures: tuple[str, ...] = ()
    tail: str = ""

    @property
    def line(self) -> str:
        """The run in one line, such as ``1 failed, 3 passed in 0.4 s``."""
        counts = (
            (self.failed, "failed"),
            (self.errors, "errors"),
            (self.passed, "passed"),
            (self.skipped, "skipped"),
            (self.xfailed, "xfailed"),
            (self.xpassed, "xpassed"),
        )
        said = ", ".join(f"{count} {word}" for count, word in counts if count)
        return f"{said or f'exit code {self.exit_code}'} in {self.seconds:.1f} s"


class ReportReader:
    """Takes the lines of a run, and makes the report of them."""

    def __init__(self, command: str) -> None:
        self._command = command
        self._counts: dict[str, int] = {}
        self._seconds: float | None = None
        self._summing_up = False
        self._failures: list[str] = []

    def feed(self, lines: Iterable[str]) -> None:
        """Take lines, as they come."""
        for line in lines:
            self._take(line.strip())

    @property
    def line(self) -> str:
        """What the run said at its end, in one line; empty when it said nothing of the kind."""
        return "" if self._seconds is None else self.report(0, 0.0, "").line

    def report(self, exit_code: int, seconds: float, tail: str) -> TestReport:
        """The report of a run that has ended; `seconds` are told when the run itself did not say."""
        count = self._counts.get
        return TestReport(
            self._command,
            exit_code,
            passed=count("passed", 0),
            failed=count("failed", 0),
            errors=count("error", 0),
            skipped=count("skipped", 0),
            xfailed=count("xfailed", 0),
            xpassed=count("xpassed", 0),
            seconds=seconds if self._seconds is None else self._seconds,
            failures=tuple(self._failures),
            tail=tail,
        )

    def _take(self, line: str) -> None:
        if closing := _CLOSING.fullmatch(line):
            self._counts = {word.removesuffix("s"): int(number) for number, word in _COUNT.findall(closing[1])}
            self._seconds = float(closing[2])
        elif line.strip("= ") == _HEADER:
            # Only the last one counts: what tests print may look like it.
            self._summing_up, self._failures = True, []
        elif self._summing_up and (failure := _FAILURE.fullmatch(line)):
            name = failure[1].partition(" - ")[0]
            if len(self._failures) < MOST_FAILURES:
                self._failures.append(name)
