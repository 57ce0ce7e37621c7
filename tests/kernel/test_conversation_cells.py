from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from live_kernel import LiveKernel, Ran

from jupyter_orchestra.notebook.conversation import is_conversation

HOLD = "begun = True\nimport time\nwhile not free:\n    time.sleep(0.005)\n"
SPIN = "begun = True\nwhile not free:\n    sum(range(200))\n"
EXAMPLES = json.loads((Path(__file__).parent / "conversation_cells.json").read_text("utf-8"))


@pytest.fixture
def sub(nb: LiveKernel) -> Iterator[str]:
    """A subshell, as a page has one for its conversation cells."""
    subshell = nb.subshell()
    yield subshell
    nb.client.control_channel.send(nb.client.session.msg("delete_subshell_request", {"subshell_id": subshell}))


@contextmanager
def main_cell(nb: LiveKernel, code: str) -> Iterator[Ran]:
    """A cell that has begun on the main shell and goes on when the block ends."""
    nb.run("begun = free = False")
    ran = nb.send(code)
    nb.until_true("begun")
    try:
        yield ran
        assert not ran.over
    finally:
        nb.ask("globals().update(free=True)")
    nb.finish(ran)


def announced(ran: Ran) -> int:
    return int(ran.contents("execute_input")[0]["execution_count"])


def answered(ran: Ran) -> int:
    assert ran.reply is not None
    return int(ran.reply["content"]["execution_count"])


def payload(ran: Ran) -> list[dict[str, str]]:
    assert ran.reply is not None
    return list(ran.reply["content"]["payload"])


# which cells


@pytest.mark.parametrize("example", EXAMPLES, ids=[repr(example["code"])[:40] for example in EXAMPLES])
def test_which_cells_may_run_beside_the_main_shell(example: dict[str, object]) -> None:
    assert is_conversation(str(example["code"])) is example["conversation"]


# numbers


def test_a_cell_is_answered_with_the_number_that_it_was_announced_with(nb: LiveKernel, sub: str) -> None:
    with main_cell(nb, HOLD + "'mine'") as main:
        beside = [nb.run("%tasks", sub) for _ in range(3)]
    first = announced(main)
    assert [answered(main), *map(announced, beside), *map(answered, beside)] == [
        first, first + 1, first + 2, first + 3, first + 1, first + 2, first + 3,
    ]  # fmt: skip
    assert answered(nb.run("1")) == first + 4


def test_outputs_and_history_go_by_the_number_of_their_cell(nb: LiveKernel, sub: str) -> None:
    with main_cell(nb, HOLD + "'mine'") as main:
        nb.run("%tasks", sub)
    number = announced(main)
    assert main.contents("execute_result")[0]["execution_count"] == number
    assert nb.ask(f"[Out[{number}], _{number}, In[{number}][-6:], In[{number} + 1], _ih is In]") == [
        "mine", "mine", "'mine'", "get_ipython().run_line_magic('tasks', '')", True,
    ]  # fmt: skip


def test_the_semicolon_of_another_cell_does_not_silence_an_output(nb: LiveKernel, sub: str) -> None:
    with main_cell(nb, HOLD + "'shown'") as main:
        nb.run("%orchestra status\n1;", sub)
    assert main.value == "'shown'"
    with main_cell(nb, HOLD + "'silenced';") as main:
        nb.run("%tasks", sub)
    assert main.value == ""


def test_a_cell_that_runs_another_cell_counts_as_ever(nb: LiveKernel) -> None:
    ran = nb.run("get_ipython().run_cell('1 + 1', store_history=True)\n'outer'")
    first = announced(ran)
    assert (answered(ran), announced(nb.run("1"))) == (first + 1, first + 2)


def test_a_reset_begins_at_one(nb: LiveKernel) -> None:
    nb.run("get_ipython().execution_count = 1")
    assert [answered(nb.run("1")) for _ in range(3)] == [1, 2, 3]
    assert announced(nb.run("get_ipython().execution_count = len(In)")) == 4


def test_many_cells_at_once_keep_their_numbers_and_their_lines(nb: LiveKernel, sub: str) -> None:
    nb.run("%%dispatch gate -w shell\nsleep 60")
    mains = [nb.send(f"import time\nprint('main {n} begins')\ntime.sleep(0.003)\n'main {n} ends'") for n in range(60)]
    subs = [nb.send(f"%%dispatch at-once-{n} --after gate\n{n}", sub) for n in range(30)]
    for ran in [*mains, *subs]:
        nb.finish(ran)
    counts = [announced(ran) for ran in [*mains, *subs]]
    assert [ran.status for ran in [*mains, *subs]] == ["ok"] * 90
    assert len(set(counts)) == 90
    assert counts == [answered(ran) for ran in [*mains, *subs]]
    assert counts[:60] == sorted(counts[:60])
    assert counts[60:] == sorted(counts[60:])
    for n, ran in enumerate(mains):
        assert (ran.text, ran.value) == (f"main {n} begins\n", f"'main {n} ends'")
        assert ran.contents("execute_result")[0]["execution_count"] == counts[n]
    assert [ran.text for ran in subs] == [""] * 30
    assert all(f"at-once-{n} · kernel" in ran.card for n, ran in enumerate(subs))
    inputs = nb.ask("dict(enumerate(In))")
    assert [n for n in range(60) if f"main {n} begins" not in inputs[counts[n]]] == []
    assert [n for n in range(30) if f"at-once-{n} " not in inputs[counts[60 + n]]] == []


# what the cells have for themselves


def test_the_next_input_of_a_cell_is_not_taken_by_another(nb: LiveKernel, sub: str) -> None:
    with main_cell(nb, "get_ipython().set_next_input('mine')\n" + HOLD) as main:
        beside = nb.run("%tasks", sub)
    assert payload(beside) == []
    assert [entry["text"] for entry in payload(main)] == ["mine"]
    assert payload(nb.run("1")) == []


def test_a_cell_may_still_ask_the_person(nb: LiveKernel, sub: str) -> None:
    nb.run("begun = free = False")
    main = nb.send(HOLD + "input('name? ')", stdin=True)
    nb.until_true("begun")
    nb.run("%tasks", sub)
    nb.ask("globals().update(free=True)")
    nb.until(lambda: main.over or nb.client.stdin_channel.msg_ready())
    assert main.error == ""
    asked = nb.client.stdin_channel.get_msg(timeout=30)
    assert "asked · kernel" in nb.run("%%dispatch asked --no-share\n1", sub).card
    assert "asked" in nb.run("%tasks", sub).text
    nb.client.input(f"{asked['content']['prompt']}Ada")
    assert nb.finish(main).value == "'name? Ada'"


def test_a_hook_sees_the_value_of_its_own_cell(nb: LiveKernel, sub: str) -> None:
    nb.run("seen = []\nhook = lambda result: seen.append(result.result)\n_ip = get_ipython()")
    nb.run("_ip.events.register('post_run_cell', hook)")
    with main_cell(nb, HOLD + "'mine'"):
        nb.run("%tasks", sub)
    nb.run("_ip.events.unregister('post_run_cell', hook)")
    assert "mine" in nb.ask("seen")


def test_an_error_beside_does_not_fail_a_cell_that_shows_its_value(nb: LiveKernel, sub: str) -> None:
    held = "global begun\n" + HOLD + "return 'slow'"
    nb.run("class Slow:\n  def __repr__(self):\n    " + held.replace("\n", "\n    "))
    with main_cell(nb, "Slow()") as main:
        assert "UnknownTaskError" in nb.fail("%cancel nobody", sub)
    assert (main.status, main.value) == ("ok", "slow")


def test_the_traceback_of_a_conversation_cell_is_in_its_reply(nb: LiveKernel, sub: str) -> None:
    with main_cell(nb, "%%capture\n" + HOLD):
        ran = nb.try_run("%task nobody", sub)
    assert ran.reply is not None
    assert "no task" in ran.error
    assert "UnknownTaskError" in "".join(ran.reply["content"]["traceback"])


def test_a_cell_beside_does_not_take_the_traceback_from_a_reply(nb: LiveKernel, sub: str) -> None:
    held = HOLD.replace("\n", "\n    ")
    nb.run(f"def hook(result):\n    global begun\n    if result.success: return\n    {held}pass\n_ip = get_ipython()")
    nb.run("_ip.events.register('post_run_cell', hook)")
    with main_cell(nb, "1 / 0") as main:
        nb.run("%tasks", sub)
    nb.run("_ip.events.unregister('post_run_cell', hook)")
    assert main.reply is not None
    assert "ZeroDivisionError" in "".join(main.reply["content"]["traceback"])


# whose output is it

BACKGROUND = (
    "import threading, time\nsaid = False\n"
    "def say():\n    global said\n    while not heard: time.sleep(0.005)\n    print('from a thread')\n    said = True\n"
    "heard = False\nthread = threading.Thread(target=say)\nthread.start()\n"
)


def test_a_thread_prints_into_the_cell_that_runs_on_the_main_shell(nb: LiveKernel, sub: str) -> None:
    with main_cell(nb, BACKGROUND + HOLD + "thread.join()") as main:
        beside = nb.run("%tasks", sub)
        nb.ask("globals().update(heard=True)")
        nb.until_true("said")
    assert main.text == "from a thread\n"
    assert "from a thread" not in beside.text


def open_comm(nb: LiveKernel, target: str) -> str:
    nb.run(
        "import comm\ngot = []\n"
        "def opened(comm, message):\n    comm.on_msg(lambda message: got.append(message['content']['data']))\n"
        f"comm.get_comm_manager().register_target({target!r}, opened)"
    )
    message = nb.client.session.msg("comm_open", {"comm_id": f"id of {target}", "target_name": target, "data": {}})
    nb.client.shell_channel.send(message)
    nb.until_true(f"'id of {target}' in comm.get_comm_manager().comms")
    return f"id of {target}"


def say(nb: LiveKernel, comm: str, subshell: str, data: object) -> None:
    message = nb.client.session.msg("comm_msg", {"comm_id": comm, "data": data})
    if subshell:
        message["header"]["subshell_id"] = subshell
    nb.client.shell_channel.send(message)


def test_a_message_of_the_page_does_not_take_what_a_thread_prints_later(nb: LiveKernel, sub: str) -> None:
    comm = open_comm(nb, "jupyter_orchestra.try")
    ran = nb.run(BACKGROUND.replace("heard:", "got:"))
    say(nb, comm, sub, 1)
    nb.until(lambda: ran.text == "from a thread\n")


def test_a_cell_of_others_on_a_subshell_is_the_last_cell_as_ever(nb: LiveKernel, sub: str) -> None:
    comm = open_comm(nb, "jupyter_orchestra.try")
    ran = nb.run(BACKGROUND.replace("heard:", "got:"), sub)
    say(nb, comm, nb.subshell(), 1)
    nb.until(lambda: ran.text == "from a thread\n")


# hooks


def test_what_we_do_beside_a_cell_fires_none_of_its_hooks(nb: LiveKernel, sub: str) -> None:
    comm = open_comm(nb, "jupyter_orchestra.try")
    nb.run(
        "import threading\nfired = []\nhook = lambda *_: fired.append(threading.current_thread().name)\n"
        "for event in ('pre_execute', 'pre_run_cell', 'post_execute', 'post_run_cell'):\n"
        "    get_ipython().events.register(event, hook)"
    )
    with main_cell(nb, "fired.clear()\n" + HOLD):
        message = nb.run("%tasks", sub)
        assert nb.fail("%task nobody", sub)
        say(nb, comm, sub, "one")
        nb.until(lambda: nb.ask("got") == ["one"])
        nb.run("%tasks", sub)  # the hooks of the message before it would have fired by now
        assert f"subshell-{sub}" not in nb.ask("fired")
        others = nb.run("other = 1", sub)
        assert nb.ask("fired").count(f"subshell-{sub}") == 4
    assert message.status == others.status == "ok"
    nb.run(
        "for event in ('pre_execute', 'pre_run_cell', 'post_execute', 'post_run_cell'):\n"
        "    get_ipython().events.unregister(event, hook)"
    )
    own = nb.ask("len([name for name in fired if name == 'MainThread'])")
    assert own >= 2


# what is kept of the streams


def test_a_cell_that_outlasts_the_main_one_leaves_nothing_on_the_streams(nb: LiveKernel, sub: str) -> None:
    nb.run(
        "import sys, time\nmagics = get_ipython().magics_manager.magics['line']\n"
        "usual, talks, told = magics['tasks'], 0, 0\n"
        "def talk(line):\n    global talks\n    talks = 1\n    while not told:\n        time.sleep(0.005)\n"
        "magics['tasks'] = talk"
    )
    with main_cell(nb, HOLD):
        beside = nb.send("%tasks", sub)
        nb.until_true("talks")
    nb.ask("globals().update(told=1)")
    assert nb.finish(beside).status == "ok"
    nb.run("magics['tasks'] = usual")
    assert nb.ask("[stream.write.__qualname__ for stream in (sys.stdout, sys.stderr)]") == ["OutStream.write"] * 2


# messages while displays are captured


def test_messages_are_handled_while_a_captured_cell_awaits(nb: LiveKernel) -> None:
    comm = open_comm(nb, "anyone")
    code = (
        "import asyncio\nfrom IPython.utils.capture import capture_output\nwith capture_output():\n"
        "    begun = True\n    while not free:\n        await asyncio.sleep(0.005)"
    )
    with main_cell(nb, code):
        say(nb, comm, "", "heard")
        nb.until(lambda: nb.ask("got") == ["heard"])


def test_messages_on_a_subshell_are_handled_while_the_main_cell_is_captured(nb: LiveKernel, sub: str) -> None:
    comm = open_comm(nb, "jupyter_orchestra.try")
    with main_cell(nb, "%%capture\n" + HOLD):
        say(nb, comm, sub, "heard")
        nb.until(lambda: nb.ask("got") == ["heard"])


# where our magics' outputs go

BUSY = {
    "asleep": HOLD,
    "computing": SPIN,
    "captured": "%%capture caught\n" + HOLD,
    "redirected": "import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()) as caught, "
    "contextlib.redirect_stderr(caught):\n    " + HOLD.replace("\n", "\n    ") + "pass",
}


@pytest.mark.parametrize("how", BUSY)
def test_every_conversation_magic_answers_in_its_own_cell(nb: LiveKernel, sub: str, how: str) -> None:
    with main_cell(nb, BUSY[how]) as main:
        assert "talked · shell" in nb.run("%%dispatch talked -w shell -o talking\necho so; sleep 60", sub).card
        nb.until_state("talked", "running")
        assert "talked" in nb.run("# what is there\n\n%tasks", sub).text
        assert "talked · shell · running" in nb.run("%task talked", sub).card
        assert "paused talked" in nb.run("%pause talked", sub).text
        assert "resumed talked" in nb.run("%resume talked", sub).text
        assert "talked" in nb.run("%orchestra explain talked", sub).text
        assert "usage: %%dispatch" in nb.run("%%dispatch --help\n1", sub).text
        assert "usage: %steer" in nb.run("%steer", sub).text
        assert "usage: %decline" in nb.run("%decline --help", sub).text
        assert "RefusedError" in nb.fail("%steer talked faster", sub)
        assert "Error" in nb.fail("%approve talked", sub)
        assert "Error" in nb.fail("%decline talked no", sub)
        assert nb.run("%%chat\nhello", sub).card
        assert nb.run("%chat hello", sub).card
        assert "UsageError" in nb.fail("%%dispatch talked --nonsense\n1", sub)
        assert "cancelled talked" in nb.run("%cancel talked", sub).text
        ended = nb.run("%task talked", sub)
        assert "talked · shell · cancelled" in ended.text
        assert nb.end("talked") == "cancelled"
    assert main.contents("stream", "display_data", "update_display_data", "error") == []
    if how in ("captured", "redirected"):
        assert nb.ask("str(getattr(caught, 'getvalue', lambda: caught.stdout + caught.stderr)())") == ""


def test_a_writer_that_cannot_be_flushed_does_not_hold_an_answer(nb: LiveKernel, sub: str) -> None:
    nb.run("class Writer:\n    def write(self, text): pass")
    redirected = "import contextlib\nwith contextlib.redirect_stdout(Writer()):\n    "
    with main_cell(nb, redirected + HOLD.replace("\n", "\n    ") + "pass"):
        assert "no tasks" in nb.run("%tasks", sub).text
        assert "UnknownTaskError" in nb.fail("%cancel nobody", sub)


def test_on_the_main_shell_our_outputs_are_captured_as_any(nb: LiveKernel) -> None:
    ran = nb.run("%%capture caught\n%tasks\nget_ipython().run_cell_magic('dispatch', 'kept --no-share', '1')")
    assert (ran.text, ran.displays) == ("", [])
    assert "kept" in nb.ask("str(caught.outputs[0].data)")
    assert "no tasks" in nb.ask("caught.stdout")


def test_outputs_of_a_conversation_cell_come_in_their_order(nb: LiveKernel, sub: str) -> None:
    nb.run("%%dispatch first -w shell\necho one; echo two >&2; echo three")
    nb.end("first")
    with main_cell(nb, HOLD):
        ran = nb.run("%task first\n%orchestra status\n%task first", sub)
    kinds = [message["msg_type"] for message in ran.messages]
    assert (kinds[0], set(kinds[1:])) == ("execute_input", {"stream"})
    assert ran.text.index("first · shell") < ran.text.index("one") < ran.text.rindex("first · shell")


def test_a_running_task_fills_the_cell_that_asked_for_it_from_a_subshell(nb: LiveKernel, sub: str) -> None:
    nb.run("%%dispatch later -w shell\nwhile ! test -e go-later; do sleep 0.02; done; echo came-back")
    with main_cell(nb, HOLD):
        assert "later · shell" in nb.run("%task later", sub).card
    nb.run("open('go-later', 'w').close()")
    assert nb.end("later") == "done"


def test_a_thread_of_a_cell_may_dispatch_and_wait(nb: LiveKernel) -> None:
    ran = nb.run(
        "import threading\ncaught = 6\nvalues = []\n"
        "thread = threading.Thread(target=lambda: values.append(jo.dispatch('caught * 7', name='threaded').get(20)))\n"
        "thread.start()\nthread.join()\nvalues"
    )
    assert ran.value == "[42]"


# loading


def test_loading_again_puts_no_guard_up_twice(nb: LiveKernel) -> None:
    nb.run("%reload_ext jupyter_orchestra\n%load_ext jupyter_orchestra")
    assert nb.ask("sorted(get_ipython().kernel._jupyter_orchestra_guards)") == [
        "capture", "flush", "hooks", "input", "numbers", "parent", "payload", "tees", "traceback", "traps", "value",
    ]  # fmt: skip
    assert nb.ask("hasattr(get_ipython().kernel.set_parent.__wrapped__, '__wrapped__')") is False
    assert nb.ask("__import__('jupyter_orchestra.notebook.guards').notebook.guards.install(get_ipython())") == []
