"""Development servers: started on a leased port, handed over once they answer, ended with the lease."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import secrets
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

from jupyter_core.paths import jupyter_runtime_dir

from ..core.needs import Need
from ..core.ports import Grant, Launch, Launcher, Running
from ..errors import ResourceError
from ..processes.ladder import end_gently
from ..processes.launcher import describe
from .answers import answers, listeners
from .approval import Approved, ensure_approved
from .commands import server_command
from .declared import SECTION, Declared, Server, unknown
from .log import Log
from .ports import ensure_free, ports_of

__all__ = ["ServerProvider", "ServerProvision", "server_command"]

MARK = "ORCHESTRA_SERVER"  # the variable that finds what a server started
NONE = f"no server is declared: add [{SECTION}.servers.web] with its command to pyproject.toml"
_PAUSES = (0.02, 0.05, 0.1, 0.2)  # seconds between two questions whether it answers


class ServerProvision:
    """A server that answers.

    Attributes
    ----------
    url : str
        Where.
    environment : mapping
        ``SERVER_URL`` and ``PORT``, for a server with a name also ``SERVER_URL_NAME``.
    notes : tuple of str
        Where the person finds it.
    """

    def __init__(self, name: str, port: int, running: Running, log: Log, grant: Grant, base_url: str) -> None:
        self.url = f"http://127.0.0.1:{port}/"
        self.environment: Mapping[str, str] = {"SERVER_URL": self.url, "PORT": str(port)}
        if name:
            self.environment = {**self.environment, f"SERVER_URL_{re.sub(r'[^A-Z0-9]', '_', name.upper())}": self.url}
        proxied = f"{base_url.rstrip('/')}/proxy/{port}/" if base_url and find_spec("jupyter_server_proxy") else ""
        self.notes: tuple[str, ...] = (f"{_called(name)}: {self.url}",)
        if proxied:
            self.notes += (f"in the browser: {proxied}",)
        self._name, self._running, self._log, self._grant = name, running, log, grant
        self._watch = asyncio.ensure_future(self._tell_of_its_end())

    def log(self) -> str:
        """The end of what it has put out."""
        self._log.read()
        return self._log.tail()

    async def end(self) -> None:
        """End it, and all that it started."""
        self._watch.cancel()
        await end_gently(self._running)

    async def _tell_of_its_end(self) -> None:
        code = await self._running.wait()
        self._log.read()
        self._grant.show(f"{_called(self._name)} has ended: {_with_reason(describe(code), self._log)}")


class ServerProvider:
    """Serves ``server`` and ``server:NAME``; the port is one that the same grant has.

    Parameters
    ----------
    launcher : Launcher
        Starts servers.
    declared : Declared
        What the project's file says.
    approved : callable
        Asks the person whether what the file names may be started; None: it may not.
    environment : callable
        What servers have in their environment.
    base_url : str
        Where Jupyter itself is found by the browser, such as ``/user/me/``; empty: what the server of this kernel says.
    """

    resource = "server"

    def __init__(
        self,
        launcher: Launcher,
        declared: Declared,
        approved: Approved | None,
        environment: Callable[[], Mapping[str, str]] = os.environ.copy,
        base_url: str = "",
    ) -> None:
        self._launcher, self._declared, self._approved, self._environment = launcher, declared, approved, environment
        self._base_url = base_url or os.environ.get("JUPYTERHUB_SERVICE_PREFIX", "") or _base_url()

    def capacities(self) -> Mapping[str, int]:
        """One of each."""
        return {f"server:{name}": 1 for name in self._declared.servers} | {"server": 1}

    def check(self, need: Need) -> str:
        """Whether it is declared."""
        name, servers = need.name, self._declared.servers
        if name and name not in servers:
            return unknown("servers", name, servers, self._declared.file)
        if not name and not servers:
            return NONE
        if not name and len(servers) > 1:
            return f"which server? say {' or '.join(f'server:{each}' for each in servers)}"
        return ""

    def port_for(self, need: Need) -> Need:
        """The port that a server needs besides."""
        name = self._of(need)
        return Need("port", choice=self._declared.servers[name].port or (3000, 3999))

    async def provide(self, need: Need, grant: Grant) -> ServerProvision:
        """Start a declared server, or that of the grant's own command, and wait until it answers."""
        if grant.command:
            return await self.start(grant.command, grant, ports_of(grant)[0])
        if wrong := self.check(need):
            raise ResourceError(wrong)
        name = self._of(need)
        port = self._port(name, grant)
        server = self._declared.servers[name]
        await ensure_approved(self._approved, f"start the server {name}", server.command)
        return await self._start(name, server, grant, port)

    async def start(
        self, command: str, grant: Grant, port: int, *, ready: str = "/", seconds: float = 30.0
    ) -> ServerProvision:
        """Start a server by a command that whoever asks may run, and wait until it answers.

        Parameters
        ----------
        command : str
            For the shell; finds its port in ``PORT``.
        grant : Grant
            The one that has the port.
        port : int
            Where it must answer.
        ready : str
            The path that must; empty: it is enough that it listens.
        seconds : float
            How long that may take.

        Raises
        ------
        ResourceError
            When it ended or did not answer in time, with the last line that it put out; it is ended then.
        """
        return await self._start("", Server(command, ready, None, seconds), grant, port)

    def _of(self, need: Need) -> str:
        """The server's name: when only one is declared it need not be said."""
        return need.name or next(iter(self._declared.servers), "")

    def _port(self, name: str, grant: Grant) -> int:
        """The port of the grant that is this server's: each of its servers has another one."""
        free = list(ports_of(grant))
        for need in grant.needs:
            if need.word == "server" and free:
                first, last = self.port_for(need).choice or (0, 0)
                port = next((port for port in free if first <= port <= last), free[0])
                if self._of(need) == name:
                    return port
                free.remove(port)
        raise ResourceError(f"{_called(name)} has no port: add port to the needs")

    async def _start(self, name: str, server: Server, grant: Grant, port: int) -> ServerProvision:
        ensure_free(port)
        token = secrets.token_hex(8)
        private = grant.folder / f"server-{token}"
        environment = {
            **self._environment(), "PORT": str(port), "HOST": "127.0.0.1", "PYTHONUNBUFFERED": "1", MARK: token
        }  # fmt: skip
        launch = Launch(
            ("bash", "-c", server.command), private, os.fspath(grant.project), environment, private / "spool"
        )
        try:
            running = await self._launcher.start(launch)
        except OSError as error:
            raise ResourceError(f"{_called(name)} can't be started: {error.strerror}") from None
        log = Log(running)
        try:
            await _until_it_answers(_called(name), server, port, running, log, f"{MARK}={token}")
        except BaseException:
            await end_gently(running)
            raise
        return ServerProvision(name, port, running, log, grant, self._base_url)


async def _until_it_answers(called: str, server: Server, port: int, running: Running, log: Log, mark: str) -> None:
    ended = asyncio.ensure_future(running.wait())
    try:
        async with asyncio.timeout(server.seconds):
            pauses = iter(_PAUSES)
            while not ended.done():
                if await answers(port, server.ready) and await _is_it(called, port, running, mark):
                    return
                await asyncio.wait({ended}, timeout=next(pauses, _PAUSES[-1]))
    except TimeoutError:
        log.read()
        where = f"at 127.0.0.1:{port}{server.ready}"
        raise ResourceError(_with_reason(f"{called} did not answer {where} within {server.seconds:g} s", log)) from None
    finally:
        ended.cancel()
    log.read()
    raise ResourceError(_with_reason(f"{called} ended before it answered, {describe(ended.result())}", log))


async def _is_it(called: str, port: int, running: Running, mark: str) -> bool:
    """Whether it is our server that listens, and not what took the port since it was tested."""
    ours, others = await asyncio.to_thread(listeners, port, mark, running.process)
    if others and not ours:
        raise ResourceError(f"{called} did not get port {port}: {others[0]} took it meanwhile; try again")
    return True


def _base_url() -> str:
    """That of the Jupyter server which started this kernel, from the file in which it says so; empty: nobody says."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        file = Path(jupyter_runtime_dir()) / f"jpserver-{os.environ['JPY_PARENT_PID']}.json"
        return str(json.loads(file.read_text("utf-8"))["base_url"])
    return ""


def _called(name: str) -> str:
    return f"server {name}" if name else "the server"


def _with_reason(what: str, log: Log) -> str:
    said = log.last_line()
    return f"{what}: {said}" if said else what
