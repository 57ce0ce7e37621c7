"""Which names new tasks get and which tasks their ``after`` means; it reads the state and changes nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from difflib import get_close_matches

from .model import Spec, Task

Find = Callable[[str], Task | None]
_NO_ID = re.compile(r"[^A-Za-z0-9_-]")
LONGEST_SAID = 60  # characters of an unknown name that its refusal repeats
After = dict[str, tuple[tuple[str, str], ...]]  # uid -> (label, uid) of each task before it


class Refusal(Exception):
    """Ends the handling of a request before anything has changed; says why and what to do."""


def choose_names(specs: Iterable[Spec], find: Find, stems: dict[str, int]) -> tuple[list[str], dict[str, int]]:
    """The name of each new task, and the numbers that made-up names got. Raises Refusal for one that a live task bears.

    `stems` says which numbers they have got so far, so that the search for a free one does not begin anew.
    """
    chosen: dict[str, None] = {}
    used: dict[str, int] = {}
    for spec in specs:
        name = _free_name(spec.name, chosen, find, used, stems) if spec.auto else spec.name
        if name in chosen:
            raise Refusal(f"two tasks are called {name!r}: give each a name of its own")
        holder = find(name)
        if holder is not None and not holder.ended and not spec.replace:
            raise Refusal(
                f"task {name!r} is still {holder.state}: choose another name, wait for it (%gather {name}), "
                f"cancel it (%cancel {name}), or start anew with --replace"
            )
        chosen[name] = None
    return list(chosen), used


def _free_name(stem: str, chosen: Collection[str], find: Find, used: dict[str, int], stems: dict[str, int]) -> str:
    name, n = stem, max(1, used.get(stem, stems.get(stem, 1)))
    while name in chosen or ((holder := find(name)) is not None and not holder.ended):
        n += 1
        name = f"{stem[: 39 - len(str(n))]}-{n}"
        used[stem] = n
    return name


def resolve(specs: tuple[Spec, ...], names: list[str], find: Find, known: Iterable[str]) -> After:
    """The tasks that each new one comes after. Raises Refusal for an unknown one and for a cycle."""
    fresh = {name: spec.uid for name, spec in zip(names, specs, strict=True)}
    after: After = {}
    for spec, name in zip(specs, names, strict=True):
        after[spec.uid] = tuple(
            (_label(label, find, spec.after), _resolve_one(label, name, fresh, find, known))
            for label in dict.fromkeys(spec.after)
        )
    _refuse_cycle(after, {uid: name for name, uid in fresh.items()})
    return after


def _label(label: str, find: Find, others: tuple[str, ...]) -> str:
    """The name under which a result is found: a task that was given by its uid goes by its name, if that is free."""
    task = find(label)
    return task.name if task is not None and task.uid == label and task.name not in others else label


def _resolve_one(label: str, name: str, fresh: dict[str, str], find: Find, known: Iterable[str]) -> str:
    older = find(label)
    if label == name:  # the older task of that name is meant, and is there only once it has ended
        if older is None or not older.ended:
            raise Refusal(f"task {name!r} can't come after itself: a cycle")
        return older.uid
    if label in fresh:
        return fresh[label]
    if older is None:
        raise Refusal(unknown(label, (*fresh, *known)))
    return older.uid


def _refuse_cycle(after: After, names: dict[str, str]) -> None:
    left = {uid: sum(before in after for _, before in pairs) for uid, pairs in after.items()}
    then: dict[str, list[str]] = {uid: [] for uid in after}
    for uid, pairs in after.items():
        for _, before in pairs:
            if before in after:
                then[before].append(uid)
    ready = [uid for uid, count in left.items() if not count]
    while ready:
        uid = ready.pop()
        del left[uid]
        for follower in then[uid]:
            left[follower] -= 1
            if not left[follower]:
                ready.append(follower)
    if left:
        raise Refusal(f"a cycle: {' and '.join(repr(names[uid]) for uid in left)} wait for each other")


def unknown(name: str, known: Iterable[str]) -> str:
    """The refusal of a name that no task bears."""
    near = get_close_matches(name, list(known), 1, 0.6) if len(name) <= LONGEST_SAID else []
    said = name if len(name) <= LONGEST_SAID else f"{name[:LONGEST_SAID]}…"
    return f"no task is called {said!r}" + (f"; did you mean {near[0]!r}?" if near else ": %tasks lists them")


def cell_id(name: str, number: int) -> str:
    """The id of the cell that holds the `number`-th result of a journal, by the name under which it was delivered."""
    return f"jo-{_NO_ID.sub('-', name.partition('@')[0])}-{number}"
