"""What runs inside the measured kernels, for the orchestra; gives seconds, by the kernel's own clock."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

import jupyter_orchestra as jo

LENGTHS = tuple(number / 10 for number in range(16, 0, -1))  # 1.6 s to 0.1 s, in the order of dispatch
CHAINED = 4  # the tasks 4 to 7 come after the tasks 3 to 0: a critical path of 2.5 s, within 13.6 s / 4 slots = 3.4 s
SLOTS = 4
victims: dict[str, Any] = {}  # the newest task of each worker that is to be cancelled


def warm(slots: int) -> int:
    """Have as many kernels started as there are slots, and the spare one; how many were seen at work."""
    code = "import os, time\ntime.sleep(0.3)\nos.getpid()"
    pids: set[int] = set()
    for _ in range(20):
        began = time.perf_counter()
        pids = set(jo.gather([jo.dispatch(code) for _ in range(slots)]))
        if len(pids) == slots and time.perf_counter() - began < 0.5:
            break
    time.sleep(1.0)
    return len(pids)


def singles(n: int) -> list[float]:
    """One task after the other: from its dispatch to its value."""
    found = []
    for _ in range(n):
        began = time.perf_counter()
        value = jo.dispatch("1 + 1").get()
        found.append(time.perf_counter() - began)
        assert value == 2
    return found


def batch(n: int) -> float:
    """Many empty tasks at once, until the last value is there."""
    began = time.perf_counter()
    values = jo.gather([jo.dispatch("None") for _ in range(n)])
    seconds = time.perf_counter() - began
    assert values == [None] * n
    return seconds


def chain(n: int) -> float:
    """Tasks that come each after the one before, until the last value is there."""
    began = time.perf_counter()
    last = jo.dispatch("None")
    for _ in range(n - 1):
        last = jo.dispatch("None", after=last)
    last.get()
    return time.perf_counter() - began


def makespan(scale: float) -> float:
    """Sleeping tasks of mixed length, until the last has ended."""
    began = time.perf_counter()
    handles: list[Any] = []
    for number, length in enumerate(LENGTHS):
        after = handles[2 * CHAINED - 1 - number] if CHAINED <= number < 2 * CHAINED else ()
        handles.append(jo.dispatch(f"import time; time.sleep({length * scale})", after=after))
    jo.gather(handles)
    return time.perf_counter() - began


def crowd(n: int) -> list[str]:
    """Bring `n` tasks to life: running, queued and waiting ones; the states that there are."""
    handles = [jo.dispatch("import time; time.sleep(3600)", f"run-{number}") for number in range(2)]
    handles += [jo.dispatch("sleep 3600", f"shell-{number}", worker="shell") for number in range(4)]
    half = (n - len(handles)) // 2
    handles += [jo.dispatch("None", f"queued-{number}") for number in range(half)]
    handles += [jo.dispatch("None", f"waiting-{n}", after=handles[-1 - n]) for n in range(n - len(handles))]
    end = time.monotonic() + 30
    while any(handle.state != "running" for handle in handles[:6]) and time.monotonic() < end:
        time.sleep(0.05)
    return sorted({str(handle.state) for handle in handles})


def live() -> int:
    """How many tasks have not ended."""
    return sum(not task.ready() for task in jo.tasks())


def durable(n: int) -> dict[str, Any]:
    """Whether the end of a task is committed when its value is in hand, and what a commit means there."""
    journal: Any = _journal()
    with sqlite3.connect(f"file:{journal._writer.path}?mode=ro", uri=True, isolation_level=None) as reader:
        held = [_holds(reader, jo.dispatch("1 + 1")) for _ in range(n)]
    pragmas = {name: journal._writer.call(lambda at, name=name: _pragma(at, name)) for name in ("synchronous",)}
    return {"held": sum(held), "of": n, **pragmas}


def _holds(reader: sqlite3.Connection, task: Any) -> bool:
    task.get()
    query = "SELECT count(*) FROM event WHERE kind = 'TaskFinished' AND instr(data, ?)"
    return bool(reader.execute(query, (task.uid,)).fetchone()[0])


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _journal() -> Any:
    from jupyter_orchestra import app

    assert app._app is not None
    return app._app.journal


PYTHON = """
import os, subprocess, time
child = subprocess.Popen(["sleep", "3600"])
with open({file!r} + "~", "w") as file: file.write(f"{{os.getpid()}} {{child.pid}}")
os.replace({file!r} + "~", {file!r})
time.sleep(3600)
"""
SHELL = """
sleep 3600 & first=$!
bash -c 'sleep 3600; true' & second=$!
echo "$PPID $$ $first $second" > {file}~ && mv {file}~ {file}
wait
"""
STUBBORN = "trap '' INT TERM\n"  # its children ignore them too


def victim(worker: str, file: str) -> list[int]:
    """Start a task with children; the processes that its cancel must end."""
    task = victims[worker] = jo.dispatch(_brief(worker, file), worker=worker)
    _await_start(task, file)
    time.sleep(0.1)  # bash is in its `wait`: an interrupt while `mv` ends would pass it by
    return [int(pid) for pid in Path(file).read_text().split()]


def crowd_of_victims(kernels: int, shells: int, stubborn: int, folder: str) -> list[int]:
    """Start tasks with children, some of the shells heed nothing but SIGKILL; the processes that must end."""
    workers = ["kernel"] * kernels + ["shell"] * shells
    files = [f"{folder}-{number}" for number in range(len(workers))]
    briefs = [_brief(worker, file) for worker, file in zip(workers, files, strict=True)]
    briefs[kernels : kernels + stubborn] = [STUBBORN + brief for brief in briefs[kernels : kernels + stubborn]]
    tasks = [jo.dispatch(brief, worker=worker) for brief, worker in zip(briefs, workers, strict=True)]
    for task, file in zip(tasks, files, strict=True):
        _await_start(task, file)
    time.sleep(0.1)
    return [int(pid) for file in files for pid in Path(file).read_text().split()]


def cancel_all() -> float:
    """Cancel whatever runs; the moment at which that was asked, by time.monotonic."""
    began = time.monotonic()
    jo.cancel_all()
    return began


def _brief(worker: str, file: str) -> str:
    return (PYTHON if worker == "kernel" else SHELL).format(file=file)


def _await_start(task: Any, file: str) -> None:
    end = time.monotonic() + 60
    while not Path(file).exists():
        assert not task.ready(), task.error
        assert time.monotonic() < end, "it does not start"
        time.sleep(0.005)


def cancel(worker: str) -> float:
    """Cancel it; the moment at which that was asked, by time.monotonic."""
    began = time.monotonic()
    victims[worker].cancel()
    return began
