from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from live_kernel import LiveKernel, describe, marked, wait_until

Start = Callable[..., LiveKernel]
FIRST_RUN = Path(__file__).parents[2] / "notebooks" / "00_first_run.ipynb"

FOREVER = (
    "import subprocess, time\n"
    "child = subprocess.Popen(['sleep', '987'], start_new_session=True)\n"
    "print('begun', child.pid, flush=True)\ntime.sleep(600)"
)


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    path = tmp_path / "nb.ipynb"
    path.write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    return path


@pytest.fixture
def no_grace(tmp_path: Path) -> None:
    """What runs ends with its kernel."""
    (tmp_path / "pyproject.toml").write_text("[tool.jupyter_orchestra]\ngrace = 0\n")


@pytest.fixture
def inner(tmp_path: Path) -> Path:
    """A notebook that a notebook task runs for ever."""
    path = tmp_path / "inner.ipynb"
    cell = nbformat.v4.new_code_cell("import time\nopen('inner-began', 'w').close()\ntime.sleep(600)")
    spec = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata=spec), path)
    return path


def test_after_a_kill_results_are_kept_and_what_ended_with_the_kernel_is_lost_and_asks(
    start_kernel: Start, notebook: Path, inner: Path, tmp_path: Path, no_grace: None
) -> None:
    first = start_kernel(notebook)
    first.run("base = 20")
    first.run("%%dispatch finished --return twice\ntwice = 2 * base\nprint('said before')\n{'value': twice + 2}")
    first.run("%%dispatch failed-before\n1 / 0")
    first.run("%gather")
    first.run(f"%%dispatch cut-kernel\n{FOREVER}")
    first.run("%%dispatch cut-shell -w shell\necho $$ >> ran-shell; setsid sleep 988 & sleep 600")
    first.run(f"%%dispatch cut-notebook -w notebook\n{inner.name}")
    first.run("%%dispatch cut-loop -w loop\nimport asyncio\nawait asyncio.sleep(600)")
    first.run("%%dispatch after-lost --after cut-kernel\n'after'")
    first.run("%%dispatch react --after cut-shell --when failure -w shell\necho reacted")
    first.until_true("'begun' in jo.task('cut-kernel').stdout")
    wait_until(lambda: (tmp_path / "ran-shell").exists() and (tmp_path / "inner-began").exists())
    assert len(first.processes()) >= 6
    first.kill()
    first.wait_for_no_process()

    second = start_kernel(notebook)
    lost = {"cut-kernel", "cut-shell", "cut-notebook", "cut-loop"}
    assert {second.end(name) for name in lost} == {"lost"}
    told = second.load_text + second.try_run("1").text
    states = second.ask("{task.name: str(task.state) for task in jo.tasks()}")
    assert {name for name, state in states.items() if state == "lost"} == lost
    assert second.end("react") == "done", "lost counts as failed"
    rest = {name: state for name, state in states.items() if name not in lost | {"react"}}
    assert rest == {"finished": "done", "failed-before": "failed", "after-lost": "cancelled"}
    for name in lost:
        assert f"{name} was lost" in told
        assert f"%orchestra retry {name}" in told
    assert second.ask("jo.task('after-lost').error") == "cut-kernel was lost"
    assert second.ask("[jo.task('finished').result, jo.task('finished').stdout, jo.task('finished')['twice']]") == [
        {"value": 42}, "said before\n", 40,
    ]  # fmt: skip
    assert "ZeroDivisionError" in second.run("%task failed-before").text
    assert "said before" in second.run("%task finished").text
    assert (tmp_path / "ran-shell").read_text().count("\n") == 1, "nothing is run again by itself"
    assert "needs you" in second.run("%orchestra status").text
    assert second.fail("jo.task('cut-shell').get()").splitlines()[-1].startswith("TaskLost: ")

    assert "cut-shell is" in second.run("%orchestra retry cut-shell").text
    wait_until(lambda: (tmp_path / "ran-shell").read_text().count("\n") == 2)
    assert second.ask("jo.task('cut-shell').attempt") == 2
    second.run("%cancel cut-shell")
    second.run("%orchestra forget cut-loop cut-notebook")
    assert "no task is called 'cut-loop'" in second.fail("%task cut-loop")
    second.run("%%dispatch afterwards\n'works'")
    second.run("%gather afterwards")
    assert second.ask("jo.task('afterwards').result") == "works"
    second.shut_down()
    second.wait_for_no_process()
    for journal in second.journals:
        assert not list(marked("ORCHESTRA_RUNTIME", journal))


def test_a_lost_kernel_task_keeps_its_snapshot_for_the_retry(
    start_kernel: Start, notebook: Path, tmp_path: Path, no_grace: None
) -> None:
    first = start_kernel(notebook)
    first.run("import numpy as np\nsmall = {'k': 7}\nbig = np.arange(500_000)")
    first.run(
        "%%dispatch again\nimport os, time\nopen('began', 'w').close()\n"
        "while not os.path.exists('go'):\n    time.sleep(0.02)\nsmall['k'], int(big.sum())"
    )
    wait_until((tmp_path / "began").exists)
    first.kill()
    second = start_kernel(notebook)
    assert second.end("again") == "lost"
    (tmp_path / "go").touch()
    second.run("%orchestra retry again")
    second.run("%gather again")
    assert second.ask("jo.task('again').result") == (7, sum(range(500_000)))


def test_queued_and_waiting_tasks_go_on_after_a_kill(start_kernel: Start, notebook: Path, no_grace: None) -> None:
    first = start_kernel(notebook)
    first.run("x = 5")
    first.run("%config Orchestra.kernel_slots = 1")
    first.run(f"%%dispatch holder\n{FOREVER}")
    first.run("%%dispatch queued\nx * 2")
    first.run("%%dispatch waiting --after queued\nresults['queued'] + 1")
    first.until_true("'begun' in jo.task('holder').stdout")
    assert [first.state("queued"), first.state("waiting")] == ["queued", "waiting"]
    first.kill()
    second = start_kernel(notebook)
    assert second.end("holder") == "lost"
    assert second.end("waiting") == "done"
    assert second.ask("[jo.task('queued').result, jo.task('waiting').result]") == [10, 11]


def test_a_result_that_nobody_saw_before_the_kill_is_shown_once_after_it(start_kernel: Start, notebook: Path) -> None:
    first = start_kernel(notebook)
    first.run("h = jo.dispatch('echo nobody saw this', 'unseen', worker='shell')")
    first.until_state("unseen", "done")
    first.kill()
    second = start_kernel(notebook)
    shown = second.load_text + second.run("1").text + second.run("%gather").text + second.run("2").text
    assert shown.count("nobody saw this") == 1
    second.until_true("jo.task('unseen').view.stage == 'shown'")  # that it was is written down now
    second.kill()
    third = start_kernel(notebook)
    assert "nobody saw this" not in third.load_text + third.run("1").text + third.run("%gather").text


def test_a_restart_without_a_notebook_keeps_the_tasks(start_kernel: Start) -> None:
    kernel = start_kernel()
    kernel.run("%%dispatch kept -b\n6 * 7")
    kernel.run("%%dispatch script -w shell\nsleep 600")
    kernel.run(f"%%dispatch code\n{FOREVER}")
    kernel.run("%%dispatch cut -w loop\nimport asyncio\nawait asyncio.sleep(600)")
    kernel.until_true("'begun' in jo.task('code').stdout")
    kernel.until_true("jo.task('script').state == jo.task('cut').state == 'running'")
    kernel.restart()
    assert kernel.try_run("jo").status == "error"
    kernel.load()
    assert kernel.ask("[jo.task('kept').result, str(jo.task('cut').state)]") == [42, "lost"]
    assert kernel.ask("[str(jo.task(name).state) for name in ('script', 'code')]") == ["running", "running"]
    kernel.run("%cancel script code")
    wait_until(lambda: "sleep" not in str(describe(kernel.processes())))
    assert [kernel.end("script"), kernel.end("code")] == ["cancelled", "cancelled"]
    assert len(kernel.journals) == 1


def test_a_clean_end_leaves_neither_process_nor_private_journal(start_kernel: Start) -> None:
    kernel = start_kernel()
    kernel.run(f"%%dispatch busy\n{FOREVER}")
    kernel.run("%%dispatch script -w shell\ntrap '' INT TERM; setsid sleep 989 & sleep 600")
    kernel.until_true("'begun' in jo.task('busy').stdout and jo.task('script').state == 'running'")
    assert len(kernel.journals) == 1
    kernel.shut_down()
    kernel.wait_for_no_process()
    assert kernel.journals == []


def test_a_kernel_that_ends_while_the_orchestra_starts_leaves_nothing(start_kernel: Start) -> None:
    kernel = start_kernel(load=False)
    kernel.run("%load_ext jupyter_orchestra")
    kernel.shut_down()
    kernel.wait_for_no_process()
    assert kernel.journals == []


def test_a_graceful_end_does_not_call_what_it_cut_off_a_failure(start_kernel: Start, notebook: Path) -> None:
    first = start_kernel(notebook)
    first.run("%%dispatch cut -w shell --retry 1\necho x >> tries; sleep 600")
    first.run("%%dispatch react --after cut --when failure -w shell\ntouch reacted")
    wait_until((first.folder / "tries").exists)
    first.shut_down()
    second = start_kernel(notebook)
    assert second.end("cut") == "lost"
    assert (first.folder / "tries").read_text() == "x\n"


def test_a_clean_end_keeps_a_notebooks_journal(start_kernel: Start, notebook: Path) -> None:
    first = start_kernel(notebook)
    first.run("%%dispatch kept -b\n6 * 7")
    first.shut_down()
    first.wait_for_no_process()
    second = start_kernel(notebook)
    assert second.ask("jo.task('kept').result") == 42


def test_a_second_kernel_on_one_notebook_is_private_and_says_so(start_kernel: Start, notebook: Path) -> None:
    first = start_kernel(notebook)
    first.run("%%dispatch mine -b\n1")
    second = start_kernel(notebook)
    told = second.load_text + second.run("1").text
    assert "private" in told
    assert second.ask("[task.name for task in jo.tasks()]") == []
    second.run("%%dispatch mine -b\n2")
    assert "private" in second.run("%orchestra status").text
    assert first.ask("jo.task('mine').result") == 1
    assert len(first.journals) == 2
    second.shut_down()
    assert len(first.journals) == 1
    assert first.ask("jo.task('mine').result") == 1


@pytest.fixture
def cards_alone(tmp_path: Path) -> None:
    """A front end that has no labextension, and says so."""
    (tmp_path / "pyproject.toml").write_text('[tool.jupyter_orchestra]\nfront_end = "live"\n')


def test_without_a_page_the_card_fills_itself_with_the_result(
    start_kernel: Start, notebook: Path, cards_alone: None
) -> None:
    kernel = start_kernel(notebook)
    ran = kernel.run("%%dispatch fills\nprint('came by itself')\n6 * 7")
    kernel.until(lambda: "came by itself" in ran.card)
    assert ran.card.splitlines()[0].startswith("✓ fills · kernel · done in ")
    assert ran.card.splitlines()[-1] == "42"
    later = kernel.run("1").text + kernel.run("%gather").text + kernel.run("2").text
    assert "came by itself" not in later
    assert "came by itself" in kernel.run("%task fills").text
    assert ran.card.splitlines()[-1] == "42", "showing it again leaves the first place as it is"


def test_without_a_page_the_card_has_buttons_while_the_task_runs(
    start_kernel: Start, notebook: Path, cards_alone: None
) -> None:
    kernel = start_kernel(notebook)
    ran = kernel.run("%%dispatch pressed -w shell\nwhile ! test -e go; do sleep 0.02; done; echo over")
    kernel.until(lambda: "application/vnd.jupyter.widget-view+json" in ran.displays[0])
    assert ran.card.startswith("▶ pressed · shell · running")
    kernel.run("open('go', 'w').close()")
    kernel.until(lambda: ran.card.endswith("over"))
    assert "application/vnd.jupyter.widget-view+json" not in ran.displays[0]


def test_without_a_page_a_gathered_result_is_in_the_gathering_cell_and_the_card_says_done(
    start_kernel: Start, notebook: Path, cards_alone: None
) -> None:
    kernel = start_kernel(notebook)
    ran = kernel.run("%%dispatch gathered -w shell\nsleep 0.3; echo came once")
    assert kernel.run("%gather").text.count("came once") == 1
    kernel.until(lambda: ran.card.startswith("✓ gathered · shell · done"))
    assert "came once" not in ran.card
    cancelled = kernel.run("%%dispatch stopped -w shell\nsleep 60")
    kernel.run("%cancel stopped")
    kernel.until(lambda: cancelled.card == "⊘ stopped · shell · cancelled by you")


def test_without_a_page_a_result_fills_its_card_after_an_interrupted_gather(
    start_kernel: Start, notebook: Path, cards_alone: None
) -> None:
    kernel = start_kernel(notebook)
    ran = kernel.run("%%dispatch late -w shell\nwhile ! test -e go; do sleep 0.02; done; echo came after all")
    kernel.run("begun = False")
    gathering = kernel.send("begun = True\n%gather")
    kernel.until_true("begun")
    kernel.ask("__import__('time').sleep(0.3)")
    kernel.interrupt()
    assert kernel.finish(gathering, 2).status == "error"
    kernel.run("open('go', 'w').close()")
    kernel.until(lambda: "came after all" in ran.card)
    assert "came after all" not in kernel.run("%gather").text


def test_without_a_page_a_handle_shows_its_result_once(start_kernel: Start, notebook: Path, cards_alone: None) -> None:
    kernel = start_kernel(notebook)
    kernel.run("h = jo.dispatch('echo from the api', 'plain', worker='shell')")
    kernel.until_state("plain", "done")
    shown = kernel.run("1").text + kernel.run("2").text + kernel.run("%gather").text
    assert shown.count("from the api") == 1


def test_without_a_page_the_first_notebook_shows_the_same(
    start_kernel: Start, notebook: Path, cards_alone: None
) -> None:
    shutil.copytree(FIRST_RUN.parent / "data", notebook.parent / "data", dirs_exist_ok=True)
    kernel = start_kernel(notebook, load=False)
    cells = [cell for cell in nbformat.read(FIRST_RUN, 4).cells if cell.cell_type == "code"]
    rans = [kernel.run(cell.source) for cell in cells]
    for text in ("(0.0, 852.4, ", "(0.3, 849.25, ", "10 880\n", "raise LookupError", "'looked 10 times'"):
        assert sum(ran.shown.count(text) for ran in rans) == 1, text
    images = [data for ran in rans for data in ran.displays if "image/png" in str(data)]
    assert len(images) == 1
    for cell, ran in zip(cells, rans, strict=True):
        if cell.source.startswith("%%dispatch"):
            kernel.until(lambda ran=ran: ran.card.startswith(("✓", "✗", "⊘")))


def test_without_a_page_task_fills_its_own_cell(start_kernel: Start, notebook: Path, cards_alone: None) -> None:
    kernel = start_kernel(notebook)
    kernel.run("h = jo.dispatch('while ! test -e go; do sleep 0.02; done; echo filled in', 'late', worker='shell')")
    ran = kernel.run("%task late")
    assert "▶ late" in ran.card
    kernel.run("open('go', 'w').close()")
    kernel.until(lambda: "filled in" in ran.card)


def test_the_kernels_own_death_by_sigterm_leaves_nothing(start_kernel: Start, no_grace: None) -> None:
    kernel = start_kernel()
    kernel.run(f"%%dispatch busy\n{FOREVER}")
    kernel.until_true("'begun' in jo.task('busy').stdout")
    kernel.manager.signal_kernel(signal.SIGTERM)
    wait_until(lambda: not kernel.manager.is_alive(), 10)
    kernel.shut_down()
    kernel.wait_for_no_process()


def test_a_gather_says_that_the_disk_does_not_take_the_journal(start_kernel: Start, tmp_path: Path) -> None:
    kernel = start_kernel(load=False)
    (tmp_path / "file").touch()
    kernel.run(f"import os\nos.environ['JUPYTER_DATA_DIR'] = {str(tmp_path / 'file')!r}")
    kernel.run("%load_ext jupyter_orchestra")
    assert "blocked: " in kernel.run("%%dispatch held -w shell\necho held").card
    ran = kernel.try_run("%gather --timeout 0.5")
    assert ran.text.count("waiting: the disk does not take the journal") == 1
    assert "GatherTimeout" in ran.error
    (tmp_path / "file").unlink()
    assert "done" in kernel.run("%gather held").text


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("kernel_slot = 3", "has no 'kernel_slot'; did you mean kernel_slots?"),
        ("kernel_slots = 'many'", "kernel_slots"),
        ("kernel_slots = 0", "kernel_slots"),
        ("[", "can't be read"),
        ('[tool.jupyter_orchestra.mcp.files]\ncommand = ["x"]', "not available yet in this version"),
        ("[tool.jupyter_orchestra.resources]\npress = 0", "press"),
        ('[tool.jupyter_orchestra.servers.web]\ncomand = "x"', "did you mean command?"),
    ],
)
def test_a_project_file_that_cannot_be_right_is_one_line_and_the_rest_works(
    start_kernel: Start, tmp_path: Path, settings: str, said: str
) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[tool.jupyter_orchestra]\n{settings}\n")
    kernel = start_kernel()
    assert said in kernel.load_text
    assert kernel.load_text.count("\n") == 1
    assert "done" in kernel.run("%%dispatch fine -w shell -b\ntrue").shown


def activity(kernel: LiveKernel) -> list[str]:
    """The types of the requests that the server's culler would see behind what we send without a cell."""
    kernel.run("import jupyter_orchestra.app as app; app._app.runtime().on_loop(app._app._pulse).result()")
    kernel.run("pass")
    return [header["msg_type"] for header in kernel.strangers if header.get("msg_id") == "jo-activity"]


def test_while_a_task_runs_the_kernel_counts_as_active(start_kernel: Callable[..., LiveKernel]) -> None:
    kernel = start_kernel()
    assert activity(kernel) == []
    kernel.run("jo.dispatch('import time; time.sleep(60)', 'long')")
    kernel.until_state("long", "running")
    assert activity(kernel) == ["execute_request"]
