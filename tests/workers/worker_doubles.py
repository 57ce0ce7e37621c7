"""What the workers' tests stand on: a store in a folder, a reporter that remembers, jobs made of little."""

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cloudpickle  # type: ignore[import-untyped]

from jupyter_orchestra.core.model import Blob, Place, Process, Result, Spec
from jupyter_orchestra.core.ports import Job


class FolderStore:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def put(self, data: bytes) -> Blob:
        if len(data) < 100:
            return Blob(len(data), data=data)
        blob = Blob(len(data), digest=hashlib.blake2b(data).hexdigest())
        (self.folder / str(blob.digest)).write_bytes(data)
        return blob

    def adopt(self, path: Path) -> Blob:
        with path.open("rb") as file:
            blob = Blob(path.stat().st_size, digest=hashlib.file_digest(file, "blake2b").hexdigest())
        os.rename(path, self.folder / str(blob.digest))
        return blob

    def get(self, blob: Blob) -> bytes:
        return blob.data if blob.data is not None else (self.folder / str(blob.digest)).read_bytes()

    def file(self, blob: Blob) -> Path | None:
        return self.folder / blob.digest if blob.digest else None

    def outputs(self, result: Result) -> list[dict[str, Any]]:
        return json.loads(self.get(result.outputs)) if result.outputs else []

    def value(self, result: Result) -> Any:
        assert result.value is not None
        return cloudpickle.loads(self.get(result.value))


@dataclass
class Remembering:
    processes: list[Process] = field(default_factory=list)
    told: list[tuple[float | None, str]] = field(default_factory=list)
    outputs: list[dict[str, object]] = field(default_factory=list)
    bare: list[str] = field(default_factory=list)  # why nothing confines it

    def started(self, process: Process) -> None:
        self.processes.append(process)

    def unsandboxed(self, why: str) -> None:
        self.bare.append(why)

    def progress(self, fraction: float | None, line: str = "") -> None:
        self.told.append((fraction, line))

    def output(self, output: dict[str, object]) -> None:
        self.outputs.append(output)


def make_job(folder: Path, brief: str, worker: str, name: str = "fit", cwd: str = "") -> Job:
    job = folder / "job"
    job.mkdir(mode=0o700)
    spec = Spec(uid=f"uid-{folder.name}", name=name, worker=worker, brief=brief, place=Place(cwd or os.fspath(folder)))
    return Job(spec, name, 1, job, {}, FolderStore(folder / "store"), Remembering())
