"""Owns the connection to the supervisor of a folder, and starting that; knows no launch."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from ..processes.launcher import MARK
from ..processes.threads import in_thread
from .main import SOCKET, TAKEN, living
from .server import VERSION
from .wire import Message, Unpacker, pack

PROGRAM = Path(__file__).with_name("main.py")
BOOT = 10.0  # seconds in which a supervisor must be there
HELLO = 10.0  # seconds in which one that is there must answer
AGAIN = 0.02  # seconds until the next look for one that another process starts or ends
ANSWER = 30.0  # seconds in which it must answer anything else, such as to end a crowd
GIVEN = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "LC_CTYPE", MARK)  # of the environment


class Link(asyncio.Protocol):
    """One connection.

    Parameters
    ----------
    on_event
        Takes what comes unasked.
    on_lost
        Called when the connection is no more.
    """

    def __init__(self, on_event: Callable[[Message], None], on_lost: Callable[[Link], None]) -> None:
        self._on_event, self._on_lost = on_event, on_lost
        self._unpacker = Unpacker()
        self._numbers = count(1)
        self._asked: dict[int, asyncio.Future[Message]] = {}
        self._transport: asyncio.Transport | None = None
        self._lost = asyncio.Event()
        self.pid = 0  # of the supervisor, once it has said so

    @property
    def open(self) -> bool:
        """Whether it stands."""
        return self._transport is not None

    async def ask(self, op: str, within: float = ANSWER, **fields: Any) -> Message:
        """The answer to a request. Raises OSError: what the supervisor could not do, or that it is gone.

        One that does not answer within so many seconds is killed, and all its processes with it.
        """
        number = next(self._numbers)
        answer = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        try:
            self.tell(op, id=number, **fields)
            async with asyncio.timeout(within):
                reply: Message = await answer
        except TimeoutError:
            await self._kill()
            raise OSError(errno.ETIMEDOUT, "the supervisor does not answer and was ended") from None
        finally:
            self._asked.pop(number, None)
        if "errno" in reply:
            raise OSError(reply["errno"], reply["strerror"], reply["filename"])
        return reply

    def tell(self, op: str, **fields: Any) -> None:
        """A wish that nobody answers. Raises OSError when there is nobody, or when it is too large."""
        if self._transport is None:
            raise ConnectionResetError(errno.ECONNRESET, "the supervisor is gone")
        try:
            data = pack({"op": op, **fields})
        except ValueError:
            raise OSError(errno.E2BIG, "its environment and arguments take more than 16 MB") from None
        self._transport.write(data)

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: Any) -> None:
        """The connection stands."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Take answers and events."""
        for message in self._unpacker.feed(data):
            if "event" in message:
                self._on_event(message)
            elif (answer := self._asked.pop(message["id"], None)) is not None and not answer.done():
                answer.set_result(message)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is there any more."""
        self._transport = None
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(ConnectionResetError(errno.ECONNRESET, "the supervisor is gone"))
        self._asked.clear()
        self._on_lost(self)
        self._lost.set()

    async def _kill(self) -> None:
        """Kill the supervisor, and come back when everybody here knows."""
        if self._transport is None:
            return
        _kill(self.pid)
        self._transport.abort()
        await self._lost.wait()


Make = Callable[[], Link]


async def connect(folder: Path, grace: float, make: Make) -> Link | None:
    """The connection to the supervisor of a folder; None when there is none.

    One of another version of this package is ended, with all that it owns, and so is one that does not answer.
    """
    link = make()
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.setblocking(False)
    try:
        await _connect(connection, os.fspath(folder / SOCKET))
        await asyncio.get_running_loop().create_unix_connection(lambda: link, sock=connection)
        reply = await link.ask("hello", HELLO, grace=grace)
        link.pid = reply["pid"]
        if reply["version"] == VERSION:
            return link
        await link.ask("close")
    except TimeoutError:
        _kill(living(folder))
    except (FileNotFoundError, ConnectionError, BlockingIOError):
        connection.close()
    link.close()
    return None


async def reach(folder: Path, mark: str, grace: float, make: Make) -> Link:
    """The connection to the supervisor of a folder, which is started when there is none. Raises OSError."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + BOOT
    while (link := await connect(folder, grace, make)) is None:
        if loop.time() > deadline:
            raise OSError(errno.ETIMEDOUT, "no supervisor could be started", os.fspath(folder))
        if await in_thread(None, _boot, folder, mark) == TAKEN:
            await asyncio.sleep(AGAIN)  # another one is coming, or going
    return link


def _kill(pid: int) -> None:
    if pid > 0:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


async def _connect(connection: socket.socket, path: str) -> None:
    """Connect, also where others crowd before the socket. Raises OSError."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + HELLO
    while True:
        try:
            connection.connect(path)  # a socket of this kind is connected at once, or refuses
            return
        except BlockingIOError:
            if loop.time() > deadline:
                raise TimeoutError from None
        await asyncio.sleep(AGAIN)


def _boot(folder: Path, mark: str) -> int:
    """Start a supervisor and come back when it listens; 0, or that one is there already. Raises OSError."""
    given = {name: os.environ[name] for name in GIVEN if name in os.environ}
    try:
        done = subprocess.run(
            (sys.executable, "-I", "-S", os.fspath(PROGRAM), os.fspath(folder)),
            env={**given, "ORCHESTRA_SUPERVISOR": mark},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
            timeout=BOOT,
        )
    except subprocess.TimeoutExpired:
        raise OSError(errno.ETIMEDOUT, "the supervisor could not be started in time", os.fspath(folder)) from None
    if done.returncode not in (0, TAKEN):
        said = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise OSError(errno.EIO, f"the supervisor could not be started: {said}", os.fspath(folder))
    return done.returncode
