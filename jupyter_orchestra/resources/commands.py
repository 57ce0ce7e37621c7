"""Which shell commands run tests or serve something: those take the test runner or a port; it starts nothing itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from ..core.needs import ANY_PORT, Need
from .shell_words import commands

_TEST_PROGRAMS: Final = frozenset(
    {"pytest", "py.test", "tox", "nox", "unittest", "nosetests", "nose2", "trial", "stestr", "zope-testrunner"}
    | {"ctest", "jest", "vitest", "mocha", "ava", "karma", "tap", "phpunit", "pest", "rspec", "bats", "gotestsum"}
    | {"runtests.py", "run_tests.py", "runtests.sh", "run_tests.sh"}
)
# Of these programs, what makes them run tests: their first word that is no option.
_TEST_WORDS: Final[Mapping[str, re.Pattern[str]]] = {
    program: re.compile(pattern)
    for programs, pattern in (
        ("npm yarn jlpm pnpm bun", r"t|tst|test(:\S+)?|jest|vitest|mocha"),
        ("cargo", r"test|nextest|t|bench"),
        ("go deno zig swift dotnet mix sbt dune bazel hatch meson playwright pio flutter dart stack cabal", r"test"),
        ("mvn mvnw gradle gradlew ant", r"test|check|verify|integration-test|build|install"),
        ("cypress", r"run"),
        ("rails rake", r"test(:\S+)?|spec(:\S+)?"),
        ("manage.py setup.py django-admin django", r"test"),
    )
    for program in programs.split()
}
_ANY_TARGET: Final = frozenset({"make", "gmake", "just", "task", "ninja", "mvn", "mvnw", "gradle", "gradlew", "ant"})
_TARGET = re.compile(r"(?:unit|integration|e2e|py)?[-_]?(?:tests?|check|checks|spec)(?:[-_:./]\S*)?")
_RUNS_SCRIPTS: Final = frozenset({"npm", "yarn", "jlpm", "pnpm", "bun"})
_RUN: Final = frozenset({"run", "run-script", "rum", "urn"})
_HARMLESS: Final = frozenset({"--version", "--help", "-h", "-V"})  # these run nothing
_SURROUNDING: Final = frozenset({"cd", "export", "set", "source", ".", "echo", "pushd", "popd", "unset", "ulimit"})
_VALUED: Final = frozenset(
    {"-C", "-f", "-w", "-F", "-A", "--prefix", "--filter", "--workspace", "--cwd", "--dir", "--makefile", "--app"}
)

_SERVERS: Final = frozenset(
    {"http.server", "uvicorn", "hypercorn", "gunicorn", "waitress-serve", "daphne", "tensorboard", "voila"}
    | {"vite", "webpack-dev-server", "http-server", "live-server", "browser-sync", "json-server", "serve", "nodemon"}
    | {"jupyter-lab", "jupyterlab", "jupyter-notebook", "notebook", "jupyter-server", "jupyter-nbclassic", "jupyterhub"}
)
_SERVER_WORDS: Final[Mapping[str, re.Pattern[str]]] = {
    program: re.compile(pattern)
    for programs, pattern in (
        ("npm yarn jlpm pnpm bun", r"start(:\S+)?|(dev|serve|server|preview|watch)(:\S+)?|vite"),
        ("flask streamlit chainlit", r"run"),
        ("fastapi", r"dev|run"),
        ("manage.py django-admin django", r"runserver(_plus)?|testserver"),
        ("jupyter", r"lab|notebook|server|nbclassic|voila"),
        ("next nuxt nuxi astro remix gatsby", r"dev|start|develop|preview"),
        ("ng bokeh panel mkdocs jekyll webpack deno zensical quarto", r"serve|preview"),
        ("hugo", r"server|serve"),
        ("mlflow", r"server|ui"),
        ("rails", r"s|server"),
        ("caddy", r"run|file-server"),
    )
    for program in programs.split()
}
_NO_SERVER: Final = frozenset({"build", "optimize"})


def is_test_command(command: str, declared: str = "") -> bool:
    """Whether a script for the shell runs tests, also in one of its parts; `declared` is the project's own command.

    When in doubt it does not; a script of the project that is not called after tests is not looked into.
    """
    own = [words for words in commands(declared) if words[0] not in _SURROUNDING]
    return any(_runs_tests(words) or any(words[: len(o)] == o for o in own) for words in commands(command))


def server_command(command: str) -> bool:
    """Whether a script for the shell starts a server, as far as the names of well-known programs tell."""
    return any(_serves(words) for words in commands(command))


def needs_of(command: str, declared: str = "") -> tuple[Need, ...]:
    """What a script for the shell must lease while it runs."""
    found = [Need("test-runner")] if is_test_command(command, declared) else []
    return (*found, *([Need("port", choice=ANY_PORT)] if server_command(command) else []))


def _runs_tests(words: tuple[str, ...]) -> bool:
    program, arguments = words[0], words[1:]
    if _HARMLESS & set(arguments):
        return False
    if program in _TEST_PROGRAMS:
        return True
    return _does(program, arguments, _TEST_WORDS) or (
        program in _ANY_TARGET and any(_TARGET.fullmatch(word) for word in _targets(arguments))
    )


def _serves(words: tuple[str, ...]) -> bool:
    program, arguments = words[0], words[1:]
    if _HARMLESS & set(arguments):
        return False
    if program in _SERVERS:
        return not _NO_SERVER & set(arguments[:1])
    if program == "php":
        return "-S" in arguments
    return _does(program, arguments, _SERVER_WORDS)


def _does(program: str, arguments: tuple[str, ...], table: Mapping[str, re.Pattern[str]]) -> bool:
    pattern = table.get(program)
    if pattern is None:
        return False
    targets = iter(_targets(arguments))
    first = next(targets, "")
    if program in _RUNS_SCRIPTS and first in _RUN:
        first = next(targets, "")
        pattern = re.compile(f"{pattern.pattern}|{_TARGET.pattern}") if table is _TEST_WORDS else pattern
    return bool(pattern.fullmatch(first))


def _targets(arguments: tuple[str, ...]) -> Iterable[str]:
    """The arguments that are no options."""
    words = iter(arguments)
    for word in words:
        if word in _VALUED:
            next(words, None)
        elif not word.startswith(("-", "+")) and "=" not in word:
            yield word
