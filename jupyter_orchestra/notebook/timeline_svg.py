"""Draws a timeline as an SVG that holds no script, no style sheet, no id and no reference; it decides no place."""

from __future__ import annotations

import unicodedata
from xml.sax.saxutils import escape, quoteattr

from ..core.lines import MARKS
from ..core.model import State
from .phases import Doing
from .timeline import LEFT, LEGEND, PHASES, TOP, Bar, Link, Row, Timeline

# A front end that shows an SVG as an image hands no colours in: then these stand on a ground of their own.
GROUND = "fill:var(--jp-layout-color0,var(--vscode-editor-background,#fff))"
INK = "var(--jp-ui-font-color1,var(--vscode-editor-foreground,#212121))"
TEXT = f"fill:{INK}"
FAINT = "fill:var(--jp-ui-font-color2,var(--vscode-descriptionForeground,#616161))"
LINE = f"stroke:{INK};stroke-opacity:.2"
# Each stands out from a light ground and from a dark one by 3 to 1 at least; shape and height tell them apart as well.
BARS = {
    Doing.WAITING: f"fill:{INK};fill-opacity:.6",
    Doing.QUEUED: "fill:var(--jp-warn-color0,#c75b00)",
    Doing.RUNNING: "fill:var(--jp-brand-color1,#1976d2)",
}
STRIPES = {  # the stripes of what is hatched, and its frame
    Doing.LEASES: ("4 3", "var(--jp-info-color1,#0b8a99)"),
    Doing.PAUSED: ("2 3", "var(--jp-brand-color1,#1976d2)"),
}
ENDS = {
    State.DONE: "fill:var(--jp-success-color1,#388e3c)",
    State.FAILED: "fill:var(--jp-error-color1,#d32f2f)",
    State.CANCELLED: FAINT,
    State.LOST: "fill:var(--jp-error-color1,#d32f2f)",
}
SHARES = {  # of a row's height
    Doing.WAITING: 0.15, Doing.LEASES: 0.45, Doing.QUEUED: 0.3, Doing.RUNNING: 0.6, Doing.PAUSED: 0.6,
}  # fmt: skip
TITLE = 600  # characters of a tooltip


def draw(timeline: Timeline) -> str:
    """The SVG."""
    width, height = _number(timeline.width), _number(timeline.height)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label={quoteattr(plain(timeline.summary))} '
        f'width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'style="max-width:100%;height:auto;font:11px var(--jp-code-font-family,monospace)">',
        f'<rect width="{width}" height="{height}" style="{GROUND}"/>',
    ]
    parts += _axis(timeline)
    parts += [_link(link) for link in timeline.links]
    for row in timeline.rows:
        parts += _row(row, timeline.row_height)
    parts += _foot(timeline)
    return "".join([*parts, "</svg>"])


def bundle(timeline: Timeline, text: str) -> dict[str, str]:
    """The drawing for every kind of front end: as HTML it follows the theme and has tooltips, as an SVG it is an image.

    All that it says of a task is escaped.
    """
    svg = draw(timeline)
    return {"text/html": svg, "image/svg+xml": svg, "text/plain": text}


def plain(text: str) -> str:
    """A text without what XML can't hold or what would turn the reading direction; its lines stay."""
    return "".join(char if char == "\n" or unicodedata.category(char)[0] != "C" else " " for char in text)[:TITLE]


def _axis(timeline: Timeline) -> list[str]:
    parts = []
    for tick in timeline.ticks:
        x = _number(tick.x)
        parts.append(f'<path d="M{x} {TOP - 4:g}V{_number(timeline.bottom)}" style="{LINE}"/>')
        parts.append(_text(tick.x, TOP - 9, tick.label, FAINT, "middle"))
    return parts


def _row(row: Row, height: float) -> list[str]:
    weight = ";font-weight:bold" if row.critical else ""
    parts = [
        f"<g><title>{escape(plain(row.title))}</title>",
        _text(LEFT - 10, row.y + 4, row.name, TEXT + weight, "end"),
        *(_bar(bar, row.y, height * SHARES[bar.doing], row.critical) for bar in row.bars),
    ]
    if row.end is not None:
        parts.append(_text(row.x + 4, row.y + 4, MARKS[row.end], ENDS[row.end] + ";font-weight:bold"))
    return [*parts, "</g>"]


def _bar(bar: Bar, y: float, height: float, critical: bool = False) -> str:
    top = _number(y - height / 2)
    x, width = _number(bar.x), _number(bar.width)
    box = f'x="{x}" y="{top}" width="{width}" height="{height:g}"'
    if bar.doing in STRIPES:
        dashes, colour = STRIPES[bar.doing]
        line = f"M{x} {_number(y)}H{_number(bar.x + bar.width)}"
        frame = f'<rect {box} style="fill:none;stroke:{colour}"/>' if bar.doing is Doing.LEASES else ""
        style = f'stroke-width="{height:g}" stroke-dasharray="{dashes}" style="stroke:{colour}"'
        return f'{frame}<path d="{line}" {style}/>'
    rim = f";stroke:{INK};stroke-width:1.5" if critical and bar.doing is Doing.RUNNING else ""
    return f'<rect {box} style="{BARS[bar.doing]}{rim}"/>'


def _link(link: Link) -> str:
    path = f"M{_number(link.x1)} {_number(link.y1)}V{_number(link.y2)}H{_number(link.x2)}"
    strength = "stroke-width:2" if link.critical else "stroke-width:1;stroke-opacity:.45"
    return f'<path d="{path}" style="fill:none;stroke:{INK};{strength}"/>'


def _foot(timeline: Timeline) -> list[str]:
    y, x = timeline.bottom + 16, 10.0
    parts = []
    for doing in PHASES:
        parts.append(_bar(Bar(doing, x, 18), y - 4, 20 * SHARES[doing]))
        parts.append(_text(x + 23, y, LEGEND[doing], FAINT))
        x += 42 + 6.7 * len(LEGEND[doing])
    if timeline.path.uids:
        parts.append(_bar(Bar(Doing.RUNNING, x, 18), y - 4, 12, critical=True))
        parts.append(_text(x + 23, y, "critical path", FAINT))
    for number, note in enumerate(timeline.notes, 1):
        parts.append(_text(LEFT, y + 16 * number, note, FAINT))
    return parts


def _text(x: float, y: float, text: str, style: str, anchor: str = "start") -> str:
    where = f'x="{_number(x)}" y="{_number(y)}" text-anchor="{anchor}"'
    return f'<text {where} style="{style}">{escape(plain(text))}</text>'


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
