from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from live_kernel import LiveKernel
from page import Document, Page

from jupyter_orchestra.core import wire
from jupyter_orchestra.core.model import State

Start = Callable[..., LiveKernel]
BUSY = {
    "sleep": "import time\ntime.sleep(60)",
    "cpu": "import time\nuntil = time.monotonic() + 60\nwhile time.monotonic() < until:\n    sum(range(1000))",
}
PUSH = """
import threading
pushing = threading.Event()
def push():
    n = 0
    while not pushing.wait(0.05):
        n += 1
        hub_runtime.on_loop(lambda: hub_runtime.sink.show(jo.task('target').view))
hub_runtime = jo.task('target')._client.runtime
threading.Thread(target=push, daemon=True).start()
"""


@pytest.fixture(scope="module")
def shared_kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveKernel]:
    """One kernel of a notebook for all tests of this module."""
    folder = tmp_path_factory.mktemp("kernel")
    kernel = LiveKernel(folder, folder / "nb.ipynb")
    yield kernel
    kernel.close()


@pytest.fixture
def nb(shared_kernel: LiveKernel) -> Iterator[LiveKernel]:
    """The module's kernel, without tasks before and after each test."""
    yield shared_kernel
    log = shared_kernel.log
    shared_kernel.run("jo.cancel_all()")
    shared_kernel.until_true("all(task.ready() and not task.view.stopping for task in jo.tasks())")
    shared_kernel.run("for task in jo.tasks(): get_ipython().run_line_magic('orchestra', f'forget {task.name}')")
    shared_kernel.comm_listeners.clear()
    assert not shared_kernel.complaints
    assert "Traceback" not in log, log


def attach(nb: LiveKernel, *args: Any, **more: Any) -> Page:
    page = Page(nb, *args, **more)
    page.wait_for(wire.Snapshot)
    return page


def begin(nb: LiveKernel, code: str) -> Any:
    nb.run("begun = False")
    ran = nb.send("begun = True\n" + code)
    nb.until_true("begun")
    return ran


@pytest.mark.parametrize("busy", ["sleep", "cpu"])
def test_a_cancel_is_handled_at_once_while_a_cell_runs_and_a_thread_pushes_changes(nb: LiveKernel, busy: str) -> None:
    page = attach(nb)
    nb.run("%%dispatch target -w shell\nsleep 100")
    nb.run(PUSH)
    main = begin(nb, BUSY[busy])
    since = time.monotonic()
    answer = page.ask(wire.Act, action="cancel", tasks=("target",))
    took = time.monotonic() - since
    assert answer.ok
    assert answer.names == ("target",)
    assert took < 1
    page.until_card("target", lambda card: card.state is State.CANCELLED)
    assert not main.over
    nb.interrupt()
    nb.finish(main)
    nb.run("pushing.set()")


def test_a_page_gets_a_snapshot_then_every_change_without_a_gap_and_never_with_the_parent_of_a_cell(
    nb: LiveKernel,
) -> None:
    nb.run("%%dispatch before -w shell\nsleep 100")
    page = attach(nb)
    assert page.card("before") is not None
    for n in range(5):
        nb.run(f"%%dispatch later-{n} -w shell\ntrue")
    for n in range(5):
        page.until_card(f"later-{n}", lambda card: card.state is State.DONE)
    nb.run("%cancel before")
    page.until_card("before", lambda card: card.state is State.CANCELLED)
    nb.run("%orchestra forget before")
    nb.until(lambda: page.card("before") is None)
    assert not any(page.parents)
    assert not page.closed


def test_many_tasks_that_report_all_the_time_make_at_most_twenty_messages_a_second(nb: LiveKernel) -> None:
    page, other = attach(nb), attach(nb)
    nb.run(
        "async def report():\n    import asyncio\n    n = 0\n    while True:\n        n += 1\n"
        "        jo.progress(n % 100 / 100, f'line {n}')\n        await asyncio.sleep(0.05)\n"
        "%config Orchestra.loop_slots = 200\n"
        "hs = [jo.dispatch('await report()', f'many{i}', worker='loop') for i in range(200)]"
    )
    nb.until(lambda: sum(card.line != "" for card in page.cards.values()) == 200)
    told = len(page.times)
    nb.until(lambda: len(page.times) > told + 20, why="what changes all the time is told all the time")
    times = sorted(
        at
        for one in (page, other)
        for at, message in zip(one.times, one.messages, strict=True)
        if isinstance(message, wire.Changes | wire.Output | wire.Detail)
    )
    assert max(len([other for other in times if at <= other < at + 1]) for at in times) <= 20
    assert {card.name for card in page.cards.values()} >= {f"many{i}" for i in range(200)}
    nb.run("jo.cancel_all()\n%config Orchestra.loop_slots = 64")


@pytest.mark.parametrize(
    "data",
    [
        {"type": "Nonsense"},
        {"type": "Act"},
        {"type": "Act", "request": "r", "action": "explode"},
        {"type": "Steer", "request": "r", "task": 5, "text": None},
        {"type": "Claim", "uid": "u"},
        {"type": "Hello", "client": "x", "protocol": 1, "version": "", "session": "", "path": "", "visible": True},
        {"type": "Pong", "more": 1},
        {"type": "Watch", "task": "nobody"},
        {},
        [1, 2],
        "text",
        None,
        {"type": "Pong", "deep": [[[[[[{}]]]]]]},
    ],
)
def test_what_can_not_be_read_is_answered_by_a_problem_in_a_line(nb: LiveKernel, data: Any) -> None:
    page = attach(nb)
    page.say_data(data)
    problem = page.wait_for(wire.Problem)
    assert problem.message
    assert "\n" not in problem.message
    assert page.ask(wire.Act, action="cancel", tasks=("nobody",)).message.startswith("no task is called")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"action": "cancel"}, "which task"),
        ({"action": "retry", "all": True}, "takes the names"),
        ({"action": "cancel", "ended": True}, "only forget"),
        ({"action": "pause", "tasks": ("nobody",)}, "no task is called"),
    ],
)
def test_what_can_not_be_done_is_refused_in_a_line(nb: LiveKernel, fields: dict[str, Any], said: str) -> None:
    answer = attach(nb).ask(wire.Act, **fields)
    assert not answer.ok
    assert said in answer.message


def test_a_page_can_do_all_that_the_magics_do_to_tasks(nb: LiveKernel) -> None:
    page = attach(nb)
    nb.run("%%dispatch one -w shell\nsleep 100")
    nb.run("%%dispatch two -w shell\nfalse")
    assert page.ask(wire.Act, action="pause", tasks=("one",)).ok
    page.until_card("one", lambda card: card.state is State.PAUSED)
    assert page.ask(wire.Act, action="resume", all=True).ok
    page.until_card("one", lambda card: card.state is State.RUNNING)
    page.until_card("two", lambda card: card.state is State.FAILED)
    assert page.ask(wire.Act, action="retry", tasks=("two",)).ok
    page.until_card("two", lambda card: card.attempt == 2 and card.state is State.FAILED)
    assert "takes no messages" in page.ask(wire.Steer, task="one", text="hello").message
    assert page.ask(wire.Act, action="cancel", all=True).names == ("one",)
    page.until_card("two", lambda card: card.stage == "shown")
    page.until_card("one", lambda card: card.state is State.CANCELLED and not card.stopping)
    assert page.ask(wire.Act, action="forget", ended=True).ok
    nb.until(lambda: not page.cards)


def test_a_panel_gets_the_picture_the_output_as_it_comes_and_the_picture_again_at_the_end(nb: LiveKernel) -> None:
    page = attach(nb)
    nb.run("%%dispatch chatty -w shell\necho first; while ! test -e go; do sleep 0.02; done; echo second")
    page.until_card("chatty", lambda card: card.state is State.RUNNING)
    page.say(wire.Watch(task="chatty"))
    detail = page.wait_for(wire.Detail, lambda detail: detail.story[-1].state is State.RUNNING)
    assert detail.trusted
    assert detail.kind == "code"
    assert "echo first" in detail.brief
    nb.run("open('go', 'w').close()")
    last = page.wait_for(wire.Detail, lambda detail: detail.story[-1].state is State.DONE)
    assert "first" in str(last.outputs)
    assert "second" in str(last.outputs)
    heard = [one for one in page.messages if isinstance(one, wire.Detail | wire.Output)]
    at = 0
    for one in heard[: heard.index(last)]:
        first = one.first if isinstance(one, wire.Detail) else one.index
        assert isinstance(one, wire.Detail) or first == at, "an output is missing"
        at = first + len(one.outputs)
    nb.run("import os; os.unlink('go')")
    page.say(wire.Watch(task="chatty", on=False))


def test_a_panel_that_is_opened_late_shows_how_far_a_cancelled_task_had_come(nb: LiveKernel) -> None:
    page = attach(nb)
    nb.run("%%dispatch cut\nimport time\nprint('so far')\ntime.sleep(100)")
    page.until_card("cut", lambda card: card.state is State.RUNNING)
    page.say(wire.Watch(task="cut"))
    nb.until(lambda: any("so far" in str(one.outputs) for one in page.all(wire.Detail) + page.all(wire.Output)))
    page.say(wire.Watch(task="cut", on=False))
    assert page.ask(wire.Act, action="cancel", tasks=("cut",)).ok
    page.until_card("cut", lambda card: card.state is State.CANCELLED and not card.stopping)
    page.say(wire.Watch(task="cut"))
    detail = page.wait_for(wire.Detail, lambda detail: detail.story[-1].state is State.CANCELLED)
    assert "so far" in str(detail.outputs)


def test_the_bytes_of_an_artifact_come_in_pieces(nb: LiveKernel) -> None:
    page = attach(nb)
    cell = nbformat.v4.new_code_cell("print('long ' * 100_000)")
    spec = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata=spec), nb.folder / "inner.ipynb")
    nb.run("%%dispatch made -w notebook\ninner.ipynb")
    page.until_card("made", lambda card: card.state is State.DONE)
    page.say(wire.Watch(task="made"))
    (artifact,) = page.wait_for(wire.Detail).artifacts
    answer = page.ask(wire.Fetch, task="made", artifact=artifact.name)
    assert answer.ok
    chunks = [chunk for chunk in page.all(wire.Chunk) if chunk.request == answer.request]
    data = b"".join(base64.b64decode(chunk.data) for chunk in chunks)
    assert len(chunks) > 1
    assert [chunk.last for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert {chunk.size for chunk in chunks} == {len(data)} == {artifact.size}
    assert "long long" in str(nbformat.reads(data.decode(), 4).cells[0].outputs)
    refused = page.ask(wire.Fetch, task="made", artifact="nothing.png")
    assert not refused.ok
    assert "no file 'nothing.png'" in refused.message


def test_the_composer_dispatches_while_a_cell_runs_and_its_result_is_for_the_end_of_the_notebook(
    nb: LiveKernel,
) -> None:
    page = attach(nb)
    main = begin(nb, BUSY["sleep"])
    answer = page.ask(wire.Compose, text="%%dispatch composed -w shell\necho from the composer")
    assert answer.ok, answer.message
    assert answer.names == ("composed",)
    nb.until(lambda: "from the composer" in page.text("composed"))
    assert page.until_card("composed", lambda card: True).cell == ""
    assert page.ask(wire.Compose, text="6 * 7").ok
    for text, said in (
        ("%%chat hello", "not available yet"),
        ("%%dispatch --nonsense\n1", "unknown flag"),
        ("%%dispatch -o h\n1", "-o names a variable"),
        ("%%bash\nls", "belongs into a cell"),
        ("  \n", "nothing to dispatch"),
        ("1 +", "plain words?"),
    ):
        refused = page.ask(wire.Compose, text=text)
        assert not refused.ok
        assert said in refused.message
        assert "\n" not in refused.message
    assert not main.over
    nb.interrupt()
    nb.finish(main)


def test_what_the_composer_dispatches_sees_the_variables_of_the_cell_that_runs(nb: LiveKernel) -> None:
    page = attach(nb)
    nb.run("late = 'old'")
    main = begin(nb, "import time\nwhile not __import__('os').path.exists('go'): time.sleep(0.01)\nlate = 'new'")
    assert page.ask(wire.Compose, text="%%dispatch sees\nlate").ok
    nb.ask("open('go', 'w').close()")
    nb.finish(main)
    nb.until(lambda: "new" in page.text("sees"))
    nb.run("import os; os.unlink('go')")


def test_a_page_of_another_version_is_told_so_and_nothing_else(nb: LiveKernel) -> None:
    page = Page(nb, attach=False)
    page.attach({"type": "Hello", "client": page.client, "protocol": 999, "future": True})
    said = page.wait_for(wire.Mismatch)
    assert said.protocol == wire.PROTOCOL
    assert "different versions" in said.message
    nb.run("%%dispatch unseen -w shell\ntrue")
    nb.until_state("unseen", "done")
    assert len(page.messages) == 1


def test_a_hello_that_is_none_closes_the_comm(nb: LiveKernel) -> None:
    page = Page(nb, attach=False)
    page.attach({"type": "Hello", "client": 5})
    nb.until(lambda: page.closed)


def test_a_reloaded_page_replaces_the_older_one_and_gets_everything_again(nb: LiveKernel) -> None:
    page = attach(nb)
    nb.run("%%dispatch kept -w shell\nsleep 100")
    page.until_card("kept", lambda card: True)
    main = begin(nb, BUSY["sleep"])
    nb.comm_listeners.clear()
    closed: list[str] = []
    nb.comm_listeners.append(
        lambda message: closed.append(message["content"]["comm_id"]) if message["msg_type"] == "comm_close" else None
    )
    again = attach(nb, page.client)
    assert again.card("kept") is not None
    assert again.ask(wire.Act, action="cancel", tasks=("kept",)).ok
    assert not closed, "nobody is there to hear of it, and other pages complain of comms that they do not know"
    assert not main.over
    nb.interrupt()
    nb.finish(main)


def test_a_page_that_gives_no_sign_of_life_is_let_go(nb: LiveKernel) -> None:
    silent, living = attach(nb, pongs=False), attach(nb)
    nb.run("runtime = jo.api.current().runtime\nclock, ahead = runtime.sink._pages._pages._now, [0.0]")
    nb.run("runtime.sink._pages._pages._now = lambda: clock() + ahead[0]")
    nb.run("ahead[0] += 11")
    silent.wait_for(wire.Ping)
    living.wait_for(wire.Ping)
    nb.run("ahead[0] += 11")
    nb.until(lambda: len(living.all(wire.Ping)) >= 2)
    nb.run("ahead[0] += 11")
    nb.until(lambda: set(silent.closed) == {silent.up, silent.down})
    assert not living.closed
    nb.run("runtime.sink._pages._pages._now = clock")


def test_loading_the_extension_again_is_announced(nb: LiveKernel) -> None:
    page = attach(nb)
    nb.run("%reload_ext jupyter_orchestra")
    nb.until(lambda: page.announced == 1 and len(page.closed) == 2)
    again = attach(nb, page.client)
    nb.run("%%dispatch after-it -w shell\necho still here")
    nb.until(lambda: "still here" in again.text("after-it"))


# results


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
