"""What the tests with real kernels share: a store, a reporter, and one way to run a task."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from jupyter_orchestra.core.model import Blob, Input, Place, Process, Result, Spec
from jupyter_orchestra.core.ports import Failed, Finished, Job, Outcome
from jupyter_orchestra.processes.launcher import LocalLauncher
from jupyter_orchestra.workers.kernel import KernelWorker
from jupyter_orchestra.workers.pool import KernelPool


class MemoryStore:
    """Keeps blobs inline, but adopted files where they are."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="jo-store-"))

    def put(self, data: bytes) -> Blob:
        return Blob(len(data), data=data)

    def adopt(self, path: Path) -> Blob:
        kept = self.folder / f"{len(os.listdir(self.folder))}"
        path.rename(kept)
        return Blob(kept.stat().st_size, digest=kept.name)

    def get(self, blob: Blob) -> bytes:
        return blob.data if blob.data is not None else (self.folder / str(blob.digest)).read_bytes()

    def file(self, blob: Blob) -> Path | None:
        return None if blob.digest is None else self.folder / blob.digest


class Told:
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.processes: list[Process] = []
        self.fractions: list[float | None] = []
        self.lines: list[str] = []
        self.outputs: list[dict[str, object]] = []
        self.bare: list[str] = []  # why nothing confines it

    def started(self, process: Process) -> None:
        self.processes.append(process)

    def unsandboxed(self, why: str) -> None:
        self.bare.append(why)

    def progress(self, fraction: float | None, line: str = "") -> None:
        self.fractions.append(fraction)
        self.lines.append(line)

    def output(self, output: dict[str, object]) -> None:
        self.outputs.append(output)


class Kernels:
    """A worker with its pool."""

    def __init__(self, warm: int = 0) -> None:
        self.launcher = LocalLauncher()
        self.pool = KernelPool(self.launcher, warm=warm)
        self.worker = KernelWorker(self.pool)
        self.store = MemoryStore()
        self.told = Told()
        self.jobs = 0
        self.folders = [self.store.folder]

    def job(self, code: str, *, inputs: dict[str, Input] | None = None, cwd: str = "", **spec: Any) -> Job:
        self.jobs += 1
        self.told = Told()
        self.folders.append(Path(tempfile.mkdtemp(prefix="jo-job-")))
        spec.setdefault("place", Place(cwd=cwd or os.getcwd()))
        return Job(
            spec=Spec(uid=f"u{self.jobs}", name="fit", worker="kernel", brief=code, **spec),
            name="fit",
            attempt=1,
            folder=self.folders[-1],
            inputs=inputs or {},
            store=self.store,
            reporter=self.told,
        )

    async def run(self, code: str, **options: Any) -> Outcome:
        return await asyncio.wait_for(self.worker.run(self.job(code, **options)), 60)

    async def finish(self, code: str, **options: Any) -> Result:
        outcome = await self.run(code, **options)
        assert isinstance(outcome, Finished), outcome
        return outcome.result

    async def value(self, code: str, **options: Any) -> Any:
        return self.load((await self.finish(code, **options)).value)

    async def fail(self, code: str, **options: Any) -> Failed:
        outcome = await self.run(code, **options)
        assert isinstance(outcome, Failed), outcome
        return outcome

    def load(self, blob: Blob | None) -> Any:
        return None if blob is None else pickle.loads(self.store.get(blob))

    def outputs(self, result: Result) -> list[dict[str, Any]]:
        return [] if result.outputs is None else json.loads(self.store.get(result.outputs))

    def text(self, result: Result, stream: str = "stdout") -> str:
        return "".join(o["text"] for o in self.outputs(result) if o.get("name") == stream)


@asynccontextmanager
async def kernels(warm: int = 0) -> AsyncIterator[Kernels]:
    """A worker that is closed afterwards."""
    k = Kernels(warm)
    try:
        yield k
    finally:
        await k.worker.close()
        await k.launcher.close()
        for folder in k.folders:
            shutil.rmtree(folder, ignore_errors=True)


async def until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
