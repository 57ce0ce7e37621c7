"""Brings the bytes of an artifact to a page, piece by piece; disks are read off the loop."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from ..core import wire
from ..core.model import Artifact, Blob
from ..core.views import TaskView
from .pages import LivePage

PIECE = 192 << 10  # bytes, which are 256 kB in base64
LARGEST = 64 << 20  # bytes that come through the kernel's messages
AT_ONCE = 16  # pieces after which other messages get their turn
BREATH = 0.02  # seconds of that turn


class Store(Protocol):
    """Where the bytes are."""

    def get(self, blob: Blob) -> bytes:
        """The bytes. Raises KeyError when they are gone."""

    def file(self, blob: Blob) -> Path | None:
        """The file that holds them, None where they are not in a file of their own."""


async def fetch(
    page: LivePage, request: str, view: TaskView | None, name: str, store: Callable[[], Store]
) -> wire.Answer:
    """Send an artifact as chunks; gives the answer that follows them."""
    artifact = _find(view, name)
    if view is None or artifact is None:
        return _refuse(request, f"there is no file {name!r}: it may have been forgotten")
    size = artifact.blob.size
    if size > LARGEST:
        where = store().file(artifact.blob) or "in the journal"
        return _refuse(request, f"{name} has {size / 1e6:.0f} MB, too much for a page: it is {where}")
    try:
        data = await asyncio.get_running_loop().run_in_executor(None, store().get, artifact.blob)
    except (KeyError, OSError) as error:
        return _refuse(request, f"{name} has left the journal ({error}): run its task again")
    for number, offset in enumerate(range(0, max(1, len(data)), PIECE)):
        piece = data[offset : offset + PIECE]
        last = offset + PIECE >= len(data)
        text = base64.b64encode(piece).decode("ascii")
        page.say(wire.Chunk(request=request, offset=offset, size=len(data), data=text, last=last))
        await asyncio.sleep(BREATH if number % AT_ONCE == AT_ONCE - 1 else 0)
    return wire.Answer(request=request, ok=True, uids=(view.uid,), names=(view.name,))


def _find(view: TaskView | None, name: str) -> Artifact | None:
    made = view.result.artifacts if view is not None and view.result is not None else ()
    return next((artifact for artifact in made if artifact.name == name), None)


def _refuse(request: str, message: str) -> wire.Answer:
    return wire.Answer(request=request, ok=False, message=message)
