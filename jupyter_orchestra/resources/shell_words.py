"""Reads a script for the shell: which programs it starts with which arguments; it runs and expands nothing."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from functools import lru_cache
from os.path import basename
from typing import Final

Words = Sequence[str]  # of one command: the program's name without its folder, and the arguments

_PUNCTUATION: Final = "();<>|&\n"
_CONTINUED = re.compile(r"\\\n")
_HERE_DOCUMENT = re.compile(r"(?<!<)<<-?[ \t]*['\"\\]?([A-Za-z_]\w*)")
_ASSIGNMENT = re.compile(r"\w+\+?=")
_PYTHON = re.compile(r"(?:python|pypy)[\d.]*(?:\.exe)?")
_KEYWORDS: Final = frozenset({"if", "then", "else", "elif", "while", "until", "do", "!", "{", "coproc"})
_SHELLS: Final = frozenset({"bash", "sh", "zsh", "dash"})
_DEEPEST: Final = 8  # scripts within scripts, and programs that start one another
_LONGEST: Final = 100_000  # characters that are looked at

# Programs that start another one: the options that take a value of their own, and how many words stand before it.
_WRAPPERS: Final[dict[tuple[str, ...], tuple[frozenset[str], int]]] = {
    tuple(name.split()): (frozenset(options.split()), before)
    for name, options, before in (
        ("env", "-u -C -S --unset --chdir", 0),
        ("timeout", "-s -k --signal --kill-after", 1),
        ("nice", "-n --adjustment", 0),
        ("ionice", "-c -n", 0),
        ("stdbuf", "-i -o -e", 0),
        ("taskset", "", 1),
        ("flock", "-w -E", 1),
        ("sudo", "-u -g -h -C -D", 0),
        ("xvfb-run", "-n -s -e -f -p -w", 0),
        ("strace", "-o -e -p -s", 0),
        ("xargs", "-n -P -I -L -d -a -s", 0),
        ("watch", "-n", 0),
        ("nohup", "", 0),
        ("setsid", "", 0),
        ("exec", "-a", 0),
        ("command", "", 0),
        ("builtin", "", 0),
        ("time", "-f -o", 0),
        ("caffeinate", "-t -w", 0),
        ("npx", "-p --package", 0),
        ("bunx", "", 0),
        ("uvx", "--with --from -p --python", 0),
        ("npm exec", "-p --package", 0),
        ("pnpm exec", "-F --filter", 0),
        ("pnpm dlx", "", 0),
        ("yarn exec", "", 0),
        ("yarn dlx", "", 0),
        ("bundle exec", "", 0),
        ("poetry run", "-C -P --directory --project", 0),
        ("pipenv run", "", 0),
        ("pdm run", "-p --project", 0),
        ("rye run", "", 0),
        ("hatch run", "", 0),
        ("pixi run", "-e --environment --manifest-path", 0),
        ("conda run", "-n -p --name --prefix --cwd", 0),
        ("mamba run", "-n -p --name --prefix --cwd", 0),
        ("micromamba run", "-n -p --name --prefix --cwd", 0),
        (
            "uv run",
            "--with --with-editable --with-requirements --extra --no-extra --group --no-group --only-group --env-file "
            "--package --python -p --directory --project --index --index-url --extra-index-url --config-file",
            0,
        ),
        (
            "coverage run",
            "--source --source-pkgs --omit --include --rcfile --data-file --context --concurrency --debug",
            0,
        ),
    )
}
_PYTHON_OPTIONS: Final = frozenset({"-W", "-X", "--check-hash-based-pycs"})


@lru_cache(64)
def commands(script: str) -> tuple[tuple[str, ...], ...]:
    """The commands of a script, each without what only surrounds it.

    ``cd a && FOO=1 uv run python -m pytest -q | tee log`` is ``cd a``, ``pytest -q`` and ``tee log``: a module that
    Python runs is taken for a program of its name, a Python script for itself.
    """
    return tuple(tuple(words) for words in _commands(script[:_LONGEST], 0))


def _commands(script: str, depth: int) -> Iterator[list[str]]:
    for words in _simple(_tokens(_without_here_documents(_CONTINUED.sub(" ", script)))):
        yield from _bared(words, depth)


def _without_here_documents(script: str) -> str:
    lines = script.split("\n")
    last = {line.strip(): number for number, line in enumerate(lines)}
    kept: list[str] = []
    closing = ""
    for number, line in enumerate(lines):
        if closing:
            closing = "" if line.strip() == closing else closing
            continue
        kept.append(line)
        opened = _HERE_DOCUMENT.search(line)
        if opened and last.get(opened[1], 0) > number:
            closing = opened[1]
    return "\n".join(kept)


def _tokens(script: str) -> list[str]:
    try:
        return _lexed(script)
    except ValueError:  # a quote that is never closed, perhaps an apostrophe in a comment: what can be read is read
        tokens: list[str] = []
        for line in script.splitlines():
            try:
                tokens += [*_lexed(line), "\n"]
            except ValueError:
                tokens += [*line.split(), "\n"]
        return tokens


def _lexed(script: str) -> list[str]:
    lexer = shlex.shlex(script, posix=True, punctuation_chars=_PUNCTUATION)
    lexer.whitespace = " \t\r"
    lexer.whitespace_split = True
    lexer.commenters = ""  # shlex takes a # within a word for one
    return list(lexer)


def _simple(tokens: list[str]) -> Iterator[list[str]]:
    """The words between what separates commands, without comments and redirections."""
    words: list[str] = []
    skipped = comment = False
    for token in tokens:
        mark = bool(token) and not token.strip(_PUNCTUATION)
        if comment and "\n" not in token:
            continue
        if mark and not (set("<>") & set(token) and not set("();|\n") & set(token)):
            yield words
            words, skipped, comment = [], False, False
        elif mark:  # a redirection: what follows is its file
            skipped = True
        elif token.startswith("#"):
            comment = True
        elif skipped:
            skipped = False
        else:
            words.append(token.strip("`"))
    yield words


def _bared(words: list[str], depth: int) -> Iterator[list[str]]:
    """A command without keywords, assignments and the programs that only start it."""
    words = _named(words)
    for _ in range(_DEEPEST):
        if (wrapped := _wrapped(words)) is None:
            break
        words = _named(wrapped)
    if not words:
        return
    inner = _script_within(words)
    if inner is not None and depth < _DEEPEST:
        yield from _commands(inner, depth + 1)
    elif _PYTHON.fullmatch(words[0]):
        yield _python(words[1:]) or words
    else:
        yield words


def _named(words: list[str]) -> list[str]:
    """A command from the name of its program on."""
    at = 0
    while at < len(words) and (words[at] in _KEYWORDS or words[at] in ("", "$") or _ASSIGNMENT.match(words[at])):
        at += 1
    return [basename(words[at]) or words[at], *words[at + 1 :]] if at < len(words) else []


def _script_within(words: list[str]) -> str | None:
    """What a shell, or ``eval``, is given to run."""
    if words[0] == "eval":
        return " ".join(words[1:])
    if words[0] in _SHELLS:
        for at, word in enumerate(words[1:], 1):
            if not word.startswith(("-", "+")):
                break
            if not word.startswith("--") and "c" in word:
                return words[at + 1] if at + 1 < len(words) else None
    return None


def _wrapped(words: list[str]) -> list[str] | None:
    """The command that a wrapper starts; None when `words` is no wrapper."""
    for size in (2, 1):
        found = _WRAPPERS.get(tuple(words[:size]))
        if found is not None:
            options, before = found
            rest = words[size:]
            if words[:2] == ["coverage", "run"] and "-m" in rest:
                return rest[rest.index("-m") + 1 :]
            return _after_options(rest, options)[before:]
    return None


def _after_options(words: list[str], valued: frozenset[str]) -> list[str]:
    at = 0
    while at < len(words) and words[at].startswith("-"):
        if words[at] in ("-m", "--module"):  # uv run -m pytest
            return words[at + 1 :]
        at += 2 if words[at] in valued else 1
    return words[at:]


def _python(arguments: list[str]) -> list[str] | None:
    """The module or script that Python runs, as a program with its arguments."""
    at = 0
    while at < len(arguments) and arguments[at].startswith("-"):
        option = arguments[at]
        flags, module, name = option.partition("m") if not option.startswith("--") else ("", "", "")
        if option in ("-c", "-"):
            return None
        if module and flags.strip("-BdEiIOPqsSuvbx") == "":
            run = [name, *arguments[at + 1 :]] if name else arguments[at + 1 :]
            return _wrapped(run) or run
        at += 2 if option in _PYTHON_OPTIONS else 1
    script = arguments[at:]
    return [basename(script[0]), *script[1:]] if script else None
