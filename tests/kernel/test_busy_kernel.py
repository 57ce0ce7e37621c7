from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from live_kernel import LiveKernel, Ran

SLEEP = "import time\nuntil = time.monotonic() + {0}\nwhile time.monotonic() < until:\n    time.sleep(0.01)"
COMPUTE = "import time\nuntil = time.monotonic() + {0}\nwhile time.monotonic() < until:\n    sum(range(1000))"


@pytest.fixture
def sub(nb: LiveKernel) -> Iterator[str]:
    """A subshell, as a page has one for each conversation cell."""
    subshell = nb.subshell()
    yield subshell
    nb.client.control_channel.send(nb.client.session.msg("delete_subshell_request", {"subshell_id": subshell}))


def busy(nb: LiveKernel, code: str, seconds: float) -> Ran:
    """Send a cell that keeps the main shell busy; it sets `begun` and `until`."""
    nb.run("begun = False")
    ran = nb.send("begun = True\n" + code.format(seconds))
    nb.until_true("begun")
    return ran


@pytest.mark.parametrize("code", [SLEEP, COMPUTE])
def test_a_dispatch_is_answered_and_runs_while_the_main_shell_is_busy(nb: LiveKernel, sub: str, code: str) -> None:
    main = busy(nb, code, 60)
    ran = nb.run("%%dispatch quick --no-share\n6 * 7", sub)
    assert "quick · kernel" in ran.card
    nb.until_state("quick", "done")
    assert nb.ask("jo.task('quick').result") == 42
    assert not main.over
    nb.interrupt()
    nb.finish(main)


def test_the_other_magics_answer_while_the_main_shell_is_busy(nb: LiveKernel, sub: str) -> None:
    main = busy(nb, SLEEP, 60)
    nb.run("%%dispatch long -w shell\nsleep 60", sub)
    assert "long" in nb.run("%tasks", sub).text
    assert "paused long" in nb.run("%pause long", sub).text
    assert "is paused" in nb.run("%orchestra explain long", sub).text
    nb.run("%resume long", sub)
    assert "cancelled long" in nb.run("%cancel long", sub).text
    assert "1 cancelled" in nb.run("%orchestra status", sub).text
    assert nb.run("%%dispatch blocking -b -w shell\necho waited for", sub).text.count("waited for") == 1
    assert not main.over
    nb.interrupt()
    nb.finish(main)


def test_what_the_running_cell_is_about_to_define_is_waited_for(nb: LiveKernel, sub: str) -> None:
    nb.run("late = 'old'")
    main = busy(nb, SLEEP + "\nlate = 'new'", 0.5)
    ran = nb.run("%%dispatch captured\nlate", sub)
    assert ran.card == "… captured · kernel · waiting for the cell above"
    assert "waits for the cell above" in nb.run("%orchestra explain captured", sub).text
    assert not main.over
    nb.finish(main)
    assert nb.end("captured") == "done"
    assert nb.ask("jo.task('captured').result") == "new"


def test_a_name_that_does_not_exist_yet_is_waited_for(nb: LiveKernel, sub: str) -> None:
    nb.run("globals().pop('unborn', None)")
    main = busy(nb, SLEEP + "\nunborn = 1", 0.3)
    nb.run("%%dispatch captured\nunborn + 1", sub)
    nb.finish(main)
    assert nb.end("captured") == "done"
    assert nb.ask("jo.task('captured').result") == 2


def test_cells_that_are_queued_before_the_dispatch_are_waited_for_too(nb: LiveKernel, sub: str) -> None:
    nb.run("late = 'old'")
    busy(nb, SLEEP, 0.4)
    second = nb.send("late = 'second'")
    nb.run("%%dispatch captured\nlate", sub)
    third = nb.send("late = 'third'")
    nb.finish(second)
    nb.finish(third)
    assert nb.end("captured") == "done"
    assert nb.ask("jo.task('captured').result") == "second"


def test_a_cell_above_that_raises_does_not_hold_the_snapshot(nb: LiveKernel, sub: str) -> None:
    nb.run("late = 'old'")
    main = busy(nb, SLEEP + "\nlate = 'before it raised'\n1 / 0", 0.4)
    aborted = nb.send("late = 'never run'")
    nb.run("%%dispatch captured\nlate", sub)
    assert nb.finish(main).status == "error"
    nb.finish(aborted)
    assert nb.end("captured") == "done"
    assert nb.ask("jo.task('captured').result") == "before it raised"


def test_a_snapshot_that_fails_is_a_failed_task_that_says_so(nb: LiveKernel, sub: str) -> None:
    main = busy(nb, SLEEP + "\nimport threading\nlate = threading.Lock()", 0.3)
    nb.run("%%dispatch captured\nlate", sub)
    nb.finish(main)
    assert nb.end("captured") == "failed"
    assert "cannot copy 'late'" in nb.ask("jo.task('captured').error")


def test_share_now_takes_what_is_there(nb: LiveKernel, sub: str) -> None:
    nb.run("late = 'old'")
    main = busy(nb, SLEEP + "\nlate = 'new'", 60)
    nb.run("%%dispatch captured --share-now\nlate", sub)
    assert nb.end("captured") == "done"
    assert nb.ask("jo.task('captured').result") == "old"
    assert not main.over
    nb.interrupt()
    nb.finish(main)


def test_a_body_that_captures_nothing_begins_at_once(nb: LiveKernel, sub: str) -> None:
    main = busy(nb, SLEEP, 60)
    nb.run("%%dispatch free\nimport math\nmath.floor(2.5)", sub)
    assert nb.end("free") == "done"
    assert not main.over
    nb.interrupt()
    nb.finish(main)


def test_a_task_that_waits_for_the_cell_above_can_be_cancelled(nb: LiveKernel, sub: str) -> None:
    main = busy(nb, SLEEP + "\nlate = 1", 0.4)
    nb.run("%%dispatch captured\nlate", sub)
    nb.run("%cancel captured", sub)
    assert nb.state("captured") == "cancelled"
    nb.finish(main)
    nb.run("1")
    assert nb.state("captured") == "cancelled"


@pytest.mark.parametrize("code", [SLEEP, COMPUTE])
def test_cancel_takes_effect_while_the_main_shell_is_busy(nb: LiveKernel, sub: str, code: str) -> None:
    nb.run("%%dispatch long\nimport time\ntime.sleep(60)")
    nb.run("%%dispatch longer -w shell\nsleep 60")
    nb.until_state("long", "running")
    main = busy(nb, code, 60)
    nb.run("%cancel --all", sub)
    assert [nb.end("long"), nb.end("longer")] == ["cancelled", "cancelled"]
    assert not main.over
    nb.interrupt()
    nb.finish(main)


def test_tasks_run_on_while_the_main_shell_is_interrupted(nb: LiveKernel) -> None:
    nb.run("%%dispatch sturdy\nimport time\ntime.sleep(0.5)\n'survived'")
    nb.run("%%dispatch script -w shell\nsleep 0.5; echo survived")
    nb.until_state("sturdy", "running")
    main = busy(nb, SLEEP, 60)
    nb.interrupt()
    assert "KeyboardInterrupt" in nb.finish(main).error
    nb.run("%gather")
    assert nb.ask("[jo.task('sturdy').result, int(jo.task('script').result)]") == ["survived", 0]


# interrupts while waiting


def interrupted(nb: LiveKernel, code: str) -> Ran:
    """Run a cell that waits, and interrupt it once it does."""
    nb.run("begun = False")
    ran = nb.send("begun = True\n" + code)
    nb.until_true("begun")
    nb.ask("__import__('time').sleep(0.3)")
    assert not ran.over
    os.kill(nb.pid, signal.SIGINT)
    return nb.finish(ran, 2)


@pytest.mark.parametrize(
    "code", ["%gather", "%gather long", "long.get()", "long.wait()", "jo.gather(long)", "await long", "%task long"]
)
def test_an_interrupt_ends_the_waiting_and_not_the_task(nb: LiveKernel, code: str) -> None:
    nb.run("%%dispatch long -o long -w shell\nwhile ! test -e go; do sleep 0.02; done; echo came-back")
    ran = interrupted(nb, code)
    assert ran.status == "error"
    assert "KeyboardInterrupt" in ran.error or "CancelledError" in ran.error
    assert nb.state("long") == "running"
    shown = ran.text + nb.run("open('go', 'w').close()").text
    nb.until_state("long", "done")
    shown += nb.run("%gather").text + nb.run("import os\nos.unlink('go')").text
    assert shown.count("came-back") == 1


def test_a_gather_after_an_interrupted_gather_shows_the_results(nb: LiveKernel) -> None:
    nb.run("%%dispatch long -w shell\nwhile ! test -e go; do sleep 0.02; done; echo came-back")
    assert interrupted(nb, "%gather").status == "error"
    shown = nb.run("open('go', 'w').close()").text + nb.run("%gather").text
    assert shown.count("came-back") == 1
    nb.run("import os\nos.unlink('go')")


def test_a_gather_with_a_loop_task_is_interrupted_too(nb: LiveKernel) -> None:
    nb.run("%%dispatch ticking -w loop\nimport asyncio\nwhile True:\n    await asyncio.sleep(0.05)")
    nb.until_state("ticking", "running")
    assert interrupted(nb, "%gather").status == "error"
    assert nb.state("ticking") == "running"
    nb.run("%cancel ticking")
    nb.until_state("ticking", "cancelled")
    assert nb.run("import asyncio\nawait asyncio.sleep(0.01)\n7").value == "7"


def test_awaiting_a_handle_gives_its_value(nb: LiveKernel) -> None:
    nb.run("%%dispatch quick -o h\n6 * 7")
    assert nb.run("await h").value == "42"
    nb.run("%%dispatch bad -o h\n1 / 0")
    assert "TaskFailed: bad: ZeroDivisionError" in nb.fail("await h")


def test_a_loop_task_works_on_the_live_namespace(nb: LiveKernel) -> None:
    nb.run("box = []")
    nb.run("%%dispatch live -w loop\nimport asyncio\nawait asyncio.sleep(0.05)\nbox.append(1)\nbox")
    nb.run("%gather live")
    assert nb.ask("[box, jo.task('live').result is box]") == [[1], True]


def test_gather_runs_loop_tasks_on(nb: LiveKernel) -> None:
    nb.run("%%dispatch live -w loop\nimport asyncio\nfor _ in range(20):\n    await asyncio.sleep(0.01)\n'end'")
    assert nb.run("%gather live").text.count("live · loop · done") == 1


# loading


def test_loading_again_loses_nothing(nb: LiveKernel) -> None:
    nb.run("%%dispatch kept -w shell\necho said-once")
    nb.run("%load_ext jupyter_orchestra")
    nb.run("%reload_ext jupyter_orchestra")
    nb.run("%load_ext jupyter_orchestra\n%load_ext jupyter_orchestra")
    nb.until_state("kept", "done")
    assert nb.ask("jo.task('kept').stdout") == "said-once\n"
    ran = nb.run("%%dispatch once -w shell\necho only-one-line")
    assert ran.text.count("said-once") <= 1
    assert (ran.text + nb.run("%gather").text + nb.run("1").text).count("only-one-line") == 1
    hooks = nb.ask("[str(hook) for hook in get_ipython().events.callbacks['post_run_cell']]")
    assert len(hooks) == len(set(hooks))


def test_unloading_takes_the_magics_away_and_the_tasks_run_on(nb: LiveKernel) -> None:
    nb.run("%%dispatch long -w shell -o h\nwhile ! test -e go; do sleep 0.02; done; echo came-back")
    nb.run("%unload_ext jupyter_orchestra")
    assert "not found" in nb.try_run("%gather").shown
    assert nb.fail("jo.tasks()") == "OrchestraError: run %load_ext jupyter_orchestra first"
    nb.run("open('go', 'w').close()")
    nb.run("%load_ext jupyter_orchestra")
    nb.run("%gather")
    assert nb.ask("[h.stdout, jo.task('long').uid == h.uid]") == ["came-back\n", True]
    nb.run("import os\nos.unlink('go')")
