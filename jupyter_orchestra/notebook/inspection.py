"""Looks at a variable for the master: type, shape, dtype and head; it changes nothing and calls little.

A value shows itself by its own code, which may do anything: raise what ends a loop, or never come back.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

HEAD = 1_500  # characters
ROWS = 5
PATIENCE = 3.0  # seconds that a value may take to show itself


async def look(name: str, namespace: Mapping[str, Any], patience: float = PATIENCE) -> dict[str, Any]:
    """What `inspect` finds, in a thread of its own that is left behind when it takes too long."""
    found: Future[dict[str, Any]] = Future()

    def begin() -> None:
        try:
            found.set_result(inspect(name, namespace))
        except BaseException as error:
            found.set_result({"error": f"{name!r} can't be shown: {type(error).__name__}"})

    threading.Thread(target=begin, name="jo-look", daemon=True).start()
    coming = asyncio.wrap_future(found)
    await asyncio.wait({coming}, timeout=patience)
    return coming.result() if coming.done() else {"error": f"{name!r} takes too long to show itself"}


def inspect(name: str, namespace: Mapping[str, Any]) -> dict[str, Any]:
    """What there is to know of a variable of the notebook, as plain JSON."""
    if not name.isidentifier() or name.startswith("_") or name not in namespace:
        return {"error": f"the notebook has no variable {name!r}: say a plain name"}
    return described(namespace[name])


def described(value: Any) -> dict[str, Any]:
    """The same of a value."""
    kind = type(value)
    found: dict[str, Any] = {"type": f"{kind.__module__}.{kind.__qualname__}"}
    for trait in ("shape", "dtype", "dtypes", "columns"):
        try:
            said = getattr(value, trait, None)
        except Exception:
            continue
        if said is not None and not callable(said):
            found[trait] = str(list(said) if trait in ("shape", "columns") else said)[:400]
    with contextlib.suppress(Exception):
        found["length"] = len(value)
    try:
        found["head"] = _head(value)[:HEAD]
    except Exception as error:
        found["head"] = f"it can't be shown: {type(error).__name__}"
    return found


def _head(value: Any) -> str:
    head = getattr(value, "head", None)
    if callable(head) and hasattr(value, "columns"):
        return str(head(ROWS))
    if isinstance(value, str | bytes):
        return repr(value[:HEAD])
    if isinstance(value, Mapping):
        return repr(dict(list(value.items())[:ROWS]))
    if isinstance(value, list | tuple | range) or hasattr(value, "dtype"):
        flat = getattr(value, "flat", value)
        return repr(list(flat[: 4 * ROWS]))
    return repr(value)
