"""How a kernel comes to its journal: the notebook's own, or a private one and why; knows nothing of events."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from weakref import WeakValueDictionary

from . import location, owner, trouble
from .journal import Journal
from .opening import Newer, Opening
from .writer import Change, Writer

_open: WeakValueDictionary[Path, Journal] = WeakValueDictionary()  # of this process
_opening = threading.Lock()


class Waiting(Exception):
    """The journal that this process had before still waits for the disk."""


def open_journal(
    notebook: Path | None,
    kernel: str,
    *,
    base: Path | None = None,
    on_blocked: Callable[[str], None] = lambda reason: None,
    on_freed: Callable[[], None] = lambda: None,
    readable: Callable[[bytes], bool] = lambda snapshot: True,
    also: Callable[[Path], None] = lambda folder: None,
    delay: float = 0.03,
    retry: tuple[float, float] = (0.5, 2.0),
) -> Journal:
    """Open the journal of a notebook; always gives one that takes events.

    While the disk is full or read-only, what it takes waits in memory and `on_blocked` is told why. Where another
    living kernel owns the notebook's journal, or a newer version wrote it, the kernel gets a private one; ``notices``
    says so. What is damaged, or has a snapshot that is not `readable`, is set aside, and ``notices`` says so.

    Parameters
    ----------
    notebook : Path or None
        Without one, the journal is the kernel's own and private: it goes when the kernel ends. That of a kernel that
        was killed stays for a week, for a restart of it; then whoever opens a journal next removes it.
    kernel : str
        What a restart of the kernel keeps, such as the path of its connection file.
    base : Path, optional
        The folder of all journals; by default :func:`jupyter_orchestra.journal.location.base`.
    on_blocked : callable
        Called on the writer's thread with one line that says what to do, once each time the disk fails.
    on_freed : callable
        Called on the writer's thread when it takes everything again.
    readable : callable
        Whether the program can decode this snapshot. Where it can't, the journal is set aside and a new one begins.
    also : callable
        Called on the writer's thread with the folder of each dead kernel's journal just before that is removed, to
        remove what belongs to it elsewhere.
    delay : float
        Seconds that an event may wait for others when no barrier asks for it.
    retry : (float, float)
        Seconds until the first attempt to write again, and the most between later ones.
    """
    root = location.base(notebook) if base is None else base
    own = location.private(root, kernel)
    place = own if notebook is None else location.find(root, notebook)
    opening, connection, error = _first(place, own.folder, [], readable)
    found = opening.found.last if opening.found else (0, 0)
    writer = Writer(
        opening.path, opening.again, connection, found,
        trouble=error, on_blocked=on_blocked, on_freed=on_freed, delay=delay, retry=retry,
    )  # fmt: skip
    journal = Journal(opening, writer)
    with _opening:
        _open[journal.folder] = journal
    writer.add(Change(lambda *_: None, lambda: _tidy(opening, journal, root, also)))
    return journal


def _first(
    place: location.Place, own: Path, notices: list[str], readable: Callable[[bytes], bool]
) -> tuple[Opening, sqlite3.Connection | None, Exception | None]:
    """Open `place`, else a private one in or beside `own`, else nothing yet: the error says why."""
    with _opening:
        before = _open.pop(place.folder, None)
    opening = Opening(place, notices, readable)
    try:
        if before is not None and not before.ended and not before.close(delete=False, timeout=1.0):
            raise Waiting(before.blocked)
        return opening, opening.connect(), None
    except Waiting as waiting:
        notices.append(
            f"this notebook's journal still waits to be written ({waiting}):"
            " until the kernel is restarted, a private journal is used, which goes when it ends"
        )
    except owner.Held as held:
        notices.append(
            f"another kernel (process {held.owner.pid}) works on this notebook:"
            " this one has a private journal, which goes when it ends; shut one of the two down to keep one journal"
        )
    except Newer:
        notices.append(
            "a newer version of jupyter_orchestra wrote this notebook's journal: update it here;"
            " until then this kernel has a private journal, which goes when it ends"
        )
    except (sqlite3.Error, OSError, trouble.Changed) as error:
        opening.peek()
        return opening, None, error
    number, folder = 0, own
    while folder == place.folder or (owner.look(folder).alive and not owner.look(folder).here):
        number += 1
        folder = own.with_name(f"{own.name}-{number}")
    return _first(location.Place(folder, private=True), own, notices, readable)


def _tidy(opening: Opening, journal: Journal, root: Path, also: Callable[[Path], None]) -> None:
    """On the writer's thread, once the journal is open: remove what kills left."""
    journal.epoch = max(journal.epoch, opening.epoch)
    location.sweep(root, also=also)
