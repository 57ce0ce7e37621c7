"""What a person in JupyterLab waits for: results, Cancel, conversation cells, cards after a reload, a full sidebar."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, sync_playwright

from benchmarks.kernels import MARK, ROOT, Bench
from benchmarks.table import Row, p50, p99, quantity, spread
from tests.browser import chromium
from tests.browser.notebook_page import LOAD, NotebookPage
from tests.browser.probe import Probe
from tests.browser.site import LABEXTENSION, Site

CLOCK = "performance.timeOrigin + performance.now() in the page"
KERNEL_CLOCK = "time.time() in the kernel, same machine"
BUSY = {
    "`time.sleep`": "open({begun!r}, 'w').close()\ntime.sleep(3600)",
    "a CPU loop": "open({begun!r}, 'w').close()\nwhile True:\n    pass",
}
SCRIPT = """
window.benchTimes = { clicks: {}, painted: {}, key: 0, card: 0 };
const now = () => performance.timeOrigin + performance.now();
const afterPaint = then => requestAnimationFrame(() => {
  const channel = new MessageChannel();
  channel.port1.onmessage = then;
  channel.port2.postMessage(0);
});
const nameOf = node => node.closest?.('[data-task]')?.dataset.task;
const onClick = event => {
  const name = nameOf(event.target);
  if (name) {
    window.benchTimes.clicks[name] ??= now();
  }
};
const onKey = event => {
  if (event.key === 'Enter') {
    window.benchTimes.key = now();
  }
};
addEventListener('click', onClick, true);
addEventListener('keydown', onKey, true);
const panels = () => [...(window.jupyterapp?.shell?.widgets?.('main') ?? [])].filter(widget => widget.content?.widgets);
const look = () => {
  const times = window.benchTimes;
  if (!times.card && document.querySelector('#jupyter-orchestra-sidebar [data-task]')) {
    times.card = -1;
    afterPaint(() => { times.card = now(); });
  }
  for (const panel of panels()) {
    for (const cell of panel.content.widgets) {
      const id = cell.model?.id;
      // What is painted is not looked at again: the watching would weigh more with each cell.
      const isNew = id && times.painted[id] === undefined;
      if (isNew && cell.outputArea?.node.querySelector('.jp-OutputArea-output')?.textContent.trim()) {
        times.painted[id] = -1;
        afterPaint(() => { times.painted[id] = now(); });
      }
    }
  }
};
addEventListener('DOMContentLoaded', () => {
  new MutationObserver(look).observe(document.body, { childList: true, subtree: true });
});
"""


class Desk:
    """A server and a browser, with one notebook at a time."""

    def __init__(self, bench: Bench, context: BrowserContext, site: Site) -> None:
        self.bench, self.context, self.site = bench, context, site
        self._count = 0

    @contextlib.contextmanager
    def opened(self, *cells: str) -> Iterator[NotebookPage]:
        """A page as JupyterLab opens it: nothing has run, and the sidebar is closed."""
        self._count += 1
        name = f"bench-{self._count}.ipynb"
        self.site.write(name, [LOAD, *cells, ""])
        page = NotebookPage(self.site, self.context, name, workspace=f"w{self._count}")
        page.page.add_init_script(SCRIPT)
        page.open()
        try:
            yield page
        finally:
            page.close()
            self.site.end_kernels()

    @contextlib.contextmanager
    def notebook(self, *cells: str) -> Iterator[NotebookPage]:
        """A page with these cells below the one that loads the extension, which has run; the sidebar is open."""
        with self.opened(*cells) as page:
            page.load()
            page.run("c0")
            yield page

    def keep_busy(self, page: NotebookPage, cell: str, begun: Path) -> None:
        """Start the cell that keeps the main shell."""
        page.press_run(cell)
        page.until(begun.exists, "the busy cell does not begin")


def run(bench: Bench) -> list[Row]:
    """Rows of the page; Chromium and the built labextension are needed."""
    if chromium.find() is None:
        raise RuntimeError("there is no Chromium: apt-get install chromium")
    if not (LABEXTENSION / "package.json").exists():
        raise RuntimeError("the labextension is not built: make setup")
    site = Site(bench.folder / "page", **{MARK: bench.environment()[MARK]})
    try:
        with sync_playwright() as playwright:
            browser = chromium.launch(playwright)
            desk = Desk(bench, browser.new_context(viewport=chromium.VIEW), site)
            measures = (_results, _cancels, _conversation, _reload, _crowd, _sizes)
            rows = [row for measure in measures for row in measure(desk)]
            browser.close()
    finally:
        site.close()
    return rows


def _results(desk: Desk) -> list[Row]:
    """From the end of a task to its painted result cell."""
    rounds = desk.bench.size(100, 3)
    with desk.notebook(*(f"%%dispatch r{number}\n{number}" for number in range(rounds))) as page:
        for number in range(rounds):
            page.press_run(f"c{number + 1}")
            _wait_time(page, "painted", f"jo-r{number}-{number + 1}")
        painted = _times(page)["painted"]
        ended = _ask(desk, page, f"{{f'r{{n}}': jo.task(f'r{{n}}').view.ended_at for n in range({rounds})}}")
    taken = [painted[f"jo-r{n}-{n + 1}"] - 1000 * ended[f"r{n}"] for n in range(rounds)]
    how = (
        f"a kernel task dispatched by Shift+Enter; from its end ({KERNEL_CLOCK}, before the journal has it) to the "
        f"frame after its cell has text ({CLOCK}); {spread(taken, 'ms')}"
    )
    title = "result ready → painted cell, page open"
    return [
        Row(figure=f"{title}, p50", value=p50(taken), unit="ms", most=150.0, how=how),
        Row(figure=f"{title}, p99", value=p99(taken), unit="ms", most=500.0, how=how),
    ]


def _cancels(desk: Desk) -> list[Row]:
    """From a click on Cancel to the kernel's having handled it."""
    rounds, rows = desk.bench.size(50, 2), []
    for number, (what, code) in enumerate(BUSY.items()):
        begun = desk.bench.folder / f"begun-cancel-{number}"
        many = (
            "jo.dispatch('import time; time.sleep(3600)', name='gate')\n"
            f"for n in range({rounds}): jo.dispatch('1', name=f't{{n}}', after=['gate'])"
        )
        with desk.notebook(many, code.format(begun=str(begun))) as page:
            page.run("c1")
            page.wait_state("gate", "running")
            desk.keep_busy(page, "c2", begun)
            for task in range(rounds):
                page.click(f"t{task}", "Cancel")
                page.wait_state(f"t{task}", "cancelled")
            clicks = _times(page)["clicks"]
            handled = _ask(desk, page, f"{{f't{{n}}': jo.task(f't{{n}}').view.ended_at for n in range({rounds})}}")
            page.interrupt()
        taken = [1000 * handled[name] - clicks[name] for name in handled]
        how = (
            f"a waiting task, whose end is the handling itself; from the click ({CLOCK}) to the cancel in the task's "
            f"story ({KERNEL_CLOCK}); p50 {quantity(p50(taken), 'ms')}, {spread(taken, 'ms')}"
        )
        most = 50.0 if "sleep" in what else 150.0
        figure = f"click on Cancel → handled in the kernel, main shell in {what}, p99"
        rows.append(Row(figure=figure, value=p99(taken), unit="ms", most=most, how=how))
    return rows


def _conversation(desk: Desk) -> list[Row]:
    """From Shift+Enter to painted output, beside a running cell; a plain cell in an idle kernel is the peer."""
    rounds = desk.bench.size(40, 2)
    begun = desk.bench.folder / "begun-conversation"
    plain = [f"print({number})" for number in range(rounds)]
    ours = ["%%dispatch --after gate\n1"] * rounds
    busy = BUSY["`time.sleep`"].format(begun=str(begun))
    gate = "jo.dispatch('import time; time.sleep(3600)', name='gate')"
    with desk.notebook(gate, *plain, busy, *ours) as page:
        page.run("c1")
        idle = [_press(page, f"c{number + 2}") for number in range(rounds)]
        desk.keep_busy(page, f"c{rounds + 2}", begun)
        taken = [_press(page, f"c{number + rounds + 3}") for number in range(rounds)]
        page.interrupt()
    how = (
        f"`%%dispatch` while a cell sleeps, beside `print` with the kernel idle; from keydown to the frame after the "
        f"output has text ({CLOCK}); {spread(taken, 'ms')}; the peer {spread(idle, 'ms')}"
    )
    return [
        Row(
            figure="Shift+Enter on a conversation cell → first output painted while a cell runs, p50",
            value=p50(taken), unit="ms", most=300.0, how=how,
            peer="a plain cell, kernel idle", peer_value=p50(idle),
        )
    ]  # fmt: skip


def _reload(desk: Desk) -> list[Row]:
    """From a reload while a cell runs to the first painted card."""
    begun = desk.bench.folder / "begun-reload"
    taken = []
    busy = BUSY["`time.sleep`"].format(begun=str(begun))
    with desk.notebook("jo.dispatch('import time; time.sleep(3600)', name='gate')", busy) as page:
        page.run("c1")
        page.wait_state("gate", "running")
        page.save()
        desk.keep_busy(page, "c2", begun)
        for _ in range(desk.bench.size(7, 1)):
            page.reload(idle=False).show_sidebar()
            page.wait_state("gate", "running")
            taken.append(page.page.evaluate("() => (window.benchTimes.card - performance.timeOrigin) / 1000"))
        limit = page.in_panel("return panel.sessionContext.session.kernel._kernelInfoTimeout ?? 3000;")
        page.interrupt()
    how = (
        f"from the start of the navigation to the frame with the first card ({CLOCK}), a cell sleeping; "
        f"in these JupyterLab itself waits {limit / 1000:g} s for a busy kernel's kernel_info_reply; "
        f"median, {spread(taken, 's')}"
    )
    return [Row(figure="reload during a busy cell → cards back", value=p50(taken), unit="s", most=6.0, how=how)]


def _crowd(desk: Desk) -> list[Row]:
    """The page's longest task with a full sidebar that changes all the time."""
    crowd, seconds = desk.bench.size(1000, 60), desk.bench.size(20, 2)
    many = (
        "import asyncio\n"
        "body = '''import asyncio, jupyter_orchestra as jo\n"
        "n = 0\n"
        "while True:\n"
        "    n += 1\n"
        "    jo.progress(n % 100 / 100, f'step {n}')\n"
        "    await asyncio.sleep(0.2)'''\n"
        "for n in range(16): jo.dispatch(body, name=f'moving-{n}', worker='loop')\n"
        f"for n in range({crowd - 16}): jo.dispatch('1', name=f'task-{{n}}', after=['moving-0'])"
    )
    with desk.notebook(many) as page:
        page.run("c1")
        page.wait_state("moving-0", "running")
        page.until(lambda: str(crowd - 16) in page.sidebar.inner_text(), "the sidebar does not fill")
        before = _ask(desk, page, "[task.view.version for task in jo.tasks()]")
        page.page.evaluate("() => { window.orchestraLongest = 0; window.orchestraSince = performance.now(); }")
        page.page.wait_for_function(
            f"() => performance.now() - window.orchestraSince > {1000 * seconds}", timeout=1000 * (seconds + 60)
        )
        longest = float(page.page.evaluate("() => window.orchestraLongest"))
        passed = float(page.page.evaluate("() => (performance.now() - window.orchestraSince) / 1000"))
        after = _ask(desk, page, "[task.view.version for task in jo.tasks()]")
    changes = sum(max(0, new - old) for old, new in zip(before, after, strict=True)) / passed
    how = (
        f"PerformanceObserver 'longtask' over {seconds} s, which tells of 50 ms and more (0: there was none); "
        f"{crowd:,} cards, {changes:.0f} changes a second, the sidebar open"
    )
    return [
        Row(figure=f"sidebar with {crowd:,} tasks, page's longest task", value=longest, unit="ms", most=100.0, how=how)
    ]


def _sizes(desk: Desk) -> list[Row]:
    """What is downloaded: by pip once, by each page at its start."""
    with desk.opened() as page:
        found: dict[str, float] = page.page.evaluate(
            "() => Object.fromEntries(performance.getEntriesByType('resource')"
            ".filter(entry => entry.name.includes('/extensions/jupyter-orchestra/'))"
            ".map(entry => [entry.name.split('/').pop().split('?')[0], entry.decodedBodySize]))"
        )
    folder = desk.bench.folder / "wheel"
    command = [_builder(), "-m", "build", "--no-isolation", "--wheel", "--outdir", str(folder), str(ROOT)]
    environment = {**os.environ, "SKIP_JUPYTER_BUILDER": "1"}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    wheel = next(folder.glob("*.whl"))
    with zipfile.ZipFile(wheel) as packed:
        page_part = sum(part.compress_size for part in packed.infolist() if "/labextensions/" in part.filename) / 1000
    parts = ", ".join(f"{name} {quantity(size / 1000, 'kB')}" for name, size in sorted(found.items()))
    return [
        Row(
            figure="wheel", value=wheel.stat().st_size / 1000, unit="kB", most=600.0,
            how=f"size of the file that `python -m build` makes; {page_part:.0f} kB of it is the page",
            why="the bound was set for the page and the dispatching; the master, the models, the agents, a scripted "
            "model server and a second notebook came to it since",
        ),
        Row(
            figure="labextension loaded at start", value=sum(found.values()) / 1000, unit="kB", most=80.0,
            how=f"decoded bytes of what JupyterLab has asked for when a notebook is open, the sidebar closed: {parts}",
        ),
    ]  # fmt: skip


def _builder() -> str:
    """The Python that holds what [build-system] requires."""
    own = ROOT / ".venv" / "bin" / "python"
    return str(own) if own.exists() else sys.executable


def _press(page: NotebookPage, cell: str) -> float:
    """Milliseconds from Shift+Enter on a cell to its painted output."""
    page.press_run(cell)
    _wait_time(page, "painted", cell)
    times = _times(page)
    return float(times["painted"][cell] - times["key"])


def _times(page: NotebookPage) -> dict[str, Any]:
    found: dict[str, Any] = page.page.evaluate("() => window.benchTimes")
    return found


def _wait_time(page: NotebookPage, kind: str, name: str) -> None:
    page.wait_for(f"window.benchTimes.{kind}[{name!r}] > 0")


def _ask(desk: Desk, page: NotebookPage, expression: str) -> Any:
    with Probe(desk.site.connection(page.name)) as probe:
        return probe.ask(expression)
