"""Owns finding what in a variable can't be copied, and where it hides; knows no snapshot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from types import FunctionType, MethodType, ModuleType
from typing import Any

from .pickling import Buffer, Own, Pickler, refused
from .words import one_line

_DEEP = 8  # steps into a value
_WIDE = 2_000  # parts of one value that are tried


@dataclass(frozen=True)
class Culprit:
    """Something that can't be copied."""

    where: str  # such as 'conn', used by fit()
    what: str  # such as sqlite3.Connection: cannot pickle 'sqlite3.Connection' object

    def line(self) -> str:
        return f"{self.where} ({self.what})"


def find(name: str, namespace: dict[str, object], own: Own) -> Culprit | None:
    """What keeps the variable `name` from being copied; None when nothing does."""
    return _Search(namespace, own).look(namespace[name], name, (), 0)


class _Search:
    def __init__(self, namespace: dict[str, object], own: Own) -> None:
        self._namespace = namespace
        self._own = own
        self._seen: set[int] = set()

    def look(self, value: Any, path: str, users: tuple[str, ...], depth: int) -> Culprit | None:
        error = self._error(value)
        if error is None:
            return None
        self._seen.add(id(value))
        inside = depth < _DEEP and not isinstance(error, RecursionError | MemoryError) and not refused(type(value))
        if inside:
            for part, where, user in self._parts(value, path):
                if id(part) in self._seen:
                    continue
                found = self.look(part, where, (*users, user) if user else users, depth + 1)
                if found is not None:
                    return found
        used = f", used by {' in '.join(reversed(users))}" if users else ""
        return Culprit(f"'{path}'{used}", f"{_type_name(value)}: {_reason(error)}")

    def _error(self, value: Any) -> Exception | None:
        buffers: list[Buffer] = []  # big buffers are not copied here
        try:
            Pickler(_Nowhere(), self._namespace, self._own, buffers).dump(value)
        except Exception as error:
            cause = error.__cause__
            return cause if isinstance(cause, RecursionError) else error
        return None

    def _parts(self, value: Any, path: str) -> Iterator[tuple[Any, str, str]]:
        """What a value is made of: (part, its path, the function that uses it)."""
        with suppress(Exception):  # of the value's own code: then it is the culprit as a whole
            yield from islice(_parts_of(value, path, self._own), _WIDE)


class _Nowhere:
    def write(self, data: Any) -> int:
        """Drop it."""
        return memoryview(data).nbytes


def _parts_of(value: Any, path: str, own: Own) -> Iterator[tuple[Any, str, str]]:
    if isinstance(value, FunctionType):
        yield from _parts_of_function(value, path, own)
    elif isinstance(value, MethodType):
        yield value.__self__, f"{path}.__self__", ""
        yield value.__func__, path, ""
    elif isinstance(value, type):
        for name, part in list(vars(value).items()):
            yield getattr(part, "__func__", getattr(part, "fget", part)), f"{path}.{name}", ""
    elif isinstance(value, Mapping):
        for key, part in list(value.items()):
            yield part, f"{path}[{_short(key)}]", ""
            yield key, f"a key of {path}", ""
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            yield part, f"{path}[{index}]", ""
    elif isinstance(value, set | frozenset):
        for part in list(value):
            yield part, f"an element of {path}", ""
    if isinstance(value, type | ModuleType | FunctionType):
        return
    for name, part in list(getattr(value, "__dict__", {}).items()):
        yield part, f"{path}.{name}", ""
    yield type(value), type(value).__name__, ""


def _parts_of_function(function: FunctionType, path: str, own: Own) -> Iterator[tuple[Any, str, str]]:
    from cloudpickle.cloudpickle import _extract_code_globals  # type: ignore[import-untyped]

    user = f"{path.rpartition(' ')[2]}()"
    for name in _extract_code_globals(function.__code__):
        if name in function.__globals__ and not own(name):
            yield function.__globals__[name], name, user
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield cell.cell_contents, name, user
        except ValueError:
            continue  # the cell is empty
    for index, default in enumerate(function.__defaults__ or ()):
        yield default, f"default {index + 1} of {path}", ""
    for name, default in (function.__kwdefaults__ or {}).items():
        yield default, f"default {name} of {path}", ""
    for name, part in vars(function).items():
        yield part, f"{path}.{name}", ""


def _short(key: object) -> str:
    try:
        text = repr(key)
    except Exception:
        text = "…"
    return text if len(text) <= 40 else f"{text[:39]}…"


def _type_name(value: object) -> str:
    kind = type(value)
    return (
        kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}.{kind.__qualname__}"
    )


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, MemoryError):
        return "not enough memory"
    text = one_line(error)
    if type(error).__name__ in ("TypeError", "PicklingError") and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
