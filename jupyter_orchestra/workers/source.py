"""Owns what can be said of a Python body before it runs: does it compile, which names does it take; knows no values."""

from __future__ import annotations

import ast
import warnings
from functools import lru_cache
from typing import NamedTuple

from .names import Walk

_HINT = "plain words? use %%chat, or -w agent"
_BROKEN = (SyntaxError, ValueError, OverflowError, MemoryError, RecursionError)
_PYTHON_CELLS = frozenset({"time", "timeit", "capture", "prun"})


class FreeNames(NamedTuple):
    """The names that a body takes from the namespace: those it needs, and those it may have bound by itself."""

    needed: frozenset[str]
    maybe: frozenset[str]


def check(code: str) -> str:
    """What is wrong with a body, in one line; empty when it compiles."""
    if not code.strip():
        return f"there is no code to run: {_HINT}"
    try:
        tree = _compiled(code)
        magic = _cell_magic(tree)
        if magic is None:
            return "" if tree.body else f"there is only comment, no code to run: {_HINT}"
        return _magic_error(code, *magic)
    except _BROKEN as error:
        return f"{_describe(error, code)}: {_HINT}"


def free_names(code: str) -> FreeNames:
    """The names that a body which :func:`check` has passed takes from the namespace that it runs in.

    Raises
    ------
    SyntaxError
        When it does not parse.
    """
    walk = Walk(parse)
    walk.body(parse(code))
    return FreeNames(walk.needed, walk.maybe)


def parse(code: str) -> ast.Module:
    """The syntax tree of a body in IPython's syntax."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the body's author should hear is said where it runs
        try:
            # What is Python is left as it is by IPython's transformer, which takes ten times as long.
            return ast.parse(code)
        except SyntaxError:
            return ast.parse(_transformed(code))


@lru_cache(maxsize=16)  # the check and the search for names ask for the same body
def _transformed(code: str) -> str:
    from IPython.core.inputtransformer2 import TransformerManager

    return TransformerManager().transform_cell(code)


def _compiled(code: str) -> ast.Module:
    tree = parse(code)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compile(tree, "<body>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    return tree


def _cell_magic(tree: ast.Module) -> tuple[str, str] | None:
    """Name and body of the cell magic that the whole body is, if it is one."""
    match tree.body:
        case [
            ast.Expr(
                ast.Call(
                    ast.Attribute(attr="run_cell_magic"),
                    [ast.Constant(str() as name), ast.Constant(), ast.Constant(str() as inner)],
                )
            )
        ]:
            return name, inner
    return None


def _magic_error(code: str, name: str, inner: str) -> str:
    if name not in _PYTHON_CELLS or not inner.strip():
        return ""
    try:
        _compiled(inner)
    except _BROKEN as error:
        above = code[: len(code.rstrip("\n")) - len(inner.rstrip("\n"))].count("\n")
        return f"{_describe(error, inner, above)}: {_HINT}"
    return ""


def _describe(error: BaseException, code: str, above: int = 0) -> str:
    """The error in one line, with where it is in the cell; `above`: lines of the cell above `code`."""
    if not isinstance(error, SyntaxError) or not error.lineno:
        return " ".join(str(error).split()) or type(error).__name__
    blank = len(code) - len(code.lstrip("\n"))
    shown = code.splitlines()
    # IPython drops the empty lines at the top before it counts.
    line = error.lineno + (blank if error.text is None or error.text.strip() not in _line(shown, error.lineno) else 0)
    text = (error.text or _line(shown, line)).strip()
    clipped = text if len(text) <= 80 else f"{text[:79]}…"
    return f"line {line + above}: {error.msg}: {clipped}" if clipped else f"line {line + above}: {error.msg}"


def _line(lines: list[str], number: int) -> str:
    return lines[number - 1] if 0 < number <= len(lines) else ""
