"""What runs inside the measured kernels, for the conversation with the master."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar
from urllib.parse import urlsplit

import psutil

T = TypeVar("T")
PROBE = 0.005  # seconds between two looks of the loop's probe
PRIORITY = 7341  # found nowhere else
lags: list[float] = []
_probe: list[asyncio.TimerHandle] = []


def quiet(seconds: float = 120.0) -> None:
    """Wait until no task is unfinished and the master has nothing to do."""
    end = time.monotonic() + seconds
    while not _on_loop(_is_quiet):
        assert time.monotonic() < end, _on_loop(lambda: _app().client.board.all())
        time.sleep(0.02)


def _is_quiet() -> bool:
    machine = _app().runtime().machine
    return machine.conversation.idle and all(task.ended for task in machine.tasks.values())


def turns() -> list[dict[str, Any]]:
    """Each turn of the master: when it was asked for, when it was over, what it brought in."""
    return _on_loop(
        lambda: [
            {
                "wake": turn.wake,
                "asked": turn.messages[0].at if turn.messages else turn.begun_at,
                "ended": turn.ended_at,
                "results": len(turn.results),
                "dispatched": turn.dispatched,
                "state": str(turn.state),
                "reason": turn.reason,
            }
            for turn in _app().runtime().machine.state.talk.turns
        ]
    )


def states() -> list[str]:
    """The states in which there are tasks."""
    return sorted({str(view.state) for view in _app().client.board.all()})


def events() -> int:
    """How many facts the journal holds."""
    with contextlib.closing(sqlite3.connect(f"file:{_app().journal._writer.path}?mode=ro", uri=True)) as reader:
        return int(reader.execute("SELECT count(*) FROM event").fetchone()[0])


# operational state


def operational() -> list[str]:
    """What no model has to know: ids, processes, ports, paths."""
    app = _app()
    folder = app.journal.folder
    connection = app.shell.kernel.parent.connection_file
    found = {
        str(PRIORITY),
        str(folder),
        folder.name,
        os.path.dirname(folder),
        str(app.runtime().folder),
        os.path.basename(connection),
    }
    with open(connection) as file:
        found |= {str(value) for name, value in json.load(file).items() if name.endswith("_port") or name == "key"}
    me = psutil.Process()
    found |= {str(process.pid) for process in (me, *me.children(recursive=True))}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get("ORCHESTRA_RUNTIME") == folder.name:
                found |= {str(process.pid), str(process.ppid())}  # the supervisor has them
    for view in app.client.board.all():
        found |= {view.uid, view.cohort}
        if view.anchor is not None:
            found |= {view.anchor.display, *(view.anchor.parent.get(name, "") for name in ("msg_id", "session"))}
    for turn in _on_loop(lambda: list(app.runtime().machine.state.talk.turns)):
        found |= {turn.uid, *(message.uid for message in turn.messages)}
    return sorted(text for text in found if len(text) > 2)


# the loop's lag


def watch() -> None:
    """Begin to note by how much the runtime's loop is late."""
    lags.clear()
    _on_loop(_look)


def unwatch_after(seconds: float) -> list[float]:
    """Leave off after some more seconds; by how much each look was late."""
    time.sleep(seconds)
    _on_loop(lambda: _probe.pop().cancel())
    return list(lags)


def _look() -> None:
    loop = asyncio.get_running_loop()
    due = loop.time() + PROBE

    def looked() -> None:
        lags.append(loop.time() - due)
        _look()

    _probe[:] = [loop.call_at(due, looked)]


# a bare request


def bare(url: str, text: str) -> None:
    """Ask as little as can be, and print the whole answer once its stream has ended."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port)
    message = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    body = json.dumps({"model": "scripted", "stream": True, "input": [message]})
    connection.request("POST", "/v1/responses", body, {"Content-Type": "application/json"})
    words = [json.loads(line[6:]) for line in connection.getresponse() if line.startswith(b"data: ")]
    connection.close()
    print("".join(word["delta"] for word in words if word["type"] == "response.output_text.delta"))


# results of all kinds


def dispatch_various(many: int) -> None:
    """Dispatch tasks whose results are unlike each other; what is said here stands in no cell."""
    import jupyter_orchestra as jo

    for number in range(many):
        jo.dispatch(various(number), f"kind-{number}", priority=PRIORITY)
    jo.dispatch("exit 3", "broken", worker="shell", priority=PRIORITY)
    jo.dispatch("1", "skipped", after=["broken"], priority=PRIORITY)
    jo.dispatch("seq 100000; exit 4", "long", worker="shell", retry=2, priority=PRIORITY)


def various(number: int) -> str:
    """The code of a task whose result is unlike the others'."""
    size = 10 ** (number % 5)
    kinds = (
        f"import math\n[{{'row': n, 'root': math.sqrt(n), 'name': f'row {{n}}'}} for n in range({size})]",
        f"for n in range({size}): print('line', n, 'of a long output')",
        f"def deep(n):\n    return 1 / 0 if n == 0 else deep(n - 1)\ndeep({min(size, 200)})",
        f"import numpy\nnumpy.arange({size}).reshape(-1, 1) * 0.5",
        f"print('測定値 ü € 🎉 ' * {size})\n'数' * {size}",
        f"{{'key ' + str(n): list(range(n % 50)) for n in range({size})}}",
        f"raise ValueError('a long message ' * {size})",
        f"print('\\x1b[31m' + '<b>table</b> ' * {size})\n{{'mean': 0.25, 'std': 1.5}}",
    )
    return kinds[number % len(kinds)]


def _on_loop(act: Callable[[], T]) -> T:
    answer: Future[T] = _app().runtime().on_loop(act)
    return answer.result(10)


def _app() -> Any:
    from jupyter_orchestra import app

    assert app._app is not None
    return app._app
