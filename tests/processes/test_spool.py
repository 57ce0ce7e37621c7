import json
import os
import sys
import threading
from pathlib import Path

import pytest

from jupyter_orchestra.processes.spool import TAIL, Frame, SpoolReader, SpoolWriter, pack


def frames_of(path: Path, step: int = 7777) -> list[Frame]:
    reader = SpoolReader()
    data = path.read_bytes()
    return [frame for at in range(0, len(data), step) for frame in reader.feed(data[at : at + step])]


def text_of(path: Path, stream: str = "stdout") -> str:
    return b"".join(frame.payload for frame in frames_of(path) if frame.kind == stream).decode()


def test_frames_and_streams_keep_their_order(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path / "s")
    writer.write("stdout", "one ")
    writer.write("stderr", "two ")
    writer.frame("display", b'{"a":\n1}', id="x")
    writer.write("stdout", "three")
    writer.close()
    assert frames_of(tmp_path / "s", 1) == [
        Frame("stdout", {}, b"one "),
        Frame("stderr", {}, b"two "),
        Frame("display", {"id": "x"}, b'{"a":\n1}'),
        Frame("stdout", {}, b"three"),
    ]


def test_a_print_loop_makes_few_frames_and_loses_nothing(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path / "s")
    for number in range(20_000):
        writer.write("stdout", f"{number}\n")
    writer.close()
    assert text_of(tmp_path / "s") == "".join(f"{number}\n" for number in range(20_000))
    assert len(frames_of(tmp_path / "s")) < 200


def test_what_was_coalesced_is_written_without_a_flush(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path / "s")
    writer.write("stdout", "a")
    writer.write("stdout", "b")
    while text_of(tmp_path / "s") != "ab":
        pass
    writer.close()


def test_threads_write_whole_pieces(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path / "s")

    def write_many(name: str) -> None:
        for _ in range(2000):
            writer.write("stdout", name * 9 + "\n")

    threads = [threading.Thread(target=write_many, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    lines = text_of(tmp_path / "s").splitlines()
    assert len(lines) == 8000
    assert set(lines) == {"a" * 9, "b" * 9, "c" * 9, "d" * 9}


def test_surrogates_are_joined_or_replaced(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path / "s")
    writer.write("stdout", "a\ud800b \ud83d\ude00")
    writer.close()
    assert text_of(tmp_path / "s") == "a\ufffdb \U0001f600"


def test_much_text_goes_to_the_side_file(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path / "s", inline=1000)
    whole = "".join(f"{number}é\n" for number in range(50_000))
    for at in range(0, len(whole), 100):
        writer.write("stdout", whole[at : at + 100])
    writer.close()
    frames = frames_of(tmp_path / "s")
    assert (tmp_path / "s.txt").read_text() == whole
    assert len(text_of(tmp_path / "s")) <= 1000
    assert sum(frame.kind == "spilled" for frame in frames) == 1
    (tail,) = (frame for frame in frames if frame.kind == "tail")
    assert whole.endswith(tail.payload.decode())
    shown = len(text_of(tmp_path / "s").encode())
    assert shown + tail.fields["skipped"] + TAIL == len(whole.encode())
    assert os.path.getsize(tmp_path / "s") < 60_000


def test_past_the_limit_text_is_dropped_and_counted(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path / "s", limit=5000, inline=1000)
    for _ in range(100):
        writer.write("stdout", "x" * 100)
    writer.frame("display", b"y" * 100)
    writer.frame("result", b"z" * 100)
    writer.close()
    frames = frames_of(tmp_path / "s")
    assert (tmp_path / "s.txt").stat().st_size == 5000
    assert frames[-1] == Frame("cut", {"dropped": 5100, "limit": 5000}, b"")
    assert "result" in {frame.kind for frame in frames}
    assert "display" not in {frame.kind for frame in frames}


def test_a_torn_last_frame_waits(tmp_path: Path) -> None:
    data = pack("a", b"1", {}) + pack("b", b"2\n2", {})
    for cut in range(len(data)):
        reader = SpoolReader()
        first = reader.feed(data[:cut])
        assert [frame.kind for frame in first + reader.feed(data[cut:])] == ["a", "b"]
        assert len(first) < 2


def test_lines_that_are_no_frames_are_skipped() -> None:
    noise = b'noise\n[1]\n{"k":1}\n\xff\n'
    assert [frame.kind for frame in SpoolReader().feed(noise + pack("a", b"", {}))] == ["a"]


def test_a_forked_child_writes_too_and_neither_hangs(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path / "s")
    for number in range(100):
        writer.write("stdout", f"parent {number}\n")
    child = os.fork()
    if not child:
        writer.write("stdout", "child\n")
        writer.flush()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    writer.close()
    text = text_of(tmp_path / "s")
    assert text.count("child\n") == 1
    assert text.count("parent") == 100


@pytest.mark.skipif(not sys.platform.startswith("linux") or os.geteuid() != 0, reason="mounts a tmpfs")
def test_a_full_disk_costs_text_but_never_raises_in_write(tiny_disk: Path) -> None:
    writer = SpoolWriter(tiny_disk / "s")
    for _ in range(30):
        writer.write("stdout", "x" * 10_000)
    with pytest.raises(OSError, match="No space"):
        writer.frame("result", b"z" * 100_000)
    (tiny_disk / "filler").unlink()
    writer.write("stdout", "again")
    writer.frame("result", json.dumps({}).encode())
    writer.close()
    frames = frames_of(tiny_disk / "s")
    assert [frame.kind for frame in frames[-2:]] == ["result", "cut"]
    assert frames[-3].payload.endswith(b"again")
