"""A kernel's life that is killed at its k-th failpoint; run as a program, it forks one for each line of its input.

Input lines: ``scenario folder k``. Output lines: the life's exit code, or minus the signal that ended it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.model import Blob, Process, Result, Spec
from jupyter_orchestra.journal import Journal, open_journal, points

SIZES = (10, 512, 513, 60_000, 65_537, 200_000, 3_000)  # bytes of the tasks' results; the last one is adopted as a file


def content(number: int) -> bytes:
    """What task `number` returns."""
    size = SIZES[number]
    return (b"%d " % number * (size // 2 + 1))[:size]


def fold(snapshot: bytes | None, events: list[e.AnyEvent]) -> dict[str, dict[str, object]]:
    """A stand-in for the machine: what the log says of each task. Complains of whatever comes twice or too early."""
    tasks: dict[str, dict[str, object]] = json.loads(snapshot) if snapshot else {}
    for event in events:
        if isinstance(event, e.TasksDispatched):
            assert event.tasks[0].uid not in tasks, "dispatched twice"
            assert event.tasks[0].uid == f"t{len(tasks)}", "out of order"
            tasks[event.tasks[0].uid] = {"stage": "dispatched"}
        elif isinstance(event, e.TaskFinished):
            assert tasks[event.uid]["stage"] == "dispatched", "finished twice"
            blob = event.result.value
            assert blob is not None
            tasks[event.uid] = {"stage": "finished", "size": blob.size, "digest": blob.digest}
            if blob.data is not None:
                tasks[event.uid]["data"] = blob.data.decode()
        elif isinstance(event, e.ResultShown):
            assert tasks[event.uid]["stage"] == "finished", "shown twice"
            tasks[event.uid]["stage"] = "shown"
    return tasks


def blob_of(task: dict[str, object]) -> Blob:
    data, digest, size = task.get("data"), task.get("digest"), task["size"]
    assert isinstance(size, int)
    return Blob(size, data.encode() if isinstance(data, str) else None, digest if isinstance(digest, str) else None)


def open_in(folder: Path) -> Journal:
    return open_journal(folder / "n.ipynb", "kernel", base=folder / "base")


class Life:
    """One kernel: replays, goes on from there, and writes to the ledger only what the journal called durable."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.journal = folder, open_in(folder)
        self.tasks = fold(self.journal.snapshot, list(self.journal.events()))
        self.ledger = os.open(folder / "ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def add(self, event: e.AnyEvent, line: str) -> None:
        done = threading.Event()

        def durable() -> None:
            os.write(self.ledger, f"{line}\n".encode())
            done.set()

        self.journal.append(event)
        self.journal.barrier(durable)
        assert done.wait(20)

    def work(self) -> None:
        for number in range(len(SIZES)):
            now = float(number)
            uid, stage = f"t{number}", self.tasks.get(f"t{number}", {}).get("stage", "")
            if stage == "":
                spec = Spec(uid, uid, "kernel", "1 + 1")
                self.add(e.TasksDispatched(at=now, request=uid, tasks=(spec,)), f"dispatched {uid}")
            if stage in ("", "dispatched"):
                self.journal.append(e.WorkerStarted(now, uid, 1, Process(1, 2.0)))
                self.add(e.TaskFinished(now, uid, 1, Result(value=self.keep(number))), f"finished {uid}")
            if stage != "shown":
                self.add(e.ResultShown(now, uid, 1), f"shown {uid}")
            if number == 3:
                self.compact()
        self.journal.close()

    def keep(self, number: int) -> Blob:
        if number < len(SIZES) - 1:
            return self.journal.put(content(number))
        path = self.folder / "made"
        path.write_bytes(content(number))
        return self.journal.adopt(path)

    def compact(self) -> None:
        self.journal.put(b"garbage" * 1000)
        self.journal.put(b"garbage" * 20_000)
        tasks = fold(self.journal.snapshot, list(self.journal.events()))
        digests = {str(task["digest"]) for task in tasks.values() if task.get("digest")}
        self.journal.checkpoint(json.dumps(tasks).encode())
        self.journal.clean(digests).result(20)


def live(folder: Path) -> None:
    """The whole life."""
    Life(folder).work()


def mend(folder: Path) -> None:
    """Open a damaged journal, and no more."""
    open_in(folder).close()


def rename(folder: Path) -> None:
    """Open the journal of a renamed notebook."""
    journal = open_journal(folder / "renamed.ipynb", "kernel", base=folder / "base")
    journal.close()


SCENARIOS: dict[str, Callable[[Path], None]] = {"live": live, "mend": mend, "rename": rename}


def main() -> None:
    for line in sys.stdin:
        scenario, folder, kill_at = line.split()
        pid = os.fork()
        if pid == 0:
            counter, lock = 0, threading.Lock()

            def reach(name: str, last: int = int(kill_at), lock: threading.Lock = lock) -> None:
                nonlocal counter
                with lock:
                    counter += 1
                    if counter == last:
                        os.kill(os.getpid(), signal.SIGKILL)

            points.reach = reach
            SCENARIOS[scenario](Path(folder))
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
