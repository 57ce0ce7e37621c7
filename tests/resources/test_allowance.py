"""What all notebooks of a person may spend in a day: several processes, one account."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from jupyter_orchestra.core.budget import Budget
from jupyter_orchestra.core.limits import Amounts, Limits, OverBudget
from jupyter_orchestra.resources import allowance, identity
from jupyter_orchestra.resources.allowance import Allowance, AllowanceFile

RIVAL = Path(__file__).with_name("rival_allowance.py")
LIMITS = Limits(tokens=1_000)
DEAD = f"{identity.Identity(1 << 22, '1').spell()} {identity.world()}"


def tokens(count: int) -> Amounts:
    return Amounts(tokens_in=count)


class Days:
    def __init__(self) -> None:
        self.day = "2026-10-05"

    def __call__(self) -> str:
        return self.day


@pytest.fixture
def days() -> Days:
    return Days()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "budget.db"


@pytest.fixture
def file(path: Path, days: Days) -> AllowanceFile:
    return AllowanceFile(path, days)


@pytest.fixture
def other(path: Path, days: Days) -> AllowanceFile:
    """Another notebook, whose kernel lives."""
    return AllowanceFile(path, days, f"{identity.of(1).spell()} {identity.world()}")


@pytest.fixture
def rival(path: Path) -> Iterator[Callable[[int, int], subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def start(limit: int, rounds: int) -> subprocess.Popen[str]:
        command = [sys.executable, str(RIVAL), str(path), str(limit), str(rounds)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def figures(path: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(
            "SELECT account, most, reserved, spent, over FROM account WHERE quantity = 'tokens' ORDER BY account"
        ).fetchall()


def test_what_one_notebook_spends_another_has_not(path: Path, file: AllowanceFile, other: AllowanceFile) -> None:
    assert file.reserve(LIMITS, "a", tokens(600)) == ""
    why = other.reserve(LIMITS, "b", tokens(500))
    assert "the budget of all your notebooks for 2026-10-05 of 1,000 tokens is spent" in why
    assert "600 held for what is under way" in why
    assert "user_budget" in why
    assert other.seen == ("2026-10-05", Limits(tokens=400), 1.0)
    file.settle(LIMITS, "a", tokens(100))
    assert other.reserve(LIMITS, "b", tokens(500)) == ""
    assert figures(path) == [("user:2026-10-05", 1_000, 500, 100, 0)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_what_cost_more_than_is_left_is_told_apart(path: Path, file: AllowanceFile) -> None:
    file.reserve(LIMITS, "a", tokens(900))
    file.settle(LIMITS, "a", tokens(1_200))
    assert figures(path) == [("user:2026-10-05", 1_000, 0, 1_000, 200)]
    assert file.reserve(LIMITS, "b", tokens(1)) != ""


def test_each_notebook_holds_itself_to_its_own_setting(file: AllowanceFile, other: AllowanceFile) -> None:
    assert file.reserve(LIMITS, "a", tokens(600)) == ""
    assert other.reserve(Limits(tokens=500), "b", tokens(1)) != ""
    assert file.reserve(LIMITS, "c", tokens(400)) == ""


@pytest.mark.parametrize(
    "holder",
    [DEAD, f"{identity.mine().spell()} of another boot", "no process at all"],
    ids=["dead", "of another boot", "none"],
)
def test_what_a_notebook_that_is_gone_had_reserved_is_spent(
    path: Path, days: Days, file: AllowanceFile, holder: str
) -> None:
    gone = AllowanceFile(path, days, holder)
    assert gone.reserve(LIMITS, "a", tokens(700)) == ""
    file.look(LIMITS)
    assert figures(path) == [("user:2026-10-05", 1_000, 0, 700, 0)]
    gone.settle(LIMITS, "a", tokens(1))
    assert figures(path) == [("user:2026-10-05", 1_000, 0, 700, 0)]


def test_a_new_day_begins_with_all_of_it(path: Path, days: Days, file: AllowanceFile) -> None:
    file.reserve(LIMITS, "a", tokens(900))
    days.day = "2026-10-06"
    assert file.reserve(LIMITS, "b", tokens(900)) == ""
    file.settle(LIMITS, "a", tokens(800))
    assert figures(path) == [("user:2026-10-05", 1_000, 0, 800, 0), ("user:2026-10-06", 1_000, 900, 0, 0)]


def test_days_that_nobody_looks_at_any_more_go(path: Path, days: Days, file: AllowanceFile) -> None:
    for number in range(1, 20):
        days.day = f"2026-10-{number:02}"
        file.look(LIMITS)
    kept = [account for account, *_ in figures(path)]
    assert kept == [f"user:2026-10-{number:02}" for number in range(19 - allowance.KEPT, 20)]


def test_two_and_eight_processes_never_spend_more_than_there_is(
    path: Path, rival: Callable[[int, int], subprocess.Popen[str]]
) -> None:
    for count in (2, 8):
        path.unlink(missing_ok=True)
        rivals = [rival(1_000, 60) for _ in range(count)]
        spent = sum(int(process.communicate()[0]) for process in rivals)
        (row,) = figures(path)
        assert row[1:] == (1_000, 0, spent, 0)
        assert 900 < spent <= 1_000


def test_a_process_that_is_killed_in_a_request_has_spent_what_it_reserved(
    path: Path, rival: Callable[[int, int], subprocess.Popen[str]]
) -> None:
    process = rival(1_000, 0)
    assert process.stdout is not None
    assert process.stdout.readline() == "\n"
    file = AllowanceFile(path)
    assert file.reserve(LIMITS, "a", tokens(800)) != ""
    assert figures(path)[0][2:] == (300, 0, 0)
    process.kill()
    process.wait()
    assert file.reserve(LIMITS, "a", tokens(700)) == ""
    assert figures(path)[0][2:] == (700, 300, 0)


def test_a_damaged_file_lets_nothing_be_spent_and_says_what_to_do(path: Path, file: AllowanceFile) -> None:
    file.look(LIMITS)
    path.write_bytes(b"x" * 5_000)
    with pytest.raises(OSError, match=r"is damaged: remove it") as caught:
        file.reserve(LIMITS, "a", tokens(1))
    assert "\n" not in str(caught.value)
    path.unlink()
    assert file.reserve(LIMITS, "a", tokens(1)) == ""


def test_a_state_that_cant_be_read_is_damage_too(path: Path, file: AllowanceFile) -> None:
    file.look(LIMITS)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE state SET data = ?", (b'{"accounts": 5}',))
    with pytest.raises(OSError, match="is damaged"):
        file.look(LIMITS)


def test_one_that_has_stopped_while_it_writes_is_not_waited_for_forever(
    path: Path, file: AllowanceFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.look(LIMITS)
    monkeypatch.setattr(allowance, "LOCKED", 0.05)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(OSError, match="another process has locked"):
            file.reserve(LIMITS, "a", tokens(1))
    assert file.reserve(LIMITS, "a", tokens(1)) == ""


def test_the_same_check_stands_behind_it(path: Path, file: AllowanceFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Budget, "refusal", lambda self, account, amounts: "")
    assert file.reserve(LIMITS, "a", tokens(800)) == ""
    with pytest.raises(OSError, match="a bug in jupyter_orchestra"):
        file.reserve(LIMITS, "b", tokens(800))
    assert figures(path) == [("user:2026-10-05", 1_000, 800, 0, 0)]


def run(path: Path, act: Callable[[Allowance], object]) -> Allowance:
    """What `act` does with an allowance on a loop, and all that it has to write."""

    async def main() -> Allowance:
        found = Allowance(LIMITS, AllowanceFile(path))
        try:
            await act(found)  # type: ignore[misc]
        finally:
            found.close()
        return found

    return asyncio.run(main())


def test_on_a_loop_it_reserves_settles_and_says_what_is_left(path: Path) -> None:
    async def act(found: Allowance) -> None:
        await found.reserve("a", tokens(600))
        assert found.room().tokens == 400
        with pytest.raises(OverBudget, match="of all your notebooks"):
            await found.reserve("b", tokens(500))
        found.settle("a", tokens(900))

    found = run(path, act)
    assert (found.room().tokens, found.left()) == (100, 0.1)


def test_a_request_that_is_cut_off_while_it_is_reserved_keeps_nothing(path: Path) -> None:
    async def act(found: Allowance) -> None:
        reserving = asyncio.ensure_future(found.reserve("a", tokens(600)))
        await asyncio.sleep(0)
        reserving.cancel()
        await asyncio.wait({reserving})

    run(path, act)
    assert figures(path)[0][2:] == (0, 0, 0)


def test_what_can_not_be_written_down_is_owed_until_it_can(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def act(found: Allowance) -> None:
        await found.reserve("a", tokens(600))
        with monkeypatch.context() as patch:
            patch.setattr(AllowanceFile, "_connect", _no_disk)
            found.settle("a", tokens(10))
            with pytest.raises(OverBudget, match="the disk is full"):
                await found.reserve("b", tokens(1))
        await found.reserve("c", tokens(900))

    run(path, act)
    assert figures(path)[0][2:] == (900, 10, 0)


def test_a_day_that_was_not_looked_at_yet_has_all_of_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def act(found: Allowance) -> None:
        await found.reserve("a", tokens(900))
        found.settle("a", None)
        await found.reserve("b", tokens(1))
        assert (found.room().tokens, found.left()) == (99, 0.1)
        monkeypatch.setattr(allowance, "today", lambda: "2999-01-01")
        assert (found.room().tokens, found.left()) == (1_000, 1.0)

    run(path, act)


def _no_disk(self: AllowanceFile) -> sqlite3.Connection:
    raise OSError(28, "No space left on device")
