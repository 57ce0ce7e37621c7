from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from live_kernel import LiveKernel

INTERRUPTED = """
import sys
class Interrupting:
    def __init__(self, stream): self.stream, self.seen = stream, 0
    def write(self, text):
        self.stream.write(text)
        self.seen += "said" in text
        if self.seen == 3:
            self.seen = 0
            raise KeyboardInterrupt
    def __getattr__(self, name): return getattr(self.stream, name)
plain, sys.stdout = sys.stdout, Interrupting(sys.stdout)
try:
    get_ipython().run_line_magic("gather", "")
except KeyboardInterrupt:
    print("interrupted")
finally:
    sys.stdout = plain
"""


def test_an_interrupt_while_results_are_printed_loses_none_of_them(nb: LiveKernel) -> None:
    nb.run("hs = [jo.dispatch(f\"print('said {i}')\", f'line{i}') for i in range(8)]")
    cells = [nb.run(INTERRUPTED), nb.run("pass"), nb.run("%gather")]
    text = "\n".join(cell.text for cell in cells)
    assert "interrupted" in cells[0].text
    assert [i for i in range(8) if f"said {i}" not in text] == []


def test_a_cell_that_captures_what_another_cell_says_takes_no_result(nb: LiveKernel) -> None:
    nb.run("%%dispatch brought -w shell\necho came-back")
    assert nb.end("brought") == "done"
    captures = nb.run("%%capture caught\nprint('said')")
    assert (captures.text.count("came-back"), nb.ask("caught.stdout")) == (1, "said\n")
    nb.run("%%dispatch again -w shell\necho came-again")
    assert nb.end("again") == "done"
    blank = nb.run("get_ipython().run_cell(' ');")
    assert blank.text.count("came-again") == 1
    assert "came-" not in nb.run("1").text


def test_a_badly_typed_option_leaves_the_journal_readable(
    tmp_path: Path, start_kernel: Callable[..., LiveKernel]
) -> None:
    notebook = tmp_path / "nb.ipynb"
    first = start_kernel(notebook)
    first.run("jo.dispatch('1', 'odd', replace=1).get()")
    assert "must be text" in first.fail("jo.dispatch('1', name=5)")
    first.run("jo.dispatch('2', 'good').get()")
    first.kill()
    second = start_kernel(notebook)
    assert second.ask("[jo.task('odd').result, jo.task('good').result]") == [1, 2]


def test_returned_variables_are_there_in_the_cell_that_waited(nb: LiveKernel) -> None:
    assert nb.ask("(jo.dispatch('got = 5', returns=['got']).get(), got)[1]") == 5
    assert nb.ask("(jo.gather(jo.dispatch('joined = 6', returns='joined')), joined)[1]") == 6
    nb.run("late = await jo.dispatch('waited = 7', returns='waited')\nassert waited == 7")
    assert nb.ask("waited") == 7
    assert nb.run("(jo.dispatch('mine = 8', returns='mine').get(), mine)[1]").value == "8"


def test_returned_variables_come_back_with_the_task_after_a_crash(
    tmp_path: Path, start_kernel: Callable[..., LiveKernel]
) -> None:
    notebook = tmp_path / "nb.ipynb"
    first = start_kernel(notebook)
    first.run("jo.dispatch('kept = [1, 2]', 'keep', returns='kept').get()")
    first.kill()
    second = start_kernel(notebook)
    second.run("%task keep")
    assert second.ask("kept") == [1, 2]


def test_a_task_can_not_dispatch(nb: LiveKernel) -> None:
    for body in ("import jupyter_orchestra as jo; jo.dispatch('1')", "%load_ext jupyter_orchestra"):
        assert "dispatch from the notebook" in nb.ask(f"(h := jo.dispatch({body!r})).wait() and h.error")


def test_a_notebook_that_a_task_runs_does_not_take_itself_for_the_persons(
    tmp_path: Path, start_kernel: Callable[..., LiveKernel]
) -> None:
    kernel = start_kernel(tmp_path / "outer.ipynb")
    kernel.run(
        "import nbformat\n"
        "cells = ['%load_ext jupyter_orchestra', '%%dispatch inner\\nprint(\"MARK\")', '%gather', '1']\n"
        "nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])\n"
        "nbformat.write(nb, 'inner.ipynb')"
    )
    kernel.run("%%dispatch run -w notebook\ninner.ipynb")
    kernel.run("%gather run")
    assert kernel.state("run") == "done"
    assert kernel.ask("open(jo.task('run').result).read().count('MARK\\\\n')") == 1


def test_a_name_stays_with_the_newer_task_when_the_older_one_is_announced_late(nb: LiveKernel) -> None:
    lost = nb.ask(
        "sum(not (jo.dispatch('import time; time.sleep(9)', 'twice', replace=True)"
        " and jo.task('twice').state in ('queued', 'running')) for _ in range(20))"
    )
    assert lost == 0


UNLOADABLE = """%%dispatch odd --return e
class MyError(Exception):
    def __init__(self, a, b): super().__init__(a)
e = MyError(1, 2)
print("said")
e"""


def test_a_value_that_can_not_be_loaded_here_hides_nothing_else(nb: LiveKernel) -> None:
    nb.run(UNLOADABLE)
    before = nb.run("%%dispatch fine --return after_it --after odd\nafter_it = 5\n6")
    cell = nb.run("got = %gather odd fine")
    assert "said" in before.text + cell.text  # with whichever cell came first
    assert nb.run("[type(got[0]).__name__, got[1], after_it]").value == "['ValueGoneError', 6, 5]"
    assert "can't be loaded here" in nb.fail("jo.task('odd').result")


def test_a_forked_child_that_runs_to_the_end_adds_no_result(nb: LiveKernel) -> None:
    nb.run("%%dispatch forks\nimport os\nchild = os.fork()\nif child: os.waitpid(child, 0)\n'once'")
    assert str(nb.run("%gather").shown).count("'once'") == 1


def test_a_bash_cell_leaves_nothing_behind(nb: LiveKernel) -> None:
    nb.run("%%dispatch bash\n%%bash\necho hi")
    nb.run("%gather bash")
    assert nb.ask("jo.task('bash').view.result.notes") == ()


def test_a_functions_own_variables_are_not_mistaken_for_the_notebooks(nb: LiveKernel) -> None:
    nb.run("y = 1\ndef local(): y = 100; return jo.dispatch('y', 'local')\ndef fine(): return jo.dispatch('y', 'fine')")
    assert "'y' belongs to the function that dispatches" in nb.fail("local()")
    assert nb.run("fine().get()").value == "1"
    nb.run("import math\ndef same(): import math; z = y; return jo.dispatch('math.sqrt(y)', 'same')")
    assert nb.run("same().get()").value == "1.0"
