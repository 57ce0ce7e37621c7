"""Owns starting one process of a launch, with nothing of the supervisor's in it; watches none."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys
from typing import Any, NoReturn

PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)


def become_subreaper() -> None:
    """Make this process the parent of what its descendants leave behind; it stays so over an exec."""
    if _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "the system has no child subreapers")


def spawn(argv: list[str], cwd: str, environment: dict[str, str], log: str) -> tuple[int, int]:
    """Start it in a session of its own, with a lifeline as stdin. Its pid, and our end of the lifeline.

    It is a subreaper, so that all that descends from it does so visibly as long as it lives.

    Raises
    ------
    OSError
        When there is no such program or folder, or no room.
    """
    # Without O_NONBLOCK a pipe in the log's place would be waited for.
    output = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    files = [output]
    try:
        lifeline, end = os.pipe()
        files += lifeline, end
        trouble, told = os.pipe()
        files += trouble, told
        pid = os.fork()
        if not pid:
            _become(argv, cwd, environment, (lifeline, output, output), told)
        os.close(told)
        files.remove(told)
        if said := os.read(trouble, 4096):
            os.waitpid(pid, 0)
            raise OSError(*json.loads(said))
        files.remove(end)
    finally:
        for file in files:
            os.close(file)
    os.set_blocking(end, False)
    return pid, end


def _become(argv: list[str], cwd: str, environment: dict[str, str], streams: tuple[int, ...], told: int) -> NoReturn:
    what: Any = cwd
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores, and a child would inherit that
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        become_subreaper()
        for stream, file in enumerate(streams):
            os.dup2(file, stream)
        if cwd:
            os.chdir(cwd)
        what = argv[0]
        os.execvpe(argv[0], argv, environment)
    except BaseException as error:
        with contextlib.suppress(BaseException):
            code = getattr(error, "errno", None) or 0
            os.write(told, json.dumps([code, getattr(error, "strerror", None) or str(error), what]).encode())
    finally:
        sys.stderr.flush()
        os._exit(127)
