"""Those who share one broker's file in the tests: other processes, told what to do, and a broker of our own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from jupyter_orchestra.resources.broker import Broker, Busy, Claim, Want
from jupyter_orchestra.resources.identity import machine_time

RIVAL = Path(__file__).with_name("rival.py")
PRESS = [["press|/project", 1, 1]]


class Rival:
    """Another process with a broker of its own."""

    def __init__(self, folder: Path, ttl: float, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(RIVAL), str(folder), str(ttl)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
            env={**os.environ, **environment},
        )  # fmt: skip

    def tell(self, do: str, **order: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, "id": f"lease-{self.process.pid}", **order}) + "\n")
        self.process.stdin.flush()

    def hear(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def ask(self, do: str, **order: Any) -> Any:
        self.tell(do, **order)
        return self.hear()

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def close(self) -> None:
        for number in (signal.SIGCONT, signal.SIGKILL):
            if self.process.poll() is None:
                self.signal(number)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


class Own:
    """A broker of this process, and what it was told."""

    def __init__(self, folder: Path, ttl: float = 15.0) -> None:
        self.opened, self.lost = threading.Event(), []  # type: ignore[var-annotated]
        self.broker = Broker(
            folder, opened=lambda id: self.opened.set(), lost=lambda id, why: self.lost.append((id, why)), ttl=ttl
        )

    def claim(self, *wants: Want, id: str = "own", since: float | None = None) -> int | Busy:
        return self.broker.claim(Claim(id, wants, machine_time() if since is None else since)).result(10)

    def until_held(self, *wants: Want, seconds: float = 20.0) -> int:
        since, end = machine_time(), time.monotonic() + seconds
        while True:
            self.opened.clear()
            found = self.claim(*wants, since=since)
            if not isinstance(found, Busy):
                return found
            assert time.monotonic() < end, found
            self.opened.wait(1.0)


def press() -> Want:
    return Want("press|/project")
