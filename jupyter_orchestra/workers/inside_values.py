"""Owns how values leave and enter a spawned kernel: pickles in frames or files; knows no task."""

from __future__ import annotations

import base64
import io
import os
import pickle
from collections.abc import Iterator, Mapping
from typing import Any, Final

import cloudpickle  # type: ignore[import-untyped]

from ..unpickle import NotPlainError, loads_untrusted
from ..values import NotCopied
from .words import one_line

PLAIN: Final = frozenset({int, float, str, bytes, bool, complex})  # types that plain pickle copies as well


class Pickled:
    """A pickle on its way out: in memory up to `threshold` bytes, from there on in the file at `path`.

    Big buffers go straight from the array into the file, so that nothing is held twice.
    """

    def __init__(self, value: Any, path: str, threshold: int) -> None:
        self._path = path
        self._threshold = threshold
        self._buffer = io.BytesIO()
        self._file: io.FileIO | None = None
        try:
            self._dump(value)
        except BaseException:
            self.discard()
            raise
        finally:
            self._close()

    @property
    def payload(self) -> bytes:
        """The bytes, empty when they are in the file."""
        return self._buffer.getvalue()

    @property
    def file(self) -> str:
        """The file's name, empty when there is none."""
        return os.path.basename(self._path) if self._file is not None else ""

    def write(self, data: Any) -> int:
        """What the pickler calls."""
        size = memoryview(data).nbytes
        if self._file is None:
            if self._buffer.tell() + size <= self._threshold:
                return self._buffer.write(data)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            self._file = io.FileIO(os.open(self._path, flags, 0o600), "w")
            self._write_all(self._buffer.getbuffer())
            self._buffer = io.BytesIO()
        self._write_all(memoryview(data).cast("B"))
        return size

    def discard(self) -> None:
        """Remove the file again."""
        if self._file is not None:
            os.unlink(self._path)

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _dump(self, value: Any) -> None:
        if type(value) in PLAIN:
            pickle.dump(value, self, protocol=5)
        else:
            cloudpickle.Pickler(self, protocol=5).dump(value)

    def _write_all(self, data: memoryview) -> None:
        assert self._file is not None
        while data:
            data = data[self._file.write(data) or 0 :]


def why_not(error: BaseException) -> str:
    """Why something could not be pickled, in one line."""
    text = one_line(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def placeholder(value: Any, error: BaseException) -> NotCopied:
    """What goes out in place of a value that can't be copied."""
    kind = type(value)
    plain = kind.__module__ in ("builtins", "__main__")
    name = kind.__qualname__ if plain else f"{kind.__module__}.{kind.__qualname__}"
    return NotCopied(name, why_not(error))


class MissingResult(KeyError):
    """There is no such value in ``results``."""

    __str__ = Exception.__str__


class Results(Mapping[str, Any]):
    """The values of the tasks before this one; each is loaded when it is first asked for."""

    def __init__(self, inputs: Mapping[str, Mapping[str, str]]) -> None:
        self._inputs = inputs
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name in self._loaded:
            return self._loaded[name]
        found = self._inputs.get(name)
        if found is None:
            known = ", ".join(self._inputs) or "none"
            raise MissingResult(f"no task {name!r} comes before this one (before it: {known})")
        if "error" in found:
            raise MissingResult(f"task {name!r} has no value: {found['error']}")
        try:
            value = self._loaded[name] = load(found)
        except NotPlainError as error:
            raise MissingResult(
                f"the value of {name!r} holds {error}, which is not loaded from what a model wrote: "
                "dispatch its code yourself, or have it return plain data"
            ) from None
        return value

    def __iter__(self) -> Iterator[str]:
        return (name for name, found in self._inputs.items() if "error" not in found)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"<results of {', '.join(self._inputs)}>"


def load(found: Mapping[str, str]) -> Any:
    """The value behind a reference: ``{"data": base64}``, ``{"file": path}``, or neither for None."""
    if found.get("by") == "model":
        return loads_untrusted(raw(found))
    if "file" in found:
        with open(found["file"], "rb") as file:
            return pickle.load(file)
    return pickle.loads(base64.b64decode(found["data"])) if "data" in found else None


def raw(found: Mapping[str, str]) -> bytes:
    """The bytes behind a reference."""
    if "file" in found:
        with open(found["file"], "rb") as file:
            return file.read()
    return base64.b64decode(found["data"])
