"""Carries out shell tasks: the brief is a script for bash; knows nothing of scheduling and where its result goes."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import cloudpickle  # type: ignore[import-untyped]
import msgspec

from ..core.model import Blob, Failure, Kind, Result
from ..core.plain import plain
from ..core.ports import Failed, Finished, Job, Launch, Launcher, Outcome, Pty, Running
from ..core.report import ReportReader
from ..processes.launcher import describe
from ..processes.spool import Frame
from ..sandbox.values import Sandbox
from ..values import ShellResult
from .confining import around_task, sandbox_of
from .outputs import Collector
from .starting import Attempt, ProcessWorker, environment
from .terminal_feed import TerminalFeed

LIMIT = 2 << 30  # bytes of output kept
ECHO = 0.02  # seconds between two looks at a terminal: who types waits for what is shown
NOT_OF_A_TERMINAL = ("COLUMNS", "LINES", "PAGER", "GIT_PAGER")  # which kernels set, since nobody can page there


class ShellWorker(ProcessWorker):
    """Runs scripts as the person, with the environment that the kernel then has; those of a model in the sandbox."""

    def __init__(
        self, launcher: Launcher, slots: int = 8, *, runtime: str = "", limit: int = LIMIT, adoptable: bool = False
    ) -> None:
        super().__init__(launcher, Kind("shell", slots, adoptable=adoptable, terminal=adoptable))
        self._runtime = runtime
        self._limit = limit
        self._sandboxes: dict[Path, Sandbox] = {}  # by the folder of the job that runs in it

    def check(self, brief: str) -> str:
        """What is wrong with a script, in one line."""
        if not brief.strip():
            return "the body is empty: write the commands below the %%dispatch line"
        bash = shutil.which("bash")
        if bash is None:
            return "bash is not installed"
        checked = subprocess.run([bash, "-n"], input=brief.encode("utf-8", "replace"), capture_output=True, timeout=5)
        if checked.returncode == 0:
            return ""
        errors = checked.stderr.decode("utf-8", "replace").splitlines()
        return errors[0].removeprefix(f"{bash}: ").removeprefix("bash: ") if errors else "bash can't read it"

    async def run(self, job: Job) -> Outcome:
        """Run the script. Cancelled: ends its tree."""
        self._sandboxes[job.folder] = await sandbox_of(job)
        try:
            return await super().run(job)
        finally:
            del self._sandboxes[job.folder]

    def attempt(self, job: Job) -> _Script:
        """One run of the script."""
        kind = _Terminal if job.spec.terminal else _Script
        return kind(job, self._runtime, self._limit, self._sandboxes[job.folder])


class _Script(Attempt):
    def __init__(self, job: Job, runtime: str, limit: int, sandbox: Sandbox) -> None:
        super().__init__(job)
        self._runtime = runtime
        self._limit = limit
        self._sandbox = sandbox

    def prepare(self) -> Launch:
        """Write the script."""
        job = self.job
        script = job.folder / "script.sh"
        script.write_bytes(job.spec.brief.encode("utf-8", "replace"))
        return Launch(
            argv=around_task(self._sandbox, job, ("bash", os.fspath(script))),
            folder=job.folder,
            cwd=job.spec.place.cwd,
            environment=environment(job, self._runtime),
            spool=job.folder / "spool",
            limit=self._limit,
        )

    def conclude(self, code: int) -> Outcome:
        """The outcome, by the exit code."""
        value = ShellResult(code, self.collector.text("stdout"), self.collector.text("stderr"))
        result = self.collector.finish(self.job.store)
        tests = self._tests(value)
        if code:
            return Failed(_failure(code, value, tests), _with(result, tests or describe(code), None))
        return Finished(_with(result, tests or describe(code), self.job.store.put(cloudpickle.dumps(value))))

    def _tests(self, value: ShellResult) -> str:
        """What came of the tests of one that holds the test runner, in one line; empty where that is not known."""
        if all(need.resource != "test-runner" for need in self.job.spec.needs):
            return ""
        reader = ReportReader(self.job.spec.brief)
        reader.feed(plain(value.stdout).splitlines())
        return reader.line


class _Terminal(_Script):
    """A script whose standard streams are a terminal."""

    tick = ECHO

    def __init__(self, job: Job, runtime: str, limit: int, sandbox: Sandbox) -> None:
        super().__init__(job, runtime, limit, sandbox)
        spool = job.folder / "spool"
        self.collector = Collector(job.name, spool, terminal=True)
        self._feed = TerminalFeed(spool, job.reporter.show)

    def prepare(self) -> Launch:
        """Write the script."""
        launch = super().prepare()
        kept = {name: value for name, value in launch.environment.items() if name not in NOT_OF_A_TERMINAL}
        return msgspec.structs.replace(launch, pty=True, environment={**kept, "TERM": "xterm-256color"})

    def began(self, running: Running) -> None:
        """It can be typed into."""
        if isinstance(running, Pty):
            self.job.reporter.terminal(running)

    def seen(self, frame: Frame) -> None:
        """A frame for who looks at it."""
        self._feed.take(frame)

    def looked(self) -> None:
        """What is no longer in frames."""
        self._feed.look()


def _with(result: Result, text: str, value: Blob | None) -> Result:
    return msgspec.structs.replace(result, value=value, text=text)


def _failure(code: int, value: ShellResult, tests: str) -> Failure:
    lines = [line.strip() for line in value.stderr.splitlines() if line.strip()]
    last = tests or (lines[-1][:200] if lines else "")
    said = f": {last}" if last else ""
    if code < 0:
        return Failure("killed", "Killed", describe(code) + said)
    return Failure("exit", "ExitCode", describe(code) + _hint(code) + said)


def _hint(code: int) -> str:
    """What a code above 128 means: bash reports so that a command of the script was killed."""
    name = describe(128 - code)
    return f" (a command in it was {name})" if 128 < code <= 192 and "SIG" in name else ""
