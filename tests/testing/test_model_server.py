import json
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jupyter_orchestra.testing import settle_sync
from jupyter_orchestra.testing.model_server import ModelServer, SeenRequest, Step, ToolCall


def fetch(url: str, body: dict[str, Any]) -> bytes:
    headers = {"content-type": "application/json", "authorization": "Bearer sk-secret"}
    request = urllib.request.Request(url, json.dumps({"model": "m", **body}).encode(), headers)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
        return bytes(answer.read())


def post(server: ModelServer | str, path: str = "/responses", **body: Any) -> Any:
    url = server if isinstance(server, str) else server.url
    return json.loads(fetch(url + path, body))


def text_of(answer: Any) -> str:
    return str(answer["output"][0]["content"][0]["text"])


def test_a_request_that_does_not_stream_is_answered_whole_on_both_wires() -> None:
    step = Step(say="Hello.", call=[ToolCall("f", {"a": 1})], repeat=True)
    with ModelServer([step]) as server:
        response = post(server, input="hi")
        completion = post(server, "/chat/completions", messages=[{"role": "user", "content": "hi"}])
    assert text_of(response) == "Hello."
    assert response["output"][1]["arguments"] == '{"a": 1}'
    message = completion["choices"][0]["message"]
    assert message["content"] == "Hello."
    assert message["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"a": 1}'}


def test_a_request_is_seen_the_same_on_both_wires_and_without_its_key() -> None:
    call = {"call_id": "1", "name": "f", "arguments": "{}"}
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": "count"}]},
        {"type": "function_call", **call},
        {"type": "function_call_output", "call_id": "1", "output": '{"n": 3}'},
    ]
    messages = [
        {"role": "system", "content": "be good"},
        {"role": "user", "content": "count"},
        {
            "role": "assistant",
            "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "1", "content": '{"n": 3}'},
    ]
    with ModelServer(lambda seen: Step(say="ok")) as server:
        post(server, input=items, instructions="be good")
        post(server, "/chat/completions", messages=messages)
        seen = server.requests
    assert [each.wire for each in seen] == ["responses", "chat"]
    for each in seen:
        assert each.last_user == "count"
        assert each.results == [{"n": 3}]
        assert each.output_of == "f"
        assert each.instructions == "be good"
        assert each.model == "m"
        assert [item["type"] for item in each.items] == ["message", "function_call", "function_call_output"]
        assert "sk-secret" not in repr(each)


def test_a_callable_sees_the_request_and_may_give_several_steps() -> None:
    def answer(seen: SeenRequest) -> list[Step]:
        return [Step(say=f"{seen.last_user}?"), Step(say="Yes.")]

    with ModelServer(answer) as server:
        output = post(server, input="really")["output"]
    assert [part["content"][0]["text"] for part in output] == ["really?", "Yes."]


def test_steps_are_used_in_order_where_they_fit() -> None:
    steps = [Step(say="bread", when="eat"), Step(say="water", when="drink", repeat=True), Step(say="nothing")]
    with ModelServer(steps) as server:
        said = [text_of(post(server, input=text)) for text in ("drink", "eat", "drink", "sleep")]
    assert said == ["water", "bread", "water", "nothing"]


def test_it_complains_about_steps_never_reached() -> None:
    server = ModelServer([Step(say="one"), Step(say="two")])
    with pytest.raises(AssertionError, match=r"never reached: .*two"), server:
        post(server, input="go")
    assert [step.say for step in server.unused()] == ["two"]


@pytest.mark.parametrize("script", [[], lambda seen: 1 / 0])
def test_it_complains_about_what_the_script_does_not_foresee(script: Any) -> None:
    server = ModelServer(script)
    server.start()
    with pytest.raises(urllib.error.HTTPError, match="400") as caught:
        post(server, input="go")
    caught.value.close()
    server.stop()
    with pytest.raises(AssertionError, match=r"no step for responses: 'go'|ZeroDivisionError"):
        server.check()


def test_an_error_of_the_test_is_not_hidden_by_the_script() -> None:
    with pytest.raises(KeyError), ModelServer([Step(say="never")]):
        raise KeyError


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("whole", [False, True])
def test_a_gate_holds_an_answer_until_the_test_lets_it_go(stream: bool, whole: bool) -> None:
    gate = threading.Event()
    with ModelServer([Step(say="one two", gate=None if whole else gate, tokens=1)]) as server:
        held = server.hold() if whole else gate
        with ThreadPoolExecutor(1) as threads:
            answer = threads.submit(fetch, server.url + "/responses", {"input": "go", "stream": stream})
            settle_sync(lambda: server.open == 1)
            assert not answer.done()
            held.set()
            assert b"one two" in answer.result(10)


def test_a_taken_port_is_told() -> None:
    with ModelServer([]) as server:
        port = int(server.url.rpartition(":")[2].removesuffix("/v1"))
        with pytest.raises(OSError, match="in use"):
            ModelServer([], port=port).start()


def test_a_mistake_in_a_file_is_told(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text('[{"sya": "hello"}]')
    with pytest.raises(msgspec.ValidationError, match="sya"):
        ModelServer(script)


def test_the_program_serves_a_file_until_interrupted(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    steps = [
        {"when": "scan", "output_of": "", "call": [{"name": "dispatch", "arguments": {"n": 1}}], "repeat": True},
        {"output_of": "dispatch", "say": "It runs.", "repeat": True},
        {"fault": "500"},
    ]
    script.write_text(json.dumps(steps))
    command = [sys.executable, "-m", "jupyter_orchestra.testing.model_server", str(script), "--latency", "0.01"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        url = program.stdout.readline().strip()
        call = post(url, input="scan it")["output"][0]
        output = {"type": "function_call_output", "call_id": call["call_id"], "output": "{}"}
        said = text_of(post(url, input=[{"role": "user", "content": "scan it"}, call, output]))
        program.send_signal(signal.SIGINT)
        assert program.wait(10) == 0
        assert program.stderr.read() == ""
    assert said == "It runs."
