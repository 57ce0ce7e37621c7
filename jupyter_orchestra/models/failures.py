"""Says what went wrong at an endpoint in one line that tells what to do next, and never a key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..core.plain import plain
from ..errors import ModelError
from .endpoint import Endpoint
from .values import Request

RETRY = "%orchestra retry"
QUOTA = "insufficient_quota"
_OVERFLOW = re.compile(
    r"context[ _](length|window|size)|maximum context|too many (input )?tokens|prompt is too long", re.I
)
_UNKNOWN = re.compile(r"\bmodel\b.*(not found|not exist|unknown|not available)|(unknown|no such|invalid) model\b", re.I)


def from_status(
    status: int, body: Any, endpoint: Endpoint, request: Request, wished: float | None = None
) -> ModelError:
    """The error for a status that is no success. `wished`: seconds that the server asks to wait."""
    place, said = endpoint.place, said_by(body, endpoint)
    if status in (401, 403):
        return ModelError("auth", _auth(status, endpoint))
    if status != 429 and is_overflow(body):
        return overflow(endpoint, request)
    if status in (400, 404) and (_code(body) == "model_not_found" or _UNKNOWN.search(_words(body))):
        return unknown_model(endpoint, request, None)
    if status == 429:
        wait = f"{wished:.0f} s" if wished and wished >= 1 else "a little"
        if is_quota(body):
            return ModelError("rate", f"429 from {place}: the quota is used up: see to plan and billing, then {RETRY}")
        return ModelError("rate", f"429 from {place}: too many requests: wait {wait}, then {RETRY}")
    if status >= 500 or status in (408, 409):
        return ModelError("server", f"{status} from {place}: the server failed{said}: {RETRY}, or use another model")
    if status in (404, 405):
        hint = "does its base URL end as it should (mostly in /v1)?"
        return ModelError("invalid", f"{status} from {place}: no model answers there: {hint} Then {RETRY}")
    return ModelError("invalid", f"{status} from {place}: the request was refused{said}: {RETRY}, or use another model")


def from_event(error: Any, endpoint: Endpoint, request: Request) -> ModelError:
    """The error for an event that ends a stream badly."""
    if is_overflow({"error": error}):
        return overflow(endpoint, request)
    said = said_by({"error": error}, endpoint)
    if "rate_limit" in _code({"error": error}):
        return ModelError("rate", f"{endpoint.place} broke off: too many requests: wait a little, then {RETRY}")
    return ModelError("server", f"{endpoint.place} broke the reply off{said}: {RETRY}, or use another model")


def overflow(endpoint: Endpoint, request: Request) -> ModelError:
    """The error for more than a model can take."""
    hint = f"use a model with a larger window (%orchestra model strong=NAME) or ask for less, then {RETRY}"
    return ModelError("overflow", f"the conversation is longer than {request.model} at {endpoint.place} takes: {hint}")


def unknown_model(endpoint: Endpoint, request: Request, listed: list[str] | None) -> ModelError:
    """The error for a model that is not there, with those that are."""
    there = f"; there are {', '.join(listed[:8])}{', …' if len(listed) > 8 else ''}" if listed else ""
    hint = f"choose one with %orchestra model strong=NAME, then {RETRY}"
    return ModelError("model", f"{endpoint.place} has no model {request.model!r}{there}: {hint}")


def unreached(endpoint: Endpoint, why: str) -> ModelError:
    """The error for a connection that did not come about."""
    local = "start the model server" if endpoint.is_loopback else "check the network and the URL"
    return ModelError("connection", f"no connection to {endpoint.place} ({why}): {local}, then {RETRY}")


def broken_off(endpoint: Endpoint) -> ModelError:
    """The error for a reply without its end."""
    return ModelError("cut", f"the reply of {endpoint.place} broke off before its end: {RETRY}")


def unreadable(endpoint: Endpoint, what: str) -> ModelError:
    """The error for what can't be understood."""
    return ModelError(
        "malformed", f"the reply of {endpoint.place} can't be read ({what}): {RETRY}, or use another model"
    )


def silent(endpoint: Endpoint, seconds: float) -> ModelError:
    """The error for a server that says nothing any more."""
    hint = "start it anew" if endpoint.is_loopback else "wait a little"
    return ModelError("hang", f"{endpoint.place} said nothing for {seconds:g} s: {hint}, then {RETRY}")


def nothing_said(endpoint: Endpoint, request: Request) -> ModelError:
    """The error for a reply without text and calls."""
    return ModelError("empty", f"{request.model} at {endpoint.place} answered nothing: {RETRY}, or use another model")


def is_quota(body: Any) -> bool:
    """Whether a refusal says that no quota is left, which no waiting mends."""
    return _code(body) == QUOTA


def is_overflow(body: Any) -> bool:
    """Whether a refusal says that the request is more than the model's context."""
    return _code(body) == "context_length_exceeded" or bool(_OVERFLOW.search(_words(body)))


def said_by(body: Any, endpoint: Endpoint) -> str:
    """The server's own words in brackets, short, in one line and without the key; empty when there are none."""
    words = " ".join(plain(endpoint.key.hide_in(_words(body))).split())
    return f" ({words[:240]}{'…' if len(words) > 240 else ''})" if words else ""


def _auth(status: int, endpoint: Endpoint) -> str:
    where = endpoint.source if endpoint.source.startswith("OPENAI_") else ""
    what = "the key was refused" if endpoint.key else "it wants a key and none is set"
    name = "OPENAI_API_KEY" if where or endpoint.is_openai else "its key (Orchestra.api_key_env names the variable)"
    return f"{status} from {endpoint.place}: {what}: set {name}, then {RETRY}"


def _code(body: Any) -> str:
    error = body.get("error", body) if isinstance(body, Mapping) else None
    return str(error.get("code") or error.get("type") or "") if isinstance(error, Mapping) else ""


def _words(body: Any) -> str:
    error = body.get("error", body) if isinstance(body, Mapping) else body
    if isinstance(error, Mapping):
        error = error.get("message") or error.get("detail") or error.get("code") or ""
    return error if isinstance(error, str) else ""
