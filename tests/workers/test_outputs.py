import base64
import json
import tracemalloc
from pathlib import Path
from typing import Any

import nbformat
import pytest
from worker_doubles import FolderStore

from jupyter_orchestra.processes.spool import Frame, SpoolReader, SpoolWriter
from jupyter_orchestra.workers.outputs import MOST, Collector, words
from jupyter_orchestra.workers.terminal import Screen, collapsed, plain


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


@pytest.fixture
def collector(tmp_path: Path) -> Collector:
    return Collector("fit", tmp_path / "spool")


def stream(text: str, name: str = "stdout") -> Frame:
    return Frame(name, {}, text.encode())


def display(data: dict[str, Any], kind: str = "display", **fields: Any) -> Frame:
    content = {"output_type": "display_data", "data": data, "metadata": {}}
    return Frame(kind, fields, json.dumps(content).encode())


def valid(outputs: list[dict[str, Any]]) -> None:
    cell = nbformat.v4.new_code_cell(outputs=[nbformat.from_dict(output) for output in outputs])
    text = nbformat.writes(nbformat.v4.new_notebook(cells=[cell]))
    nbformat.validate(nbformat.reads(text, as_version=4))
    text.encode()


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("plain", "plain"),
        ("50%\r100%", "100%"),
        ("long line\rshort", "shortline"),
        ("abc\b\bX", "aXc"),
        ("windows\r", "windows"),
        ("\x1b[31mred\x1b[0m\rXY", "XY\x1b[31md\x1b[0m"),
        ("old text\r\x1b[Knew", "new"),
        ("\b\b\r\ra", "a"),
    ],
)
def test_a_line_shows_what_a_terminal_would(line: str, shown: str) -> None:
    assert collapsed(line) == shown


def test_pieces_of_a_line_and_of_an_escape_sequence_join(collector: Collector) -> None:
    for part in ("a\x1b[3", "1mb\x1b", "]8;;http://x\x1b", "\\link\x1b]8;;\x07", " 1%\r", "\x1b[0mdone\n"):
        collector.feed(stream(part))
    assert collector.outputs[0]["text"] == "done\x1b[31mnk 1%\x1b[0m\n"
    assert collector.line == "donenk 1%"


def test_a_progress_bar_of_many_draws_stays_one_line(collector: Collector) -> None:
    for number in range(20_000):
        collector.feed(stream(f"\r{number:5d}/20000 |{'#' * (number % 40):40s}|"))
    assert collector.outputs[0]["text"].startswith("19999/20000")
    assert len(collector.outputs[0]["text"]) < 100


def test_neighbours_of_one_stream_are_one_output(collector: Collector) -> None:
    for frame in (stream("a"), stream("b\n"), stream("e", "stderr"), stream("c")):
        collector.feed(frame)
    assert [(output["name"], output["text"]) for output in collector.outputs] == [
        ("stdout", "ab\n"),
        ("stderr", "e"),
        ("stdout", "c"),
    ]
    assert collector.text("stdout") == "ab\nc"


def test_everything_is_a_valid_notebook(collector: Collector) -> None:
    collector.feed(Frame("stdout", {}, b"nul\0 \xff bell\x07 \xed\xa0\x80 \xc3"))
    collector.feed(
        display({"text/plain": "a\ud800\0", "application/json": {"k\udfff": [float("nan"), "\ud83d\ude00"]}})
    )
    error = {"ename": "E\ud800", "evalue": "v\0", "traceback": ["\x1b[31mline\x1b[0m\x1b]52;c;x\x07", "two"]}
    collector.feed(Frame("error", {}, json.dumps(error).encode()))
    outputs = collector.outputs
    valid(outputs)
    assert outputs[1]["data"]["application/json"] == {"k\ufffd": [None, "\U0001f600"]}
    assert outputs[2]["traceback"] == ["\x1b[31mline\x1b[0m", "two"]


@pytest.mark.parametrize("payload", [b"", b"{", b"[1]", b"[" * 100_000, b'{"data": 1}', b"\xff"])
def test_what_is_no_output_is_left_out(collector: Collector, payload: bytes) -> None:
    for kind in ("display", "error", "update_display"):
        collector.feed(Frame(kind, {"id": "x"}, payload))
    valid(collector.outputs)


def test_an_execute_result_keeps_its_kind(collector: Collector) -> None:
    content = {"output_type": "execute_result", "data": {"text/plain": "1"}, "metadata": {}, "execution_count": 3}
    collector.feed(Frame("display", {}, json.dumps(content).encode()))
    assert collector.outputs == [content]


@pytest.mark.parametrize("kind", ["execute_result", "error"])
def test_the_end_of_a_large_text_stands_before_the_value(collector: Collector, kind: str) -> None:
    collector.feed(stream("begin\n"))
    collector.feed(display({"text/plain": "figure"}))
    content = {"output_type": kind, "data": {"text/plain": "1"}, "metadata": {}, "ename": "E", "evalue": "v"}
    collector.feed(Frame("error" if kind == "error" else "display", {}, json.dumps(content).encode()))
    for name in ("stdout", "stderr"):
        collector.feed(Frame("tail", {"stream": name, "skipped": 0}, f"end of {name}\n".encode()))
    assert [output["output_type"] for output in collector.outputs] == [
        "stream",
        "display_data",
        "stream",
        "stream",
        kind,
    ]
    assert collector.text("stdout") == "begin\nend of stdout\n"


def test_an_update_replaces_every_display_of_its_id(collector: Collector) -> None:
    (first,) = collector.feed(display({"text/plain": "1"}, id="x"))
    assert first["transient"] == {"display_id": "x"}
    assert all("transient" not in output for output in collector.outputs)
    collector.feed(display({"text/plain": "other"}))
    collector.feed(display({"text/plain": "1"}, id="x"))
    (live,) = collector.feed(display({"text/plain": "2"}, "update_display", id="x"))
    assert [output["data"]["text/plain"] for output in collector.outputs] == ["2", "other", "2"]
    assert (live["output_type"], live["transient"]) == ("update_display_data", {"display_id": "x"})


def test_clear_now_and_clear_with_the_next_output(collector: Collector) -> None:
    collector.feed(stream("a"))
    collector.feed(Frame("clear", {"wait": True}, b""))
    assert collector.text("stdout") == "a"
    collector.feed(stream("b"))
    assert collector.text("stdout") == "b"
    collector.feed(Frame("clear", {}, b""))
    assert collector.outputs == []


def test_a_large_display_becomes_an_artifact(tmp_path: Path, store: FolderStore) -> None:
    collector = Collector("fit", tmp_path / "spool", large=1000)
    collector.feed(display({"image/png": base64.b64encode(b"P" * 3000).decode(), "text/plain": "<Figure>"}))
    result = collector.finish(store)
    (artifact,) = result.artifacts
    assert (artifact.name, artifact.mime) == ("fit-1.png", "image/png")
    assert store.get(artifact.blob) == b"P" * 3000
    (output,) = store.outputs(result)
    assert output["data"] == {"text/plain": "too large to show here, kept as artifact: fit-1.png (3.0 kB)"}


def test_many_displays_together_are_bounded(tmp_path: Path, store: FolderStore) -> None:
    collector = Collector("fit", tmp_path / "spool", shown=1_000_000)
    for _ in range(20):
        collector.feed(display({"text/html": "x" * 100_000}))
    assert len(json.dumps(collector.outputs)) < 1_100_000
    assert len(collector.finish(store).artifacts) == 11


def test_of_very_many_outputs_the_middle_goes(collector: Collector) -> None:
    for number in range(MOST + 500):
        collector.feed(display({"text/plain": str(number)}))
    outputs = collector.outputs
    assert len(outputs) == MOST + 1
    assert outputs[MOST // 2]["text"] == "… 500 outputs not shown …\n"
    assert outputs[-1]["data"]["text/plain"] == str(MOST + 499)


def test_a_long_text_keeps_its_two_ends(collector: Collector) -> None:
    for number in range(300_000):
        collector.feed(stream(f"line {number}\n"))
    text = collector.outputs[0]["text"]
    assert text.startswith("line 0\n")
    assert text.endswith("line 299999\n")
    assert "characters not shown" in text
    assert len(text) < (1 << 20) + 20_000


def test_one_endless_line_stays_bounded(collector: Collector) -> None:
    for _ in range(300):
        collector.feed(stream("x" * 10_000))
    assert len(collector.outputs[0]["text"]) < (2 << 20)


def test_a_flood_of_colours_is_capped(collector: Collector) -> None:
    collector.feed(stream("\x1b[31mx\x1b[32my" * 50_000))
    collector.feed(stream("\x1b[2J\x1b[10;10Hend\x1b]0;title\x07"))
    text = collector.outputs[0]["text"]
    assert text.count("\x1b") == 10_000
    assert plain(text) == "xy" * 50_000 + "end"


@pytest.mark.parametrize(
    "flood", ["\x1b", "\x1b[", "\x1b]", "\r", "\b", "x\r", "\x1b[31m\r", "\x1b[K", "\x1bP\x1b", "\n"]
)
def test_no_flood_takes_long(flood: str) -> None:
    screen = Screen()
    for _ in range(50):
        screen.feed(flood * 10_000)
    assert len(str(screen)) <= 10_000 * 50 * len(flood)
    assert screen.line in ("", "x")


def test_progress_and_line(collector: Collector) -> None:
    collector.feed(stream("\x1b[32mfirst\x1b[0m\n\n"))
    assert (collector.progress[0], collector.line) == (None, "first")
    collector.feed(Frame("progress", {"fraction": 0.4, "line": "fitting\ud800"}, b""))
    assert collector.progress == (0.4, "fitting\ufffd")
    collector.feed(stream("x" * 500))
    collector.feed(Frame("progress", {"fraction": 7}, b""))
    assert collector.progress == (1.0, "x" * 200)
    collector.feed(Frame("progress", {"fraction": float("nan"), "line": None}, b""))
    assert collector.progress[0] == 1.0


@pytest.mark.parametrize("killed", [False, True])
def test_a_spill_shows_both_ends_and_keeps_the_whole(tmp_path: Path, store: FolderStore, killed: bool) -> None:
    spool = tmp_path / "spool"
    writer = SpoolWriter(spool, inline=1000, limit=200_000)
    for number in range(50_000):
        writer.write("stdout", f"line {number}\n")
    writer.flush()
    if not killed:
        writer.close()
    collector = Collector("fit", spool)
    for frame in SpoolReader().feed(spool.read_bytes()):
        collector.feed(frame)
    whole = spool.with_name("spool.txt").read_bytes()
    result = collector.finish(store)
    (artifact,) = result.artifacts
    assert (artifact.name, artifact.mime, store.get(artifact.blob)) == ("fit.txt", "text/plain", whole)
    assert result.notes[0] == "200.0 kB of output: the whole is in artifact fit.txt"
    text = "".join(output["text"] for output in store.outputs(result))
    assert "not shown" in text
    if not killed:
        assert text.endswith("line 49999\n")
        assert result.notes[1].startswith("output cut at 200.0 kB: ")


def test_a_gigabyte_takes_little_memory(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    writer = SpoolWriter(spool)
    chunk = b"0123456789abcdef" * 65536
    for _ in range(200):
        writer.write("stdout", chunk)
    writer.close()
    tracemalloc.start()
    collector, reader = Collector("fit", spool), SpoolReader()
    with spool.open("rb") as file:
        while data := file.read(1 << 18):
            for frame in reader.feed(data):
                collector.feed(frame)
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


def test_sizes_in_words() -> None:
    assert [words(n) for n in (5, 1200, 12_300_000, 2 << 30)] == ["5 bytes", "1.2 kB", "12.3 MB", "2 GiB"]
