"""One living process owns a journal; everyone else gets a private one and is told why."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from jupyter_orchestra.core import events as e
from jupyter_orchestra.journal import Journal, location, owner

from .conftest import crash, settle

Start = Callable[..., Journal]


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives until it is killed."""
    process = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.wait()
    assert process.stdin is not None
    process.stdin.close()


def give(folder: Path, **changes: object) -> None:
    record = msgspec.structs.replace(owner.look(folder), **changes)
    (folder / "owner.json").write_bytes(msgspec.json.encode(record))


def test_epochs_count_up_over_clean_ends_and_kills(start: Start) -> None:
    journal = start()
    assert journal.epoch == 1
    journal.close()
    assert owner.look(journal.folder).pid == 0
    journal = start()
    crash(journal)
    assert start().epoch == 3


def test_the_epoch_survives_the_loss_of_either_record(start: Start) -> None:
    journal = start()
    journal.close()
    journal = start()
    journal.close()
    (journal.folder / "owner.json").write_bytes(b"{torn")
    journal = start()
    assert (journal.epoch, owner.look(journal.folder).epoch) == (3, 3)
    journal.close()
    (journal.folder / "journal.db").unlink()
    assert start().epoch == 4


def test_the_same_process_gets_it_again(start: Start) -> None:
    first = start()
    first.append(e.TimePassed(1.0))
    second = start()
    assert (second.folder, second.private, second.epoch) == (first.folder, False, 2)
    assert list(second.events()) == [e.TimePassed(1.0)]
    with pytest.raises(RuntimeError, match="closed"):
        first.append(e.TimePassed(2.0))


def test_a_second_kernel_gets_a_private_journal(start: Start, other: subprocess.Popen[bytes]) -> None:
    journal = start()
    journal.append(e.TimePassed(1.0))
    journal.close()
    give(journal.folder, pid=other.pid, boot=owner.boot(), started=owner.started(other.pid))
    second = start()
    assert second.private
    assert second.folder != journal.folder
    assert list(second.events()) == []
    (notice,) = second.notices
    assert f"another kernel (process {other.pid}) works on this notebook" in notice
    second.append(e.TimePassed(2.0))
    crash(second)
    again = start()
    assert (again.folder, list(again.events())) == (second.folder, [e.TimePassed(2.0)])
    again.close()
    assert not again.folder.exists()
    other.kill()
    other.wait()
    assert not start().private


def test_a_dead_owner_counts_for_nothing(start: Start, other: subprocess.Popen[bytes]) -> None:
    journal = start()
    journal.close()
    own = {"pid": other.pid, "boot": owner.boot(), "started": owner.started(other.pid)}
    for change in ({"started": "1"}, {"boot": "another"}, {"pid": 2**22 + 1}):
        give(journal.folder, **{**own, **change})
        journal = start()
        assert not journal.private
        journal.close()


def test_an_owner_that_only_waits_to_be_reaped_is_dead() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert owner.started(pid) == ""
    os.waitpid(pid, 0)
    assert owner.started(os.getpid()) != ""


def test_a_lock_that_is_never_let_go_ends_the_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner, "PATIENCE", 0.05)
    with (tmp_path / "owner.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(owner.Held):
            owner.take(tmp_path)
    assert owner.take(tmp_path) == 1


def test_of_many_processes_one_becomes_owner(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom jupyter_orchestra.journal import owner\ninput()\n"
        "try:\n    owner.take(Path(sys.argv[1])); print('mine', flush=True)\n"
        "except owner.Held:\n    print('held', flush=True)\ninput()"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    root = Path(__file__).parents[2]
    several = [
        subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    for process in several:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.stdout.readline().strip() for process in several if process.stdout is not None]
    for process in several:
        process.communicate("\n")
    assert sorted(said) == ["held", "held", "held", "mine"]


def test_only_the_person_may_look_in(start: Start) -> None:
    journal = start()
    journal.put(b"x" * 100_000)
    settle(journal)
    for path in [journal.folder.parent, journal.folder, *journal.folder.rglob("*")]:
        if path.is_dir():
            assert path.stat().st_mode & 0o777 == 0o700, path
    journal.close()


def test_a_kernel_without_a_notebook_has_a_private_journal(start: Start) -> None:
    journal = start(None)
    assert journal.private
    journal.append(e.TimePassed(1.0))
    crash(journal)
    journal = start(None)
    assert list(journal.events()) == [e.TimePassed(1.0)]
    journal.close()
    assert not journal.folder.exists()


def test_private_journals_that_nobody_comes_back_to_go_after_a_week(start: Start, tmp_path: Path) -> None:
    orphan, mine = start(None, kernel="gone"), start(None, kernel="mine")
    orphan.append(e.TimePassed(1.0))
    crash(orphan)
    settle(mine)
    give(orphan.folder, pid=0)
    location.sweep(tmp_path / "base", now=time.time() + 6 * 86400)
    assert orphan.folder.exists()
    location.sweep(tmp_path / "base", now=time.time() + 8 * 86400)
    assert not orphan.folder.exists()
    assert mine.folder.exists()


def test_what_a_dead_kernel_left_elsewhere_goes_with_its_private_journal(start: Start, tmp_path: Path) -> None:
    orphan = start(None, kernel="gone")
    orphan.append(e.TimePassed(1.0))
    crash(orphan)
    give(orphan.folder, pid=0)
    elsewhere = tmp_path / "shared memory"
    elsewhere.mkdir()
    swept: list[Path] = []

    def busy(folder: Path) -> None:
        raise OSError("busy")

    def also(folder: Path) -> None:
        assert folder.exists()
        swept.append(folder)
        elsewhere.rmdir()

    location.sweep(tmp_path / "base", now=time.time() + 8 * 86400, also=busy)
    assert orphan.folder.exists()
    for path in [orphan.folder / "journal.db", orphan.folder]:
        os.utime(path, (0, 0))
    settle(start(None, kernel="mine", also=also))
    assert swept == [orphan.folder]
    assert not orphan.folder.exists()
    assert not elsewhere.exists()
