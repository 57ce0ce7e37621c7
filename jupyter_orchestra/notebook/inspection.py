"""Looks at a variable for the master: type, shape, dtype and head; it changes nothing and calls little."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

HEAD = 1_500  # characters
ROWS = 5


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
