"""Which cells may run beside the main shell: those that only talk to the orchestra. It runs none.

The page's router goes by the same rule; ``tests/kernel/conversation_cells.json`` holds examples for both.
"""

from __future__ import annotations

import re
import threading

CELL_MAGICS = ("dispatch", "chat")
LINE_MAGICS = (
    "approve", "cancel", "chat", "decline", "orchestra", "pause", "resume", "steer", "task", "tasks",
)  # fmt: skip
SUBSHELL = "subshell-"  # how the kernel names the threads of its subshells

_FIRST = re.compile(r"%%({})(?: (.*))?".format("|".join(CELL_MAGICS)))
_LINE = re.compile(r"%({})(?: .*)?".format("|".join(LINE_MAGICS)))
_WAITS = re.compile(r"-[a-zA-Z]*b.*|--block")


def is_conversation(code: str) -> bool:
    """Whether a cell may run on a subshell while another cell computes.

    Either its first line that is not blank is ``%%chat``, or ``%%dispatch`` without ``-b``, or each of its lines is
    blank, a comment or one of the line magics that do not wait.
    """
    lines = [line.rstrip() for line in re.split(r"\r\n|\r|\n", code)]
    while lines and not lines[0]:
        lines.pop(0)
    if not lines:
        return False
    if first := _FIRST.fullmatch(lines[0]):
        words = (first[2] or "").split()
        return first[1] == "chat" or not any(map(_WAITS.fullmatch, words))
    said = [line for line in lines if line and not line.lstrip().startswith("#")]
    return bool(said) and all(map(_is_ours, said))


def _is_ours(line: str) -> bool:
    """A line that ends with a backslash goes on, and one that ends with a question mark asks IPython for help."""
    return _LINE.fullmatch(line) is not None and not line.endswith(("\\", "?"))


def on_subshell() -> bool:
    """Whether this thread is a subshell of the kernel, which works while the main shell computes."""
    return threading.current_thread().name.startswith(SUBSHELL)
