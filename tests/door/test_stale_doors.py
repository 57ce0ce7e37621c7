from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from guests import House

from jupyter_orchestra import rundir
from jupyter_orchestra.door import place
from jupyter_orchestra.door.client import Door, DoorError, Found, find
from jupyter_orchestra.resources import identity

MORTAL = """
import asyncio, sys
from pathlib import Path
from jupyter_orchestra import rundir
from jupyter_orchestra.door.server import serve
from jupyter_orchestra.runtime import Runtime
from jupyter_orchestra.testing import MemoryJournal

async def main():
    runtime = Runtime(MemoryJournal(), [], Path(sys.argv[1]))
    await serve(runtime, rundir.folder("mortal"), explain=str, leases=list, notebook="/books/mortal.ipynb")
    print("open", flush=True)
    await runtime.run()

asyncio.run(main())
"""


def put(folder: Path, **changes: object) -> Path:
    """The files of a door whose kernel has died."""
    entry = place.Entry("/books/dead.ipynb", 1 << 22, "1", identity.world(), 1, 1.0)
    place.write_entry(folder, msgspec.structs.replace(entry, **changes))
    for name in (place.SOCKET, place.TOKEN):
        (folder / name).touch()
    return folder


def test_what_a_killed_kernel_left_is_ignored_and_removed(runtime_dir: Path, tmp_path: Path) -> None:
    mortal = subprocess.Popen([sys.executable, "-c", MORTAL, str(tmp_path)], stdout=subprocess.PIPE)
    try:
        assert mortal.stdout is not None
        assert mortal.stdout.readline() == b"open\n"
        (found,) = find("/books/mortal.ipynb")
        assert found.pid == mortal.pid
        with Door(found) as door:
            assert door.tasks().cards == ()
            mortal.send_signal(signal.SIGKILL)
            with pytest.raises(DoorError, match="has gone"):
                door.tasks()
    finally:
        mortal.kill()
        mortal.wait()
        assert mortal.stdout is not None
        mortal.stdout.close()
    assert (found.folder / place.ENTRY).exists()
    assert find() == []
    assert list(found.folder.iterdir()) == []
    with pytest.raises(DoorError, match="has gone"):
        Door(found)


def test_a_stopped_kernel_is_not_waited_for_for_ever(
    runtime_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jupyter_orchestra.door.client.PATIENCE", 0.3)
    with subprocess.Popen([sys.executable, "-c", MORTAL, str(tmp_path)], stdout=subprocess.PIPE) as mortal:
        try:
            assert mortal.stdout is not None
            assert mortal.stdout.readline() == b"open\n"
            mortal.send_signal(signal.SIGSTOP)
            with pytest.raises(DoorError, match="does not answer"):
                Door(find()[0])
        finally:
            mortal.kill()
    assert find() == []


@pytest.mark.parametrize("changes", [{}, {"pid": os.getpid()}, {"world": "another boot"}])
def test_a_number_alone_does_not_make_a_process_the_same(runtime_dir: Path, changes: dict[str, object]) -> None:
    folder = put(rundir.folder("dead"), **changes)
    assert find() == []
    assert list(folder.iterdir()) == []


def test_a_living_door_is_never_taken_for_a_stale_one(build: Callable[..., House]) -> None:
    alive = build(mark="alive")
    dead = put(rundir.folder("dead"))
    with place.locked(dead):  # another looks at it, or the next kernel moves in: it is left alone
        assert [found.folder for found in find()] == [alive.folder]
        assert (dead / place.ENTRY).exists()
    assert [found.folder for found in find()] == [alive.folder]
    assert not (dead / place.ENTRY).exists()
    dead.rmdir()
    with alive.visit() as door:
        assert door.tasks().cards == ()


def test_the_next_kernel_takes_over_what_a_dead_one_left(build: Callable[..., House]) -> None:
    put(rundir.folder("house"))
    house = build("/books/dead.ipynb")
    (found,) = find()
    assert found.pid == os.getpid()
    with house.visit() as door:
        assert door.tasks().cards == ()


def test_what_is_no_entry_is_passed_over(runtime_dir: Path, tmp_path: Path) -> None:
    for number, data in enumerate((b"", b"{", b"[]", b'{"pid": "x"}', b"\xff")):
        (rundir.folder(f"odd-{number}") / place.ENTRY).write_bytes(data)
    rundir.folder("empty")
    (rundir.root() / "a-file").touch()
    (rundir.root() / "a-link").symlink_to(tmp_path)
    assert find() == []


def test_without_its_token_a_door_can_not_be_opened(house: House) -> None:
    (house.folder / place.TOKEN).unlink()
    with pytest.raises(DoorError, match="has gone"):
        house.visit()
    assert Found(house.folder, "", 1).title == "a kernel without a notebook (process 1)"
