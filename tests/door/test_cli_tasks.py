from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from guests import House, wait_for

from jupyter_orchestra import cli
from jupyter_orchestra.core.model import State
from jupyter_orchestra.door import place
from jupyter_orchestra.door.client import find

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command: its exit code, what it says, and what it complains of."""

    def command(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = cli.main(words)
        said = capsys.readouterr()
        return code, said.out, said.err

    return command


def test_without_a_kernel_it_says_how_to_get_one(runtime_dir: Path, run: Run) -> None:
    for words in (["status"], ["tasks", "--json"], ["cancel", "--all"], ["explain", "x"], ["leases"]):
        code, out, err = run(*words)
        assert (code, out) == (1, "")
        said = "no notebook is at work here: run %load_ext jupyter_orchestra in one"
        assert err == f"jupyter orchestra {words[0]}: {said}\n"


def test_the_tasks_are_listed_and_the_status_says_what_needs_the_person(house: House, run: Run) -> None:
    assert run("tasks")[:2] == (0, "no tasks yet: %%dispatch NAME at the top of a cell starts one\n")
    house.dispatch("fit", "plot", "broken")
    house.question("plot")
    code, out, _ = run("tasks")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].split() == ["name", "worker", "state", "time"]
    assert lines[1].split()[:3] == ["fit", "kernel", "running"]
    assert "ValueError" in lines[3]
    code, out, _ = run("status")
    assert code == 0
    assert out == (
        f"/books/analysis.ipynb (process {os.getpid()}): 2 running · 1 failed\n  plot asks you: run: rm -rf build\n"
    )


def test_programs_get_json(house: House, run: Run) -> None:
    house.dispatch("fit", "broken")
    house.question("fit")
    (status,) = json.loads(run("status", "--json")[1])
    assert status == {
        "notebook": "/books/analysis.ipynb",
        "pid": os.getpid(),
        "trouble": "",
        "states": {"running": 1, "failed": 1},
        "needs_you": ["fit"],
    }
    cards = json.loads(run("tasks", "--json")[1])
    assert [(card["name"], card["state"]) for card in cards] == [("fit", "running"), ("broken", "failed")]
    assert cards[0]["question"]["digest"] == "d1"


def test_tasks_are_paused_resumed_and_cancelled(house: House, run: Run) -> None:
    house.dispatch("fit", "plot", "broken")
    assert run("pause", "fit", "plot")[:2] == (0, "paused fit\npaused plot\n")
    assert house.view("plot").state is State.PAUSED
    assert run("resume", "--all")[:2] == (0, "resumed fit\nresumed plot\n")
    code, out, _ = run("cancel", "fit", "broken")
    assert (code, out.splitlines()[1]) == (0, "broken had ended: failed")
    assert out.splitlines()[0] in ("stopping fit", "cancelled fit")
    house.until("fit", State.CANCELLED)
    assert run("cancel", "--all")[0] == 0
    house.until("plot", State.CANCELLED)
    assert run("cancel", "--all")[:2] == (0, "no task to act on\n")


def test_what_the_machine_refuses_fails_with_its_reason(house: House, run: Run) -> None:
    house.dispatch("fit")
    assert run("cancel", "fitt") == (
        1, "", "jupyter orchestra cancel: no task is called 'fitt'; did you mean 'fit'?\n"
    )  # fmt: skip
    assert run("resume", "fit") == (1, "", "jupyter orchestra resume: task 'fit' is running, not paused\n")
    assert run("explain", "nobody")[0] == 1


def test_what_can_not_be_meant_is_misuse(house: House, run: Run) -> None:
    assert run("cancel") == (2, "", "jupyter orchestra cancel: which task? give names, or --all\n")
    assert run("pause", "fit", "--all") == (2, "", "jupyter orchestra pause: give names or --all, not both\n")
    for words in (["explode"], [], ["explain"], ["approve"]):
        with pytest.raises(SystemExit) as exit_:
            cli.main(words)
        assert exit_.value.code == 2


def test_the_person_answers_what_a_task_asks(house: House, run: Run) -> None:
    house.dispatch("fit")
    assert run("approve", "fit")[0] == 1
    house.question("fit")
    assert run("explain", "fit")[:2] == (0, "fit is running\n\nrun: rm -rf build\n  rm -rf build\n")
    assert run("decline", "fit", "not", "that")[:2] == (0, "declined: run: rm -rf build\n")
    assert house.view("fit").ask is None
    assert "not that" in repr(house.journal.events[-1])
    house.question("fit")
    assert run("approve", "fit", "--always")[:2] == (0, "approved: run: rm -rf build\n")
    given = house.call(lambda: house.runtime.machine.state.grants.tasks["uid-fit"][-1])
    assert (given.digest, given.by, given.ask) == ("d1", "person", None)
    assert run("approve", "nobody")[0] == 1


def test_leases_are_told(house: House, run: Run) -> None:
    assert run("leases") == (0, "port/3000: held by fit for 2.0 s\n", "")


def test_of_several_notebooks_one_has_to_be_named(build: Callable[..., House], run: Run, tmp_path: Path) -> None:
    paths = [str(tmp_path / name) for name in ("a.ipynb", "b.ipynb")]
    houses = [build(path, f"house-{number}") for number, path in enumerate(paths)]
    houses[1].dispatch("fit")
    code, _, err = run("tasks")
    assert code == 2
    pid = os.getpid()
    assert err == (
        f"jupyter orchestra tasks: 2 kernels are at work: {paths[0]} (process {pid}), {paths[1]} (process {pid}); "
        "say which with --notebook\n"
    )
    assert "fit" in run("tasks", "--notebook", paths[1])[1]
    assert "fit" not in run("tasks", "--notebook", os.path.relpath(paths[0]))[1]
    assert len(run("status")[1].splitlines()) == 2
    code, _, err = run("tasks", "--notebook", "c.ipynb")
    assert code == 1
    assert "no kernel of c.ipynb is at work; there is:" in err
    assert paths[0] in err


def test_a_kernel_that_can_not_be_reached_does_not_hide_the_others(build: Callable[..., House], run: Run) -> None:
    build("/books/good.ipynb", "good")
    bad = build("/books/bad.ipynb", "bad")
    (bad.folder / place.TOKEN).unlink()
    code, out, _ = run("status")
    assert code == 1
    assert "/books/good.ipynb" in out
    assert "the kernel of /books/bad.ipynb" in out
    trouble = {one["notebook"]: one["trouble"] for one in json.loads(run("status", "--json")[1])}
    assert not trouble["/books/good.ipynb"]
    assert "has gone" in trouble["/books/bad.ipynb"]


def test_nothing_that_a_task_says_moves_the_terminal(house: House, run: Run) -> None:
    house.dispatch("fit")
    view = house.view("fit")
    evil = "\x1b]0;owned\x07\x9b2J\u202e\x1b[31mred\r\n"
    house.runtime.board.announce(
        msgspec.structs.replace(view, line=evil, needs_you=evil, reason=evil, version=view.version + 1)
    )
    wait_for(lambda: house.view("fit").needs_you == evil)
    house.explain = lambda name: evil  # type: ignore[method-assign]
    house.door.explain = house.explain
    for words in (["tasks"], ["status"], ["tasks", "--json"], ["status", "--json"], ["explain", "fit"]):
        code, out, _ = run(*words)
        assert code == 0
        assert all(character.isprintable() or character == "\n" for character in out)


def test_the_first_word_is_there_at_once(house: House) -> None:
    house.dispatch("fit")
    assert find()
    command = [sys.executable, "-m", "jupyter_orchestra.cli", "tasks"]
    taken = []
    for _ in range(5):
        start = time.perf_counter()
        said = subprocess.run(command, capture_output=True, text=True, check=True)
        taken.append(time.perf_counter() - start)
        assert "fit" in said.stdout
    assert min(taken) < 0.5  # a quiet machine needs a third of it


def test_a_command_imports_nothing_heavy() -> None:
    heavy = "{'asyncio', 'psutil', 'zmq', 'IPython', 'jupyter_orchestra.core.machine', 'openai'}"
    check = f"import sys, jupyter_orchestra.cli, jupyter_orchestra.cli_tasks; print(*({heavy} & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert said.stdout.split() == []
