"""Whether something answers on a port of this machine, and whose it is; it starts nothing."""

from __future__ import annotations

import asyncio
import contextlib
import re
from urllib.parse import quote

import psutil

from ..core.model import Process
from ..processes.tree import Root, members

SECONDS = 5.0  # that one answer may take
_STATUS = re.compile(rb"HTTP/\d(?:\.\d)? (\d{3})")


async def answers(port: int, path: str) -> bool:
    """Whether a server answers `path` with a status below 500; with an empty path, whether it listens."""
    with contextlib.suppress(OSError, TimeoutError, ValueError):
        async with asyncio.timeout(SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                return not path or 0 < await _status(reader, writer, port, path) < 500
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    return False


def listeners(port: int, mark: str, root: Process) -> tuple[list[str], list[str]]:
    """Who listens on `port`, as far as can be seen: processes of a tree, and others; blocks."""
    try:
        found = {
            connection.pid
            for connection in psutil.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN and connection.pid and connection.laddr[1:] == (port,)
        }
    except psutil.Error:  # some systems show it to root alone
        return [], []
    tree = members(mark, Root(root.pid, root.started))
    return [_named(pid) for pid in found & tree], [_named(pid) for pid in found - tree]


async def _status(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, path: str) -> int:
    path = quote(path if path.startswith("/") else f"/{path}", safe="/?=&%+,:;!@._~-")
    writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: */*\r\nConnection: close\r\n\r\n".encode())
    await writer.drain()
    found = _STATUS.match(await reader.readline())
    return int(found[1]) if found else 0


def _named(pid: int) -> str:
    with contextlib.suppress(psutil.Error):
        return f"{psutil.Process(pid).name()} (process {pid})"
    return f"process {pid}"
