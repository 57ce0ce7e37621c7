"""The program around a command: copies its output to a spool and ends its tree when the notebook's kernel is gone.

Run by its path as ``python -I -S spooler.py SPOOL LIMIT MARK LIBRARY LOCALE TERMINAL COMMAND...`` in a session of its
own, with the lifeline as stdin. The command stays in this process's group, so that one signal reaches both and this
process need not pass it on: it ignores what it can. It ends as the command did.

With TERMINAL not empty the command gets a terminal, and with it a session of its own; what comes over the lifeline is
typed into that.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import select
import signal
import sys
import time
from typing import TYPE_CHECKING, NoReturn

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    from spool import SpoolWriter  # type: ignore[import-not-found, unused-ignore]
else:
    from .spool import SpoolWriter

if TYPE_CHECKING:
    from .terminal import Terminal

CHUNK = 1 << 20  # bytes of one read
QUIET = 0.1  # seconds without output after which nobody waits for a background child that holds the pipe
LONGEST = 1.0  # seconds after the command's end in which its background children may still write
IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
DEFAULTS = (signal.SIGPIPE, signal.SIGXFSZ)  # which Python ignores, and a child would inherit that
LIFELINE = 0


class Stream:
    """One pipe of the command. Bytes that are not UTF-8 become U+FFFD; characters that two reads share stay whole."""

    def __init__(self, name: str, pipe: int, writer: SpoolWriter) -> None:
        self._name = name
        self._pipe = pipe
        self._writer = writer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._plain = True  # the decoder holds nothing back

    def copy(self) -> bool:
        """Pass on what there is; False at the end."""
        try:
            data = os.read(self._pipe, CHUNK)
        except BlockingIOError:  # only a terminal's file does not block
            return True
        except OSError:  # which is how that of a terminal ends
            data = b""
        if self._plain and data.isascii():
            self._writer.write(self._name, data)
        else:
            self._writer.write(self._name, self._decoder.decode(data, final=not data))
            self._plain = not self._decoder.getstate()[0]
        return bool(data)


class Spooler:
    """Runs one command."""

    def __init__(self, writer: SpoolWriter, command: list[str], terminal: Terminal | None = None) -> None:
        self._streams: dict[int, Stream] = {}
        self._poll = select.poll()
        self._wake = _wake_on_signals()
        self._terminal = terminal
        self._pid = self._spawn(writer, command) if terminal is None else self._spawn_in(terminal, writer, command)
        self._poll.register(LIFELINE, select.POLLIN)
        self._poll.register(self._wake, select.POLLIN)

    def run(self) -> int | None:
        """Copy until the command has ended and its pipes are empty; its wait status, None when the lifeline broke."""
        status: int | None = None
        ended = 0.0
        while status is None or self._streams:
            patience = None if status is None else min(QUIET, ended + LONGEST - time.monotonic())
            if patience is not None and patience <= 0:
                break
            ready = [file for file, _ in self._poll.poll(None if patience is None else int(patience * 1000) + 1)]
            if not ready and status is not None:
                break
            if LIFELINE in ready:
                if not (said := os.read(LIFELINE, CHUNK)):
                    return None
                if self._terminal is not None:
                    self._terminal.take(said)
                    self._await_room(self._terminal)
            for file in ready:
                self._copy(file)
            if status is None and (status := self._reap()) is not None:
                ended = time.monotonic()
        return status

    @property
    def held(self) -> bool:
        """Whether some child still holds a pipe."""
        return bool(self._streams)

    def kill(self) -> None:
        """Kill the command itself."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)

    def _spawn(self, writer: SpoolWriter, command: list[str]) -> int:
        actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
        ]
        ends = []
        for number, name in ((1, "stdout"), (2, "stderr")):
            pipe, end = os.pipe()
            ends.append(end)
            actions.append((os.POSIX_SPAWN_DUP2, end, number))
            self._streams[pipe] = Stream(name, pipe, writer)
            self._poll.register(pipe, select.POLLIN)
        pid = os.posix_spawnp(command[0], command, os.environ, file_actions=actions, setsigdef=DEFAULTS)
        for end in ends:
            os.close(end)
        return pid

    def _spawn_in(self, terminal: Terminal, writer: SpoolWriter, command: list[str]) -> int:
        # The first terminal that the leader of a new session opens is its controlling one.
        actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
            (os.POSIX_SPAWN_OPEN, 0, terminal.path, os.O_RDWR, 0),
            (os.POSIX_SPAWN_DUP2, 0, 1),
            (os.POSIX_SPAWN_DUP2, 0, 2),
        ]
        pid = os.posix_spawnp(command[0], command, os.environ, file_actions=actions, setsigdef=DEFAULTS, setsid=True)
        terminal.started()
        self._streams[terminal.file] = Stream("stdout", terminal.file, writer)
        self._poll.register(terminal.file, select.POLLIN)
        return pid

    def _copy(self, file: int) -> None:
        if file == self._wake:
            os.read(file, CHUNK)
        elif file in self._streams:
            if self._terminal is not None and self._terminal.full:
                self._terminal.type()
                self._await_room(self._terminal)
            if not self._streams[file].copy():
                self._poll.unregister(file)
                del self._streams[file]

    def _await_room(self, terminal: Terminal) -> None:
        if terminal.file in self._streams:
            self._poll.modify(terminal.file, select.POLLIN | (select.POLLOUT if terminal.full else 0))

    def _reap(self) -> int | None:
        """The command's wait status, once it has ended; also takes what it left behind, where that comes to us."""
        status = None
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == self._pid:
                    status = ended[1]
        return status


def _wake_on_signals() -> int:
    """Make signals do nothing but wake the poll; the file that becomes readable then."""
    wake, end = os.pipe()
    os.set_blocking(end, False)
    signal.set_wakeup_fd(end, warn_on_full_buffer=False)
    for number in (*IGNORED, signal.SIGCHLD):
        signal.signal(number, _nothing)  # not SIG_IGN: a child would inherit that
    return wake


def _nothing(number: int, frame: object) -> None:
    pass


def _terminal() -> Terminal:
    from terminal import Terminal  # type: ignore[import-not-found, unused-ignore]

    return Terminal()  # type: ignore[no-any-return, unused-ignore]


def _end_tree(mark: str, library: str) -> None:
    """End everything around this process; psutil is only imported for it, since it would slow every start."""
    sys.path.append(library)
    from tree import Root, end_tree  # type: ignore[import-not-found, unused-ignore]

    end_tree(mark, Root(os.getpid(), 0.0))


def _die(number: int) -> NoReturn:
    """End by the signal that ended the command, leaving no core file of our own."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)


def main(arguments: list[str]) -> int:
    """Run the command; what this returns is the exit code."""
    path, limit, mark, library, locale, terminal, *command = arguments
    if not locale:  # Python itself sets this one where the environment names no locale (PEP 538)
        os.environ.pop("LC_CTYPE", None)
    writer = SpoolWriter(path, int(limit))
    try:
        spooler = Spooler(writer, command, _terminal() if terminal else None)
    except OSError as error:
        writer.write("stderr", f"{command[0]}: {error.strerror}\n")
        writer.close()
        return 127
    status = spooler.run()
    if status is None:
        spooler.kill()
        _end_tree(mark, library)
        return 128 + signal.SIGKILL
    if spooler.held:
        _end_tree(mark, library)
    code = os.waitstatus_to_exitcode(status)
    writer.flush()
    with contextlib.suppress(OSError):  # a full disk: the exit code still tells
        writer.frame("exit", code=code)
    writer.close()
    if code < 0:
        _die(-code)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
