"""What the person can be told went wrong, each as one line that says what to do next.

::

    OrchestraError
    ├── UsageError        a flag, a name or a body that can't be right; nothing was started
    ├── RefusedError      the machine says no, and why; nothing has changed
    ├── UnknownTaskError  no task of that name (also a KeyError)
    │   └── UnknownVariableError  it brought back no such variable
    ├── NotAvailableError not in this version (also a NotImplementedError)
    ├── GatherTimeout     the waiting ended, the tasks run on (also a TimeoutError)
    ├── ValueGoneError    a value that is there can't be loaded here; its output is kept
    ├── ResourceError     a leased thing could not be made ready; what was begun of it is gone
    ├── LeaseLost         a lease is no longer held; what it was for may be another's
    ├── ModelError        no reply from a model, or half of one; nothing that it asked for was done
    └── TaskError
        ├── TaskFailed    the task failed; carries its error and its traceback
        │   └── TaskLost  its worker vanished with the kernel
        └── TaskCancelled
"""

from __future__ import annotations

import errno
from typing import Literal

NO_ROOM = {
    errno.ENOSPC: "the disk is full: free some space",
    errno.EDQUOT: "your disk quota is used up: free some space",
    errno.EROFS: "the disk is read-only: make it writable",
}


class OrchestraError(Exception):
    """Base of all errors of this package; a cell shows it as one line."""

    def _render_traceback_(self) -> list[str]:
        return [f"\x1b[31m{type(self).__name__}\x1b[0m: {self}"]


class UsageError(OrchestraError, ValueError):
    """What was written can't be right; nothing was started."""


class RefusedError(OrchestraError):
    """What was asked for can't be done; nothing has changed."""


class UnknownTaskError(OrchestraError, KeyError):
    """No task bears that name."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class UnknownVariableError(UnknownTaskError):
    """A task brought back no variable of that name."""


class NotAvailableError(OrchestraError, NotImplementedError):
    """Planned, and not in this version."""


class ValueGoneError(OrchestraError):
    """A task's value can't be loaded in this kernel."""


class GatherTimeout(OrchestraError, TimeoutError):
    """The waiting ended; the tasks run on."""


class ResourceError(OrchestraError):
    """A leased thing, such as a database or a server, could not be made ready."""


class LeaseLost(OrchestraError):
    """A lease is no longer held: what it was for may be in another's hands."""


class TaskError(OrchestraError):
    """A task has no value."""


class TaskFailed(TaskError):
    """A task failed.

    Attributes
    ----------
    task : str
        Its name.
    traceback : list of str
        The lines of the worker's traceback, with ANSI colours; may be empty.
    """

    def __init__(self, message: str, task: str = "", traceback: list[str] | None = None) -> None:
        super().__init__(message)
        self.task, self.traceback = task, traceback or []

    def _render_traceback_(self) -> list[str]:
        return [*self.traceback, *super()._render_traceback_()]


class TaskLost(TaskFailed):
    """A task's worker vanished with the kernel; it asks: rerun or drop."""


class TaskCancelled(TaskError):
    """A task was cancelled."""


ModelTrouble = Literal[
    "auth", "model", "rate", "server", "connection", "cut", "malformed", "overflow", "hang", "invalid", "empty"
]


class ModelError(OrchestraError):
    """A model gave no reply, or half of one; one line that holds no key.

    Attributes
    ----------
    kind : str
        auth: no key, or one that was refused; model: unknown there; rate: too many requests, or no quota left;
        server: it failed; connection: not reached; cut: the reply broke off; malformed: not to be understood;
        overflow: more than the model's context; hang: silence; invalid: the request was refused; empty: no answer.
    begun : bool
        Whether the request may have been worked on, and so cost something.
    """

    begun = False

    def __init__(self, kind: ModelTrouble, message: str) -> None:
        super().__init__(message)
        self.kind: ModelTrouble = kind

    def __reduce__(self) -> tuple[type[ModelError], tuple[str, str]]:
        return type(self), (self.kind, str(self))
