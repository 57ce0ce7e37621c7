"""Owns the IPython shell of a spawned kernel: what it shows becomes frames of the running task's spool."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, NoReturn, cast

from ipykernel.compiler import XCachingCompiler
from ipykernel.displayhook import ZMQShellDisplayHook
from ipykernel.jsonutil import encode_images, json_clean
from ipykernel.zmqshell import ZMQDisplayPublisher, ZMQInteractiveShell
from IPython.core.autocall import ZMQExitAutocall
from IPython.core.error import StdinNotImplementedError
from traitlets import default

from .inside_patience import patiently
from .words import words

TEXT: Final = 1000  # characters of a value's repr that go along with it
NO_INPUT: Final = "input() is not available in a background task: pass the value in as a variable"


def refuse_input(prompt: object = "", stream: object = None) -> NoReturn:
    """In the place of input() and getpass()."""
    raise StdinNotImplementedError(NO_INPUT)


def as_json(content: Any) -> bytes:
    """An output as JSON, in UTF-8."""
    return json.dumps(json_clean(content), separators=(",", ":")).encode()


class TaskCompiler(XCachingCompiler):
    """Names the code of a task so that a traceback says whose it is, in every process that it may reach."""

    task = ""

    def get_code_name(self, raw_code: str, code: str, number: int) -> str:
        return f"<task {self.task}>"

    def format_code_name(self, name: str) -> tuple[str, str] | None:
        return ("Task", name[6:-1]) if name in self._filename_map else None


class TaskDisplayHook(ZMQShellDisplayHook):
    """Keeps the value of the last expression and shows it."""

    value: Any = None
    text = ""

    def begin(self, code: str) -> None:
        """Forget the task before."""
        self.value, self.text, self._code = None, "", code

    def quiet(self) -> bool:
        tail = self._code.rstrip().rpartition("\n")[2]
        base: Any = self
        return ";" in tail and bool(base.semicolon_at_end_of_expression(self._code))

    def __call__(self, result: Any = None) -> None:
        self.value = result
        if result is None or self.quiet():
            return
        base: Any = self
        data, metadata = base.compute_format_data(result)
        base.fill_exec_result(result)
        self.text = str(data.get("text/plain", ""))[:TEXT]
        if data:
            output = {"output_type": "execute_result", "data": encode_images(data), "metadata": metadata or {}}
            base.shell.put("display", as_json({**output, "execution_count": None}))


class TaskDisplayPublisher(ZMQDisplayPublisher):
    """Shows what `display` is given."""

    def publish(  # type: ignore[override]
        self,
        data: dict[str, Any],
        metadata: dict[str, Any] | None = None,
        *,
        transient: dict[str, Any] | None = None,
        update: bool = False,
        **kwargs: Any,
    ) -> None:
        metadata = metadata or {}
        base: Any = self
        base._validate_data(data, metadata)
        output = {"output_type": "display_data", "data": encode_images(data), "metadata": metadata}
        name = (transient or {}).get("display_id")
        fields = {"id": str(name)} if name else {}
        base.shell.put("update_display" if update else "display", as_json(output), **fields)

    def clear_output(self, wait: bool = False) -> None:
        self.shell.put("clear", wait=wait)


class Exit(ZMQExitAutocall):
    """exit() and quit() end the task, not its kernel."""

    def __call__(self, code: object = 0) -> NoReturn:
        raise SystemExit(code)


class TaskShell(ZMQInteractiveShell):
    """Runs the code of one task at a time, each in a namespace of its own."""

    displayhook_class = TaskDisplayHook
    display_pub_class = TaskDisplayPublisher
    console: Any = None
    process = os.getpid()  # of the kernel, as against a child that a task forks

    @default("exiter")
    def _exiter(self) -> Exit:
        return Exit(self)  # type: ignore[no-untyped-call]

    def put(self, kind: str, payload: bytes = b"", *, patient: bool = True, **fields: Any) -> None:
        """Add a frame to the running task's spool, after the text before it; one that may be lost is not patient."""
        self.console.flush()
        spool = self.console.spool
        if spool is not None and os.getpid() == self.process:  # a forked child has text to add, and no result
            if patient:
                patiently(lambda: spool.frame(kind, payload, **fields))
            else:
                with suppress(OSError):
                    spool.frame(kind, payload, **fields)

    def renew(self, task: str, code: str) -> dict[str, Any]:
        """Make a fresh ``__main__`` and give its namespace."""
        base: Any = self
        module = types.ModuleType("__main__")
        base.user_module, base.user_ns = base.prepare_user_module(user_module=module)
        base.user_ns_hidden.clear()
        base.init_user_ns()
        sys.modules["__main__"] = module
        base.call_pdb = False
        base.compile.task = task
        base.compile.reset_compiler_flags()
        base.compile._filename_map.clear()
        base.displayhook.begin(code)
        self._last_traceback = None
        return cast("dict[str, Any]", base.user_ns)

    async def run_task(self, code: str) -> BaseException | None:
        """Run `code` as a cell; what it raised, None when it went well."""
        base: Any = self
        problem = None
        try:
            cell = base.transform_cell(code)
        except Exception:
            cell, problem = code, sys.exc_info()
        run = self.run_cell_async(code, transformed_cell=cell, preprocessing_exc_tuple=problem)
        result = None
        try:
            if ("await" in cell or "async" in cell) and self.should_run_async(
                code, transformed_cell=cell, preprocessing_exc_tuple=problem
            ):
                result = await self._awaited(run)
            else:
                result = _driven(run)
        finally:
            self.events.trigger("post_execute")
            self.events.trigger("post_run_cell", result)
        error: BaseException | None = result.error_before_exec or result.error_in_exec
        return error

    async def _awaited(self, run: Any) -> Any:
        task = asyncio.ensure_future(run)
        with _interrupting(task):
            return await task

    def showtraceback(self, exc_tuple: Any = None, *args: Any, **kwargs: Any) -> None:
        _, error, _ = exc_tuple or sys.exc_info()
        if isinstance(error, KeyboardInterrupt):  # drawing where it was would hold the cancelling up
            self._showtraceback(type(error), error, ["KeyboardInterrupt"])
        else:
            super().showtraceback(exc_tuple, *args, **kwargs)

    def _showtraceback(self, etype: type[BaseException], evalue: BaseException, stb: list[str]) -> None:
        if issubclass(etype, SystemExit):
            stb = stb[1:]  # "use %tb", which nobody can
        self.put("error", as_json({"ename": etype.__name__, "evalue": words(evalue), "traceback": list(stb)}))
        self._last_traceback = stb

    def ask_exit(self) -> None:
        raise SystemExit(0)

    def set_parent(self, parent: dict[str, Any]) -> None:
        """Nothing is published, so nothing needs the parent but who asks for it."""
        self.parent_header = parent


def _driven(run: Any) -> Any:
    """The result of a coroutine that awaits nothing."""
    try:
        run.send(None)
    except StopIteration as end:
        return end.value
    run.close()
    raise RuntimeError("a cell without await has waited")


@contextmanager
def _interrupting(task: asyncio.Future[Any]) -> Iterator[None]:
    """SIGINT cancels `task` where it waits, and raises KeyboardInterrupt where it computes."""
    loop = asyncio.get_running_loop()

    def interrupt(number: int, frame: types.FrameType | None) -> None:
        if frame is None or frame.f_code.co_filename.endswith("selectors.py"):
            loop.call_soon_threadsafe(task.cancel)  # call_soon alone would not wake the loop
        else:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
