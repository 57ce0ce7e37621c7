"""Takes the keys of this process's environment out of texts that go to a model or into its log; it holds none."""

from __future__ import annotations

from collections.abc import Mapping

WORDS = ("KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL")  # in the names of variables that hold one
SHORTEST = 8  # characters: less is a word that may stand anywhere
HIDDEN = "…"


def hide_keys(text: str, environ: Mapping[str, str]) -> str:
    """`text` without what a variable holds whose name says that it is a key; a path is none."""
    for name, value in environ.items():
        if len(value) >= SHORTEST and value[0] != "/" and any(word in name.upper() for word in WORDS):
            text = text.replace(value, HIDDEN)
    return text
