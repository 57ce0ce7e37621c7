"""What the kernel's process says of itself: its notebook, its loop, how it ends; it knows nothing of the orchestra."""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Callable
from typing import Any

from IPython.core.interactiveshell import InteractiveShell


def session_name() -> str:
    """The notebook's path by the Jupyter server's word, which is for the kernel that the server started alone.

    A program that a cell starts, such as papermill, inherits the word and must not take it for its own.
    """
    owner = os.environ.get("ORCHESTRA_KERNEL", str(os.getpid()))
    if owner != str(os.getpid()) or "ORCHESTRA_RUNTIME" in os.environ:
        return ""
    os.environ["ORCHESTRA_KERNEL"] = owner
    return os.environ.get("JPY_SESSION_NAME", "")


def register_exit(close: Callable[[], None]) -> None:
    """Call `close` when the process ends, before the thread pools of concurrent.futures are shut, where that can be."""
    early = getattr(threading, "_register_atexit", None)
    if early is not None:
        early(close)
    atexit.register(close)


def log_beside_the_cells(shell: InteractiveShell) -> None:
    """Our log goes where the kernel's own goes: what is ours to mend has no place in a cell."""
    ours = logging.getLogger("jupyter_orchestra")
    if getattr(shell, "kernel", None) is None or ours.handlers:
        return
    from ipykernel.kernelapp import IPKernelApp

    handlers = IPKernelApp.instance().log.handlers if IPKernelApp.initialized() else []
    for handler in handlers:
        ours.addHandler(handler)
    ours.propagate = not handlers


def kernel_loop(shell: InteractiveShell) -> Any:
    """The kernel's own event loop, None outside a kernel."""
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        return None
    import asyncio

    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return getattr(getattr(kernel, "io_loop", None), "asyncio_loop", None)


def kernel_key(shell: InteractiveShell) -> str:
    """What a restart of the kernel keeps: its connection file; else this process."""
    if getattr(shell, "kernel", None) is not None:
        from ipykernel.kernelapp import IPKernelApp

        if IPKernelApp.initialized():
            return str(IPKernelApp.instance().abs_connection_file)
    return f"process {os.getpid()}"


def restarting(shell: InteractiveShell) -> bool:
    """Whether the kernel ends because it is restarted."""
    message = getattr(getattr(shell, "kernel", None), "_shutdown_message", None)
    return bool(message and message.get("content", {}).get("restart"))
