"""A process that starts a container for a lease and says its name: what a kernel is to it. It waits to be killed."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

from engine import IMAGE

from jupyter_orchestra.core.needs import Need
from jupyter_orchestra.core.ports import Grant
from jupyter_orchestra.resources.container import ContainerProvider
from jupyter_orchestra.resources.declared import read

OWNER = "JO_TEST_OWNER"  # the variable by which it and what it starts are found


async def approved(action: str, detail: str) -> bool:
    return True


def main(folder: str, owner: str, *task: str) -> None:
    place, need = Path(folder), Need("container:box")
    declared = read({"containers": {"box": {"image": IMAGE, "command": "sleep 600"}}}, place / "pyproject.toml")
    served = ContainerProvider(declared, approved, owner, lambda lease: True)
    grant = Grant("uid#1", "uid", "task", place, place, (need,), lambda line: None)
    given = asyncio.run(served.provide(need, grant))
    if task:
        environment = {**os.environ, "ORCHESTRA_RUNTIME": owner}
        subprocess.Popen(["sleep", "600"], env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
    print(given.environment["CONTAINER"], flush=True)
    time.sleep(600)


if __name__ == "__main__":
    main(*sys.argv[1:])
