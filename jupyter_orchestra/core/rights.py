"""What there is to be granted, and who has it from the first; it holds no grant and checks none."""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

from .model import Capability, Origin, Spec

C = Capability


class Rights(NamedTuple):
    """What is granted from the first, and for what the person is asked, each time, for the exact action."""

    may: tuple[Capability, ...]
    asks: tuple[Capability, ...] = ()


ROLES: Final = {
    "explorer": Rights((C.READ,)),  # its scratch is its own and needs no grant
    "default": Rights((C.READ,), (C.WRITE, C.RUN, C.NETWORK)),
    "worker": Rights((C.READ, C.WRITE, C.RUN), (C.NETWORK,)),
}
OWN_CODE: Final = Rights(tuple(C))  # what the person wrote runs as the person
MODELS_CODE: Final = Rights((C.READ, C.WRITE, C.RUN))
ACTS: Final = {
    C.READ: "read",
    C.WRITE: "write in its workspace",
    C.RUN: "run",
    C.NETWORK: "use the network",
    C.BROWSE: "browse",
}
ASKED: Final = {**ACTS, C.WRITE: "each write", C.RUN: "each run", C.NETWORK: "the network"}


class Consent(NamedTuple):
    """To what the person said yes: the digest of the exact action, and the question that they answered."""

    digest: str = ""
    ask: str | None = None


NO_CONSENT: Final = Consent()


class Permit(Protocol):
    """What one attempt sees of the table: as it is at that moment. It only looks, so any thread may ask it."""

    def allows(self, capability: Capability, consent: Consent = NO_CONSENT) -> bool:
        """Whether an action may be done now."""

    def agrees(self, capability: Capability, consent: Consent) -> bool:
        """Whether the yes of the person to an action still counts."""

    def may(self, capability: Capability) -> bool:
        """Whether that may be done now, or the person be asked for it."""


class _Nothing:
    """The permit of who was given none."""

    def allows(self, capability: Capability, consent: Consent = NO_CONSENT) -> bool:
        return False

    def agrees(self, capability: Capability, consent: Consent) -> bool:
        return False

    def may(self, capability: Capability) -> bool:
        return False


NOTHING: Final[Permit] = _Nothing()


def role_of(spec: Spec) -> str:
    """The role of an agent: what was asked for, else the least for the master and the most for the person."""
    return spec.role or ("worker" if spec.origin is Origin.PERSON else "explorer")


def rights_of(spec: Spec, agent: bool) -> tuple[str, Rights]:
    """On whose account a task has rights, and which. ``agent``: a model writes what comes of it."""
    if agent:
        role = role_of(spec)
        return role, ROLES.get(role, ROLES["explorer"])
    return str(spec.origin), OWN_CODE if spec.origin is Origin.PERSON or spec.literal else MODELS_CODE
