from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NAMED = sorted(set(re.findall(r"`(tests/[^`]+)`", (ROOT / "docs" / "guarantees.md").read_text("utf-8"))))


@pytest.mark.parametrize("name", NAMED)
def test_what_holds_a_promise_exists(name: str) -> None:
    path, _, test = name.partition("::")
    text = (ROOT / path).read_text("utf-8")
    assert not test or re.search(rf"(def|class) {re.escape(test)}\b|^{re.escape(test)} = ", text, re.MULTILINE)
