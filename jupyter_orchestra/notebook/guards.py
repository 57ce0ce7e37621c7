"""Keeps a cell on a subshell and the cell on the main shell out of each other's way; it knows no task.

ipykernel runs both in one process and on one shell object. Each guard mends one thing that they share and that each
must have to itself. It looks first whether the installed version has that fault, and a kernel that runs one cell at
a time does not notice any of them.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import inspect
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from IPython.core.interactiveshell import InteractiveShell
from traitlets import TraitType

from . import numbering
from .conversation import SUBSHELL, is_conversation, on_subshell

log = logging.getLogger("jupyter_orchestra")
OURS = "jupyter_orchestra."  # how the names of our comms' targets begin


class Guard(NamedTuple):
    """What mends one fault of a kernel, and whether the kernel has it."""

    name: str
    needed: Callable[[Any], bool]
    install: Callable[[Any], None]


def install(shell: InteractiveShell) -> list[str]:
    """Put up the guards that this kernel needs and does not have yet; their names. None outside a kernel."""
    kernel: Any = getattr(shell, "kernel", None)
    if not getattr(kernel, "_supports_kernel_subshells", False):
        return []
    up: set[str] = kernel.__dict__.setdefault("_jupyter_orchestra_guards", set())
    return [guard.name for guard in GUARDS if guard.name not in up and _put_up(guard, kernel, up)]


def _put_up(guard: Guard, kernel: Any, up: set[str]) -> bool:
    try:
        if not guard.needed(kernel):
            return False
        guard.install(kernel)
    except Exception:  # a version that is built otherwise: the magics work all the same
        log.warning("the guard %r does not fit this version of ipykernel", guard.name, exc_info=True)
        return False
    up.add(guard.name)
    return True


# what belongs to the cell that runs


class PerSubshell:
    """An attribute that each subshell's thread has for itself; all other threads share one."""

    def __init__(self, name: str, default: Callable[[], Any]) -> None:
        self._name, self._default = name, default
        self._own = threading.local()

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        return self._values(instance).setdefault(self._name, self._default())

    def __set__(self, instance: Any, value: Any) -> None:
        self._values(instance)[self._name] = value

    def _values(self, instance: Any) -> dict[str, Any]:
        if not on_subshell():
            values: dict[str, Any] = instance.__dict__
            return values
        owners: dict[Any, dict[str, Any]] = self._own.__dict__
        return owners.setdefault(id(instance), {})


def is_shared(instance: Any, name: str) -> bool:
    """Whether an attribute is one for all threads: a trait, or nothing special at all."""
    found = inspect.getattr_static(type(instance), name, None)
    return isinstance(found, TraitType) or not hasattr(type(found), "__set__")


def own_value(name: str, instance: Callable[[Any], Any], default: Callable[[], Any], *names: str) -> Guard:
    """A guard that gives each subshell its own attributes of an object of the kernel."""

    def needed(kernel: Any) -> bool:
        return any(is_shared(instance(kernel), attribute) for attribute in names)

    def mend(kernel: Any) -> None:
        owner = instance(kernel)
        for attribute in names:
            value = getattr(owner, attribute, default())
            setattr(type(owner), attribute, PerSubshell(attribute, default))
            setattr(owner, attribute, value)

    return Guard(name, needed, mend)


# messages on a subshell while the main shell's displays are captured


def _lacks_set_parent(kernel: Any) -> bool:
    from IPython.core.displaypub import CapturingDisplayPublisher

    return not hasattr(CapturingDisplayPublisher, "set_parent")


def _take_parent(kernel: Any) -> None:
    """Every message sets its parent on the display publisher; the capturing one can't, and the message is dropped."""
    from IPython.core.displaypub import CapturingDisplayPublisher

    CapturingDisplayPublisher.set_parent = lambda self, parent: None  # type: ignore[attr-defined]


# whose output is it


def _is_parent_of_all(kernel: Any) -> bool:
    """Whether a message on a subshell becomes the parent of what plain threads put out: tried on a display hook."""
    from ipykernel.displayhook import ZMQDisplayHook

    if not all(hasattr(kernel, name) for name in ("_shell_parent_ident", "_shell_parent", "_main_asyncio_lock")):
        return False  # it is built otherwise
    hook = ZMQDisplayHook(None, None)
    parent = {"header": {"msg_id": "probe"}}
    thread = threading.Thread(target=hook.set_parent, args=(parent,), name=f"{SUBSHELL}probe", daemon=True)
    thread.start()
    thread.join()
    return bool(contextvars.Context().run(lambda: hook.parent_header))


def _keep_parent(kernel: Any) -> None:
    """A message on a subshell binds that subshell's thread alone.

    The exception is a cell of others while the main shell is idle: it is the last cell then, as ever.
    """
    publisher = kernel.shell.display_pub  # the real ones, whatever stands in their place later
    usual = [publisher, kernel._stdout, kernel._stderr]
    set_parent = kernel.set_parent

    @functools.wraps(set_parent)
    def keep_parent(ident: Any, parent: Any, channel: str = "shell") -> None:
        if channel != "shell" or not on_subshell() or _is_last_cell(kernel, parent):
            set_parent(ident, parent, channel)
            return
        kernel._shell_parent_ident.set(ident)
        kernel._shell_parent.set(parent)
        kernel.shell.set_thread_parent(parent)
        for target in usual:
            if hasattr(target, "set_thread_parent"):
                target.set_thread_parent(parent)

    kernel.set_parent = keep_parent


def _is_last_cell(kernel: Any, parent: Any) -> bool:
    busy = kernel._main_asyncio_lock.locked()
    return not busy and parent["header"]["msg_type"] == "execute_request"


# hooks that a cell on a subshell must not fire


def _fires_hooks(kernel: Any) -> bool:
    return hasattr(kernel.shell, "events")


def _hold_hooks(kernel: Any) -> None:
    """What we do on a subshell fires no hooks: they are for cells that run code.

    Matplotlib's, for one, shows and closes the figures that the cell on the main shell is still drawing.
    """
    events = kernel.shell.events
    trigger = events.trigger

    @functools.wraps(trigger)
    def trigger_unless_ours(event: str, *args: Any, **kwargs: Any) -> Any:
        if not (on_subshell() and _is_ours(kernel)):
            trigger(event, *args, **kwargs)

    events.trigger = trigger_unless_ours


def _is_ours(kernel: Any) -> bool:
    message = kernel.get_parent("shell")
    content = message.get("content", {})
    if message.get("msg_type") == "execute_request":
        return is_conversation(content.get("code", ""))
    comm = kernel.comm_manager.comms.get(content.get("comm_id", ""))
    return getattr(comm, "target_name", "").startswith(OURS)


# what IPython keeps of the streams


def _patches_streams(kernel: Any) -> bool:
    """Whether a cell has a `write` of its own put onto the streams, and what it found there put back at its end."""
    tee = getattr(getattr(type(kernel.shell), "_tee", None), "__wrapped__", None)
    return tee is not None and "write" in tee.__code__.co_names


def _hold_tees(kernel: Any) -> None:
    """Cells that overlap put back what they found: the other's `write`, which then stays, and one more each time.

    Ours need none, for they write to no stream.
    """
    shell = kernel.shell
    tee = shell._tee

    @functools.wraps(tee)
    def tee_unless_ours(*args: Any, **kwargs: Any) -> contextlib.AbstractContextManager[None]:
        if on_subshell() and _is_ours(kernel):
            return contextlib.nullcontext()
        return tee(*args, **kwargs)  # type: ignore[no-any-return]

    shell._tee = tee_unless_ours


# a stream of the main shell's cell that can't be flushed


def _flushes_streams(kernel: Any) -> bool:
    """Whether a reply waits for a flush of whatever stands in place of standard output."""
    owners = (vars(owner).get("execute_request") for owner in type(kernel).__mro__)
    return any("flush" in execute.__code__.co_names for execute in owners if execute is not None)


def _allow_unflushable(kernel: Any) -> None:
    """A writer without `flush` is enough for `print`, but a cell beside it would never get its reply."""
    execute = kernel.do_execute

    @functools.wraps(execute)
    async def execute_flushable(*args: Any, **kwargs: Any) -> Any:
        if not on_subshell():
            return await execute(*args, **kwargs)
        _make_flushable()
        try:
            return await execute(*args, **kwargs)
        finally:
            _make_flushable()

    after = kernel.post_handler_hook

    @functools.wraps(after)
    def after_flushable() -> None:
        if on_subshell():  # the last flush, which the end of a cell and of a message of a comm waits for, comes next
            _make_flushable()
        after()

    kernel.do_execute, kernel.post_handler_hook = execute_flushable, after_flushable


def _make_flushable() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not hasattr(stream, "flush"):
            with contextlib.suppress(AttributeError, TypeError):  # one with slots: it stays as it is
                stream.flush = lambda: None  # type: ignore[method-assign]


# entering and leaving a cell


class _OneAtATime:
    """Two cells that begin and end at once find IPython's builtins and its display hook in place."""

    _lock = threading.RLock()

    def __enter__(self) -> Any:
        with self._lock:
            return super().__enter__()  # type: ignore[misc]

    def __exit__(self, *error: Any) -> Any:
        with self._lock:
            return super().__exit__(*error)  # type: ignore[misc]


def _traps(kernel: Any) -> Iterator[Any]:
    yield kernel.shell.builtin_trap
    yield kernel.shell.display_trap


def _counts_levels(kernel: Any) -> bool:
    """Whether they count their entries in a plain attribute."""
    return all(isinstance(vars(trap).get("_nested_level"), int) for trap in _traps(kernel))


def _lock_traps(kernel: Any) -> None:
    for trap in _traps(kernel):
        trap.__class__ = type(type(trap).__name__, (_OneAtATime, type(trap)), {})


GUARDS = (
    Guard("capture", _lacks_set_parent, _take_parent),
    Guard("numbers", numbering.is_needed, lambda kernel: numbering.Numbering(kernel).install()),
    own_value("payload", lambda kernel: kernel.shell.payload_manager, list, "_payload"),
    own_value("input", lambda kernel: kernel, bool, "_allow_stdin"),
    own_value("value", lambda kernel: kernel.shell.displayhook, lambda: None, "exec_result", "msg"),
    own_value(
        "traceback", lambda kernel: kernel.shell, lambda: None,
        "_last_traceback", "_last_traceback_during_displayhook",
    ),
    Guard("parent", _is_parent_of_all, _keep_parent),
    Guard("hooks", _fires_hooks, _hold_hooks),
    Guard("tees", _patches_streams, _hold_tees),
    Guard("flush", _flushes_streams, _allow_unflushable),
    Guard("traps", _counts_levels, _lock_traps),
)  # fmt: skip
