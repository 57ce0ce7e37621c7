"""The composition root: builds the orchestra of one kernel and ties it to IPython; it alone knows everybody.

Longer than the other modules, since who knows everybody has much to name; nothing is decided here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeout
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from IPython.core.interactiveshell import InteractiveShell

from . import api, host
from .client.client import Client
from .config import BUDGETS, Orchestra
from .controlling import RENEW, Controlling
from .conversing import Conversing
from .core import events as e
from .core.machine import MachineState
from .core.model import TIERS
from .errors import OrchestraError, UsageError
from .notebook import guards
from .notebook.commands import Commands
from .notebook.context import CellContext
from .notebook.inline import InlineCards
from .notebook.magics import OrchestraMagics
from .notebook.nesting import Nesting
from .notebook.publisher import Publisher
from .notebook.sink import NotebookSink
from .notebook.snapshots import NotebookSnapshots
from .runtime import Runtime
from .thread import RuntimeThread, replay

if TYPE_CHECKING:
    from .bridge.hub import Hub
    from .core.ports import Launcher, Worker
    from .housekeeping import Housekeeper
    from .journal.journal import Journal

log = logging.getLogger("jupyter_orchestra")

NOTICE_WITHIN = 0.08  # seconds that %load_ext waits for what an earlier kernel's journal has to say
PULSE = 30.0  # seconds between two signs of life while a task runs
START_WITHIN = 30.0  # seconds that a cell waits for the orchestra to start

ASKED = {"cancel": e.CancelAsked, "pause": e.PauseAsked, "resume": e.ResumeAsked, "retry": e.RetryAsked}

_app: App | None = None


class App:
    """The orchestra of one kernel."""

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell
        self.config = Orchestra.instance(parent=shell)
        self.controlling = Controlling(self._take_settings(), self._notebook())
        self.controlling.check()
        self._journal: Journal | None = None
        self._runtime: Runtime | None = None
        self._made: Runtime | None = None
        self._keeper: Housekeeper | None = None
        self._told = 0
        self._told_lost: set[tuple[str, int]] = set()  # (uid, attempt)
        self._nesting = Nesting()
        self.context = CellContext(shell, self._notebook(), NotebookSnapshots(lambda: self.journal))
        self.client = Client(self.runtime, self.context)
        self.publisher = Publisher(shell)
        self.inline = InlineCards(self.publisher, self._ask_inline)
        self.sink = NotebookSink(self.client, self.publisher, self._is_live(), self._awaits_page(), self.inline)
        self.client.taken = self.sink.taken
        self.client.bring_back = self._bring_back
        self.client.live_outputs = self.sink.outputs_so_far
        self.client.saying = self.sink.replies.first
        self.client.copy_waiting = self._copy_waiting
        self.client.resolve = self.controlling.resolve
        self.conversing = Conversing(self.config, self.client, self.context, self.sink.replies, self._tell_master)
        self.magics = OrchestraMagics(shell, self.client, self.context, self.sink, self._commands())
        self._loop = host.kernel_loop(shell)
        self._comes_back = self._has_journal()
        self._process = os.getpid()
        self._hub: Hub | None = None
        self._opening = False
        self._who = ""  # answers, in one line
        self._was_attached = self._closed = False
        self.thread = RuntimeThread(self._make)
        host.register_exit(self.close)

    # what the parts are made of

    def runtime(self) -> Runtime:
        """The runtime, once it works. Raises OrchestraError when it could not start."""
        if self._runtime is None:
            try:
                self._runtime = self.thread.runtime(START_WITHIN)
            except FutureTimeout:
                raise OrchestraError("the orchestra is still starting: run the cell again in a moment") from None
            except Exception as error:
                raise OrchestraError(f"the orchestra could not start ({error}): see the kernel's log") from error
        return self._runtime

    @property
    def journal(self) -> Journal:
        """The notebook's journal."""
        self.runtime()
        assert self._journal is not None
        return self._journal

    def _make(self) -> Runtime:
        """On the runtime's thread: open the journal, replay it, build the workers."""
        from .housekeeping import EVERY, Housekeeper, forget_buffers
        from .journal import open_journal

        path = self._notebook()
        states: list[MachineState] = []
        journal = open_journal(
            Path(path) if path else None,
            host.kernel_key(self.shell),
            on_blocked=self._on_blocked,
            on_freed=self._on_freed,
            readable=lambda data: _read_state(data, states),
            also=forget_buffers,
        )
        self._journal = journal  # from here on it must be closed, whatever comes
        machine = replay(journal.events(), states[-1] if journal.snapshot and states else None)
        if journal.stale:
            journal.rebuild(machine.tasks.values())
        mark = journal.folder.name
        self._sweep(mark)
        launcher = self.controlling.make_launcher(mark, machine, self.config.grace, self.config.max_processes)
        runtime = Runtime(
            journal, self._workers(launcher, mark), journal.runs, machine=machine, epoch=journal.epoch,
            max_unfinished=self.config.max_unfinished, tiers=self.conversing.tiers(),
        )  # fmt: skip
        self._measure(launcher, runtime)
        runtime.sink = self.sink
        runtime.master = self.conversing.master(self.shell.user_ns)
        self._made = runtime
        runtime.await_keeper()
        runtime.after_start(lambda: self.controlling.begin(runtime, launcher, journal.runs / "leased", mark))
        runtime.every(RENEW, self.controlling.renew)
        runtime.before_end(partial(self._leave, launcher))
        runtime.before_end(self.controlling.close)
        runtime.after_end(launcher.close)
        runtime.after_end(self.controlling.end_allowance)
        if any(getattr(self.config, name) for name in BUDGETS):
            self._declare_budgets(runtime)  # in the inbox before anything runs, so that nothing is spent before
        if journal.blocked:
            self._on_blocked(journal.blocked)
        self._keeper = keeper = Housekeeper(runtime, journal, self.config.journal_limit)
        keeper.sweep_captures()
        runtime.after_start(keeper.sweep_runs)
        runtime.release = keeper.release
        runtime.every(EVERY, keeper.look)
        runtime.every(PULSE, self._pulse)
        runtime.after_start(_warm_up)
        runtime.after_start(self._open_bridge)
        return runtime

    def _measure(self, launcher: Launcher, runtime: Runtime) -> None:
        """Let what the launcher hears of processes be known, where it hears anything."""
        if not launcher.outlived:
            return
        from .supervisor.launcher import SupervisedLauncher

        if isinstance(launcher, SupervisedLauncher):
            launcher.on_beat = runtime.meter.take
            self.client.measure = lambda: asyncio.run_coroutine_threadsafe(launcher.hear(), runtime.loop)

    def _workers(self, launcher: Launcher, mark: str) -> Iterator[Worker]:
        from .workers.agent import AgentWorker
        from .workers.kernel import KernelWorker
        from .workers.loop import LoopWorker
        from .workers.notebook import NotebookWorker
        from .workers.plugins import plugins
        from .workers.pool import KernelPool
        from .workers.shell import ShellWorker

        config, limit = self.config, self.config.output_limit
        pool = KernelPool(launcher, warm=config.warm_kernels)
        adopter = launcher if launcher.outlived else None
        yield KernelWorker(pool, config.kernel_slots, runtime=mark, limit=limit, adopter=adopter)
        yield ShellWorker(launcher, config.shell_slots, runtime=mark, limit=limit, adoptable=launcher.outlived)
        yield NotebookWorker(launcher, config.notebook_slots, runtime=mark)
        yield AgentWorker(
            self.conversing.access(),
            launcher,
            config.agent_slots,
            runtime=mark,
            read_cell=self.conversing.read_cell,
            landlock_suffices=lambda: config.sandbox == "landlock",
        )
        yield LoopWorker(lambda: self.shell, lambda: self._loop, self.client.live, config.loop_slots)
        yield from plugins(launcher)

    def _pulse(self) -> None:
        """While anything runs, the kernel is in use: JupyterHub and Binder must not cull it."""
        if self._made is not None and self._made.busy:
            self.publisher.pulse()

    def _commands(self) -> Commands:
        return Commands(
            self.client, doctor=self._doctor, config=self.config.lines, clean=self._clean, about=self._about,
            model=lambda words: self.conversing.model(words, self.runtime()),
            agents=lambda: self.conversing.agents(self.runtime()),
        )  # fmt: skip

    def _doctor(self) -> str:
        from . import doctor

        return doctor.render(doctor.run_checks(models=self.conversing.settings()))

    # settings

    def _take_settings(self) -> tuple[Path, dict[str, Any]] | None:
        found = None
        try:
            found = self.config.apply_project(Path.cwd())
        except (UsageError, OSError) as error:
            print(f"jupyter_orchestra: {error}", file=sys.stderr)
        configurables: list[Any] = self.shell.configurables
        if self.config not in configurables:
            configurables.append(self.config)
        slots = [name for name in self.config.trait_names(config=True) if name.endswith("_slots")]
        self.config.observe(self._on_slots, slots)
        self.config.observe(self._on_budgets, BUDGETS)
        self.config.observe(self._on_admission, "max_unfinished")
        return found

    def _on_slots(self, change: Any) -> None:
        runtime, name = self.runtime(), change["name"].removesuffix("_slots")
        if name in TIERS:
            runtime.post(e.TiersDeclared(runtime.now(), self.conversing.tiers_now()))
            return
        worker = runtime.workers[name]
        runtime.post(e.KindDeclared(runtime.now(), msgspec.structs.replace(worker.kind, slots=change["new"])))

    def _on_budgets(self, change: Any = None) -> None:
        self._declare_budgets(self.runtime())

    def _declare_budgets(self, runtime: Runtime) -> None:
        self.controlling.allow(runtime, self.config.allowance())
        runtime.post(e.BudgetsDeclared(runtime.now(), self.config.budgets()))

    def _on_admission(self, change: Any) -> None:
        runtime = self.runtime()
        runtime.post(e.AdmissionDeclared(runtime.now(), change["new"]))

    def _notebook(self) -> str:
        """The notebook's path: a setting, the server's word, or what VS Code leaves in the namespace."""
        path = self.config.notebook or host.session_name()
        path = path or str(self.shell.user_ns.get("__vsc_ipynb_file__", ""))
        return os.path.abspath(path) if path else ""

    def _has_journal(self) -> bool:
        """Whether an earlier kernel of this notebook left a journal, which may have something to say."""
        from .journal import location

        path = self._notebook()
        root = location.base(Path(path) if path else None)
        try:
            place = location.find(root, Path(path)) if path else location.private(root, host.kernel_key(self.shell))
            return (place.folder / "journal.db").exists()
        except OSError:
            return False

    def _is_live(self) -> bool:
        """Whether a front end is there that takes late updates of a cell's output."""
        if self.config.front_end != "auto":
            return bool(self.config.front_end == "live")
        known = host.session_name() or "__vsc_ipynb_file__" in self.shell.user_ns or "google.colab" in sys.modules
        return bool(known) and getattr(self.shell, "kernel", None) is not None

    def _awaits_page(self) -> bool:
        """Whether a page may come: to any kernel, unless the settings say what the front end is."""
        return self.config.front_end == "auto" and getattr(self.shell, "kernel", None) is not None

    # pages

    def _open_bridge(self) -> None:
        """On the runtime's loop: make the page's other side; its import would hold up a cell, and the loop."""
        if not self._awaits_page() or self._opening:
            return
        if self._hub is not None:
            self._hub.announce()
            return
        self._opening = True
        bridge = "jupyter_orchestra.bridge.hub"
        importing = asyncio.get_running_loop().run_in_executor(None, import_module, bridge)
        importing.add_done_callback(self._build_bridge)

    def _build_bridge(self, importing: asyncio.Future[Any]) -> None:
        self._opening = False
        if importing.cancelled() or self._closed:
            return
        if (error := importing.exception()) is not None:
            log.error("pages can't be reached", exc_info=error)
            return
        from .bridge.comms import Comms
        from .bridge.hub import Hub
        from .notebook.composed import Composer

        runtime, kernel = self.runtime(), self.shell.kernel  # type: ignore[attr-defined]
        self._hub = Hub(
            self.client,
            Comms(kernel, runtime.on_loop),
            self.sink.kept,
            Composer(self.client, self.context).take,
            private=self.journal.private,
        )
        self.context.present = self._hub.path
        self._hub.set_master(self._who)
        self.sink.attach(self._hub)
        if self._is_live():
            self._hub.announce()

    def _tell_master(self, line: str) -> None:
        """On the runtime's loop: who answers, in one line."""
        self._who = line
        if self._hub is not None:
            self._hub.set_master(line)

    def _close_bridge(self) -> None:
        """On the runtime's loop: pages that live after all find out when they hear of the extension again."""
        self.inline.close()
        hub, self._hub = self._hub, None
        if hub is not None:
            self.sink.attach(None)
            hub.close()

    # the journal's troubles and its size

    def _on_blocked(self, reason: str) -> None:
        if (runtime := self._made) is not None:
            runtime.post(e.JournalBlocked(runtime.now(), reason))

    def _on_freed(self) -> None:
        if (runtime := self._made) is not None:
            runtime.post(e.JournalFreed(runtime.now()))

    async def _leave(self, launcher: Launcher) -> None:
        """The kernel ends: a restarted one finds its tasks again."""
        if self._restarts:
            self.controlling.leave()
            await launcher.release()
        else:
            await launcher.forsake()

    @property
    def _restarts(self) -> bool:
        return host.restarting(self.shell)

    def _sweep(self, mark: str) -> None:
        """End what a dead kernel of this notebook left running, but what its supervisor owns."""
        from .processes.tree import sweep

        sweep(f"ORCHESTRA_RUNTIME={mark}", spared=self.controlling.supervisor(mark))

    def _clean(self) -> int:
        """What is stored and no longer named goes; the bytes freed."""
        self.runtime()
        assert self._keeper is not None
        return self._keeper.clean()

    def _about(self) -> list[str]:
        journal = self.journal
        kind = " (private: it goes when this kernel ends)" if journal.private else ""
        sizes = f"{journal.size() / 1e6:.1f} MB of {self.config.journal_limit / 1e6:.0f} MB"
        lines = [f"journal: {journal.folder}{kind}, {sizes}"]
        if journal.blocked:
            lines.append(f"journal blocked: {journal.blocked}")
        return [*lines, *journal.notices]

    # ties to IPython

    def attach(self) -> None:
        """Register magics and hooks."""
        host.log_beside_the_cells(self.shell)
        guards.install(self.shell)
        api.connect(self.client)
        self.shell.register_magics(self.magics)
        self.shell.events.register("pre_run_cell", self._before_cell)
        self.shell.events.register("post_run_cell", self._after_cell)
        if self._was_attached and self._made is not None:
            self._made.on_loop(self._open_bridge)
        self._was_attached = True
        try:
            self._runtime = self.thread.runtime(NOTICE_WITHIN if self._comes_back else 0)
        except FutureTimeout:
            return  # what it has to say comes with the next cell
        except Exception as error:
            print(f"jupyter_orchestra could not start: {error}", file=sys.stderr)
            return
        self.tell()

    def detach(self) -> None:
        """Take hooks and magics away; the tasks run on."""
        self._leave_pages()
        self.shell.events.unregister("pre_run_cell", self._before_cell)
        self.shell.events.unregister("post_run_cell", self._after_cell)
        for kind, names in self.magics.magics.items():
            for name in names:
                self.shell.magics_manager.magics[kind].pop(name, None)
        api.connect(None)

    def _ask_inline(self, action: str, uid: str) -> Future[e.Answer]:
        """A button of an inline card was pressed."""
        runtime = self.runtime()
        return runtime.ask(ASKED[action](runtime.now(), runtime.new_request(), targets=(uid,)))

    def _leave_pages(self) -> None:
        if self._made is not None:
            with contextlib.suppress(FutureTimeout, CancelledError):
                self._made.on_loop(self._close_bridge).result(1.0)

    def tell(self) -> None:
        """Say what the person must know of the journal, once."""
        assert self._journal is not None
        news, self._told = self._journal.notices[self._told :], len(self._journal.notices)
        for notice in news:
            print(f"jupyter_orchestra: {notice}")
        if self._runtime is None:
            return
        for view in self._runtime.board.lost():
            if view.needs_you and (view.uid, view.attempt) not in self._told_lost:
                self._told_lost.add((view.uid, view.attempt))
                print(f"jupyter_orchestra: {view.name} was lost: {view.reason}; {view.needs_you}")

    def _bring_back(self, uids: Collection[str]) -> None:
        self.magics.bring_back(uids)

    def _before_cell(self, info: Any = None) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        self._nesting.begin(info, self.context.cohort())
        self.conversing.recorder.begin(getattr(info, "raw_cell", "") or "", self.context.parent())
        if self._works():
            self._quietly(self.magics.bring_back)

    def _after_cell(self, result: Any = None) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        outermost = self._nesting.end(result, self.context.cohort())
        self.conversing.recorder.end(result)
        if not self._works():
            return
        self._quietly(self.magics.bring_back)
        if outermost:  # the output of a cell inside another may be captured, and nobody may ever look at it
            self._quietly(self.tell)
            self._quietly(self._flush)

    def _flush(self) -> None:
        self.sink.flush()
        self.sink.replies.flush()
        self.sink.settle()

    def _works(self) -> bool:
        """Whether the orchestra is there already."""
        if self._runtime is None and self.thread.works:
            self._runtime = self.thread.runtime()
        return self._runtime is not None

    @staticmethod
    def _quietly(act: Callable[[], object]) -> None:
        """The person's cell must not fail for something of ours."""
        try:
            act()
        except OrchestraError as error:
            print(f"jupyter_orchestra: {error}", file=sys.stderr)
        except Exception:
            log.exception("a hook failed")

    def take_snapshot(self, uid: str) -> None:
        """On the main shell, after the cells sent before: copy what a dispatch from a subshell uses."""
        request = self.context.take_later(uid)
        if request is None:
            return
        runtime = self.runtime()
        try:
            capture = self.context.snapshot(request)
        except OrchestraError as error:
            runtime.post(e.SnapshotFailed(runtime.now(), uid, str(error)))
        else:
            runtime.post(e.SnapshotTaken(runtime.now(), uid, capture))

    def _copy_waiting(self) -> None:
        """A cell waits for tasks: those that wait for that very cell get their copies now."""
        for uid in self.context.waiting():
            self.take_snapshot(uid)

    def close(self) -> None:
        """End with the kernel: what runs is ended, what is known is written."""
        if self._closed or os.getpid() != self._process:  # a fork of the kernel ends, not the kernel
            return
        self._closed = True
        self._leave_pages()
        self.thread.stop()
        if self._journal is not None:
            gone = self._journal.private and not self._restarts
            if self._keeper is not None:
                self._keeper.close(gone)
            self._journal.close(delete=gone, keep_runs=self._restarts)


def load(shell: InteractiveShell) -> None:
    """Load the extension; loading it again loses nothing."""
    global _app
    if "jupyter_orchestra.workers.inside_task" in sys.modules:
        raise OrchestraError(api.NESTED)
    if _app is not None and _app.shell is shell:
        _app.attach()
        return
    _app = App(shell)
    _app.attach()


def unload(shell: InteractiveShell) -> None:
    """Take the magics away; the tasks run on until the kernel ends."""
    if _app is not None:
        _app.detach()


def take_snapshot(uid: str) -> None:
    """What the kernel asks itself to do when the cells sent before a dispatch have run."""
    if _app is not None:
        _app.take_snapshot(uid)


def _read_state(data: bytes, states: list[MachineState]) -> bool:
    """Whether a state that was written down can be read by this version; if so it stands in `states`."""
    try:
        states.append(msgspec.json.decode(data, type=MachineState))
    except msgspec.DecodeError:
        return False
    return True


def _warm_up() -> None:
    """Import what the first dispatch needs, while the person reads on."""
    import_module("jupyter_orchestra.workers.pickling")
