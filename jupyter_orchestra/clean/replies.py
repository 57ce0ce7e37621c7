"""A reply of the master as it is shown, cleaned; slow for long ones, so to be called off the loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core.lines import clipped
from ..core.replies import reply_markdown, reply_text
from .untrusted import clean_markdown


def reply_data(text: str, lines: Sequence[str], reason: str = "", note: str = "") -> dict[str, Any]:
    """A reply as a MIME bundle; ``core.replies`` lays it out."""
    return {
        "text/markdown": clean_markdown(reply_markdown(text, lines, reason, note)),
        "text/plain": clipped(reply_text(text, lines, reason, note)),
    }
