"""The Python API, ``import jupyter_orchestra as jo``: what the magics do, as functions; it holds no state."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from types import FrameType
from typing import Any

from .client.client import Client
from .client.handle import TaskHandle
from .client.request import LATER, make_request, patience
from .core import events as e
from .errors import OrchestraError, UsageError

NESTED = "a task can't dispatch in this version: dispatch from the notebook, with --after"
_client: Client | None = None


def connect(client: Client | None) -> None:
    """Say through whom the functions of this module speak; None: through nobody."""
    global _client
    _client = client


def current() -> Client:
    """The client of this kernel. Raises OrchestraError before ``%load_ext jupyter_orchestra``."""
    if "jupyter_orchestra.workers.inside_task" in sys.modules:
        raise OrchestraError(NESTED)
    if _client is None:
        raise OrchestraError("run %load_ext jupyter_orchestra first")
    return _client


def dispatch(
    code_or_text: str,
    name: str | None = None,
    *,
    worker: str = "kernel",
    after: Any = (),
    when: str = "success",
    share: Any = None,
    no_share: bool = False,
    share_now: bool = False,
    returns: Any = (),
    timeout: float | str | None = None,
    priority: int = 0,
    deliver: str | None = None,
    retry: int = 0,
    replace: bool = False,
    isolate: str | None = None,
    tier: str | None = None,
    model: str | None = None,
    role: str | None = None,
    inherit: bool = False,
    needs: Any = (),
    budget: Any = None,
    **later: Any,
) -> TaskHandle:
    """Start a task in the background and return its handle at once.

    Parameters
    ----------
    code_or_text
        What to do: Python for ``kernel`` and ``loop``, a script for ``shell``, the path of a notebook and its
        parameters for ``notebook``, plain words for ``agent``.
    name
        1 to 40 of ``A-Z a-z 0-9 _ -``; made from the first words when absent.
    worker
        ``kernel`` (Python in a spawned kernel, the default), ``shell``, ``notebook``, ``loop`` or ``agent``.
    after
        Names or handles of the tasks that must end first.
    when
        ``success`` (all of them done, the default), ``failure`` (one failed) or ``always``.
    share
        The variables that the code sees; by default those of the notebook that it uses. False shares none.
    no_share, share_now
        Share none; copy them now even while earlier cells still run.
    returns
        Variables to bring back into the notebook.
    timeout
        Seconds that an attempt may run; texts such as ``"5m"`` are understood.
    priority
        Higher starts earlier; rises by one each 30 s of waiting. Default 0.
    deliver
        When the master hears of the result: ``now``, ``idle`` (default), ``turn`` or ``silent``. Nothing is sent to a
        model before you have said something to the master.
    retry
        How often a failed attempt is tried again. Default 0.
    replace
        Cancel a live task of that name and start anew.
    isolate
        ``none`` (default).
    tier, model
        Of an agent: ``fast``, ``standard`` (default) or ``strong``; or a model by its name.
    role
        Of an agent: ``explorer``, ``default`` or ``worker`` (default).
    needs
        What the task leases while it runs, as texts: ``["port:3000-3010", "db:main:w"]``.
    budget
        What it may spend: ``{"tokens": 200_000, "usd": 1.5, "seconds": 90}``, or the same as a text.
    inherit
        Let an agent see the master's conversation too.

    Raises
    ------
    UsageError
        For an option or a body that can't be right; nothing was started.
    NotAvailableError
        For an option of a later version.
    RefusedError
        When it can't be done now, with the reason.
    """
    client = current()
    if unknown := set(later) - set(LATER):
        raise UsageError(f"dispatch has no option {sorted(unknown)[0]!r}: help(jo.dispatch) lists them")
    request = make_request(
        code_or_text, name, worker=worker, workers=client.runtime.workers, after=after, when=when, share=share,
        no_share=no_share, share_now=share_now, returns=returns, timeout=timeout, priority=priority, isolate=isolate,
        deliver=deliver, retry=retry, replace=replace, tier=tier, model=model, role=role, inherit=inherit, needs=needs,
        budget=budget, later=later, local=_locals_of(sys._getframe(1)),
    )  # fmt: skip
    return client.dispatch(request)


def _locals_of(frame: FrameType) -> dict[str, Any]:
    """The variables of a calling function; none for a cell, whose variables are the notebook's."""
    return dict(frame.f_locals) if frame.f_locals is not frame.f_globals else {}


def chat(text: str, *, tier: str | None = None, model: str | None = None) -> None:
    """Say something to the master; its reply streams into the running cell, and the call returns at once.

    Parameters
    ----------
    text
        The message.
    tier, model
        ``fast``, ``standard`` or ``strong`` (default); or a model by its name.

    Raises
    ------
    UsageError
        When there is nothing to say, or the tier is unknown.
    """
    if not isinstance(text, str):
        raise UsageError(f"a message is text, not {type(text).__name__}: pass a string")
    current().say(text, tier or "", model or "")


def task(name: str) -> TaskHandle:
    """The handle of a task by its name. Raises UnknownTaskError (a KeyError) when there is none."""
    return current().find(name)


def tasks() -> list[TaskHandle]:
    """Handles of all tasks, in the order of dispatch."""
    return current().all()


def gather(*tasks: TaskHandle | str | Iterable[TaskHandle | str], timeout: float | None = None) -> list[Any]:
    """Wait for tasks and return their values in order; without arguments for all that have not ended.

    Parameters
    ----------
    *tasks
        Handles, names, or collections of them.
    timeout
        Seconds to wait; None waits as long as it takes. Ctrl-C ends the waiting and leaves the tasks running.

    Raises
    ------
    TimeoutError
        When they have not ended in time; they run on.
    TaskFailed, TaskCancelled
        For the first one without a value.
    """
    client = current()
    handles = list(_handles(client, tasks)) if tasks else client.unfinished()
    return client.gather(handles, patience(timeout))


def cancel_all() -> None:
    """Cancel every task that has not ended."""
    current().control(e.CancelAsked, all=True)


def _handles(client: Client, tasks: Iterable[Any]) -> Iterable[TaskHandle]:
    for item in tasks:
        if isinstance(item, TaskHandle):
            yield item
        elif isinstance(item, str):
            yield client.find(item)
        elif isinstance(item, Iterable):
            yield from _handles(client, item)
        else:
            raise UsageError(f"gather takes names or handles of tasks, not {item!r}")
