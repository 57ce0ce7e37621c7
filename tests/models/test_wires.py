import json
from typing import Any

import pytest
from asking import request, said

from jupyter_orchestra.errors import ModelError
from jupyter_orchestra.models import chat, failures, responses
from jupyter_orchestra.models.endpoint import OPENAI, Endpoint, Secret
from jupyter_orchestra.models.sse import LARGEST, Events, TooLarge
from jupyter_orchestra.models.values import Item

LOCAL = Endpoint("http://127.0.0.1:1/v1")
OWN = Endpoint(OPENAI)
CALL: Item = {"type": "function_call", "call_id": "c1", "name": "dispatch", "arguments": "{}"}
OUTPUT: Item = {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "done"}]}
THOUGHT: Item = {"type": "reasoning", "summary": [], "encrypted_content": "xyz"}


def read_chat(*events: Any) -> chat.ChatReading:
    reading = chat.ChatReading(request(), LOCAL)
    for event in events:
        reading.take(event)
    return reading


def read_responses(*events: Any, endpoint: Endpoint = LOCAL) -> responses.ResponsesReading:
    reading = responses.ResponsesReading(request(), endpoint)
    for event in events:
        reading.take(event)
    return reading


def chunk(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def test_neighbouring_calls_and_what_was_said_before_them_are_one_message() -> None:
    other = {**CALL, "call_id": "c2"}
    told = said("I start two.", "assistant")
    messages = chat.messages_of("be good", (said("go"), told, CALL, other, THOUGHT, OUTPUT, said("and?")), LOCAL)
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "tool", "user"]
    assert messages[2]["content"] == "I start two."
    assert [call["id"] for call in messages[2]["tool_calls"]] == ["c1", "c2"]
    assert messages[3] == {"role": "tool", "tool_call_id": "c1", "content": "done"}


def test_only_openai_knows_the_developer() -> None:
    item = said("late news", "developer")
    assert [chat.messages_of("", (item,), endpoint)[0]["role"] for endpoint in (LOCAL, OWN)] == ["system", "developer"]


def test_reasoning_goes_to_openai_alone() -> None:
    asked = request(said("go"), THOUGHT)
    assert THOUGHT not in responses.body_of(asked, LOCAL)["input"]
    assert THOUGHT in responses.body_of(asked, OWN)["input"]
    assert responses.body_of(asked, OWN)["include"] == ["reasoning.encrypted_content"]


def test_the_same_request_is_the_same_bytes() -> None:
    asked = request(said("go"), CALL, OUTPUT)
    assert json.dumps(responses.body_of(asked, OWN)) == json.dumps(responses.body_of(asked, OWN))
    assert json.dumps(chat.body_of(asked, OWN)) == json.dumps(chat.body_of(asked, OWN))


def test_calls_are_put_together_by_their_index() -> None:
    def piece(index: int, **fields: Any) -> dict[str, Any]:
        return chunk(tool_calls=[{"index": index, **fields}])

    reply = read_chat(
        piece(1, id="b", function={"name": "cancel", "arguments": "{"}),
        piece(0, id="a", function={"name": "dispatch"}),
        piece(0, function={"arguments": "[]"}),
        piece(1, function={"arguments": "}"}),
        chunk("tool_calls"),
    ).reply()
    assert [(call.call_id, call.name, call.arguments) for call in reply.calls] == [
        ("a", "dispatch", "[]"),
        ("b", "cancel", "{}"),
    ]


def test_calls_that_share_an_id_get_ids_of_their_own() -> None:
    call = {"id": "0", "function": {"name": "dispatch", "arguments": "{}"}}
    reply = read_chat(chunk(tool_calls=[{"index": 0, **call}, {"index": 1, **call}]), chunk("stop")).reply()
    assert len({call.call_id for call in reply.calls}) == 2


@pytest.mark.parametrize(
    ("finish", "cut"), [("length", "output limit"), ("content_filter", "content filter"), ("stop", "")]
)
def test_a_finish_says_whether_the_reply_is_whole(finish: str, cut: str) -> None:
    reading = read_chat(chunk(content="a"), chunk(finish))
    assert reading.complete
    assert reading.reply().cut == cut


def test_without_figures_the_usage_is_an_estimate() -> None:
    usage = read_chat(chunk(content="a" * 400), chunk("stop")).reply().usage
    assert usage.tokens_in > 20
    assert usage.tokens_out >= 100
    assert usage.cost is None


def test_half_a_character_becomes_a_mark() -> None:
    reply = read_chat(chunk(content="a\ud83d"), chunk("stop")).reply()
    assert reply.text.encode() == b"a?"


def test_an_incomplete_response_says_why() -> None:
    output = [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "half"}]}]
    details = {"reason": "max_output_tokens"}
    response = {"status": "incomplete", "incomplete_details": details, "output": output, "usage": {}}
    reply = read_responses({"type": "response.incomplete", "response": response}).reply()
    assert (reply.text, reply.cut) == ("half", "output limit")


def test_what_was_streamed_counts_where_the_end_does_not_repeat_it() -> None:
    reply = read_responses(
        {"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "content": []}},
        {"type": "response.output_text.delta", "output_index": 0, "delta": "Hello "},
        {"type": "response.output_text.delta", "output_index": 0, "delta": "you"},
        {"type": "response.output_item.done", "output_index": 1, "item": {**CALL, "id": "fc_1"}},
        {"type": "response.completed", "response": {"status": "completed", "output": [], "usage": None}},
    ).reply()
    assert reply.text == "Hello you"
    assert [item["type"] for item in reply.items] == ["message", "function_call"]
    assert reply.items[1] == CALL


def test_encrypted_reasoning_is_kept_and_any_other_is_not() -> None:
    output = [{**THOUGHT, "id": "rs_1", "status": None}, {"type": "reasoning", "summary": [], "id": "rs_2"}]
    event = {"type": "response.completed", "response": {"status": "completed", "output": output}}
    assert read_responses(event, endpoint=OWN).reply().items == (THOUGHT,)
    assert read_responses(event).reply().items == ()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": "server_error", "message": "boom"}, "server"),
        ({"code": "context_length_exceeded", "message": "too long"}, "overflow"),
        ({"code": "rate_limit_exceeded", "message": "slow down"}, "rate"),
        (None, "server"),
    ],
)
def test_an_event_that_ends_a_stream_badly_is_told(error: Any, kind: str) -> None:
    for event in (
        {"type": "response.failed", "response": {"error": error}},
        {"type": "error", **(error or {})},
        {"type": "error", "error": error},
    ):
        with pytest.raises(ModelError) as caught:
            read_responses(event)
        assert caught.value.kind == kind
    if error:
        with pytest.raises(ModelError) as caught:
            read_chat({"error": error})
        assert caught.value.kind == kind


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, None, "auth"),
        (403, {"error": {"message": "no"}}, "auth"),
        (404, {"error": {"message": 'model "x" not found, try pulling it first'}}, "model"),
        (404, {"error": {"message": "The model `x` does not exist"}}, "model"),
        (404, "404 page not found", "invalid"),
        (404, {"detail": "Not Found"}, "invalid"),
        (400, {"error": {"message": "this model does not support tools"}}, "invalid"),
        (400, {"error": {"message": "the request exceeds the available context size"}}, "overflow"),
        (400, {"error": {"message": "This model's maximum context length is 4096 tokens"}}, "overflow"),
        (429, {"error": {"code": "insufficient_quota", "message": "pay"}}, "rate"),
        (502, "<html>bad gateway</html>", "server"),
        (422, ["odd"], "invalid"),
    ],
)
def test_a_refusal_is_sorted_by_what_helps(status: int, body: Any, kind: str) -> None:
    assert failures.from_status(status, body, LOCAL, request()).kind == kind


def test_what_a_server_says_is_short_clean_and_without_the_key() -> None:
    endpoint = Endpoint("http://user:word@127.0.0.1:1/v1?token=t", key=Secret.of("sk-secret"))
    said_there = "bad\n\x1b[31mkey\x1b[0m sk-secret " + "x" * 1000
    line = str(failures.from_status(400, {"error": {"message": said_there}}, endpoint, request()))
    assert line.startswith("400 from http://127.0.0.1:1/v1: the request was refused (bad key … xxx")
    assert len(line) < 400
    assert "word" not in line
    assert "token" not in line


def test_events_are_found_however_the_bytes_are_cut() -> None:
    stream = b': ping\r\n\r\nevent: x\r\ndata: {"a":\r\ndata: 1}\r\n\r\ndata:2\n\nid: 3\n\ndata: last'
    for size in range(1, len(stream)):
        events = Events()
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        found = [data for piece in pieces for data in events.feed(piece)] + list(events.end())
        assert found == [b'{"a":\n1}', b"2", b"last"]


@pytest.mark.parametrize("piece", [b"x" * 65536, b"data: " + b"x" * 65536 + b"\n"])
def test_an_event_without_end_is_not_kept(piece: bytes) -> None:
    events = Events()

    def feed() -> None:
        for _ in range(2 * LARGEST // len(piece)):
            list(events.feed(piece))

    with pytest.raises(TooLarge):
        feed()
