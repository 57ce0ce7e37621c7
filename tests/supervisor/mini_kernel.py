"""A notebook's kernel without IPython: runtime, journal, supervisor, leases and shell tasks, asked in lines of JSON.

Run as ``python mini_kernel.py NOTEBOOK``. It says which runtime it is once it works. Then
``{"dispatch": {NAME: SCRIPT}, "needs": [...]}`` is answered by ``{}`` once that is durable, and ``{}`` by all tasks; at
the end of its input it shuts down.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jupyter_orchestra.controlling import RENEW, Controlling
from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.model import Place, Spec
from jupyter_orchestra.core.needs import parse
from jupyter_orchestra.journal import Journal, open_journal
from jupyter_orchestra.processes.tree import sweep
from jupyter_orchestra.runtime import Runtime
from jupyter_orchestra.thread import replay
from jupyter_orchestra.workers.shell import ShellWorker

DECLARED = {"resources": {"press": 1, "lathe": 1}}
GRACE = 60.0


class MiniKernel:
    """Everything of one notebook."""

    def __init__(self, notebook: Path) -> None:
        self._folder = notebook.parent
        self._journal: Journal = open_journal(notebook, str(notebook))
        assert not self._journal.private
        machine, mark = replay(self._journal.events()), self._journal.folder.name
        controlling = Controlling((self._folder / "pyproject.toml", dict(DECLARED)), str(notebook))
        sweep(f"ORCHESTRA_RUNTIME={mark}", spared=controlling.supervisor(mark))
        launcher = controlling.make_launcher(mark, machine, GRACE, 1000)
        worker = ShellWorker(launcher, 8, runtime=mark, adoptable=launcher.outlived)
        folder = self._journal.runs
        self._runtime = runtime = Runtime(self._journal, [worker], folder, machine=machine, epoch=self._journal.epoch)
        runtime.after_start(lambda: controlling.begin(runtime, launcher, folder / "leased", mark))
        runtime.every(RENEW, controlling.renew)
        runtime.before_end(launcher.forsake)
        runtime.before_end(controlling.close)
        runtime.after_end(launcher.close)
        self._controlling = controlling

    def run(self) -> None:
        """Work until the input ends."""
        threading.Thread(target=self._serve, daemon=True).start()
        asyncio.run(self._runtime.run())
        self._journal.close(delete=False)

    def _serve(self) -> None:
        self._controlling.resolve(())
        print(json.dumps({"mark": self._journal.folder.name}), flush=True)
        for line in sys.stdin:
            asked = json.loads(line)
            if "dispatch" in asked:
                self._dispatch(asked["dispatch"], asked["needs"])
            print(json.dumps({} if asked else dict(self._tasks())), flush=True)
        self._runtime.stop()

    def _dispatch(self, scripts: dict[str, str], needs: list[str]) -> None:
        runtime = self._runtime
        found = self._controlling.resolve(tuple(map(parse, needs)))
        place = Place(str(self._folder))
        specs = tuple(Spec(name, name, "shell", script, needs=found, place=place) for name, script in scripts.items())
        answer = runtime.ask(e.TasksDispatched(runtime.now(), runtime.new_request(), tasks=specs)).result(10.0)
        assert isinstance(answer, e.Accepted), answer
        durable = threading.Event()
        self._journal.barrier(durable.set)
        durable.wait()

    def _tasks(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for view in self._runtime.board.all():
            outputs = view.result.outputs if view.result is not None else None
            shown = json.loads(self._journal.get(outputs)) if outputs is not None else []
            text = "".join("".join(output["text"]) for output in shown if output.get("name") == "stdout")
            yield (
                view.name,
                {
                    "state": str(view.state),
                    "attempt": view.attempt,
                    "text": text,
                    "why": view.failure.line() if view.failure is not None else view.reason,
                    "asks": view.needs_you,
                },
            )


if __name__ == "__main__":
    main = MiniKernel(Path(sys.argv[1]))
    main.run()
