"""Where everything on a timeline stands: rows, bars, connectors and ticks in pixels. It knows no SVG and no kernel."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..core.lines import card
from ..core.model import State
from ..core.views import TaskView
from .phases import CriticalPath, Doing, Phase, Track, critical_path, track

REST = 600.0  # seconds in which nothing went on: what was before is shown with --all alone
ROWS = 300
LINKS = 1000
NAME = 22  # characters of a name that a row has room for
LEFT, PLOT, RIGHT = 160.0, 700.0, 40.0
TOP, BOTTOM = 24.0, 26.0
TICKS = 8
STEPS = (
    0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800,
    3600, 7200, 14400, 21600, 43200, 86400, 172800, 604800, 1209600, 2592000, 7776000, 31536000,
)  # fmt: skip
LENGTHS = ((3600, (60, "min", 1, "s")), (86400, (3600, "h", 60, "min")), (float("inf"), (86400, "d", 3600, "h")))
UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
LEGEND = {
    Doing.WAITING: "waiting for tasks",
    Doing.LEASES: "waiting for leases",
    Doing.QUEUED: "waiting for slots",
    Doing.RUNNING: "running",
    Doing.PAUSED: "paused",
}
PHASES = (Doing.WAITING, Doing.LEASES, Doing.QUEUED, Doing.RUNNING, Doing.PAUSED)


@dataclass(frozen=True)
class Bar:
    """One phase of a row."""

    doing: Doing
    x: float
    width: float


@dataclass(frozen=True)
class Row:
    """One task; ``end`` is the state that it ended in, ``None`` while it goes on; ``x`` is where its bars stop."""

    view: TaskView
    track: Track
    name: str
    title: str
    y: float
    bars: tuple[Bar, ...]
    end: State | None
    x: float
    critical: bool


@dataclass(frozen=True)
class Link:
    """A dependency: from the end of the task before to where the task after it stopped waiting."""

    x1: float
    y1: float
    x2: float
    y2: float
    critical: bool


@dataclass(frozen=True)
class Tick:
    """A moment on the time axis."""

    x: float
    label: str


@dataclass(frozen=True)
class Timeline:
    """A whole timeline. Times are POSIX seconds, lengths pixels; ``height`` leaves room for the legend."""

    since: float
    until: float
    rows: tuple[Row, ...]
    links: tuple[Link, ...]
    ticks: tuple[Tick, ...]
    path: CriticalPath
    path_names: tuple[str, ...]
    notes: tuple[str, ...]
    row_height: float

    @property
    def width(self) -> float:
        return LEFT + PLOT + RIGHT

    @property
    def bottom(self) -> float:
        """Where the rows end."""
        return TOP + self.row_height * len(self.rows)

    @property
    def height(self) -> float:
        return self.bottom + BOTTOM + 16.0 * len(self.notes)

    @property
    def summary(self) -> str:
        """The timeline in a sentence, for who can't see it."""
        counts: dict[State, int] = {}
        for row in self.rows:
            counts[row.view.state] = counts.get(row.view.state, 0) + 1
        states = ", ".join(f"{number} {state}" for state, number in counts.items())
        tasks = f"{len(self.rows)} task{'s' * (len(self.rows) != 1)}"
        words = f"Timeline of {tasks} over {duration(self.until - self.since)}: {states}"
        return f"{words}; {self.path_line}" if self.path.uids else words

    @property
    def path_line(self) -> str:
        """The critical path in words."""
        names = list(self.path_names)
        if len(names) > 8:
            names = [*names[:4], f"… {len(names) - 8} more …", *names[-4:]]
        return f"critical path: {' → '.join(names)}, ran {duration(self.path.seconds)}"


def timeline(views: Sequence[TaskView], now: float) -> Timeline:
    """Lay tasks out.

    Parameters
    ----------
    views
        The tasks, in the order of dispatch.
    now
        Until when what goes on is drawn, POSIX seconds.
    """
    tracks = {view.uid: track(view.story, view.after_uids, now) for view in views}
    path = critical_path(tracks)
    shown = views[-ROWS:]
    since = min((tracks[view.uid].since for view in shown), default=now)
    until = max((tracks[view.uid].until for view in shown), default=now)
    scale = PLOT / max(until - since, 1e-3)
    height = 20.0 if len(shown) <= 40 else 14.0
    rows = {
        view.uid: _row(view, tracks[view.uid], TOP + height * (number + 0.5), since, scale, now, path)
        for number, view in enumerate(shown)
    }
    links = sorted(_links(rows, since, scale, path), key=lambda link: not link.critical)
    notes = []
    if left_out := len(views) - len(shown):
        notes.append(f"{left_out} older tasks are left out: %orchestra timeline NAME... shows some of them")
    if len(links) > LINKS:
        notes.append(f"{len(links) - LINKS} of {len(links)} connectors are left out")
    names = {view.uid: view.name for view in views}
    return Timeline(
        since=since,
        until=until,
        rows=tuple(rows.values()),
        links=tuple(links[:LINKS]),
        ticks=tuple(Tick(LEFT + at * scale, label) for at, label in ticks(until - since)),
        path=path,
        path_names=tuple(names[uid] for uid in path.uids),
        notes=tuple(notes),
        row_height=height,
    )


def recent(views: Sequence[TaskView], now: float) -> list[TaskView]:
    """The tasks since the last long rest: before the first of them nothing went on for ten minutes."""
    found: list[TaskView] = []
    last = 0.0
    for view in sorted(views, key=lambda view: view.dispatched_at):
        if view.dispatched_at - last > REST:
            found = []
        found.append(view)
        last = max(last, (view.ended_at or view.dispatched_at) if view.ended else now)
    return sorted(found, key=lambda view: view.order)


def with_those_before(uids: Iterable[str], views: Sequence[TaskView]) -> list[TaskView]:
    """Tasks and all that they come after, in the order of dispatch."""
    known = {view.uid: view for view in views}
    found: set[str] = set()
    todo = list(uids)
    while todo:
        uid = todo.pop()
        if uid in known and uid not in found:
            found.add(uid)
            todo += known[uid].after_uids
    return [view for view in views if view.uid in found]


def ticks(seconds: float) -> list[tuple[float, str]]:
    """Where the axis of a stretch of time bears which label, seconds from its start."""
    step = next((step for step in STEPS if seconds / step <= TICKS), seconds / TICKS)
    size, unit = next(pair for pair in UNITS if step >= pair[0] or pair[0] == 1)
    count = int(seconds / step + 1e-9)
    return [(number * step, f"{number * step / size:g} {unit}") for number in range(count + 1)]


def duration(seconds: float) -> str:
    """A length of time as a person says it."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    size, unit, small, part = next(words for limit, words in LENGTHS if whole < limit)
    rest = whole % size // small
    return f"{whole // size} {unit}" + (f" {rest} {part}" if rest else "")


def clipped(name: str, room: int = NAME) -> str:
    """A name as far as there is room for it."""
    return name if len(name) <= room else name[: room - 1] + "…"


def _row(view: TaskView, one: Track, y: float, since: float, scale: float, now: float, path: CriticalPath) -> Row:
    spent = [f"{doing} {duration(seconds)}" for doing in PHASES if (seconds := one.spent(doing))]
    attempts = [f"attempt {view.attempt}"] if view.attempt > 1 else []
    return Row(
        view=view,
        track=one,
        name=clipped(view.name),
        title="\n".join([card(view, now), *([", ".join([*spent, *attempts])] if spent or attempts else [])]),
        y=y,
        bars=_bars(one.phases, since, scale),
        end=view.state if view.ended else None,
        x=LEFT + (one.until - since) * scale,
        critical=view.uid in path.uids,
    )


def _bars(phases: Collection[Phase], since: float, scale: float) -> tuple[Bar, ...]:
    """Each phase at least a pixel wide; what would be hidden behind the one before it is left out."""
    found: list[Bar] = []
    edge = 0.0
    for phase in phases:
        x, end = LEFT + (phase.since - since) * scale, LEFT + (phase.until - since) * scale
        if phase.doing in PHASES and end > edge:
            x = max(x, edge)
            found.append(Bar(phase.doing, x, max(1.0, end - x)))
            edge = x + found[-1].width
    return tuple(found)


def _links(rows: Mapping[str, Row], since: float, scale: float, path: CriticalPath) -> Iterable[Link]:
    critical = path.links()
    for uid, row in rows.items():
        released = row.track.released_at()
        for other in row.track.after:
            if (source := rows.get(other)) is not None:
                x1 = LEFT + (min(source.track.until, released) - since) * scale
                x2 = LEFT + (released - since) * scale
                yield Link(x1, source.y, x2, row.y, (other, uid) in critical)
