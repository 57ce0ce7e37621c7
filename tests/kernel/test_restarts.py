"""A kernel that is restarted, shut down or never replaced while tasks hold real things."""

from __future__ import annotations

import os
import signal

import psutil
from live_kernel import wait_until
from mortals import Project, is_gone, is_taken, stray, waiting

SERVE = "import os, socket\nserver = socket.create_server(('127.0.0.1', int(os.environ['PORT'])))"
PORT = 3461


def test_a_restart_keeps_what_runs_with_all_that_it_holds(project: Project) -> None:
    a, b = project.open("a"), project.open("b")
    a.run(waiting("code", "kernel", f"--needs port:{PORT},press").replace("\n", f"\n{SERVE}\n", 1))
    a.run(waiting("script", "shell", "--needs lathe"))
    a.run(waiting("queued", "shell", "--needs press"))
    project.wait_for("code", "script")
    before = project.leases()
    a.restart()
    a.load()
    assert a.ask("[str(jo.task(name).state) for name in ('code', 'script', 'queued')]") == [
        "running",
        "running",
        "queued",
    ]
    b.run(waiting("wants-port", "shell", f"--needs port:{PORT}"))
    b.run(waiting("wants-lathe", "shell", "--needs lathe"))
    project.wait_until_held_by(a)
    assert project.leases() == before
    assert is_taken(PORT)
    assert b.ask("[str(jo.task(name).state) for name in ('wants-port', 'wants-lathe')]") == ["queued", "queued"]
    project.touch("go-code")
    a.run("%cancel script")
    project.wait_for("queued", "wants-port", "wants-lathe")
    assert [a.end("code"), a.end("script")] == ["done", "cancelled"]
    assert a.ask("[jo.task('code').attempt, jo.task('code').stdout]") == [1, "came code\n"]
    project.touch("go-queued", "go-wants-port", "go-wants-lathe")
    assert [a.end("queued"), b.end("wants-port"), b.end("wants-lathe")] == ["done"] * 3
    a.shut_down()
    b.shut_down()
    project.wait_for_nothing(PORT)


def test_a_shutdown_ends_everything(project: Project) -> None:
    a = project.open("a")
    a.run(waiting("code", "kernel", f"--needs port:{PORT}").replace("\n", f"\n{SERVE}\n", 1))
    a.run(waiting("held", "kernel", "--needs lathe"))
    a.run(waiting("script", "shell", "--needs press").replace("\n", f"\n{stray('stray')}\ntrap '' INT TERM\n", 1))
    project.wait_for("code", "held", "script", "stray")
    a.run("%pause held")
    wait_until(lambda: psutil.Process(int(project.text("held"))).status() == psutil.STATUS_STOPPED)
    pids = [int(project.text(name)) for name in ("code", "held", "script", "stray")]
    a.shut_down()
    wait_until(lambda: all(map(is_gone, pids)))
    project.wait_for_nothing(PORT)


def test_what_nobody_takes_over_ends_after_the_grace_time_and_frees_what_it_held(project: Project) -> None:
    project.declare(grace=1.0)
    a, b = project.open("a"), project.open("b")
    a.run(waiting("code", "kernel", f"--needs port:{PORT}").replace("\n", f"\n{SERVE}\n", 1))
    a.run(waiting("held", "kernel", "--needs lathe"))
    a.run(waiting("script", "shell", "--needs press").replace("\n", f"\n{stray('stray')}\ntrap '' INT TERM\n", 1))
    project.wait_for("code", "held", "script", "stray")
    a.run("%pause held")
    pids = [int(project.text(name)) for name in ("code", "held", "script", "stray")]
    wait_until(lambda: psutil.Process(pids[1]).status() == psutil.STATUS_STOPPED)
    supervisor = project.supervisor(pids[0])
    b.run(waiting("next-one", "shell", f"--needs port:{PORT},press,lathe"))
    os.kill(a.pid, signal.SIGKILL)
    project.wait_for("next-one")
    assert all(map(is_gone, pids))
    wait_until(lambda: is_gone(supervisor))
    project.touch("go-next-one")
    assert b.end("next-one") == "done"
    b.shut_down()
    a.kill()
    back = project.open("a")
    assert [back.end(name) for name in ("code", "held", "script")] == ["lost"] * 3
    back.shut_down()
    project.wait_for_nothing(PORT)


def test_what_ended_within_the_grace_time_is_done_whenever_the_next_kernel_comes(project: Project) -> None:
    project.declare(grace=2.0)
    a = project.open("a")
    a.run(
        waiting("code", "kernel", then="big = 'x' * 300_000").replace("print('came code')", "print('came code')\nbig")
    )
    a.run(waiting("script", "shell", "--needs press"))
    project.wait_for("code", "script")
    supervisor = project.supervisor(int(project.text("script")))
    a.ask("int(jo.dispatch('true', worker='shell').get())")  # an end is told once all before it is durable
    a.kill()
    project.touch("go-code", "go-script")
    project.wait_for("ended-code", "ended-script")
    wait_until(lambda: is_gone(supervisor))
    back = project.open("a")
    assert [back.end(name) for name in ("code", "script")] == ["done", "done"]
    assert back.ask("[jo.task(name).stdout for name in ('code', 'script')]") == ["came code\n", "came script\n"]
    assert back.ask("len(jo.task('code').result)") == 300_000
    back.shut_down()
