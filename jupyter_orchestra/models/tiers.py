"""Which of the models that an endpoint lists serves which tier, by their names alone, where nobody has said it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..core.model import TIERS

_NOT_FOR_TALK = re.compile(
    r"embed|rerank|tts|whisper|transcribe|audio|speech|realtime|voice|image|dall-e|diffusion|sora|video|moderation|guard"
    r"|search|research|computer-use|babbage|davinci|gpt-3\.5|\bbge\b|\binstruct-gpt",
    re.I,
)
_SMALL = re.compile(r"(?:^|[-_.:/ ])(nano|mini|tiny|small|lite|flash|fast|haiku)(?=$|[-_.:/ ])", re.I)
_LARGE = re.compile(r"(?:^|[-_.:/ ])(large|max|opus|big)(?=$|[-_.:/ ])", re.I)
_ASIDE = re.compile(r"(?:^|[-_.:/ ])(pro|preview|chat|codex|latest|\d{4}-\d{2}-\d{2}|\d{4})(?=$|[-_.:/ ])", re.I)
_BILLIONS = re.compile(r"(\d+(?:\.\d+)?)b(?=$|[-_.:/ ])", re.I)
_VERSION = re.compile(r"\d+(?:\.\d+)*")


def tiers_of(names: Iterable[str]) -> dict[str, str]:
    """fast, standard and strong for the listed models; empty when none of them is one to talk with.

    One model serves all tiers. Of several, fast is the newest whose name says that it is small (mini, nano, flash …),
    strong the newest that says that it is large, and standard the newest of the others; where all names tell sizes
    (``:8b``), the smallest, the largest and one between. A tier that finds none takes its neighbour's. Dated
    snapshots, previews and the like come last, and so do the dear ones called pro.
    """
    usable = [name for name in names if not _NOT_FOR_TALK.search(name)]
    if not usable:
        return {}
    sized = sorted((name for name in usable if _BILLIONS.search(name)), key=_billions)
    if sized and len(sized) == len(usable):
        return dict(zip(TIERS, (sized[0], sized[len(sized) // 2], sized[-1]), strict=True))
    small = [name for name in usable if _SMALL.search(name)]
    large = [name for name in usable if _LARGE.search(name)]
    plain = [name for name in usable if name not in small and name not in large]
    standard = _newest(plain) or _newest(large) or _newest(small)
    picked = (_newest(small) or standard, standard, _newest(large) or standard)
    return dict(zip(TIERS, picked, strict=True))


def _newest(names: list[str]) -> str:
    return max(names, key=_rank, default="")


def _rank(name: str) -> tuple[bool, bool, tuple[int, ...], int]:
    """Greater is better: nothing aside, OpenAI's main line, the version, then the shorter name."""
    version = _VERSION.search(name)
    numbers = tuple(int(number) for number in version[0].split(".")) if version else ()
    return not _ASIDE.search(name), name.startswith("gpt-"), numbers, -len(name)


def _billions(name: str) -> float:
    found = _BILLIONS.search(name)
    return float(found[1]) if found else 0.0
