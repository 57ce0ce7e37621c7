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
        found: list[Need] = []
        for need in needs:
            provider = self._providers.get(need.resource.partition(":")[0])
            if provider is not None and (wrong := provider.check(need)):
                raise UsageError(wrong)
            found.append(self._completed(need))
            if isinstance(provider, ServerProvider) and not any(other.resource == "port" for other in needs):
                found.append(provider.port_for(need))
        return tuple(found)

    def _completed(self, need: Need) -> Need:
        if need.resource == "path":
            try:
                return resolve(need, self._project)
            except BadNeed as error:
                raise UsageError(str(error)) from None
        if need.resource.startswith("db:"):
            database = self._declared.databases[need.resource.removeprefix("db:")]
            return msgspec.structs.replace(need, amount=amount_of(need, database), mode="")
        return need
