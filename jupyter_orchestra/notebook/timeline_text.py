"""Writes a timeline as plain text, for front ends and runners that show no SVG; it decides no place."""

from __future__ import annotations

import time

from ..core.lines import MARKS
from .cards import NO_TASKS
from .phases import Doing
from .timeline import LEFT, LEGEND, PHASES, PLOT, Row, Timeline, clipped, duration
from .timeline_svg import plain

COLUMNS = 40
SIGNS = {Doing.WAITING: "·", Doing.LEASES: "=", Doing.QUEUED: "-", Doing.RUNNING: "█", Doing.PAUSED: "▒"}


def write(timeline: Timeline) -> str:
    """The table: a task a line, with how long it was in which phase, and its bar."""
    if not timeline.rows:
        return NO_TASKS
    head = ("", "name", "worker", *map(str, PHASES))
    rows = [head, *(_cells(row) for row in timeline.rows)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    bars = ["", *(_bar(row) for row in timeline.rows)]
    start = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(timeline.since))
    lines = [f"from {start} on, {duration(timeline.until - timeline.since)}"]
    for cells, bar in zip(rows, bars, strict=True):
        lines.append("  ".join([*(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)), bar]).rstrip())
    if timeline.path.uids:
        lines.append(f"* {timeline.path_line}")
    signs = ", ".join(f"{sign} {LEGEND[doing]}" for doing, sign in SIGNS.items())
    return "\n".join([*lines, *timeline.notes, signs])


def _cells(row: Row) -> tuple[str, ...]:
    mark = MARKS[row.view.state] + ("*" if row.critical else "")
    worker = clipped(" ".join(plain(row.view.worker).split()))
    spent = (row.track.spent(doing) for doing in PHASES)
    return mark, row.name, worker, *(duration(seconds) if seconds else "" for seconds in spent)


def _bar(row: Row) -> str:
    """Its bar in signs; what is shorter than a column still gets one."""
    line = [" "] * COLUMNS
    for bar in row.bars:
        first, last = (round((x - LEFT) / PLOT * COLUMNS) for x in (bar.x, bar.x + bar.width))
        for column in range(min(first, COLUMNS - 1), min(max(last, first + 1), COLUMNS)):
            line[column] = SIGNS[bar.doing]
    return "".join(line).rstrip()
