"""Owns the wire to one spawned kernel: sends it a request, waits for the reply; knows no task."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

import zmq
from jupyter_client.session import Session

RECONNECT = 10  # ms between two tries to reach a kernel that is still starting


class Line:
    """The shell channel of one kernel, for one request at a time.

    A plain socket watched by the loop: a zmq.asyncio one costs three times as much for each message.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], connection: Mapping[str, Any]) -> None:
        self._session = Session(key=str(connection["key"]).encode(), signature_scheme=connection["signature_scheme"])
        self._socket = context.socket(zmq.DEALER)
        self._socket.linger = 0
        self._socket.reconnect_ivl = RECONNECT
        if connection.get("curve_publickey"):
            _encrypt(self._socket, connection)
        self._socket.connect(_address(connection, "shell_port"))
        self._waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._loop = asyncio.get_running_loop()
        self._handle = int(self._socket.fd)
        self._loop.add_reader(self._handle, self._receive)

    def send(
        self, kind: str, content: dict[str, Any], metadata: dict[str, Any] | None = None
    ) -> asyncio.Future[dict[str, Any]]:
        """Send a request; the future gives the content of its reply."""
        message = self._session.msg(kind, content, metadata=metadata)
        reply: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self._waiting[message["header"]["msg_id"]] = reply
        self._socket.send_multipart(self._session.serialize(message))
        # The socket's handle is edge-triggered, and sending may have taken the edge of a message that came in.
        if int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            self._loop.call_soon(self._receive)
        return reply

    def close(self) -> None:
        """Hang up; what still waits is cancelled."""
        if not self._socket.closed:
            self._loop.remove_reader(self._handle)
            self._socket.close()
        for reply in self._waiting.values():
            reply.cancel()

    def _receive(self) -> None:
        if self._socket.closed:
            return
        with contextlib.suppress(zmq.Again):
            while True:
                self._take(self._socket.recv_multipart(zmq.NOBLOCK, copy=True))

    def _take(self, parts: list[bytes]) -> None:
        _, signed = self._session.feed_identities(parts)
        try:
            message = self._session.deserialize(signed)
        except (ValueError, TypeError):  # not signed by our kernel
            return
        reply = self._waiting.pop(message["parent_header"].get("msg_id"), None)
        if reply is not None and not reply.done():
            reply.set_result(message["content"])


def _encrypt(socket: zmq.Socket[bytes], connection: Mapping[str, Any]) -> None:
    public, secret = zmq.curve_keypair()
    socket.curve_serverkey = str(connection["curve_publickey"]).encode()
    socket.curve_publickey, socket.curve_secretkey = public, secret


def _address(connection: Mapping[str, Any], port: str) -> str:
    joint = "-" if connection["transport"] == "ipc" else ":"
    return f"{connection['transport']}://{connection['ip']}{joint}{connection[port]}"
