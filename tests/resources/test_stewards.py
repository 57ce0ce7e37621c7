"""What a supervisor says of leases whose kernel is gone, as others read it."""

from __future__ import annotations

from pathlib import Path

import pytest

from jupyter_orchestra.resources import identity
from jupyter_orchestra.resources.broker_rules import Claim, Row, Want
from jupyter_orchestra.resources.steward import looked_after

GONE = "999999999:0"


@pytest.fixture
def beat(tmp_path: Path) -> Path:
    path = tmp_path / "supervisor.beat"
    path.write_text("\n".join((identity.mine().spell(), "100.0", "", "", "uid#1\tORCHESTRA_LAUNCH=a\t100.0")))
    return path


def claimed(id: str, steward: Path) -> Row:
    claim = Claim(id, (Want("loom|/project"),), 0.0, fence="kill", marks=("ORCHESTRA_RUNTIME=r",), steward=str(steward))
    return Row(GONE, claim, state="held", token=1, expires=50.0)


@pytest.mark.parametrize("id", ["uid#1", "uid#1+7"])
def test_what_works_on_has_what_it_began_with_and_what_it_got_besides(id: str, beat: Path) -> None:
    (row,), stands = looked_after([claimed(id, beat)], 15.0, lambda party: False)
    assert stands(row)
    assert (row.expires, row.claim.fence, row.claim.marks) == (115.0, "kill", ("ORCHESTRA_LAUNCH=a",))


@pytest.mark.parametrize("id", ["uid#2", "uid#11", "other#1"])
def test_nobody_stands_behind_what_the_supervisor_does_not_name(id: str, beat: Path) -> None:
    (row,), stands = looked_after([claimed(id, beat)], 15.0, lambda party: False)
    assert not stands(row)
    assert row.claim.fence == "token"
