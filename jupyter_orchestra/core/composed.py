"""What becomes of a text that the person wrote outside a cell; both who writes it down and who answers know this."""

from __future__ import annotations

from typing import NamedTuple


class Composed(NamedTuple):
    """The uids of the tasks that it started, or of the message that it is; their names; what else there is to say."""

    uids: tuple[str, ...]
    names: tuple[str, ...] = ()  # of tasks
    message: str = ""
