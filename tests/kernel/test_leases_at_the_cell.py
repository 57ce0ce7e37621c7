"""Leases as a person meets them: two notebooks in real kernels, on one machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from live_kernel import LiveKernel

PROJECT = """
[tool.jupyter_orchestra.resources]
press = 1
loom = {capacity = 1, preemptible = true}

[tool.jupyter_orchestra.servers.web]
command = "while [ -e slow ]; do sleep 0.1; done; exec python -m http.server $PORT"
"""
FETCH = "import os, urllib.request\nurllib.request.urlopen(os.environ['SERVER_URL']).status"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "run").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))  # a broker of this test's own
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    return tmp_path


@pytest.fixture
def nb(project: Path) -> Iterator[LiveKernel]:
    kernel = LiveKernel(project)
    yield kernel
    kernel.close()
    kernel.wait_for_no_process()


@pytest.fixture
def other(project: Path) -> Iterator[LiveKernel]:
    kernel = LiveKernel(project)
    yield kernel
    kernel.close()
    kernel.wait_for_no_process()


def test_two_tasks_that_need_the_same_run_one_after_the_other(nb: LiveKernel) -> None:
    code = "import time\nbegan = time.time()\ntime.sleep(0.3)\n(began, time.time())"
    nb.run(f"%%dispatch one --needs press\n{code}")
    nb.run(f"%%dispatch two --needs press\n{code}")
    nb.run("%gather")
    assert nb.ask("jo.task('one').get()[1] <= jo.task('two').get()[0]")


def test_one_that_waits_says_for_what_and_whose_it_is(nb: LiveKernel) -> None:
    nb.run("%%dispatch holder -w shell --needs press\nsleep 60")
    nb.until_state("holder", "running")
    nb.run("%%dispatch waiter --needs press\n1")
    said = nb.run("%orchestra explain waiter").text
    assert "it waits for press, held by holder (for " in said
    said = nb.run("%orchestra leases").text
    assert "press: 1 of 1 in use" in said
    assert "waiter waits for press" in said
    nb.run("%cancel holder")
    assert nb.end("waiter") == "done"


def test_two_servers_get_ports_of_their_own_in_their_environment(nb: LiveKernel) -> None:
    code = "import os, time\ntime.sleep(0.5)\nint(os.environ['PORT'])"
    nb.run(f"%%dispatch one --needs port:3100-3110\n{code}")
    nb.run(f"%%dispatch two --needs port:3100-3110\n{code}")
    nb.run("%gather")
    assert nb.ask("len({jo.task('one').get(), jo.task('two').get()} & set(range(3100, 3111)))") == 2


def test_a_port_that_another_program_has_is_passed_over(nb: LiveKernel) -> None:
    nb.run("import socket\nblocking = socket.create_server(('127.0.0.1', 3120))")
    nb.run("%%dispatch served --no-share --needs port:3120-3121\nimport os\nint(os.environ['PORT'])")
    nb.run("%gather")
    assert nb.ask("jo.task('served').get()") == 3121
    nb.run("blocking.close()")


def test_two_notebooks_share_what_the_project_declares(nb: LiveKernel, other: LiveKernel) -> None:
    nb.run("%%dispatch first -w shell --needs press\nsleep 60")
    nb.until_state("first", "running")
    other.run("%%dispatch second --needs press\n1")
    other.until(lambda: "held by first of " in other.run("%orchestra explain second").text)
    assert other.state("second") == "queued"
    nb.run("%cancel first")
    assert other.end("second") == "done"


def test_what_a_killed_notebook_held_is_free_for_another(nb: LiveKernel, other: LiveKernel) -> None:
    nb.run("held = jo.controller.lease('press').__enter__()")
    other.run("%%dispatch second --needs press\n1")
    other.until(lambda: "held by your own code of " in other.run("%orchestra explain second").text)
    nb.kill()
    assert other.end("second") == "done"


def test_a_holder_that_hangs_is_ended_before_the_next_one_begins(nb: LiveKernel) -> None:
    nb.run("%%dispatch hung --needs press\nimport os, signal\nos.kill(os.getpid(), signal.SIGSTOP)\n1")
    nb.until_state("hung", "running")

    nb.run("%%dispatch next_one --needs press\n1")
    nb.until_state("next_one", "done", seconds=40.0)
    assert nb.state("hung") == "failed"
    assert "LeaseExpired" in nb.run("%orchestra explain hung").text


def test_a_shell_task_that_hangs_is_ended_and_one_with_a_stopped_child_is_not(nb: LiveKernel) -> None:
    code = "import subprocess, time\nchild = subprocess.Popen(['sleep', '60'])\nchild.send_signal(19)\n"
    nb.run(f"%%dispatch fine --needs press\n{code}time.sleep(18)\nchild.kill()\n'whole'")
    nb.run("%%dispatch hung -w shell --needs loom\nkill -STOP $$")
    nb.until_state("hung", "failed", seconds=40.0)
    nb.until_state("fine", "done", seconds=40.0)
    assert nb.ask("jo.task('fine').get()") == "whole"


def test_a_declared_server_starts_once_the_person_approved_and_ends_with_its_task(nb: LiveKernel) -> None:
    nb.run(f"%%dispatch page --needs server:web\n{FETCH}")
    nb.until(lambda: "approve or decline" in nb.run("%orchestra explain page").text)
    assert "python -m http.server $PORT" in nb.run("%orchestra explain page").text
    nb.run("%approve page")
    assert nb.end("page") == "done"
    assert nb.ask("jo.task('page').get()") == 200
    nb.run(f"%%dispatch again --needs server:web\n{FETCH}")  # approved as it is
    assert nb.end("again") == "done"
    assert not [process for process in nb.processes() if "http.server" in process.cmdline()]


def test_a_server_that_the_person_declines_fails_its_task_in_one_line(nb: LiveKernel) -> None:
    nb.run(f"%%dispatch page --needs server:web\n{FETCH}")
    nb.until(lambda: "approve or decline" in nb.run("%orchestra explain page").text)
    nb.run("%decline page")
    assert nb.end("page") == "failed"
    assert "you declined to start the server web" in nb.run("%orchestra explain page").text


def test_the_only_server_is_one_thing_with_its_name_and_without(nb: LiveKernel) -> None:
    nb.run("%%dispatch one --needs server\n1")
    nb.until(lambda: "approve or decline" in nb.run("%orchestra explain one").text)
    nb.run("%%dispatch two --needs server:web\n2")
    assert "it waits for server:web, held by one" in nb.run("%orchestra explain two").text
    nb.run("%cancel one")
    nb.until(lambda: "approve or decline" in nb.run("%orchestra explain two").text)


def test_one_place_under_two_names_is_leased_once(nb: LiveKernel, project: Path) -> None:
    (project / "src").mkdir()
    (project / "link").symlink_to("src")
    nb.run("%%dispatch both --needs path:src:r,path:link:w\n1")
    assert nb.end("both") == "done"


def test_the_persons_own_code_leases_too(nb: LiveKernel) -> None:
    nb.run("async with jo.controller.lease('press', 'port:3130-3131') as lease:\n    seen = lease.port, lease.token")
    nb.run("with jo.controller.lease('press') as later:\n    after = later.token\n    assert not later.lost")
    assert nb.ask("seen[0] in (3130, 3131)")
    assert nb.ask("after > seen[1]")
    assert nb.ask("later.lost")
    assert "LeaseLost" in nb.fail("later.check()")
    assert "press: 0 of 1 in use" in nb.run("%orchestra leases").text


def test_a_lease_that_is_not_waited_for_is_refused_with_the_holder(nb: LiveKernel) -> None:
    nb.run("held = jo.controller.lease('press').__enter__()")
    assert "waits for press, held by your own code" in nb.fail("jo.controller.lease('press', wait=False).__enter__()")
    assert "GatherTimeout" in nb.fail("jo.controller.lease('press', timeout=0.3).__enter__()")
    nb.run("held.__exit__(None, None, None)")
    nb.run("with jo.controller.lease('press', wait=False): pass")


def test_an_interrupt_ends_the_waiting_for_a_lease_and_leaves_nothing_behind(nb: LiveKernel) -> None:
    nb.run("held = jo.controller.lease('press').__enter__()")
    beside = nb.subshell()
    waiting = nb.send("with jo.controller.lease('press'):\n    pass")
    nb.until(lambda: "waits for press" in nb.run("%orchestra leases", beside).text)
    nb.interrupt()
    nb.finish(waiting)
    assert "KeyboardInterrupt" in waiting.error
    nb.run("held.__exit__(None, None, None)")
    nb.until(lambda: "press: 0 of 1 in use" in nb.run("%orchestra leases").text)


def test_an_interrupt_while_a_server_starts_leaves_no_server_behind(nb: LiveKernel, project: Path) -> None:
    nb.run(f"%%dispatch page --needs server:web\n{FETCH}")
    nb.until(lambda: "approve or decline" in nb.run("%orchestra explain page").text)
    nb.run("%approve page")
    assert nb.end("page") == "done"

    def servers() -> list[str]:
        return [line for process in nb.processes() if "http.server" in (line := " ".join(process.cmdline()))]

    nb.until(lambda: not servers())
    (project / "slow").touch()
    waiting = nb.send("with jo.controller.lease('server:web'):\n    pass")
    nb.until(servers)
    nb.interrupt()
    nb.finish(waiting)
    assert "KeyboardInterrupt" in waiting.error
    nb.until(lambda: "server:web: 0 of 1 in use" in nb.run("%orchestra leases").text)
    assert not servers()


def test_many_coroutines_wait_for_a_lease_and_an_interrupt_ends_them_all(nb: LiveKernel) -> None:
    nb.run("held = jo.controller.lease('press').__enter__()")
    nb.run(
        "async def take(**how):\n    async with jo.controller.lease('press', **how) as lease:\n"
        "        return lease.token"
    )
    assert "GatherTimeout" in nb.fail("await take(timeout=0.2)")
    beside = nb.subshell()
    waiting = nb.send("import asyncio\nawait asyncio.gather(*(take() for _ in range(100)))")
    nb.until(lambda: nb.run("%orchestra leases", beside).text.count("waits for press") == 100)
    nb.interrupt()
    nb.finish(waiting)
    assert "KeyboardInterrupt" in waiting.error or "CancelledError" in waiting.error
    nb.run("held.__exit__(None, None, None)")
    nb.run("tokens = await asyncio.gather(*(take() for _ in range(100)))")
    assert nb.ask("tokens == sorted(set(tokens)) and len(tokens) == 100")


def test_a_paused_task_gives_back_what_may_be_taken_and_waits_for_it(nb: LiveKernel) -> None:
    nb.run("%%dispatch weaver -w shell --needs loom\nwhile [ ! -e go ]; do sleep 0.1; done")
    nb.until_state("weaver", "running")
    nb.run("%pause weaver")
    nb.run("%%dispatch other --needs loom\n1")
    assert nb.end("other") == "done"
    nb.run("open('go', 'w').close()")
    nb.run("%resume weaver")
    assert nb.end("weaver") == "done"


def test_the_environment_of_a_lease_is_gone_with_its_task(nb: LiveKernel) -> None:
    nb.run("%%dispatch one --needs port:3140\nimport os\nos.environ['PORT']")
    nb.run("%%dispatch two --after one\nimport os\nos.environ.get('PORT')")
    nb.run("%gather")
    assert nb.ask("jo.task('two').get() is None")


def test_a_task_cancelled_while_it_waits_holds_nobody_up(nb: LiveKernel) -> None:
    nb.run("%%dispatch holder -w shell --needs press\nsleep 60")
    nb.until_state("holder", "running")
    nb.run("%%dispatch gone --needs press\n1")
    nb.run("%%dispatch stays --needs press\n1")
    nb.run("%cancel gone")
    nb.run("%cancel holder")
    assert nb.end("stays") == "done"
