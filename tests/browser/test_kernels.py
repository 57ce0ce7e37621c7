"""Kernels that are not as they should be, and kernels that several notebooks share."""

from __future__ import annotations

from playwright.sync_api import expect

from .conftest import Desk, Gate
from .notebook_page import LOAD, App


def test_a_kernel_without_the_extension_is_told_how_to_load_it(desk: Desk, app: App) -> None:
    page = desk.open("1", "", app=app).show_sidebar()
    expect(page.sidebar).to_contain_text("%load_ext jupyter_orchestra")
    page.run("c0")
    desk.picture(page, f"unloaded-{app}")


def test_a_kernel_without_subshells_says_what_waits(desk: Desk, gate: Gate) -> None:
    spec = {"name": "no-subshells", "display_name": "no-subshells", "language": "python"}
    cells = [LOAD, "%%dispatch first\n6 * 7", gate.body("done = True"), "%%dispatch second\n6 * 8", ""]
    page = desk.open(*cells, kernelspec=spec).load()
    expect(page.sidebar).to_contain_text("subshell")
    page.run("c1")
    assert "42" in page.wait_result("first").shown
    page.press_run("c2")
    page.press_run("c3")
    page.until(lambda: page.cell("c3").prompt == "[*]:", "it is not sent")
    desk.picture(page, "no-subshells")
    assert page.cell("c3").prompt == "[*]:"
    gate.open()
    page.wait_run("c3")
    assert "48" in page.wait_result("second").shown


def test_a_kernel_of_another_language_is_left_alone(desk: Desk) -> None:
    spec = {"name": "echo", "display_name": "echo", "language": "echo"}
    page = desk.open("some words", "", kernelspec=spec).show_sidebar()
    page.run("c0")
    assert "some words" in page.cell("c0").shown
    expect(page.sidebar).to_be_visible()
    desk.picture(page, "other-language")


def test_a_page_and_a_kernel_of_different_versions_say_so(desk: Desk) -> None:
    older = "import jupyter_orchestra.core.wire as wire\nwire.PROTOCOL += 1\n" + LOAD
    page = desk.open(older, "%%dispatch fit\n6 * 7", "%gather", "").show_sidebar()
    page.run("c0")
    expect(page.sidebar).to_contain_text("version")
    assert "42" in page.run("c1").shown or "42" in page.run("c2").shown
    desk.picture(page, "versions")


def test_two_notebooks_on_one_kernel_keep_their_results_apart(desk: Desk) -> None:
    first = desk.open(LOAD, "%%dispatch one\n'of the first'", "").load()
    first.save()
    # Its dispatching cell has an id that no cell of the first one has, as in all notebooks that are no copies.
    cells = ("0", "0", "0", "%%dispatch two\n'of the second'", "")
    second = desk.open(*cells, name="second.ipynb", context=first.context)
    kernel = desk.site.kernel(first.name)
    second.in_panel(f"await panel.sessionContext.changeKernel({{ id: {kernel!r} }});")
    second.wait_open()
    second.show_sidebar()
    first.run("c1")
    first.wait_result("one")
    second.run("c3")
    second.wait_result("two")
    for page in (first, second):
        page.wait_state("one", "done")
        page.wait_state("two", "done")
    assert [cell.task for cell in first.results()] == ["one"]
    assert [cell.task for cell in second.results()] == ["two"]


def test_tasks_of_another_notebook_are_one_fold_away(desk: Desk, gate: Gate) -> None:
    page = desk.open(LOAD, gate.cell("elsewhere", "0"), "").load()
    page.run("c1")
    page.save()
    desk.site.write("near.ipynb", ["1"])
    page.command("docmanager:open", path="near.ipynb")
    page.until(lambda: page.editing()["front"] == "near.ipynb", page.editing)
    expect(page.sidebar).to_contain_text("Other notebooks")
    fold = page.sidebar.get_by_role("button", name="Other notebooks")
    if not page.states():
        fold.click()
    page.click("elsewhere", "Cancel")
    page.wait_state("elsewhere", "cancelled")


def test_another_kernel_has_other_tasks(desk: Desk) -> None:
    page = desk.open(LOAD, "%%dispatch fit\n6 * 7", "").load()
    page.run("c1")
    page.wait_result("fit")
    page.wait_saved("fit")
    page.in_panel("await panel.sessionContext.changeKernel({ name: 'python3' });")
    page.wait_open()
    expect(page.sidebar).to_contain_text("%load_ext jupyter_orchestra")
    page.run("c0")
    page.wait_state("fit", "done")
    assert len(page.results()) == 1
