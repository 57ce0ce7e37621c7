"""Leases as the page shows them: the section of resources, the card of one that waits, the timeline, both themes."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, expect

from .conftest import Desk, Gate
from .notebook_page import LOAD, SIDEBAR, App, NotebookPage
from .test_accessibility import THEMES

PROJECT = "[tool.jupyter_orchestra.resources]\npress = 1\n"
WAITER = "%%dispatch waiter --needs press\n1"
TIMELINE = ".jp-OrchestraTimeline"
HEAD = "[data-section=resources]"


@pytest.fixture
def project(desk: Desk) -> Iterator[str]:
    """A folder of notebooks whose project declares a press."""
    folder = desk.site.notebooks / "project"
    folder.mkdir(exist_ok=True)
    (folder / "pyproject.toml").write_text(PROJECT, "utf-8")
    yield folder.name
    (folder / "pyproject.toml").unlink()


def begin(desk: Desk, project: str, gate: Gate, app: App = "lab") -> NotebookPage:
    """A task has the press, and another waits for it."""
    cells = [LOAD, gate.cell("holder", "0", "--needs press"), WAITER, ""]
    page = desk.open(*cells, name=f"{project}/{desk.test}.ipynb", app=app).load()
    page.run("c1")
    page.wait_state("holder", "running")
    page.run("c2")
    page.wait_state("waiter", "queued")
    return page


def press(page: NotebookPage) -> Locator:
    return page.sidebar.locator('[data-resource="press"]')


def test_holder_and_queue_are_shown_and_go_with_the_lease(desk: Desk, project: str, gate: Gate, app: App) -> None:
    page = begin(desk, project, gate, app)
    expect(page.sidebar.locator(HEAD)).to_contain_text("Resources 1")
    expect(press(page).locator("ul li")).to_have_text(re.compile(r"^holderfor \d+ s$"))
    expect(press(page).locator("ol li")).to_have_text(re.compile(r"^waiterwaits \d+ s$"))
    expect(press(page)).to_contain_text("1 of 1 in use")
    expect(page.card("waiter")).to_contain_text(re.compile(r"waits for press, held by holder \(for \d+ s\)"))
    expect(page.cell_node("c2")).to_contain_text("waits for press, held by holder (for ")
    desk.picture(page, f"resources-{app}")
    page.click("waiter", "Open")
    panel = page.page.locator(".jp-OrchestraPanel").first
    expect(panel.locator(".jp-OrchestraPanel-why")).to_have_text(
        re.compile(r"^waits for press, held by holder \(for \d+")
    )
    expect(panel.locator(".jp-OrchestraStory")).to_contain_text("waits for press")
    desk.picture(page, f"resources-panel-{app}")
    page.show_sidebar()
    gate.open()
    page.wait_state("waiter", "done")
    expect(page.sidebar.locator(HEAD)).to_have_count(0)
    expect(press(page)).to_have_count(0)


def test_a_name_in_it_leads_to_the_card_also_by_keyboard(desk: Desk, project: str, gate: Gate) -> None:
    page = begin(desk, project, gate)
    press(page).get_by_role("button", name="holder").click()
    expect(page.card("holder")).to_be_focused()
    page.page.keyboard.press("End")
    expect(press(page)).to_be_focused()
    page.page.keyboard.press("Tab")
    page.page.keyboard.press("Tab")
    expect(press(page).get_by_role("button", name="waiter")).to_be_focused()
    page.page.keyboard.press("Enter")
    expect(page.card("waiter")).to_be_focused()
    gate.open()


def test_the_section_is_folded_and_stays_so(desk: Desk, project: str, gate: Gate) -> None:
    page = begin(desk, project, gate)
    page.sidebar.locator(HEAD).get_by_role("button").click()
    expect(press(page)).to_have_count(0)
    page.save()
    page.reload(idle=False).show_sidebar()
    expect(page.sidebar.locator(HEAD)).to_contain_text("Resources 1")
    expect(press(page)).to_have_count(0)
    gate.open()


def test_what_another_notebook_holds_is_shown_with_its_name(desk: Desk, project: str, gate: Gate) -> None:
    other = desk.open(LOAD, gate.cell("far", "0", "--needs press"), "", name=f"{project}/other.ipynb").load()
    other.run("c1")
    other.wait_state("far", "running")
    page = desk.open(LOAD, WAITER, "", name=f"{project}/here.ipynb").load()
    page.run("c1")
    expect(press(page).locator("ul li")).to_contain_text("far of other.ipynb")
    expect(page.card("waiter")).to_contain_text("waits for press, held by far of other.ipynb")
    desk.picture(page, "resources-elsewhere")
    gate.open()
    page.wait_state("waiter", "done")


def test_the_own_code_is_a_holder_too(desk: Desk, project: str) -> None:
    take = "lease = jo.controller.lease('press', 'path:data:w').__enter__()"
    page = desk.open(LOAD, take, "lease.__exit__(None, None, None)", "", name=f"{project}/own.ipynb").load()
    page.run("c1")
    expect(press(page)).to_contain_text("your own code")
    expect(page.sidebar.locator('[data-resource="path"]')).to_contain_text(re.compile("/project/data.*:w"))
    desk.picture(page, "resources-own")
    page.run("c2")
    expect(page.sidebar.locator(HEAD)).to_have_count(0)


def contrasts(page: NotebookPage) -> dict[str, float]:
    """How much each phase stands out from the ground: the better one of its fill and its frame."""
    found: dict[str, float] = page.page.evaluate(
        """() => {
          const context = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
          const over = (colours) => {
            context.globalCompositeOperation = 'source-over';
            colours.forEach(colour => { context.fillStyle = colour; context.fillRect(0, 0, 1, 1); });
            return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
          };
          const light = ([r, g, b]) => [r, g, b].map(part => part / 255)
            .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
            .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
          const ground = getComputedStyle(document.querySelector('.jp-OrchestraTimeline')).backgroundColor;
          const ratio = colour => {
            const [high, low] = [light(over([ground])), light(over([ground, colour]))].sort((a, b) => b - a);
            return (high + 0.05) / (low + 0.05);
          };
          const bars = [...document.querySelectorAll('.jp-OrchestraTimeline-bars rect')];
          return Object.fromEntries(bars.map(bar => {
            const { fill, stroke } = getComputedStyle(bar);
            const colours = [fill, stroke].filter(colour => colour.startsWith('rgb') || colour.startsWith('color'));
            return [bar.dataset.phase, Math.max(...colours.map(ratio))];
          }));
        }"""
    )
    return found


@pytest.mark.parametrize("theme", THEMES)
def test_section_card_and_timeline_in_each_theme(desk: Desk, project: str, gate: Gate, theme: str) -> None:
    page = begin(desk, project, gate)
    page.enter_source("c3", "%%dispatch after --after waiter\n1")
    page.run("c3")
    page.command("apputils:change-theme", theme=THEMES[theme])
    page.wait_for(f"document.body.dataset.jpThemeLight === '{str(theme == 'light').lower()}'")
    expect(press(page).locator("ol li")).to_contain_text("waiter")
    page.command("jupyter-orchestra:timeline")
    row = page.page.locator(f'{TIMELINE} [data-task="waiter"]')
    expect(row).to_have_attribute("aria-label", re.compile("^waiter: queued, .*waiting for leases"))
    expect(row.locator('[data-phase="leases"]')).to_have_count(1)
    expect(page.page.get_by_role("list", name="Legend")).to_contain_text("waiting for leases")
    for part in (SIDEBAR, TIMELINE):
        found = Axe().run(page.page, context=part)
        assert found.violations_count == 0, found.generate_report()
    desk.picture(page, f"resources-{theme}")
    gate.open()
    page.wait_state("after", "done")
    expect(row).to_have_attribute("aria-label", re.compile("^waiter: done, .*waiting for leases .*running"))
    assert {"waiting", "leases", "running"} <= contrasts(page).keys()
    assert all(ratio >= 3 for ratio in contrasts(page).values()), contrasts(page)
    desk.picture(page, f"timeline-leases-{theme}")


def test_a_mere_wait_for_slots_is_folded(desk: Desk, gate: Gate) -> None:
    wait = f"while [ ! -e {gate.path} ]; do sleep 0.05; done"
    page = desk.open(
        LOAD,
        "%config Orchestra.shell_slots = 1",
        f"%%dispatch a -w shell\n{wait}",
        f"%%dispatch b -w shell\n{wait}",
        "",
    ).load()
    for cell in ("c1", "c2", "c3"):
        page.run(cell)
    page.wait_state("b", "queued")
    fold = page.sidebar.locator(HEAD).get_by_role("button")
    expect(fold).to_have_attribute("aria-expanded", "false")
    fold.click()
    slots = page.sidebar.locator('[data-resource="slots:shell"]')
    expect(slots.locator("ul li")).to_contain_text("a")
    expect(slots.locator("ol li")).to_contain_text("b")
    expect(page.card("b")).not_to_contain_text("waits for")
    gate.open()


def test_what_nothing_confines_says_so_on_card_cell_and_panel(desk: Desk, gate: Gate) -> None:
    page = desk.open(LOAD, f"%%dispatch look -w bare\n{gate.path}", "").load()
    page.run("c1")
    label = page.card("look").get_by_text("UNSANDBOXED", exact=True)
    expect(label).to_be_visible()
    expect(label).to_have_attribute("title", re.compile(r"all your rights \(bubblewrap: not found\)"))
    expect(page.cell_node("c1")).to_contain_text("UNSANDBOXED")
    page.click("look", "Open")
    expect(page.page.locator(".jp-OrchestraPanel").first.get_by_text("UNSANDBOXED", exact=True)).to_be_visible()
    desk.picture(page, "unsandboxed")
    for part in (SIDEBAR, ".jp-OrchestraPanel"):
        found = Axe().run(page.page, context=part)
        assert found.violations_count == 0, found.generate_report()
    gate.open()
    page.wait_state("look", "done")
    expect(label).to_have_count(0)
