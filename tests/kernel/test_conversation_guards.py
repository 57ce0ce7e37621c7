from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from ipykernel.ipkernel import IPythonKernel
from IPython.core.display_trap import DisplayTrap
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.payload import PayloadManager

from jupyter_orchestra.notebook import guards, numbering


def guard(name: str) -> guards.Guard:
    return next(guard for guard in guards.GUARDS if guard.name == name)


def on_subshell(act: Any) -> Any:
    """What a call gives on a thread that bears the name of a subshell's."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(act()), name="subshell-of-this-test")
    thread.start()
    thread.join()
    return found[0]


def test_outside_a_kernel_there_is_nothing_to_guard() -> None:
    assert guards.install(SimpleNamespace()) == []  # type: ignore[arg-type]
    assert guards.install(SimpleNamespace(kernel=None)) == []  # type: ignore[arg-type]


def test_a_kernel_without_subshells_needs_no_guard() -> None:
    kernel = SimpleNamespace(_supports_kernel_subshells=False)
    assert guards.install(SimpleNamespace(kernel=kernel)) == []  # type: ignore[arg-type]


def test_a_guard_that_does_not_fit_is_left_out_and_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried = [
        guards.Guard("misfit", lambda kernel: kernel.nothing_of_the_kind, lambda kernel: None),
        guards.Guard("useless", lambda kernel: False, lambda kernel: pytest.fail("it is not needed")),
        guards.Guard("fitting", lambda kernel: True, lambda kernel: setattr(kernel, "guarded", True)),
    ]
    monkeypatch.setattr(guards, "GUARDS", tried)
    shell: Any = SimpleNamespace(kernel=SimpleNamespace(_supports_kernel_subshells=True))
    with caplog.at_level(logging.WARNING, "jupyter_orchestra"):
        assert guards.install(shell) == ["fitting"]
        assert guards.install(shell) == []
    assert shell.kernel.guarded
    assert "'misfit' does not fit" in caplog.text


# each is off where it is not needed


def test_capture_is_off_where_the_publisher_takes_a_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(CapturingDisplayPublisher, "set_parent", raising=False)
    assert guard("capture").needed(None)
    monkeypatch.setattr(CapturingDisplayPublisher, "set_parent", lambda self, parent: None, raising=False)
    assert not guard("capture").needed(None)


class RepliesWithItsOwnNumber:
    shell: Any

    async def do_execute(self, code: str, silent: bool) -> dict[str, Any]:
        result = self.shell.run_cell(code, store_history=True, silent=silent)
        return {"execution_count": result.execution_count}


class WantsMore:
    async def do_execute(self, code: str, silent: bool) -> dict[str, Any]:
        await asyncio.sleep(0)
        return {}


@pytest.mark.parametrize(
    ("kernel", "needed"), [(IPythonKernel, True), (RepliesWithItsOwnNumber, False), (WantsMore, True)]
)
def test_numbers_is_off_where_a_reply_bears_its_own(kernel: type[Any], needed: bool) -> None:
    assert numbering.is_needed(object.__new__(kernel)) is needed


class PayloadOfEachThread(PayloadManager):
    def __init__(self) -> None:
        super().__init__()
        self._own = threading.local()

    @property
    def _payload(self) -> Any:
        return self._own.__dict__.setdefault("payload", [])

    @_payload.setter
    def _payload(self, value: Any) -> None:
        self._own.payload = value


def test_a_value_of_its_own_is_off_where_the_class_sees_to_it() -> None:
    class Shared(PayloadManager):
        pass

    shared: Any = SimpleNamespace(shell=SimpleNamespace(payload_manager=Shared()))
    fixed: Any = SimpleNamespace(shell=SimpleNamespace(payload_manager=PayloadOfEachThread()))
    assert guard("payload").needed(shared)
    assert not guard("payload").needed(fixed)
    guard("payload").install(shared)
    assert not guard("payload").needed(shared)


def test_a_value_of_its_own_keeps_what_was_there_and_is_seen_by_plain_threads() -> None:
    class Kernel:
        asked = True

    kernel = Kernel()
    mended = guards.own_value("asked", lambda kernel: kernel, bool, "asked")
    mended.install(kernel)
    assert kernel.asked
    assert on_subshell(lambda: kernel.asked) is False
    on_subshell(lambda: setattr(kernel, "asked", None))
    assert kernel.asked
    seen: list[bool] = []
    thread = threading.Thread(target=lambda: seen.append(kernel.asked))
    thread.start()
    thread.join()
    assert seen == [True]


def test_parent_is_off_where_a_subshell_binds_its_thread_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from ipykernel import displayhook

    class BindsItsThread(displayhook.ZMQDisplayHook):
        def set_parent(self, parent: Any) -> None:
            self.set_thread_parent(parent)

    names = ("_shell_parent_ident", "_shell_parent", "_main_asyncio_lock")
    kernel = SimpleNamespace(**dict.fromkeys(names))
    assert guard("parent").needed(kernel)
    assert not guard("parent").needed(SimpleNamespace())
    monkeypatch.setattr(displayhook, "ZMQDisplayHook", BindsItsThread)
    assert not guard("parent").needed(kernel)


def test_hooks_is_off_where_there_are_none() -> None:
    assert not guard("hooks").needed(SimpleNamespace(shell=SimpleNamespace()))


def test_flush_is_off_where_a_reply_does_not_wait_for_it() -> None:
    class Replies:
        def execute_request(self) -> None:
            print("a reply")

    assert guard("flush").needed(object.__new__(IPythonKernel))
    assert not guard("flush").needed(Replies())


def test_tees_is_off_where_a_cell_leaves_the_streams_alone() -> None:
    class Leaves(InteractiveShell):
        def _tee(self, channel: Any) -> Any:
            return contextlib.nullcontext()

    assert guard("tees").needed(SimpleNamespace(shell=object.__new__(InteractiveShell)))
    assert not guard("tees").needed(SimpleNamespace(shell=object.__new__(Leaves)))
    assert not guard("tees").needed(SimpleNamespace(shell=SimpleNamespace()))


# an interrupt


class InterruptedShell:
    """One that is interrupted while its counter is set, once."""

    interrupted = False
    count = 1

    def __init__(self) -> None:
        self.displayhook = type("Hook", (), {"prompt_count": property(lambda self: 1), "quiet": None})()
        self.history_manager = SimpleNamespace(store_inputs=lambda *inputs: None)
        self._observers: list[Any] = []

    @property
    def execution_count(self) -> int:
        return self.count

    @execution_count.setter
    def execution_count(self, value: int) -> None:
        if not self.interrupted:
            self.interrupted = True
            raise KeyboardInterrupt
        self.count = value
        for observer in self._observers:
            observer({"new": value})

    def observe(self, observer: Any, name: str) -> None:
        self._observers.append(observer)

    async def run_cell_async(self, raw_cell: str, store_history: bool, silent: bool) -> int:
        number = self.execution_count
        self.execution_count += 1
        return number


def test_an_interrupt_while_a_cell_takes_its_number_holds_up_no_other_cell() -> None:
    shell: Any = InterruptedShell()
    kernel = SimpleNamespace(shell=shell, _publish_execute_input=lambda: None, do_execute=lambda: None)
    numbering.Numbering(kernel).install()
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(shell.run_cell_async("1", True, False))
    found: list[int] = []
    beside = threading.Thread(
        target=lambda: found.append(asyncio.run(shell.run_cell_async("2", True, False))), daemon=True
    )
    beside.start()
    beside.join(10)
    assert found == [2]
    assert shell.count == 3


# entering and leaving at once


class SlowTrap(DisplayTrap):
    """One whose way out gives another thread the time to come in."""

    def unset(self) -> None:
        self.other = threading.Thread(target=self.__enter__)
        self.other.start()
        self.other.join(0.2)
        super().unset()


def test_a_cell_that_begins_while_another_ends_finds_its_display_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    hook = object()
    monkeypatch.setattr("sys.displayhook", print)
    kernel: Any = SimpleNamespace(shell=SimpleNamespace(builtin_trap=SlowTrap(hook), display_trap=SlowTrap(hook)))
    assert guard("traps").needed(kernel)
    guard("traps").install(kernel)
    trap = kernel.shell.display_trap
    with trap:
        pass
    trap.other.join()
    import sys

    assert sys.displayhook is hook
    assert trap.is_active


def test_traps_is_off_where_they_count_otherwise() -> None:
    trap = SimpleNamespace()
    assert not guard("traps").needed(SimpleNamespace(shell=SimpleNamespace(builtin_trap=trap, display_trap=trap)))
