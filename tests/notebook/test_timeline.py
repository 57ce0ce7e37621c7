from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from live_kernel import LiveKernel

from jupyter_orchestra.core.model import ENDED, Spec, State, Step, Task
from jupyter_orchestra.core.transitions import TRANSITIONS
from jupyter_orchestra.core.views import TaskView, view
from jupyter_orchestra.notebook import timeline as tl
from jupyter_orchestra.notebook.phases import Doing, Phase, Track, critical_path, track
from jupyter_orchestra.notebook.timeline_svg import BARS, STRIPES, draw
from jupyter_orchestra.notebook.timeline_text import write

D, S = Doing, State
SVG = "{http://www.w3.org/2000/svg}"
ODD = "<script>alert(1)</script>&\"'\x1b[31m\x00\ud800\ufffe\u202eevil\u200b]]>"
NEXT: dict[State, list[State]] = {
    state: [to for source, to in TRANSITIONS if source is state] for state in State if state is not S.DONE
}


@st.composite
def stories(draw: st.DrawFn, begin: float = 0.0) -> tuple[Step, ...]:
    steps = [Step(draw(st.floats(begin, begin + 100)), draw(st.sampled_from([S.WAITING, S.QUEUED])))]
    for pause in draw(st.lists(st.floats(0, 50), max_size=12)):
        if steps[-1].state is S.DONE:
            break
        if steps[-1].state in (S.QUEUED, S.RUNNING) and draw(st.booleans()):
            steps.append(Step(steps[-1].at + pause, steps[-1].state, leases=not steps[-1].leases))
        else:
            steps.append(Step(steps[-1].at + pause, draw(st.sampled_from(NEXT[steps[-1].state]))))
    return tuple(steps)


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, Track]:
    found: dict[str, Track] = {}
    for number in range(draw(st.integers(1, 8))):
        after = draw(st.lists(st.sampled_from(list(found)), unique=True)) if found else []
        found[f"t{number}"] = track(draw(stories()), after, 800.0)
    return found


def told(*steps: tuple[float, State]) -> tuple[Step, ...]:
    return tuple(Step(at, state) for at, state in steps)


def ran(since: float, until: float, after: Sequence[str] = (), waited: float | None = None) -> Track:
    begin = since if waited is None else waited
    return track(told((begin, S.WAITING), (since, S.RUNNING), (until, S.DONE)), after, until)


def seen(name: str, story: tuple[Step, ...], order: int = 0, worker: str = "kernel", reason: str = "") -> TaskView:
    task = Task(Spec(f"uid-{name}", name, worker, ""), name, story[-1].state, story[0].at, order=order, reason=reason)
    task.story = list(story)
    task.ended_at = story[-1].at if story[-1].state in ENDED else None
    task.started_at = next((step.at for step in story if step.state is S.RUNNING), None)
    return view(task)


def chained(views: Sequence[TaskView], after: Mapping[str, Sequence[str]]) -> list[TaskView]:
    return [msgspec.structs.replace(one, after_uids=tuple(after.get(one.uid, ()))) for one in views]


def laid_out(
    views: Sequence[TaskView], after: Mapping[str, Sequence[str]] | None = None, now: float = 100.0
) -> tl.Timeline:
    return tl.timeline(chained(views, after or {}), now)


def parsed(timeline: tl.Timeline) -> ET.Element:
    return ET.fromstring(draw(timeline))


# phases


@given(stories())
def test_phases_do_not_overlap_and_cover_all_the_time_from_dispatch_to_end(story: tuple[Step, ...]) -> None:
    now = story[-1].at + 7
    one = track(story, (), now)
    end = story[-1].at if story[-1].state in ENDED else now
    assert one.until == end
    assert all(a.until == b.since for a, b in pairwise(one.phases))
    assert not one.phases or one.phases[0].since == story[0].at
    assert all(phase.since < phase.until for phase in one.phases)
    assert sum(one.spent(doing) for doing in Doing) == pytest.approx(end - story[0].at)


def test_a_story_with_a_pause_and_a_retry_becomes_its_phases() -> None:
    story = told(
        (0, S.WAITING), (1, S.QUEUED), (3, S.RUNNING), (5, S.PAUSED), (9, S.RUNNING), (10, S.FAILED), (15, S.WAITING),
        (15, S.QUEUED), (16, S.RUNNING),
    )  # fmt: skip
    one = track(story, (), 20)
    assert one.phases == (
        Phase(D.WAITING, 0, 1),
        Phase(D.QUEUED, 1, 3),
        Phase(D.RUNNING, 3, 5),
        Phase(D.PAUSED, 5, 9),
        Phase(D.RUNNING, 9, 10),
        Phase(D.OVER, 10, 15),
        Phase(D.QUEUED, 15, 16),
        Phase(D.RUNNING, 16, 20),
    )
    assert one.spent(D.RUNNING) == 7


def test_waiting_for_leases_is_a_phase_of_its_own_in_the_queue_and_while_it_runs() -> None:
    story = (
        Step(0, S.WAITING), Step(1, S.QUEUED, leases=True), Step(5, S.QUEUED), Step(6, S.RUNNING),
        Step(7, S.RUNNING, leases=True), Step(9, S.RUNNING), Step(10, S.DONE),
    )  # fmt: skip
    one = track(story, (), 20)
    assert one.phases == (
        Phase(D.WAITING, 0, 1),
        Phase(D.LEASES, 1, 5),
        Phase(D.QUEUED, 5, 6),
        Phase(D.RUNNING, 6, 7),
        Phase(D.LEASES, 7, 9),
        Phase(D.RUNNING, 9, 10),
    )
    assert (one.spent(D.LEASES), one.spent(D.RUNNING)) == (6, 2)


def test_a_clock_that_goes_back_gives_no_negative_phase() -> None:
    one = track(told((10, S.QUEUED), (12, S.RUNNING), (11, S.PAUSED), (14, S.RUNNING)), (), 13)
    assert one.phases == (Phase(D.QUEUED, 10, 12), Phase(D.PAUSED, 12, 14))


# the critical path


@given(graphs())
def test_the_critical_path_is_never_longer_than_all_took_together(tracks: dict[str, Track]) -> None:
    path = critical_path(tracks)
    makespan = max(one.until for one in tracks.values()) - min(one.since for one in tracks.values())
    assert path.seconds <= makespan + 1e-6
    assert all(before in tracks[after].after for before, after in pairwise(path.uids))
    assert path.seconds >= max(one.spent(D.RUNNING) for one in tracks.values()) - 1e-6


def test_the_critical_path_is_the_chain_that_ran_longest_and_not_the_one_that_waited_longest() -> None:
    tracks = {
        "load": ran(0, 2),
        "fit": ran(2, 8, ["load"], waited=0),
        "plot": ran(8, 9, ["load"], waited=0),
        "report": ran(8, 10, ["fit", "plot"], waited=0),
        "queued": track(told((0, S.QUEUED), (19, S.RUNNING), (20, S.DONE)), (), 20),
    }
    path = critical_path(tracks)
    assert path.uids == ("load", "fit", "report")
    assert path.seconds == 10
    assert path.links() == {("load", "fit"), ("fit", "report")}


def test_what_ran_beside_a_task_before_it_that_was_run_again_counts_once() -> None:
    again = told((0, S.RUNNING), (2, S.FAILED), (6, S.WAITING), (6, S.RUNNING), (9, S.DONE))
    path = critical_path({"a": track(again, (), 9), "b": ran(2, 12, ["a"])})
    assert path.uids == ("b",)
    assert path.seconds == 10


def test_there_is_no_critical_path_before_anything_ran() -> None:
    assert critical_path({}).uids == ()
    assert critical_path({"a": track(told((0, S.WAITING)), ("gone",), 5)}).uids == ()


# what is shown


def test_tasks_from_before_a_long_rest_are_left_to_all() -> None:
    old = seen("old", told((0, S.RUNNING), (10, S.DONE)), 0)
    new = seen("new", told((1000, S.RUNNING), (1500, S.DONE)), 1)
    newer = seen(
        "newer",
        told(
            (2000, S.RUNNING),
        ),
        2,
    )
    assert [one.name for one in tl.recent([old, new, newer], 9000)] == ["new", "newer"]


def test_a_task_that_still_runs_ends_no_rest() -> None:
    still = seen(
        "still",
        told(
            (0, S.RUNNING),
        ),
        0,
    )
    new = seen(
        "new",
        told(
            (5000, S.RUNNING),
        ),
        1,
    )
    assert tl.recent([still, new], 5001) == [still, new]


def test_named_tasks_bring_all_that_they_come_after() -> None:
    views = [
        seen(
            name,
            told(
                (0, S.WAITING),
            ),
            number,
        )
        for number, name in enumerate("abcd")
    ]
    after = {"uid-c": ["uid-b"], "uid-b": ["uid-a", "uid-forgotten"], "uid-d": ["uid-c"]}
    found = tl.with_those_before(["uid-c"], chained(views, after))
    assert [one.name for one in found] == ["a", "b", "c"]


def test_beyond_300_rows_the_newest_are_shown_and_the_others_counted() -> None:
    views = [seen(f"t{i}", told((i, S.RUNNING), (i + 1, S.DONE)), i) for i in range(310)]
    timeline = laid_out(views)
    assert [row.name for row in timeline.rows] == [f"t{i}" for i in range(10, 310)]
    assert "10 older tasks are left out" in draw(timeline)
    assert "10 older tasks are left out" in write(timeline)


# places


@given(st.lists(stories(1e9), min_size=1, max_size=6))
def test_nothing_stands_outside_the_plot_and_bars_go_from_left_to_right(all_steps: list[tuple[Step, ...]]) -> None:
    views = [seen(f"t{number}", story, number) for number, story in enumerate(all_steps)]
    timeline = laid_out(views, now=2e9)
    for row in timeline.rows:
        assert all(a.x + a.width <= b.x + 1e-6 for a, b in pairwise(row.bars))
        assert all(bar.x >= tl.LEFT and bar.x + bar.width <= tl.LEFT + tl.PLOT + 1.001 for bar in row.bars)
        assert tl.TOP <= row.y <= timeline.bottom
    assert all(tl.LEFT <= tick.x <= tl.LEFT + tl.PLOT + 0.001 for tick in timeline.ticks)


def test_a_thousand_short_phases_need_no_more_bars_than_there_are_pixels() -> None:
    steps = [Step(i, S.PAUSED if i % 2 else S.RUNNING) for i in range(100_000)]
    (row,) = laid_out([seen("flicker", tuple(steps))], now=100_000.0).rows
    assert 1 < len(row.bars) <= tl.PLOT + 1


@given(st.floats(0, 1e9))
def test_the_axis_has_a_few_labels_that_all_differ(seconds: float) -> None:
    found = tl.ticks(seconds)
    assert found[0] == (0, found[0][1])
    assert found[-1][0] <= seconds + 1e-6
    assert len({label for _, label in found}) == len(found) <= tl.TICKS + 1


@pytest.mark.parametrize(
    ("seconds", "last"), [(0.35, "0.3 s"), (7, "7 s"), (100, "90 s"), (290, "4 min"), (4000, "60 min"), (2e5, "48 h")]
)
def test_the_axis_counts_in_units_of_its_length(seconds: float, last: str) -> None:
    assert tl.ticks(seconds)[-1][1] == last


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0.0 s"), (59.96, "1 min"), (200, "3 min 20 s"), (3600, "1 h"), (7500, "2 h 5 min"), (90000, "1 d 1 h")],
)
def test_lengths_of_time_are_said_in_two_units_at_most(seconds: float, words: str) -> None:
    assert tl.duration(seconds) == words


def test_a_connector_leads_from_the_end_of_the_one_to_where_the_other_stopped_waiting() -> None:
    views = [
        seen("a", told((0, S.RUNNING), (10, S.DONE)), 0),
        seen("b", told((0, S.WAITING), (10, S.QUEUED), (15, S.RUNNING), (20, S.DONE)), 1),
    ]
    timeline = laid_out(views, {"uid-b": ["uid-a", "uid-gone"]})
    (link,) = timeline.links
    middle = tl.LEFT + tl.PLOT / 2
    assert (link.x1, link.x2, link.critical) == (middle, middle, True)
    assert (link.y1, link.y2) == (timeline.rows[0].y, timeline.rows[1].y)


# the drawing


def test_the_drawing_holds_no_script_no_style_sheet_and_no_reference() -> None:
    views = [
        seen("odd", told((0, S.RUNNING), (2, S.PAUSED), (5, S.FAILED)), 0, worker=ODD, reason=ODD * 50),
        seen("x" * 90, told((0, S.WAITING), (5, S.QUEUED)), 1, worker=ODD),
    ]
    root = parsed(laid_out(views, {views[1].uid: [views[0].uid]}, 9.0))
    assert {element.tag for element in root.iter()} == {
        SVG + tag for tag in ("svg", "g", "title", "text", "rect", "path")
    }
    names = {name for element in root.iter() for name in element.attrib}
    assert names <= {
        "role", "aria-label", "width", "height", "viewBox", "style", "x", "y", "d", "text-anchor", "stroke-width",
        "stroke-dasharray",
    }  # fmt: skip
    styles = "".join(element.get("style", "") for element in root.iter())
    assert "url" not in styles
    assert "<script>" in "".join(root.itertext())  # it is text
    assert "\u202e" not in "".join(root.itertext())


def test_the_drawing_says_what_it_shows() -> None:
    views = [
        seen("load", told((0, S.RUNNING), (2, S.DONE)), 0),
        seen("a-name-that-is-longer-than-its-room", told((0, S.WAITING), (2, S.RUNNING)), 1),
    ]
    timeline = laid_out(views, {views[1].uid: ["uid-load"]}, 6.0)
    root = parsed(timeline)
    assert root.get("role") == "img"
    label = root.get("aria-label")
    assert label is not None
    assert label.startswith("Timeline of 2 tasks over 6.0 s: 1 done, 1 running; critical path: load → a-name-")
    texts = [element.text for element in root.iter(SVG + "text")]
    assert "load" in texts
    assert "✓" in texts
    assert "a-name-that-is-longer…" in texts
    titles = [element.text or "" for element in root.iter(SVG + "title")]
    assert "a-name-that-is-longer-than-its-room · kernel · running" in titles[1]
    assert "waiting 2.0 s, running 4.0 s" in titles[1]


def test_the_text_says_the_same_for_who_sees_no_drawing() -> None:
    views = [
        seen("load", told((0, S.QUEUED), (1, S.RUNNING), (2, S.DONE)), 0),
        seen("fit", told((0, S.WAITING), (2, S.RUNNING), (4, S.FAILED)), 1),
    ]
    lines = write(laid_out(views, {"uid-fit": ["uid-load"]}, 4.0)).splitlines()
    assert lines[1].split() == ["name", "worker", "waiting", "leases", "queued", "running", "paused"]
    assert lines[2].split()[:7] == ["✓*", "load", "kernel", "1.0", "s", "1.0", "s"]
    assert lines[2].endswith("----------██████████")
    assert lines[3].endswith("·" * 20 + "█" * 20)
    assert lines[4] == "* critical path: load → fit, ran 3.0 s"


LEASED = (
    Step(0, S.WAITING), Step(1, S.QUEUED, leases=True), Step(5, S.QUEUED), Step(8, S.RUNNING), Step(10, S.DONE),
)  # fmt: skip


def test_the_drawing_tells_leases_from_slots_by_words_and_stripes() -> None:
    root = parsed(laid_out([seen("fit", LEASED)], now=10.0))
    texts = [element.text for element in root.iter(SVG + "text")]
    assert {"waiting for tasks", "waiting for leases", "waiting for slots", "running"} <= set(texts)
    (row,) = (group for group in root.iter(SVG + "g"))
    assert "waiting 1.0 s, leases 4.0 s, queued 3.0 s, running 2.0 s" in "".join(row.itertext())
    (striped,) = row.findall(SVG + "path")
    assert striped.get("stroke-dasharray")
    assert len({element.get("height") for element in row.findall(SVG + "rect")}) == 4


def test_the_legend_is_inside_the_drawing() -> None:
    root = parsed(laid_out([seen("fit", LEASED)], now=10.0))
    last = next(element for element in root.iter(SVG + "text") if element.text == "critical path")
    assert float(last.get("x") or 0) + 6.7 * len("critical path") < float(root.get("width") or 0)


def test_the_text_tells_leases_from_slots_by_its_signs() -> None:
    lines = write(laid_out([seen("fit", LEASED)], now=10.0)).splitlines()
    assert lines[2].split()[3:] == [
        "1.0",
        "s",
        "4.0",
        "s",
        "3.0",
        "s",
        "2.0",
        "s",
        "····" + "=" * 16 + "-" * 12 + "█" * 8,
    ]
    assert "= waiting for leases" in lines[-1]


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("ground", ["#ffffff", "#1e1e1e"])
def test_where_no_theme_gives_colours_each_phase_still_stands_out(ground: str) -> None:
    styles = [*BARS.values(), *(colour for _, colour in STRIPES.values())]
    own = [found[-1] for style in styles if (found := re.findall(r"#[0-9a-f]{6}", style)) and "--jp-ui" not in style]
    assert len(own) == 4
    for colour in own:
        light, dark = sorted((luminance(colour), luminance(ground)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 3, colour


# in a kernel

CHAIN = """
jo.dispatch('1', 'first')
jo.dispatch('results["first"]', 'second', after=['first'])
jo.dispatch('import time; time.sleep(600)', 'third', after=['second'])
jo.dispatch('4', 'alone')
jo.gather('second', 'alone');
"""


def test_a_cell_shows_the_timeline_as_drawing_and_text(nb: LiveKernel) -> None:
    nb.run(CHAIN)
    nb.until_state("third", "running")
    (shown,) = nb.run("%orchestra timeline").displays
    label = ET.fromstring(shown["image/svg+xml"]).get("aria-label")
    assert label is not None
    assert "4 tasks" in label
    assert "first → second → third" in label
    assert "third" in shown["text/plain"]
    assert shown["text/html"] == shown["image/svg+xml"]
    assert not nb.run("%orchestra timeline").text


def test_a_cell_shows_the_timeline_of_named_tasks_and_those_before_them(nb: LiveKernel) -> None:
    nb.run(CHAIN)
    (shown,) = nb.run("%orchestra timeline second").displays
    assert "first" in shown["text/plain"]
    assert "alone" not in shown["text/plain"]
    (everything,) = nb.run("%orchestra timeline --all").displays
    assert "alone" in everything["text/plain"]


def test_a_timeline_of_nothing_says_so_and_bad_words_are_refused(nb: LiveKernel) -> None:
    assert "no tasks yet" in nb.run("%orchestra timeline").text
    assert "unknown flag --al" in nb.fail("%orchestra timeline --al")
    assert "not both" in nb.fail("%orchestra timeline --all some")
    assert "no task is called" in nb.fail("%orchestra timeline nobody")
