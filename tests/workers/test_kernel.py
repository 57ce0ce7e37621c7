"""Kernel tasks in real kernels: values, outputs, errors and what becomes of them."""

from __future__ import annotations

import asyncio
import os
import pickle
import subprocess
import sys
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from kernels import alive, kernels, until

from jupyter_orchestra.core.model import Blob, Capture, Input, Place, State
from jupyter_orchestra.core.ports import Blocked
from jupyter_orchestra.progress import listen, listening, progress
from jupyter_orchestra.values import NotCopied
from jupyter_orchestra.workers.restore import offsets

IN_ORDER = ["one", "two", "three", "four", "five", "six", "seven", "nine", "ten"]


def go(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 90))


def test_the_value_of_the_last_expression_comes_back() -> None:
    async def test() -> None:
        async with kernels() as k:
            assert await k.value("x = 20\nx + 1") == 21
            assert await k.value("x = 1") is None
            assert await k.value("7;") == 7
            result = await k.finish("{'a': [1, 2]}")
            assert k.load(result.value) == {"a": [1, 2]}
            assert result.text == "{'a': [1, 2]}"
            assert result.usage.seconds > 0
            assert k.outputs(result)[0]["data"] == {"text/plain": "{'a': [1, 2]}"}
            assert k.outputs(await k.finish("7;")) == []
            assert k.told.processes[0].connection

    go(test())


def test_functions_and_classes_come_back_by_value() -> None:
    async def test() -> None:
        async with kernels() as k:
            function = await k.value("scale = 3\ndef f(x):\n    return scale * x\nf")
            assert function(2) == 6

    go(test())


def test_returned_variables_come_back() -> None:
    async def test() -> None:
        async with kernels() as k:
            result = await k.finish("a = 1\nb = list(range(100_000))", returns=("a", "b"))
            assert result.value is None
            assert k.load(result.returned["a"]) == 1
            assert k.load(result.returned["b"])[-1] == 99_999
            assert result.returned["b"].digest  # went through a file

    go(test())


def test_the_value_stands_after_all_of_a_very_large_output() -> None:
    async def test() -> None:
        async with kernels() as k:
            outputs = k.outputs(await k.finish("print('x' * 3_000_000)\nprint('end')\n42"))
            assert [output["output_type"] for output in outputs][-2:] == ["stream", "execute_result"]
            assert outputs[-2]["text"].endswith("end\n")

    go(test())


def test_every_text_of_its_failure_can_be_encoded() -> None:
    async def test() -> None:
        async with kernels() as k:
            outcome = await k.fail("raise ValueError('a\\ud800b')")
            assert outcome.failure.message == "a\ufffdb"
            thread = "Thread(target=Event().wait, name='t\\ud800', daemon=True)"
            result = await k.finish(f"from threading import Event, Thread\n{thread}.start()")
            assert result.notes[0].startswith("thread t\ufffd that it left running")

    go(test())


def test_a_missing_or_uncopyable_return_fails_the_task() -> None:
    async def test() -> None:
        async with kernels() as k:
            missing = await k.fail("a = 1", returns=("b",))
            assert missing.failure.line() == "NameError: --return b: the task has made no variable 'b'"
            uncopyable = await k.fail("print('hi')\na = (i for i in [])", returns=("a",))
            assert "--return a: it can't be copied: TypeError" in uncopyable.failure.message
            assert k.text(uncopyable.result) == "hi\n"
            assert k.outputs(uncopyable.result)[-1]["output_type"] == "error"

    go(test())


def test_a_value_that_can_not_be_pickled_stays_in_its_kernel() -> None:
    async def test() -> None:
        async with kernels() as k:
            result = await k.finish("(i for i in [])")
            value = k.load(result.value)
            assert isinstance(value, NotCopied)
            assert "generator, not copied: it stayed in its kernel" in repr(value)
            assert result.text == repr(value)

    go(test())


def test_a_big_array_comes_back_through_a_file() -> None:
    async def test() -> None:
        async with kernels() as k:
            result = await k.finish("import numpy\nnumpy.arange(2_000_000.0)")
            assert result.value is not None
            assert result.value.digest
            assert 16_000_000 < result.value.size < 16_001_000
            assert k.load(result.value)[-1] == 1_999_999

    go(test())


def test_rich_output_is_kept() -> None:
    code = """
    import matplotlib.pyplot as plt
    from IPython.display import HTML, display
    plt.plot([1, 2])
    handle = display(HTML("<b>one</b>"), display_id="d")
    handle.update(HTML("<b>two</b>"))
    class Table:
        def _repr_html_(self):
            return "<table></table>"
    Table()
    """

    async def test() -> None:
        async with kernels() as k:
            html, table, figure = k.outputs(await k.finish("\n".join(line[4:] for line in code.splitlines())))
            assert html["data"]["text/html"] == "<b>two</b>"
            assert table["output_type"] == "execute_result"
            assert table["data"]["text/html"] == "<table></table>"
            assert figure["data"]["image/png"].startswith("iVBOR")
            assert await k.value("import matplotlib.pyplot as plt\nplt.get_fignums()") == []

    go(test())


def test_output_of_children_and_c_code_is_kept_in_order() -> None:
    code = """
import ctypes, os, subprocess, sys
print("one")
subprocess.run(["echo", "two"])
print("three")
os.system("echo four")
ctypes.CDLL(None).puts(b"five")
ctypes.CDLL(None).fflush(None)
!echo six
subprocess.run(["echo", "seven"], stdout=sys.stdout)
os.write(2, b"eight\\n")
sys.stdout.buffer.write("nine\\n".encode())
ctypes.CDLL(None).puts(b"ten");
"""

    async def test() -> None:
        async with kernels() as k:
            result = await k.finish(code)
            assert k.text(result).replace("\r", "").split() == IN_ORDER
            assert k.text(result, "stderr") == "eight\n"
            assert await k.value("captured = !echo out\ncaptured[0]") == "out"

    go(test())


def test_output_is_seen_while_the_task_runs(tmp_path: Path) -> None:
    go_on = tmp_path / "go"

    async def test() -> None:
        async with kernels() as k:
            wait = f"while not os.path.exists({str(go_on)!r}):\n    time.sleep(0.01)"
            job = k.job(f"import os, time\nprint('begun')\n{wait}")
            run = asyncio.create_task(k.worker.run(job))
            await until(lambda: k.told.outputs == [{"output_type": "stream", "name": "stdout", "text": "begun\n"}])
            await until(lambda: k.told.lines == ["begun"])
            go_on.touch()
            await run

    go(test())


def test_magics_and_top_level_await_work() -> None:
    async def test() -> None:
        async with kernels() as k:
            assert await k.value("import asyncio\nawait asyncio.sleep(0.001)\n'slept'") == "slept"
            assert await k.value("%pwd") == os.getcwd()
            assert "Wall time" in k.text(await k.finish("%%time\nsum(range(10))"))
            assert await k.value("async def f():\n    return 5\nawait f()") == 5

    go(test())


def test_an_error_comes_with_its_traceback() -> None:
    async def test() -> None:
        async with kernels() as k:
            failed = await k.fail("print('before')\ndef f():\n    return 1 / 0\nf()")
            assert failed.failure.line() == "ZeroDivisionError: division by zero"
            assert failed.failure.kind == "exception"
            stream, error = k.outputs(failed.result)
            assert stream["text"] == "before\n"
            assert error["ename"] == "ZeroDivisionError"
            assert "fit" in "".join(error["traceback"])
            assert (await k.fail("if")).failure.name == "SyntaxError"
            assert (await k.fail("import asyncio\nawait asyncio.sleep(0)\n[][1]")).failure.name == "IndexError"
            assert await k.value("1") == 1

    go(test())


@pytest.mark.parametrize("code", ["import sys\nsys.exit(3)", "raise SystemExit(3)", "exit(3)", "quit(3)"])
def test_an_exit_ends_the_task_as_failed_and_not_its_kernel(code: str) -> None:
    async def test() -> None:
        async with kernels() as k:
            failed = await k.fail("print('before')\n" + code)
            assert (failed.failure.kind, failed.failure.line()) == ("exit", "SystemExit: 3")
            assert k.text(failed.result) == "before\n"
            first = k.told.processes[0].pid
            assert await k.value("1") == 1
            assert k.told.processes[0].pid == first

    go(test())


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [
        ("import os\nos._exit(3)", "exit", "its kernel ended with exit code 3"),
        ("import os\nos.kill(os.getpid(), 9)", "killed", "its kernel was killed by SIGKILL"),
        ("import ctypes\nctypes.string_at(0)", "killed", "its kernel was killed by SIGSEGV"),
    ],
)
def test_a_kernel_that_dies_fails_the_task_and_keeps_what_was_printed(code: str, kind: str, message: str) -> None:
    async def test() -> None:
        async with kernels() as k:
            failed = await k.fail("print('one')\nprint('two')\n" + code)
            assert (failed.failure.kind, failed.failure.message) == (kind, message)
            assert k.text(failed.result) == "one\ntwo\n"
            assert await k.value("1") == 1

    go(test())


@pytest.mark.parametrize("code", ["input('name?')", "import getpass\ngetpass.getpass()"])
def test_input_is_refused(code: str) -> None:
    async def test() -> None:
        async with kernels() as k:
            failed = await k.fail(code)
            message = "input() is not available in a background task: pass the value in as a variable"
            assert failed.failure.message == message

    go(test())


@pytest.mark.parametrize("module", ["tqdm", "tqdm.auto", "tqdm.notebook"])
def test_tqdm_drives_the_progress(module: str) -> None:
    code = f"""
import warnings
from {module} import tqdm, trange
for i in tqdm(range(4), desc="fitting"):
    for j in trange(2, desc="inner", leave=False):
        pass
"""

    async def test() -> None:
        async with kernels() as k:
            result = await k.finish(code)
            assert k.told.fractions[-1] == 1.0
            bar = k.text(result, "stderr")
            assert "fitting: 100%" in bar
            assert "inner" not in bar
            assert "Warning" not in bar
            assert len(bar.splitlines()) <= 3
            assert await k.value(code + "1") == 1  # nothing of it stops the next one

    go(test())


def test_progress_reaches_the_reporter() -> None:
    async def test() -> None:
        async with kernels() as k:
            await k.finish("import jupyter_orchestra as jo\nfor i in range(1001):\n    jo.progress(i / 1000, 'fit')")
            assert (k.told.fractions[-1], k.told.lines[-1]) == (1.0, "fit")
            assert (await k.fail("import jupyter_orchestra as jo\njo.progress(40)")).failure.name == "ValueError"

    go(test())


def test_the_last_word_of_progress_comes_though_the_task_goes_on_without_another(tmp_path: Path) -> None:
    async def test() -> None:
        async with kernels() as k:
            gate = tmp_path / "gate"
            code = "import jupyter_orchestra as jo, os, time\nfor i in range(8):\n    jo.progress(i / 10, str(i))\n"
            work = asyncio.create_task(k.finish(code + f"while not os.path.exists({str(gate)!r}): time.sleep(0.01)"))
            await until(lambda: k.told.lines[-1:] == ["7"])
            gate.touch()
            await work

    go(test())


def test_progress_goes_to_the_context_first_and_outside_a_task_nowhere() -> None:
    context: list[tuple[float, str]] = []
    process: list[tuple[float, str]] = []
    progress(0.5)
    listen(lambda fraction, note: process.append((fraction, note)))
    try:
        with listening(lambda fraction, note: context.append((fraction, note))):
            progress(0.25, "a")
        progress(1, "b")
    finally:
        listen(None)
    assert (context, process) == ([(0.25, "a")], [(1.0, "b")])
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="from 0 to 1"):
            progress(wrong)


def test_each_task_has_a_fresh_namespace_and_place(tmp_path: Path) -> None:
    dirty = """
import os, random, signal, sys, warnings, logging
x = 1
os.environ["LEFT"] = "1"
del os.environ["HOME"]
os.chdir("/")
sys.path.append("/left")
sys.argv.append("left")
sys.stdout = None
warnings.simplefilter("error")
signal.signal(signal.SIGTERM, signal.SIG_IGN)
logging.basicConfig(level=10)
"""
    look = """
import os, signal, sys, warnings, logging
(sorted(n for n in globals() if n in ("x", "random")), "LEFT" in os.environ, "HOME" in os.environ, os.getcwd(),
 "/left" in sys.path, "left" in sys.argv, signal.getsignal(signal.SIGTERM) == signal.SIG_DFL, logging.root.level,
 logging.root.handlers, any(f[0] == "error" and f[2] is Warning for f in warnings.filters),
 os.environ["ORCHESTRA_TASK_UID"], os.environ["ORCHESTRA_TASK"], __name__)
"""

    async def test() -> None:
        async with kernels() as k:
            await k.finish(dirty)
            first = k.told.processes[0].pid
            seen = await k.value(look, cwd=str(tmp_path))
            assert k.told.processes[0].pid == first
            assert seen == (
                [], False, True, str(tmp_path), False, False, True, 30, [], False, "u2", "fit", "__main__",
            )  # fmt: skip
            one, two = [await k.value("import random\nrandom.random()") for _ in range(2)]
            assert one != two

    go(test())


def test_the_notebooks_environment_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JO_GONE", "1")

    async def test() -> None:
        async with kernels() as k:
            look = "import os\nos.environ.get('JO_GONE'), os.environ.get('JO_NEW')"
            assert await k.value(look) == ("1", None)
            monkeypatch.delenv("JO_GONE")
            monkeypatch.setenv("JO_NEW", "2")
            assert await k.value(look) == (None, "2")

    go(test())


def test_a_local_module_edited_between_tasks_is_seen(tmp_path: Path) -> None:
    async def test() -> None:
        place = Place(cwd=str(tmp_path), path=("", *sys.path))
        async with kernels() as k:
            (tmp_path / "mine.py").write_text("value = 1")
            assert await k.value("import mine\nmine.value", place=place) == 1
            (tmp_path / "mine.py").write_text("value = 22")
            assert await k.value("import mine\nmine.value", place=place) == 22

    go(test())


def test_a_child_left_behind_is_ended_with_its_kernel() -> None:
    code = """
import subprocess
process = subprocess.Popen(["sh", "-c", "setsid sleep 1000 & echo $!; exit"], stdout=subprocess.PIPE)
int(process.stdout.readline())
"""

    async def test() -> None:
        async with kernels() as k:
            result = await k.finish(code)
            assert not alive(k.load(result.value))
            assert result.notes == ("a child process that it left running was ended with its kernel",)

    go(test())


def test_a_captured_array_is_mapped_writable(tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")
    big = numpy.arange(12_500_000.0)  # 100 MB
    buffers: list[pickle.PickleBuffer] = []
    stream = cloudpickle.dumps({"big": big, "small": [1]}, protocol=5, buffer_callback=buffers.append)
    file = tmp_path / "buffers"
    sizes = tuple(buffer.raw().nbytes for buffer in buffers)
    with file.open("wb") as out:
        for offset, buffer in zip(offsets(sizes), buffers, strict=True):
            out.seek(offset)
            out.write(buffer.raw())
    capture = Capture(("big", "small"), Blob(len(stream), data=stream), str(file), sizes)

    async def test() -> None:
        async with kernels() as k:
            code = "small.append(2)\nbig[0] = 5\nfloat(big.sum()), small, big.flags.writeable"
            assert await k.value(code, capture=capture) == (float(big.sum()) + 5, [1, 2], True)
            assert await k.value("float(big[0])", capture=capture) == 0.0
            assert numpy.frombuffer(file.read_bytes()[:8])[0] == 0.0
            gone = Capture(("big",), Blob(len(stream), data=stream), str(tmp_path / "gone"), sizes)
            assert (await k.fail("big", capture=gone)).failure.kind == "snapshot"

    go(test())


def test_results_of_the_tasks_before_are_there() -> None:
    async def test() -> None:
        async with kernels() as k:
            big = (await k.finish("b'x' * 1_000_000")).value
            small = (await k.finish("41")).value
            inputs = {
                "big": Input(State.DONE, big),
                "small": Input(State.DONE, small),
                "none": Input(State.DONE),
                "bad": Input(State.FAILED, error="ValueError: no"),
            }
            code = "len(results['big']), results['small'], results['none'], sorted(results)"
            assert await k.value(code, inputs=inputs) == (1_000_000, 41, None, ["big", "none", "small"])
            failed = await k.fail("results['bad']", inputs=inputs)
            assert failed.failure.message == "task 'bad' has no value: ValueError: no"
            unknown = await k.fail("results['what']", inputs=inputs)
            assert unknown.failure.message.startswith("no task 'what' comes before this one (before it: big")
            assert (await k.fail("results")).failure.name == "NameError"

    go(test())


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("no right to mount")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_disk_that_can_not_be_written_blocks_the_task(read_only: Path) -> None:
    async def test() -> None:
        async with kernels() as k:
            job = k.job("1")
            (job.folder / "spool").symlink_to(read_only / "spool")
            outcome = await k.worker.run(job)
            assert isinstance(outcome, Blocked)
            assert outcome.reason.startswith("the disk is read-only: make it writable")
            assert await k.value("1") == 1

    go(test())


def test_a_working_directory_that_is_gone_fails_the_task() -> None:
    async def test() -> None:
        async with kernels() as k:
            failed = await k.fail("1", cwd="/does/not/exist")
            assert failed.failure.kind == "start"
            assert "/does/not/exist" in failed.failure.message
            assert await k.value("1") == 1

    go(test())


def test_a_flood_of_output_is_kept_whole() -> None:
    async def test() -> None:
        async with kernels() as k:
            result = await k.finish("for i in range(200_000):\n    print(i)")
            assert "199999" in k.text(result)[-100:]
            assert result.artifacts[0].blob.size == sum(len(str(i)) + 1 for i in range(200_000))

    go(test())


def test_code_is_checked() -> None:
    async def test() -> None:
        async with kernels() as k:
            assert k.worker.check("x = 1\n!ls") == ""
            assert k.worker.check("please do it") != ""

    go(test())
