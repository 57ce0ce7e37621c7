"""Owns how an exception is put into words; for every process, so it imports nothing."""

from __future__ import annotations


def words(error: BaseException) -> str:
    """What an exception says, even one that can't say it."""
    try:
        return str(error)
    except BaseException as trouble:  # a SystemExit out of a message would end a kernel's loop
        return f"(its message failed with {type(trouble).__name__})"


def one_line(error: BaseException) -> str:
    """The same without line breaks, clipped."""
    return " ".join(words(error).split())[:300]
