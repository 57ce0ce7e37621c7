"""The commit of the project that a folder belongs to, read from its files; it runs no program."""

from __future__ import annotations

import os

DEPTH = 40  # folders upwards that are looked at


def commit_of(folder: str) -> str:
    """The id of the commit that is checked out at or above `folder`; empty outside a repository."""
    try:
        root = _root(folder)
        return _resolve(root) if root else ""
    except (OSError, UnicodeError):
        return ""


def _root(folder: str) -> str:
    """The repository's own folder; that of a worktree is named in a file."""
    for _ in range(DEPTH):
        found = os.path.join(folder, ".git")
        if os.path.isdir(found):
            return found
        if os.path.isfile(found):
            return os.path.join(folder, _read(found).removeprefix("gitdir:").strip())
        above = os.path.dirname(folder)
        if above == folder:
            break
        folder = above
    return ""


def _resolve(root: str) -> str:
    head = _read(os.path.join(root, "HEAD")).strip()
    if not head.startswith("ref:"):
        return head[:40]
    name = head.removeprefix("ref:").strip()
    common = root
    if os.path.isfile(link := os.path.join(root, "commondir")):
        common = os.path.join(root, _read(link).strip())
    if os.path.isfile(loose := os.path.join(common, name)):
        return _read(loose).strip()[:40]
    for line in _read(os.path.join(common, "packed-refs")).splitlines():
        commit, _, ref = line.partition(" ")
        if ref == name:
            return commit[:40]
    return ""


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read(1 << 20)
