"""Results as new cells: where they stand, what they leave alone, and that each comes once."""

from __future__ import annotations

import pytest
from playwright.sync_api import Route, expect

from .conftest import Desk, Gate
from .notebook_page import LOAD, App, NotebookPage
from .probe import Probe
from .site import until

FIT = "%%dispatch fit\nprint('fitted')\n6 * 7"


def test_a_result_is_a_collapsed_cell_below_its_dispatch(desk: Desk, app: App) -> None:
    page = desk.open(LOAD, FIT, "below = 1", "", app=app).load()
    page.run("c1")
    cell = page.wait_result("fit")
    assert "fitted" in cell.shown
    assert "42" in cell.shown
    assert (cell.kind, cell.source, cell.hidden) == ("code", "%task fit", True)
    assert page.order()[1:4] == ["c1", "=fit", "c2"]
    assert cell.id.startswith("jo-fit-")
    mark = cell.metadata["orchestra"]
    assert {"task", "uid", "kind", "attempt", "part"} <= set(mark)
    page.wait_saved("fit")
    saved = page.saved_results("fit")
    assert [found["id"] for found in saved] == [cell.id]
    assert saved[0]["outputs"]
    assert "trusted" not in saved[0]["metadata"]
    desk.picture(page, f"result-{app}")


def test_a_result_cell_renders_again_when_it_is_run(desk: Desk) -> None:
    page = desk.open(LOAD, FIT, "").load()
    page.run("c1")
    cell = page.wait_result("fit")
    again = page.run(cell.id)
    assert "42" in again.shown
    assert len(page.results()) == 1


def test_a_result_does_not_touch_who_is_typing(desk: Desk, app: App, gate: Gate) -> None:
    cells = [LOAD, gate.cell("slow", "'\\n'.join('tall' for _ in range(30))"), *["y = 0"] * 40, ""]
    page = desk.open(*cells, app=app).load()
    page.run("c1")
    page.type_into("c30", "typed = ")
    before = page.editing()
    gate.open()
    typed = ""
    while not page.results("slow") and len(typed) < 2000:
        page.page.keyboard.type("x")
        typed += "x"
    assert page.wait_result("slow")
    page.page.keyboard.type("end")
    assert page.cell("c30").source in (f"y = 0typed = {typed}end", f"typed = {typed}endy = 0")
    after = page.editing()
    assert (after["active"], after["mode"], after["focused"]) == ("c30", "edit", True)
    assert after["selected"] == before["selected"]
    assert after["cursor"] == before["cursor"] + len(typed) + 3
    assert before["scrolled"]
    assert abs(after["top"] - before["top"]) <= 4
    page.page.keyboard.press("Control+z")
    page.until(lambda: "end" not in page.cell("c30").source, "nothing is undone")
    assert page.results("slow")
    page.page.keyboard.press("Escape")
    page.page.keyboard.press("z")
    assert page.results("slow")


def test_a_result_leaves_the_editors_of_all_other_cells_alone(desk: Desk, gate: Gate) -> None:
    page = desk.open(LOAD, gate.cell("slow", "'came'"), *["y = 0"] * 3, "").load()
    page.run("c1")
    page.select("c4")
    page.in_panel(
        "panel.moves = 0; for (const { editor } of notebook.widgets) { const move = editor.setCursorPosition;"
        "editor.setCursorPosition = (...given) => { panel.moves += 1; move.apply(editor, given); }; }"
    )
    gate.open()
    page.wait_result("slow")
    assert page.in_panel("return panel.moves;") == 0
    assert page.editing()["active"] == "c4"
    page.select("c3")
    assert page.in_panel("return panel.moves;") > 0, "JupyterLab no longer does what is kept from it"


def test_a_result_comes_into_a_tab_in_the_background(desk: Desk, gate: Gate) -> None:
    desk.site.write("front.ipynb", ["in_front = 1"])
    page = desk.open(LOAD, gate.cell("back", "'came'"), "").load()
    page.run("c1")
    page.save()
    page.command("docmanager:open", path="front.ipynb")
    page.until(lambda: page.editing()["front"] == "front.ipynb", page.editing)
    gate.open()
    page.wait_saved("back")
    assert page.editing()["front"] == "front.ipynb"
    assert len(page.results("back")) == 1


def test_a_result_waits_for_a_page(desk: Desk, app: App, gate: Gate) -> None:
    page = desk.open(LOAD, gate.cell("later", "'came'"), "", app=app).load()
    page.run("c1")
    page.wait_state("later", "running")
    page.save()
    with Probe(desk.site.connection(page.name)) as probe:
        page.close()
        gate.open()
        until(lambda: probe.ask("str(jo.task('later').state)") == "done")
    assert not page.saved_results()
    page = desk.open(app=app, context=page.context).show_sidebar()
    assert "came" in page.wait_result("later").shown
    page.wait_saved("later")
    assert len(page.results()) == len(page.saved_results()) == 1


def test_two_tabs_get_each_result_once(desk: Desk) -> None:
    cells = [f"%%dispatch r{number}\n{number}" for number in range(5)]
    first = desk.open(LOAD, *cells, "").load()
    first.save()
    second = desk.open(context=first.context).show_sidebar()
    for number in range(5):
        first.run(f"c{number + 1}")
    for number in range(5):
        first.until(lambda task=f"r{number}": first.saved_results(task), lambda: f"{first.order()} {second.order()}")
    assert [cell["source"] for cell in first.saved_results()].count("%task r0") == 1
    assert len(first.saved_results()) == 5
    assert len(first.results()) + len(second.results()) == 5


def test_a_deleted_result_stays_deleted(desk: Desk, app: App) -> None:
    page = desk.open(LOAD, FIT, FIT.replace("fit", "other"), "", app=app).load()
    page.run("c1")
    page.delete(page.wait_result("fit").id)
    page.save()
    page.run("c2")
    page.wait_result("other")
    page.wait_saved("other")
    page.reload().show_sidebar()
    page.wait_state("fit", "done")
    assert not page.results("fit")
    page.restart_kernel()
    page.run("c0")
    page.wait_state("fit", "done")
    page.run("c2")
    page.until(lambda: len(page.results("other")) == 1, page.order)
    assert not page.results("fit")
    assert not page.saved_results("fit")


def test_a_dispatch_run_again_replaces_its_result(desk: Desk, app: App) -> None:
    page = desk.open(LOAD, "rounds = 0", "%%dispatch again\nrounds", "rounds += 1", "", app=app).load()
    page.run("c1")
    page.run("c2")
    first = page.wait_result("again")
    assert first.shown.strip().endswith("0")
    page.run("c3")
    page.run("c2")
    page.until(lambda: [cell for cell in page.results("again") if cell.shown.strip().endswith("1")], page.order)
    assert len(page.results()) == 1
    page.until(lambda: [cell["id"] for cell in page.saved_results()] == [page.results()[0].id], page.saved_results)


@pytest.mark.parametrize("how", ["edited", "pinned"])
def test_a_result_that_is_the_persons_own_is_not_replaced(desk: Desk, how: str) -> None:
    page = desk.open(LOAD, "%%dispatch keep\n'a result'", "").load()
    page.run("c1")
    mine = page.wait_result("keep").id
    if how == "edited":
        page.enter_source(mine, "jo.task('keep').result  # mine")
    else:
        page.pin(mine)
    page.run("c1")
    page.until(lambda: len([cell for cell in page.results("keep") if "a result" in cell.shown]) == 2, page.order)
    assert mine in [cell.id for cell in page.results()]
    assert "mine" in page.cell(mine).source or how == "pinned"


def test_run_all_of_a_saved_notebook_in_a_fresh_kernel_ends_with_as_many_cells(desk: Desk, app: App) -> None:
    page = desk.open(
        LOAD, FIT, "%%dispatch two\nresults['fit'] + 1".replace("two", "two --after fit"), "z = 1", "", app=app
    )
    page.load()
    page.run("c1")
    page.run("c2")
    page.wait_result("two")
    page.wait_saved("two")
    before = page.order()
    old = {cell.metadata["orchestra"]["uid"] for cell in page.results()}
    page.save()
    page.restart_kernel()
    page.run_all()
    page.wait_run("c3")

    def fresh() -> bool:
        found = page.results()
        return len(found) == 2 and not old & {cell.metadata["orchestra"]["uid"] for cell in found}

    page.until(fresh, lambda: [cell.metadata for cell in page.results()])
    page.until(lambda: all("42" in cell.shown or "43" in cell.shown for cell in page.results()), page.cells)
    assert page.order() == before


def test_a_page_that_ends_before_it_has_saved_leaves_the_result_to_the_next(desk: Desk, gate: Gate) -> None:
    page = desk.open(LOAD, gate.cell("cut", "'came'"), "").load()
    page.run("c1")
    page.save()
    held: list[Route] = []
    page.page.route("**/api/contents/**", lambda route: _hold(route, held))
    gate.open()
    page.wait_result("cut")
    page.until(lambda: held, "the page does not save")
    page.close()
    assert not page.saved_results()
    page = desk.open(context=page.context).show_sidebar()
    page.wait_result("cut")
    page.wait_saved("cut")
    assert len(page.results()) == len(page.saved_results()) == 1


def test_a_page_that_ends_after_it_has_saved_and_before_it_says_so_leaves_one_cell(desk: Desk, gate: Gate) -> None:
    page = desk.open(LOAD, gate.cell("cut", "'came'"), "%%dispatch next\n1", "").load()
    page.run("c1")
    page.save()
    held: list[Route] = []
    page.page.route("**/api/contents/**", lambda route: _hold(route, held, first_save=True))
    gate.open()
    page.until(lambda: held, "the page does not save")
    page.wait_saved("cut")
    page.close()
    page = desk.open(context=page.context).show_sidebar()
    page.run("c2")
    page.wait_result("next")
    page.wait_saved("next")
    assert len(page.results("cut")) == len(page.saved_results("cut")) == 1


def _hold(route: Route, held: list[Route], first_save: bool = False) -> None:
    """Keep the answers of all writes back; with `first_save` the server gets them."""
    if route.request.method not in ("PUT", "POST", "PATCH"):
        route.continue_()
        return
    if first_save:
        route.fetch()
    held.append(route)


def test_who_saves_while_a_result_is_being_saved_is_asked_nothing(desk: Desk, gate: Gate) -> None:
    page = desk.open(LOAD, gate.cell("slow", "'came'"), "").load()
    page.run("c1")
    page.save()
    written: list[str] = []
    held: list[Route] = []
    page.page.route("**/api/contents/**", lambda route: _hold_what_follows_a_write(route, written, held))
    gate.open()
    page.wait_result("slow")
    page.until(lambda: held, "the page does not save")
    page.in_panel("panel.saved = 0; void panel.context.save().then(() => panel.saved++);")
    page.in_panel("await fetch(`${location.origin}/api/contents/${panel.context.path}?content=0`);")
    held[0].continue_()
    page.until(lambda: page.in_panel("return panel.saved;") or page.dialog().count(), "nothing is saved")
    assert page.dialog().count() == 0
    assert len(written) == 2


def _hold_what_follows_a_write(route: Route, written: list[str], held: list[Route]) -> None:
    """Keep the first question after the first write back: the page does not know yet what it wrote."""
    if route.request.method == "PUT":
        written.append(route.request.url)
    elif written and not held:
        held.append(route)
        return
    route.continue_()


def test_a_result_follows_a_renamed_notebook(desk: Desk, gate: Gate) -> None:
    page = desk.open(LOAD, gate.cell("moved", "'came'"), "").load()
    page.run("c1")
    page.save()
    page.in_panel("await panel.context.rename('renamed-notebook.ipynb');")
    page.name = "renamed-notebook.ipynb"
    gate.open()
    page.wait_result("moved")
    page.wait_saved("moved")
    assert len(page.saved_results()) == 1


def test_a_restart_keeps_results_that_no_page_has_taken(desk: Desk, gate: Gate) -> None:
    page = _leave_with_result(desk, gate)
    desk.site.restart(page.name)
    _come_back(desk, page)


def test_a_killed_kernel_keeps_results_that_no_page_has_taken(desk: Desk, gate: Gate) -> None:
    import os
    import signal

    page = _leave_with_result(desk, gate)
    before = desk.site.pid(page.name)
    os.kill(before, signal.SIGKILL)
    until(lambda: desk.site.has_new_kernel(page.name, before))
    _come_back(desk, page)


def _leave_with_result(desk: Desk, gate: Gate) -> NotebookPage:
    page = desk.open(LOAD, gate.cell("pending", "'came'"), "").load()
    page.run("c1")
    page.wait_state("pending", "running")
    page.save()
    with Probe(desk.site.connection(page.name)) as probe:
        page.close()
        gate.open()
        until(lambda: probe.ask("str(jo.task('pending').state)") == "done")
    return page


def _come_back(desk: Desk, page: NotebookPage) -> None:
    page = desk.open(context=page.context).load()
    assert "came" in page.wait_result("pending").shown
    page.wait_saved("pending")
    assert len(page.results()) == len(page.saved_results()) == 1


def test_a_kernel_killed_under_an_open_page_goes_on_with_its_tasks_or_says_what_became_of_them(
    desk: Desk, gate: Gate
) -> None:
    import os
    import signal

    cut = "%%dispatch cut -w loop\nimport asyncio\nawait asyncio.sleep(600)"
    long = gate.cell("long", "'came after all'").replace("import", "print('begun', flush=True)\nimport", 1)
    page = desk.open(LOAD, FIT, long, cut, "").load()
    page.run("c2")
    page.run("c3")
    page.wait_state("cut", "running")
    expect(page.card("long")).to_contain_text("begun")
    page.run("c1")
    page.wait_result("fit")
    page.wait_saved("fit")
    before = desk.site.pid(page.name)
    os.kill(before, signal.SIGKILL)
    until(lambda: desk.site.has_new_kernel(page.name, before))
    page.wait_open()
    page.close_dialogs()
    page.run("c0")
    page.wait_state("cut", "lost")
    page.wait_state("fit", "done")
    expect(page.card("cut")).to_contain_text("retry")
    page.wait_state("long", "running")
    gate.open()
    assert "came after all" in page.wait_result("long").shown
    assert len(page.results()) == 2


def test_a_printed_result_is_replaced_by_a_printed_result(desk: Desk) -> None:
    again = "rounds += 1\njo.dispatch(f'print({rounds})', name='again')"
    page = desk.open(LOAD, "rounds = 0", again, "").load()
    page.run("c1")
    for said in "12":
        page.run("c2")
        page.until(lambda said=said: [cell.shown.strip() for cell in page.results()] == [said], page.cells)
        assert [output["text"] for cell in page.results() for output in cell.outputs] == [f"{said}\n"]
    page.until(lambda: ["".join(cell["outputs"][0]["text"]) for cell in page.saved_results()] == ["2\n"], page.cells)


def test_a_late_result_of_an_earlier_run_leaves_the_newer_one_where_it_is(desk: Desk, gate: Gate) -> None:
    first = gate.body("'early'")
    again = f"rounds += 1\njo.dispatch({first!r} if rounds == 1 else '\"late\"', name=f'r{{rounds}}')"
    page = desk.open(LOAD, "rounds = 0", again, "").load()
    page.run("c1")
    page.run("c2")
    page.wait_state("r1", "running")
    page.run("c2")
    page.wait_result("r2")
    gate.open()
    page.wait_result("r1")
    assert page.order()[2:5] == ["c2", "=r2", "=r1"]


def test_the_result_of_a_task_that_is_tried_again_takes_the_place_of_the_failed_one(desk: Desk, gate: Gate) -> None:
    page = desk.open(LOAD, f"%%dispatch bad\nimport pathlib\npathlib.Path({str(gate.path)!r}).read_text()", "").load()
    page.run("c1")
    assert "Error" in page.wait_result("bad").shown
    gate.open()
    page.click("bad", "Retry")
    page.wait_state("bad", "done")
    page.until(lambda: ["Error" in cell.shown for cell in page.results("bad")] == [False], page.cells)


@pytest.mark.parametrize("late", [0, 500])
def test_results_of_cells_that_the_server_runs_stand_below_them(executor_desk: Desk, late: int) -> None:
    page = executor_desk.open(LOAD, FIT, "x = 1", FIT.replace("fit", "other"), "").load()
    page.delay_kernel(late)
    page.run_all()
    page.wait_result("fit")
    page.wait_result("other")
    assert page.order() == ["c0", "c1", "=fit", "c2", "c3", "=other", "c4"]


def test_they_do_after_a_reload_too(executor_desk: Desk, gate: Gate) -> None:
    page = executor_desk.open(LOAD, gate.cell("slow", "'came'"), "x = 1", "").load()
    page.run("c1")
    page.wait_state("slow", "running")
    page.save()
    page.reload().show_sidebar().wait_attached()
    gate.open()
    page.wait_result("slow")
    assert page.order() == ["c0", "c1", "=slow", "c2", "c3"]
