"""The real things that leases bring along, each in a folder of its own; it knows neither who may have what nor why."""

from __future__ import annotations

import asyncio
import logging
import shutil
import uuid
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from ..core.needs import Need
from ..core.ports import Grant, Provider, Provision
from ..errors import ResourceError
from ..processes.threads import in_thread

log = logging.getLogger("jupyter_orchestra")

GIVEN_BACK = "the lease was given back before all that it brings along was there"


class Provisions:
    """What all leases of one runtime have brought along.

    Parameters
    ----------
    providers
        One for each first word of a need.
    project
        The folder that tests, servers and declared things belong to.
    folder
        Where they get their folders.
    """

    def __init__(self, providers: Iterable[Provider], project: Path, folder: Path) -> None:
        self.providers = {provider.resource: provider for provider in providers}
        self._project, self._folder = project, folder
        self._making: dict[str, asyncio.Task[None]] = {}
        self._made: dict[str, list[_Kept]] = {}
        self._ending: dict[str, asyncio.Future[None]] = {}

    def __contains__(self, id: str) -> bool:
        """Whether a lease has something, is about to get it, or is not rid of it yet. Any thread."""
        return id in self._made or id in self._making or id in self._ending

    def of(self, id: str) -> tuple[Provision, ...]:
        """What a lease has. Any thread."""
        return tuple(one.provision for one in self._made.get(id, ()))

    async def provide(
        self, id: str, uid: str, name: str, needs: tuple[Need, ...], show: Callable[[str], None], command: str = ""
    ) -> tuple[Provision, ...]:
        """Make all that a lease brings along, or nothing of it.

        Parameters
        ----------
        id
            Of the lease.
        uid, name
            Of the task that has it.
        needs
            Which are granted.
        show
            Takes lines for the person.
        command
            Of a server that is to be started besides, on the port among the needs; empty: of none.

        Raises
        ------
        ResourceError
            Something can't be had, or the lease was given back meanwhile.
        """
        wanted = (*needs, Need("server")) if command else needs
        ordered = sorted(wanted, key=lambda need: need.word == "server")  # its port comes first
        served = [(need, self.providers[need.word]) for need in ordered if need.word in self.providers]
        if not served:
            return ()
        grant = partial(Grant, id, uid, name, project=self._project, needs=needs, show=show, command=command)
        making = self._making[id] = asyncio.ensure_future(self._make(id, served, grant))
        try:
            await making
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            raise ResourceError(GIVEN_BACK) from None  # not we were cancelled, but the making was
        finally:
            del self._making[id]
        if id not in self._made:
            raise ResourceError(GIVEN_BACK)
        return self.of(id)

    async def end(self, id: str) -> None:
        """End what a lease has, also what is only being made; comes back when nothing of it is left."""
        if (making := self._making.get(id)) is not None:
            making.cancel()
            await asyncio.wait([making])
        if id in self:
            await asyncio.shield(self._begin_end(id))

    async def close(self) -> None:
        """End everything."""
        for id in {*self._making, *self._made, *self._ending}:
            await self.end(id)

    async def _make(self, id: str, served: Sequence[tuple[Need, Provider]], grant: Callable[..., Grant]) -> None:
        made: list[_Kept] = []
        try:
            for need, provider in served:
                made.append(await self._make_one(need, provider, grant))
        except BaseException:
            self._made[id] = made
            await asyncio.shield(self._begin_end(id))
            raise
        self._made[id] = made

    async def _make_one(self, need: Need, provider: Provider, grant: Callable[..., Grant]) -> _Kept:
        folder = self._folder / uuid.uuid4().hex[:12]
        making = asyncio.ensure_future(in_thread(None, partial(folder.mkdir, mode=0o700, parents=True)))
        try:
            await asyncio.shield(making)
            return _Kept(await provider.provide(need, grant(folder=folder)), folder)
        except BaseException:
            await asyncio.gather(making, return_exceptions=True)  # else it comes after its removal
            await in_thread(None, partial(shutil.rmtree, folder, ignore_errors=True))
            raise

    def _begin_end(self, id: str) -> asyncio.Future[None]:
        """Whoever wants its end, it is ended once, and all of them wait for that."""
        if id not in self._ending:
            ending = self._ending[id] = asyncio.ensure_future(_end_all(self._made.pop(id, [])))
            ending.add_done_callback(lambda _: self._ending.pop(id))
        return self._ending[id]


class _Kept:
    """A provision with its folder."""

    def __init__(self, provision: Provision, folder: Path) -> None:
        self.provision, self._folder = provision, folder

    async def end(self) -> None:
        try:
            await self.provision.end()
        finally:
            await in_thread(None, partial(shutil.rmtree, self._folder, ignore_errors=True))


async def _end_all(made: Sequence[_Kept]) -> None:
    for one in reversed(made):
        try:
            await one.end()
        except Exception:
            log.exception("a leased thing could not be ended")
