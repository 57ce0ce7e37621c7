"""Reads explicit task lists out of the person's words; it dispatches nothing and knows no task that is there.

::

    - NAME [WORKER ROLE TIER] after: A, B when: failure timeout: 5m: BODY

NAME is 1 to 40 of ``A-Z a-z 0-9 _ -``. The part in brackets and each ``key: values`` may be left out; the keys are
after, when, returns, timeout, deliver, tier, role, model and needs. BODY stands on the line (in backticks if you
like), or below it: fenced, or indented. Without a worker, a fence's language or the look of the code tells it.
A bullet with neither brackets, keys, backticks nor a block is prose.
"""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Collection
from typing import Any, get_args

import msgspec

from ..core.model import Delivery, When
from .tools import DispatchTask, Role, Tier, Worker

WORKERS: tuple[str, ...] = get_args(Worker)
ROLES, TIERS = tuple(filter(None, get_args(Role))), tuple(filter(None, get_args(Tier)))
LANGUAGES: dict[str, Worker] = {
    **dict.fromkeys(("", "python", "py", "python3", "ipython", "ipython3"), "kernel"),
    **dict.fromkeys(("bash", "sh", "shell", "zsh", "console"), "shell"),
}
UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
NAME = r"[A-Za-z0-9_-]{1,40}"
_KEYS = "after|needs|when|returns?|timeout|deliver|tier|role|model"
_VALUES = r"[^\s,:]+(?:[ \t]*,[ \t]*[^\s,:]+)*"
_ITEM = re.compile(rf"([ \t]*)(?:[-*+]|\d{{1,3}}[.)])[ \t]+(?:\*\*|`)?({NAME})(?:\*\*|`)?(?![\w(/.])[ \t]*(.*)")
_BRACKETS = re.compile(r"\[([^\[\]]*)\][ \t]*")
_KEY = re.compile(rf"({_KEYS})[ \t]*:[ \t]*", re.IGNORECASE)
_VALUE = re.compile(_VALUES)
_MODEL = re.compile(r"[^\s,]*[^\s,:]")
_FENCE = re.compile(r"[ \t]*(`{3,20}|~{3,20})[ \t]*([A-Za-z0-9+_-]*)[^`\n]*")
_COMMANDS_WORDS = """
awk bash bun bundle cargo cat cd chmod cmake cp curl cut date deno df diff docker du echo env false find gcc git
go grep gzip head helm jq jupyter kubectl ln ls make mkdir mv mypy node npm npx nproc perl pip pip3 pnpm podman ps
pwd pytest python python3 rg rm rsync ruff sed seq sh sleep sort ssh tail tar tee test time touch tox tr tree true
uname uniq unzip uv wc wget which xargs yarn zip
"""
_COMMANDS = frozenset(_COMMANDS_WORDS.split())
_PYTHON = re.compile(
    r"(?:import|from|def|class|for|while|if|with|try|async|await|print|return|raise|assert|del|lambda|not)\b"
    r"|[!%@(\[{\"'\d]|[A-Za-z_][\w.]*[ \t]*(?:[(\[=+*/%]|-=|\Z)"
)


class Misread(Exception):
    """A task list that can't be right; says what to change."""


class Found(msgspec.Struct, frozen=True):
    """What a text holds: tasks, and the words around them."""

    tasks: tuple[DispatchTask, ...]
    around: str


class _Entry:
    """A bullet on the way to becoming a task."""

    def __init__(self, indent: int, name: str, rest: str, line: str) -> None:
        self.indent, self.name, self.line = indent, name, line
        self.label: str | None = None
        self.pairs: dict[str, str] = {}
        self.inline, self.block = "", ""
        self.language: str | None = None  # of its fence
        self.sound = self._read(rest)

    def _read(self, rest: str) -> bool:
        """Take brackets, keys and body from what follows the name; False when something else follows."""
        if match := _BRACKETS.match(rest):
            self.label, rest = match[1], rest[match.end() :]
        while match := _KEY.match(rest):
            key = match[1].lower()
            value = (_MODEL if key == "model" else _VALUE).match(rest, match.end())
            if value is None:
                return False
            self.pairs["returns" if key == "return" else key] = value[0]
            rest = rest[value.end() :].lstrip(" \t")
        if rest.startswith(":"):
            self.inline, rest = rest[1:].strip(), ""
        return not rest.strip()

    @property
    def is_task(self) -> bool:
        marked = self.label is not None or bool(self.pairs) or bool(self.block) or _in_backticks(self.inline)
        return self.sound and marked


def read_list(text: str) -> Found:
    """The tasks of an explicit list. Raises Misread for one that can't be right; no tasks where there is no list."""
    entries: list[_Entry] = []
    around: list[str] = []
    lines = text.replace("\r\n", "\n").split("\n")
    at = 0
    while at < len(lines):
        match = _ITEM.fullmatch(lines[at])
        if match is None:
            at = _skip(lines, at, around)
            continue
        entry = _Entry(len(match[1].expandtabs(4)), match[2], match[3], lines[at])
        at = _take_block(lines, at + 1, entry)
        if entry.is_task:
            entries.append(entry)
        else:
            around += [entry.line, *([entry.block] if entry.block else [])]
    tasks = tuple(_make(entry) for entry in entries)
    names = [task.name for task in tasks]
    if len(set(names)) < len(names):
        twice = next(name for name, count in Counter(names).items() if count > 1)
        raise Misread(f"two tasks are called {twice}: give each a name of its own")
    return Found(tasks, "\n".join(around))


def _skip(lines: list[str], at: int, around: list[str]) -> int:
    """Pass a line that is no bullet; a fence with all that is in it, since no list stands in code."""
    end = at + 1
    if fence := _fence(lines[at]):
        end = _end_of_fence(lines, at, fence[1])
    around += lines[at:end]
    return end


def _take_block(lines: list[str], at: int, entry: _Entry) -> int:
    """Give an entry the fenced or indented block below it; the line after that."""
    start = at
    while start < len(lines) and not lines[start].strip():
        start += 1
    if start == len(lines):
        return at
    fence = _fence(lines[start])
    if fence and (not entry.inline or _indent(lines[start]) > entry.indent):
        end = _end_of_fence(lines, start, fence[1])
        closed = end > start + 1 and lines[end - 1].strip() == fence[1]
        entry.language = fence[2].lower()
        entry.block = textwrap.dedent("\n".join(lines[start + 1 : end - 1 if closed else end]))
        return end
    if _indent(lines[start]) <= entry.indent + 1 or start > at:
        return at
    end = start
    while end < len(lines) and (not lines[end].strip() or _indent(lines[end]) > entry.indent + 1):
        end += 1
    entry.block = textwrap.dedent("\n".join(lines[start:end])).rstrip()
    return end


def _fence(line: str) -> re.Match[str] | None:
    return _FENCE.fullmatch(line) if len(line) < 200 else None


def _end_of_fence(lines: list[str], at: int, fence: str) -> int:
    end = at + 1
    while end < len(lines) and lines[end].strip() != fence:
        end += 1
    return min(end + 1, len(lines))


def _indent(line: str) -> int:
    expanded = line.expandtabs(4)
    return len(expanded) - len(expanded.lstrip())


def _in_backticks(text: str) -> bool:
    return len(text) > 2 and text[0] == text[-1] == "`" and "`" not in text[1:-1]


def _make(entry: _Entry) -> DispatchTask:
    """The task of an entry. Raises Misread."""
    name = entry.name
    if "needs" in entry.pairs:
        raise Misread(f"{name} needs {entry.pairs['needs'][:60]}: leases are not available yet; leave `needs:` out")
    label, role, tier = _read_label(entry)
    worker = label or _guess(entry)
    body = _body(entry, worker)
    if not body:
        raise Misread(f"{name} has no body: write it after a colon, or indented or fenced below")
    given: dict[str, Any] = {"name": name, "worker": worker, "brief": body, "role": role, "tier": tier}
    for key, value in entry.pairs.items():
        given[key] = _list_of(value) if key in ("after", "returns") else value.lower() if key != "model" else value
    for key, allowed in (("when", tuple(When)), ("deliver", tuple(Delivery)), ("role", ROLES), ("tier", TIERS)):
        if given.get(key) and given[key] not in allowed:
            raise Misread(f"{name}: `{key}:` is one of {', '.join(allowed)}, not {given[key][:40]!r}")
    if "timeout" in given:
        given["timeout"] = _seconds(name, given["timeout"])
    return msgspec.convert(given, DispatchTask)


def _read_label(entry: _Entry) -> tuple[str, str, str]:
    """Worker, role and tier of the words in brackets."""
    worker = role = tier = ""
    for word in re.findall(r"[^\s,/]+", (entry.label or "").lower()):
        if word in WORKERS and not worker:
            worker = word
        elif word in ROLES and not role:
            role = word
        elif word in TIERS and not tier:
            tier = word
        else:
            raise Misread(
                f"{entry.name}: [{word[:40]}] is no worker; there are {', '.join(WORKERS)}, for an agent also a role "
                f"({', '.join(ROLES)}) and a tier ({', '.join(TIERS)})"
            )
    return worker or ("agent" if role or tier else ""), role, tier


def _guess(entry: _Entry) -> str:
    """The worker of a task that names none."""
    if entry.language is not None:
        if worker := LANGUAGES.get(entry.language):
            return worker
    elif worker := worker_of(entry.block or entry.inline.strip("`"), surely=not _in_backticks(entry.inline)):
        return worker
    raise Misread(f"{entry.name}: say which worker carries it out, such as {entry.name} [shell] or [kernel]")


def _body(entry: _Entry, worker: str) -> str:
    inline = entry.inline[1:-1] if _in_backticks(entry.inline) else entry.inline
    if worker == "agent":
        return "\n".join(part for part in (inline, entry.block) if part.strip())
    return entry.block if entry.block.strip() else inline.strip()


def _list_of(values: str) -> list[str]:
    return [value.strip() for value in values.split(",")]


def _seconds(name: str, text: str) -> float:
    match = re.fullmatch(r"(\d{1,8}(?:\.\d{1,6})?)([a-z]*)", text)
    if match is None or match[2] not in UNITS or not float(match[1]):
        raise Misread(f"{name}: `timeout:` takes seconds, such as 30 or 2.5 (or 5m, 1h), not {text[:20]!r}")
    return float(match[1]) * UNITS[match[2]]


def worker_of(code: str, surely: bool = False) -> Worker | None:
    """Who carries out code that says no more, shell or kernel; None where it has to be sure and is not."""
    line = next((line.strip() for line in code.splitlines() if line.strip() and not line.strip().startswith("#")), "")
    first, _, rest = line.partition(" ")
    called = rest.lstrip().startswith(("=", "(")) or "(" in first
    if (first in _COMMANDS and not called) or first.startswith(("./", "../", "~/", "/")):
        return "shell"
    if _PYTHON.match(line) and (not surely or not re.fullmatch(r"[A-Za-z_]\w*", line)):
        return "kernel"
    return None if surely else "shell"


def name_of(body: str, taken: Collection[str]) -> str:
    """A short name from the first words of a body, which none of those in `taken` bears."""
    words = list(dict.fromkeys(re.findall(r"[A-Za-z][A-Za-z0-9_]*", body[:400])))
    skipped = {"import", "from", "as", "await", "return", "print", "in", "with", "the"}
    stem = "-".join([word for word in words if word not in skipped][:3] or words[:1])[:24].strip("-_") or "task"
    name, n = stem, 1
    while name.lower() in taken:
        n += 1
        name = f"{stem}-{n}"
    return name
