"""What a task needs besides its code: the grammar of needs, read and spelled; it knows no capacities and no holders.

::

    terminal   test-runner   server   server:NAME   container:NAME   gpu   gpu:N   slots:NAME   slots:NAME=N
    port   port:8080   port:3000-3010   path:src/**:w   path:src:r   db:NAME:w   db:NAME:r   mem=2GiB   NAME   NAME=N
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

PORTS = (1024, 65535)  # below, a port wants rights that no task has
ANY_PORT = (3000, 3999)
MOST = 64  # needs of one task
LONGEST = 4096  # characters of one need
BINARY = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
DECIMAL = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
BYTES = {**BINARY, **DECIMAL, "B": 1}

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_POOL = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}(:[A-Za-z_][A-Za-z0-9_.-]{0,63})?")
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
_RANGE = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_AMOUNT = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,3}))?([A-Za-z]{1,3})")
_WILD = frozenset("*?[")


class Need(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that is leased."""

    resource: str
    amount: int = 1  # units; bytes of "mem"
    mode: str = ""  # "r" or "w", of paths and databases
    path: tuple[str, ...] = ()  # of "path": its parts, absolute once resolved, cut at the first wildcard
    choice: tuple[int, int] | None = None  # of "port": any one from the first to the last
    units: tuple[int, ...] = ()  # what was granted: concrete ports, numbers of graphics cards

    @property
    def word(self) -> str:
        """What it begins with, by which it is known who serves it, such as ``db``."""
        return self.resource.partition(":")[0]

    @property
    def name(self) -> str:
        """Which one of those, such as ``shop``; empty: it has none."""
        return self.resource.partition(":")[2]


class BadNeed(ValueError):
    """What was written is no need; says in one line what would be right."""


def parse(text: str) -> Need:
    """Read one need.

    Raises
    ------
    BadNeed
        With what would be right.
    """
    text = text.strip()
    if not text:
        raise BadNeed("an empty need: write for example port:3000-3010 or path:src:w")
    if len(text) > LONGEST or not text.isprintable():
        raise BadNeed(f"{text[:40]!r}: a need is one line of at most {LONGEST} printable characters")
    word, colon, rest = text.partition(":")
    if word in _READERS and (colon or word in _BARE):
        return _READERS[word](text, rest if colon else None)
    if word.partition("=")[0].rstrip() == "mem":
        return _memory(text)
    if colon:
        raise BadNeed(f"{text!r}: nothing that is leased begins with {word + ':'!r}; a declared name is written NAME=N")
    return _declared(text)


def parse_all(text: str) -> tuple[Need, ...]:
    """Read needs separated by commas. The same path or database twice is one need; anything else twice is refused.

    Raises
    ------
    BadNeed
        With what would be right.
    """
    found: dict[tuple[object, ...], Need] = {}
    for item in text.split(","):
        if not item.strip():
            continue
        need = parse(item)
        key = (need.resource, need.path, need.choice)
        if key in found and not need.mode:
            raise BadNeed(f"{spell(need)!r} is named twice: write it once, with all that is needed of it")
        if key not in found or need.mode == "w":
            found[key] = need
        if len(found) > MOST:
            raise BadNeed(f"more than {MOST} needs: take a path or a resource that covers several")
    return tuple(found.values())


def spell(need: Need) -> str:
    """Write a need as a person would; what :func:`parse` reads back. A granted port is spelled as that port."""
    if need.resource == "path":
        return f"path:{spell_path(need.path)}:{need.mode}"
    if need.resource == "port":
        first, last = (need.units[0], need.units[0]) if need.units else need.choice or ANY_PORT
        return f"port:{first}" if first == last else f"port:{first}-{last}"
    if need.resource == "mem":
        return f"mem={spell_bytes(need.amount)}"
    if need.mode:
        return f"{need.resource}:{need.mode}"
    if need.amount == 1:
        return need.resource
    return f"{need.resource}{':' if need.resource == 'gpu' else '='}{need.amount}"


def spell_all(needs: Iterable[Need]) -> str:
    """Several needs, separated by commas."""
    return ", ".join(map(spell, needs))


def spell_path(path: tuple[str, ...]) -> str:
    """The parts of a path as one text; the folder itself is ``**``."""
    if path[:1] == ("/",):
        return "/" + "/".join(path[1:])
    return "/".join(path) or "**"


def spell_bytes(amount: int) -> str:
    """An exact number of bytes in the largest unit that divides it."""
    for units in (BINARY, DECIMAL):
        for name, size in reversed(units.items()):
            if amount % size == 0:
                return f"{amount // size}{name}"
    return f"{amount}B"


def conflicts(a: Need, b: Need) -> bool:
    """Whether two paths can't be held at once: one lies in the other, and one of them is written."""
    common = min(len(a.path), len(b.path))
    return "w" in (a.mode, b.mode) and a.path[:common] == b.path[:common]


# one reader for each first word; `rest` is None where no colon follows it


def _plain(text: str, rest: str | None) -> Need:
    if rest is not None:
        raise BadNeed(f"{text!r}: write {text.partition(':')[0]} alone, there is nothing to choose")
    return Need(text)


def _slots(text: str, rest: str | None) -> Need:
    name, equals, number = (rest or "").partition("=")
    if not _POOL.fullmatch(name):
        raise BadNeed(f"{text!r}: write slots:NAME=N with the name of a worker kind")
    return Need(f"slots:{name}", _number(text, number) if equals else 1)


def _port(text: str, rest: str | None) -> Need:
    if rest is None:
        return Need("port", choice=ANY_PORT)
    match = _RANGE.fullmatch(rest)
    if match is None:
        raise BadNeed(f"{text!r}: write port:8080, or port:3000-3010 for any one of them")
    first, last = int(match[1]), int(match[2] or match[1])
    if not PORTS[0] <= first <= last <= PORTS[1]:
        raise BadNeed(f"{text!r}: ports go from {PORTS[0]} to {PORTS[1]}, the lower one first")
    return Need("port", choice=(first, last))


def _path(text: str, rest: str | None) -> Need:
    body, mode = _moded(text, rest or "", "path:src/**:w")
    if not body:
        raise BadNeed(f"{text!r}: write path:src/**:w, or path:**:w for the whole folder")
    parts, wild = (["/"] if body.startswith("/") else []), False
    for part in body.split("/"):
        wild = wild or not _WILD.isdisjoint(part)
        if wild and part == "..":
            raise BadNeed(f"{text!r}: no '..' after a wildcard")
        if not wild and part not in ("", "."):
            parts.append(part)
    return Need("path", mode=mode, path=tuple(parts))


def _database(text: str, rest: str | None) -> Need:
    name, mode = _moded(text, rest or "", "db:NAME:w")
    if not _NAME.fullmatch(name):
        raise BadNeed(f"{text!r}: write db:NAME:w or db:NAME:r with the name of a declared database")
    return Need(f"db:{name}", mode=mode)


def _named(text: str, rest: str | None) -> Need:
    if rest is not None and not _NAME.fullmatch(rest):
        raise BadNeed(f"{text!r}: write {text.partition(':')[0]}:NAME, a name of letters, digits, '_', '-' and '.'")
    return Need(text)


def _cards(text: str, rest: str | None) -> Need:
    return Need("gpu", 1 if rest is None else _number(text, rest))


def _memory(text: str) -> Need:
    match = _AMOUNT.fullmatch(text.partition("=")[2].strip())
    size = BYTES.get(match[3]) if match else None
    if match is None or size is None:
        raise BadNeed(f"{text!r}: write mem=2GiB, with one of {', '.join(BYTES)}")
    fraction = match[2] or ""
    amount = int(match[1] + fraction) * size // 10 ** len(fraction)
    if not 0 < amount < 1 << 63:
        raise BadNeed(f"{text!r}: write an amount of memory that a machine can have, such as mem=2GiB")
    return Need("mem", amount)


def _declared(text: str) -> Need:
    name, equals, number = (part.strip() for part in text.partition("="))
    if name in _READERS:
        raise BadNeed(f"{text!r}: {_FORMS[name]}")
    if not _NAME.fullmatch(name):
        raise BadNeed(f"{text!r}: write NAME or NAME=N, a name of letters, digits, '_', '-' and '.'")
    return Need(name, _number(text, number) if equals else 1)


def _moded(text: str, body: str, form: str) -> tuple[str, str]:
    name, colon, mode = body.rpartition(":")
    if not colon:
        return body, "w"
    if mode not in ("r", "w"):
        raise BadNeed(f"{text!r}: it ends with {':' + mode!r}; write {form} to write, with :r only to read")
    return name, mode


def _number(text: str, number: str) -> int:
    if not _NUMBER.fullmatch(number):
        raise BadNeed(f"{text!r}: {number!r} is no number of units; write 1, 2, …")
    return int(number)


_READERS = {
    "terminal": _plain,
    "test-runner": _plain,
    "slots": _slots,
    "port": _port,
    "path": _path,
    "server": _named,
    "db": _database,
    "container": _named,
    "gpu": _cards,
}
_BARE = {"terminal", "test-runner", "port", "server", "gpu"}  # those that may stand alone
_FORMS = {
    "terminal": "write terminal alone",
    "test-runner": "write test-runner alone",
    "slots": "write slots:NAME=N with the name of a worker kind",
    "port": "write port:8080, or port:3000-3010 for any one of them",
    "path": "write path:src/**:w, or path:src:r only to read",
    "server": "write server, or server:NAME for a declared one",
    "db": "write db:NAME:w or db:NAME:r with the name of a declared database",
    "container": "write container:NAME",
    "gpu": "write gpu, or gpu:2 for two of them",
}
