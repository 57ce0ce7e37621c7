from __future__ import annotations

import base64
import time
from typing import Any

import nbformat
import pytest
from live_kernel import LiveKernel
from page import Page, attach

from jupyter_orchestra.core import wire
from jupyter_orchestra.core.model import State

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
        {
            **dict.fromkeys(("client", "version", "session", "path", "down"), ""),
            "type": "Hello",
            "protocol": 1,
            "visible": True,
        },
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
    for text, said in (
        ("%%dispatch --nonsense\n1", "unknown flag"),
        ("%%dispatch -o h\n1", "-o names a variable"),
        ("%%bash\nls", "belongs into a cell"),
        ("%%dispatch", "nothing to dispatch"),
        ("%%dispatch\n1 +", "plain words?"),
        ("  \n", "nothing to say"),
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
