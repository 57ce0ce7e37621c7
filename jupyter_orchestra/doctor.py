"""Says what this machine can do, one line a thing; it changes nothing and knows nothing of tasks."""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import msgspec
from jupyter_core.paths import jupyter_path

import jupyter_orchestra
from jupyter_orchestra.core.model import TIERS
from jupyter_orchestra.journal import location
from jupyter_orchestra.models.discovery import PORTS, Config, Found, discover
from jupyter_orchestra.sandbox.probing import rungs

Status = Literal["ok", "missing", "note"]

LABEXTENSION = "jupyter-orchestra"
ACP_AGENTS = ("claude-agent-acp", "codex-acp", "opencode", "gemini")
SMALL_SHM = 256 * 2**20  # bytes; containers often get 64 MiB
UNUSED = "(not used by this version)"
NO_MODEL = "A model server on this machine is found by itself; agents can't work without a model."


class Check(msgspec.Struct, frozen=True):
    """What one probe found.

    Attributes
    ----------
    name : str
        What was looked at.
    status : {"ok", "missing", "note"}
        ``missing`` lacks something that this version uses; ``note`` is worth reading, but nothing is broken.
    found : str
        What is there: a version, a path, a size.
    how : str
        How to get what is missing; empty if there is nothing to do.
    """

    name: str
    status: Status
    found: str
    how: str = ""


def run_checks(journal_dir: Path | None = None, models: Config | None = None) -> list[Check]:
    """Look at this machine and say what is there.

    Parameters
    ----------
    journal_dir : Path, optional
        The directory whose writability is checked; by default where the journals of this person go.
    models : Config, optional
        What the person has set of models; by default nothing, so that the environment and this machine tell.

    Returns
    -------
    list of Check
        One for each thing, always in the same order. A probe that breaks is itself a note, never an exception.
    """
    journals = location.base() if journal_dir is None else journal_dir
    probes: list[tuple[str, Callable[[], Check]]] = [
        ("Python", _python),
        ("Kernel subshells", _subshells),
        ("JupyterLab", lambda: _page("JupyterLab", "jupyterlab", (4, 6, 2))),
        ("Notebook", lambda: _page("Notebook", "notebook", (7, 6))),
        ("Labextension", _labextension),
        ("Journal directory", lambda: _journal(journals)),
        ("Shared memory", _shared_memory),
        ("bubblewrap", _bubblewrap),
        ("Landlock", _landlock),
        ("Chromium", _chromium),
        ("Model endpoint", lambda: _model_endpoint(models or Config())),
        ("ripgrep", _ripgrep),
        ("Codex CLI", _codex),
        ("ACP agents", _acp_agents),
    ]
    return [_guarded(name, probe) for name, probe in probes]


def render(checks: Iterable[Check]) -> str:
    """Return the checks as plain text, aligned, with the advice under the line that it belongs to.

    Parameters
    ----------
    checks : iterable of Check
        What `run_checks` returned.

    Returns
    -------
    str
        The report, without a newline at its end.
    """
    rows = list(checks)
    width = max((len(check.name) for check in rows), default=0)
    lines = []
    for check in rows:
        lines.append(f"{check.status:<7}  {check.name:<{width}}  {check.found}")
        if check.how:
            lines.append(f"{'':<7}  {'':<{width}}  {check.how}")
    return "\n".join(lines)


def _guarded(name: str, probe: Callable[[], Check]) -> Check:
    try:
        return probe()
    except Exception as error:  # a report with one hole helps more than none
        return Check(name, "note", f"could not be checked: {type(error).__name__}: {error}")


# --- what this version uses -------------------------------------------------------------------------------------------


def _python() -> Check:
    found = f"{platform.python_version()}, jupyter_orchestra {jupyter_orchestra.__version__}"
    if platform.system() == "Linux":
        return Check("Python", "ok", found)
    return Check("Python", "note", f"{found} on {platform.system()}", "This version is tested on Linux only.")


def _subshells() -> Check:
    name, how = "Kernel subshells", "pip install 'ipykernel>=7.4,<8'"
    version = _version("ipykernel")
    if version is None:
        return Check(name, "missing", "ipykernel is not installed", how)
    features = _features_of_this_kernel()
    supported = "kernel subshells" in features if features else _has_module("ipykernel.subshell_manager")
    where = "in this kernel" if features else "in the installed version"
    if supported and _numbers(version) >= (7, 4):
        return Check(name, "ok", f"ipykernel {version}, {where}")
    return Check(name, "missing", f"ipykernel {version}", f"{how}, then restart the kernel")


def _features_of_this_kernel() -> list[str]:
    """Return what the kernel in this process offers, or nothing where no kernel runs here."""
    if "ipykernel.kernelapp" not in sys.modules:
        return []
    from ipykernel.kernelapp import IPKernelApp

    if not IPKernelApp.initialized():
        return []
    kernel = getattr(IPKernelApp.instance(), "kernel", None)
    return list(kernel.kernel_info.get("supported_features", [])) if kernel is not None else []


def _page(name: str, package: str, lowest: tuple[int, ...]) -> Check:
    how = "pip install 'jupyter_orchestra[lab]'"
    wanted = ".".join(map(str, lowest))
    version = _version(package)
    if version is None:
        return Check(name, "missing", "not installed in this environment", how)
    if _numbers(version) < lowest:
        return Check(name, "missing", f"{version}, older than {wanted}", how)
    return Check(name, "ok", version)


def _labextension() -> Check:
    name, own = "Labextension", jupyter_orchestra.__version__
    how = "reinstall the package (pip install --force-reinstall --no-deps jupyter_orchestra; in a checkout: make setup)"
    candidates = [Path(folder, LABEXTENSION, "package.json") for folder in jupyter_path("labextensions")]
    manifest = next((path for path in candidates if path.is_file()), None)
    if manifest is None:
        return Check(name, "missing", "JupyterLab would not find it", how)
    version = json.loads(manifest.read_text(encoding="utf-8")).get("version")
    if version != own:
        return Check(name, "missing", f"{version} at {manifest.parent}, but the package is {own}", how)
    return Check(name, "ok", f"{version} at {manifest.parent}")


def _journal(folder: Path) -> Check:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK):
        return Check("Journal directory", "ok", f"{folder} ({_size(shutil.disk_usage(existing).free)} free)")
    how = f"make {existing} writable, or set JUPYTER_DATA_DIR to a directory that is"
    return Check("Journal directory", "missing", f"{folder} cannot be written", how)


def _shared_memory(folder: Path = Path("/dev/shm")) -> Check:
    name = "Shared memory"
    if not folder.is_dir():
        return Check(name, "note", f"no {folder} here", "Large captured variables need room on disk instead.")
    free = shutil.disk_usage(folder).free
    if free < SMALL_SHM:
        how = "Large captured variables may not fit; in Docker: --shm-size=1g"
        return Check(name, "note", f"{_size(free)} free in {folder}", how)
    return Check(name, "ok", f"{_size(free)} free in {folder}")


def _model_endpoint(models: Config, ports: Sequence[int] = PORTS) -> Check:
    name, found = "Model endpoint", _look_for_models(models, ports)
    endpoint = found.endpoint
    if endpoint is None:
        return Check(name, "note", found.line.removeprefix("master: "), NO_MODEL)
    if "strong" not in endpoint.tiers:
        return Check(name, "note", found.line.removeprefix("master: "))
    names = [endpoint.tiers.get(tier, "not set") for tier in TIERS]
    served = ", ".join(f"{tier}: {name}" for tier, name in zip(TIERS, names, strict=True))
    served = f"all tiers: {names[0]}" if len(set(names)) == 1 else served
    key = "key set" if endpoint.key else "no key set"
    return Check(name, "ok", f"{endpoint.place} (from {endpoint.source}), {key}; {served}")


def _look_for_models(models: Config, ports: Sequence[int]) -> Found:
    """Ask for lists of models, in a thread: the loop of a notebook's kernel runs already."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, discover(models, os.environ, ports)).result()


def _ripgrep() -> Check:
    name, path = "ripgrep", shutil.which("rg")
    if path is None:
        return Check(name, "note", "not found; agents search with Python, which is slower", "apt-get install ripgrep")
    return Check(name, "ok", path)


def _bubblewrap() -> Check:
    return _rung("bubblewrap", "agents ask before each command and piece of code")


def _landlock() -> Check:
    return _rung("Landlock", "there is nothing else where bubblewrap does not run")


def _rung(name: str, without: str) -> Check:
    """What was found out by running it; `without`: what that means where it does not run."""
    rung = next(rung for rung in rungs() if rung.sandbox.kind == name.lower())
    if not rung.trouble:
        return Check(name, "ok", f"{rung.sandbox.program} runs; {rung.sandbox.limits}")
    return Check(name, "note", f"{rung.trouble}: {without}", rung.how)


# --- what this version only looks for ---------------------------------------------------------------------------------


def _chromium() -> Check:
    return _program("Chromium", ("chromium", "chromium-browser", "google-chrome"), "apt-get install chromium")


def _codex() -> Check:
    return _program("Codex CLI", ("codex",), "npm install -g @openai/codex")


def _acp_agents() -> Check:
    found = [name for name in ACP_AGENTS if shutil.which(name)]
    if found:
        return Check("ACP agents", "ok", f"{', '.join(found)} {UNUSED}")
    return Check("ACP agents", "note", f"none of {', '.join(ACP_AGENTS)} on PATH {UNUSED}")


# --- small helpers ----------------------------------------------------------------------------------------------------


def _program(name: str, candidates: Sequence[str], how: str) -> Check:
    path = next((path for candidate in candidates if (path := shutil.which(candidate))), None)
    if path is None:
        return Check(name, "note", f"not found {UNUSED}", how)
    done = _run([path, "--version"])
    if done is None or done.returncode != 0:
        return Check(name, "note", f"{path} does not tell its version {UNUSED}")
    return Check(name, "ok", f"{_first_line(done.stdout)} at {path} {UNUSED}")


def _run(command: list[str]) -> subprocess.CompletedProcess[str] | None:
    """Run a program with nothing to read; return None if it gives no answer within 5 s or cannot start."""
    try:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or ["no word"])[0]


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _has_module(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"
