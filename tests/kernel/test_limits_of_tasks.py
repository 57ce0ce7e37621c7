"""Tasks that take more of the machine than they may."""

from __future__ import annotations

import shlex
import sys

from live_kernel import wait_until
from mortals import Project, running

HOG = "b'x' * (600 << 20)"
# Each process of it makes two more, eleven times over: it does not go on for ever if nobody ends it.
BOMB = "bomb() { if [ $1 -gt 0 ]; then bomb $(($1 - 1)) & bomb $(($1 - 1)) & fi; exec sleep 4321; }\nbomb 11"
FORKS = "import os, time\nfor _ in range(11):\n    os.fork()\ntime.sleep(600)"


def python(code: str) -> str:
    """A command that runs code and waits."""
    return f"{sys.executable} -I -S -c {shlex.quote(f'import time; {code}; time.sleep(600)')} "


def test_a_task_that_takes_more_memory_than_it_has_leased_is_ended_and_says_so(project: Project) -> None:
    a = project.open("a")
    a.run(f"%%dispatch code --needs mem=200MiB\nimport time\nhog = {HOG}\ntime.sleep(600)")
    a.run(f"%%dispatch script -w shell --needs mem=200MiB\n{python(f'hog = {HOG}')}")
    part = python("hog = b'x' * (80 << 20)") + "&"
    a.run(f"%%dispatch parts -w shell --needs mem=200MiB\n{4 * part}\nwait")
    assert [a.end(name) for name in ("code", "script", "parts")] == ["failed"] * 3
    for name in ("code", "script", "parts"):
        assert "it took more than 200 MiB of memory" in a.ask(f"jo.task({name!r}).error")
    wait_until(lambda: not running(a, "hog ="))
    a.shut_down()


def test_a_kernel_is_limited_while_it_has_a_task_that_leased_memory_and_no_longer(project: Project) -> None:
    a = project.open("a")
    code = "import os\nhog = b'x' * ({} << 20)\nimport time\ntime.sleep(1)\nos.getpid()"
    a.run(f"%%dispatch small -b --needs mem=300MiB\n{code.format(200)}")
    a.run(f"%%dispatch free -b\n{code.format(500)}")
    a.run(f"%%dispatch again -b --needs mem=300MiB\n{code.format(200)}")
    assert a.ask("[str(jo.task(name).state) for name in ('small', 'free', 'again')]") == ["done"] * 3
    assert a.ask("len({jo.task(name).result for name in ('small', 'free', 'again')})") == 1, "they had one kernel"
    a.shut_down()


def test_a_fork_bomb_is_ended_with_nothing_left_and_the_others_go_on(project: Project) -> None:
    project.declare(max_processes=60)
    a = project.open("a")
    a.run("%%dispatch bystander -w shell\nwhile ! test -e go; do sleep 0.02; done; echo whole")
    a.run(f"%%dispatch script -w shell\n{BOMB}")
    a.run(f"%%dispatch code\n{FORKS}")
    assert [a.end(name) for name in ("script", "code")] == ["failed", "failed"]
    for name in ("script", "code"):
        assert "it had more than 60 processes at once" in a.ask(f"jo.task({name!r}).error")
    wait_until(lambda: not running(a, "sleep 4321"))
    project.touch("go")
    assert a.end("bystander") == "done"
    assert a.ask("jo.task('bystander').stdout") == "whole\n"
    a.run("%%dispatch afterwards -b\n'works'")
    assert a.ask("jo.task('afterwards').result") == "works"
    a.shut_down()
