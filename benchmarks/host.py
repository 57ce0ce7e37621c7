"""What the figures were taken on: machine, versions, load and disk."""

from __future__ import annotations

import contextlib
import os
import platform
import time
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from benchmarks.table import p50, quantity

PACKAGES = (
    "jupyter_orchestra", "ipykernel", "ipython", "jupyter_client", "pyzmq", "ipyparallel", "jupyter-ai-magic-commands",
    "openai-agents", "distributed",
)  # fmt: skip


def describe(disk: Path) -> dict[str, str]:
    """Facts by name; `disk` is the folder in which the journals lie."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {
        "date": datetime.now().astimezone().isoformat(" ", "minutes"),
        "processor": f"{_processor()}, {cores} cores",
        "memory": f"{psutil.virtual_memory().total / 2**30:.1f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "disk": f"{_filesystem(disk)}, append 4 KiB and fsync: {quantity(_fsync(disk), 'ms')} (median of 30)",
        "Python": platform.python_version(),
        "packages": ", ".join(f"{name} {_version(name)}" for name in PACKAGES),
        "load (1, 5, 15 min) at the start": load(),
    }


def load() -> str:
    """The load averages."""
    return ", ".join(f"{value:.2f}" for value in os.getloadavg())


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _filesystem(folder: Path) -> str:
    mounts = [part for part in psutil.disk_partitions(all=True) if folder.is_relative_to(part.mountpoint)]
    return max(mounts, key=lambda part: len(part.mountpoint)).fstype if mounts else "unknown"


def _fsync(folder: Path) -> float:
    """Milliseconds until a small write is on the disk."""
    taken = []
    with (folder / "fsync").open("ab", buffering=0) as file:
        for _ in range(30):
            began = time.perf_counter()
            file.write(bytes(4096))
            os.fsync(file.fileno())
            taken.append(1000 * (time.perf_counter() - began))
    return p50(taken)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
