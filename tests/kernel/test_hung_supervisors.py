"""Supervisors that are killed or stand still, and holders that do, with and without their kernel."""

from __future__ import annotations

import os
import signal

import psutil
from live_kernel import LiveKernel, wait_until
from mortals import Project, is_gone, stray, waiting

EXPIRY = 60.0  # seconds within which what nobody hears of is taken from it, on a loaded machine
DURABLE = "int(jo.dispatch('true', worker='shell').get())"  # an end is told once all before it is durable


def pids(project: Project, *names: str) -> list[int]:
    """The processes that tasks have written down, once they have."""
    project.wait_for(*names)
    return [int(project.text(name)) for name in names]


def is_stopped(pid: int) -> bool:
    return psutil.Process(pid).status() == psutil.STATUS_STOPPED


def told(kernel: LiveKernel, name: str) -> str:
    """What the person reads of a lost task with the next cell."""
    (line,) = [line for line in kernel.run("1").text.splitlines() if f"{name} was lost" in line]
    return line


def test_a_holder_that_stands_still_without_its_kernel_is_ended_and_a_paused_one_is_not(project: Project) -> None:
    a, b = project.open("a"), project.open("b")
    a.run(waiting("script", "shell", "--needs press"))
    a.run(waiting("code", "kernel", "--needs loom"))
    a.run(waiting("held", "kernel", "--needs lathe"))
    script, code, held = pids(project, "script", "code", "held")
    a.run("%pause held")
    wait_until(lambda: is_stopped(held))
    for name, need in (("next-script", "press"), ("next-code", "loom"), ("next-held", "lathe")):
        b.run(waiting(name, "shell", f"--needs {need}"))
    leases = project.leases()
    a.ask(DURABLE)
    a.kill()
    project.wait_for_orphans(*leases)
    os.kill(script, signal.SIGSTOP)
    os.kill(code, signal.SIGSTOP)
    wait_until(lambda: project.has("next-script", "next-code"), EXPIRY)
    assert is_gone(script)
    assert is_gone(code)
    assert b.state("next-held") == "queued"
    assert is_stopped(held)

    back = project.open("a")
    assert [back.end(name) for name in ("script", "code")] == ["failed", "failed"]
    assert back.state("held") == "paused"
    project.wait_until_held_by(back, but=b)
    project.touch("go-held")
    assert is_stopped(held)
    assert b.state("next-held") == "queued"
    back.run("%resume held")
    assert back.end("held") == "done"
    project.touch("go-next-script", "go-next-code", "go-next-held")
    assert [b.end(name) for name in ("next-script", "next-code", "next-held")] == ["done"] * 3
    assert float(project.text("ended-held")) <= float(project.text("began-next-held"))
    back.shut_down()
    b.shut_down()


def test_what_a_killed_supervisor_owned_is_lost_and_the_person_is_told(project: Project) -> None:
    a, b = project.open("a"), project.open("b")
    a.run(waiting("script", "shell", "--needs press").replace("\n", f"\n{stray('stray')}\n", 1))
    a.run(waiting("code", "kernel", "--needs lathe"))
    a.run(waiting("held", "shell", "--needs loom"))
    lost = pids(project, "script", "code", "held", "stray")
    a.run("%pause held")
    wait_until(lambda: is_stopped(lost[2]))
    b.run(waiting("next-script", "shell", "--needs press"))
    b.run(waiting("next-code", "shell", "--needs lathe"))
    os.kill(project.supervisor(lost[0]), signal.SIGKILL)
    assert [a.end(name) for name in ("script", "code", "held")] == ["lost"] * 3
    assert all(map(is_gone, lost))
    project.wait_for("next-script", "next-code")
    ran = a.run("1").text
    for name in ("script", "code", "held"):
        assert f"{name} was lost: the supervisor" in ran
    assert "rerun it (%orchestra retry script) or drop it" in ran
    assert "was lost" not in a.run("1").text, "it is said once"

    a.run("%%dispatch afterwards -b\n'works'")
    assert a.ask("jo.task('afterwards').result") == "works"
    a.run("%orchestra retry code")
    project.touch("go-next-script", "go-next-code", "go-code")
    assert a.end("code") == "done"
    assert [b.end(name) for name in ("next-script", "next-code")] == ["done"] * 2
    a.shut_down()
    b.shut_down()


def test_what_a_stopped_supervisor_owns_is_taken_from_it_and_the_rest_goes_on_with_it(project: Project) -> None:
    a, b = project.open("a"), project.open("b")
    a.run(waiting("holder", "shell", "--needs press"))
    a.run(waiting("cancelled", "kernel"))
    a.run(waiting("bystander", "shell"))
    holder, cancelled, bystander = pids(project, "holder", "cancelled", "bystander")
    b.run(waiting("next-one", "shell", "--needs press"))
    supervisor = project.supervisor(holder)
    os.kill(supervisor, signal.SIGSTOP)
    a.run("%cancel cancelled")
    wait_until(lambda: is_gone(cancelled))
    wait_until(lambda: project.has("next-one"), EXPIRY)
    assert is_gone(holder)
    assert a.end("holder") == "failed"
    assert "LeaseExpired" in a.run("%orchestra explain holder").text
    assert not is_gone(bystander)
    os.kill(supervisor, signal.SIGCONT)
    project.touch("go-bystander", "go-holder", "go-cancelled", "go-next-one")
    assert a.end("bystander") == "done"
    assert b.end("next-one") == "done"
    a.run("%%dispatch afterwards -b\n'works'")
    assert a.ask("jo.task('afterwards').result") == "works"
    assert not project.has("ended-holder")
    assert not project.has("ended-cancelled")
    a.shut_down()
    b.shut_down()


def test_a_supervisor_that_stands_still_is_replaced_when_something_is_to_start(project: Project) -> None:
    a = project.open("a")
    a.run(waiting("bystander", "shell"))
    (bystander,) = pids(project, "bystander")
    os.kill(project.supervisor(bystander), signal.SIGSTOP)
    a.run("%%dispatch starts -w shell\necho started")
    a.until_state("starts", "done", seconds=EXPIRY)
    assert a.end("bystander") == "lost"
    assert is_gone(bystander)
    assert "the supervisor" in told(a, "bystander")
    a.shut_down()


def test_a_supervisor_that_stands_still_does_not_keep_the_next_kernel_waiting(project: Project) -> None:
    a, b = project.open("a"), project.open("b")
    a.run(waiting("script", "shell", "--needs press"))
    a.run(waiting("code", "kernel", "--needs lathe"))
    lost = pids(project, "script", "code")
    b.run(waiting("next-script", "shell", "--needs press"))
    b.run(waiting("next-code", "shell", "--needs lathe"))
    a.ask(DURABLE)
    os.kill(project.supervisor(lost[0]), signal.SIGSTOP)
    a.kill()
    back = project.open("a")
    assert [back.end(name) for name in ("script", "code")] == ["lost", "lost"]
    assert all(map(is_gone, lost))
    assert "rerun it" in told(back, "script")
    project.wait_for("next-script", "next-code")
    project.touch("go-next-script", "go-next-code")
    assert [b.end(name) for name in ("next-script", "next-code")] == ["done", "done"]
    back.run("%%dispatch afterwards -b\n'works'")
    assert back.ask("jo.task('afterwards').result") == "works"
    back.shut_down()
    b.shut_down()


def test_a_cell_that_lets_nothing_else_run_in_its_kernel_costs_no_task_its_lease(project: Project) -> None:
    a, b = project.open("a"), project.open("b")
    a.run(waiting("script", "shell", "--needs press"))
    a.run(waiting("code", "kernel", "--needs lathe"))
    pids(project, "script", "code")
    b.run(waiting("next-script", "shell", "--needs press"))
    b.run(waiting("next-code", "shell", "--needs lathe"))
    a.finish(a.send("import ctypes\nctypes.PyDLL(None).sleep(23)"), EXPIRY)  # which keeps the interpreter's lock
    assert [a.state(name) for name in ("script", "code")] == ["running", "running"]
    assert [b.state(name) for name in ("next-script", "next-code")] == ["queued", "queued"]
    project.touch("go-script", "go-code", "go-next-script", "go-next-code")
    assert [a.end(name) for name in ("script", "code")] == ["done", "done"]
    assert [b.end(name) for name in ("next-script", "next-code")] == ["done", "done"]
    for name in ("script", "code"):
        assert float(project.text(f"ended-{name}")) <= float(project.text(f"began-next-{name}"))
    a.shut_down()
    b.shut_down()
