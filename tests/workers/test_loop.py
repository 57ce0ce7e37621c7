"""Bodies on the notebook's own loop: they end when they end, and what they put out is theirs alone.

Longer than other modules: all of it needs the one loop that is made here.
"""

from __future__ import annotations

import ast
import asyncio
import json
import pickle
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from jupyter_orchestra.core.model import Blob, Input, Process, Spec, State
from jupyter_orchestra.core.ports import Failed, Finished, Job, Outcome, Worker
from jupyter_orchestra.workers.loop import LoopWorker

LIMIT = 20  # seconds until a wait is a failure


class Memory:
    def put(self, data: bytes) -> Blob:
        return Blob(len(data), data)

    def adopt(self, path: Path) -> Blob:
        raise NotImplementedError

    def get(self, blob: Blob) -> bytes:
        if blob.data is None:
            raise KeyError(blob.digest)
        return blob.data

    def file(self, blob: Blob) -> Path | None:
        return None


class Reporter:
    def __init__(self) -> None:
        self.progressed: list[tuple[float | None, str]] = []
        self.outputs: list[dict[str, object]] = []

    def started(self, process: Process) -> None:
        raise AssertionError("a loop task has no process")

    def progress(self, fraction: float | None, line: str = "") -> None:
        self.progressed.append((fraction, line))

    def output(self, output: dict[str, object]) -> None:
        self.outputs.append(output)


class Publisher:
    def __init__(self) -> None:
        self.published: list[Any] = []

    def publish(self, data: Any, metadata: Any = None, **options: Any) -> None:
        self.published.append(data)

    def clear_output(self, wait: bool = False) -> None:
        self.published.append("clear")


class Shell:
    """As much of IPython's as a loop task uses."""

    def __init__(self) -> None:
        self.user_ns: dict[str, Any] = {"__name__": "__main__"}
        self.display_pub = Publisher()
        self.display_formatter = SimpleNamespace(format=lambda value: ({"text/plain": repr(value)}, {}))
        self.displayhook = SimpleNamespace(semicolon_at_end_of_expression=lambda code: code.rstrip().endswith(";"))
        self.compile = SimpleNamespace(flags=0)
        self.shown: list[Any] = []

    def transform_cell(self, code: str) -> str:
        return code

    def transform_ast(self, tree: ast.Module) -> ast.Module:
        return tree

    def _showtraceback(self, kind: Any, value: Any, lines: Any) -> None:
        self.shown.append(lines)


class Kernel:
    """A loop in a thread of its own, as the notebook kernel's."""

    def __init__(self, folder: Path) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.shell = Shell()
        self.live: dict[tuple[str, int], object] = {}
        self.worker = LoopWorker(lambda: self.shell, lambda: self.loop, self.live)
        self.reporter = Reporter()
        self.folder = folder

    def job(self, code: str, **options: Any) -> Job:
        inputs = options.pop("inputs", {})
        spec = Spec(uid="u1", name="t", worker="loop", brief=textwrap.dedent(code), **options)
        return Job(spec, "t", 1, self.folder, inputs, Memory(), self.reporter)

    def run(self, code: str, **options: Any) -> Outcome:
        return asyncio.run(asyncio.wait_for(self.worker.run(self.job(code, **options)), LIMIT))

    def end(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(LIMIT)
        self.loop.close()


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    made = Kernel(tmp_path)
    yield made
    made.end()


def done(outcome: Outcome) -> Any:
    assert isinstance(outcome, Finished), outcome
    return outcome.result


def value(outcome: Outcome) -> Any:
    return pickle.loads(done(outcome).value.data)


def outputs(outcome: Outcome) -> list[dict[str, Any]]:
    assert isinstance(outcome, Finished | Failed)
    blob = outcome.result.outputs
    return [] if blob is None else json.loads(blob.data or b"")


async def until(condition: Callable[[], bool]) -> None:
    async def wait() -> None:
        while not condition():  # noqa: ASYNC110  (what changes is in another thread)
            await asyncio.sleep(0.002)

    await asyncio.wait_for(wait(), LIMIT)


def test_it_is_a_worker(kernel: Kernel) -> None:
    worker: Worker = kernel.worker
    assert (worker.kind.name, worker.kind.pausable, worker.kind.cooperative) == ("loop", False, True)
    assert worker.check("await f()") == ""
    assert worker.check("tell me more").endswith("plain words? use %%chat, or -w agent")


def test_the_last_expression_is_the_value(kernel: Kernel) -> None:
    outcome = kernel.run("import asyncio\nx = 20\nawait asyncio.sleep(0)\nx + 1")
    assert value(outcome) == 21
    assert done(outcome).text == "21"
    assert outputs(outcome)[-1]["data"] == {"text/plain": "21"}
    assert kernel.live == {("u1", 1): 21}


def test_an_awaited_last_expression_gives_its_value(kernel: Kernel) -> None:
    assert value(kernel.run("import asyncio\nawait asyncio.sleep(0, 'x')")) == "x"


def test_a_semicolon_hides_the_value_and_keeps_it(kernel: Kernel) -> None:
    outcome = kernel.run("1 + 1;")
    assert (value(outcome), outputs(outcome)) == (2, [])


def test_it_runs_in_the_notebooks_thread_and_namespace(kernel: Kernel) -> None:
    kernel.shell.user_ns["a"] = a = [1]
    done(kernel.run("import threading\na.append(threading.get_ident())\nb = a"))
    assert a == [1, kernel.thread.ident]
    assert kernel.shell.user_ns["b"] is a


def test_the_live_value_is_handed_over_as_it_is(kernel: Kernel) -> None:
    outcome = kernel.run("import threading\nlock = threading.Lock()\nlock")
    assert kernel.live["u1", 1] is kernel.shell.user_ns["lock"]
    assert "_thread.lock" in repr(value(outcome))
    assert "in this kernel only" in done(outcome).notes[0]


def test_returned_variables_come_from_the_namespace(kernel: Kernel) -> None:
    kernel.shell.user_ns["old"] = 1
    result = done(kernel.run("new = [2]", returns=("old", "new")))
    assert {name: pickle.loads(blob.data) for name, blob in result.returned.items()} == {"old": 1, "new": [2]}


def test_a_variable_that_is_not_there_fails_the_task(kernel: Kernel) -> None:
    outcome = kernel.run("x = 1", returns=("y",))
    assert isinstance(outcome, Failed)
    assert outcome.failure.line() == "NameError: --return y: the task has made no variable 'y'"


def test_a_variable_that_can_not_be_copied_is_a_note(kernel: Kernel) -> None:
    result = done(kernel.run("import threading\nq, n = threading.Lock(), 2", returns=("q", "n")))
    assert list(result.returned) == ["n"]
    (note,) = result.notes
    assert note.startswith("--return q: it is in this kernel only: ")
    assert "_thread.lock" in note


@pytest.mark.parametrize("stop", ["ValueError", "SystemExit", "KeyboardInterrupt"])
def test_an_error_that_can_not_say_what_it_is_keeps_its_name(kernel: Kernel, stop: str) -> None:
    code = f"""
        class Mute(Exception):
            def __str__(self):
                raise {stop}
        raise Mute
    """
    outcome = kernel.run(code)
    assert isinstance(outcome, Failed)
    assert outcome.failure.line() == f"Mute: (its message failed with {stop})"
    assert outputs(outcome)[-1]["ename"] == "Mute"
    assert value(kernel.run("1")) == 1


def test_every_text_that_leaves_it_can_be_encoded(kernel: Kernel) -> None:
    class Odd:
        def __repr__(self) -> str:
            return "o\ud800dd"

        def __reduce__(self) -> str:
            raise TypeError("n\udfffo")

    kernel.shell.user_ns["odd"] = Odd()
    result = done(kernel.run("odd", returns=("odd",)))
    assert result.text == "o\ufffddd"
    assert [note.rpartition(" ")[2] for note in result.notes] == ["n\ufffdo", "n\ufffdo"]
    assert msgspec.json.encode(result)
    failed = kernel.run("raise ValueError('a\\ud800b\\0')")
    assert isinstance(failed, Failed)
    assert failed.failure.message == "a\ufffdb\ufffd"
    assert msgspec.json.encode(failed)


def test_without_a_loop_it_says_what_to_use(kernel: Kernel) -> None:
    worker = LoopWorker(lambda: kernel.shell, lambda: None, {})
    line = "loop tasks need a notebook kernel's event loop: use the kernel worker here"
    assert worker.check("1") == line
    outcome = asyncio.run(worker.run(kernel.job("1")))
    assert isinstance(outcome, Failed)
    assert (outcome.failure.kind, outcome.failure.message) == ("start", line)


def test_results_of_earlier_tasks_leave_the_notebooks_own_alone(kernel: Kernel) -> None:
    kernel.shell.user_ns["results"] = "mine"
    data = pickle.dumps(41)
    inputs = {"a": Input(State.DONE, Blob(len(data), data)), "b": Input(State.FAILED, error="no luck")}
    outcome = kernel.run("x = results['a'] + 1\n[x, list(results)]", inputs=inputs)
    assert value(outcome) == [42, ["a"]]
    assert kernel.shell.user_ns["results"] == "mine"
    assert [name for name in kernel.shell.user_ns if "results" in name] == ["results"]
    failed = kernel.run("results['b']", inputs=inputs)
    assert isinstance(failed, Failed)
    assert "no luck" in failed.failure.message


def test_what_a_model_wrote_brings_no_code_into_the_notebook(kernel: Kernel) -> None:
    plain, function = pickle.dumps({"a": [1]}), pickle.dumps(print)
    inputs = {
        "data": Input(State.DONE, Blob(len(plain), plain), trusted=False),
        "code": Input(State.DONE, Blob(len(function), function), trusted=False),
    }
    assert value(kernel.run("results['data']", inputs=inputs)) == {"a": [1]}
    failed = kernel.run("results['code']", inputs=inputs)
    assert isinstance(failed, Failed)
    assert "holds builtins.print, which is not loaded from what a model wrote" in failed.failure.message


@pytest.mark.parametrize(
    ("code", "kind", "line"),
    [
        ("1 / 0", "exception", "ZeroDivisionError: division by zero"),
        ("import asyncio\nawait asyncio.sleep(0)\nraise SystemExit(3)", "exit", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "exception", "KeyboardInterrupt"),
        ("import asyncio\nraise asyncio.CancelledError", "exception", "CancelledError"),
        ("raise ExceptionGroup('many', [ValueError('one')])", "exception", "ExceptionGroup: many (1 sub-exception)"),
        ("x = = 1", "exception", "SyntaxError: invalid syntax (<task t>, line 1)"),
    ],
)
def test_a_failure_is_a_failure_and_the_loop_goes_on(kernel: Kernel, code: str, kind: str, line: str) -> None:
    outcome = kernel.run(code)
    assert isinstance(outcome, Failed)
    assert (outcome.failure.kind, outcome.failure.line()) == (kind, line)
    assert outputs(outcome)[-1]["output_type"] == "error"
    assert value(kernel.run("'alive'")) == "alive"


def test_output_is_collected_and_reported_live(kernel: Kernel, capsys: pytest.CaptureFixture[str]) -> None:
    code = """
        import asyncio, sys
        print("one")
        await asyncio.sleep(0)
        get().publish({"text/plain": "shown"}, {"m": 1}, transient={"display_id": "d"})
        get().publish({"text/plain": "anew"}, transient={"display_id": "d"}, update=True)
        print("two", file=sys.stderr)
        await asyncio.to_thread(print, "three")
        await asyncio.create_task(asyncio.sleep(0))
    """
    kernel.shell.user_ns["get"] = lambda: kernel.shell.display_pub
    outcome = kernel.run(code)
    assert outputs(outcome) == [
        {"output_type": "stream", "name": "stdout", "text": "one\n"},
        {"output_type": "display_data", "data": {"text/plain": "anew"}, "metadata": {}},
        {"output_type": "stream", "name": "stderr", "text": "two\n"},
        {"output_type": "stream", "name": "stdout", "text": "three\n"},
    ]
    assert str(kernel.reporter.outputs[0]["text"]).startswith("one")
    assert kernel.reporter.progressed[-1] == (None, "three")
    assert capsys.readouterr() == ("", "")
    assert kernel.shell.display_pub.published == []


def test_output_of_others_is_not_caught(kernel: Kernel, capsys: pytest.CaptureFixture[str]) -> None:
    kernel.shell.user_ns["gate"] = gate = asyncio.Event()

    async def scene() -> Outcome:
        run = asyncio.create_task(kernel.worker.run(kernel.job("print('mine')\nawait gate.wait()\nprint('mine too')")))
        await until(lambda: bool(kernel.reporter.outputs))
        print("from the runtime")
        kernel.loop.call_soon_threadsafe(print, "from another cell")
        kernel.loop.call_soon_threadsafe(kernel.shell.display_pub.publish, {"text/plain": "theirs"})
        kernel.loop.call_soon_threadsafe(gate.set)
        return await asyncio.wait_for(run, LIMIT)

    outcome = asyncio.run(scene())
    assert [output["text"] for output in outputs(outcome)] == ["mine\nmine too\n"]
    assert capsys.readouterr().out == "from the runtime\nfrom another cell\n"
    assert kernel.shell.display_pub.published == [{"text/plain": "theirs"}]


def test_two_at_once_keep_apart_and_leave_nothing_behind(kernel: Kernel) -> None:
    before = dict(vars(kernel.shell.display_pub)), sys.stdout.write

    async def scene() -> list[Outcome]:
        jobs = [
            kernel.job(f"import asyncio\nfor i in range(3):\n  print('{n}', end='')\n  await asyncio.sleep(0)")
            for n in "ab"
        ]
        return list(await asyncio.gather(*(kernel.worker.run(job) for job in jobs)))

    first, second = asyncio.run(scene())
    assert [outputs(first)[0]["text"], outputs(second)[0]["text"]] == ["aaa", "bbb"]
    assert "write" not in vars(sys.stdout)
    assert (dict(vars(kernel.shell.display_pub)), sys.stdout.write) == before
    assert "_showtraceback" not in vars(kernel.shell)


def test_what_a_task_leaves_running_writes_the_ordinary_way(kernel: Kernel, capsys: pytest.CaptureFixture[str]) -> None:
    code = """
        import asyncio
        gate, over = asyncio.Event(), asyncio.Event()
        async def later():
            await gate.wait()
            print("late")
            over.set()
        left = asyncio.create_task(later())
        await asyncio.sleep(0)
    """
    assert outputs(kernel.run(code)) == []
    kernel.loop.call_soon_threadsafe(kernel.shell.user_ns["gate"].set)
    asyncio.run_coroutine_threadsafe(kernel.shell.user_ns["over"].wait(), kernel.loop).result(LIMIT)
    assert capsys.readouterr().out == "late\n"


def test_progress(kernel: Kernel) -> None:
    done(kernel.run("import jupyter_orchestra as jo\njo.progress(0.25, 'fitting')"))
    assert kernel.reporter.progressed == [(0.25, "fitting")]


def test_cancel_ends_it_at_its_next_await(kernel: Kernel) -> None:
    code = """
        import asyncio
        print("begun")
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended = True
    """

    async def scene() -> None:
        run = asyncio.create_task(kernel.worker.run(kernel.job(code)))
        await until(lambda: bool(kernel.reporter.outputs))
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    asyncio.run(scene())
    assert kernel.shell.user_ns["ended"]
    assert kernel.live == {}
    assert "write" not in vars(sys.stdout)


def test_it_is_never_called_cancelled_before_it_has_ended(kernel: Kernel) -> None:
    code = """
        import asyncio
        print("begun")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await gate.wait()  # it swallows the first cancel, and goes on
        ended = True
    """
    kernel.shell.user_ns["gate"] = gate = asyncio.Event()

    async def scene() -> None:
        run = asyncio.create_task(kernel.worker.run(kernel.job(code)))
        await until(lambda: bool(kernel.reporter.outputs))
        run.cancel()
        turns = asyncio.run_coroutine_threadsafe(turn(), kernel.loop)
        await asyncio.wrap_future(turns)
        assert not run.done()
        kernel.loop.call_soon_threadsafe(gate.set)
        with pytest.raises(asyncio.CancelledError):
            await run

    async def turn() -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    asyncio.run(scene())
    assert kernel.shell.user_ns["ended"]
    assert kernel.live == {}


def test_cancelled_while_a_cell_keeps_the_kernel_it_never_begins(kernel: Kernel) -> None:
    free = threading.Event()
    kernel.loop.call_soon_threadsafe(free.wait, LIMIT)

    async def scene() -> None:
        run = asyncio.create_task(kernel.worker.run(kernel.job("began = True")))
        await asyncio.sleep(0)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run  # though the kernel is busy
        free.set()

    asyncio.run(scene())
    assert value(kernel.run("1")) == 1
    assert "began" not in kernel.shell.user_ns


def test_a_result_that_can_not_be_written_is_a_failure_that_says_so(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Memory, data: bytes) -> Blob:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Memory, "put", full)
    outcome = kernel.run("[1]")
    assert isinstance(outcome, Failed)
    assert "No space left on device" in outcome.failure.message
    assert kernel.live == {("u1", 1): [1]}


def test_a_kernel_that_has_ended_is_a_failed_start(kernel: Kernel, tmp_path: Path) -> None:
    other = Kernel(tmp_path)
    other.end()
    outcome = other.run("1")
    assert isinstance(outcome, Failed)
    assert outcome.failure.kind == "start"


# In a real kernel.

SETUP = """
import asyncio, json, threading
from pathlib import Path
from tempfile import mkdtemp
from ipykernel.kernelapp import IPKernelApp
from jupyter_orchestra.core.model import Blob, Spec
from jupyter_orchestra.core.ports import Job
from jupyter_orchestra.workers.loop import LoopWorker
class Store:
    def put(self, data): return Blob(len(data), data)
class Reporter:
    def progress(self, fraction, line=""): pass
    def output(self, output): pass
runtime = asyncio.new_event_loop()
threading.Thread(target=runtime.run_forever, daemon=True).start()
kernel = IPKernelApp.instance().kernel
worker = LoopWorker(lambda: get_ipython(), lambda: kernel.io_loop.asyncio_loop, {})
def dispatch(code):
    job = Job(Spec("u", "t", "loop", code), "t", 1, Path(mkdtemp()), {}, Store(), Reporter())
    return asyncio.run_coroutine_threadsafe(worker.run(job), runtime)
async def end(future):
    while not future.done():
        await asyncio.sleep(0.002)
def shown(future):
    return json.loads(future.result(10).result.outputs.data)
"""

BODY = """
import sys
from IPython.display import display, HTML, clear_output
print("one")
gate.set()
await go.wait()
display(HTML("<b>x</b>"))
get_ipython().run_line_magic("time", "1/0") if fail else None
!echo two
%time print("three")
{"a": 1}
"""


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    from jupyter_client.manager import start_new_kernel

    manager, made = start_new_kernel(kernel_name="python3")
    try:
        yield made
    finally:
        made.stop_channels()
        manager.shutdown_kernel(now=True)


def execute(client: Any, code: str) -> list[dict[str, Any]]:
    """What a cell puts out."""
    sent = client.execute(code)
    found: list[dict[str, Any]] = []
    while True:
        try:
            message = client.get_iopub_msg(timeout=LIMIT)
        except Empty:
            raise AssertionError(f"the cell did not end; so far: {found}") from None
        if message["parent_header"].get("msg_id") != sent:
            continue
        kind, content = message["msg_type"], message["content"]
        if kind == "status" and content["execution_state"] == "idle":
            return found
        if kind in ("stream", "display_data", "execute_result", "error"):
            found.append({"output_type": kind, **content})


def texts(found: list[dict[str, Any]]) -> str:
    return "".join(output.get("text", "") or str(output.get("data", output.get("traceback"))) for output in found)


def test_in_a_real_kernel_both_keep_their_own_output(client: Any) -> None:
    assert execute(client, SETUP) == []
    cell = f"""
        gate, go, fail = asyncio.Event(), asyncio.Event(), False
        print("cell begins")
        task = dispatch({BODY!r})
        await gate.wait()
        print("cell goes on")
        display("cell shows")
        go.set()
        while not task.done():
            await asyncio.sleep(0.01)
        print("cell ends")
    """
    found = texts(execute(client, textwrap.dedent(cell)))
    assert "cell begins\ncell goes on\n" in found
    assert "cell shows" in found
    assert "cell ends" in found
    assert not any(word in found for word in ("one", "two", "three", "<b>"))
    shown = texts(execute(client, "print(json.dumps(shown(task)))"))
    task = json.loads(shown)
    assert [output["output_type"] for output in task] == ["stream", "display_data", "stream", "execute_result"]
    assert task[0]["text"] == "one\n"
    assert task[1]["data"]["text/html"] == "<b>x</b>"
    assert task[2]["text"].startswith("two")
    assert "three" in task[2]["text"]
    assert task[3]["data"]["text/plain"] == "{'a': 1}"


def test_in_a_real_kernel_nothing_stays(client: Any) -> None:
    execute(client, SETUP)
    shadows = "import sys\n[sys.stdout.write, get_ipython().display_pub.publish, get_ipython()._showtraceback]"
    before = texts(execute(client, shadows))
    execute(client, "task = dispatch('print(1)')")
    execute(client, "await end(task)")
    assert texts(execute(client, shadows)) == before
    assert "loop_output" not in before
    assert "hello" in texts(execute(client, "print('hello')"))


PUMP = """
import nest_asyncio2
loop = kernel.io_loop.asyncio_loop
nest_asyncio2.apply(loop)
def pump(condition):
    async def until():
        while not condition():
            await asyncio.sleep(0.002)
    loop.run_until_complete(until())
def stack():
    from jupyter_orchestra.workers.loop_output import _lowest
    import sys
    return _lowest(sys.stdout, "write")[0]
gate, go = asyncio.Event(), asyncio.Event()
"""


def test_in_a_real_kernel_a_task_that_began_within_a_cell_is_caught_after_it(client: Any) -> None:
    execute(client, SETUP + PUMP)
    begun = "task = dispatch('print(1)\\ngate.set()\\nawait go.wait()\\nprint(2)')\npump(gate.is_set)\nprint('cell')"
    assert texts(execute(client, begun)) == "cell\n"
    assert texts(execute(client, "go.set()\npump(task.done)\nprint(shown(task)[0]['text'])")) == "1\n2\n\n"


def test_in_a_real_kernel_a_task_that_ends_within_a_cell_leaves_nothing(client: Any) -> None:
    execute(client, SETUP + PUMP)
    before = texts(execute(client, "stack()"))
    execute(client, "task = dispatch('gate.set()\\nawait go.wait()\\nprint(2)')\nawait gate.wait()")
    assert "loop_output" in texts(execute(client, "stack()"))
    assert texts(execute(client, "go.set()\npump(task.done)\nprint('cell')")) == "cell\n"
    assert texts(execute(client, "stack()")) == before


def test_in_a_real_kernel_a_traceback_begins_at_the_body(client: Any) -> None:
    execute(client, SETUP)
    execute(client, "task = dispatch('def f(x):\\n    return 1 / x\\nawait asyncio.sleep(0)\\nf(0)')")
    shown = json.loads(texts(execute(client, "await end(task)\nprint(json.dumps(shown(task)))")))
    trace = "\n".join(shown[0]["traceback"])
    assert "ZeroDivisionError" in trace
    assert "<task t>" in trace
    assert "loop_body" not in trace


def test_in_a_real_kernel_a_busy_cell_holds_it_up_and_no_more(client: Any) -> None:
    execute(client, SETUP)
    found = execute(
        client,
        "import time\ntask = dispatch('moment = time.monotonic()\\nmoment')\ntime.sleep(0.1)\nprint(task.done())",
    )
    assert texts(found) == "False\n"
    assert "execute_result" in texts(execute(client, "await end(task)\nprint(shown(task))"))
