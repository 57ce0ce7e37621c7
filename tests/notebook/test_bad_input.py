from __future__ import annotations

import pytest
from live_kernel import LiveKernel

HINT = "plain words? use %%chat, or -w agent"


def refused(nb: LiveKernel, code: str) -> str:
    before = nb.ask("[task.uid for task in jo.tasks()]")
    ran = nb.try_run(code)
    assert ran.status == "error", ran.shown
    (error,) = ran.contents("error")
    assert len(error["traceback"]) == 1
    assert "\n" not in ran.error
    assert ran.shown == ran.error, "besides the error nothing is shown"
    assert nb.ask("[task.uid for task in jo.tasks()]") == before
    return ran.error


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("x --retri 2", "unknown flag --retri (did you mean --retry?)"),
        ("x --zzzzz", "unknown flag --zzzzz"),
        ("x --shar a", "(did you mean --share?)"),
        ("x --timeout=5 --prioritty=1", "(did you mean --priority?)"),
        ("x -w shel", "unknown worker 'shel' (did you mean shell?)"),
        ("x -w qqqq", "unknown worker 'qqqq'; there are: agent, kernel, loop, notebook, shell"),
        ("x y", "'y' is one word too many"),
        ("x" * 41, "1 to 40 of A-Z a-z 0-9 _ -"),
        ('"my task"', "the name 'my task' can't be used: 1 to 40 of A-Z a-z 0-9 _ -"),
        ("größe", "the name 'größe' can't be used"),
        ("a/b", "the name 'a/b' can't be used"),
        ('""', "the name '' can't be used"),
        ("x --after nobody", "no task is called 'nobody'"),
        (f"x --after {'n' * 5000}", f"no task is called '{'n' * 60}…'"),
        ("x --after x", "can't come after itself: a cycle"),
        ("x --share nothing_of_that_name", "nothing_of_that_name"),
        ("x --share a,1b", "--share takes names of variables, such as x,y; '1b' is none"),
        ("x --share a --no-share", "exclude each other"),
        ("x --return 1b", "--return takes names of variables"),
        ("x -o 1b", "-o takes the name of a variable, not '1b'"),
        ("x --timeout 5q", "--timeout takes seconds, such as 30 or 2.5 (or 5m, 1h), not '5q'"),
        ("x --timeout 0", "--timeout takes seconds"),
        ("x --timeout=-3", "--timeout takes seconds"),
        ("x --timeout", "--timeout: expected one argument"),
        ("x --priority x", "--priority takes a whole number, not 'x'"),
        ("x --priority 1.5", "--priority takes a whole number, not '1.5'"),
        ("x --retry=-1", "--retry takes a whole number from 0 up, not -1"),
        ("x --retry -1", "--retry takes a whole number from 0 up, not -1"),
        ("x --retry some", "--retry takes a whole number, not 'some'"),
        ("x --when maybe", "--when is one of success, failure, always, not 'maybe'"),
        ("x --deliver soon", "--deliver is one of now, idle, turn, silent, not 'soon'"),
        ("x --isolate box", "--isolate is worktree or none, not 'box'"),
        ("x 'open", "No closing quotation: close the quotes"),
    ],
)
def test_a_flag_that_cannot_be_right_is_one_line(nb: LiveKernel, flags: str, said: str) -> None:
    assert said in refused(nb, f"%%dispatch {flags}\n1")


@pytest.mark.parametrize(
    "flags",
    [
        "--on cluster", "--allow example.org",
        "--review", "--isolate worktree",
    ],
)  # fmt: skip
def test_a_flag_of_a_later_version_says_so(nb: LiveKernel, flags: str) -> None:
    error = refused(nb, f"%%dispatch x {flags}\n1")
    assert "not available yet" in error
    assert error.startswith("NotAvailableError: ")


@pytest.mark.parametrize("body", ["please look at the data", "for x in", "1 +", "def f(:\n  pass", "x = = 2"])
def test_a_body_that_does_not_compile_asks_for_plain_words(nb: LiveKernel, body: str) -> None:
    error = refused(nb, f"%%dispatch x\n{body}")
    assert error.endswith(HINT)
    assert "line 1" in error


@pytest.mark.parametrize("body", ["", "  ", "\n\n", "# only a comment"])
def test_an_empty_body_is_refused(nb: LiveKernel, body: str) -> None:
    assert "no code to run" in refused(nb, f"%%dispatch x\n{body}\n")


def test_an_empty_script_is_refused(nb: LiveKernel) -> None:
    assert "the body is empty" in refused(nb, "%%dispatch x -w shell\n\n")


def test_a_script_that_bash_cannot_read_is_refused(nb: LiveKernel) -> None:
    assert "syntax error" in refused(nb, "%%dispatch x -w shell\nif true; then\n")


def test_a_missing_notebook_is_refused(nb: LiveKernel) -> None:
    assert "no_such.ipynb" in refused(nb, "%%dispatch x -w notebook\nno_such.ipynb\n")


def test_a_variable_that_cannot_be_copied_is_named(nb: LiveKernel) -> None:
    nb.run("import threading\nlock = threading.Lock()\nholder = {'deep': [lock]}")
    error = refused(nb, "%%dispatch x\nprint(holder)")
    assert "cannot copy 'holder['deep'][0]'" in error
    assert "--no-share" in error


def test_a_name_near_a_known_one_is_offered(nb: LiveKernel) -> None:
    nb.run("%%dispatch spectrum --no-share\n1")
    nb.run("%gather spectrum")  # else its result comes with one of these cells
    for magic in ("%task", "%gather", "%cancel", "%pause", "%resume", "%orchestra retry", "%orchestra explain"):
        assert "no task is called 'spectrm'; did you mean 'spectrum'?" in refused(nb, f"{magic} spectrm")
    assert "did you mean 'spectrum'?" in refused(nb, "%%dispatch next --after spectrm\n1")
    assert "did you mean 'spectrum'?" in refused(nb, "jo.task('spectrm')")
    assert "did you mean 'spectrum'?" in refused(nb, "jo.gather('spectrm')")


@pytest.mark.parametrize(
    ("needs", "said"),
    [
        ("press", "there is no resource 'press': declare it"),
        ("test-runnr", "did you mean test-runner?"),
        ("port:80", "ports go from 1024 to 65535"),
        ("path:../elsewhere:w", "outside of the project"),
        ("mem=900TiB", "there is mem="),
        ("db:main:w", "no database 'main' is declared"),
        ("server", "declare"),
        ("terminal,terminal", "named twice"),
        ("what:ever", "nothing that is leased begins with"),
    ],
)
def test_a_need_that_can_never_be_met_is_refused_at_once(nb: LiveKernel, needs: str, said: str) -> None:
    assert said in refused(nb, f"%%dispatch hopeless --needs {needs}\n1")
    assert nb.ask("[task.name for task in jo.tasks() if task.name == 'hopeless']") == []


def test_an_unknown_task_is_a_key_error(nb: LiveKernel) -> None:
    nb.run("try:\n    jo.task('nobody')\nexcept KeyError as error:\n    assert 'nobody' in str(error)")


def test_a_name_that_still_runs_is_refused_and_says_what_to_do(nb: LiveKernel) -> None:
    nb.run("%%dispatch twice -w shell\nsleep 60")
    error = refused(nb, "%%dispatch twice -w shell\nsleep 60")
    for way in ("%gather twice", "%cancel twice", "--replace"):
        assert way in error


def test_replace_cancels_the_older_and_starts_anew(nb: LiveKernel) -> None:
    nb.run("%%dispatch twice -w shell -o first\nsleep 60")
    nb.run("%%dispatch twice -w shell -o second --replace\necho new")
    nb.run("%gather twice")
    assert nb.ask("[str(first.state), str(second.state)]") == ["cancelled", "done"]
    assert nb.ask("[first.name.startswith('twice@'), second.name]") == [True, "twice"]
    assert nb.ask("first.error") == "replaced by a new task of that name"


def test_a_cycle_through_the_api_is_refused(nb: LiveKernel) -> None:
    nb.run("%%dispatch one -w shell\nsleep 60")
    assert "a cycle" in refused(nb, "jo.dispatch('1', 'one', after='one', replace=True)")


def test_options_of_the_api_are_checked_alike(nb: LiveKernel) -> None:
    assert "has no option 'afer'" in refused(nb, "jo.dispatch('1', afer='x')")
    assert "not available yet" in refused(nb, "jo.dispatch('1', allow=['example.org'])")
    assert "did you mean tokens?" in refused(nb, "jo.dispatch('1', budget={'tokns': 5})")
    assert "the body must be text, not int" in refused(nb, "jo.dispatch(1)")
    assert "--timeout takes seconds" in refused(nb, "jo.dispatch('1', timeout=True)")
    assert "--retry takes a whole number" in refused(nb, "jo.dispatch('1', retry=None)")
    assert "--priority takes a whole number" in refused(nb, "jo.dispatch('1', priority='high')")


def test_kernel_tasks_take_no_messages(nb: LiveKernel) -> None:
    nb.run("%%dispatch deaf\nimport time\ntime.sleep(60)")
    assert "'deaf' takes no messages: kernel tasks can't be steered" in refused(nb, "%steer deaf go faster")
    assert "takes no messages" in refused(nb, "jo.task('deaf').steer('go')")


def test_a_running_loop_task_has_no_pause(nb: LiveKernel) -> None:
    nb.run("%%dispatch ticking -w loop\nimport asyncio\nawait asyncio.sleep(60)")
    nb.until_state("ticking", "running")
    assert "can't be paused while it runs: loop tasks have no pause" in refused(nb, "%pause ticking")


def test_a_task_that_asks_nothing_can_be_neither_approved_nor_declined(nb: LiveKernel) -> None:
    nb.run("%%dispatch quiet -w shell\nsleep 60")
    assert "asks for no approval" in refused(nb, "%approve quiet")
    assert "asks for no approval" in refused(nb, "%decline quiet because")
    assert "no task is called 'nobody'" in refused(nb, "%approve nobody")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("%orchestra bogus", "knows no 'bogus'"),
        ("%orchestra statsu", "did you mean 'status'?"),
        ("%orchestra 'open", "close the quotes"),
        ("%orchestra retry", "no turn of the master has failed"),
        ("%orchestra stop", "the master is in no turn"),
        ("%orchestra model fastest=x", "%orchestra model takes fast=, standard=, strong=, url=, rules or auto"),
        ("%%chat\n ", "there is nothing to say"),
        ("%%chat -t best\nhello", "the tier is one of fast, standard, strong, not 'best'"),
        ("%%chat --tire fast\nhello", "unknown flag --tire (did you mean --tier?)"),
        ("%chat", "there is nothing to say"),
        ("%%dispatch x -t fast\n1", "kernel tasks have no model"),
        ("%%dispatch x -w agent -r boss\nlook", "the role is one of explorer, default, worker, not 'boss'"),
        ("%%dispatch x -w agent -t best\nlook", "unknown tier 'best'; there are: fast, standard, strong"),
        ("%%dispatch x -w agent -t fast -m big\nlook", "a tier and a model exclude each other"),
        ("%%dispatch x -w agent\n ", "the brief is empty"),
        ("%orchestra forget", "which task?"),
        ("%orchestra explain", "which task?"),
        ("%orchestra forget nobody", "no task is called 'nobody'"),
        ("%orchestra workspaces", "not available yet"),
        ("%orchestra leases a", "takes no"),
        ("%cancel", "which task?"),
        ("%cancel over --all", "names or --all, not both"),
        ("%pause", "which task?"),
        ("%resume --al", "unknown flag --al (did you mean --all?)"),
        ("%task", "required: NAME"),
        ("%task a b", "'b' is one word too many"),
        ("%gather --timeout 5q", "--timeout takes seconds"),
        ("%gather 'open", "close the quotes"),
        ("%tasks what", "'what' is one word too many"),
        ("%steer nobody hello", "no task is called 'nobody'"),
    ],
)
def test_a_line_magic_that_cannot_be_right_is_one_line(nb: LiveKernel, line: str, said: str) -> None:
    assert said in refused(nb, line)


def test_ended_tasks_refuse_what_comes_too_late(nb: LiveKernel) -> None:
    nb.run("%%dispatch over -w shell -b\ntrue")
    assert "only a task that has not ended can be paused" in refused(nb, "%pause over")
    assert "is done, not paused" in refused(nb, "%resume over")
    assert "it succeeded: dispatch it again instead" in refused(nb, "%orchestra retry over")
    assert "over had ended: done" in nb.run("%cancel over").text


@pytest.mark.parametrize(
    "line",
    ["%%dispatch --help", "%%dispatch -h"],
)
def test_help_of_dispatch_shows_and_starts_nothing(nb: LiveKernel, line: str) -> None:
    before = nb.ask("len(jo.tasks())")
    text = nb.run(f"{line}\n1").text
    assert "%%dispatch" in text
    assert "--after" in text
    assert nb.ask("len(jo.tasks())") == before


@pytest.mark.parametrize(
    "magic", ["tasks", "task", "gather", "steer", "pause", "resume", "cancel", "approve", "decline", "orchestra"]
)
def test_each_magic_has_help(nb: LiveKernel, magic: str) -> None:
    text = nb.run(f"%{magic} --help").text
    assert f"%{magic}" in text
    assert "Traceback" not in text


@pytest.mark.parametrize("command", ["status", "doctor", "explain", "log", "retry", "forget", "clean", "config"])
def test_each_command_has_help(nb: LiveKernel, command: str) -> None:
    assert nb.run(f"%orchestra {command} --help").text.startswith(f"%orchestra {command}: ")


def test_a_handle_is_not_copied_and_the_error_says_what_to_do(nb: LiveKernel) -> None:
    nb.run("h = jo.dispatch('1', 'first', deliver='silent')\nhandles = {'deep': [h]}\nh.get()")
    error = refused(nb, "%%dispatch x\nhandles")
    assert "cannot copy 'handles['deep'][0]'" in error
    assert "with --after NAME a task finds the value in results" in error


def test_completion_offers_what_is_imported_lazily(nb: LiveKernel) -> None:
    assert {"dispatch", "task", "tasks", "gather", "progress", "cancel_all", "TaskFailed"} <= set(nb.ask("dir(jo)"))
