"""The socket of one runtime: who may come in, by what right, and how many; what they want is a visit's matter."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import struct
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from ..resources import identity
from ..runtime import Runtime
from . import place, words
from .capability import FOREVER, Capabilities, Capability
from .visit import LINGER, Visit

log = logging.getLogger("jupyter_orchestra")

MOST = 32  # connections at a time
WAITING = 128  # connections that the system keeps until the loop takes them
_PEER = struct.Struct("3i")  # pid, uid, gid


class Door:
    """The way in to one runtime. Everything is for the runtime's loop.

    Parameters
    ----------
    runtime
        Whose door it is.
    folder
        The runtime's folder, 0700.
    explain
        In one line, why the task of that name is where it is; called on the loop.
    leases
        Who holds what and who waits for it, in lines; called on another thread.
    notebook
        Path of the notebook, empty when none is known.
    """

    def __init__(
        self,
        runtime: Runtime,
        folder: Path,
        *,
        explain: Callable[[str], str],
        leases: Callable[[], Iterable[str]],
        notebook: str,
    ) -> None:
        self.runtime, self.explain, self.leases, self.notebook = runtime, explain, leases, notebook
        self.capabilities = Capabilities(asyncio.get_running_loop().time)
        self._folder = folder
        self._server: asyncio.Server | None = None
        self._visits: dict[Visit, asyncio.Task[None]] = {}  # the oldest first

    def grant(self, allows: Collection[str], task: str = "", seconds: float = FOREVER) -> Capability:
        """Make a capability that allows no more than this, for some seconds.

        Parameters
        ----------
        allows
            Words of :data:`~jupyter_orchestra.door.capability.VERBS`; never what is for the person alone.
        task
            The uid of the only task that it is about; empty: any.

        Raises
        ------
        ValueError
            For a word that it can't be given.
        """
        return self.capabilities.grant(allows, task, seconds)

    def revoke(self, token: str) -> None:
        """Let a capability be in force no longer."""
        self.capabilities.revoke(token)

    async def open(self) -> None:
        """Let programs in, and let them find the door. Raises OSError."""
        listening = await asyncio.to_thread(self._bind)
        self._server = await asyncio.start_unix_server(self._came, sock=listening, backlog=WAITING)
        await asyncio.to_thread(self._tell)

    async def close(self) -> None:
        """End all visits and leave nothing behind."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        ending = list(self._visits.values())
        for visit in list(self._visits):
            self._turn_out(visit)
        if ending:
            await asyncio.wait(ending, timeout=2 * LINGER)
        with contextlib.suppress(OSError):
            await asyncio.to_thread(self._leave)

    def _bind(self) -> socket.socket:
        with place.locked(self._folder):
            place.remove(self._folder)
            place.write_private(self._folder / place.TOKEN, self.capabilities.full.token.encode())
            listening = socket.socket(socket.AF_UNIX)
            try:
                listening.bind(str(self._folder / place.SOCKET))
                (self._folder / place.SOCKET).chmod(0o600)
                listening.setblocking(False)
            except BaseException:
                listening.close()
                raise
        return listening

    def _tell(self) -> None:
        process = identity.mine()
        entry = place.Entry(
            notebook=self.notebook,
            pid=process.pid,
            started=process.started,
            world=identity.world(),
            protocol=words.PROTOCOL,
            opened_at=self.runtime.now(),
        )
        with place.locked(self._folder):
            place.write_entry(self._folder, entry)

    def _leave(self) -> None:
        with place.locked(self._folder):
            entry = place.read(self._folder)
            if entry is not None and entry.pid == os.getpid():
                place.remove(self._folder)
        self._folder.rmdir()  # stays while the supervisor is in it

    # visitors

    def _came(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Someone knocks; called by the server, on the loop."""
        if _uid_of(writer) != os.getuid() or self._server is None or not self._has_room():
            writer.transport.abort()
            return
        visit = Visit(self, reader, writer)
        task = asyncio.get_running_loop().create_task(visit.run(), name="jo-door")
        self._visits[visit] = task
        task.add_done_callback(lambda done: self._left(visit, done))

    def _has_room(self) -> bool:
        """Whether one more may come in: for it, the oldest of those that never said who they are has to go."""
        if len(self._visits) < MOST:
            return True
        stranger = next((visit for visit in self._visits if not visit.known), None)
        if stranger is not None:
            self._turn_out(stranger)
        return stranger is not None

    def _turn_out(self, visit: Visit) -> None:
        if (task := self._visits.pop(visit, None)) is not None:
            task.cancel()
        visit.cut()

    def _left(self, visit: Visit, task: asyncio.Task[None]) -> None:
        self._visits.pop(visit, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a visit at the door failed", exc_info=error)


async def serve(
    runtime: Runtime,
    folder: Path,
    *,
    explain: Callable[[str], str],
    leases: Callable[[], Iterable[str]],
    notebook: str,
) -> Door:
    """Open the door of a runtime, on its loop; the parameters are those of :class:`Door`. Raises OSError."""
    door = Door(runtime, folder, explain=explain, leases=leases, notebook=notebook)
    await door.open()
    return door


def _uid_of(writer: asyncio.StreamWriter) -> int:
    """Who is at the other end, by the system's word."""
    connection: socket.socket = writer.get_extra_info("socket")
    _, uid, _ = _PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    return int(uid)
