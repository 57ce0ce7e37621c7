import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest

from jupyter_orchestra.core.ports import Launch
from jupyter_orchestra.processes.ladder import end_gently
from jupyter_orchestra.processes.launcher import LocalLauncher, LocalRunning
from jupyter_orchestra.processes.spool import Frame, SpoolReader
from jupyter_orchestra.processes.tree import Root, age, end_tree, members, started, sweep

ESCAPES = "setsid bash -c '(setsid sleep 1000 &); sleep 1000; :' & echo ready; sleep 1000; :"
ESCAPED = 6  # processes of that, the spooler included
EARLY = 0.9  # seconds in which what must be "at once" has happened, on a busy machine too


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def launched(
    tmp_path: Path, script: str, check: Callable[[LocalRunning], Awaitable[None]], limit: int = 2 << 30
) -> None:
    async def main() -> None:
        launcher = LocalLauncher()
        try:
            await check(await launcher.start(launch(tmp_path, script, limit)))
        finally:
            await launcher.close()

    asyncio.run(main())


def launch(tmp_path: Path, script: str, limit: int = 2 << 30) -> Launch:
    folder = tmp_path / "job"
    return Launch(
        ("bash", "-c", script), folder, os.fspath(tmp_path), dict(os.environ), tmp_path / "spool", limit=limit
    )


def frames(running: LocalRunning) -> list[Frame]:
    reader, offset, found = SpoolReader(), 0, []
    while data := running.read(offset):
        offset += len(data)
        found += reader.feed(data)
    return found


def text(running: LocalRunning, stream: str = "stdout") -> bytes:
    return b"".join(frame.payload for frame in frames(running) if frame.kind == stream)


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.005)


def mark_of(running: LocalRunning) -> str:
    while True:  # right after the start the kernel has no environment for it yet
        environment = Path(f"/proc/{running.process.pid}/environ").read_text()
        for item in environment.split("\0"):
            if item.startswith("ORCHESTRA_LAUNCH="):
                return item


@pytest.mark.parametrize(
    ("script", "code"),
    [("true", 0), ("exit 3", 3), ("exit 255", 255), ("kill -9 $$", -9), ("kill -SEGV $$", -11), ("kill -INT $$", -2)],
)
def test_the_exit_code_is_the_commands(tmp_path: Path, script: str, code: int) -> None:
    async def check(running: LocalRunning) -> None:
        assert await running.wait() == code
        assert [frame.fields for frame in frames(running) if frame.kind == "exit"] == [{"code": code}]

    launched(tmp_path, script, check)


def test_streams_are_interleaved_as_they_came(tmp_path: Path) -> None:
    async def check(running: LocalRunning) -> None:
        await running.wait()
        assert [(f.kind, f.payload) for f in frames(running)][:3] == [
            ("stdout", b"a\n"),
            ("stderr", b"b\n"),
            ("stdout", b"c\n"),
        ]

    launched(tmp_path, "echo a; sleep 0.1; echo b >&2; sleep 0.1; echo c", check)


def test_invalid_text_is_replaced_and_split_characters_stay_whole(tmp_path: Path) -> None:
    async def check(running: LocalRunning) -> None:
        await running.wait()
        assert text(running).decode() == "\ufffd|é|\ufffd"

    launched(tmp_path, r"printf '\xff|\xc3'; sleep 0.1; printf '\xa9|\xe2\x82'", check)


def test_it_is_ended_also_where_no_thread_can_be_had_any_more(tmp_path: Path) -> None:
    async def check(running: LocalRunning) -> None:
        mark = mark_of(running)
        await until(lambda: len(members(mark)) == ESCAPED)
        running._launcher._threads.shutdown()
        running._launcher._signals.shutdown()
        running.signal(signal.SIGSTOP)
        running.signal(signal.SIGCONT)
        await running.end()
        assert not members(mark)

    launched(tmp_path, ESCAPES, check)


def test_a_command_that_is_not_there_says_so(tmp_path: Path) -> None:
    async def check() -> None:
        launcher = LocalLauncher()
        running = await launcher.start(
            Launch(("no-such-program",), tmp_path / "job", os.fspath(tmp_path), dict(os.environ), tmp_path / "spool")
        )
        assert await running.wait() == 127
        assert text(running, "stderr") == b"no-such-program: No such file or directory\n"
        await launcher.close()

    asyncio.run(check())


def test_a_missing_directory_is_an_error(tmp_path: Path) -> None:
    async def check() -> None:
        launcher = LocalLauncher()
        with pytest.raises(FileNotFoundError, match="nowhere"):
            await launcher.start(Launch(("true",), tmp_path / "job", "/nowhere", {}, tmp_path / "spool"))
        await launcher.close()

    asyncio.run(check())


def test_the_environment_is_exact_but_for_the_mark(tmp_path: Path) -> None:
    async def check() -> None:
        launcher = LocalLauncher()
        running = await launcher.start(Launch(("/usr/bin/env",), tmp_path / "job", "/", {"A": "1"}, tmp_path / "spool"))
        await running.wait()
        names = {line.split(b"=")[0] for line in text(running).splitlines()}
        assert names == {b"A", b"ORCHESTRA_LAUNCH"}
        assert (tmp_path / "job").stat().st_mode & 0o777 == 0o700
        await launcher.close()

    asyncio.run(check())


def test_a_background_child_that_holds_the_pipe_is_not_waited_for(tmp_path: Path) -> None:
    async def check(running: LocalRunning) -> None:
        mark = mark_of(running)
        assert await running.wait() == 0
        await running.end()
        assert text(running) == b"main\nlate\n"
        assert not members(mark)

    begin = time.monotonic()
    launched(tmp_path, "(sleep 0.05; echo late; sleep 1000) & echo main", check)
    assert time.monotonic() - begin < 3


def test_a_gigabyte_passes_quickly_and_no_frame_is_large(tmp_path: Path) -> None:
    async def check(running: LocalRunning) -> None:
        assert await running.wait() == 0
        assert sum(len(frame.payload) for frame in frames(running)) < 2 << 20
        assert size(tmp_path / "spool.txt") == 1_000_000_000

    launched(tmp_path, "head -c 1000000000 /dev/zero | tr '\\0' 'x'", check)


def test_endless_output_is_cut_and_can_be_cancelled(tmp_path: Path) -> None:
    async def check(running: LocalRunning) -> None:
        await until(lambda: size(tmp_path / "spool.txt") == 3_000_000)
        await end_gently(running)
        assert await running.wait() == -signal.SIGINT
        (cut,) = (frame for frame in frames(running) if frame.kind == "cut")
        assert cut.fields["dropped"] > 0
        assert size(tmp_path / "spool.txt") == 3_000_000

    launched(tmp_path, "exec yes", check, limit=3_000_000)


def test_a_polite_command_ends_at_the_interrupt(tmp_path: Path) -> None:
    async def check(running: LocalRunning) -> None:
        await until(lambda: text(running))
        begin = time.monotonic()
        await end_gently(running)
        assert time.monotonic() - begin < EARLY

    launched(tmp_path, "echo ready; sleep 1000", check)


def test_a_command_that_ignores_the_interrupt_is_terminated(tmp_path: Path) -> None:
    async def check(running: LocalRunning) -> None:
        await until(lambda: text(running))
        begin = time.monotonic()
        await end_gently(running)
        assert 2 <= time.monotonic() - begin < 2 + EARLY

    launched(tmp_path, "trap '' INT; echo ready; sleep 1000", check)


def test_a_command_that_ignores_everything_is_killed(tmp_path: Path) -> None:
    async def check(running: LocalRunning) -> None:
        await until(lambda: text(running))
        begin = time.monotonic()
        await end_gently(running)
        assert 5 <= time.monotonic() - begin < 6
        assert await running.wait() == -9

    launched(tmp_path, "trap '' INT TERM; echo ready; while true; do sleep 1; done", check)


def test_children_that_left_the_session_are_ended_too(tmp_path: Path) -> None:
    async def check(running: LocalRunning) -> None:
        mark = mark_of(running)
        await until(lambda: len(members(mark)) >= ESCAPED)
        begin = time.monotonic()
        await end_gently(running)
        assert time.monotonic() - begin < EARLY
        assert not members(mark)

    launched(tmp_path, ESCAPES, check)


def test_a_command_that_forks_without_end_is_ended(tmp_path: Path) -> None:
    async def check(running: LocalRunning) -> None:
        mark = mark_of(running)
        await until(lambda: text(running))
        await running.end()
        assert not members(mark)

    launched(tmp_path, "trap '' INT TERM; f() { sleep 0.01; f & }; f & f & echo ready; wait; sleep 1000", check)


def test_ending_twice_and_signals_after_the_end_do_nothing(tmp_path: Path) -> None:
    async def check(running: LocalRunning) -> None:
        await asyncio.gather(running.end(), running.end())
        await running.end()
        running.signal(signal.SIGINT)
        assert await running.wait() == -9

    launched(tmp_path, "sleep 1000", check)


def test_a_second_cancellation_kills_at_once(tmp_path: Path) -> None:
    async def check(running: LocalRunning) -> None:
        await until(lambda: text(running))
        ending = asyncio.ensure_future(end_gently(running))
        await asyncio.sleep(0)
        begin = time.monotonic()
        ending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ending
        assert time.monotonic() - begin < EARLY
        assert await running.wait() == -9

    launched(tmp_path, "trap '' INT TERM; echo ready; while true; do sleep 1; done", check)


def test_work_that_stops_while_its_process_lives_on_ends_the_ladder(tmp_path: Path) -> None:
    async def check(running: LocalRunning) -> None:
        await until(lambda: text(running))
        begin = time.monotonic()
        await end_gently(running, interrupted=until(lambda: b"caught" in text(running)))
        assert time.monotonic() - begin < EARLY

    launched(tmp_path, "trap 'echo caught' INT; echo ready; while true; do sleep 0.05; done", check)


def states(mark: str, but: int) -> set[str]:
    return {psutil.Process(pid).status() for pid in members(mark) - {but}}


def test_pause_reaches_other_groups_but_not_the_spooler(tmp_path: Path) -> None:
    async def check(running: LocalRunning) -> None:
        pid, mark = running.process.pid, mark_of(running)
        await until(lambda: len(members(mark)) >= 4)
        running.signal(signal.SIGSTOP)
        await until(lambda: states(mark, pid) == {"stopped"})
        assert psutil.Process(pid).status() != "stopped"
        running.signal(signal.SIGCONT)
        await until(lambda: "stopped" not in states(mark, pid))
        running.signal(signal.SIGSTOP)
        await until(lambda: states(mark, pid) == {"stopped"})
        begin = time.monotonic()
        await end_gently(running)
        assert time.monotonic() - begin < EARLY

    launched(tmp_path, "timeout 1000 sleep 1000 & sleep 1000; wait", check)


PARENT = """
import asyncio, os, signal, sys
from pathlib import Path
from jupyter_orchestra.core.ports import Launch
from jupyter_orchestra.processes.launcher import LocalLauncher
from jupyter_orchestra.processes.tree import members
async def main():
    folder, script, stop = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    environment = {**os.environ, "ORCHESTRA_RUNTIME": f"test-{folder}"}
    launch = Launch(("bash", "-c", script), folder / "job", "/", environment, folder / "s")
    running = await LocalLauncher().start(launch)
    if not os.fork():
        signal.pause()  # as multiprocessing's children do: it must not keep the lifeline
    while b"ready" not in running.read(0) or len(members(running._mark)) < 6:
        await asyncio.sleep(0.01)
    if stop:
        running.signal(signal.SIGSTOP)
    print("up", flush=True)
    await running.wait()
asyncio.run(main())
"""


@pytest.mark.parametrize("stop", ["", "stop"])
def test_nothing_is_left_when_the_kernel_is_killed(tmp_path: Path, stop: str) -> None:
    mark = f"ORCHESTRA_RUNTIME=test-{tmp_path}"
    command = [sys.executable, "-c", PARENT, os.fspath(tmp_path), ESCAPES, stop]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"up\n"
        if stop:
            while not any(psutil.Process(pid).status() == "stopped" for pid in members(mark)):
                pass
        while len(members(mark)) < ESCAPED:
            pass
        parent.kill()
        while members(mark):
            pass
        os.killpg(parent.pid, signal.SIGKILL)


def test_sweep_ends_what_carries_the_mark(tmp_path: Path) -> None:
    mark = f"ORCHESTRA_RUNTIME=sweep-{tmp_path}"
    name, _, value = mark.partition("=")
    command = ["bash", "-c", "(setsid sleep 1000 &); sleep 1000; :"]
    with subprocess.Popen(command, env={**os.environ, name: value}) as child:
        while len(members(mark)) < 3:
            pass
        assert len(sweep(mark)) == 3
        assert not members(mark)
        assert not sweep(mark)
        assert child.wait() == -9


def test_a_script_that_is_ended_begins_no_other_command(tmp_path: Path) -> None:
    async def check(running: LocalRunning) -> None:
        await until(lambda: text(running))
        await running.end()
        assert not (tmp_path / "next").exists()

    launched(tmp_path, "echo ready; sleep 1000; touch next; sleep 1000", check)


def test_a_later_process_of_the_same_number_is_spared() -> None:
    with subprocess.Popen(["sleep", "1000"]) as child:
        assert not end_tree("NO=SUCH", Root(child.pid, started(child.pid) - 60))
        assert child.poll() is None
        child.kill()


@pytest.mark.parametrize("seconds", [-86_400.0, 1.0, 3_600.0])
def test_a_clock_that_is_set_hides_no_process(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    now, boot = time.time, psutil.boot_time()
    with subprocess.Popen(["sleep", "1000"]) as child:
        root = Root(child.pid, started(child.pid))
        old = age(root.started)
        monkeypatch.setattr(time, "time", lambda: now() + seconds)
        monkeypatch.setattr("psutil._psplatform.boot_time", lambda: boot + seconds)
        try:
            assert old <= age(root.started) < old + 100
            assert root.pid in members("NO=SUCH", root)
            assert not end_tree("NO=SUCH", root)
            assert child.wait(10) == -signal.SIGKILL
        finally:
            child.kill()


def test_we_and_our_ancestors_are_spared() -> None:
    assert os.getpid() not in members("NO=SUCH", Root(os.getppid(), 0.0))
    assert os.getppid() not in members("NO=SUCH", Root(os.getppid(), 0.0))


def test_the_exit_code_is_known_though_someone_else_took_it(tmp_path: Path) -> None:
    async def check(running: LocalRunning) -> None:
        assert os.waitpid(running.process.pid, 0)[0] == running.process.pid  # noqa: ASYNC222
        assert await running.wait() == 7

    launched(tmp_path, "exit 7", check)


def test_close_ends_everything(tmp_path: Path) -> None:
    async def check() -> None:
        launcher = LocalLauncher()
        running = await launcher.start(launch(tmp_path, ESCAPES))
        mark = mark_of(running)
        await until(lambda: len(members(mark)) >= ESCAPED)
        await launcher.close()
        assert not members(mark)

    asyncio.run(check())
