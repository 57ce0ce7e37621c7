from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hostile import CONTROLS, DESYNC, HTML
from talk import COMPOSED, SPOKEN, turn
from test_cells import validate, view

from jupyter_orchestra.bridge.contents import Contents
from jupyter_orchestra.bridge.replies import NAMED, QUOTED, master_cell, reply_cell
from jupyter_orchestra.clean.replies import reply_data
from jupyter_orchestra.clean.untrusted import LIMIT, clean_markdown
from jupyter_orchestra.core.lines import SHOWN
from jupyter_orchestra.core.model import Anchor, State
from jupyter_orchestra.core.replies import reply_markdown, reply_text

HOSTILE = [*HTML.values(), *DESYNC.values(), *CONTROLS.values()]


def test_a_reply_is_laid_out_calls_first_then_what_was_said_then_why_it_ended() -> None:
    parts = "# Found\n\n- a", ["dispatched scan_1, tests"], "stopped by you"
    cleaned = clean_markdown(reply_markdown(*parts))
    assert cleaned == "▸ dispatched scan_1, tests\n\n# Found\n\n- a\n\n*stopped by you*\n"
    assert reply_text(*parts) == "▸ dispatched scan_1, tests\n\n# Found\n\n- a\n\nstopped by you"


def test_calls_are_words_on_a_line_each() -> None:
    lines = ["a *b* <b>\n# c", "- d\x1b[31m"]
    assert clean_markdown(reply_markdown("", lines)) == "▸ a \\*b\\* &lt;b> # c\\\n▸ - d\n"
    assert reply_text("", lines) == "▸ a *b* <b> # c\n▸ - d"


@pytest.mark.parametrize("fence", ["```", "~~~~", "```python"])
def test_a_code_fence_that_was_cut_ends_before_the_reason(fence: str) -> None:
    cleaned = clean_markdown(reply_markdown(f"see\n\n{fence}\nx = 1", [], "the connection was cut"))
    assert cleaned.endswith("x = 1\n```\n\n*the connection was cut*\n")
    whole = f"see\n\n{fence}\nx = 1\n{fence[:4].strip('python')}"
    assert clean_markdown(reply_markdown(whole, [], "cut")).endswith("x = 1\n```\n\n*cut*\n")


@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_a_model_says_is_clean(text: str) -> None:
    data = reply_data(text, [text], text, text)
    assert clean_markdown(data["text/markdown"]) == data["text/markdown"]
    source = master_cell(turn(text=text, lines=(text,), reason=text, said=(text,)), []).source
    assert clean_markdown(source).rstrip("\n") == source


def test_two_megabytes_of_reply_are_bounded() -> None:
    data = reply_data("word " * 400_000, [])
    assert len(data["text/markdown"].encode()) <= LIMIT
    assert len(data["text/plain"]) < SHOWN + 200


def test_a_reply_for_its_cell_names_the_display_that_it_fills() -> None:
    cell = reply_cell(turn(lines=("dispatched scan",)))
    validate(cell)
    (output,) = cell.outputs
    assert output["metadata"] == {"orchestra": {"reply": SPOKEN.display}}
    assert output["data"]["text/markdown"] == "▸ dispatched scan\n\n**Two** failed.\n"
    mark = cell.metadata["orchestra"]
    assert (mark["kind"], mark["uid"], mark["attempt"], mark["cell"]) == ("reply", "m1", 1, "chat-1")


def test_a_wake_speaks_in_a_cell_of_its_own_among_the_results_of_the_cell_that_it_speaks_of() -> None:
    about = [view(name="scan"), view(name="tests", uid="u2", dispatched_at=5.0), view(name="scan")]
    cell = master_cell(turn(anchor=None, wake=True, number_of_cell=7), about)
    validate(cell)
    assert (cell.id, cell.cell_type) == ("jo-master-7", "markdown")
    assert cell.source == "#### ◆ master · on scan, tests\n\n**Two** failed."
    mark = cell.metadata["orchestra"]
    assert (mark["kind"], mark["cell"], mark["cohort"], mark["at"]) == ("master", "cell-1", "c1", 1.0)


def test_a_heading_names_only_so_many_tasks() -> None:
    about = [view(name=f"t{n}") for n in range(NAMED + 3)]
    assert master_cell(turn(anchor=None), about).source.startswith("#### ◆ master · on t0, t1, ")
    assert " and 3 more\n" in master_cell(turn(anchor=None), about).source


def test_a_reply_to_the_composer_quotes_the_question() -> None:
    cell = master_cell(turn(anchor=COMPOSED, said=("what *is* it?\n\n# now",)), [])
    assert cell.source == "#### ◆ master\n\n> what \\*is\\* it?\\\n> \\# now\n\n**Two** failed."
    assert cell.metadata["orchestra"]["cell"] == ""
    assert len(master_cell(turn(said=("x" * 10 * QUOTED,)), []).source) < QUOTED + 200


def test_the_cells_of_two_turns_and_of_two_tries_have_ids_of_their_own() -> None:
    turns = [turn(), turn(tries=2), turn(uid="m2"), turn(number_of_cell=4)]
    assert len({master_cell(one, []).id for one in turns}) == 4


class World:
    """The tasks that are announced, and a machine that knows the cohort of each."""

    def __init__(self, *views: Any) -> None:
        self.views = {one.uid: one for one in views}
        self.posted: list[Any] = []
        self.board = SimpleNamespace(get=self.views.get)
        self.machine = SimpleNamespace(cohort=lambda cohort: [one for one in views if one.cohort == cohort])
        self.runtime = self
        self.contents = Contents(self)  # type: ignore[arg-type]

    def now(self) -> float:
        return 9.0

    def post(self, event: Any) -> None:
        self.posted.append(event)


def test_a_reply_is_a_parcel_for_the_cell_in_which_the_person_spoke() -> None:
    contents = World().contents
    parcel = contents.reply(turn())
    assert (parcel.key, parcel.notebook, parcel.session) == (("m1", 1), "/home/ada/nb.ipynb", "s1")
    assert (parcel.cell, parcel.into, parcel.filled, parcel.cohort) == ("chat-1", "chat-1", False, "e1")
    content = contents.get("m1", 1)
    assert content is not None
    assert [cell.cell_type for cell in content.cells(anchored=True)] == ["code"]
    assert [cell.cell_type for cell in content.cells(anchored=False)] == ["markdown"], "its cell was deleted"
    assert not content.is_last(lambda key: False), "it replaces nothing"


def test_a_reply_holds_up_no_result_of_the_same_cell() -> None:
    world = World()
    result = world.contents.parcel(view(anchor=SPOKEN))
    assert world.contents.reply(turn()).lane != result.lane
    assert world.contents.parcel(view(uid="u2", anchor=SPOKEN)).lane == result.lane


def test_a_wake_is_a_parcel_for_below_the_results_that_it_speaks_of() -> None:
    last = view(uid="u2", name="tests", cohort="c2", anchor=Anchor("/home/ada/nb.ipynb", "d2", "", {"session": "s2"}))
    world = World(view(name="scan"), last)
    woken = turn(anchor=None, wake=True, results=(("u1", 2), ("gone", 1), ("u2", 2)))
    parcel = world.contents.reply(woken)
    assert (parcel.notebook, parcel.cell, parcel.into, parcel.session) == ("/home/ada/nb.ipynb", "d2", "", "s2")
    content = world.contents.get("m1", 1)
    assert content is not None
    assert content.cohort == "c2"
    assert content.is_last(lambda key: False)
    assert content.cells(anchored=True)[0].source.startswith("#### ◆ master · on scan, tests\n")


def test_what_is_left_of_an_earlier_run_stays_while_tasks_of_the_present_one_run() -> None:
    woken = turn(anchor=None, wake=True, results=(("u1", 2),))
    world = World(view(), view(uid="u2", state=State.RUNNING, stage=None))
    world.contents.reply(woken)
    content = world.contents.get("m1", 1)
    assert content is not None
    assert not content.is_last(lambda key: True)


def test_a_reply_that_was_tried_again_is_out_of_date() -> None:
    contents = World().contents
    contents.reply(turn())
    contents.reply(turn(tries=2))
    assert contents.get("m1", 1) is None
    assert contents.get("m1", 2) is not None


def test_a_reply_that_stands_in_a_document_is_shown() -> None:
    world = World()
    world.contents.reply(turn())
    world.contents.shown("m1", 1)
    (event,) = world.posted
    assert (event.uid, event.attempt) == ("m1", 1)
    assert world.contents.get("m1", 1) is None


def test_the_results_of_tasks_come_the_same_way() -> None:
    world = World(view(), view(uid="u2", cohort=""), view(uid="u3", stage=None))
    assert world.contents.get("u1", 1) is None, "an earlier attempt"
    assert world.contents.get("u3", 2) is None, "nothing is due"
    content, alone = world.contents.get("u1", 2), world.contents.get("u2", 2)
    assert content is not None
    assert alone is not None
    assert content.cohort == "c1"
    assert alone.is_last(lambda key: False)
