"""Which model answers: the endpoint is looked for once and kept until it is named anew; it makes no request itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from ..errors import ModelError
from .discovery import Found
from .endpoint import Endpoint
from .pressure import Pressed, Pressures
from .values import Model

CONNECT = (
    "no model is connected: set OPENAI_API_KEY or OPENAI_BASE_URL, or start a local model server; then "
    "%orchestra retry NAME (%orchestra doctor tells what was found)"
)


class Chosen(msgspec.Struct, frozen=True):
    """A model to ask. ``window`` in tokens; ``place`` tells its endpoint from others."""

    model: Model
    name: str
    window: int
    place: str


class Access:
    """The models that this kernel can reach. Everything but :meth:`renew` is for the runtime's loop.

    Parameters
    ----------
    discover
        Looks for an endpoint.
    connect
        Makes the client of one.
    pressures
        Leave a tier's model alone while it does not work.
    """

    def __init__(
        self,
        discover: Callable[[], Awaitable[Found]],
        connect: Callable[[Endpoint], Model],
        pressures: Pressures | None = None,
    ) -> None:
        self._discover, self._connect, self._pressures = discover, connect, pressures
        self._found: Found | None = None
        self._client: Model | None = None
        self._looking = asyncio.Lock()
        self._stale = False

    def renew(self) -> None:
        """The settings changed: look anew. Any thread; what is being asked goes on where it is."""
        self._stale = True

    async def found(self) -> Found:
        """What there is."""
        async with self._looking:
            if self._stale:
                self._stale, self._found, self._client = False, None, None
            if self._found is None or self._found.endpoint is None:  # one may have come meanwhile
                self._found = await self._discover()
            return self._found

    async def choose(self, tier: str, name: str = "") -> Chosen | None:
        """The model of a tier, or by its name; None when no model is there. Raises ModelError for an unknown tier."""
        endpoint = (await self.found()).endpoint
        if endpoint is None:
            return None
        if self._client is None:
            self._client = self._connect(endpoint)
        model, called = self._client, endpoint.model_for(tier, name)
        if self._pressures is not None:
            model = Pressed(model, name or tier, f"{called} at {endpoint.place}", self._pressures)
        return Chosen(model, called, endpoint.window, endpoint.base_url)

    async def model(self, tier: str, name: str = "") -> tuple[Model, str]:
        """The same for who can't do without. Raises ModelError when no model is there."""
        chosen = await self.choose(tier, name)
        if chosen is None:
            raise ModelError("auth", CONNECT)
        return chosen.model, chosen.name
