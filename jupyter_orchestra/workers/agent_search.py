"""Searches the files below the working directory: ``python -I -S agent_search.py ORDER``; knows no agent.

It stands in where ripgrep is not installed, and runs as a program, so that a slow pattern can be ended. It uses the
standard library alone. Links are never followed.
"""

from __future__ import annotations

import contextlib
import fnmatch
import json
import os
import re
import stat
import sys
from collections.abc import Iterator

# Names of folders that hold no source.
SKIPPED = frozenset({
    ".git", ".hg", ".svn", ".bzr", ".jj", "node_modules", "__pycache__", ".venv", "venv", ".tox", ".nox",
    ".mypy_cache", ".pytest_cache", ".ruff_cache", ".ipynb_checkpoints", ".hypothesis", ".cache",
})  # fmt: skip
# Names of files and folders that hold keys, or what a person's programs keep: no agent reads them.
KEPT = frozenset({
    ".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker", ".netrc", ".pgpass", ".pypirc", ".npmrc", ".env",
    ".git-credentials", ".config", ".local", ".ipython", ".jupyter", "id_rsa", "id_ecdsa", "id_ed25519",
})  # fmt: skip
MOST = 200  # lines found
LARGEST = 2 << 20  # bytes of a file that is searched
WIDEST = 300  # characters of a line that are shown
BINARY = 8192  # bytes of a file in which a NUL says that it is no text


def is_kept(name: str) -> bool:
    """Whether a file or folder of that name is kept from agents."""
    return name in KEPT or name.startswith(".env.")


def search(pattern: re.Pattern[str], glob: str) -> Iterator[str]:
    """``path:line: text`` of each line that matches."""
    for folder, folders, files, handle in os.fwalk("."):
        folders[:] = sorted(name for name in folders if name not in SKIPPED and not is_kept(name))
        for name in sorted(name for name in files if not is_kept(name)):
            path = os.path.join(folder, name)[2:]
            if glob and not (fnmatch.fnmatch(path, glob) or fnmatch.fnmatch(name, glob)):
                continue
            for number, line in enumerate(_text(name, handle).splitlines(), 1):
                if pattern.search(line):
                    yield f"{path}:{number}: {line[:WIDEST]}"


def _text(name: str, folder: int) -> str:
    """A file's text, empty when it is none."""
    with contextlib.suppress(OSError):
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        with open(file, "rb") as opened:
            info = os.fstat(file)
            if stat.S_ISREG(info.st_mode) and info.st_size <= LARGEST:
                data = opened.read(LARGEST)
                return "" if b"\0" in data[:BINARY] else data.decode("utf-8", "replace")
    return ""


def main() -> int:
    """0: found, 1: nothing found, 2: the pattern can't be read."""
    order = json.loads(sys.argv[1])
    try:
        pattern = re.compile(order["pattern"], re.IGNORECASE if order["ignore_case"] else 0)
    except (re.error, RecursionError, OverflowError) as error:
        print(f"the pattern can't be read: {error}", file=sys.stderr)
        return 2
    count = 0
    for line in search(pattern, order["glob"]):
        print(line.encode("utf-8", "replace").decode())
        count += 1
        if count == MOST:
            break
    return 0 if count else 1


if __name__ == "__main__":
    sys.exit(main())
