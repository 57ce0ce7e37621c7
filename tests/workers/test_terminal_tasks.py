"""Scripts in a terminal: what they see, what is shown of them, and what comes of it; in a supervisor of their own."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from worker_doubles import FolderStore, Remembering, make_job

from jupyter_orchestra.core.needs import parse_all
from jupyter_orchestra.core.ports import Failed, Finished, Job, Outcome, Pty
from jupyter_orchestra.processes.launcher import LocalLauncher
from jupyter_orchestra.supervisor.launcher import SupervisedLauncher
from jupyter_orchestra.values import ShellResult
from jupyter_orchestra.workers.shell import ShellWorker
from jupyter_orchestra.workers.terminal import DRAWN

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="terminals need the supervisor, which is for Linux")


class Watching(Remembering):
    """A reporter that looks at the terminal."""

    pty: Pty | None = None
    shown = ""

    def terminal(self, pty: Pty) -> None:
        self.pty = pty

    def show(self, text: str) -> None:
        self.shown += text


@pytest.fixture
def place() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="jo-", dir="/tmp"))
    yield folder
    deadline = time.monotonic() + 20
    while folder.exists():  # a supervisor that is about to end may still take its socket away
        assert time.monotonic() < deadline
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.01)


class Stage:
    """One script in its terminal."""

    def __init__(self, tmp_path: Path, place: Path, script: str) -> None:
        job = make_job(tmp_path, script, "shell")
        spec = msgspec.structs.replace(job.spec, needs=parse_all("terminal"))
        self.screen = Watching()
        self.job: Job = msgspec.structs.replace(job, spec=spec, reporter=self.screen)
        self.place = place

    @property
    def pty(self) -> Pty:
        assert self.screen.pty is not None
        return self.screen.pty

    def play(self, act: Callable[[Stage], Awaitable[None]] | None = None) -> Outcome:
        async def main() -> Outcome:
            launcher = SupervisedLauncher(self.place, "test", grace=0.0)
            work = asyncio.ensure_future(ShellWorker(launcher, adoptable=True).run(self.job))
            try:
                async with asyncio.timeout(60):
                    if act is not None:
                        await act(self)
                    return await work
            finally:
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)
                await launcher.close()

        return asyncio.run(main())

    async def until(self, text: str) -> None:
        while text not in self.screen.shown:  # noqa: ASYNC110
            await asyncio.sleep(0.005)

    def value(self, outcome: Outcome) -> ShellResult:
        assert isinstance(outcome, Finished), outcome
        value: ShellResult = cast(FolderStore, self.job.store).value(outcome.result)
        return value

    def text(self, outcome: Outcome) -> str:
        assert isinstance(outcome, Finished | Failed)
        outputs: list[dict[str, Any]] = cast(FolderStore, self.job.store).outputs(outcome.result)
        return "".join(output["text"] for output in outputs)


def test_a_script_sees_a_terminal_and_what_is_typed_is_its_input(tmp_path: Path, place: Path) -> None:
    asks = "stty size; test -t 0 && test -t 1 && test -t 2 && echo tty $TERM\nread -p 'name: ' x; echo got $x"
    stage = Stage(tmp_path, place, asks)

    async def answer(stage: Stage) -> None:
        await stage.until("name: ")
        stage.pty.write(b"ada\r")

    outcome = stage.play(answer)
    assert stage.text(outcome) == "24 80\ntty xterm-256color\nname: ada\ngot ada\n"
    assert stage.value(outcome).stdout == stage.text(outcome)
    assert stage.screen.shown == stage.text(outcome).replace("\n", "\r\n")


def test_what_is_typed_without_an_echo_is_shown_nowhere(tmp_path: Path, place: Path) -> None:
    stage = Stage(tmp_path, place, "stty -echo; printf 'password: '; read x; stty echo; echo; echo ${#x} characters")

    async def answer(stage: Stage) -> None:
        await stage.until("password: ")
        stage.pty.write(b"hunter2\r")

    outcome = stage.play(answer)
    assert stage.text(outcome) == "password:\n7 characters\n"
    assert "hunter2" not in stage.screen.shown
    assert b"hunter2" not in b"".join(file.read_bytes() for file in stage.job.folder.rglob("*") if file.is_file())


def test_it_is_told_its_size(tmp_path: Path, place: Path) -> None:
    stage = Stage(tmp_path, place, "trap 'stty size; exit 0' WINCH; echo ready; while true; do sleep 0.05; done")

    async def resize(stage: Stage) -> None:
        await stage.until("ready")
        stage.pty.resize(50, 132)

    assert stage.text(stage.play(resize)) == "ready\n50 132\n"


def test_an_interrupt_that_is_typed_ends_what_runs_in_front(tmp_path: Path, place: Path) -> None:
    stage = Stage(tmp_path, place, "trap 'echo stopped; exit 3' INT; echo ready; while true; do sleep 0.05; done")

    async def interrupt(stage: Stage) -> None:
        await stage.until("ready")
        stage.pty.write(b"\x03")

    outcome = stage.play(interrupt)
    assert isinstance(outcome, Failed)
    assert outcome.failure.line() == "ExitCode: exit code 3"
    assert stage.text(outcome) == "ready\n^Cstopped\n"


def test_what_stands_on_its_lines_at_last_is_its_output(tmp_path: Path, place: Path) -> None:
    script = r"printf '10%%\r20%%\r\e[K30%%\n\e[1;31mred\e[0m\e[?25l\e[5;5H plain\e]0;title\a\n'"
    stage = Stage(tmp_path, place, script)
    assert stage.text(stage.play()) == "30%\n\x1b[1;31mred\x1b[0m plain\n"


def test_what_a_program_draws_on_the_whole_screen_is_left_out_of_its_output(tmp_path: Path, place: Path) -> None:
    script = r"echo before; printf '\e[?1049h\e[2J\e[Hwhole\n'; sleep 0.1; printf 'screen\e[?1049l'; echo after"
    stage = Stage(tmp_path, place, script)
    assert stage.text(stage.play()) == f"before\n{DRAWN}after\n"
    assert "whole" in stage.screen.shown


def test_a_long_output_is_shown_to_its_end_and_kept_whole(tmp_path: Path, place: Path) -> None:
    stage = Stage(tmp_path, place, "seq 400000; echo é-the-end; read x; echo got $x")

    async def answer(stage: Stage) -> None:
        await stage.until("é-the-end\r\n")
        stage.pty.write(b"it\r")

    outcome = stage.play(answer)
    assert isinstance(outcome, Finished)
    assert stage.screen.shown.endswith("é-the-end\r\nit\r\ngot it\r\n")
    (artifact,) = outcome.result.artifacts
    kept = cast(FolderStore, stage.job.store).get(artifact.blob).decode()
    assert kept == "".join(f"{number}\r\n" for number in range(1, 400_001)) + "é-the-end\r\nit\r\ngot it\r\n"


def test_a_cancel_ends_all_that_runs_in_it(tmp_path: Path, place: Path) -> None:
    stage = Stage(tmp_path, place, "echo ready; (trap '' INT TERM HUP; sleep 600) & setsid sleep 600 & wait")

    async def main() -> None:
        launcher = SupervisedLauncher(place, "test", grace=0.0)
        work = asyncio.ensure_future(ShellWorker(launcher, adoptable=True).run(stage.job))
        try:
            await stage.until("ready")
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            assert work.cancelled()
            assert [held.pid for held in await launcher.launches() if held.code is None] == []
        finally:
            await launcher.close()

    asyncio.run(main())


def test_without_a_supervisor_there_is_none_and_it_says_what_to_do(tmp_path: Path, place: Path) -> None:
    stage = Stage(tmp_path, place, "true")

    async def main() -> Outcome:
        launcher = LocalLauncher()
        worker = ShellWorker(launcher)
        assert not worker.kind.terminal
        try:
            return await worker.run(stage.job)
        finally:
            await launcher.close()

    outcome = asyncio.run(main())
    assert isinstance(outcome, Failed)
    assert outcome.failure.message == (
        "there are no terminals here: they need a supervisor, which runs on Linux alone: leave out --needs terminal"
    )
