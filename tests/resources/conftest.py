"""What the tests of the resources share."""

from __future__ import annotations

import shutil

import pytest
from engine import PodmanStore


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
