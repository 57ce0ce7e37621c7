from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from live_kernel import LiveKernel

from jupyter_orchestra.testing.model_server import ModelServer, SeenRequest, Step, ToolCall

Start = Callable[..., LiveKernel]
KEY = "sk-canary-that-a-cell-names-0123456789"
ROOM = 40_000  # characters of a request that the server takes


def obey(seen: SeenRequest) -> Step:
    """A model with a small context that does what the person's message says, as JSON."""
    if len(json.dumps(seen.items)) > ROOM:
        return Step(fault="overflow")
    if seen.items[-1].get("role") == "user" and seen.last_user.startswith("{"):
        return Step(call=[ToolCall(name, given) for name, given in json.loads(seen.last_user).items()])
    return Step(say="heard " + str(seen.results[-1] if seen.results else seen.last_user)[:300])


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer(obey) as found:
        yield found


@pytest.fixture
def nb(start_kernel: Start, server: ModelServer, tmp_path: Path) -> LiveKernel:
    profile = tmp_path / "ipython" / "profile_default"
    profile.mkdir(parents=True)
    (profile / "ipython_config.py").write_text("c.Orchestra.front_end = 'headless'\n")
    return start_kernel(OPENAI_BASE_URL=server.url, OPENAI_API_KEY=KEY)


def say(nb: LiveKernel, text: str) -> str:
    nb.run(f"%%chat\n{text}")
    return nb.run("%gather").shown


def call(nb: LiveKernel, **calls: object) -> str:
    return say(nb, json.dumps(calls))


def test_a_key_that_a_cell_names_reaches_no_model_and_no_journal(nb: LiveKernel, server: ModelServer) -> None:
    nb.run(f"import os; os.environ['OPENAI_API_KEY'] = '{KEY}'; key = os.environ['OPENAI_API_KEY']; key")
    say(nb, "hello")
    call(nb, inspect_variable={"name": "key"})
    assert "os.environ" in json.dumps([request.items for request in server.requests])
    assert KEY not in json.dumps([request.items for request in server.requests])
    journal = nb.data / "orchestra"
    assert not [path for path in journal.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]


def test_a_variable_that_raises_system_exit_does_not_end_the_orchestra(nb: LiveKernel, server: ModelServer) -> None:
    nb.run("class H:\n    def __repr__(self):\n        raise SystemExit\nh = H()")
    call(nb, inspect_variable={"name": "h"})
    assert "SystemExit" in json.dumps([request.items for request in server.requests])
    say(nb, "still there?")
    assert server.requests[-1].last_user == "still there?"


def test_what_the_master_brings_back_replaces_nothing_of_the_persons(nb: LiveKernel) -> None:
    nb.run("df = 'mine'")
    task = {"name": "a", "worker": "kernel", "brief": "df = len = 'its'; new = 1", "returns": ["df", "len", "new"]}
    shown = call(nb, dispatch={"tasks": [task]})
    assert "a brought df back, yours stays" in shown
    assert nb.run("df, len('ab'), new, jo.task('a')['df']").value == "('mine', 2, 1, 'its')"
    call(nb, dispatch={"tasks": [{**task, "brief": "df = len = 'its'; new = 2"}]})
    assert nb.run("new").value == "2"


def test_a_conversation_longer_than_the_models_context_goes_on(nb: LiveKernel, server: ModelServer) -> None:
    for number in range(15):
        nb.run(f"%%chat\nmessage {number} {'x' * 4_000}")
    nb.run("%gather")
    say(nb, "still there?")
    assert server.requests[-1].last_user == "still there?"
    assert len(json.dumps(server.requests[-1].items)) < ROOM


def test_a_message_longer_than_the_models_context_spoils_no_other(nb: LiveKernel, server: ModelServer) -> None:
    say(nb, "x" * 100_000)
    say(nb, "hello")
    assert server.requests[-1].last_user == "hello"
    assert len(json.dumps(server.requests[-1].items)) < ROOM
