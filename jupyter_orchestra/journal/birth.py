"""When a file was born, which Python's ``os.stat`` does not tell on Linux; knows nothing of notebooks."""

from __future__ import annotations

import ctypes
import os
import struct

_AT_FDCWD, _STATX_BTIME = -100, 0x800


def born(path: str) -> int:
    """The file's birth in nanoseconds since 1970, 0 where the system can't tell."""
    try:
        birth: float | None = getattr(os.stat(path), "st_birthtime", None)
        if birth is not None:
            return int(birth * 1e9)
        buffer = ctypes.create_string_buffer(256)  # struct statx: mask at 0, birth's seconds and nanoseconds at 80
        if ctypes.CDLL(None, use_errno=True).statx(_AT_FDCWD, os.fsencode(path), 0, _STATX_BTIME, buffer) != 0:
            return 0
        if not struct.unpack_from("<I", buffer, 0)[0] & _STATX_BTIME:
            return 0
        seconds, nanoseconds = struct.unpack_from("<qI", buffer, 80)
        return int(seconds) * 1_000_000_000 + int(nanoseconds)
    except (OSError, AttributeError):
        return 0
