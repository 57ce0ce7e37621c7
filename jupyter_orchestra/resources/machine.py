"""What this machine has of memory and graphics cards, and how a grant of them is handed over; it limits nothing."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import msgspec
import psutil

from ..core.needs import Need
from ..core.ports import Grant

DEVICES = Path("/dev")
CONTAINERS_LIMIT = Path("/sys/fs/cgroup/memory.max")
_SECONDS = 5  # that nvidia-smi may take


def memory(limit: Path = CONTAINERS_LIMIT) -> int:
    """Bytes of physical memory, or of the container that this is."""
    total = int(psutil.virtual_memory().total)
    with contextlib.suppress(OSError, ValueError):  # no file, or "max"
        return min(total, int(limit.read_text()))
    return total


def graphics_cards(devices: Path = DEVICES) -> int:
    """How many NVIDIA cards there are; may take seconds."""
    with contextlib.suppress(OSError):
        if found := [name for name in os.listdir(devices) if re.fullmatch(r"nvidia\d+", name)]:
            return len(found)
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0
    try:
        listed = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return 0
    return len(re.findall(r"^GPU \d+:", listed.stdout, re.MULTILINE))


class Told(msgspec.Struct, frozen=True):
    """A part of the machine: its holder is told what is theirs, nothing is started."""

    environment: Mapping[str, str]
    notes: tuple[str, ...] = ()

    async def end(self) -> None:
        """Nothing."""


class MemoryProvider:
    """Memory: ``ORCHESTRA_MEMORY`` is how many bytes were granted."""

    resource = "mem"

    @cached_property
    def _capacity(self) -> int:
        return memory()

    def capacities(self) -> Mapping[str, int]:
        """Bytes of this machine."""
        return {"mem": self._capacity}

    def check(self, need: Need) -> str:
        """Nothing: whether there is as much is seen with the capacity."""
        return ""

    async def provide(self, need: Need, grant: Grant) -> Told:
        """Say how much."""
        return Told({"ORCHESTRA_MEMORY": str(need.amount)})


class GpuProvider:
    """Graphics cards: ``CUDA_VISIBLE_DEVICES`` names those that were granted.

    Parameters
    ----------
    visible : str, optional
        What of the machine's cards this kernel may use itself, as in its own ``CUDA_VISIBLE_DEVICES``.
    """

    resource = "gpu"

    def __init__(self, visible: str | None = None) -> None:
        self._visible = os.environ.get("CUDA_VISIBLE_DEVICES") if visible is None else visible

    @cached_property
    def _cards(self) -> Sequence[str]:
        """Their names, by unit."""
        if self._visible is None:
            return [str(unit) for unit in range(graphics_cards())]
        named = [name.strip() for name in self._visible.split(",")]
        return named[: named.index("-1")] if "-1" in named else list(filter(None, named))  # as CUDA reads it

    def capacities(self) -> Mapping[str, int]:
        """Cards of this machine that this kernel sees; the first call may take seconds."""
        return {"gpu": len(self._cards)} if self._cards else {}

    def check(self, need: Need) -> str:
        """Whether there is any."""
        return "" if self._cards else "this machine shows no graphics card: leave the gpu need out"

    async def provide(self, need: Need, grant: Grant) -> Told:
        """Name them."""
        names = ",".join(self._cards[unit] for unit in need.units)
        environment = {"CUDA_VISIBLE_DEVICES": names}
        if self._visible is None:  # else the person's own numbers mean what they meant
            environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
        return Told(environment, (f"graphics card {names}",))
