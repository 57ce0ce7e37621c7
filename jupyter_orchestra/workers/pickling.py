"""Owns how the notebook's objects are pickled: what goes by value, what beside the stream, what is refused.

It differs from cloudpickle in three points: functions of the notebook get the task's namespace as their globals, what
makes no sense in another process is refused where cloudpickle would write something else, and arrays of times and with
gaps leave the stream too.
"""

from __future__ import annotations

import io
import pickle
import sys
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

import cloudpickle  # type: ignore[import-untyped]

from . import restore

# Where these modules are loaded, their classes are refused; those that pickle refuses by itself need no mention.
_REFUSED = (
    ("io", ("IOBase",), "an open file"),
    ("threading", ("Thread",), "a thread"),
    ("socket", ("socket",), "a socket"),
    ("subprocess", ("Popen",), "a running process"),
    ("multiprocessing.process", ("BaseProcess",), "a running process"),
    ("concurrent.futures", ("Future", "Executor"), "it belongs to this process"),
    ("asyncio", ("AbstractEventLoop", "Future", "Queue", "Lock", "Event"), "it belongs to this kernel's loop"),
    ("IPython.core.interactiveshell", ("InteractiveShell",), "the notebook's shell"),
    ("comm.base_comm", ("BaseComm",), "a connection to the page"),
    ("ipywidgets", ("Widget",), "a widget of this notebook's page"),
    ("zmq", ("Context", "Socket"), "a socket"),
    ("contextvars", ("Context",), "it belongs to this process"),
)
Own = Callable[[str], bool]

_ALLOWED = (io.BytesIO, io.StringIO)


class Array:
    """A numpy array with gaps, on its way out as C-ordered bytes."""

    def __init__(self, array: Any) -> None:
        self._array = array
        self.nbytes: int = array.nbytes

    def pieces(self, size: int) -> Iterator[memoryview]:
        """The bytes, about `size` at a time."""
        yield from self._split(self._array, size)

    def _split(self, array: Any, size: int) -> Iterator[memoryview]:
        import numpy

        if array.nbytes <= size or array.ndim == 0:
            yield memoryview(numpy.ascontiguousarray(array).reshape(-1).view(numpy.uint8))  # type: ignore[arg-type]
            return
        rows = max(1, size * len(array) // array.nbytes)
        for start in range(0, len(array), rows):
            part = array[start : start + rows]
            yield from self._split(part[0] if rows == 1 else part, size)


class Raw:
    """A contiguous buffer of any shape, as bytes."""

    def __init__(self, buffer: pickle.PickleBuffer) -> None:
        self._raw = buffer.raw()
        self.nbytes = self._raw.nbytes

    def pieces(self, size: int) -> Iterator[memoryview]:
        """The bytes, all at once."""
        yield self._raw


Buffer = Array | Raw


class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Pickles for another process.

    Parameters
    ----------
    namespace
        The notebook's namespace; on the other side the task's stands for it. None: the stream is for plain pickle.
    own
        Is a name one that functions find in the task's namespace by itself?
    buffers
        Takes the buffers of at least `small` bytes; None: they stay in the stream.
    """

    def __init__(
        self,
        file: Any,
        namespace: dict[str, object] | None = None,
        own: Own | None = None,
        buffers: list[Buffer] | None = None,
        small: int = 0,
    ) -> None:
        super().__init__(file, protocol=5, buffer_callback=None if buffers is None else self._buffer)
        self._namespace = namespace
        self._own = own
        self._buffers = buffers
        self._small = small
        self._arrays: dict[int, tuple[pickle.PickleBuffer, Any]] = {}  # by the id of the buffer that stands for it
        self._known: dict[type, str] = {}
        if namespace is not None:
            self.globals_ref[id(namespace)] = _Namespace()

    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        if kind is _Namespace:
            return restore.task_namespace, ()
        reason = self._known.get(kind)
        if reason is None:
            reason = self._known[kind] = refused(kind)
        if reason:
            raise pickle.PicklingError(reason)
        if self._buffers is not None and kind.__module__ == "numpy" and kind.__name__ in ("ndarray", "memmap"):
            reduced = self._array(obj, kind.__name__ == "memmap")
            if reduced is not None:
                return reduced
        return super().reducer_override(obj)

    def _dynamic_function_reduce(self, func: FunctionType) -> Any:
        reduced = super()._dynamic_function_reduce(func)
        if self._own is not None and func.__globals__ is self._namespace:
            used = reduced[2][1]["__globals__"]
            for name in [name for name in used if self._own(name)]:
                del used[name]
        return reduced

    def _array(self, array: Any, mapped: bool) -> Any:
        """How an array goes that numpy would copy into the stream."""
        kind = array.dtype.kind
        if array.nbytes < self._small or array.dtype.hasobject or kind not in "biufcmMSUV":
            return None
        if array.flags.forc and not mapped and kind not in "mM":  # times export no buffer
            return None
        stand_in = pickle.PickleBuffer(bytearray())
        self._arrays[id(stand_in)] = (stand_in, array)
        return restore.array, (stand_in, array.dtype, array.shape)

    def _buffer(self, buffer: pickle.PickleBuffer) -> bool:
        assert self._buffers is not None
        found = self._arrays.pop(id(buffer), None)
        if found is not None:
            self._buffers.append(Array(found[1]))
            return False
        raw = Raw(buffer)
        if raw.nbytes < self._small:
            return True
        self._buffers.append(raw)
        return False


class _Namespace:
    """Stands for the notebook's namespace while it is pickled."""


def refused(kind: type) -> str:
    """Why objects of a type are not copied though pickle would write something; empty when they may be."""
    if issubclass(kind, type) or issubclass(kind, _ALLOWED):
        return ""
    for module, names, reason in _REFUSED:
        loaded = sys.modules.get(module)
        if loaded is not None and any(_is(kind, vars(loaded).get(name)) for name in names):
            return reason
    return ""


def _is(kind: type, base: object) -> bool:
    return isinstance(base, type) and issubclass(kind, base)
