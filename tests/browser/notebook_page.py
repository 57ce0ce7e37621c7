"""Drives one notebook in one browser tab, as a person does; waits for conditions. It knows no test."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Literal, cast

from playwright.sync_api import BrowserContext, Locator, Page, expect

from .site import Site

PATIENCE = 30.0  # seconds that anything may take on a loaded machine
SIDEBAR = "#jupyter-orchestra-sidebar"
LOAD = "%load_ext jupyter_orchestra\nimport time\nimport jupyter_orchestra as jo"
SCRIPT = Path(__file__).with_name("window.js")
App = Literal["lab", "notebook"]


@dataclass(frozen=True)
class Cell:
    """A cell of the live document."""

    id: str
    kind: str
    source: str
    metadata: dict[str, Any]
    prompt: str
    shown: str  # what a person reads of its outputs, or of a rendered markdown cell
    rendered: bool
    hidden: bool  # its input
    outputs: list[dict[str, Any]]

    @property
    def task(self) -> str:
        """The name of the task whose result it is."""
        return str(self.metadata.get("orchestra", {}).get("task", ""))

    @property
    def has_run(self) -> bool:
        """Whether it has a number."""
        return self.prompt.strip("[]: ").isdigit()


class NotebookPage:
    """A tab with one notebook in front.

    Parameters
    ----------
    workspace
        Of JupyterLab, which keeps on the server what was open in it: each tab needs its own.
    """

    def __init__(
        self, site: Site, context: BrowserContext, name: str, app: App = "lab", workspace: str = "one"
    ) -> None:
        self.site, self.context, self.name, self.app = site, context, name, app
        self.workspace = workspace
        self.page: Page = context.new_page()

    # opening and closing

    @property
    def url(self) -> str:
        """Where it is."""
        place = f"lab/workspaces/{self.workspace}/tree" if self.app == "lab" else "notebooks"
        return f"{self.site.url}/{place}/{self.name}"

    def open(self, idle: bool = True) -> NotebookPage:
        """Open the notebook and wait until cells can be run."""
        self.page.add_init_script(path=SCRIPT)
        self.page.goto(self.url, wait_until="domcontentloaded")
        return self.wait_open(idle)

    def wait_open(self, idle: bool = True) -> NotebookPage:
        """Wait until cells can be run; where not `idle`, until the kernel is known."""
        self.wait_for(f"window.orchestraTest.{'idle' if idle else 'ready'}({self.name!r})")
        return self

    def reload(self, idle: bool = True) -> NotebookPage:
        """What F5 does."""
        self.page.reload(wait_until="domcontentloaded")
        return self.wait_open(idle)

    def close(self) -> None:
        """Close the tab at once, without a question."""
        self.page.close(run_before_unload=False)

    # waiting

    def wait_for(self, expression: str, argument: object = None) -> None:
        """Wait for something to be true in the page."""
        self.page.wait_for_function(f"() => {expression}", arg=argument, timeout=1000 * PATIENCE)

    def until(self, condition: Callable[[], object], why: str | Callable[[], object] = "", seconds: float = 0) -> None:
        """Wait for a condition, while the page goes on."""
        end = monotonic() + (seconds or PATIENCE)
        while not condition():
            assert monotonic() < end, why() if callable(why) else why or "not in time"
            self.page.wait_for_timeout(30)

    # the document

    def ask(self, expression: str, *arguments: object) -> Any:
        """What a function of window.js gives for this notebook."""
        given = [self.name, *arguments]
        return self.page.evaluate(f"given => window.orchestraTest.{expression}(...given)", given)

    def in_panel(self, body: str) -> Any:
        """What a piece of JavaScript gives that knows `panel` and `notebook`."""
        return self.page.evaluate(
            "async name => { const panel = window.orchestraTest.panel(name), notebook = panel.content; " + body + " }",
            self.name,
        )

    def cells(self) -> list[Cell]:
        """The cells of the live document."""
        return [Cell(**found) for found in self.ask("cells")]

    def cell(self, name: str) -> Cell:
        """The cell with that id."""
        found = [cell for cell in self.cells() if cell.id == name]
        assert found, f"no cell {name}"
        return found[0]

    def order(self) -> list[str]:
        """What stands below what: ids of ordinary cells, ``=NAME`` for the result of a task."""
        return [f"={cell.task}" if cell.task else cell.id for cell in self.cells()]

    def results(self, task: str = "") -> list[Cell]:
        """The result cells, of one task or of all."""
        return [cell for cell in self.cells() if cell.task and task in ("", cell.task)]

    def saved_cells(self) -> list[dict[str, Any]]:
        """The cells on disk."""
        return self.site.saved(self.name)

    def saved_results(self, task: str = "") -> list[dict[str, Any]]:
        """The result cells on disk, of one task or of all."""
        cells = [(cell, cell["metadata"].get("orchestra", {}).get("task", "")) for cell in self.saved_cells()]
        return [cell for cell, name in cells if name and task in ("", name)]

    def save(self) -> None:
        """What the Save button does."""
        self.in_panel("await panel.context.save();")

    # what a person does in the notebook

    def cell_node(self, name: str) -> Locator:
        """The cell as it is drawn."""
        return self.page.locator(f"[id='{self.ask('label')}'] .jp-Cell[data-cell-id='{name}']")

    def select(self, name: str) -> None:
        """Click on the cell's prompt; a cell whose input is folded away has none to click on."""
        node = self.cell_node(name)
        node.scroll_into_view_if_needed()
        prompt = node.locator(".jp-InputArea-prompt")
        if prompt.count():
            prompt.click()
        else:
            found = f"notebook.widgets.findIndex(cell => cell.model.id === {name!r})"
            self.in_panel(f"notebook.activeCellIndex = {found}; notebook.mode = 'command'; notebook.node.focus();")
        self.wait_for(
            f"(panel => panel.content.activeCell.model.id === {name!r} && panel.content.mode === 'command')"
            f"(window.orchestraTest.panel({self.name!r}))"
        )

    def press_run(self, name: str) -> None:
        """Shift+Enter on a cell, and nothing more."""
        self.select(name)
        self.page.keyboard.press("Shift+Enter")

    def run(self, name: str) -> Cell:
        """Shift+Enter on a cell, and wait for its end."""
        before = self.in_panel(
            f"const cell = notebook.widgets.find(cell => cell.model.id === {name!r}).model;"
            "cell.sharedModel.execution_count = null; return cell.id;"
        )
        self.press_run(before)
        return self.wait_run(name)

    def wait_run(self, name: str) -> Cell:
        """Wait for the end of a cell that was sent."""
        self.until(lambda: self.cell(name).has_run, lambda: f"{name} does not end: {self.cell(name)}")
        return self.cell(name)

    def wait_running(self, name: str) -> None:
        """Wait until a cell that keeps the main shell has begun to put something out."""
        self.until(lambda: self.cell(name).outputs, lambda: f"{name} does not begin: {self.cell(name)}")

    def run_all(self) -> None:
        """Run > Run All Cells."""
        self.command("notebook:run-all-cells")

    def type_into(self, name: str, text: str) -> None:
        """Click into a cell and type."""
        self.enter(name)
        self.page.keyboard.type(text)

    def enter(self, name: str) -> None:
        """Click into a cell."""
        node = self.cell_node(name)
        node.scroll_into_view_if_needed()
        node.locator(".cm-content").click()
        self.until(lambda: self.editing()["focused"], "the cell is not focused")

    def enter_source(self, name: str, source: str) -> None:
        """Replace the text of a cell by typing, also where it is folded away."""
        self.select(name)
        self.in_panel("notebook.activeCell.inputHidden = false;")
        self.enter(name)
        self.page.keyboard.press("Control+a")
        self.page.keyboard.type(source)

    def pin(self, name: str) -> None:
        """Keep a result cell for good."""
        self.select(name)
        self.command("jupyter-orchestra:toggle-pin")
        self.until(lambda: self.cell(name).metadata["orchestra"].get("pinned"), "it is not pinned")

    def close_dialogs(self) -> None:
        """Accept what JupyterLab says, if it says anything."""
        while self.dialog().count():
            self.dialog().first.locator("button.jp-mod-accept").click()

    def editing(self) -> dict[str, Any]:
        """Where the person is: cell, mode, focus, cursor, scroll position."""
        return cast(dict[str, Any], self.ask("editing"))

    def delete(self, name: str) -> None:
        """D, D on a cell."""
        self.select(name)
        self.page.keyboard.press("d")
        self.page.keyboard.press("d")
        self.until(lambda: name not in [cell.id for cell in self.cells()], f"{name} is still there")

    def command(self, name: str, **arguments: object) -> None:
        """Run a command of the palette and do not wait for its end."""
        self.page.evaluate(
            "([name, given]) => { void window.jupyterapp.commands.execute(name, given); }", [name, arguments]
        )

    def load(self, name: str = "c0") -> NotebookPage:
        """Run the cell that loads the extension, open the sidebar and wait for the kernel's first word."""
        self.run(name)
        return self.show_sidebar().wait_attached()

    def wait_attached(self) -> NotebookPage:
        """Wait until the page and the kernel's extension know each other."""
        self.wait_for(f"window.orchestraTest.attached({self.name!r})")
        return self

    # the kernel

    def restart_kernel(self) -> None:
        """What Restart Kernel does, after its question."""
        self.in_panel("await panel.sessionContext.restartKernel();")
        self.wait_for(f"window.orchestraTest.idle({self.name!r})")

    def delay_kernel(self, milliseconds: int) -> None:
        """Let what the kernel says come that much later than what the server says."""
        self.in_panel(
            "const socket = panel.sessionContext.session.kernel._ws, hear = socket.onmessage;"
            f"socket.onmessage = event => setTimeout(() => hear.call(socket, event), {milliseconds});"
        )

    def interrupt(self) -> None:
        """What the Interrupt button does."""
        self.in_panel("await panel.sessionContext.session.kernel.interrupt();")

    # our own nodes

    @property
    def sidebar(self) -> Locator:
        """The sidebar."""
        return self.page.locator(SIDEBAR)

    def show_sidebar(self) -> NotebookPage:
        """Open the sidebar."""
        self.page.evaluate("() => window.jupyterapp.shell.activateById('jupyter-orchestra-sidebar')")
        expect(self.sidebar).to_be_visible(timeout=1000 * PATIENCE)
        return self

    def card(self, task: str, state: str = "") -> Locator:
        """The card of a task."""
        wanted = f'[data-state="{state}"]' if state else ""
        return self.sidebar.locator(f'[data-task="{task}"]{wanted}')

    def states(self) -> dict[str, str]:
        """The state of each task whose card is drawn."""
        nodes = "nodes => nodes.map(node => [node.dataset.task, node.dataset.state])"
        return dict(self.sidebar.locator("[data-task]").evaluate_all(nodes))

    def wait_state(self, task: str, *states: str) -> None:
        """Wait until the card of a task says one of these."""
        wanted = ",".join(f'{SIDEBAR} [data-task="{task}"][data-state="{state}"]' for state in states)
        try:
            self.page.locator(wanted).first.wait_for(timeout=1000 * PATIENCE)
        except Exception:
            raise AssertionError(f"{task} never is {states}: {self.states()}") from None

    def click(self, task: str, button: str) -> None:
        """Press a button of a card."""
        self.card(task).get_by_role("button", name=re.compile(f"^{button}\\b")).first.click()

    def compose(self, text: str) -> None:
        """Write into the composer and send it."""
        box = self.sidebar.get_by_role("textbox").last
        box.fill(text)
        send = self.sidebar.get_by_role("button", name="Send")
        expect(send).to_have_attribute("aria-disabled", "false", timeout=1000 * PATIENCE)
        box.press("Shift+Enter")

    def wait_result(self, task: str, count: int = 1) -> Cell:
        """Wait until the result of a task stands in the notebook, painted."""
        self.until(
            lambda: len([cell for cell in self.results(task) if cell.shown.strip()]) >= count,
            lambda: f"no result of {task}: {self.order()}",
        )
        return self.results(task)[-1]

    def wait_saved(self, task: str, count: int = 1) -> None:
        """Wait until the result of a task is on disk."""
        self.until(
            lambda: len(self.saved_results(task)) >= count,
            lambda: f"{task} is not on disk: {[cell['id'] for cell in self.saved_cells()]}",
        )

    def dialog(self) -> Locator:
        """A dialog of JupyterLab."""
        return self.page.locator(".jp-Dialog")
