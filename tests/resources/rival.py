"""A process that claims things of the machine, told what to do line by line: what other notebooks are to a broker."""

from __future__ import annotations

import fcntl
import json
import os
import sys
import threading
import time
from pathlib import Path

from jupyter_orchestra.errors import ResourceError
from jupyter_orchestra.resources.broker import Broker, Busy, Claim, Want
from jupyter_orchestra.resources.identity import machine_time


def main(folder: str, ttl: str) -> None:
    opened, lost = threading.Event(), []
    broker = Broker(
        Path(folder), opened=lambda id: opened.set(), lost=lambda id, why: lost.append([id, why]), ttl=float(ttl)
    )
    for line in sys.stdin:
        order = json.loads(line)
        match order["do"]:
            case "claim":
                answer: object = claim(broker, opened, order)
            case "try":
                answer = try_once(broker, order)
            case "renew":
                answer = broker.renew([order["id"]]).result(10)
            case "valid":
                answer = broker.valid(order["id"], order["token"]).result(10)
            case "release":
                answer = broker.release(order["id"]).result(10)
            case "lost":
                answer = lost
            case "storm":
                answer = storm(broker, opened, order)
        print(json.dumps(answer), flush=True)
    broker.close()


def read(order: dict[str, object]) -> Claim:
    wants = tuple(Want(*want) for want in order["wants"])  # type: ignore[attr-defined]
    marks = tuple(order.get("marks", ()))  # type: ignore[arg-type]
    return Claim(
        str(order["id"]), wants, float(order.get("since", machine_time())), label=f"rival {os.getpid()}",  # type: ignore[arg-type]
        fence="kill" if marks else "token", marks=marks,
    )  # fmt: skip


def try_once(broker: Broker, order: dict[str, object]) -> object:
    """Claim once: the token, or why not."""
    try:
        found = broker.claim(read(order)).result(10)
    except ResourceError as error:
        return {"error": str(error)}
    return {"busy": found.keys, "by": found.by} if isinstance(found, Busy) else found


def claim(broker: Broker, opened: threading.Event, order: dict[str, object]) -> int:
    """Claim until it is granted."""
    order = {"since": machine_time(), **order}
    while True:
        opened.clear()
        found = try_once(broker, order)
        if isinstance(found, int):
            return found
        opened.wait(0.1 if isinstance(found, dict) and "error" in found else 30)


def storm(broker: Broker, opened: threading.Event, order: dict[str, object]) -> int:
    """Enter the critical section many times; how often another was in it too."""
    twice = 0
    with open(str(order["file"]), "a") as file:
        for _ in range(int(str(order["times"]))):
            token = claim(broker, opened, order)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                file.write(f"{token}\n")
                file.flush()
                time.sleep(0.001)
                fcntl.flock(file, fcntl.LOCK_UN)
            except BlockingIOError:
                twice += 1
            broker.release(str(order["id"])).result(10)
    return twice


if __name__ == "__main__":
    main(*sys.argv[1:])
