"""Bytes by their content: where each size goes, that none is kept twice, and that all can be read at any time."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.model import Blob, Result
from jupyter_orchestra.core.ports import Journal as Port
from jupyter_orchestra.journal import Journal, store

from .conftest import crash, settle

Start = Callable[..., Journal]


def finished(*blobs: Blob) -> e.TaskFinished:
    return e.TaskFinished(1.0, "u", 1, Result(returned={str(number): blob for number, blob in enumerate(blobs)}))


def test_it_is_what_the_port_asks_for(start: Start) -> None:
    port: Port = start()
    assert port.put(b"") == Blob(0, data=b"")


@pytest.mark.parametrize("size", [0, 1, 512, 513, 65_536, 65_537, 1_000_000])
def test_every_size_can_be_read_at_once_and_after_a_kill(start: Start, size: int) -> None:
    journal = start(delay=1000.0)
    data = os.urandom(size)
    blob = journal.put(data)
    assert (blob.size, blob.data is not None, blob.digest is not None) == (size, size <= 512, size > 512)
    assert (journal.file(blob) is not None) == (size > 65_536)
    assert journal.get(blob) == data
    journal.append(finished(blob))
    crash(journal)
    journal = start()
    assert journal.get(blob) == data


def test_a_blob_is_durable_before_the_event_that_names_it(start: Start) -> None:
    journal = start()
    journal.append(finished(journal.put(b"r" * 5000)))
    settle(journal)
    count = journal._writer.call(lambda connection: connection.execute("SELECT count(*) FROM blob").fetchone())
    assert count == (1,)


def test_the_same_bytes_are_kept_once(start: Start) -> None:
    journal = start()
    blobs = {journal.put(b"a" * 5000) for _ in range(5)} | {journal.put(b"b" * 70_000) for _ in range(5)}
    settle(journal)
    assert len(blobs) == 2
    rows = journal._writer.call(lambda connection: connection.execute("SELECT count(*) FROM blob").fetchone())
    assert (rows, len(list(journal._store.artifacts.digests()))) == ((1,), 1)


def test_threads_that_keep_the_same_bytes_do_not_meet(start: Start) -> None:
    journal = start()
    data = os.urandom(300_000)
    threads = [threading.Thread(target=journal.put, args=(data,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert journal.get(journal.put(data)) == data
    assert list((journal.folder / "artifacts" / "new").iterdir()) == []


def test_memory_is_bounded(start: Start) -> None:
    journal = start()
    blobs = [journal.put(os.urandom(3 << 20)) for _ in range(10)] + [journal.put(os.urandom(6 << 20))]
    assert len([journal.get(blob) for blob in blobs]) == 11
    assert sum(map(len, journal._store._cache.values())) == journal._store._cached <= store.CACHE
    assert journal._store._pending == {}


@pytest.mark.parametrize("size", [0, 100, 5000, 3_000_000])
def test_a_file_is_moved_in(start: Start, tmp_path: Path, size: int) -> None:
    journal, data = start(), os.urandom(size)
    path = tmp_path / "made"
    path.write_bytes(data)
    inode = path.stat().st_ino
    blob = journal.adopt(path)
    assert not path.exists()
    file = journal.file(blob)
    assert file is not None
    assert (file.stat().st_ino, file.stat().st_mode & 0o777) == (inode, 0o600)
    assert journal.get(blob) == data == file.read_bytes()
    assert blob.size == size


def test_a_file_from_another_disk_is_copied_in(start: Start) -> None:
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        pytest.skip("there is no second disk")
    journal, data = start(), os.urandom(3_000_000)
    if memory.stat().st_dev == journal.folder.stat().st_dev:
        pytest.skip("there is no second disk")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        path = Path(folder) / "made"
        path.write_bytes(data)
        blob = journal.adopt(path)
        assert not path.exists()
    assert journal.get(blob) == data


def test_a_file_with_a_second_name_is_copied(start: Start, tmp_path: Path) -> None:
    journal = start()
    path, other = tmp_path / "made", tmp_path / "other"
    path.write_bytes(b"x" * 1000)
    os.link(path, other)
    blob = journal.adopt(path)
    other.write_bytes(b"changed")
    assert journal.get(blob) == b"x" * 1000


def test_what_is_no_plain_file_is_refused_and_stays(start: Start, tmp_path: Path) -> None:
    journal = start()
    secret = tmp_path / "secret"
    secret.write_text("the person's own")
    link, pipe, folder = tmp_path / "link", tmp_path / "pipe", tmp_path / "folder"
    link.symlink_to(secret)
    os.mkfifo(pipe)
    folder.mkdir()
    for path in (link, pipe, folder, tmp_path / "absent"):
        with pytest.raises(OSError, match=str(path)):
            journal.adopt(path)
    assert link.is_symlink()
    assert secret.read_text() == "the person's own"


def test_what_is_gone_is_a_key_error(start: Start) -> None:
    journal = start()
    for size in (600, 100_000):
        with pytest.raises(KeyError):
            journal.get(Blob(size, digest="0" * 40))
        assert journal.file(Blob(size, digest="0" * 40)) is None


def test_dropping_removes_what_was_named_and_no_more(start: Start) -> None:
    journal = start()
    row, file, stays = journal.put(b"r" * 5000), journal.put(b"f" * 70_000), journal.put(b"s" * 5000)
    journal.append(finished(row, file, stays))
    assert journal.drop([str(row.digest), str(file.digest)]).result(20) == 75_000
    for blob in (row, file):
        with pytest.raises(KeyError):
            journal.get(blob)
    assert journal.get(stays) == b"s" * 5000


def test_cleaning_keeps_what_is_named_and_what_will_be(start: Start, tmp_path: Path) -> None:
    journal = start()
    kept, old = journal.put(b"k" * 5000), journal.put(b"o" * 5000)
    kept_file, old_file = journal.put(b"k" * 70_000), journal.put(b"o" * 70_000)
    journal.append(finished(kept, old, kept_file, old_file))
    young, young_file = journal.put(b"y" * 5000), journal.put(b"y" * 70_000)
    freed = journal.clean([str(kept.digest), str(kept_file.digest)])
    again, again_file = journal.put(b"o" * 5000), journal.put(b"o" * 70_000)
    freed.result(20)
    for blob in (kept, kept_file, young, young_file, again, again_file):
        assert len(journal.get(blob)) == blob.size
    journal.append(finished(young, young_file, again, again_file))
    assert journal.clean([str(kept.digest)]).result(20) == 10_000 + 3 * 70_000
    journal._store._cache.clear()
    assert journal.get(kept) == b"k" * 5000
    for blob in (young, young_file, again, again_file, kept_file):
        with pytest.raises(KeyError):
            journal.get(blob)
