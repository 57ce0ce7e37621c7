"""Says what code that a model wrote is confined to, task by task; it starts nothing and asks nobody."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from ..core.model import Capability, Origin
from ..core.needs import spell_all
from ..core.ports import Job
from ..core.rights import NO_CONSENT, Consent
from ..processes.threads import in_thread
from ..sandbox.probing import probe
from ..sandbox.values import Confinement, Sandbox
from .agent_search import SKIPPED, is_kept

LOOKED_AT: Final = 20_000  # entries of a project in which what holds keys is looked for
MASKED: Final = 200
OUTSIDE: Final = ("db", "server", "container")  # leases on what can't be reached from within
NOWHERE: Final = "this machine offers nothing that confines"
SYSTEM: Final = ("/usr", "/bin", "/lib", "/etc", "/dev", "/proc")


async def sandbox_of(job: Job) -> Sandbox:
    """What a task's code is confined by: the person's by nothing; told on the card where a model's is not."""
    if job.spec.origin is Origin.PERSON or job.spec.literal:
        return Sandbox("none")
    found = await in_thread(None, probe)
    if found.kind == "none":
        job.reporter.unsandboxed(found.why or NOWHERE)
    return found


def around_task(
    sandbox: Sandbox, job: Job, argv: tuple[str, ...], writable: Iterable[Path] = (), cwd: Path | None = None
) -> tuple[str, ...]:
    """The command for a task that a model wrote: it reads the project, and writes in its own folder. May block.

    Raises
    ------
    OSError
        When its folder is gone.
    """
    if sandbox.kind == "none":
        return argv
    project = Path(job.spec.place.cwd or os.getcwd())
    confinement = Confinement(
        writable=(*writable, job.folder),
        cwd=cwd or project,
        readable=(project, *folders_of(job.spec.place.path), *given(job)),
        hide=tuple(kept_below(project)) if sandbox.hides else (),
        network=network_of(job),
    )
    return sandbox.wrapped(argv, confinement)


class Box(NamedTuple):
    """What an agent's programs are confined to: its workspace, without the project that this is a copy of."""

    sandbox: Sandbox
    workspace: Path
    project: Path
    trusted: bool  # what runs in it needs no word of the person

    def around(
        self,
        argv: tuple[str, ...],
        writable: Iterable[Path],
        readable: Iterable[Path],
        cwd: Path | None = None,
        network: bool = False,
    ) -> tuple[str, ...]:
        """The command that runs `argv` in it; the last of `writable` is for temporary files. May block.

        Raises
        ------
        OSError
            When the workspace is gone.
        """
        hidden = () if any(Path(path).is_relative_to(self.project) for path in SYSTEM) else (self.project,)
        confinement = Confinement(
            writable=(self.workspace, *writable),
            cwd=cwd or self.workspace,
            readable=tuple(readable),
            hide=hidden,
            network=network,
        )
        return self.sandbox.wrapped(argv, confinement)


async def box_for(job: Job, workspace: Path, project: Path, landlock_suffices: bool) -> Box:
    """The box of an agent; what leases something outside of every box has none, and its card says so."""
    outside = [need for need in job.spec.needs if need.word in OUTSIDE]
    if outside:
        why = f"it leases {spell_all(outside)}, which nothing confined can reach"
        job.reporter.unsandboxed(why)
        return Box(Sandbox("none", why=why), workspace, project, trusted=False)
    sandbox = await in_thread(None, probe)
    if sandbox.kind == "none":
        job.reporter.unsandboxed(sandbox.why or NOWHERE)
    trusted = sandbox.hides or (landlock_suffices and sandbox.kind == "landlock")
    return Box(sandbox, workspace, project, trusted)


def network_of(job: Job, consent: Consent = NO_CONSENT) -> bool:
    """Whether what begins now has the network: it is granted to its task for everything, or for this very action."""
    return job.grants.allows(Capability.NETWORK, consent)


def folders_of(path: Sequence[str]) -> list[Path]:
    """The folders of an import path."""
    return [Path(folder) for folder in path if os.path.isabs(folder) and os.path.exists(folder)]


def given(job: Job) -> Iterator[Path]:
    """The files that hold what a task works on."""
    blobs = [found.value for found in job.inputs.values()]
    if (capture := job.spec.capture) is not None:
        blobs.append(capture.stream)
        yield from map(Path, filter(None, [capture.buffers]))
    for blob in blobs:
        file = None if blob is None or blob.data is not None else job.store.file(blob)
        if file is not None:
            yield file


def kept_below(project: Path) -> Iterator[Path]:
    """What holds keys in a project, as far as it is found soon: near its top first."""
    ahead, looked, found = deque([project]), 0, 0
    while ahead and looked < LOOKED_AT and found < MASKED:
        try:
            entries = list(os.scandir(ahead.popleft()))
        except OSError:
            continue
        looked += len(entries)
        for entry in entries:
            if is_kept(entry.name):
                found += 1
                yield Path(entry.path)
            elif entry.is_dir(follow_symlinks=False) and entry.name not in SKIPPED:
                ahead.append(Path(entry.path))
