"""The verdict on a figure."""

from __future__ import annotations

import pytest

from benchmarks.table import Row, p95


@pytest.mark.parametrize(("value", "missed"), [(0.0, False), (1.0, True), (250.0, True)])
def test_a_figure_that_must_be_zero_is_met_by_zero_alone(value: float, missed: bool) -> None:
    row = Row(figure="requests", value=value, unit="tokens", most=0.0, how="counted")
    assert row.is_missed is missed
    assert (row.verdict == "met") is not missed


def test_the_95th_percentile_is_a_value_that_95_of_100_do_not_exceed() -> None:
    assert p95([float(number) for number in range(100, 0, -1)]) == 95.0
