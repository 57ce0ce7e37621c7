"""Runs a project's tests for whoever holds the test runner, and says what came of it; it knows no queue."""

from __future__ import annotations

import asyncio
import configparser
import contextlib
import os
import shlex
import sys
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from ..core.needs import Need
from ..core.ports import Grant, Launch, Launcher
from ..core.report import ReportReader, TestReport
from ..errors import ResourceError
from ..processes.ladder import end_gently
from .approval import Approved, ensure_approved
from .commands import is_test_command
from .declared import SECTION, Declared
from .log import Log, follow

__all__ = ["TestProvision", "TestReport", "TestRunner", "detect", "is_test_command"]

UNKNOWN = f'how the tests run is not known: write command = "…" below [{SECTION}.tests] in pyproject.toml'
NO_PYTEST = f"pytest is not installed here: pip install pytest, or write a command below [{SECTION}.tests]"
_SHOWN = 20  # lines of one look that a card is told
_NAMES = ("test_*.py", "*_test.py")
_SECTIONS = (("setup.cfg", "tool:pytest"), ("tox.ini", "pytest"))


def detect(project: Path) -> str | None:
    """The command that runs the tests of a project that declares none: pytest, where something there speaks of it."""
    return shlex.join((sys.executable, "-m", "pytest")) if _speaks_of_pytest(project) else None


class TestProvision:
    """The right to run the tests, and what runs by it; all of that ends with it."""

    __test__: ClassVar[bool] = False

    def __init__(self, runner: TestRunner, grant: Grant) -> None:
        self._runner, self._grant = runner, grant
        command = runner.command(grant.project)
        self.environment: Mapping[str, str] = {"ORCHESTRA_TEST_COMMAND": command} if command else {}
        self.notes: tuple[str, ...] = () if command else (UNKNOWN,)
        self._runs: set[asyncio.Future[TestReport]] = set()

    async def run(self, arguments: Sequence[str], seen: Callable[[list[str]], object]) -> TestReport:
        """Run the tests, with these arguments more, and hand over their lines. Raises ResourceError."""
        run = asyncio.ensure_future(self._runner.run(self._grant, arguments, seen=seen))
        self._runs.add(run)
        run.add_done_callback(self._runs.discard)
        return await run

    async def end(self) -> None:
        """End what still runs."""
        runs = tuple(self._runs)
        for run in runs:
            run.cancel()
        await asyncio.gather(*runs, return_exceptions=True)


class TestRunner:
    """Serves ``test-runner``: whose turn it is finds the command in ``ORCHESTRA_TEST_COMMAND``, or has it run.

    Parameters
    ----------
    launcher : Launcher
        Starts the tests.
    declared : Declared
        What the project's file says.
    approved : callable
        Asks the person whether what the file names may be started; None: it may not.
    environment : callable
        What a run of the tests has in its environment.
    """

    __test__: ClassVar[bool] = False
    resource = "test-runner"

    def __init__(
        self,
        launcher: Launcher,
        declared: Declared,
        approved: Approved | None,
        environment: Callable[[], Mapping[str, str]] = os.environ.copy,
    ) -> None:
        self._launcher, self._declared, self._approved, self._environment = launcher, declared, approved, environment
        self._runs = 0

    @property
    def declared(self) -> str:
        """The command that the project's file names; empty when it names none."""
        return self._declared.tests.command if self._declared.tests else ""

    def command(self, project: Path) -> str | None:
        """What runs the tests of `project`, for the shell; None when it is not known."""
        return self.declared or detect(project)

    def capacities(self) -> Mapping[str, int]:
        """One, for each checkout."""
        return {"test-runner": 1}

    def check(self, need: Need) -> str:
        """Nothing: also who runs them in a way of their own waits for their turn."""
        return ""

    async def provide(self, need: Need, grant: Grant) -> TestProvision:
        """Say how the tests are run."""
        return TestProvision(self, grant)

    async def run(
        self,
        grant: Grant,
        arguments: Sequence[str] = (),
        *,
        folder: Path | None = None,
        seen: Callable[[list[str]], object] | None = None,
    ) -> TestReport:
        """Run the tests. Cancelled: ends them.

        Parameters
        ----------
        grant : Grant
            Of the one whose turn it is.
        arguments : sequence of str
            For the command, such as the names of some tests.
        folder : Path, optional
            Where they run, if not in the project.
        seen : callable, optional
            Takes their lines; else the last ones of each look go to the grant's card.

        Raises
        ------
        ResourceError
            When no command is known, or it was not approved.
        """
        launch, command = await self._prepare(grant, arguments, folder or grant.project)
        reader, began = ReportReader(command), time.monotonic()

        def read(lines: list[str]) -> None:
            reader.feed(lines)
            if seen is not None:
                seen(lines)
                return
            for line in list(filter(str.strip, lines))[-_SHOWN:]:
                grant.show(line)

        try:
            running = await self._launcher.start(launch)
        except OSError as error:
            raise ResourceError(f"the tests can't be started in {launch.cwd}: {error.strerror}") from None
        log = Log(running)
        try:
            code = await follow(running, log, read)
        except BaseException:
            await end_gently(running)
            raise
        await running.end()
        return reader.report(code, time.monotonic() - began, log.tail())

    async def _prepare(self, grant: Grant, arguments: Sequence[str], folder: Path) -> tuple[Launch, str]:
        command = self.command(grant.project)
        if command is None:
            raise ResourceError(UNKNOWN)
        # Who runs them in their own code has said so, and runs with it what the project's files hold, as with pytest.
        if self._declared.tests and grant.holder:
            await ensure_approved(self._approved, "run the tests", command)
        elif find_spec("pytest") is None:
            raise ResourceError(NO_PYTEST)
        command = " ".join((command, *map(shlex.quote, arguments)))
        self._runs += 1
        private = grant.folder / f"tests-{self._runs}"
        environment = {**self._environment(), "PYTHONUNBUFFERED": "1"}
        return Launch(("bash", "-c", command), private, os.fspath(folder), environment, private / "spool"), command


def _speaks_of_pytest(project: Path) -> bool:
    if any((project / name).is_file() for name in ("pytest.ini", ".pytest.ini", "pytest.toml", "conftest.py")):
        return True
    with contextlib.suppress(OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, AttributeError):
        tool = tomllib.loads((project / "pyproject.toml").read_text("utf-8")).get("tool", {})
        if "pytest" in tool:
            return True
    for name, section in _SECTIONS:
        parser = configparser.RawConfigParser(strict=False)
        with contextlib.suppress(OSError, configparser.Error, UnicodeDecodeError):
            parser.read(project / name, "utf-8")
            if parser.has_section(section):
                return True
    patterns = (f"{folder}/{name}" for folder in ("tests", "test", "*/tests", "tests/*") for name in _NAMES)
    return any(next(project.glob(pattern), None) for pattern in patterns)
