"""Which commands a piece of Python runs, as scripts for the shell, as far as its text tells; it runs nothing."""

from __future__ import annotations

import ast
import shlex
from collections.abc import Iterator
from typing import Final

from .source import parse

# What runs a command, by the last part of its name.
_STARTERS: Final = frozenset(
    {"run", "call", "check_call", "check_output", "Popen", "getoutput", "getstatusoutput", "system", "popen"}
    | {"create_subprocess_exec", "create_subprocess_shell", "getoutput_pexpect"}
)
_MODULES: Final = frozenset({"run_module", "run_path"})  # of runpy
_MAIN: Final = frozenset({"main", "console_main", "cmdline"})  # of pytest
_RUNNERS: Final = frozenset({"TextTestRunner", "TestProgram"})  # of unittest, beside its main
_SHELL_CELLS: Final = frozenset({"bash", "sh", "script", "!", "sx", "system"})
_SHELL_LINES: Final = frozenset({"sx", "system"})
_PYTHON_CELLS: Final = frozenset({"time", "timeit", "capture", "prun"})


def scripts_of(code: str) -> str:
    """The commands that a piece of Python runs, a line each; none where it can't be read."""
    try:
        return "\n".join(_scripts(parse(code)))
    except (SyntaxError, ValueError, OverflowError, MemoryError, RecursionError):
        return ""


def _scripts(tree: ast.AST) -> Iterator[str]:
    names = dict(_names(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from _of_call(node, names)


def _names(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """What the imports of a body call things, and what those really are."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield (
                    name.asname or name.name.partition(".")[0],
                    name.name if name.asname else name.name.partition(".")[0],
                )
        elif isinstance(node, ast.ImportFrom) and node.module:
            for name in node.names:
                yield name.asname or name.name, f"{node.module}.{name.name}"


def _of_call(call: ast.Call, names: dict[str, str]) -> Iterator[str]:
    name = _full(call.func, names)
    module, _, last = name.rpartition(".")
    program = module.partition(".")[0]
    if program in ("pytest", "_pytest") and last in _MAIN:
        yield "pytest"
    elif program == "unittest" and last in (*_MAIN, *_RUNNERS):
        yield "unittest"
    elif last in _MODULES and (words := _words(call.args[:1])):
        yield shlex.join(("python", "-m" if last == "run_module" else "--", *words))
    elif last in _STARTERS and (words := _words(call.args)):
        yield words[0] if len(words) == 1 else shlex.join(words)
    elif last == "run_cell_magic" and len(words := _words(call.args)) > 1:
        yield from _of_cell(words[0], words[-1])
    elif last == "run_line_magic" and len(words := _words(call.args)) > 1:
        if words[0] == "run":
            yield f"python {words[-1]}"
        elif words[0] in _SHELL_LINES:
            yield words[-1]


def _of_cell(magic: str, body: str) -> Iterator[str]:
    if magic in _SHELL_CELLS:
        yield body
    elif magic in _PYTHON_CELLS:
        yield scripts_of(body)


def _full(function: ast.expr, names: dict[str, str]) -> str:
    """The name of what is called, with its module where an import says that; empty for what has none."""
    if isinstance(function, ast.Name):
        return names.get(function.id, function.id)
    if isinstance(function, ast.Attribute):
        # Of what a call gives, such as get_ipython(), only what is asked of it is known.
        return f"{_full(function.value, names)}.{function.attr}"
    return ""


def _words(arguments: list[ast.expr]) -> list[str]:
    """The texts in some arguments, in order, also in lists; the interpreter's own path is one."""
    found: list[str] = []
    for argument in arguments:
        if isinstance(argument, ast.List | ast.Tuple):
            found += _words(argument.elts)
        elif isinstance(argument, ast.Constant) and isinstance(argument.value, str):
            found.append(argument.value)
        elif isinstance(argument, ast.Attribute) and argument.attr == "executable":
            found.append("python")
        elif isinstance(argument, ast.BinOp):
            found += _words([argument.left, argument.right])
        elif isinstance(argument, ast.JoinedStr):
            found.append(
                "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in argument.values)
            )
        elif isinstance(argument, ast.Starred):
            found += _words([argument.value])
        elif isinstance(argument, ast.Call):  # "pytest -q".split(), shlex.split("pytest -q"), str(...)
            inner = _words(argument.args)
            if isinstance(argument.func, ast.Attribute) and isinstance(argument.func.value, ast.Constant):
                inner = _words([argument.func.value])
            found += [word for text in inner for word in text.split()]
    return found
