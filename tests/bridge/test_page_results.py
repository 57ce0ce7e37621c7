from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from live_kernel import LiveKernel
from page import Document, Page, attach

from jupyter_orchestra.core import wire
from jupyter_orchestra.core.model import State

Start = Callable[..., LiveKernel]


def test_a_result_becomes_a_cell_once_in_the_page_that_holds_the_dispatching_cell(nb: LiveKernel) -> None:
    page, other = attach(nb, document=Document("mine")), attach(nb, path="other.ipynb", session="other")
    ran = nb.finish(nb.send("%%dispatch once -w shell\necho came by itself", cell="mine"))
    nb.until(lambda: "came by itself" in page.text("once"))
    card = page.until_card("once", lambda card: card.stage == "shown")
    assert card.cell == "mine"
    (cells,) = page.document.results.values()
    assert [cell.id for cell in cells] == [card.result_cell]
    assert cells[0].source == "%task once"
    assert cells[0].trusted
    assert cells[0].metadata["orchestra"]["uid"] == card.uid
    assert not other.document.inserted
    nb.until(lambda: ran.card.startswith("✓ once · shell · done"))
    assert wire.CARD_MIME in ran.displays[0]
    assert "came by itself" not in nb.run("%gather").text + nb.run("1").text + ran.card


def test_a_result_goes_to_the_page_of_its_notebook_where_no_page_holds_the_cell(nb: LiveKernel) -> None:
    home, other = attach(nb, session="gone"), attach(nb, path="else/other.ipynb", session="other")
    nb.run("%%dispatch homeward -w shell\necho home")
    nb.until(lambda: "home" in home.text("homeward"))
    assert not other.document.inserted


def test_a_renamed_notebook_still_gets_its_results(nb: LiveKernel) -> None:
    page = attach(nb)
    page.say(wire.PageChanged(path="renamed.ipynb", visible=True))
    nb.run("%%dispatch renamed -w shell\necho still mine")
    nb.until(lambda: "still mine" in page.text("renamed"))


def test_a_result_waits_while_only_another_notebook_is_open(nb: LiveKernel) -> None:
    others = [attach(nb, path=path, session=path) for path in ("a.ipynb", "b.ipynb")]
    nb.run("%%dispatch waits -w shell\necho waited")
    for other in others:
        other.wait_for(wire.Offer)
    nb.until_state("waits", "done")
    page = attach(nb)
    nb.until(lambda: "waited" in page.text("waits"))
    assert not any(other.document.inserted for other in others)


def test_results_of_one_cell_come_in_the_order_of_arrival_and_the_last_one_says_so(nb: LiveKernel) -> None:
    page = attach(nb)
    nb.run(
        "for i in range(6):\n"
        "    jo.dispatch(f'while ! test -e go{i}; do sleep 0.01; done; echo {i}', f'row{i}', worker='shell')"
    )
    for i in (2, 0, 1, 3):
        nb.run(f"open('go{i}', 'w').close()")
        nb.until(lambda i=i: page.text(f"row{i}"))
    nb.run("open('go4', 'w').close()")
    nb.until(lambda: page.text("row4"))
    nb.run("open('go5', 'w').close()")
    nb.until(lambda: page.text("row5"))
    assert page.sources == [f"%task row{i}" for i in (2, 0, 1, 3, 4, 5)]
    assert [grant.last for grant in page.all(wire.Grant)][-1]
    assert not any(grant.last for grant in page.all(wire.Grant)[:-1])
    nb.run("import os\nfor i in range(6): os.unlink(f'go{i}')")


def test_of_results_that_are_not_saved_yet_the_last_one_says_so_too(nb: LiveKernel) -> None:
    page = attach(nb, acks=False)
    nb.run("for i in range(3): jo.dispatch('while ! test -e go; do sleep 0.01; done', f'both{i}', worker='shell')")
    nb.run("open('go', 'w').close()")
    nb.until(lambda: len(page.document.inserted) == 3)
    firsts = {grant.uid: grant.last for grant in reversed(page.all(wire.Grant))}
    assert [firsts[uid] for uid, _ in page.document.inserted] == [False, False, True]
    page.acks = True
    nb.until(lambda: all(card.stage == "shown" for card in page.cards.values()))
    nb.run("import os; os.unlink('go')")


def test_a_result_that_a_cell_waits_for_is_shown_there_and_nowhere_else(nb: LiveKernel) -> None:
    page = attach(nb)
    assert nb.run("%%dispatch gathered -b -w shell\necho came once").text.count("came once") == 1
    page.until_card("gathered", lambda card: card.stage == "shown")
    assert not page.document.inserted
    assert not page.all(wire.Grant)


def test_a_running_task_cell_becomes_the_result_cell(nb: LiveKernel) -> None:
    page = attach(nb, document=Document("asks"))
    nb.run("h = jo.dispatch('while ! test -e go; do sleep 0.02; done; echo filled in', 'late', worker='shell')")
    nb.finish(nb.send("%task late", cell="asks"))
    nb.run("open('go', 'w').close()")
    grant = page.wait_for(wire.Grant)
    assert (grant.into, grant.filled) == ("asks", False)
    assert "filled in" in str(grant.cells)
    nb.run("import os; os.unlink('go')")


def test_a_task_cell_that_runs_after_the_end_shows_the_result_and_is_marked(nb: LiveKernel) -> None:
    page = attach(nb, document=Document("asks"), takes=False)
    nb.run("h = jo.dispatch('echo over', 'over', worker='shell')")
    page.until_card("over", lambda card: card.state is State.DONE)
    page.wait_for(wire.Offer)
    ran = nb.finish(nb.send("%task over", cell="asks"))
    assert "over\n" in ran.text
    assert page.cards[nb.ask("h.uid")].stage == "queued", "it is shown when the page says so"
    page.takes = True
    grant = page.wait_for(wire.Grant)
    assert (grant.into, grant.filled) == ("asks", True)
    page.until_card("over", lambda card: card.stage == "shown")


def test_a_deleted_result_stays_deleted(nb: LiveKernel) -> None:
    page = attach(nb, acks=False)
    nb.run("%%dispatch unwanted -w shell\necho unwanted")
    nb.until(lambda: page.document.results)
    (key,) = page.document.results
    del page.document.results[key]
    page.document.deleted.add(key)
    page.until_card("unwanted", lambda card: card.stage == "shown")
    assert page.document.inserted == [key]


def test_an_insertion_that_was_not_saved_is_asked_for_again_and_not_made_twice(nb: LiveKernel) -> None:
    page, second = attach(nb, acks=False), attach(nb)
    page.say(wire.PageChanged(path="nb.ipynb", visible=True))
    second.say(wire.PageChanged(path="nb.ipynb", visible=False))
    page.document.cells.append("mine")
    nb.finish(nb.send("%%dispatch slow -w shell\necho slow", cell="mine"))
    nb.until(lambda: page.document.results)
    nb.until(lambda: len(page.all(wire.Offer)) >= 2)
    page.acks = True
    page.until_card("slow", lambda card: card.stage == "shown")
    assert len(page.document.inserted) == 1
    assert not second.document.inserted


def test_twenty_results_at_once_with_two_tabs_come_once_each(nb: LiveKernel) -> None:
    document = Document("mine")
    pages = attach(nb, document=document.copy()), attach(nb, document=document.copy())
    code = "for i in range(20): jo.dispatch(f'echo {i}', f'one{i}', worker='shell')"
    nb.finish(nb.send(code, cell="mine"))
    nb.until(lambda: all(card.stage == "shown" for card in pages[0].cards.values()) and len(pages[0].cards) == 20)
    inserted = pages[0].document.inserted + pages[1].document.inserted
    assert len(inserted) == len(set(inserted)) == 20


# nobody there


def test_when_the_page_has_gone_results_wait_for_the_next_one(nb: LiveKernel) -> None:
    page = attach(nb)
    page.say(wire.Bye())
    nb.until_true(f"jo.api.current().runtime.sink._pages._pages.get({page.client!r}) is None")
    assert not page.closed
    ran = nb.run("%%dispatch patient -w shell\necho waited for a page")
    nb.until_state("patient", "done")
    nb.run("1")
    nb.until(lambda: ran.card.startswith("✓ patient"))
    assert "waited for a page" not in ran.card
    assert nb.ask("str(jo.task('patient').view.stage)") == "queued"
    again = attach(nb)
    nb.until(lambda: "waited for a page" in again.text("patient"))


def test_progress_is_for_the_page_alone_while_it_is_there(nb: LiveKernel) -> None:
    page = attach(nb)
    code = "import asyncio\nfor i in range(30):\n    jo.progress(i / 30, f'step {i}')\n    await asyncio.sleep(0.05)"
    ran = nb.run(f"%%dispatch steps -w loop\n{code}")
    page.until_card("steps", lambda card: card.stage == "shown")
    nb.until(lambda: ran.card.startswith("✓ steps"))
    updates = [content["data"]["text/plain"] for content in ran.contents("update_display_data")]
    assert not [text for text in updates if "step" in text.replace("steps", "")][1:]
    assert [card for changes in page.all(wire.Changes) for card in changes.cards if card.line]


def test_after_a_restart_of_the_kernel_results_are_offered_again(start_kernel: Start, tmp_path: Path) -> None:
    kernel = start_kernel(tmp_path / "nb.ipynb")
    attach(kernel, takes=False)
    kernel.run("%%dispatch pending -w shell\necho before the restart")
    kernel.until_state("pending", "done")
    kernel.comm_listeners.clear()
    kernel.restart()
    page = Page(kernel, attach=False)
    kernel.load()
    kernel.until(lambda: page.announced)
    page.attach()
    kernel.until(lambda: "before the restart" in page.text("pending"))
    page.until_card("pending", lambda card: card.stage == "shown")


def test_after_a_kill_the_next_kernel_offers_what_was_not_shown(start_kernel: Start, tmp_path: Path) -> None:
    first = start_kernel(tmp_path / "nb.ipynb")
    page = attach(first, acks=False)
    first.run("%%dispatch pending -w shell\necho before the kill")
    first.until(lambda: page.document.results)
    first.kill()
    second = start_kernel(tmp_path / "nb.ipynb")
    saved = Page(second, document=page.document)
    saved.wait_for(wire.Snapshot)
    saved.until_card("pending", lambda card: card.stage == "shown")
    assert len(page.document.inserted) == 1
    fresh = start_kernel(tmp_path / "other.ipynb")
    assert not attach(fresh, path="other.ipynb").cards


def test_where_no_page_ever_comes_the_card_shows_the_result_and_a_late_page_gets_what_nobody_saw(
    start_kernel: Start, tmp_path: Path
) -> None:
    kernel = start_kernel(tmp_path / "nb.ipynb")
    ran = kernel.run("%%dispatch alone -w shell\necho nobody there")
    kernel.until(lambda: "nobody there" in ran.card)
    assert kernel.ask("str(jo.task('alone').view.stage)") == "queued"
    kernel.run("1")
    kernel.until_true("jo.task('alone').view.stage == 'shown'")
    kernel.run("%%dispatch unseen -w shell\necho in a card that nobody looked at")
    kernel.until_state("unseen", "done")
    page = attach(kernel)
    kernel.until(lambda: "nobody looked at" in page.text("unseen"))
    assert page.text("alone") == ""
