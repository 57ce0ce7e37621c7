"""Fixtures of the tests in which a master works over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from house import House, check_stable
from hygiene import check_request
from shapes import check_pairs

from jupyter_orchestra.models.endpoint import Wire
from jupyter_orchestra.testing.model_server import ModelServer

Build = Callable[..., House]


@pytest.fixture(params=["responses", "chat"])
def wire(request: pytest.FixtureRequest) -> Wire:
    found: Wire = request.param
    return found


@pytest.fixture
def build(tmp_path: Path, wire: Wire) -> Iterator[Build]:
    """Build houses, each with the server that answers by the script; whatever was asked is looked at in the end."""
    servers: list[ModelServer] = []
    houses: list[House] = []

    def make(script: Any, *, stable: bool = True, **settings: Any) -> House:
        server = ModelServer(script)
        server.start()
        servers.append(server)
        houses.append(House(tmp_path, server, wire, **settings))
        houses[-1].stable = stable
        return houses[-1]

    yield make
    for house, server in zip(houses, servers, strict=True):
        while house.heir is not None:
            house = house.heir
        house.close()
        server.stop()
        server.check()
        for seen in server.requests:
            check_request(house, seen)
            check_pairs(seen.items)
        if house.stable:
            check_stable(house)
