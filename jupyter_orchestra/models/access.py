"""Which model answers: the endpoint is looked for once and kept until it is named anew; it makes no request itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from ..errors import ModelError
from .discovery import Found
from .endpoint import Endpoint
from .values import Model

CONNECT = (
    "no model is connected: set OPENAI_API_KEY or OPENAI_BASE_URL and restart the kernel, or start a local server "
    "(%orchestra doctor tells what was found)"
)


class Chosen(msgspec.Struct, frozen=True):
    """A model to ask. ``window`` in tokens; ``place`` tells its endpoint from others."""

    model: Model
    name: str
    window: int
    place: str


class Access:
    """The models that this kernel can reach. Everything is for the runtime's loop.

    Parameters
    ----------
    discover
        Looks for an endpoint.
    connect
        Makes the client of one.
    """

    def __init__(
        self,
        discover: Callable[[], Awaitable[Found]],
        connect: Callable[[Endpoint], Model],
        close: Callable[[Model], Awaitable[None]],
    ) -> None:
        self._discover, self._connect, self._close = discover, connect, close
        self._found: Found | None = None
        self._client: Model | None = None
        self._looking = asyncio.Lock()

    @property
    def known(self) -> Found | None:
        """What was found, if it was looked for already."""
        return self._found

    async def found(self) -> Found:
        """What there is."""
        async with self._looking:
            if self._found is None or self._found.endpoint is None:  # one may have come meanwhile
                self._found = await self._discover()
            return self._found

    async def forget(self) -> None:
        """The settings changed: look anew."""
        client, self._client, self._found = self._client, None, None
        if client is not None:
            await self._close(client)

    async def choose(self, tier: str, name: str = "") -> Chosen | None:
        """The model of a tier, or by its name; None when no model is there. Raises ModelError for an unknown tier."""
        endpoint = (await self.found()).endpoint
        if endpoint is None:
            return None
        if self._client is None:
            self._client = self._connect(endpoint)
        return Chosen(self._client, endpoint.model_for(tier, name), endpoint.window, endpoint.base_url)

    async def model(self, tier: str, name: str = "") -> tuple[Model, str]:
        """The same for who can't do without. Raises ModelError when no model is there."""
        chosen = await self.choose(tier, name)
        if chosen is None:
            raise ModelError("auth", CONNECT)
        return chosen.model, chosen.name
