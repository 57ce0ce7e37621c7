"""The settings: ``c.Orchestra.*``, ``%config Orchestra`` and the project's file; read by ``app`` alone."""

from __future__ import annotations

import contextlib
import itertools
import os
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from traitlets import Enum, Float, Int, TraitError, Unicode, validate
from traitlets.config import SingletonConfigurable

from .core.limits import BadBudget, Limits, parse_budget, spell
from .core.model import TIERS
from .errors import UsageError

TABLES = ("resources", "databases", "servers", "tests", "containers")  # what tasks share
LATER = ("mcp",)
SIGNS = (".git", "pyproject.toml", "setup.cfg")  # of which the top of a project has one
BUDGETS = ("user_budget", "budget", *(f"{tier}_budget" for tier in TIERS))
OF_MODELS = ("tokens", "tokens_in", "tokens_out", "microusd")  # what requests to models cost
OF_MODELS_SAID = ("tokens", "tokens_in", "tokens_out", "usd")
PERSONAL = {  # what is no project's business, and why
    "base_url": "where your key goes",
    "api_key_env": "where your key goes",
    "sandbox": "what runs without asking you",
    "user_budget": "what you spend in all",
}


class BadSetting(UsageError, TraitError):
    """A setting can't have that value; it keeps the one that it had."""


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Orchestra(SingletonConfigurable):
    """What a person may set."""

    kernel_slots = Int(cores(), min=1, help="Kernel tasks that run at once; default: the processors.").tag(config=True)
    shell_slots = Int(max(4, cores()), min=1, help="Shell tasks that run at once.").tag(config=True)
    grace = Float(
        600.0,
        min=0.0,
        help="Seconds that kernel and shell tasks run on after the kernel died, for its successor to take them over.",
    ).tag(config=True)
    max_processes = Int(
        1000, min=1, help="Processes of one task that may live at once (on Linux); one with more is ended."
    ).tag(config=True)
    notebook_slots = Int(cores(), min=1, help="Notebook tasks that run at once.").tag(config=True)
    loop_slots = Int(64, min=1, help="Loop tasks that run at once.").tag(config=True)
    warm_kernels = Int(1, min=0, help="Idle kernels kept ready after the first use.").tag(config=True)
    output_limit = Int(2 << 30, min=1 << 20, help="Bytes of output kept of one task.").tag(config=True)
    journal_limit = Int(1 << 30, min=1 << 20, help="Bytes of journal after which old results go.").tag(config=True)
    max_unfinished = Int(10_000, min=1, help="Tasks that may be unfinished at once.").tag(config=True)
    agent_slots = Int(16, min=1, help="Agents that run at once, whatever their tier.").tag(config=True)
    fast_slots = Int(8, min=1, help="Agents of the tier fast that run at once.").tag(config=True)
    standard_slots = Int(4, min=1, help="Agents of the tier standard that run at once.").tag(config=True)
    strong_slots = Int(2, min=1, help="Agents of the tier strong that run at once.").tag(config=True)
    user_budget = Unicode(
        "",
        help="What all your notebooks may spend on models in a day (from midnight, over restarts), such as usd=10;"
        " set it in your own configuration: it counts what is spent by notebooks for which it is set.",
    ).tag(config=True)
    budget = Unicode("", help="What the notebook may spend on models in all, such as tokens=2M,usd=5.").tag(config=True)
    fast_budget = Unicode("", help="What agents of the tier fast may spend in all.").tag(config=True)
    standard_budget = Unicode("", help="What agents of the tier standard may spend in all.").tag(config=True)
    strong_budget = Unicode("", help="What agents of the tier strong may spend in all.").tag(config=True)
    base_url = Unicode("", help="Where models answer, such as http://127.0.0.1:8000/v1; found when empty.").tag(
        config=True
    )
    api_key_env = Unicode("", help="The environment variable that holds the key for base_url.").tag(config=True)
    fast_model = Unicode("", help="Model of the tier fast; chosen from what the endpoint lists when empty.").tag(
        config=True
    )
    standard_model = Unicode("", help="Model of the tier standard, which agents use by default.").tag(config=True)
    strong_model = Unicode("", help="Model of the tier strong, which the master uses.").tag(config=True)
    wire = Enum(["auto", "responses", "chat"], "auto", help="Protocol of the endpoint; auto finds out.").tag(
        config=True
    )
    window = Int(128_000, min=4_000, help="Tokens that the models can take.").tag(config=True)
    master = Enum(["auto", "rules"], "auto", help="Who answers: auto (a model if there is one) or rules.").tag(
        config=True
    )
    sandbox = Enum(
        ["auto", "landlock"],
        "auto",
        help="Where agents run unasked: auto (in bubblewrap) or landlock (there too, which hides no file of yours).",
    ).tag(config=True)
    notebook = Unicode("", help="The notebook's path, where the kernel can't know it.").tag(config=True)
    front_end = Enum(
        ["auto", "live", "headless"],
        "auto",
        help="Where results show: auto (new cells where a page takes them), live (cards) or headless (the next cell).",
    ).tag(config=True)

    def apply_project(self, folder: Path) -> tuple[Path, dict[str, Any]] | None:
        """Take over ``[tool.jupyter_orchestra]`` of the nearest ``pyproject.toml`` at or above `folder` that has it.

        Returns
        -------
        tuple or None
            The file, and the tables in which it declares what its tasks share; None where there is no such file.

        Raises
        ------
        UsageError
            For a key that does not exist, with the nearest one that does.
        """
        if (found := _file_of(folder)) is None:
            return None
        import tomllib

        try:
            table: dict[str, Any] = tomllib.loads(found.read_text("utf-8"))["tool"]["jupyter_orchestra"]
        except (tomllib.TOMLDecodeError, KeyError) as error:
            raise UsageError(f"{found} can't be read: {error}") from None
        known = set(self.trait_names(config=True))
        table.update(_flat(table.pop("tiers", {}), found))
        declared = {key: table.pop(key) for key in TABLES if key in table}
        for key, value in table.items():
            if key in PERSONAL:
                raise UsageError(
                    f"{found}: {key} is taken from your own settings only (c.Orchestra.{key} or %config), since no "
                    f"project says {PERSONAL[key]}: take it out"
                )
            if key in LATER:
                raise UsageError(f"{found}: [tool.jupyter_orchestra.{key}] is not available yet in this version")
            if key not in known:
                near = get_close_matches(key, known, 1, 0.5)
                hint = f"; did you mean {near[0]}?" if near else f"; there are: {', '.join(sorted(known))}"
                raise UsageError(f"{found}: [tool.jupyter_orchestra] has no {key!r}{hint}")
            try:
                setattr(self, key, value)
            except TraitError as error:
                raise UsageError(f"{found}: [tool.jupyter_orchestra] {error}") from None
        return found, declared

    def budgets(self) -> dict[str, Limits]:
        """The limits of the notebook and of the tiers, by the name of the account."""
        names = {"notebook": "budget"} | {f"tier:{tier}": f"{tier}_budget" for tier in TIERS}
        return {account: parse_budget(text) for account, name in names.items() if (text := getattr(self, name))}

    def allowance(self) -> Limits:
        """The limits of all notebooks together, in a day."""
        return parse_budget(self.user_budget) if self.user_budget else Limits()

    @validate(*BUDGETS)
    def _check_budget(self, proposal: Any) -> Any:
        name, text = proposal["trait"].name, proposal["value"]
        try:
            limits = parse_budget(text) if text else Limits()
        except BadBudget as error:
            raise BadSetting(f"Orchestra.{name}: {error}") from None
        if name == "user_budget" and limits != Limits(**{key: getattr(limits, key) for key in OF_MODELS}):
            raise BadSetting(f"Orchestra.{name} limits {', '.join(OF_MODELS_SAID)}, not {spell(limits)}")
        return text

    def lines(self) -> list[str]:
        """Each setting with its value and meaning."""
        traits = self.traits(config=True)
        return [f"{name} = {getattr(self, name)!r}    {traits[name].help}" for name in sorted(traits)]


def _flat(tiers: Any, file: Path) -> dict[str, Any]:
    """``[tool.jupyter_orchestra.tiers.fast]`` with ``model`` and ``slots`` as the settings that they are."""
    if not isinstance(tiers, dict) or not all(isinstance(tier, dict) for tier in tiers.values()):
        raise UsageError(f"{file}: [tool.jupyter_orchestra.tiers] holds one table for each tier")
    return {f"{name}_{key}": value for name, tier in tiers.items() for key, value in tier.items()}


def project_of(folder: Path) -> Path:
    """The project to which `folder` belongs, which all notebooks in it share.

    That is the nearest folder at or above it whose ``pyproject.toml`` has our table; without one, the nearest with a
    sign of a project (a home folder, or one above it, is none for that alone); without that, `folder` itself.
    """
    with contextlib.suppress(OSError):
        if (file := _file_of(folder)) is not None:
            return file.parent
    home = Path(os.path.expanduser("~"))
    tops = itertools.takewhile(lambda top: not home.is_relative_to(top), (folder, *folder.parents))
    return next((top for top in tops if any(os.path.lexists(top / sign) for sign in SIGNS)), folder)


def _file_of(folder: Path) -> Path | None:
    """The nearest ``pyproject.toml`` with our table. Raises OSError for one that can't be read."""
    files = (parent / "pyproject.toml" for parent in (folder, *folder.parents))
    return next((file for file in files if file.is_file() and b"[tool.jupyter_orchestra" in file.read_bytes()), None)
