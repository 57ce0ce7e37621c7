"""Owns what a spawned kernel is told about a task besides its code; knows neither the wire nor the kernel."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from typing import Any, Final

from ..core.model import Blob, Input, Origin
from ..core.ports import Job
from ..processes.threads import in_thread

INLINE: Final = 64 << 10  # bytes of a pickle from which it goes through a file

# {"data": base64}, {"file": path}, {"error": text}, or empty for None; "by": "model" when a model had a hand in it.
Link = dict[str, str]


async def make_order(job: Job, environment: Mapping[str, str], limit: int) -> dict[str, Any]:
    """The order for a job.

    Raises
    ------
    KeyError
        When the captured variables are gone.
    OSError
        When there is no room in the job's folder.
    """
    values = [found.value for found in job.inputs.values()]
    heavy = job.spec.capture or any(value and value.data is None for value in values)
    links = await in_thread(None, _links, job) if heavy else _links(job)
    return {
        "spool": os.fspath(job.folder / "spool"),
        "limit": limit,
        "cwd": job.spec.place.cwd,
        "path": list(job.spec.place.path),
        "environment": {**environment, **job.environment},
        "uid": job.spec.uid,
        "name": job.name,
        "returns": list(job.spec.returns),
        "threshold": INLINE,
        **links,
    }


def difference(launched: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str | None]:
    """How what a kernel would be launched with has changed since it was; None: unset."""
    if now == launched:
        return {}
    changed: dict[str, str | None] = {name: value for name, value in now.items() if launched.get(name) != value}
    return changed | dict.fromkeys(launched.keys() - now.keys())


def _links(job: Job) -> dict[str, Any]:
    """Where the kernel finds what it must load; may read from the disk."""
    inputs = {name: _input(job, found, f"input-{i}") for i, (name, found) in enumerate(job.inputs.items())}
    capture = job.spec.capture
    if capture is None:
        return {"capture": None, "inputs": inputs}
    stream = _link(job, capture.stream, "capture")
    return {"capture": {**stream, "buffers": capture.buffers, "sizes": list(capture.sizes)}, "inputs": inputs}


def _input(job: Job, found: Input, name: str) -> Link:
    if found.error:
        return {"error": found.error}
    if found.value is None:
        return {}
    try:
        link = _link(job, found.value, name)
    except KeyError:
        return {"error": "its value is gone"}
    # What a model wrote may load what a model wrote: no kernel that runs it is the person's.
    return link if found.trusted or job.spec.origin is not Origin.PERSON else link | {"by": "model"}


def _link(job: Job, blob: Blob, name: str) -> Link:
    file = None if blob.data is not None else job.store.file(blob)
    if file is not None:
        return {"file": os.fspath(file)}
    data = job.store.get(blob) if blob.data is None else blob.data
    if len(data) <= INLINE:
        return {"data": base64.b64encode(data).decode()}
    copy = job.folder / name
    copy.write_bytes(data)
    return {"file": os.fspath(copy)}
