"""Confines itself with Landlock, then becomes the command: ``python -I -S landlock.py [--network] ROOT... -- COMMAND``.

It writes below its roots and on harmless devices only and, without ``--network``, neither connects nor listens by TCP.
What only root may do, it may not. It needs no namespaces, and hides nothing. The standard library alone.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Iterable, Sequence

CREATE, ADD, RESTRICT = 444, 445, 446  # system calls, of the same number on every architecture
NO_NEW_PRIVILEGES, DROP_FROM_BOUNDS = 38, 24
CAPABILITIES = struct.pack("Ii", 0x20080522, 0)  # how they are spelled, and that it is this process's
LOWEST = 3  # ABI: before it, files outside could be emptied
WRITE_FILE, TRUNCATE, IOCTL = 1 << 1, 1 << 14, 1 << 15
ON_FILES = WRITE_FILE | TRUNCATE | IOCTL
WRITING = WRITE_FILE | sum(1 << bit for bit in range(4, 15))  # make, remove and move files too
TCP = 3  # bind and connect
SCOPED = 3  # abstract sockets and signals stay within
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty")


def command(writable: Iterable[os.PathLike[str]], network: bool, argv: Sequence[str]) -> tuple[str, ...]:
    """The whole command."""
    python = (sys.executable, "-I", "-S", os.path.abspath(__file__))
    return (*python, *(["--network"] if network else []), *map(os.fspath, writable), "--", *argv)


def abi() -> int:
    """The version that this kernel has; 0: none."""
    try:
        return _call(CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    except (OSError, AttributeError):
        return 0


def confine(roots: Sequence[str], network: bool) -> None:
    """Confine this process and all that it starts. Raises OSError."""
    version = abi()
    rights = WRITING | (IOCTL if version >= 5 else 0)
    fields = (rights, 0 if network else TCP, SCOPED)[: 1 + (version >= 4) + (version >= 6)]
    attributes = struct.pack(f"{len(fields)}Q", *fields)
    rules = _call(CREATE, ctypes.c_char_p(attributes), ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    for path in (*roots, *filter(os.path.exists, DEVICES)):
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        allowed = rights if os.path.isdir(path) else rights & ON_FILES
        rule = ctypes.c_char_p(struct.pack("=Qi", allowed, place))
        _call(ADD, ctypes.c_int(rules), ctypes.c_int(1), rule, ctypes.c_uint32(0))
        os.close(place)
    libc = ctypes.CDLL(None)
    libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    _call(RESTRICT, ctypes.c_int(rules), ctypes.c_uint32(0))
    os.close(rules)
    for capability in range(64):
        libc.prctl(DROP_FROM_BOUNDS, capability, 0, 0, 0)
    libc.capset(CAPABILITIES, bytes(24))


def _call(number: int, *arguments: object) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    answer = int(libc.syscall(ctypes.c_long(number), *arguments))
    if answer < 0:
        raise OSError(ctypes.get_errno(), f"landlock: {os.strerror(ctypes.get_errno())}")
    return answer


def main(arguments: list[str]) -> int:
    """Become the command; what this returns is the exit code when that fails."""
    end = arguments.index("--")
    options, argv = arguments[:end], arguments[end + 1 :]
    roots = [option for option in options if option != "--network"]
    try:
        confine(roots, network="--network" in options)
        os.environ["TMPDIR"] = roots[-1]
        os.environ["IPYTHONDIR"] = os.path.join(roots[-1], ".ipython")  # the person's own can't be made here
        os.execvp(argv[0], argv)
    except OSError as error:
        print(f"{argv[0]}: {error.strerror}", file=sys.stderr)
    return 127


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
