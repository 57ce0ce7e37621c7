"""Writes the wire types as TypeScript: its output is ``labextension/src/protocol.ts``."""

from __future__ import annotations

from typing import Any, get_args

import msgspec

from . import wire

HEAD = """/** Made from jupyter_orchestra/core/wire.py by jupyter_orchestra/core/typescript.py: change it there. */
/* eslint-disable */
"""
UNIONS = {"ToKernel": wire.ToKernel, "ToPage": wire.ToPage}
FROM_PAGE = {member.__name__ for member in get_args(wire.ToKernel)}
LOOSE = (wire.CardLine,)  # not in any message, but read by the page


def render() -> str:
    """The whole file."""
    types = [*get_args(wire.ToKernel), *get_args(wire.ToPage), *LOOSE]
    _, components = msgspec.json.schema_components(types, ref_template="{name}")
    constants = {"PROTOCOL": wire.PROTOCOL, "UP": wire.UP, "DOWN": wire.DOWN, "ANNOUNCE": wire.ANNOUNCE}
    lines = [f"export const {name} = {_literal(value)};" for name, value in constants.items()]
    lines.append(f"export const CARD_MIME = {_literal(wire.CARD_MIME)};")
    for name, schema in sorted(components.items()):
        lines += ["", *_declare(name, schema)]
    for name, union in UNIONS.items():
        members = " | ".join(f"I{member.__name__}" for member in get_args(union))
        lines += ["", f"export type {name} = {members};"]
    return HEAD + "\n".join(lines) + "\n"


def _declare(name: str, schema: dict[str, Any]) -> list[str]:
    doc = [f"/** {' '.join(schema['description'].split())} */"] if "description" in schema else []
    if schema.get("type") != "object":
        return [*doc, f"export type {name} = {_type(schema)};"]
    # The kernel writes every field; a page may leave out what has a default.
    always = schema["properties"] if name not in FROM_PAGE else schema["required"]
    fields = [
        f"  {field}{'' if field in always else '?'}: {_type(shape)};" for field, shape in schema["properties"].items()
    ]
    return [*doc, f"export interface I{name} {{", *fields, "}"]


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name: str = schema["$ref"]
        return name if name in ("State", "Stage", "Origin", "Delivery", "TurnState") else f"I{name}"
    if "anyOf" in schema:
        return " | ".join(map(_type, schema["anyOf"]))
    if "enum" in schema:
        return " | ".join(map(_literal, schema["enum"]))
    match schema.get("type"):
        case "string":
            return "string"
        case "integer" | "number":
            return "number"
        case "boolean":
            return "boolean"
        case "null":
            return "null"
        case "array":
            inner = _type(schema["items"])
            return f"({inner})[]" if " | " in inner else f"{inner}[]"
        case "object":
            return "{ [key: string]: any }"
    raise TypeError(f"no TypeScript type for {schema}")


def _literal(value: object) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value)


if __name__ == "__main__":
    print(render(), end="")
