"""The magics' flags: one parser each, whose errors are one line and whose help shows units and defaults."""

from __future__ import annotations

import argparse
import shlex
from difflib import get_close_matches
from functools import cache
from typing import Any, NamedTuple, NoReturn

from ..client.request import LATER
from ..errors import UsageError


class HelpShown(Exception):
    """``--help`` was given; carries what is to be shown."""


class Flags(argparse.ArgumentParser):
    """A parser for one magic."""

    def __init__(self, magic: str, description: str) -> None:
        super().__init__(prog=magic, description=description, allow_abbrev=False, exit_on_error=False, add_help=False)
        self.add_argument("-h", "--help", action="store_true", help="show this and do nothing")

    def read(self, line: str) -> dict[str, Any]:
        """The flags of a magic's line. Raises UsageError for what can't be read, HelpShown after ``--help``."""
        try:
            words = shlex.split(line)
        except ValueError as error:
            raise UsageError(f"{self.prog}: {error}: close the quotes") from None
        if "-h" in words or "--help" in words:
            raise HelpShown(self.format_help().rstrip())
        try:
            found, rest = self.parse_known_args(words)
        except argparse.ArgumentError as error:
            raise UsageError(f"{self.prog}: {error}; {self.prog} --help shows how") from None
        if rest:
            raise UsageError(f"{self.prog}: {self._unknown(rest[0])}; {self.prog} --help lists what there is")
        values = vars(found)
        del values["help"]
        return values

    def _unknown(self, word: str) -> str:
        if not word.startswith("-"):
            return f"{word!r} is one word too many"
        known = [option for action in self._actions for option in action.option_strings]
        near = get_close_matches(word.split("=")[0], known, 1, 0.5)
        return f"unknown flag {word}" + (f" (did you mean {near[0]}?)" if near else "")

    def error(self, message: str) -> NoReturn:
        """What argparse calls for everything that it can't say as an ArgumentError."""
        raise UsageError(f"{self.prog}: {message}; {self.prog} --help shows how")


@cache
def dispatch_flags() -> Flags:
    """The flags of ``%%dispatch``."""
    flags = Flags("%%dispatch", "Run the cell's body in the background; the prompt is back at once.")
    add = flags.add_argument
    add("name", nargs="?", metavar="NAME", help="1 to 40 of A-Z a-z 0-9 _ -; made from the first words when absent")
    add("-w", "--worker", default="kernel", help="kernel (Python, default), shell, notebook, loop or agent")
    add("--after", default="", metavar="A,B", help="tasks that must end first; results['A'] holds A's value")
    add("--when", default="success", help="success (all of them done, default), failure (one failed) or always")
    add("--share", default=None, metavar="X,Y", help="variables to copy; default: those that the body uses")
    add("--no-share", action="store_true", help="copy no variables")
    add("--share-now", action="store_true", help="copy them now, even while earlier cells still run")
    add("--return", dest="returns", default="", metavar="X,Y", help="variables to bring back into the notebook")
    add("-o", "--output", dest="handle", default=None, metavar="HANDLE", help="variable that gets the task's handle")
    add("--timeout", default=None, metavar="S", help="seconds that an attempt may run (also 5m, 1h); default: no limit")
    add("--priority", default="0", metavar="N", help="higher starts earlier, +1 for each 30 s of waiting; default 0")
    add("--retry", default="0", metavar="N", help="how often a failed attempt is tried again; default 0")
    add("--deliver", default=None, metavar="CLASS", help="to the master: now, idle (default), turn or silent")
    add("--isolate", default=None, metavar="HOW", help="none (default)")
    add("--replace", action="store_true", help="cancel a live task of that name and start anew")
    add("-b", "--block", action="store_true", help="wait for the result, like %%gather")
    add("-t", "--tier", default=None, metavar="TIER", help="an agent's: fast, standard (default) or strong")
    add("-m", "--model", default=None, metavar="MODEL", help="an agent's model by its name, in place of a tier")
    add("-r", "--role", default=None, metavar="ROLE", help="an agent's: explorer, default or worker (default)")
    add("--inherit", action="store_true", help="let an agent see the master's conversation too")
    add(
        "--needs", default=None, metavar="RES,...",
        help="what it leases while it runs: port:3000-3010, path:src/**:w (or :r), test-runner, server, db:NAME:w (or "
        ":r), container:NAME, gpu:N, mem=2GiB, terminal, or what the project declares (NAME=N)",
    )  # fmt: skip
    later = "not available yet"
    add(
        "--budget",
        default=None,
        metavar="LIMITS",
        help="what it may spend: tokens=200k, usd=1.50, seconds=90 (also 5m), tools=40; default: no limit",
    )
    add("--on", default=None, metavar="cluster", help=later)
    add("--allow", default=None, metavar="HOST,...", help=later)
    add("--review", action="store_true", help=later)
    return flags


@cache
def chat_flags() -> Flags:
    """The flags of ``%%chat``."""
    flags = Flags("%%chat", "Talk to the master; the prompt is back at once, the reply streams into the cell.")
    add = flags.add_argument
    add("-t", "--tier", default=None, metavar="TIER", help="fast, standard or strong (default)")
    add("-m", "--model", default=None, metavar="MODEL", help="a model by its name, in place of a tier")
    add("text", nargs="*", metavar="TEXT", help="the message, for %%chat in one line")
    return flags


class Dispatch(NamedTuple):
    """What a line of ``%%dispatch`` says: for the cell, and the options of the request."""

    handle: str | None
    block: bool
    options: dict[str, Any]


def read_dispatch(line: str) -> Dispatch:
    """Read the flags of ``%%dispatch``. Raises UsageError or HelpShown."""
    options = dispatch_flags().read(line)
    handle, block = options.pop("handle"), options.pop("block")
    options["later"] = {name: options.pop(name) for name in LATER}
    return Dispatch(handle, block, options)


@cache
def names_flags(magic: str, description: str) -> Flags:
    """The flags of a magic that acts on tasks."""
    flags = Flags(magic, description)
    flags.add_argument("names", nargs="*", metavar="NAME", help="tasks")
    flags.add_argument("--all", action="store_true", help="every task that has not ended")
    return flags


@cache
def gather_flags() -> Flags:
    """The flags of ``%gather``."""
    flags = Flags("%gather", "Wait for tasks and show their results; Ctrl-C ends the waiting, the tasks run on.")
    flags.add_argument("names", nargs="*", metavar="NAME", help="tasks; default: all that have not ended or been shown")
    flags.add_argument("--timeout", default=None, metavar="S", help="seconds to wait (also 5m, 1h); default: no limit")
    return flags


@cache
def task_flags() -> Flags:
    """The flags of ``%task``."""
    flags = Flags("%task", "Show a task: its state, or its result again once it has ended.")
    flags.add_argument("name", metavar="NAME")
    return flags
