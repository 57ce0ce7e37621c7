"""Terminals of real tasks: a page and a cell type, and nothing of that is written down."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from live_kernel import LiveKernel
from page import Page, attach

from jupyter_orchestra.core import wire

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="terminals need the supervisor, which is for Linux")

ASKS = "test -t 0 && echo tty\nprintf 'name: '; read x\necho got $x"
ASKS_SECRETLY = "stty -echo; printf 'password: '; read x; stty echo; echo; echo ${#x} characters"
SECRET = "correct-horse-battery-staple"


def dispatch(nb: LiveKernel, script: str, name: str = "sh") -> None:
    nb.run(f"%%dispatch {name} -w shell --needs terminal\n{script}")


def watch(page: Page, name: str = "sh") -> wire.Card:
    card = page.until_card(name, lambda card: card.state == "running")
    page.say(wire.Watch(task=card.uid))
    return card


def shown(page: Page, uid: str) -> str:
    """What a terminal that follows shows now."""
    text, end = "", 0
    for message in page.all(wire.Terminal):
        if message.uid == uid:
            text = message.text if message.start != end else text + message.text
            end = message.end
    return text


def until_shown(page: Page, card: wire.Card, text: str) -> None:
    page.kernel.until(lambda: text in shown(page, card.uid), why=f"{text!r} is not in {shown(page, card.uid)!r}")


def type_(page: Page, card: wire.Card, text: str) -> wire.Answer:
    return page.ask(wire.Type, task=card.uid, attempt=card.attempt, text=text)


def written(nb: LiveKernel) -> bytes:
    """All that stands in the kernel's folders, its log included; but for the history of IPython, which holds cells."""
    files = [path for path in nb.folder.rglob("*") if path.is_file() and "history" not in path.name]
    return b"".join(path.read_bytes() for path in files)


def test_a_page_answers_a_program_in_its_terminal(nb: LiveKernel) -> None:
    page = attach(nb)
    dispatch(nb, ASKS)
    card = watch(page)
    until_shown(page, card, "tty\r\nname: ")
    assert type_(page, card, "ada\r").ok
    assert nb.end("sh") == "done"
    assert nb.ask("jo.task('sh').stdout") == "tty\nname: ada\ngot ada\n"
    until_shown(page, card, "name: ada\r\ngot ada\r\n")
    page.until_card("sh", lambda card: card.state == "done")
    refused = type_(page, card, "more\r")
    assert (refused.ok, refused.message) == (False, "sh has ended: nothing can be typed into it any more")


def test_a_page_that_comes_late_gets_what_was_shown_and_its_size_counts(nb: LiveKernel) -> None:
    first = attach(nb)
    dispatch(nb, "echo hello; read x; stty size; read x")
    card = watch(first)
    until_shown(first, card, "hello\r\n")
    late = attach(nb)
    watch(late)
    until_shown(late, card, "hello\r\n")
    late.say(wire.Resize(task=card.uid, attempt=card.attempt, rows=33, columns=101))
    assert type_(late, card, "\r").ok
    for page in (first, late):
        until_shown(page, card, "33 101\r\n")
    first.say(wire.Watch(task=card.uid, on=False))
    first.say(wire.Watch(task=card.uid))
    nb.until(lambda: first.all(wire.Terminal)[-1].start == 0, why="it does not begin anew")
    nb.run("%cancel sh")


def test_what_a_page_types_is_written_down_nowhere(nb: LiveKernel) -> None:
    page = attach(nb)
    dispatch(nb, ASKS_SECRETLY)
    card = watch(page)
    until_shown(page, card, "password: ")
    assert type_(page, card, f"{SECRET}-1\r").ok
    assert nb.end("sh") == "done"
    assert nb.ask("jo.task('sh').stdout") == "password:\n30 characters\n"
    everything = written(nb)
    assert ASKS_SECRETLY.encode() in everything
    assert SECRET.encode() not in everything


def test_steering_a_terminal_types_a_line_of_which_nothing_is_kept(nb: LiveKernel) -> None:
    page = attach(nb)
    dispatch(nb, ASKS_SECRETLY)
    card = watch(page)
    until_shown(page, card, "password: ")
    assert nb.run(f"known = 1\n%steer sh {SECRET}-2").text == "sent to sh\n"
    assert nb.end("sh") == "done"
    assert nb.ask("jo.task('sh').stdout") == "password:\n30 characters\n"
    assert SECRET.encode() not in written(nb)
    recorder = "__import__('jupyter_orchestra.app').app._app.conversing.recorder"
    sources = nb.ask(f"[ran.source for ran in {recorder}.untold()]")
    assert "known = 1\n%steer sh …" in sources
    assert SECRET not in str(sources)


def test_a_handle_types_a_line_too(nb: LiveKernel) -> None:
    page = attach(nb)
    dispatch(nb, ASKS)
    card = watch(page)
    until_shown(page, card, "name: ")
    nb.run("jo.task('sh').steer('grace')")
    assert nb.end("sh") == "done"
    assert "got grace" in nb.ask("jo.task('sh').stdout")


def test_only_the_person_types(nb: LiveKernel) -> None:
    dispatch(nb, "read x")
    nb.until_state("sh", "running")
    nb.run("from jupyter_orchestra.core import events as e\nclient = jo.task('sh')._client")
    said = nb.fail("client.control(e.SteerAsked, target='sh', text='rm -r /')")
    assert "task 'sh' takes no messages: shell tasks can't be steered" in said
    nb.run("%cancel sh")


def test_other_shell_tasks_take_no_messages(nb: LiveKernel) -> None:
    nb.run("%%dispatch plain -w shell\nsleep 60")
    assert "shell tasks can't be steered" in nb.fail("%steer plain hello")
    nb.run("%cancel plain")


def test_a_paused_terminal_takes_nothing_until_it_goes_on(nb: LiveKernel) -> None:
    page = attach(nb)
    dispatch(nb, ASKS)
    card = watch(page)
    until_shown(page, card, "name: ")
    nb.run("%pause sh")
    page.until_card("sh", lambda card: card.state == "paused")
    refused = type_(page, card, "no\r")
    assert (refused.ok, refused.message) == (False, "sh is paused: %resume sh, then type")
    assert "sh is paused" in nb.fail("%steer sh no")
    nb.run("%resume sh")
    assert type_(page, card, "yes\r").ok
    assert nb.end("sh") == "done"
    assert "got yes" in nb.ask("jo.task('sh').stdout")


def test_a_second_terminal_waits_for_the_first(nb: LiveKernel) -> None:
    dispatch(nb, "read x", "first")
    dispatch(nb, "true", "second")
    nb.until_state("first", "running")
    assert "it waits for terminal, held by first" in nb.run("%orchestra explain second").text
    assert "second is queued: type when it runs" in nb.fail("%steer second x")
    nb.run("%steer first x")
    assert [nb.end("first"), nb.end("second")] == ["done", "done"]


@pytest.mark.parametrize("worker", ["kernel", "loop", "agent"])
def test_who_has_no_terminal_is_refused_at_the_cell(nb: LiveKernel, worker: str) -> None:
    said = nb.fail(f"%%dispatch one -w {worker} --needs terminal\n1")
    assert f"{worker} tasks have no terminal: dispatch it with -w shell, or leave out --needs terminal" in said


def test_a_terminal_outlives_its_kernel(start_kernel: Callable[..., LiveKernel], tmp_path: Path) -> None:
    notebook = tmp_path / "nb.ipynb"
    notebook.write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    first = start_kernel(notebook)
    page = attach(first)
    dispatch(first, ASKS)
    card = watch(page)
    until_shown(page, card, "name: ")
    first.ask("__import__('time').sleep(0.3)")  # durable within 0.1 s
    page.close()
    first.kill()
    second = start_kernel(notebook)
    page = attach(second)
    card = watch(page)
    until_shown(page, card, "tty\r\nname: ")
    assert type_(page, card, "ada\r").ok
    assert second.end("sh") == "done"
    assert second.ask("jo.task('sh').stdout") == "tty\nname: ada\ngot ada\n"
    second.shut_down()
    second.wait_for_no_process()
