"""Fixtures of the tests in which kernels die."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from mortals import Project


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Notebooks with a broker of their own, of which nothing may be left."""
    runtime = Path(tempfile.mkdtemp(prefix="jo-", dir="/tmp"))
    found = Project(tmp_path, runtime)
    try:
        yield found
        found.wait_for_nothing()
    finally:
        found.close()
        shutil.rmtree(runtime)
