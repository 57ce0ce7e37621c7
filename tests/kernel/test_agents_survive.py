"""An agent whose kernel is killed goes on in the next one from its last journaled step."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from live_kernel import LiveKernel, wait_until

from jupyter_orchestra.testing.model_server import ModelServer, SeenRequest, Step, ToolCall

Start = Callable[..., LiveKernel]
FINAL = {"headline": "It is a text.", "summary": "Read once.", "findings": [], "data": '{"lines": 1}', "artifacts": []}


class Reader:
    """An agent's model: reads a file, then waits for the gate, then gives its result."""

    def __init__(self) -> None:
        self.gate = threading.Event()

    def __call__(self, seen: SeenRequest) -> Step:
        if not any("read once" in str(item) for item in seen.items):
            return Step(call=[ToolCall("read_file", {"path": "notes.txt"})])
        return Step(call=[ToolCall("final_result", FINAL)], gate=self.gate)


@pytest.fixture
def reader() -> Reader:
    return Reader()


@pytest.fixture
def server(reader: Reader) -> Iterator[ModelServer]:
    with ModelServer(reader) as found:
        yield found


def test_an_agent_goes_on_after_a_kill_with_what_it_had_read(
    start_kernel: Start, tmp_path: Path, server: ModelServer, reader: Reader
) -> None:
    notebook = tmp_path / "nb.ipynb"
    notebook.write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    (tmp_path / "notes.txt").write_text("a line that is read once\n")
    first = start_kernel(notebook, OPENAI_BASE_URL=server.url)
    first.run("%%dispatch reads -w agent -r explorer\nSay what notes.txt is.")
    wait_until(lambda: len(server.requests) == 2)
    attempt = first.ask("jo.task('reads').attempt")
    first.run("jo.dispatch('1').get()")  # an end is told once all before it is durable
    first.kill()

    second = start_kernel(notebook, OPENAI_BASE_URL=server.url)
    wait_until(lambda: len(server.requests) == 3)
    assert second.state("reads") == "running"
    reader.gate.set()
    assert second.end("reads") == "done"
    assert second.ask("jo.task('reads').attempt") == attempt
    assert second.ask("jo.task('reads').result['headline']") == FINAL["headline"]
    again = server.requests[-1]
    assert sum("a line that is read once" in str(item) for item in again.items) == 1
    assert len([item for item in again.items if item.get("type") == "function_call"]) == 1
