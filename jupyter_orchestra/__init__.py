"""Turns a notebook into a conversation that never blocks: dispatched cells run in the background and come back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

# Imported at once: the function must win over the module of the same name. The module is a light one.
from .progress import progress

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from .api import cancel_all, dispatch, gather, task, tasks
    from .client.controller import Controller
    from .errors import GatherTimeout, LeaseLost, OrchestraError, TaskCancelled, TaskFailed, TaskLost

    controller: Controller

__version__ = "0.1.0"

__all__ = [
    "GatherTimeout",
    "LeaseLost",
    "OrchestraError",
    "TaskCancelled",
    "TaskFailed",
    "TaskLost",
    "__version__",
    "cancel_all",
    "controller",
    "dispatch",
    "gather",
    "load_ipython_extension",
    "progress",
    "task",
    "tasks",
    "unload_ipython_extension",
]

_API = {"cancel_all", "chat", "dispatch", "gather", "task", "tasks"}


def __getattr__(name: str) -> Any:
    """Import what is asked for at its first use, so that loading stays fast."""
    if name in _API:
        from . import api

        return getattr(api, name)
    if name == "controller":
        from . import api

        return api.current().controller
    if name in __all__:
        from . import errors

        return getattr(errors, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """What completion offers: also what is not imported yet."""
    return sorted({*globals(), *__all__})


def load_ipython_extension(shell: InteractiveShell) -> None:
    """What ``%load_ext jupyter_orchestra`` calls."""
    from .app import load

    load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """What ``%unload_ext jupyter_orchestra`` calls: the magics go, the tasks run on until the kernel ends."""
    from .app import unload

    unload(shell)
