"""Workers of other packages, found by their entry points; it knows none of them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Any

from ..core.ports import Worker

log = logging.getLogger("jupyter_orchestra")


def plugins(launcher: Any) -> Iterator[Worker]:
    """Workers of other packages: entry points whose object takes the launcher and gives a Worker."""
    for point in entry_points(group="jupyter_orchestra.workers"):
        try:
            yield point.load()(launcher)
        except Exception as error:
            log.error("the worker plugin %r could not be loaded: %r", point.name, error)
