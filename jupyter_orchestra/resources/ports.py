"""Ports of this machine: whether one is free, and which one a grant's holder gets; it knows no leases of others."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Mapping
from pathlib import Path

import msgspec

from ..core.needs import Need
from ..core.ports import Grant
from ..errors import ResourceError

# As a server might bind them, so that a listener on any address of this machine shows. Nothing is listened on.
_ADDRESSES = (
    (socket.AF_INET, "127.0.0.1"),
    (socket.AF_INET, "0.0.0.0"),
    (socket.AF_INET6, "::1"),
    (socket.AF_INET6, "::"),
)
_UNPRIVILEGED = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")


def is_free(port: int) -> bool:
    """Whether a server could bind `port` now; one that has just ended does not hold it."""
    return all(_binds(family, address, port) for family, address in _ADDRESSES)


def ports_of(grant: Grant) -> tuple[int, ...]:
    """The ports of a grant, in the order of its needs."""
    return tuple(unit for need in grant.needs if need.resource == "port" for unit in need.units)


class PortProvision(msgspec.Struct, frozen=True):
    """A port that nobody listens on yet."""

    environment: Mapping[str, str]
    notes: tuple[str, ...]

    async def end(self) -> None:
        """Nothing: whoever listened on it is ended with its task."""


class PortProvider:
    """Hands ports over: ``PORT`` is the grant's first, ``PORTS`` all of them with commas between."""

    resource = "port"

    def capacities(self) -> Mapping[str, int]:
        """None: each port is there once."""
        return {}

    def check(self, need: Need) -> str:
        """What is wrong with a need for a port."""
        first, last = need.choice or (3000, 3999)
        if not 0 < first <= last < 65536:
            return f"there is no port {last if 0 < first < 65536 else first}: ports go from 1 to 65535"
        if first < (lowest := _lowest()):
            return f"port {first} is kept for the system: take one from {lowest} on"
        return ""

    async def provide(self, need: Need, grant: Grant) -> PortProvision:
        """Bind-test once more, and hand over."""
        for port in need.units:
            ensure_free(port)
        ports = [str(port) for port in ports_of(grant) or need.units]
        return PortProvision({"PORT": ports[0], "PORTS": ",".join(ports)}, tuple(f"port {port}" for port in need.units))


def ensure_free(port: int) -> None:
    """Raise ResourceError when a program listens on `port`."""
    if not is_free(port):
        raise ResourceError(f"port {port} is in use by another program: end it, or name a range such as port:3000-3010")


def _binds(family: int, address: str, port: int) -> bool:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as tried:
            # What a closed connection left (TIME_WAIT) is no obstacle to a server, and a listener still is one.
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                tried.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            tried.bind((address, port))
    except OSError as error:
        return family == socket.AF_INET6 and error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)  # no IPv6 here
    return True


def _lowest() -> int:
    """The first port that this person may bind."""
    if os.geteuid() == 0:
        return 1
    with contextlib.suppress(OSError, ValueError):
        return int(_UNPRIVILEGED.read_text())
    return 1024
