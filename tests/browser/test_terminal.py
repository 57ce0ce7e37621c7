"""The terminal of a task in its panel: typed into, left, reloaded, attacked, ended."""

from __future__ import annotations

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import FloatRect, Locator, expect

from .conftest import Desk
from .notebook_page import LOAD, App, NotebookPage
from .test_accessibility import THEMES

PANEL = ".jp-OrchestraPanel"
ASKS = r"""printf '\e[1;32mready\e[0m \e[33m%s\e[0m\n' "$(tty | cut -c1-9)"
printf 'name: '; read x
echo "got $x"
while read -p 'more? ' y; do echo "again $y"; done"""
COLOURS = "for n in 30 31 32 33 34 35 36 37 90 93; do printf '\\e[%sm%s ' $n colour; done; echo; "
HOSTILE = (
    r"printf '\e]8;;http://a.example/x\e\\link\e]8;;\e\\ \e]52;c;aGlqYWNrZWQ=\a \e]0;hi%sed\a\e]2;hi%sed\a' jack jack;"
    r"printf '<img src=http://a.example/y onerror=alert(1)> http://a.example/z \e[21t\e[5t\e[3;0;0t\e[8;99;300t';"
    r"printf '\eP+q544e\e\\\e]1337;File=inline=1:AAAA\a\e]9;note\a\e]777;notify;a;b\aend\n'; read x; echo got ${#x}"
)


def dispatch(script: str) -> str:
    return f"%%dispatch sh -w shell --needs terminal\n{script}"


def open_terminal(page: NotebookPage) -> Locator:
    page.run("c1")
    page.wait_state("sh", "running")
    page.click("sh", "Open")
    return terminal_of(page)


def terminal_of(page: NotebookPage) -> Locator:
    return page.page.locator(f"{PANEL} .jp-OrchestraTerminal").first


def rows(terminal: Locator) -> Locator:
    return terminal.locator(".xterm-rows")


def expect_rows(terminal: Locator, text: str) -> None:
    # A terminal fills the rest of its rows with blanks that do not break.
    expect(rows(terminal)).to_contain_text(re.compile(re.escape(text).replace(r"\ ", r"\s")))


def place(page: NotebookPage, thing: Locator) -> FloatRect:
    # A row may be drawn anew just when it is looked at.
    found: list[FloatRect | None] = []
    page.until(lambda: found.append(thing.bounding_box()) or found[-1])
    assert found[-1] is not None
    return found[-1]


def focused(page: NotebookPage) -> str:
    return str(page.page.evaluate("() => document.activeElement.className"))


@pytest.mark.parametrize("theme", THEMES)
def test_the_person_answers_a_program_in_its_terminal(desk: Desk, theme: str) -> None:
    page = desk.open(LOAD, dispatch(COLOURS + ASKS), "").load()
    page.command("apputils:change-theme", theme=THEMES[theme])
    page.wait_for(f"document.body.dataset.jpThemeLight === '{str(theme == 'light').lower()}'")
    terminal = open_terminal(page)
    expect_rows(terminal, "name: ")
    expect_rows(terminal, "ready /dev/pts/")
    expect(terminal).to_contain_text("Escape twice leaves the terminal")
    expect(page.page.locator(PANEL).first.get_by_role("heading", name="Output")).to_be_hidden()
    rows(terminal).click()
    page.page.keyboard.type("ada lovelace\n")
    expect_rows(terminal, "got ada lovelace")
    found = Axe().run(page.page, context=PANEL)
    assert found.violations_count == 0, found.generate_report()
    desk.picture(page, f"terminal-{theme}")
    page.page.keyboard.press("Control+d")
    page.wait_state("sh", "done")
    expect(terminal).to_contain_text("The task has ended")
    page.page.keyboard.type("nothing")
    expect_rows(terminal, "got ada lovelace")
    assert "nothing" not in rows(terminal).inner_text()
    cell = page.wait_result("sh")
    assert "ready /dev/pts" in cell.shown
    assert "got ada lovelace\nmore? \n" in cell.shown + "\n"
    found = Axe().run(page.page, context=PANEL)
    assert found.violations_count == 0, found.generate_report()
    desk.picture(page, f"terminal-ended-{theme}")


def test_the_keyboard_gets_in_and_out(desk: Desk, app: App) -> None:
    page = desk.open(LOAD, dispatch(ASKS), "", app=app).load()
    terminal = open_terminal(page)
    expect_rows(terminal, "name: ")
    page.page.locator(PANEL).first.get_by_role("button", name="Terminal").focus()
    press = page.page.keyboard.press
    press("Tab")
    assert "xterm-viewport" in focused(page)
    press("Tab")
    assert "xterm" not in focused(page)
    press("Shift+Tab")
    press("Enter")
    assert "xterm-helper-textarea" in focused(page)
    for key in ("a", "Tab", "b"):
        press(key)
    expect_rows(terminal, "name: a b")
    press("Control+b")  # which hides JupyterLab's file browser elsewhere
    press("Escape")
    press("Escape")
    assert "xterm-viewport" in focused(page)
    press("Tab")
    assert "xterm" not in focused(page)
    if app == "lab":
        expect(page.page.locator(".jp-FileBrowser").first).to_be_visible()
    expect_rows(terminal, "name: a b^B^[")
    desk.picture(page, f"terminal-left-{app}")
    page.page.locator(PANEL).first.get_by_role("button", name="Cancel").click()
    expect(terminal).to_contain_text("The task has ended")


def test_a_page_that_is_reloaded_shows_the_terminal_again(desk: Desk) -> None:
    page = desk.open(LOAD, dispatch(ASKS), "").load()
    terminal = open_terminal(page)
    rows(terminal).click()
    page.page.keyboard.type("ada\n")
    expect_rows(terminal, "got ada")
    page.save()
    page.reload().show_sidebar().wait_attached()
    page.click("sh", "Open")
    terminal = terminal_of(page)
    expect_rows(terminal, "got ada")
    rows(terminal).click()
    page.page.keyboard.type("grace\n")
    expect_rows(terminal, "again grace")
    page.click("sh", "Cancel")
    expect(terminal).to_contain_text("The task has ended")


def test_a_program_is_told_the_size_of_its_terminal(desk: Desk) -> None:
    script = "trap 'stty size' WINCH; while true; do sleep 0.05; done"
    page = desk.open(LOAD, dispatch(script), "").load()
    terminal = open_terminal(page)
    expect(rows(terminal)).to_contain_text(re.compile(r"\d+\s\d+"))
    page.page.set_viewport_size({"width": 1000, "height": 700})

    def fits() -> bool:
        seen = re.findall(r"(\d+)\s(\d+)", rows(terminal).inner_text())
        count = terminal.locator(".xterm-rows > div").count()
        return bool(seen) and int(seen[-1][0]) == count

    page.until(fits, lambda: rows(terminal).inner_text())
    page.click("sh", "Cancel")


def test_what_a_program_puts_out_stays_in_its_canvas(desk: Desk) -> None:
    page = desk.open(LOAD, dispatch(HOSTILE), "").load()
    page.page.evaluate("() => { window.opened = []; window.open = (...given) => { window.opened.push(given); }; }")
    page.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.page.evaluate("() => navigator.clipboard.writeText('mine')")
    terminal = open_terminal(page)
    expect_rows(terminal, "end")
    for word in ("link", "http://a.example/z"):
        box = place(page, rows(terminal).locator("span", has_text=word).first)
        for modifiers in ([], ["Control"]):
            for key in modifiers:
                page.page.keyboard.down(key)
            page.page.mouse.move(box["x"] + 4, box["y"] + 6)
            page.page.mouse.click(box["x"] + 6, box["y"] + 6)
            for key in modifiers:
                page.page.keyboard.up(key)
    desk.picture(page, "terminal-hostile")
    page.page.keyboard.type("\n")
    expect_rows(terminal, "got 0")  # and nothing was answered in the person's name
    assert page.page.evaluate("() => window.opened") == []
    assert page.page.evaluate("() => navigator.clipboard.readText()") == "mine"
    assert "hijacked" not in page.page.title()  # which tells of what runs, too
    assert "hijacked" not in page.page.locator("body").inner_text()
    assert page.page.locator(f"{PANEL} img").count() == 0
    assert len(page.context.pages) == 1
    page.wait_result("sh")


def test_what_can_not_be_typed_is_said_below_it(desk: Desk) -> None:
    page = desk.open(LOAD, dispatch(ASKS), "").load()
    page.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    terminal = open_terminal(page)
    expect_rows(terminal, "name: ")
    page.page.evaluate("() => navigator.clipboard.writeText('x'.repeat(70000))")
    rows(terminal).click()
    page.page.keyboard.press("Control+v")
    expect(terminal.get_by_role("alert")).to_contain_text("too much to type at once")
    page.page.keyboard.type("y")
    expect(terminal.get_by_role("alert")).to_be_hidden()
    expect_rows(terminal, "name: y")
    page.click("sh", "Pause")
    expect(terminal).to_contain_text("The task is paused: resume it to type.")
    page.click("sh", "Resume")
    expect(terminal).to_contain_text("Escape twice")
    page.click("sh", "Cancel")
