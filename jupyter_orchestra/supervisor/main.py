"""The supervisor's program: one per folder, found by its socket there; leaves whoever started it before it serves.

Run by its path as ``python -I -S main.py FOLDER``. It exits at once with 0 when the supervisor listens, with 3 when
there is one already, else with 1 and a line on stderr.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import stat
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path.append(os.path.abspath(__file__).rpartition("/jupyter_orchestra/")[0])

from jupyter_orchestra.supervisor.census import look
from jupyter_orchestra.supervisor.guardian import PATIENCE, guard
from jupyter_orchestra.supervisor.loop import Loop
from jupyter_orchestra.supervisor.server import Server
from jupyter_orchestra.supervisor.spawning import become_subreaper

SOCKET, LOCK, LOG, BEAT = "supervisor.sock", "supervisor.lock", "supervisor.log", "supervisor.beat"
ENDING = 1.0  # seconds from its last answer to its end
TAKEN = 3  # exit code when another one has the folder
QUEUE = 128  # connections that wait to be accepted


def main(folder: Path) -> int:
    """Serve until there is nothing left to do; the first process returns when the others are about to.

    The second one guards the third, which serves, and holds the lock as long as anything of that lives.
    """
    _check(folder)
    lock = _lock(folder)
    if lock is None:
        return TAKEN
    listener = _listen(folder)
    become_subreaper()
    if os.fork():
        return 0
    os.setsid()
    os.chdir("/")
    become_subreaper()
    _detach(folder)
    if supervisor := os.fork():
        listener.close()
        if guard(supervisor):
            _remove(folder)
        return 0
    os.ftruncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode())
    serve(folder, listener)
    return 0


def living(folder: Path) -> int:
    """The process that has the folder; 0: none, -1: one that just begins. Raises OSError."""
    try:
        file = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return 0
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return 0
    except BlockingIOError:
        return int(os.pread(file, 20, 0) or -1)
    finally:
        os.close(file)


def await_rest(folder: Path, killed: int) -> None:
    """Wait until all has ended that this supervisor owned, or another one that is gone; blocks."""
    deadline = time.monotonic() + PATIENCE
    with contextlib.suppress(OSError):
        while (pid := living(folder)) > 0 and (pid == killed or look(pid) is None) and time.monotonic() < deadline:
            time.sleep(0.01)


def remove_rest(folder: Path) -> None:
    """Remove what a supervisor has left that was killed or is about to end; nothing while one lives on; blocks."""
    deadline = time.monotonic() + ENDING
    with contextlib.suppress(OSError):
        while (lock := _lock(folder)) is None:
            if time.monotonic() > deadline:
                return
            time.sleep(0.01)
        _remove(folder)
        os.close(lock)


def _remove(folder: Path) -> None:
    for name in (SOCKET, LOG, BEAT, LOCK):
        with contextlib.suppress(OSError):
            os.unlink(folder / name)
    with contextlib.suppress(OSError):  # others have files there
        folder.rmdir()


def serve(folder: Path, listener: socket.socket) -> None:
    """Own processes until all have ended and nobody is there any more."""
    become_subreaper()
    loop = Loop()

    def over() -> None:
        _remove(folder)
        loop.stop()

    guardian = os.getppid()  # lives as long as anything does that is told of here
    began = Path(f"/proc/{guardian}/stat").read_text().rpartition(")")[2].split()[19]

    def beat(lines: list[str]) -> None:
        """Who waits for a lease of a kernel that is gone reads this."""
        text = "\n".join((f"{guardian}:{began}", repr(time.monotonic()), *lines))
        fresh = folder / f"{BEAT}.new"
        with contextlib.suppress(OSError):  # no room: then it is as if nothing lived
            fresh.write_text(text)
            fresh.replace(folder / BEAT)

    server = Server(loop, listener, over, beat)

    def signalled(numbers: set[int]) -> None:
        server.owner.reap()
        if numbers & {2, 15}:
            server.close()

    loop.on_signal = signalled
    loop.run()


def _check(folder: Path) -> None:
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{folder} is not a private folder of yours")


def _lock(folder: Path) -> int | None:
    """The open lock file; None when another supervisor holds it."""
    while True:
        file = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return None
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file), os.stat(folder / LOCK)):
                return file
        os.close(file)  # that of one that was about to end


def _listen(folder: Path) -> socket.socket:
    path = folder / SOCKET
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(os.fspath(path))
    finally:
        os.umask(before)
    listener.listen(QUEUE)
    return listener


def _detach(folder: Path) -> None:
    """Let go of the streams of whoever started this."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(folder / LOG, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    for number, file in ((0, nothing), (1, log), (2, log)):
        os.dup2(file, number)
    os.close(nothing)
    os.close(log)


if __name__ == "__main__":
    try:
        code = main(Path(sys.argv[1]))
    except OSError as error:
        print(f"{error.strerror or error}: {error.filename or sys.argv[1]}", file=sys.stderr)
        code = 1
    sys.stderr.flush()
    os._exit(code)
