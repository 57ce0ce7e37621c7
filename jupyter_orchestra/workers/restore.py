"""Owns the way of a snapshot back into variables, in the task's process; knows the stream's form and no task.

It runs in the spawned kernel, so it imports little (the stream itself imports cloudpickle).
"""

from __future__ import annotations

import io
import mmap
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from .words import words

GONE = "the captured variables are gone; dispatch again"

# A mapping is one entry in the process's table, which ends at 65,530 by default: beyond this number of buffers they
# share one mapping, which then stays as long as any of them.
_MAPPINGS = 1_000


class RestoreError(Exception):
    """The captured variables can't be had; the message says why in one line."""


def restore(
    stream: bytes, buffers: str | None, sizes: Sequence[int], namespace: dict[str, object]
) -> dict[str, object]:
    """The captured variables.

    What the notebook's functions among them need as globals is put into `namespace`, which becomes their globals.
    The caller puts the returned variables there as well.

    Parameters
    ----------
    stream
        The pickle stream of the capture.
    buffers
        Path of the file with the big buffers. It is mapped copy-on-write: the variables are writable, and no write
        reaches the file. Once this function has returned, the file may be removed.
    sizes
        Bytes of each buffer, in order; :func:`offsets` says where each begins.
    namespace
        The task's namespace.

    Raises
    ------
    RestoreError
        When the file is gone, or something in the stream can't be made here.
    """
    mapped = list(_mapped(buffers, sizes)) if buffers is not None else []
    try:
        found = _Unpickler(io.BytesIO(stream), namespace, mapped).load()
    except Exception as error:
        message = " ".join(words(error).split())
        raise RestoreError(f"a captured variable can't be made here ({type(error).__name__}: {message})") from error
    return dict(found)


def offsets(sizes: Sequence[int]) -> Iterator[int]:
    """Where each buffer begins in the file: at the next page that a mapping may begin at."""
    at = 0
    for size in sizes:
        yield at
        at += -(-size // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY


def task_namespace() -> dict[str, object]:
    """Stands in a stream for the namespace of the task that loads it."""
    raise RestoreError("this stream is for restore()")


def array(buffer: object, dtype: Any, shape: tuple[int, ...]) -> object:
    """A numpy array over `buffer`, in C order."""
    import numpy

    return numpy.frombuffer(buffer, dtype).reshape(shape)  # type: ignore[call-overload]


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, namespace: dict[str, object], buffers: list[memoryview]) -> None:
        super().__init__(file, buffers=buffers)
        self._namespace = namespace

    def find_class(self, module: str, name: str) -> Any:
        if name == task_namespace.__name__ and module == task_namespace.__module__:
            return self._here
        return super().find_class(module, name)

    @property
    def _here(self) -> Callable[[], dict[str, object]]:
        return lambda: self._namespace


def _mapped(path: str, sizes: Sequence[int]) -> Iterator[memoryview]:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise RestoreError(GONE) from error
    places = list(zip(offsets(sizes), sizes, strict=True))
    try:
        if len(places) > _MAPPINGS:
            whole = memoryview(mmap.mmap(file, sum(places[-1]), access=mmap.ACCESS_COPY))
            yield from (whole[offset : offset + size] for offset, size in places)
        else:
            for offset, size in places:
                yield memoryview(mmap.mmap(file, size, access=mmap.ACCESS_COPY, offset=offset))
    except (ValueError, OSError) as error:
        raise RestoreError(GONE) from error
    finally:
        with suppress(OSError):
            os.close(file)
