"""One small GET in a thread: the list of an endpoint's models; it follows no redirect and reads no more than 1 MB."""

from __future__ import annotations

import asyncio
import json
import time
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import BaseHandler, HTTPRedirectHandler, ProxyHandler, build_opener
from urllib.request import Request as HttpRequest

from .endpoint import Secret, is_loopback

LARGEST = 1 << 20


class NoList(Exception):
    """No list of models came; why, in a few words that hold no key."""


class _NoRedirect(HTTPRedirectHandler):
    """A redirect would carry the key elsewhere."""

    def redirect_request(self, *_: Any) -> None:
        return None


async def list_models(base_url: str, key: Secret, seconds: float) -> list[str]:
    """The names of the models there. Raises NoList."""
    try:
        async with asyncio.timeout(seconds + 0.05):
            return await asyncio.to_thread(_list, base_url, key, time.monotonic() + seconds)
    except TimeoutError:
        raise NoList("no answer") from None


def _list(base_url: str, key: Secret, until: float) -> list[str]:
    headers = {"Accept": "application/json", "User-Agent": "jupyter_orchestra"}
    if key:
        headers["Authorization"] = f"Bearer {key.reveal()}"
    handlers: list[BaseHandler] = [_NoRedirect(), *([ProxyHandler({})] if is_loopback(base_url) else [])]
    try:
        request = HttpRequest(f"{base_url.rstrip('/')}/models", headers=headers)
        with build_opener(*handlers).open(request, timeout=max(0.05, until - time.monotonic())) as answer:
            return _names(json.loads(_read(answer, until)))
    except HTTPError as error:
        error.close()
        raise NoList(str(error.code)) from None
    except (OSError, HTTPException, ValueError):
        raise NoList("no list of models") from None


def _read(answer: Any, until: float) -> bytes:
    body = b""
    while piece := answer.read1(1 << 16):
        body += piece
        if len(body) > LARGEST or time.monotonic() > until:
            raise NoList("a list without end")
    return body


def _names(listing: Any) -> list[str]:
    data = listing.get("data") if isinstance(listing, dict) and listing.get("object") == "list" else None
    if not isinstance(data, list):
        raise NoList("no list of models")
    return [model["id"] for model in data if isinstance(model, dict) and isinstance(model.get("id"), str)]
