"""The picture of what is leased together with what other notebooks of the machine hold; it asks nobody."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from .resources import HolderView, ResourceView

Elsewhere = tuple[str, HolderView]  # the name of a resource, and who has it or waits for it


def with_others(views: Iterable[ResourceView], others: Iterable[Elsewhere]) -> tuple[ResourceView, ...]:
    """The picture with others in it, in place of what was only known of them because they were in the way."""
    found = {
        view.name: msgspec.structs.replace(view, holders=tuple(one for one in view.holders if one.state != "elsewhere"))
        for view in views
    }
    for name, one in others:
        view = found.get(name) or ResourceView(name, 0, None)
        if one.state == "waiting":
            found[name] = msgspec.structs.replace(view, waiting=(*view.waiting, one))
        else:
            found[name] = msgspec.structs.replace(view, holders=(*view.holders, one))
    return tuple(sorted(found.values(), key=lambda view: view.slots))
