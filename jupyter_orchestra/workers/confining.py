"""Says what code that a model wrote is confined to, task by task; it starts nothing and asks nobody."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from ..core.model import Origin
from ..core.ports import Job, Reporter
from ..processes.threads import in_thread
from ..sandbox.probing import probe
from ..sandbox.values import Confinement, Sandbox
from .agent_search import SKIPPED, is_kept

UNSANDBOXED: Final = "UNSANDBOXED"
LOOKED_AT: Final = 20_000  # entries of a project in which what holds keys is looked for
MASKED: Final = 200


async def sandbox_of(job: Job) -> Sandbox:
    """What this job's code is confined by; told on its card where there is nothing."""
    if job.spec.origin is Origin.PERSON:
        return Sandbox("none")
    found = await in_thread(None, probe)
    tell(found, job.reporter)
    return found


def tell(sandbox: Sandbox, reporter: Reporter) -> None:
    """Say on the card that nothing confines what runs."""
    if sandbox.kind == "none":
        reporter.progress(None, f"{UNSANDBOXED}: it runs with all your rights")


def around_task(sandbox: Sandbox, job: Job, argv: Sequence[str], writable: Iterable[Path] = ()) -> tuple[str, ...]:
    """The command for a task that a model wrote: it reads the project, and writes in its own folder. May block.

    Raises
    ------
    OSError
        When its folder is gone.
    """
    if sandbox.kind == "none":
        return tuple(argv)
    project = Path(job.spec.place.cwd or os.getcwd())
    confinement = Confinement(
        writable=(*writable, job.folder),
        cwd=project,
        readable=(project, *imported_from(job.spec.place.path), *_given(job)),
        hide=tuple(kept_below(project)) if sandbox.hides else (),
    )
    return sandbox.wrapped(argv, confinement)


def imported_from(path: Iterable[str]) -> list[Path]:
    """The folders of an import path."""
    return [Path(folder) for folder in path if os.path.isabs(folder) and os.path.exists(folder)]


def kept_below(project: Path) -> Iterator[Path]:
    """What holds keys in a project, as far as it is found soon: near its top first."""
    ahead, looked, found = deque([project]), 0, 0
    while ahead:
        try:
            entries = list(os.scandir(ahead.popleft()))
        except OSError:
            continue
        for entry in entries:
            looked += 1
            if is_kept(entry.name):
                found += 1
                yield Path(entry.path)
            elif entry.is_dir(follow_symlinks=False) and entry.name not in SKIPPED:
                ahead.append(Path(entry.path))
        if looked >= LOOKED_AT or found >= MASKED:
            return


def _given(job: Job) -> Iterator[Path]:
    """The files that hold what the task works on."""
    blobs = [found.value for found in job.inputs.values()]
    if job.spec.capture is not None:
        blobs.append(job.spec.capture.stream)
    for blob in blobs:
        file = None if blob is None or blob.data is not None else job.store.file(blob)
        if file is not None:
            yield file
