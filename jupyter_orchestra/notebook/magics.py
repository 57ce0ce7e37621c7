"""The magics: each reads its flags, asks the client, and says in a line what came of it."""

from __future__ import annotations

import builtins
import uuid
from collections.abc import Callable, Collection, Iterable
from typing import Any

from IPython.core.getipython import get_ipython
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, cell_magic, line_cell_magic, line_magic, magics_class

from ..client.client import TICK, Client
from ..client.handle import TaskHandle
from ..client.keyboard import steer
from ..client.request import is_variable, make_request, seconds
from ..core import events as e
from ..core.lines import card
from ..core.model import Origin, Stage, State
from ..core.views import TaskView
from ..errors import OrchestraError, UnknownTaskError, UsageError
from . import flags
from .cards import table
from .commands import Commands
from .context import CellContext
from .publisher import Publisher
from .sink import NotebookSink


class Gathered(list[Any]):
    """The values that ``%gather`` waited for; the cell that gathered shows nothing more, since they stand above it."""

    def __init__(self, values: Iterable[Any], cell: int) -> None:
        super().__init__(values)
        self._cell = cell

    def _ipython_display_(self) -> None:
        shell = get_ipython()
        if shell is None or shell.execution_count != self._cell:
            print(repr(list(self)))


def _line(action: Callable[..., Any]) -> Callable[..., Any]:
    """A magic whose ``--help`` ends it quietly."""

    def run(self: OrchestraMagics, *args: str) -> Any:
        try:
            return action(self, *args)
        except flags.HelpShown as shown:
            self._say(str(shown))
            return None

    run.__name__, run.__doc__ = action.__name__, action.__doc__
    return run


@magics_class
class OrchestraMagics(Magics):
    """``%%dispatch`` and the line magics around it."""

    def __init__(
        self, shell: InteractiveShell, client: Client, context: CellContext, sink: NotebookSink, commands: Commands
    ) -> None:
        super().__init__(shell)
        self._client, self._context, self._sink, self._commands = client, context, sink, commands
        self._publisher = Publisher(shell)
        self._brought: dict[str, Any] = {}  # variables that tasks have put into the notebook

    @cell_magic
    @_line
    def dispatch(self, line: str, cell: str) -> Any:
        """Run the cell's body in the background."""
        handle_name, block, options = flags.read_dispatch(line)
        if handle_name is not None and not is_variable(handle_name):
            raise UsageError(f"-o takes the name of a variable, not {handle_name!r}")
        request = make_request(cell, workers=self._client.runtime.workers, card=True, **options)
        handle = self._client.dispatch(request)
        if handle_name is not None:
            self._namespace[handle_name] = handle
        view = handle.view
        self._publisher.display_first(self._sink.bundle(view), view.anchor.display if view.anchor else "")
        if block:
            self._gather([handle], None)
        return None

    @line_cell_magic
    @_line
    def chat(self, line: str, cell: str | None = None) -> None:
        """Talk to the master."""
        if cell is None and not line.lstrip().startswith("-"):  # %chat TEXT, quotes and all
            self._client.say(line)
            return
        options = flags.chat_flags().read(line)
        said = " ".join(options["text"])
        self._client.say(
            "\n".join(part for part in (said, cell or "") if part), options["tier"] or "", options["model"] or ""
        )

    @line_magic
    @_line
    def tasks(self, line: str) -> None:
        """List all tasks."""
        flags.Flags("%tasks", "List all tasks.").read(line)
        self._say(table(self._client.board.all(), self._client.runtime.now()))

    @line_magic
    @_line
    def task(self, line: str) -> None:
        """Show one task, its result again once it has ended."""
        name = flags.task_flags().read(line)["name"]
        cell = str(self._context.parent().get("metadata", {}).get("cellId", ""))
        try:
            handle = self._client.find(name)
        except UnknownTaskError:
            from .saved import show_saved

            if show_saved(self._publisher, self._context.files(), cell, name):
                return
            raise
        if (ask := handle.view.ask) is not None:
            self._say(f"{handle.name} needs you: {handle.needs_you}\n\n{ask.detail}\n")
            self._say(f"%approve {handle.name} lets it, %decline {handle.name} WHY does not")
        elif not handle.ready() and not self._sink.live and not self._context.must_wait():
            self._gather([handle], None)
            return
        if handle.ready():
            self._sink.show_again(handle.view, cell)
            self._put(handle.view)
            return
        display = f"jo-task-{uuid.uuid4().hex[:12]}"
        self._publisher.display(self._sink.bundle(handle.view), display_id=display)
        self._sink.fills(handle.uid, display, self._context.header(), cell)

    @line_magic
    @_line
    def gather(self, line: str) -> Gathered:
        """Wait for tasks and show their results."""
        options = flags.gather_flags().read(line)
        timeout = None if options["timeout"] is None else seconds(options["timeout"], "--timeout")
        names = [name for word in options["names"] for name in word.split(",") if name]
        handles = [self._client.find(name) for name in names] if names else self._client.unfinished()
        return self._gather(handles, timeout, everything=not names)

    def _gather(self, handles: list[TaskHandle], timeout: float | None, everything: bool = False) -> Gathered:
        """Wait, showing each result as it arrives; what was shown before gets one line."""
        wanted = {handle.uid for handle in handles}
        shown: set[str] = set()
        end = None if timeout is None else self._client.runtime.now() + timeout
        told, asked = "", set[str]()
        with self._sink.claim(wanted, everything):
            while True:
                if everything:  # the master may have dispatched more
                    handles += [handle for handle in self._client.unfinished() if handle.uid not in wanted]
                    wanted.update(handle.uid for handle in handles)
                left = self._worth_waiting([handle for handle in handles if not handle.ready()], asked, everything)
                shown.update(self._sink.flush(lambda view: everything or view.uid in wanted))
                if not left and not (everything and (self._is_talking() or self._has_more(wanted))):
                    break
                if end is not None and self._client.runtime.now() >= end:
                    raise self._client.late(left, timeout)
                if (blocked := self._client.board.blocked) != told:
                    told = blocked
                    self._say(f"waiting: {blocked}" if blocked else "going on")
                tick = TICK if end is None else min(TICK, max(0.0, end - self._client.runtime.now()))
                self._wait(left, tick)
            self._sink.wait_for_delivery(lambda view: everything or view.uid in wanted)
            shown.update(self._sink.flush(lambda view: everything or view.uid in wanted))
            for handle in handles:
                if handle.uid not in shown:
                    self._say(card(handle.view, self._client.runtime.now()) + self._where(handle))
        self.bring_back()
        assert self.shell is not None
        return Gathered(map(self._value, handles), self.shell.execution_count)

    def _worth_waiting(self, left: list[TaskHandle], asked: set[str], everything: bool) -> list[TaskHandle]:
        """Those that can end without the person, who is told once of the others; for a task by its name they are waited
        for too, where the person can answer meanwhile."""
        asking = [handle for handle in left if handle.view.ask is not None]
        for handle in asking:
            if handle.uid not in asked:
                asked.add(handle.uid)
                self._say(f"{handle.name} needs you: {handle.needs_you}; %task {handle.name} shows it whole")
        if everything or not self._sink.live:
            return [handle for handle in left if handle not in asking]
        return left

    def _is_talking(self) -> bool:
        """Whether the master has something to say still."""
        self._sink.replies.flush()
        if not self._client.master_is_idle:
            return True
        self._sink.replies.wait_for_delivery()
        self._sink.replies.flush()
        return not self._client.master_is_idle

    def _has_more(self, known: set[str]) -> bool:
        return any(handle.uid not in known for handle in self._client.unfinished())

    def _wait(self, left: list[TaskHandle], tick: float) -> None:
        if left:
            self._client.wait_any([handle.uid for handle in left], tick)
        else:
            self._client.wait_for_master(tick)

    @staticmethod
    def _value(handle: TaskHandle) -> Any:
        """The value, or what says why it can't be loaded: the task is done all the same."""
        try:
            return handle.result
        except OrchestraError as error:
            return error

    @staticmethod
    def _where(handle: TaskHandle) -> str:
        return "" if handle.view.stage in (None, Stage.QUEUED) else " · shown above"

    @line_magic
    @_line
    def steer(self, line: str) -> None:
        """Send a running agent a message, or type a line into a task's terminal."""
        name, _, text = line.strip().partition(" ")
        if name in ("", "-h", "--help"):
            self._say("usage: %steer NAME TEXT    sends the running task NAME a message; into a terminal it is typed")
            return
        steer(self._client, name, text.strip())
        self._say(f"sent to {name}")

    @line_magic
    @_line
    def pause(self, line: str) -> None:
        """Hold tasks."""
        self._act(e.PauseAsked, "%pause", "Hold tasks; %resume lets them go on.", line, "paused")

    @line_magic
    @_line
    def resume(self, line: str) -> None:
        """Let held tasks go on."""
        self._act(e.ResumeAsked, "%resume", "Let held tasks go on.", line, "resumed")

    @line_magic
    @_line
    def cancel(self, line: str) -> None:
        """Cancel tasks."""
        self._act(e.CancelAsked, "%cancel", "Cancel tasks; what they had put out is kept.", line, "cancelled")

    def _act(self, kind: type[e.Asked], magic: str, description: str, line: str, done: str) -> None:
        options = flags.names_flags(magic, description).read(line)
        names = [name for word in options["names"] for name in word.split(",") if name]
        if not names and not options["all"]:
            raise UsageError(f"{magic} which task? give names, or --all; %tasks lists them")
        if names and options["all"]:
            raise UsageError(f"{magic} takes names or --all, not both")
        handles = self._client.control(kind, names, all=options["all"])
        self._say("\n".join(self._outcome(handle, done) for handle in handles) or "no task to act on")

    @staticmethod
    def _outcome(handle: TaskHandle, done: str) -> str:
        view = handle.view
        if done == "cancelled" and view.state is not State.CANCELLED:
            return (
                f"{view.name}: stopping at its next await" if view.stopping else f"{view.name} had ended: {view.state}"
            )
        return f"{done} {view.name}"

    @line_magic
    @_line
    def approve(self, line: str) -> None:
        """Say yes to what a task asks."""
        approve = flags.Flags("%approve", "Say yes to what a task asks.")
        approve.add_argument("name", metavar="NAME")
        approve.add_argument("--always", action="store_true", help="also to the same question again")
        options = approve.read(line)
        handle = self._client.find(options["name"])
        asked = handle.view.ask
        handle.approve(options["always"])
        self._say(f"approved: {asked.action if asked is not None else handle.name}")

    @line_magic
    @_line
    def decline(self, line: str) -> None:
        """Say no to what a task asks."""
        name, _, why = line.strip().partition(" ")
        if name in ("", "-h", "--help"):
            self._say("usage: %decline NAME [WHY]    says no to what the task asks")
            return
        handle = self._client.find(name)
        asked = handle.view.ask
        handle.decline(why)
        self._say(f"declined: {asked.action if asked is not None else handle.name}")

    @line_magic
    @_line
    def orchestra(self, line: str) -> None:
        """Everything else: ``%orchestra --help`` lists it."""
        answer = self._commands.run(line)
        if isinstance(answer, str):
            self._say(answer)
        else:
            self._publisher.display(answer)

    def bring_back(self, uids: Collection[str] | None = None) -> None:
        """Put returned variables of done tasks into the notebook: of those that a cell has waited for, or of all."""
        for view in self._sink.take_brought(uids):
            self._put(view)

    def _put(self, view: TaskView) -> None:
        """Those of a loop task are in the notebook already, and what could not be copied stayed in its kernel."""
        if view.worker == "loop" or view.result is None:
            return
        for name in view.result.returned:
            if view.origin is not Origin.PERSON and self._is_yours(name):
                self._say(f"{view.name} brought {name} back, yours stays: jo.task({view.name!r})[{name!r}] is its")
                continue
            try:
                self._namespace[name] = self._brought[name] = self._client.value(view, name)
            except OrchestraError as error:  # the others come all the same
                self._publisher.stream(f"{error}\n", "stderr")

    def _is_yours(self, name: str) -> bool:
        """Whether a name is bound to something that no task has brought."""
        if name not in self._namespace:
            return hasattr(builtins, name)
        return name not in self._brought or self._namespace[name] is not self._brought[name]

    @property
    def _namespace(self) -> dict[str, Any]:
        assert self.shell is not None
        namespace: dict[str, Any] = self.shell.user_ns
        return namespace

    def _say(self, text: str | Iterable[str]) -> None:
        self._publisher.stream((text if isinstance(text, str) else "\n".join(text)) + "\n")
