"""The file of the leases in trouble: nothing is held by two, nobody hangs, and who waits is told why."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from live_kernel import wait_until
from parties import PRESS, Own, Rival, press

from jupyter_orchestra.errors import ResourceError
from jupyter_orchestra.resources.broker import Busy

STOPS = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
connection.execute("ROLLBACK")
"""


def file_of(folder: Path) -> Path:
    (file,) = folder.glob("*.db")
    return file


def delete(file: Path) -> None:
    file.unlink()


def fill_with_garbage(file: Path) -> None:
    file.write_bytes(os.urandom(20_000))


def cut(file: Path) -> None:
    os.truncate(file, 1000)


def empty(file: Path) -> None:
    os.truncate(file, 0)


def forget_tables(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.executescript("DROP TABLE claim; DROP TABLE meta;")
    connection.close()


def spoil_rows(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE claim SET body = x'00ff'")
    connection.close()


def remove_folder(file: Path) -> None:
    shutil.rmtree(file.parent)


def exchange_for_another(file: Path) -> None:
    other = file.with_name("other")
    shutil.copy(file, other)
    os.replace(other, file)


MENDED = [
    delete, fill_with_garbage, cut, empty, forget_tables, spoil_rows, remove_folder, exchange_for_another,
]  # fmt: skip


@pytest.mark.parametrize("damage", MENDED)
def test_a_damaged_file_is_made_anew_while_it_is_held_and_waited_for(
    rival: Callable[..., Rival], own: Own, folder: Path, damage: Callable[[Path], None]
) -> None:
    holder, waiter = rival(), rival()
    token = holder.ask("claim", wants=PRESS)
    waiter.tell("claim", wants=PRESS)
    assert isinstance(own.claim(press()), Busy)
    damage(file_of(folder))
    assert isinstance(own.claim(press()), Busy)
    assert holder.ask("valid", token=token) is True
    own.broker.release("own").result(10)
    holder.ask("release")
    assert waiter.hear() > token
    assert isinstance(own.claim(press()), Busy)


# Whoever holds something makes the file anew when it finds none: what stands in its place is put there in one step, or
# again until it stands.
def to_folder(file: Path) -> None:
    while not file.is_dir():
        file.unlink(missing_ok=True)
        with suppress(FileExistsError):
            file.mkdir()


def to_link(file: Path) -> None:
    shutil.copy(file, file.with_name("elsewhere"))
    file.with_name("link").symlink_to("elsewhere")
    file.with_name("link").replace(file)


def to_pipe(file: Path) -> None:
    os.mkfifo(file.with_name("pipe"))
    file.with_name("pipe").replace(file)


def to_anothers(file: Path) -> None:
    os.chown(file, 65534, 65534)


def folder_to_file(file: Path) -> None:
    while not file.parent.is_file():
        shutil.rmtree(file.parent, ignore_errors=True)
        with suppress(FileExistsError):
            file.parent.touch(exist_ok=False)


def folder_to_link(file: Path) -> None:
    shutil.copytree(file.parent, file.parent.with_name("moved"))
    while not file.parent.is_symlink():
        shutil.rmtree(file.parent, ignore_errors=True)
        with suppress(FileExistsError):
            file.parent.symlink_to("moved")


def folder_to_anothers(file: Path) -> None:
    os.chown(file.parent, 65534, 65534)


def clear(file: Path) -> None:
    """What the person does who is told to remove it."""
    for path in (file, file.parent):
        if path.is_symlink() or path.is_file() or path.is_fifo():
            path.unlink()
        elif path.is_dir() and (path == file or path.stat().st_uid != os.getuid()):
            shutil.rmtree(path)


USELESS = [to_folder, to_link, to_pipe, to_anothers, folder_to_file, folder_to_link, folder_to_anothers]


@pytest.mark.parametrize("spoil", USELESS)
def test_a_place_that_can_not_be_trusted_gives_nothing_and_says_so_until_it_is_mended(
    rival: Callable[..., Rival], own: Own, folder: Path, spoil: Callable[[Path], None]
) -> None:
    if spoil in (to_anothers, folder_to_anothers) and os.geteuid():
        pytest.skip("giving a file away takes root")
    holder, waiter = rival(), rival()
    token = holder.ask("claim", wants=PRESS)
    waiter.tell("claim", wants=PRESS)
    file = file_of(folder)
    spoil(file)
    with pytest.raises(ResourceError) as caught:
        own.claim(press())
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)
    assert "of yours: remove " in str(caught.value)
    assert holder.ask("renew") is None
    assert holder.ask("lost") == []
    clear(file)
    assert isinstance(own.claim(press()), Busy)
    assert holder.ask("valid", token=token) is True
    own.broker.release("own").result(10)
    holder.ask("release")
    assert waiter.hear() > token


def test_who_can_not_renew_in_time_is_told_that_it_holds_nothing_any_more(
    rival: Callable[..., Rival], folder: Path
) -> None:
    holder = rival(ttl=1.0)
    token = holder.ask("claim", wants=PRESS)
    file = file_of(folder)
    to_folder(file)
    wait_until(lambda: holder.ask("renew") or holder.ask("lost"))
    ((_, why),) = holder.ask("lost")
    assert "of yours: remove " in why
    assert holder.ask("valid", token=token) is False
    clear(file)
    own = Own(folder)
    try:
        assert own.until_held(press()) > token
    finally:
        own.broker.close()


def test_one_that_stopped_while_it_wrote_is_named_and_holds_nobody_up_once_it_goes_on(
    rival: Callable[..., Rival], own: Own, folder: Path
) -> None:
    holder = rival()
    token = holder.ask("claim", wants=PRESS)
    stopped = subprocess.Popen(
        [sys.executable, "-c", STOPS, str(file_of(folder))], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert stopped.stdout is not None
        assert stopped.stdout.readline() == "locked\n"
        with pytest.raises(ResourceError, match=f"process {stopped.pid} has stopped .*kill -CONT {stopped.pid}"):
            own.claim(press())
        os.kill(stopped.pid, signal.SIGCONT)
        assert stopped.wait(10) == 0
        assert isinstance(own.claim(press()), Busy)
        assert holder.ask("valid", token=token) is True
    finally:
        stopped.kill()
        stopped.communicate()


def test_one_that_is_killed_while_it_writes_leaves_the_file_whole(rival: Callable[..., Rival], tmp_path: Path) -> None:
    token, section = 0, tmp_path / "section"
    for _ in range(10):
        writer, holder = rival(), rival()
        writer.tell("storm", id="writer", wants=[["loom|/project", 1, 1]], times=10_000, file=str(section))
        wait_until(lambda: section.exists() and section.stat().st_size > 0)
        writer.signal(signal.SIGKILL)
        found = holder.ask("claim", wants=[["loom|/project", 1, 1]])
        assert found > token
        token = found
        holder.ask("release")
        section.unlink()
        for one in (writer, holder):
            one.close()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A memory file system of 256 kB, where the leases of the test are."""
    place = tmp_path / "leases"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k,mode=700", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a small file system takes root")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path) -> Path:
    ballast = disk / "ballast"
    with pytest.raises(OSError, match="No space left"):
        ballast.write_bytes(bytes(1 << 20))
    return ballast


def test_a_full_memory_file_system_gives_nothing_to_two_and_says_what_to_do(
    disk: Path, rival: Callable[..., Rival], own: Own
) -> None:
    holder, waiter = rival(), rival()
    token = holder.ask("claim", wants=PRESS)
    assert "busy" in waiter.ask("try", wants=PRESS)
    ballast = fill(disk)
    with pytest.raises(ResourceError, match=r"the disk is full: free some space \(in "):
        own.claim(press())
    said = waiter.ask("try", wants=PRESS)
    assert "busy" in said or "disk is full" in said["error"]
    holder.ask("renew")
    assert holder.ask("lost") == []
    ballast.unlink()
    assert isinstance(own.claim(press()), Busy)
    assert holder.ask("valid", token=token) is True
    own.broker.release("own").result(10)
    holder.ask("release")
    waiter.tell("claim", wants=PRESS)
    assert waiter.hear() > token


def test_a_holder_that_a_full_disk_keeps_from_renewing_loses_before_another_gets(
    disk: Path, rival: Callable[..., Rival]
) -> None:
    holder, waiter = rival(ttl=1.0), rival(ttl=1.0)
    token = holder.ask("claim", wants=PRESS)
    waiter.tell("claim", wants=PRESS)
    ballast = fill(disk)
    wait_until(lambda: holder.ask("renew") or holder.ask("lost"))
    assert holder.ask("valid", token=token) is False
    ballast.unlink()
    assert waiter.hear() > token


def test_a_release_that_a_full_disk_keeps_from_being_written_is_made_up_for(
    disk: Path, rival: Callable[..., Rival]
) -> None:
    holder, waiter = rival(), rival()
    token = holder.ask("claim", wants=PRESS)
    waiter.tell("claim", wants=PRESS)
    ballast = fill(disk)
    holder.ask("release")
    ballast.unlink()
    assert waiter.hear() > token
