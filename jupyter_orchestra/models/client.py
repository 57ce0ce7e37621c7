"""Asks the models of one endpoint and streams what they answer; it knows no turn, and decides on no tool.

Retries are ours: the SDK's own would spend what nobody reserved. A reply that has begun is never asked for again.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, suppress
from importlib import import_module
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from ..core.plain import plain
from ..errors import ModelError
from . import chat, failures, responses
from .endpoint import Endpoint, Wire
from .http import NoList, list_models
from .reading import Reading
from .retries import Again, Retries, wished_seconds
from .sse import Events, TooLarge
from .usage import Prices
from .values import ModelUsage, Reply, Request, StreamEvent, TextDelta, Waiting

CONNECT = 5.0  # seconds
GRACE = 1.0  # seconds that usage, or the end of the connection, may take when the reply is complete
WIRES: tuple[Wire, ...] = ("responses", "chat")


class _NoSuchPath(Exception):
    """The endpoint does not speak this wire, it seems."""

    def __init__(self, error: ModelError) -> None:
        self.error = error


class EndpointClient:
    """Implements :class:`jupyter_orchestra.models.values.Model` for one endpoint; one SDK client per event loop.

    Parameters
    ----------
    endpoint : Endpoint
        Where to ask.
    first : float, optional
        Seconds within which a reply has to begin; default 30, on this machine 120, where a model is loaded meanwhile.
    silence : float
        Seconds within which more has to come, once it has begun.
    notice : float
        Seconds of silence after which a Waiting is yielded.
    retries : Retries, optional
        How often a request that has not begun is tried again.
    sleep : callable
        Waits between tries.

    Attributes
    ----------
    endpoint : Endpoint
        As given.
    wire : str
        The wire that the endpoint speaks; "auto" until a request has found out.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        first: float | None = None,
        silence: float = 60.0,
        notice: float = 8.0,
        retries: Retries | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.endpoint = endpoint
        self.wire: Wire = endpoint.wire
        self._first = first if first is not None else 120.0 if endpoint.is_loopback else 30.0
        self._silence, self._notice = silence, notice
        self._retries, self._sleep = retries or Retries(), sleep
        self._prices = Prices(endpoint.base_url)
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, Any] = WeakKeyDictionary()

    async def stream(self, request: Request) -> AsyncIterator[StreamEvent]:
        """Ask, and yield the answer as it comes: pieces of text and waits, at the end the one reply.

        Closing the iterator, or cancelling whoever waits for it, drops the connection at once.

        Raises
        ------
        ModelError
            When no reply comes, or half of one.
        """
        client = await self._client()
        stream: Any = None
        tried, began = 0, time.monotonic()
        try:
            while stream is None:
                opening = asyncio.ensure_future(self._open(client, request))
                try:
                    if not await _ended(opening, min(self._notice, self._first)):
                        yield self._notice_of(self._first)
                        await self._insist(opening, self._first)
                    stream = opening.result()
                except Again as again:
                    tried += 1
                    seconds = self._retries.seconds(tried, time.monotonic() - began, again.wished)
                    if seconds is None:
                        raise again.error from None
                    yield Waiting(seconds, again.reason, again.error.kind)
                    await self._sleep(seconds)
                finally:
                    stream = await _let_go(opening) or stream
            reading = chat.ChatReading if self.wire == "chat" else responses.ResponsesReading
            async with aclosing(self._read(stream, reading(request, self.endpoint))) as events:
                async for event in events:
                    yield event
        except ModelError as error:
            error.begun = error.begun or stream is not None
            raise
        finally:
            if stream is not None:
                await stream.close()

    async def cost(self, usage: ModelUsage, model: str) -> float | None:
        """What that many tokens cost in USD; 0 on this machine, None where nobody knows."""
        if self.endpoint.is_loopback:
            return 0.0
        await self._client()  # the prices are read with it
        return self._prices.add_cost(usage, model).cost

    async def close(self) -> None:
        """Close the connections of this event loop; the next request opens new ones."""
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.close()

    # before the reply

    async def _client(self) -> Any:
        """The SDK's client of this loop; what takes long is done in a thread, so that the loop goes on."""
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            made = await asyncio.to_thread(self._make)
            self._clients.setdefault(loop, made)
        return self._clients[loop]

    def _make(self) -> Any:
        sdk = import_module("openai")
        local = self.endpoint.is_loopback
        if not local:
            self._prices.load()
        return sdk.AsyncOpenAI(
            base_url=self.endpoint.base_url,
            api_key=self.endpoint.key.reveal() or "none",  # the SDK can't be made without
            max_retries=0,
            timeout=sdk.Timeout(None, connect=CONNECT),
            http_client=sdk.DefaultAsyncHttpxClient(trust_env=not local),  # no proxy leads to this machine
        )

    async def _open(self, client: Any, request: Request) -> Any:
        """A stream that has begun, on the wire that the endpoint speaks. Raises Again or ModelError."""
        missing = failures.unreadable(self.endpoint, "no wire")
        for wire in WIRES if self.wire == "auto" else (self.wire,):
            room = chat if wire == "chat" else responses
            try:
                stream = await self._post(client, room.PATH, room.body_of(request, self.endpoint), request)
            except _NoSuchPath as path:
                missing = path.error
            else:
                self.wire = wire
                return stream
        raise missing

    async def _post(self, client: Any, path: str, body: dict[str, Any], request: Request) -> Any:
        sdk = import_module("openai")
        try:
            stream = await client.post(path, body=body, cast_to=object, stream=True, stream_cls=sdk.AsyncStream[object])
        except sdk.APIStatusError as error:
            raise await self._refusal(error.response, error.body, request) from None
        except sdk.APITimeoutError:
            why = f"no answer in {CONNECT:g} s"
            raise Again(failures.unreached(self.endpoint, why), f"no connection to {self.endpoint.place}") from None
        except sdk.APIConnectionError as error:
            why = " ".join(plain(str(error.__cause__ or error)).split())[:80]
            lost = failures.unreached(self.endpoint, why)
            lost.begun = not isinstance(error.__cause__, import_module("httpx2").ConnectError)
            raise Again(lost, f"no connection to {self.endpoint.place}") from None
        if "event-stream" in stream.response.headers.get("content-type", ""):
            return stream
        await stream.close()
        raise _NoSuchPath(failures.unreadable(self.endpoint, "it does not stream"))

    async def _refusal(self, response: Any, body: Any, request: Request) -> Exception:
        """What to raise for a status that is no success."""
        status, wished = response.status_code, wished_seconds(response.headers)
        error = failures.from_status(status, body, self.endpoint, request, wished)
        if error.kind == "model":
            with suppress(NoList):
                listed = await list_models(self.endpoint.base_url, self.endpoint.key, 3.0)
                return failures.unknown_model(self.endpoint, request, listed)
        if status in (404, 405) and error.kind == "invalid":
            return _NoSuchPath(error)
        if error.kind in ("rate", "server") and not failures.is_quota(body):
            return Again(error, f"{status} from {self.endpoint.place}", wished)
        return error

    # the reply

    async def _read(self, stream: Any, reading: Reading) -> AsyncGenerator[StreamEvent, None]:
        """Yield the pieces of text and, at the end, the reply."""
        events = Events()
        piece = b" "
        async with aclosing(stream.response.aiter_bytes()) as pieces:
            while piece and not reading.full:
                coming = asyncio.ensure_future(anext(pieces, b""))
                try:
                    if reading.complete:
                        if not await _ended(coming, GRACE):
                            break
                    elif not await _ended(coming, min(self._notice, self._silence)):
                        yield self._notice_of(self._silence)
                        await self._insist(coming, self._silence)
                    piece = coming.result()
                except import_module("httpx2").HTTPError:
                    break
                finally:
                    await _let_go(coming)
                for text in self._texts(events, piece, reading):
                    yield TextDelta(text)
        yield self._reply(reading)

    def _texts(self, events: Events, piece: bytes, reading: Reading) -> Iterator[str]:
        """The text that `piece` adds."""
        try:
            for data in events.feed(piece) if piece else events.end():
                if data != b"[DONE]" and (text := reading.take(json.loads(data))):
                    yield text
                if reading.full:
                    break
        except (ValueError, RecursionError):
            raise failures.unreadable(self.endpoint, "broken JSON") from None
        except (LookupError, TypeError, AttributeError):
            raise failures.unreadable(self.endpoint, "an event of an unknown shape") from None
        except TooLarge:
            raise failures.unreadable(self.endpoint, "an event without end") from None

    def _reply(self, reading: Reading) -> Reply:
        if not reading.complete and not reading.full:
            raise failures.broken_off(self.endpoint)
        reply = reading.reply()
        if not (reply.text or reply.calls or reply.cut):
            raise failures.nothing_said(self.endpoint, reading.request)
        return msgspec.structs.replace(reply, usage=self._prices.add_cost(reply.usage, reply.model))

    def _notice_of(self, seconds: float) -> Waiting:
        return Waiting(max(0.0, seconds - self._notice), f"no answer from {self.endpoint.place}")

    async def _insist(self, coming: asyncio.Future[Any], seconds: float) -> None:
        """Wait for the rest of so many seconds. Raises ModelError when it does not come."""
        if not await _ended(coming, seconds - self._notice):
            error = failures.silent(self.endpoint, seconds)
            error.begun = True  # it may be at work on it
            raise error


async def _ended(coming: asyncio.Future[Any], seconds: float) -> bool:
    """Whether it comes within so many seconds."""
    await asyncio.wait({coming}, timeout=max(0.0, seconds))
    return coming.done()


async def _let_go(coming: asyncio.Future[Any]) -> Any:
    """Let it come to an end; what it gave, None when it gave nothing."""
    if not coming.done():
        coming.cancel()
        await asyncio.wait({coming})
    return None if coming.cancelled() or coming.exception() else coming.result()
