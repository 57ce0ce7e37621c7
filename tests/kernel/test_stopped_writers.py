"""Code of the person's own that stood still while another notebook got what it holds."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3

import psutil
import pytest
from live_kernel import wait_until
from mortals import Project, waiting

EXPIRY = 60.0  # seconds within which what nobody hears of is taken from it, on a loaded machine
SHORT = 3.0  # seconds that leases last where that is set
# Leases that last shorter for the machine only, so that the notebook itself has not missed anything yet.
FOR_OTHERS = (
    f"import jupyter_orchestra.resources.broker as broker\nbroker.Broker.__init__.__kwdefaults__['ttl'] = {SHORT}\n"
)
STANDS_STILL = """
async with jo.controller.lease("press") as lease:
    while not is_idle(): time.sleep(0.001)  # who stops in the midst of a write stops all others with it
    os.kill(os.getpid(), signal.SIGSTOP)
    {look}
"""
CHECK = "said = error_of(lease.check)"
LOST = "said = lease.lost"
WORDS = """
import os, signal, sys, threading, time
def is_idle():
    (broker,) = [thread for thread in threading.enumerate() if thread.name == "jupyter_orchestra broker"]
    code = sys._current_frames()[broker.ident].f_code
    return code.co_name == "wait" and code.co_filename.endswith("identity.py")
def error_of(act):
    try:
        return act()
    except jo.LeaseLost as error:
        return str(error)
"""


@pytest.mark.parametrize(
    ("short", "look", "said"),
    [
        pytest.param(FOR_OTHERS, CHECK, "the lease is no longer held: stop writing, and ask for a new one", id="asks"),
        pytest.param("", LOST, True, id="by its own time"),
    ],
)
def test_the_first_look_after_it_stood_still_says_that_it_holds_nothing(
    project: Project, short: str, look: str, said: object
) -> None:
    a, b = project.open("a"), project.open("b")
    a.run(short + WORDS)
    b.run("jo.controller.lease('lathe').__enter__()")  # so that it is ready
    stopped = a.send(STANDS_STILL.format(look=look))
    wait_until(lambda: psutil.Process(a.pid).status() == psutil.STATUS_STOPPED)
    try:
        b.run(waiting("writer", "shell", "--needs press"))
        wait_until(lambda: project.has("writer"), EXPIRY)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(a.pid, signal.SIGCONT)
    a.finish(stopped)
    assert not stopped.error
    assert a.ask("said") == said
    assert b.state("writer") == "running"
    project.touch("go-writer")
    assert b.end("writer") == "done"
    a.shut_down()
    b.shut_down()


def test_who_holds_a_lease_may_check_it_as_often_as_it_writes(project: Project) -> None:
    a = project.open("a")
    a.run(
        "with jo.controller.lease('press', 'port:3160-3170') as lease:\n    for _ in range(200): lease.check()\n"
        "async with jo.controller.lease('terminal') as alone:\n    alone.check()"
    )
    assert "LeaseLost" in a.fail("lease.check()")
    a.shut_down()


def test_who_gets_no_answer_whether_it_still_holds_a_lease_does_not_go_on(project: Project) -> None:
    a = project.open("a")
    a.run("lease = jo.controller.lease('press').__enter__()\nlease.check()")
    (file,) = project.runtime.glob(f"orchestra-leases-{os.getuid()}/*.db")
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")  # as somebody does who is stopped while it writes
        assert "LeaseLost: nobody can say now whether the lease is still held" in a.fail("lease.check()")
        connection.execute("ROLLBACK")
    a.run("lease.check()\nlease.__exit__(None, None, None)")
    a.shut_down()
