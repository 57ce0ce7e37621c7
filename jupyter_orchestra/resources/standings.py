"""What other notebooks hold and wait for, from the machine's claims to words for people; it asks nobody."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..core.elsewhere import Elsewhere
from ..core.needs import spell_bytes
from ..core.resources import HolderView
from .broker import Standing, Want
from .broker_rules import PATH


def others_of(standings: Iterable[Standing], project: Path, ago: float) -> Iterator[Elsewhere]:
    """Each thing that another one holds or waits for; `ago`: what makes POSIX seconds of the machine's time."""
    for standing in standings:
        if standing.mine:
            continue
        state = "elsewhere" if standing.state in ("held", "fencing") else "waiting"
        for want in standing.wants:
            name, what = _named(want, project)
            yield name, HolderView(standing.who, "", standing.changed + ago, what, state)


def _named(want: Want, project: Path) -> tuple[str, str]:
    """The resource that a key is of, and how much of it is wanted, as a need is written."""
    if want.key.startswith(PATH):
        return "path", f"path:{want.key.removeprefix(PATH)}:{want.mode}"
    if want.key == "mem":
        return "mem", f"mem={spell_bytes(want.amount)}"
    name, _, folder = want.key.partition("|")
    if not folder:
        return name.partition("/")[0], name.replace("/", ":")
    what = name if want.amount == 1 else f"{name}={want.amount}"
    return (name, what) if folder == os.fspath(project) else (f"{name} of {folder}", what)
