"""Finds the endpoint to talk to, in an order that never surprises, and says in one line what it found.

It asks for lists of models and for nothing else; no weights are downloaded and no agent is started.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

import msgspec

from ..core.model import TIERS
from .endpoint import OPENAI, Endpoint, Secret, Wire, place_of
from .http import NoList, list_models
from .tiers import tiers_of

PORTS = (11434, 1234, 8080, 8000)
AGENTS = ("codex", "claude", "opencode")
_LOOPBACK_SECONDS = 0.3
_LISTING_SECONDS = 3.0
_SERVERS = {11434: "Ollama", 1234: "LM Studio"}


class Config(msgspec.Struct, frozen=True):
    """What the person has set.

    Attributes
    ----------
    base_url : str
        Where models answer; empty: look for it.
    key : Secret
        The key for it.
    key_env : str
        Name of the environment variable that holds the key. OPENAI_API_KEY goes unasked to OpenAI's own host and to
        OPENAI_BASE_URL alone.
    models : dict of str to str
        fast, standard, strong to a model's name; goes before what is listed, wherever the endpoint was found.
    wire : str
        "auto", "responses" or "chat".
    window : int
        Tokens that the models take.
    """

    base_url: str = ""
    key: Secret = msgspec.field(default_factory=Secret)
    key_env: str = ""
    models: dict[str, str] = {}
    wire: Wire = "auto"
    window: int = 128_000


class Found(msgspec.Struct, frozen=True):
    """What there is. ``endpoint`` None: the rules planner. ``agents``: on the PATH. ``line``: the announcement."""

    endpoint: Endpoint | None
    agents: tuple[str, ...]
    line: str


async def discover(config: Config, environ: Mapping[str, str], probe_ports: Iterable[int] = PORTS) -> Found:
    """Look in order: the configuration, OPENAI_BASE_URL and OPENAI_API_KEY, this machine's ports; else rules only.

    Parameters
    ----------
    config : Config
        What the person has set.
    environ : mapping
        The environment.
    probe_ports : iterable of int
        Where model servers of this machine listen.
    """
    agents = tuple(name for name in AGENTS if shutil.which(name, path=environ.get("PATH", "")))
    unset = f"; {config.key_env} is not set" if config.key_env and not environ.get(config.key_env, "").strip() else ""
    endpoint, trouble = _named(config, environ), ""
    if endpoint is None:
        endpoint = await _on_this_machine(config, probe_ports)
    elif not _is_url(endpoint.base_url):
        where = "base_url in the settings" if endpoint.source == "configuration" else endpoint.source
        return Found(None, agents, _rules(agents, f"{where} is no http URL"))
    else:
        endpoint, trouble = await _with_tiers(endpoint)
    line = _rules(agents, "no model found") if endpoint is None else _announce(endpoint, trouble)
    return Found(endpoint, agents, line + unset)


def _named(config: Config, environ: Mapping[str, str]) -> Endpoint | None:
    """The endpoint that the configuration or the environment names."""
    from_environ = environ.get("OPENAI_BASE_URL", "").strip()
    key_of_openai = environ.get("OPENAI_API_KEY", "").strip()
    key = config.key or Secret.of(environ.get(config.key_env, "").strip() if config.key_env else "")
    if config.base_url or key:
        base_url, source = config.base_url or from_environ or OPENAI, "configuration"
    elif from_environ or key_of_openai:
        base_url, source = from_environ or OPENAI, "OPENAI_BASE_URL" if from_environ else "OPENAI_API_KEY"
    else:
        return None
    if not key and _host(base_url) in (_host(OPENAI), _host(from_environ)):
        key = Secret.of(key_of_openai)
    return _endpoint(config, base_url, source, key)


def _endpoint(config: Config, base_url: str, source: str, key: Secret) -> Endpoint:
    clean = place_of(base_url) if _is_url(base_url) else base_url
    return Endpoint(clean, _name_of(clean), source, dict(config.models), config.wire, config.window, key)


async def _with_tiers(endpoint: Endpoint) -> tuple[Endpoint, str]:
    """The endpoint with a model for each tier as far as it lists any, and what stood in the way."""
    if all(tier in endpoint.tiers for tier in TIERS):
        return endpoint, ""
    try:
        listed = await list_models(endpoint.base_url, endpoint.key, _LISTING_SECONDS)
    except NoList as error:
        return endpoint, str(error)
    return _fill(endpoint, listed), ""


def _fill(endpoint: Endpoint, listed: list[str]) -> Endpoint:
    return msgspec.structs.replace(endpoint, tiers={**tiers_of(listed), **endpoint.tiers})


async def _on_this_machine(config: Config, ports: Iterable[int]) -> Endpoint | None:
    """The first port that answers as a model server; they are asked at the same time."""
    found = await asyncio.gather(*(_probe(config, port) for port in ports))
    return next((endpoint for endpoint in found if endpoint is not None), None)


async def _probe(config: Config, port: int) -> Endpoint | None:
    endpoint = _endpoint(config, f"http://127.0.0.1:{port}/v1", "loopback", Secret())
    try:
        listed = await list_models(endpoint.base_url, endpoint.key, _LOOPBACK_SECONDS)
    except NoList:
        return None
    return _fill(endpoint, listed) if tiers_of(listed) else None


def _announce(endpoint: Endpoint, trouble: str) -> str:
    at = f"at {endpoint.place} (from {endpoint.source})"
    if "strong" in endpoint.tiers:
        return f"master: {endpoint.tiers['strong']} {at}"
    why = f"its models could not be listed: {trouble}" if trouble else "it lists no model to talk with"
    return f"master: no model yet {at}: {why}; name one with %orchestra model strong=NAME"


def _rules(agents: tuple[str, ...], why: str) -> str:
    there = f"; installed: {', '.join(agents)} (workers to come)" if agents else ""
    return f"master: the rules planner ({why}): set OPENAI_API_KEY or OPENAI_BASE_URL to connect one{there}"


def _name_of(base_url: str) -> str:
    parts = urlsplit(base_url) if _is_url(base_url) else None
    if parts is None:
        return base_url
    if parts.hostname == _host(OPENAI):
        return "OpenAI"
    server = _SERVERS.get(parts.port or 0)
    return f"{server} at {parts.netloc}" if server else parts.netloc


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2].lower() if _is_url(url) else ""


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
