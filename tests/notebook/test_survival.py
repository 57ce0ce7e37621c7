from __future__ import annotations

import json

import nbformat
import pytest
from live_kernel import LiveKernel, wait_until

BUSY = "import time\ntime.sleep(60)"


def still_works(nb: LiveKernel) -> None:
    nb.run("%%dispatch after-it\n6 * 7")
    nb.run("%gather after-it")
    assert nb.ask("jo.task('after-it').result") == 42


def test_what_is_ours_to_mend_is_logged_beside_the_cells(nb: LiveKernel) -> None:
    logs = "lambda: logging.getLogger('jupyter_orchestra').error('OURS')"
    cell = nb.run(f"import logging, threading\nt = threading.Thread(target={logs})\nt.start()\nt.join()\nprint('end')")
    assert (cell.text, cell.error) == ("end\n", "")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("import sys\nsys.exit(3)", "SystemExit: 3"),
        ("import sys\nsys.exit()", "SystemExit"),
        ("exit()", "SystemExit"),
        ("import os\nos._exit(5)", "exit code 5"),
        ("import os\nos._exit(0)", "its kernel ended"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
        ("import os\nos.abort()", "SIGABRT"),
        ("import asyncio\nraise asyncio.CancelledError", "CancelledError"),
        ("class Broken(Exception):\n    def __str__(self):\n        1 / 0\nraise Broken", "Broken"),
    ],
)
def test_a_body_that_ends_badly_is_a_failed_task(nb: LiveKernel, body: str, said: str) -> None:
    nb.run(f"%%dispatch bad\n{body}")
    assert nb.end("bad") == "failed"
    assert said in nb.ask("jo.task('bad').error")
    nb.run("%gather")
    still_works(nb)


@pytest.mark.parametrize(
    ("script", "said"),
    [("exit 3", "exit code 3"), ("kill -9 $$", "SIGKILL"), ("echo no >&2; false", "no"), ("no_such_program", "127")],
)
def test_a_script_that_ends_badly_is_a_failed_task(nb: LiveKernel, script: str, said: str) -> None:
    nb.run(f"%%dispatch bad -w shell\n{script}")
    assert nb.end("bad") == "failed"
    assert said in nb.ask("jo.task('bad').error")


@pytest.mark.parametrize("body", ["1 / 0", "import sys\nsys.exit(3)", "raise KeyboardInterrupt"])
def test_a_loop_task_that_ends_badly_leaves_the_notebook_alone(nb: LiveKernel, body: str) -> None:
    nb.run(f"%%dispatch bad -w loop\n{body}")
    assert nb.end("bad") == "failed"
    still_works(nb)


def test_a_failed_task_raises_with_its_traceback_where_its_value_is_taken(nb: LiveKernel) -> None:
    nb.run("%%dispatch bad\nresult = 1 / 0")
    error = nb.fail("jo.task('bad').get()")
    assert "result = 1 / 0" in error
    assert error.splitlines()[-1] == "TaskFailed: bad: ZeroDivisionError: division by zero"
    assert nb.ask("jo.task('bad').result") is None


def test_much_output_is_kept_and_the_notebook_file_stays_small_enough(nb: LiveKernel) -> None:
    nb.run("%%dispatch much -w shell -b --deliver silent\nhead -c 300000000 /dev/zero | tr '\\0' x")
    nb.until_state("much", "done", seconds=60)
    assert nb.ask("len(jo.task('much').stdout) <= 300_000_000")


def test_much_output_of_a_kernel_task_is_survived(nb: LiveKernel) -> None:
    nb.run("%%dispatch much\nline = 'x' * 999_999\nfor _ in range(300):\n    print(line)\n'all'")
    nb.until_state("much", "done", seconds=60)
    ran = nb.run("%gather")
    assert len(ran.text) < 20_000_000
    assert nb.ask("jo.task('much').result") == "all"


@pytest.mark.parametrize(
    ("worker", "body"),
    [("kernel", "while True:\n    print('x' * 1000)"), ("shell", "yes"), ("shell", "trap '' INT TERM; yes")],
)
def test_endless_output_can_be_cancelled(nb: LiveKernel, worker: str, body: str) -> None:
    nb.run(f"%%dispatch endless -w {worker}\n{body}")
    nb.until_true("jo.task('endless').stdout")
    nb.run("%cancel endless")
    assert nb.state("endless") == "cancelled"
    wait_until(lambda: not [p for p in nb.processes() if "yes" in p.name()], 8)
    still_works(nb)


@pytest.mark.parametrize(
    ("worker", "body"),
    [
        ("kernel", r"import sys; sys.stdout.buffer.write(b'\xff\xfe before \x80 after\n'); sys.stdout.flush()"),
        ("kernel", r"import os; os.write(1, b'\xff\xfe before \x80 after\n')"),
        ("kernel", r"print('before \ud800 after')"),
        ("kernel", r"'before \udfff after'"),
        ("kernel", r"raise ValueError('before \ud83d after')"),
        ("kernel", r"print('before \x00\x1b[31m\x1b]0;title\x07\x9b after')"),
        ("kernel", r"print('\x1b[31m' * 10_000, 'before after')"),
        ("kernel", r"from IPython.display import display; display({'text/plain': 'before \ud800 after'}, raw=True)"),
        ("shell", r"printf '\xff\xfe before \x80 after\n'"),
        ("shell", r"printf 'before \x1b[31m\x1b]0;t\x07 after\n'; printf '\xed\xa0\x80'"),
        ("loop", r"print('before \ud800 after')"),
    ],
)
def test_strange_bytes_leave_a_valid_notebook(nb: LiveKernel, worker: str, body: str) -> None:
    nb.run(f"%%dispatch strange -w {worker}\n{body}")
    nb.end("strange")
    ran = nb.run("%gather")
    assert "before" in ran.shown
    assert "after" in ran.shown
    cell = nbformat.v4.new_code_cell("%gather")
    cell.outputs = [
        nbformat.v4.output_from_msg({"header": {"msg_type": m["msg_type"]}, "content": m["content"]})
        for m in ran.messages
        if m["msg_type"] in ("stream", "display_data", "error")
    ]
    kept = nb.ask("jo.task('strange').outputs")
    cell.outputs += [nbformat.from_dict(output) for output in kept]
    notebook = nbformat.v4.new_notebook(cells=[cell])
    nbformat.validate(notebook)
    text = nbformat.writes(notebook).encode("utf-8")
    assert json.loads(text)["cells"]


def test_a_result_without_a_pickle_is_still_a_done_task(nb: LiveKernel) -> None:
    nb.run("%%dispatch lock -b\nimport threading\nthreading.Lock()")
    assert nb.state("lock") == "done"
    assert "not copied" in nb.ask("repr(jo.task('lock').result)")


# notebook tasks


def write_inner(nb: LiveKernel, *cells: str) -> None:
    spec = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    document = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in cells], metadata=spec)
    document.cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(document, nb.folder / "inner.ipynb")


def test_a_notebook_task_runs_with_its_parameters(nb: LiveKernel) -> None:
    write_inner(nb, "a = 1\nb = 2", "print('sum', a + b)")
    nb.run("%%dispatch inner -w notebook\ninner.ipynb\na = 40")
    nb.run("%gather inner")
    assert nb.state("inner") == "done"
    kept = nb.ask("str(jo.task('inner').artifacts)")
    assert "inner.ipynb" in kept


def test_a_notebook_task_whose_cell_fails_is_a_failed_task(nb: LiveKernel) -> None:
    write_inner(nb, "a = 1", "1 / 0")
    nb.run("%%dispatch inner -w notebook\ninner.ipynb")
    assert nb.end("inner") == "failed"
    assert "ZeroDivisionError" in nb.ask("jo.task('inner').error")


def test_a_cancelled_notebook_task_leaves_no_process(nb: LiveKernel) -> None:
    before = {process.pid for process in nb.processes()}
    write_inner(nb, "a = 1", "import time\nopen('inner-began', 'w').close()\ntime.sleep(600)")
    nb.run("%%dispatch inner -w notebook\ninner.ipynb")
    wait_until((nb.folder / "inner-began").exists)
    nb.run("%cancel inner")
    assert nb.state("inner") == "cancelled"
    wait_until(lambda: not {process.pid for process in nb.processes()} - before, 8)
    still_works(nb)


@pytest.mark.parametrize("value", ["foo(3)", "open('x')", "a.b"])
def test_a_parameter_that_is_no_literal_is_refused(nb: LiveKernel, value: str) -> None:
    write_inner(nb, "a = 1")
    assert "line 2: the value of a is not a Python literal" in nb.fail(
        f"%%dispatch inner -w notebook\ninner.ipynb\na = {value}"
    )


# time-outs, retries, order


@pytest.mark.parametrize(
    ("worker", "body"), [("kernel", BUSY), ("shell", "sleep 60"), ("loop", "import asyncio\nawait asyncio.sleep(60)")]
)
def test_a_task_that_takes_too_long_fails(nb: LiveKernel, worker: str, body: str) -> None:
    nb.run(f"%%dispatch slow -w {worker} --timeout 0.5\n{body}")
    assert nb.end("slow") == "failed"
    assert "it ran longer than its 0.5 s" in nb.ask("jo.task('slow').error")


def test_a_failing_task_is_tried_as_often_as_asked(nb: LiveKernel) -> None:
    nb.run("%%dispatch flaky -w shell --retry 2\necho again >> tries\nfalse")
    assert nb.end("flaky") == "failed"
    assert nb.ask("[jo.task('flaky').attempt, open('tries').read().count('again')]") == [3, 3]
    nb.run("import os\nos.unlink('tries')")


def test_a_retry_that_succeeds_is_done_and_shown_once(nb: LiveKernel) -> None:
    nb.run("%%dispatch flaky -w shell --retry 5\ntest -e there || { touch there; exit 1; }\necho made-it")
    ran = nb.run("%gather")
    assert nb.ask("[str(jo.task('flaky').state), jo.task('flaky').attempt]") == ["done", 2]
    assert ran.text.count("made-it") == 1
    nb.run("import os\nos.unlink('there')")


def test_when_says_which_ends_let_a_task_begin(nb: LiveKernel) -> None:
    nb.run("%%dispatch good -w shell\ntrue")
    nb.run("%%dispatch bad -w shell\nfalse")
    for before in ("good", "bad"):
        for when in ("success", "failure", "always"):
            nb.run(f"%%dispatch {before}-{when} --after {before} --when {when} -w shell\ntrue")
    nb.run("%gather")
    states = nb.ask("{task.name: str(task.state) for task in jo.tasks()}")
    begun = sorted(name for name, state in states.items() if state == "done")
    assert begun == ["bad-always", "bad-failure", "good", "good-always", "good-success"]
    assert nb.ask("jo.task('bad-success').error") == "bad failed"
    assert nb.ask("jo.task('good-failure').error") == "nothing before it failed"


def test_a_dispatch_after_a_failed_task_is_cancelled_with_the_reason_at_once(nb: LiveKernel) -> None:
    nb.run("%%dispatch bad -w shell -b\nfalse")
    assert nb.run("%%dispatch hopeless --after bad\n1").card == "⊘ hopeless · kernel · cancelled: bad failed"
    assert nb.fail("jo.dispatch('1', after='bad').get()").endswith("bad failed")
    assert "can't begin, since bad failed: retry that one too" in nb.fail("%orchestra retry hopeless")


def test_input_is_refused_and_nothing_hangs(nb: LiveKernel) -> None:
    nb.run("%%dispatch asks\ninput('name? ')")
    nb.run("%%dispatch debugs\nbreakpoint()")
    nb.run("%%dispatch reads -w shell\nread line || echo no-line")
    nb.run("%gather")
    for name in ("asks", "debugs"):
        assert "input() is not available in a background task" in nb.ask(f"jo.task({name!r}).error")
    assert nb.ask("jo.task('reads').stdout") == "no-line\n"


def test_a_task_knows_nothing_of_the_one_before_it_in_the_same_kernel(nb: LiveKernel) -> None:
    nb.run(
        "%%dispatch first -b\nimport os, threading, time\nos.chdir('/')\nos.environ['LEFT'] = 'yes'\nleft = 1\n"
        "def talk():\n    while True:\n        print('still talking')\n        time.sleep(0.01)\n"
        "threading.Thread(target=talk, daemon=True).start()"
    )
    nb.run(
        "%%dispatch second --no-share\nimport os, time\ntime.sleep(0.1)\n"
        "os.getcwd(), os.environ.get('LEFT'), 'left' in globals()"
    )
    ran = nb.run("%gather second")
    assert nb.ask("jo.task('second').result") == (str(nb.folder), None, False)
    assert "still talking" not in ran.text


def test_results_hold_the_values_of_the_tasks_before(nb: LiveKernel) -> None:
    nb.run("%%dispatch left\n{'a': 1}")
    nb.run("%%dispatch right -w shell\necho hello; echo oops >&2")
    nb.run("%%dispatch wrong\n1 / 0")
    nb.run("%%dispatch live -w loop\n[1, 2]")
    nb.run(
        "%%dispatch join --after left,right,wrong,live --when always\n"
        "try:\n    results['wrong']\nexcept KeyError as error:\n    why = str(error)\n"
        "results['left'], int(results['right']), results['right'].stdout, results['live'], sorted(results), why"
    )
    nb.run("%gather join")
    left, right, stdout, live, names, why = nb.ask("jo.task('join').result")
    assert [left, right, stdout, live] == [{"a": 1}, 0, "hello\n", [1, 2]]
    assert names == ["left", "live", "right"]
    assert "ZeroDivisionError" in why


# pause and resume


def test_a_running_task_is_paused_and_goes_on(nb: LiveKernel) -> None:
    nb.run("%%dispatch count -w shell\nfor i in $(seq 1000); do echo $i; sleep 0.02; done")
    nb.until_true("jo.task('count').stdout.count('\\n') > 3")
    assert "paused count" in nb.run("%pause count").text
    assert nb.state("count") == "paused"
    assert "was running" in nb.run("%orchestra explain count").text
    assert "is paused already" in nb.fail("%pause count")
    seen = []

    def stands_still() -> bool:
        seen.append(nb.ask("jo.task('count').stdout.count('\\n')"))
        return len(seen) > 5 and len(set(seen[-5:])) == 1

    nb.until(stands_still)
    nb.run("%resume count")
    nb.until_true(f"jo.task('count').stdout.count('\\n') > {seen[-1]}")
    nb.run("%cancel count")


def test_a_paused_kernel_task_keeps_its_state(nb: LiveKernel) -> None:
    nb.run("%%dispatch held\nimport time\nprint('begun', flush=True)\nfor _ in range(20):\n    time.sleep(0.02)\n'end'")
    nb.until_true("'begun' in jo.task('held').stdout")
    nb.run("jo.task('held').pause()")
    nb.run("jo.task('held').resume()")
    nb.run("%gather held")
    assert nb.ask("[jo.task('held').result, jo.task('held').attempt]") == ["end", 1]


def test_a_waiting_task_is_paused_and_does_not_begin(nb: LiveKernel) -> None:
    nb.run("%%dispatch first -w shell\nsleep 0.3")
    nb.run("%%dispatch second -w shell --after first\ntrue")
    nb.run("%pause second")
    nb.run("%gather first")
    assert nb.state("second") == "paused"
    nb.run("%resume second")
    assert nb.end("second") == "done"


def test_a_queued_task_is_paused_and_resumed(nb: LiveKernel) -> None:
    nb.run("%config Orchestra.shell_slots = 1")
    nb.run("%%dispatch holder -w shell\nsleep 60")
    nb.run("%%dispatch queued -w shell\ntrue")
    assert nb.state("queued") == "queued"
    explained = nb.run("%orchestra explain queued").text
    assert "1 of 1 shell slots are taken, 0 ahead" in explained
    nb.run("%pause queued")
    nb.run("%cancel holder")
    assert nb.state("queued") == "paused"
    nb.run("%resume queued")
    assert nb.end("queued") == "done"
    nb.run("%config Orchestra.shell_slots = 4")


def test_all_tasks_are_held_and_let_go_at_once(nb: LiveKernel) -> None:
    nb.run("%%dispatch one -w shell\nsleep 0.4")
    nb.run("%%dispatch two -w shell --after one\ntrue")
    nb.run("%pause --all")
    assert nb.ask("[str(task.state) for task in jo.tasks()]") == ["paused", "paused"]
    nb.run("%resume --all")
    nb.run("%gather")
    assert nb.ask("[str(task.state) for task in jo.tasks()]") == ["done", "done"]


# handles, values, names


def test_a_handle_in_a_variable_gives_value_and_variables(nb: LiveKernel) -> None:
    nb.run("%%dispatch made -o h --return a,b\na, b = 1, {'k': [2]}\nprint('said')\na + 1")
    nb.run("%gather made")
    assert nb.ask("[h.name, h.result, h['a'], h['b'], h.stdout, a, b]") == [
        "made", 2, 1, {"k": [2]}, "said\n", 1, {"k": [2]},
    ]  # fmt: skip
    assert "brought back no 'c'; it brought back: a, b" in nb.fail("h['c']")
    assert nb.ask("issubclass(__import__('jupyter_orchestra.errors').errors.UnknownVariableError, KeyError)")
    assert nb.ask("h.result is h.get() and h['b'] is b") is True


def test_a_variable_that_was_not_made_is_a_failure(nb: LiveKernel) -> None:
    nb.run("%%dispatch made --return nothing_there\n1")
    assert nb.end("made") == "failed"
    assert "nothing_there" in nb.ask("jo.task('made').error")


def test_returned_variables_are_there_in_the_next_cell_without_a_gather(nb: LiveKernel) -> None:
    nb.run("%%dispatch made --return fresh\nfresh = 5")
    nb.end("made")
    assert nb.run("fresh").value == "5"


def test_a_name_may_be_used_again_and_the_older_task_stays(nb: LiveKernel) -> None:
    for value in (1, 2, 3):
        nb.run(f"%%dispatch again -b\n{value}")
    older = nb.ask("sorted(task.name for task in jo.tasks() if task.name.startswith('again@'))")
    assert len(older) == 2
    assert nb.ask(f"[jo.task(name).result for name in {older}] + [jo.task('again').result]") == [1, 2, 3]
    assert "1" in nb.run(f"%task {older[0]}").shown


def test_the_notebook_is_not_touched_by_what_a_task_does(nb: LiveKernel) -> None:
    nb.run("shelf = {'x': [1]}\nimport numpy as np\narray = np.arange(200_000)")
    nb.run("%%dispatch vandal -b\nshelf['x'].append(2)\narray[:] = 0\nsum(array), shelf")
    assert nb.ask("[shelf, int(array[-1])]") == [{"x": [1]}, 199_999]


def test_progress_of_tqdm_and_of_jo_reaches_the_card(nb: LiveKernel) -> None:
    nb.run("%%dispatch bar\nimport time\njo.progress(0.4, 'fitting')\nwhile True:\n    time.sleep(0.02)")
    nb.until_true("jo.task('bar').progress == 0.4")
    assert "fitting" in nb.run("%tasks").text
    nb.run(
        "%%dispatch bars\nimport time\nfrom tqdm import tqdm\n"
        "for i in tqdm(range(1000)):\n    time.sleep(0.002 if i < 300 else 0.1)"
    )
    nb.until_true("(jo.task('bars').progress or 0) > 0.2")


def test_cancel_all_ends_everything(nb: LiveKernel) -> None:
    nb.run("%%dispatch a\n" + BUSY)
    nb.run("%%dispatch b -w shell\nsleep 60")
    nb.run("%%dispatch c -w loop\nimport asyncio\nawait asyncio.sleep(60)")
    nb.run("%%dispatch d --after a\n1")
    nb.run("jo.cancel_all()")
    nb.until_true("all(task.ready() for task in jo.tasks())")
    assert nb.ask("{str(task.state) for task in jo.tasks()}") == {"cancelled"}


def test_gather_through_the_api_gives_values_in_order(nb: LiveKernel) -> None:
    nb.run("slow = jo.dispatch('import time; time.sleep(0.3); 1')\nfast = jo.dispatch('echo', worker='shell')")
    assert nb.run("jo.gather(slow, [fast])").value.startswith("[1, ShellResult(0")
    nb.run("bad = jo.dispatch('1/0', 'bad')")
    assert "TaskFailed: bad: ZeroDivisionError" in nb.fail("jo.gather(fast, bad)")
    nb.run("long = jo.dispatch('sleep 60', 'long', worker='shell')")
    assert nb.fail("jo.gather(long, timeout=0.2)").startswith("GatherTimeout: not ended within 0.2 s: long")
    assert nb.fail("%gather long --timeout 0.2").startswith("GatherTimeout: ")
    assert "TimeoutError" in nb.run("try:\n    long.get(0.1)\nexcept TimeoutError:\n    print('TimeoutError')").text


# %orchestra


def test_orchestra_tells_what_is_there(nb: LiveKernel) -> None:
    nb.run("%%dispatch fine -w shell -b\ntrue")
    nb.run("%%dispatch bad -w shell\nfalse")
    nb.end("bad")
    status = nb.run("%orchestra status").text
    assert "1 done" in status
    assert "1 failed" in status
    assert "journal: " in status
    assert "fine (shell) is done" in nb.run("%orchestra explain fine").text
    log = nb.run("%orchestra log fine").text
    assert [word for word in log.split() if word in ("waiting", "queued", "running", "done")] == [
        "waiting", "queued", "running", "done",
    ]  # fmt: skip
    config = nb.run("%orchestra config").text
    assert "kernel_slots = " in config
    assert nb.run("%orchestra doctor").text.strip()
    assert "%orchestra retry" in nb.run("%orchestra").text


def test_retry_and_forget(nb: LiveKernel) -> None:
    nb.run("%%dispatch fixable -w shell\ntest -e fixed")
    nb.run("%%dispatch then -w shell --after fixable\necho now")
    nb.end("then")
    assert nb.ask("jo.task('then').error") == "fixable failed"
    nb.run("open('fixed', 'w').close()")
    nb.run("%orchestra retry fixable")
    nb.run("%gather")
    assert nb.ask("[str(task.state) for task in jo.tasks()]") == ["done", "done"]
    assert "forgot fixable" in nb.run("%orchestra forget fixable").text
    assert "no task is called 'fixable'" in nb.fail("%task fixable")
    nb.run("import os\nos.unlink('fixed')")


def test_clean_drops_what_has_been_shown(nb: LiveKernel) -> None:
    nb.run("%%dispatch shown -w shell -b\ntrue")
    nb.run("%%dispatch kept -w shell\nsleep 60")
    assert "forgot 1 ended tasks" in nb.run("%orchestra clean").text
    assert nb.ask("[task.name for task in jo.tasks()]") == ["kept"]


def test_tasks_lists_every_state(nb: LiveKernel) -> None:
    assert "no tasks yet" in nb.run("%tasks").text
    nb.run("%%dispatch runs -w shell\nsleep 60")
    nb.run("%%dispatch waits -w shell --after runs\ntrue")
    text = nb.run("%tasks").text
    assert "runs" in text
    assert "waiting" in text
