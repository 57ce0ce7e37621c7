"""What the tests of the resources share."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster import Cluster, binaries, running
from engine import PodmanStore
from parties import Own, Rival


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL."""
    if binaries() is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with running() as made:
        yield made


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> PodmanStore:
    """A podman that runs containers, with an image."""
    if not shutil.which("podman"):
        pytest.skip("podman is not installed: apt-get install podman")
    store = PodmanStore(tmp_path_factory.mktemp("podman") / "store")
    store.fill()
    if why := store.works("--network", "none"):
        pytest.skip(f"podman runs no container here: {why}")
    return store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "leases"


@pytest.fixture
def rival(folder: Path) -> Iterator[Callable[..., Rival]]:
    rivals: list[Rival] = []

    def start(ttl: float = 15.0, **environment: str) -> Rival:
        rivals.append(Rival(folder, ttl, **environment))
        return rivals[-1]

    yield start
    for one in rivals:
        one.close()


@pytest.fixture
def own(folder: Path) -> Iterator[Own]:
    made = Own(folder)
    yield made
    made.broker.close()
