"""Owns the socket: who may speak, what is asked, what is answered, and how long nobody is waited for."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Callable
from typing import Any

from .census import lineage
from .loop import READ, WRITE, Loop, Timer, guarded
from .orders import LIMITS, check_launch, lease, seconds
from .owner import BEAT, Owner
from .tree import Tree
from .wire import FIRST, LARGEST, Message, Unpacker, pack

VERSION = 3
CLIENTS = 64  # at once; of more the ones that have not said who they are go
HELLO = 5.0  # seconds in which a client must say that
ALONE = 10.0  # seconds in which the first one must come
CHUNK = 1 << 16  # bytes of one read
WAITING = 4 * LARGEST  # bytes that a client may leave unread
HARMLESS = (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)  # of words that are none
RESTED = 0.5  # seconds without new clients when there is no room for one


class Server:
    """Answers the clients of an owner.

    Parameters
    ----------
    over
        Called when everything has ended.
    beat
        Given now and then, and at every change, what must be known of leases whose kernel is gone, in lines.
    """

    def __init__(
        self, loop: Loop, listener: socket.socket, over: Callable[[], None], beat: Callable[[list[str]], None]
    ) -> None:
        self.loop = loop
        self._write_beat, self._settling = beat, False
        self.owner = Owner(loop, self._tell, self._tell_leases)
        self.clients: list[Client] = []
        self._listener = listener
        self._over = over
        self._closing = False
        self.grace = ALONE
        self._alone: Timer | None = loop.after(ALONE, self.close)
        listener.setblocking(False)
        self._listen()
        self._beat()

    def close(self, done: Callable[[], None] | None = None) -> None:
        """End everything, then be over."""

        def ended() -> None:
            if done:
                done()
            self._over()

        self._closing = True
        self.owner.end_everything(ended)

    def greet(self, client: Client, grace: float) -> Message:
        """Let a client in."""
        self.grace, self.owner.alone = grace, False
        if self._alone is not None:
            self._alone.cancel()
            self._alone = None
        launches = [tree.held() for tree in self.owner.trees.values()]
        return {"version": VERSION, "pid": os.getpid(), "launches": launches}

    def heard(self) -> None:
        """A client is known now."""
        self._tell_leases()

    def gone(self, client: Client) -> None:
        """A client has left. After the last one: wait for the next kernel, if there is anything to wait with."""
        self.clients.remove(client)
        if client.known and not any(other.known for other in self.clients) and not self._closing:
            self._settling = True
            self.owner.leave_alone(self._settle)
            waits = any(tree.kept for tree in self.owner.trees.values())
            self._alone = self.loop.after(self.grace if waits else 0, self.close)
        self._tell_leases()

    def start(self, message: Message) -> Message:
        """Start a launch. Raises OSError; TypeError and the like for what is no launch."""
        if self._closing:
            raise OSError(0, "the supervisor is ending")
        check_launch(message)
        tree = self.owner.start(message)
        return {"launch": tree.number, "pid": tree.pid, "started": tree.started}

    def _beat(self) -> None:
        self._tell_leases()
        self.loop.after(BEAT, self._beat)

    def _settle(self) -> None:
        self._settling = False
        self._tell_leases()

    def _tell_leases(self) -> None:
        kept, clients = self.owner.kept, " ".join(str(client.pid) for client in self.clients if client.known)
        if kept and not clients:  # nobody else sees whether they run
            self.owner.look()
        living = [f"{tree.kept}\t{tree.mark}\t{tree.ran!r}" for tree in kept]
        self._write_beat(["settling" if self._settling else "", clients, *living])

    def _listen(self) -> None:
        self.loop.watch(self._listener.fileno(), READ, self._accept)

    def _accept(self, events: int) -> None:
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError:  # no more files: later
            self.loop.unwatch(self._listener.fileno())
            self.loop.after(RESTED, self._listen)
            return
        if not may_speak(connection) or not self._has_room():
            connection.close()
            return
        self.clients.append(Client(self, connection))

    def _has_room(self) -> bool:
        if len(self.clients) < CLIENTS:
            return True
        stranger = next((client for client in self.clients if not client.known), None)
        if stranger is not None:
            stranger.close()
        return stranger is not None

    def _tell(self, message: Message) -> None:
        for client in [client for client in self.clients if client.known]:
            client.tell(message)


class Client:
    """One connection. Whatever comes over it that is no message of ours closes it, and nothing else."""

    def __init__(self, server: Server, connection: socket.socket) -> None:
        self.known = False
        self._server, self._loop, self._owner = server, server.loop, server.owner
        self._connection = connection
        self.pid = peer(connection)[0]
        self._file = connection.fileno()
        self._unpacker = Unpacker(FIRST)
        self._unsent = bytearray()
        self._process = -1
        self._open = True
        connection.setblocking(False)
        self._loop.watch(self._file, READ, self._ready)
        self._loop.after(HELLO, lambda: None if self.known else self.close())

    def close(self) -> None:
        """Hang up."""
        if not self._open:
            return
        self._open = False
        self._loop.unwatch(self._file)
        self._connection.close()
        if self._process >= 0:
            self._loop.unwatch(self._process)
            os.close(self._process)
        self._server.gone(self)

    def tell(self, message: Message) -> None:
        """Something happened. A beat is left out when the last one was not read yet."""
        if not (self._unsent and message["event"] == "beat"):
            self.send(message)

    def send(self, message: Message) -> None:
        """Send a message, or hang up on who reads none."""
        if not self._open:
            return
        self._unsent += pack(message)
        if len(self._unsent) > WAITING:
            self.close()
        else:
            self._flush()

    def _flush(self) -> None:
        try:
            while self._unsent:
                del self._unsent[: self._connection.send(self._unsent)]
        except BlockingIOError:
            self._loop.watch(self._file, READ | WRITE, self._ready)
        except OSError:
            self._loop.after(0, self.close)  # not now: who sends may be going through the clients
        else:
            self._loop.watch(self._file, READ, self._ready)

    def _ready(self, events: int) -> None:
        if events & WRITE:
            self._flush()
        if events & ~WRITE and self._open:
            self._read()

    def _read(self) -> None:
        try:
            data = self._connection.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        try:
            while messages := self._unpacker.feed(data):
                for message in messages:
                    self._take(message)
                data = b""
        except Exception as error:  # whatever a hostile client makes of it
            if not isinstance(error, HARMLESS):
                guarded(_raise, error)
            self.close()

    def _take(self, message: Message) -> None:
        if not self.known:
            self._greet(message)
            return
        if message["op"] == "start":
            self._start(message)
            return
        answer = getattr(self, f"_on_{message['op']}")
        answer(message)

    def _greet(self, message: Message) -> None:
        if message["op"] != "hello":
            raise ValueError("no hello")
        reply = self._server.greet(self, seconds(message["grace"]))
        self.known = True
        self._unpacker.largest = LARGEST
        self._watch_process()
        self._server.heard()
        self.send({"id": message["id"], **reply})

    def _watch_process(self) -> None:
        """Hang up when its process ends, though a child of it may hold the connection."""
        with contextlib.suppress(OSError):
            self._process = os.pidfd_open(self.pid)
            self._loop.watch(self._process, READ, lambda events: self.close())

    def _start(self, message: Message) -> None:
        try:
            reply = self._server.start(message)
        except OSError as error:
            reply = {"errno": error.errno, "strerror": error.strerror, "filename": error.filename}
        self.send({"id": message["id"], **reply})

    def _on_signal(self, message: Message) -> None:
        if tree := self._tree(message):
            self._owner.signal(tree, int(message["number"]))

    def _on_ladder(self, message: Message) -> None:
        if tree := self._tree(message):
            self._owner.go_down_the_ladder(tree)

    def _on_end(self, message: Message) -> None:
        if tree := self._tree(message):
            self._owner.end(tree, lambda: self.send({"id": message["id"]}))
        else:
            self.send({"id": message["id"]})

    def _on_keep(self, message: Message) -> None:
        if tree := self._tree(message):
            self._owner.keep(tree, lease(message["kept"]))

    def _on_limit(self, message: Message) -> None:
        if tree := self._tree(message):
            memory, processes = (None if (limit := message[name]) is None else int(limit) for name in LIMITS)
            self._owner.limit(tree, memory, processes)

    def _on_grace(self, message: Message) -> None:
        self._server.grace = seconds(message["grace"])

    def _on_settle(self, message: Message) -> None:
        self._owner.settle(lambda: self.send({"id": message["id"]}))

    def _on_write(self, message: Message) -> None:
        if tree := self._tree(message):
            self._owner.write(tree, message["data"].encode("latin-1"))

    def _on_list(self, message: Message) -> None:
        launches = [tree.held() for tree in self._owner.trees.values()]
        self.send({"id": message["id"], "launches": launches})

    def _on_look(self, message: Message) -> None:
        self._owner.tell_now()
        self.send({"id": message["id"]})

    def _on_drop(self, message: Message) -> None:
        kept = {int(pid) for pid in message["kept"]}
        self._owner.end_all(kept, lambda: self.send({"id": message["id"]}))

    def _on_close(self, message: Message) -> None:
        self._server.close(lambda: self.send({"id": message["id"]}))

    def _tree(self, message: Message) -> Tree | None:
        return self._owner.trees.get(int(message["launch"]))


def peer(connection: socket.socket) -> tuple[int, int]:
    """The process at the other end, and whose it is."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, user, _ = struct.unpack("3i", credentials)
    return pid, user


def may_speak(connection: socket.socket) -> bool:
    """Whether it is a process of this person's that is not one of our own workers."""
    try:
        pid, user = peer(connection)
    except OSError:
        return False
    return pid > 0 and user == os.getuid() and os.getpid() not in lineage(pid)


def _raise(error: Exception) -> Any:
    raise error
