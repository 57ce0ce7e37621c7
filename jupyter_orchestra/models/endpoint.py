"""Where models answer and what they are called there; it holds the key so that nothing prints or encodes it."""

from __future__ import annotations

import ipaddress
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from ..core.model import TIERS
from ..errors import ModelError

OPENAI = "https://api.openai.com/v1"
Wire = Literal["auto", "responses", "chat"]


class Secret(msgspec.Struct, eq=False, dict=True):
    """A key. It has no field: its repr, its encodings and its copies hold nothing."""

    @classmethod
    def of(cls, value: str) -> Secret:
        """Hold `value`."""
        secret = cls()
        secret.__dict__["_reveal"] = lambda: value
        return secret

    def reveal(self) -> str:
        """The value, for the header of a request and nothing else; empty when there is none."""
        reveal = self.__dict__.get("_reveal")
        return str(reveal()) if reveal else ""

    def hide_in(self, text: str) -> str:
        """`text` without the value."""
        value = self.reveal()
        return text.replace(value, "…") if value else text

    def __bool__(self) -> bool:
        return bool(self.reveal())

    def __repr__(self) -> str:
        return "…"

    def __copy__(self) -> Secret:
        return self

    def __reduce__(self) -> tuple[type[Secret], tuple[()]]:
        return Secret, ()


class Endpoint(msgspec.Struct, frozen=True):
    """One place where models answer.

    Attributes
    ----------
    base_url : str
        As the OpenAI SDK takes it: it ends with ``/v1`` nearly everywhere.
    name : str
        For a person: "OpenAI", "Ollama at 127.0.0.1:11434".
    source : str
        How it was found: "configuration", "OPENAI_BASE_URL", "OPENAI_API_KEY" or "loopback".
    tiers : dict of str to str
        fast, standard, strong to the name of a model; a tier without one is not in it.
    wire : str
        "responses", "chat" or "auto": the client finds out.
    window : int
        Tokens that its models can take.
    key : Secret
        Empty for a server that asks for none.
    """

    base_url: str
    name: str = ""
    source: str = "configuration"
    tiers: dict[str, str] = {}
    wire: Wire = "auto"
    window: int = 128_000
    key: Secret = msgspec.field(default_factory=Secret)

    def model_for(self, tier: str, model: str = "") -> str:
        """The name of a tier's model; `model`, where given, itself.

        Raises
        ------
        ModelError
            For a tier that there is not, or that has no model here.
        """
        if model:
            return model
        if tier not in TIERS:
            raise ModelError("model", f"there is no tier {tier!r}: use one of {', '.join(TIERS)}")
        if tier not in self.tiers:
            hint = f"name one with %orchestra model {tier}=NAME"
            raise ModelError("model", f"no model is set for the tier {tier} at {self.place}: {hint}")
        return self.tiers[tier]

    @property
    def place(self) -> str:
        """The URL as a person may see it: without user, password and query."""
        return place_of(self.base_url)

    @property
    def is_openai(self) -> bool:
        """Whether it is OpenAI's own host."""
        return urlsplit(self.base_url).hostname == urlsplit(OPENAI).hostname

    @property
    def is_loopback(self) -> bool:
        """Whether it is on this machine."""
        return is_loopback(self.base_url)


def place_of(url: str) -> str:
    """`url` without user, password, query and fragment."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"


def is_loopback(url: str) -> bool:
    """Whether the URL's host is this machine, by its name alone."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
