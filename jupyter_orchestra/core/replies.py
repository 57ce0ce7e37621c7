"""How a reply of the master is laid out, the same while it comes and once it stands; it cleans nothing.

First the calls, each in a line, then what was said, then why it ended early or what it waits for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from .plain import plain

CALL = "▸"
_SPACES = re.compile(r"\s+")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_ACTS = re.compile(r"[!-/:-@\[-`{-~]")  # ASCII punctuation: a backslash before it makes it itself in any markdown


def reply_markdown(text: str, lines: Iterable[str], reason: str = "", note: str = "") -> str:
    """A reply as markdown, which holds what a model wrote: to be cleaned before it is shown.

    Parameters
    ----------
    text
        What the master has said so far, as markdown.
    lines
        Its calls, each in a line.
    reason
        Why it failed or ended early.
    note
        What it waits for now.
    """
    calls = "\\\n".join(f"{CALL} {said}" for said in map(_words, lines) if said)
    last = [f"*{said}*" for said in map(_words, (reason, note)) if said]
    return "\n\n".join(part for part in (calls, _closed(text.strip()), *last) if part)


def reply_text(text: str, lines: Iterable[str], reason: str = "", note: str = "") -> str:
    """The same as plain text, for a front end that shows no markdown."""
    calls = "\n".join(f"{CALL} {said}" for said in map(_line, lines) if said)
    parts = (calls, plain(text).strip(), _line(reason), _line(note))
    return "\n\n".join(part for part in parts if part)


def reply_metadata(display: str) -> dict[str, Any]:
    """Of the output that shows a reply, by which a page finds it in its cell; `display` is the id of the display."""
    return {"orchestra": {"reply": display}}


def _line(text: str) -> str:
    return _SPACES.sub(" ", plain(text)).strip()


def _words(text: str) -> str:
    return _ACTS.sub(r"\\\g<0>", _line(text))


def _closed(text: str) -> str:
    """The text with the end of a code fence that is open still: what comes below does not belong into it."""
    fence = ""
    for line in text.split("\n"):
        if (found := _FENCE.match(line)) is None:
            continue
        marks, rest = found.groups()
        if not fence:
            fence = marks if marks[0] == "~" or "`" not in rest else ""
        elif marks.startswith(fence) and not rest.strip():
            fence = ""
    return f"{text}\n{fence}" if fence else text
