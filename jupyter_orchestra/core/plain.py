"""What of a text a person would see, and what hides in it; it knows no markdown and no page."""

from __future__ import annotations

import re
import unicodedata

# ANSI: CSI, OSC and its kin (as far as the end of the line when nothing ends them), two-character sequences.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
_RETURNS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]")
_HIDDEN = frozenset({"Cf", "Cs", "Cc", "Zl", "Zp"})
# Drawn as nothing, though Unicode calls them letters or marks; variation selectors beyond the first sixteen.
_BLANKS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")


def plain(text: str) -> str:
    """`text` as a person would see it: line feeds and tabs are the only controls left, every character is visible."""
    text = _CONTROLS.sub("", _RETURNS.sub("\n", _ESCAPES.sub("", text)))
    return text if text.isascii() else "".join(filter(_is_visible, text))


def visible(text: str) -> str:
    """`text` with nothing taken away: what a person could not see stands there as its number, ``⟨U+202E⟩``."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    seen = _is_visible(character) and (character in "\n\t" or not _CONTROLS.match(character))
    return character if seen else f"\u27e8U+{ord(character):04X}\u27e9"


def _is_visible(character: str) -> bool:
    if character in "\n\t":
        return True
    if 0xE0000 <= ord(character) <= 0xE0FFF or ord(character) & 0xFFFE == 0xFFFE:  # tags; what is no character
        return False
    return character not in _BLANKS and unicodedata.category(character) not in _HIDDEN
