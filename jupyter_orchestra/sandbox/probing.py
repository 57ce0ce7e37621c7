"""Finds out what confines programs on this machine, by trying it; knows nobody who wants to know."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from . import landlock
from .values import Confinement, Kind, Sandbox

PATIENCE: Final = 10.0  # seconds
# Writes where it may, and tries where it may not.
TRIAL: Final = """
import sys
with open(sys.argv[1] + "/within", "w"):
    pass
try:
    with open(sys.argv[2] + "/outside", "w"):
        print("writes outside")
except OSError:
    print("confined")
"""
INSTALL: Final = "apt-get install bubblewrap"

_one_at_a_time = threading.Lock()


class Rung(msgspec.Struct, frozen=True):
    """One of what may be there.

    Attributes
    ----------
    trouble : str
        Why it does not work here, in one line; empty when it does.
    how : str
        What to do about that.
    """

    sandbox: Sandbox
    trouble: str = ""
    how: str = ""


def probe() -> Sandbox:
    """The best one that works here. Tried once in a process; blocks meanwhile, so it is for threads."""
    found = rungs()
    works = next((rung.sandbox for rung in found if not rung.trouble), Sandbox("none"))
    better = [f"{rung.sandbox.kind}: {rung.trouble}" for rung in found if rung.trouble]
    return msgspec.structs.replace(works, why="; ".join(better))


def rungs() -> tuple[Rung, ...]:
    """What there may be, the best one first. Tried once in a process, as `probe`."""
    with _one_at_a_time:
        return _tried()


@cache
def _tried() -> tuple[Rung, ...]:
    return _bubblewrap(), _landlock()


def _bubblewrap() -> Rung:
    program = shutil.which("bwrap")
    if program is None:
        return Rung(Sandbox("bubblewrap"), "not found", INSTALL)
    trouble = _trial("bubblewrap", program)
    how = "It needs user namespaces, and env of GNU coreutils 8.31 or later." if trouble else ""
    return Rung(Sandbox("bubblewrap", program), trouble, how)


def _landlock() -> Rung:
    version = landlock.abi()
    if version < landlock.LOWEST:
        found = f"ABI {version} is too old" if version else "not offered by this machine"
        return Rung(Sandbox("landlock"), found, "It needs Linux 6.2 or later with Landlock enabled.")
    return Rung(Sandbox("landlock", f"ABI {version}"), _trial("landlock", ""))


def _trial(kind: Kind, program: str) -> str:
    """Run something in it; what is wrong."""
    with tempfile.TemporaryDirectory(prefix="jo-sandbox-") as folder:
        within, outside = Path(folder, "in"), Path(folder, "out")
        within.mkdir()
        outside.mkdir()
        python = (sys.executable, "-I", "-S", "-c", TRIAL, os.fspath(within), os.fspath(outside))
        argv = Sandbox(kind, program).wrapped(python, Confinement((within,), within))
        try:
            done = subprocess.run(
                argv, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
                env={"PATH": os.environ.get("PATH", os.defpath)}, timeout=PATIENCE, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return f"no answer within {PATIENCE:.0f} s"
        except OSError as error:
            return f"{error.filename}: {error.strerror}"
        if done.stdout.strip() == "confined" and (within / "within").exists():
            return ""
        said = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()
        return said[0]
