"""Copies of this checkout and clean environments for the tests of the package; it knows nothing of what is in them."""

from __future__ import annotations

import os
import shutil
import subprocess
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("00_first_run.ipynb", "01_talk_to_the_master.ipynb", "02_resources.ipynb")
NOTEBOOKS = tuple(Path("notebooks", name) for name in NAMES)
SCRIPT = Path("notebooks", "data", "talk_to_the_master.json")
BUILT = Path("jupyter_orchestra", "labextension")


def clone(target: Path, *, built: bool = False) -> Path:
    """Copy what git would clone, uncommitted work included; with the built labextension if asked for."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    if built and (ROOT / BUILT).is_dir():
        shutil.copytree(ROOT / BUILT, target / BUILT)
    return target


def clean_venv(folder: Path) -> Path:
    """Create an environment with nothing but pip and return the directory of its programs."""
    venv.create(folder, with_pip=True)
    return folder / "bin"


def environment(programs: Path, scratch: Path, *, system: bool = True) -> dict[str, str]:
    """Return an environment that sees these programs, and keeps Jupyter out of the home directory."""
    path = str(programs) + (os.pathsep + os.environ["PATH"] if system else "")
    jupyter = {f"JUPYTER_{kind}_DIR": str(scratch / kind.lower()) for kind in ("CONFIG", "DATA", "RUNTIME")}
    dropped = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "JUPYTER_PATH", "SKIP_JUPYTER_BUILDER")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return {**kept, **jupyter, "IPYTHONDIR": str(scratch / "ipython"), "PATH": path}


def run(command: list[str | Path], *, cwd: Path, env: dict[str, str] | None = None) -> str:
    """Run a command to its end and return what it printed; a failure shows all of it."""
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout
