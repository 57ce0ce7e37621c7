"""Tools as types: each gives its strict JSON schema and reads what a model calls it with; it carries nothing out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from .values import Call, ToolSpec

LONGEST = 400_000  # characters of a call's arguments


class BadCall(Exception):
    """A call that can't be read; says to the model what is wrong with it."""


class Arguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a call says. The docstring of a subclass is what the model is told of the tool."""


A = TypeVar("A", bound=Arguments)


def spec_of(name: str, kind: type[Arguments]) -> ToolSpec:
    """A tool as a model is told of it."""
    return ToolSpec(name, " ".join((kind.__doc__ or "").split()), strict_schema(kind))


def strict_schema(kind: type[Arguments]) -> dict[str, Any]:
    """A type's JSON schema as strict tool calls want it: no references, nothing else allowed, everything required.

    What has a default may be null instead.
    """
    (found,), parts = msgspec.json.schema_components([kind])
    return _strict(found, parts)


def _strict(schema: dict[str, Any], parts: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        beside = {key: part for key, part in schema.items() if key != "$ref"}
        return _strict({**parts[schema["$ref"].rpartition("/")[2]], **beside}, parts)
    kept = {key: part for key, part in schema.items() if key not in ("title", "default")}
    if kinds := kept.pop("anyOf", None):  # a reference with words beside it, or something or null
        inner = [_strict(kind, parts) for kind in kinds if kind != {"type": "null"}]
        return {**(inner[0] if len(inner) == len(kinds) else _nullable(inner[0])), **kept}
    if "enum" in kept:
        kept.update(type="string", enum=[word for word in kept["enum"] if word])
    if "items" in kept:
        kept["items"] = _strict(kept["items"], parts)
    if "properties" in kept:
        needed = kept.get("required", [])
        inside = {name: _strict(part, parts) for name, part in kept["properties"].items()}
        kept["properties"] = {name: part if name in needed else _nullable(part) for name, part in inside.items()}
        kept.update(required=list(inside), additionalProperties=False)
        kept.pop("description", None)
    return kept


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    if isinstance(schema["type"], list):
        return schema
    found = {**schema, "type": [schema["type"], "null"]}
    if "enum" in schema:
        found["enum"] = [*schema["enum"], None]
    return found


def read(call: Call, types: Mapping[str, type[A]]) -> A:
    """What a call of one of these tools says. Raises BadCall, which says what is wrong and how it is made right."""
    kind = types.get(call.name)
    if kind is None:
        raise BadCall(f"there is no tool {call.name[:60]!r}; there are: {', '.join(types)}")
    found = _load(call)
    try:
        return msgspec.convert(_without_nulls(found), kind, strict=False)
    except msgspec.ValidationError as error:
        raise BadCall(f"{call.name}: {_explain(str(error), kind)}; nothing was done, send the call again") from None


def _load(call: Call) -> dict[str, Any]:
    text = call.arguments
    if len(text) > LONGEST:
        raise BadCall(
            f"the arguments of {call.name} have {len(text):,} characters, at most {LONGEST:,} are read: "
            "send less, or several calls"
        )
    try:
        found = json.loads(text or "{}")
    except json.JSONDecodeError as error:
        near = text[max(0, error.pos - 20) : error.pos + 20]
        raise BadCall(
            f"the arguments of {call.name} are no JSON: {error.msg} at character {error.pos + 1}, near {near!r}; "
            "nothing was done, send the call again"
        ) from None
    except (ValueError, RecursionError):
        raise BadCall(f"the arguments of {call.name} can't be read: too deep, or a number too long") from None
    if not isinstance(found, dict):
        raise BadCall(f"the arguments of {call.name} must be a JSON object, not {type(found).__name__}")
    return found


def _without_nulls(found: dict[str, Any]) -> dict[str, Any]:
    """Null stands for what is left out; within a list of tasks too."""
    return {
        key: [_without_nulls(part) if isinstance(part, dict) else part for part in value]
        if isinstance(value, list)
        else value
        for key, value in found.items()
        if value is not None
    }


def _explain(message: str, kind: type[Arguments]) -> str:
    """A message of msgspec's with the place first, and what is allowed there."""
    what, _, path = message.partition(" - at `$")
    what = what if len(what) < 300 else f"{what[:300]}…"
    keys = re.findall(r"[A-Za-z_]+", path)
    said = f"{path.strip('`.')}: {what}" if keys else what
    part = strict_schema(kind)
    for key in keys:
        part = part.get("properties", {}).get(key, {})
        part = part.get("items", part)
    if "enum" in part:
        return f"{said}; it is one of {', '.join(word for word in part['enum'] if word)}"
    if "unknown field" in what:
        return f"{said}; there are: {', '.join(part.get('properties', {}))}"
    return said
