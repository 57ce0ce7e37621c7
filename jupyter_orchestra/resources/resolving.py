"""Makes of needs as they were written what they are on this machine and in this project; it grants nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from ..core.needs import BadNeed, Need
from ..core.ports import Provider
from ..errors import UsageError
from .database import amount_of
from .declared import Declared
from .paths import resolve
from .server import ServerProvider


class Resolver:
    """Checks needs and completes them.

    Parameters
    ----------
    providers
        Of real things.
    declared
        What the project's file says.
    project
        The folder in which paths must lie.
    """

    def __init__(self, providers: Iterable[Provider], declared: Declared, project: Path) -> None:
        self._providers: Mapping[str, Provider] = {provider.resource: provider for provider in providers}
        self._declared, self._project = declared, project

    def resolve(self, needs: tuple[Need, ...]) -> tuple[Need, ...]:
        """The needs as they are leased.

        Raises
        ------
        UsageError
            For one that can't be right here, in one line.
        """
        found = _merged(map(self._checked, needs))
        if not any(need.resource == "port" for need in needs):
            servers = self._providers.get("server")
            if isinstance(servers, ServerProvider):
                found += [servers.port_for(need) for need in found if need.word == "server"]
        return tuple(found)

    def _checked(self, need: Need) -> Need:
        provider = self._providers.get(need.word)
        if provider is not None and (wrong := provider.check(need)):
            raise UsageError(wrong)
        return self._completed(need)

    def _completed(self, need: Need) -> Need:
        if need.resource == "path":
            try:
                return resolve(need, self._project)
            except BadNeed as error:
                raise UsageError(str(error)) from None
        if need.resource == "server":  # the only one
            return Need(f"server:{next(iter(self._declared.servers))}")
        if need.resource.startswith("db:"):
            database = self._declared.databases[need.resource.removeprefix("db:")]
            return msgspec.structs.replace(need, amount=amount_of(need, database), mode="")
        return need


def _merged(needs: Iterable[Need]) -> list[Need]:
    """What turned out to be one thing under several names, once; who writes it too may also read it."""
    found: dict[tuple[object, ...], Need] = {}
    for need in needs:
        key = (need.resource, need.path, need.choice)
        if key not in found or need.mode == "w":
            found[key] = need
    return list(found.values())
