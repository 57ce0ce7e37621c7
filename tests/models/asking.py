"""Asks a scripted server as the master does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from jupyter_orchestra.errors import ModelError
from jupyter_orchestra.models.client import EndpointClient
from jupyter_orchestra.models.endpoint import Endpoint, Secret, Wire
from jupyter_orchestra.models.retries import Retries
from jupyter_orchestra.models.values import Item, Reply, Request, StreamEvent, ToolSpec

KEY = "sk-canary-0123456789"
SCHEMA = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}


def said(text: str, role: str = "user") -> Item:
    return {"type": "message", "role": role, "content": text}


def request(*items: Item, model: str = "scripted") -> Request:
    tools = (ToolSpec("dispatch", "starts tasks", SCHEMA), ToolSpec("cancel", "ends tasks", SCHEMA))
    return Request("You are the master.", items or (said("hello"),), tools, model)


def client(url: str, wire: Wire = "auto", **settings: Any) -> EndpointClient:
    settings = {"retries": Retries(first=0.01, chance=lambda: 0.5), **settings}
    return EndpointClient(Endpoint(url, wire=wire, key=Secret.of(KEY)), **settings)


async def events_of(model: EndpointClient, asked: Request | None = None) -> list[StreamEvent]:
    return [event async for event in model.stream(asked or request())]


def ask(url: str, wire: Wire = "auto", asked: Request | None = None, **settings: Any) -> list[StreamEvent]:
    async def main(model: EndpointClient) -> list[StreamEvent]:
        return await events_of(model, asked)

    return with_client(main, url, wire, **settings)


def with_client(
    main: Callable[[EndpointClient], Awaitable[Any]], url: str, wire: Wire = "auto", **settings: Any
) -> Any:
    async def run() -> Any:
        model = client(url, wire, **settings)
        try:
            return await main(model)
        finally:
            await model.close()

    return asyncio.run(run())


def reply_of(events: list[StreamEvent]) -> Reply:
    last = events[-1]
    assert isinstance(last, Reply)
    assert not any(isinstance(event, Reply) for event in events[:-1])
    return last


def trouble(url: str, wire: Wire = "auto", **settings: Any) -> ModelError:
    with pytest.raises(ModelError) as caught:
        ask(url, wire, **settings)
    error = caught.value
    assert KEY not in str(error) + repr(error)
    assert "\n" not in str(error)
    return error
