import asyncio
import http.server
import logging
import socket
import threading
import time
from typing import Any, Literal

import pytest
from asking import KEY, ask, client, events_of, reply_of, request, said, trouble, with_client

from jupyter_orchestra.errors import ModelError
from jupyter_orchestra.models.client import EndpointClient
from jupyter_orchestra.models.reading import MOST_CALLS, TEXT_LIMIT
from jupyter_orchestra.models.retries import Retries
from jupyter_orchestra.models.values import ModelUsage, Reply, StreamEvent, TextDelta, Waiting
from jupyter_orchestra.testing import settle
from jupyter_orchestra.testing.model_server import Fault, ModelServer, SeenRequest, Step, ToolCall

Wire = Literal["responses", "chat"]
both = pytest.mark.parametrize("wire", ["responses", "chat"])


@both
def test_text_comes_in_pieces_that_are_the_whole(wire: Wire) -> None:
    usage = ModelUsage(100, 40, 7, 3)
    with ModelServer([Step(say="Good  morning,\nperson. ☕", usage=usage)]) as server:
        events = ask(server.url, wire)
    reply = reply_of(events)
    pieces = [event.text for event in events if isinstance(event, TextDelta)]
    assert len(pieces) > 2
    assert "".join(pieces) == reply.text == "Good  morning,\nperson. ☕"
    assert reply.usage == usage
    assert reply.cut == ""
    assert reply.calls == ()


@both
def test_several_calls_come_whole_and_broken_arguments_as_they_are(wire: Wire) -> None:
    long = {"tasks": ["ä" * 300]}
    calls = [ToolCall("dispatch", long), ToolCall("cancel", '{"name": '), ToolCall("dispatch", "")]
    with ModelServer([Step(say="At once.", call=calls)]) as server:
        reply = reply_of(ask(server.url, wire))
    assert [(call.name, call.arguments) for call in reply.calls] == [(call.name, call.text) for call in calls]
    assert len({call.call_id for call in reply.calls}) == 3
    assert reply.text == "At once."
    assert [item["type"] for item in reply.items] == ["message"] + 3 * ["function_call"]


@both
def test_what_a_model_said_can_be_sent_again_with_outputs(wire: Wire) -> None:
    steps = [
        Step(say="Starting.", call=[ToolCall("dispatch", {"n": 1}), ToolCall("dispatch", {"n": 2})]),
        Step(say="Both run.", output_of="dispatch"),
    ]
    with ModelServer(steps) as server:

        async def main(model: EndpointClient) -> None:
            first = reply_of(await events_of(model, request(said("go"))))
            outputs = [
                {"type": "function_call_output", "call_id": call.call_id, "output": '{"ok": true}'}
                for call in first.calls
            ]
            again = request(said("go"), *first.items, *outputs, said("the person waits", "developer"))
            second = reply_of(await events_of(model, request(*again.items[:-1])))
            assert second.text == "Both run."

        with_client(main, server.url, wire)
        seen = server.requests[1]
    assert seen.results == [{"ok": True}, {"ok": True}]
    assert [item["type"] for item in seen.items] == [
        "message",
        "message",
        "function_call",
        "function_call",
        "function_call_output",
        "function_call_output",
    ]
    assert seen.tools == ["dispatch", "cancel"]
    assert seen.instructions == "You are the master."


def test_the_responses_wire_keeps_nothing_at_the_endpoint_and_asks_it_for_no_secrets() -> None:
    with ModelServer([Step(say="Hello.")]) as server:
        ask(server.url, "responses")
        body = server.requests[0].body
    assert body["store"] is False
    assert "include" not in body
    assert body["tools"][0]["strict"] is True


def test_a_wire_that_is_not_there_is_found_out_once() -> None:
    with ModelServer([Step(say="one"), Step(say="two")], speaks=["chat"]) as server:

        async def main(model: EndpointClient) -> str:
            await events_of(model)
            await events_of(model)
            return model.wire

        assert with_client(main, server.url) == "chat"
        assert [seen.wire for seen in server.requests] == ["chat", "chat"]


def test_the_responses_wire_is_taken_where_both_are_there() -> None:
    with ModelServer([Step(say="one")]) as server:
        ask(server.url)
        assert server.requests[0].wire == "responses"


def test_a_server_without_either_wire_is_told_from_an_unknown_model() -> None:
    with ModelServer([], speaks=[]) as server:
        error = trouble(server.url)
    assert error.kind == "invalid"
    assert "base URL" in str(error)


@both
@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ("401", "auth", "Orchestra.api_key_env"),
        ("404_model", "model", "there are scripted, other: choose one with %orchestra model"),
        ("cut", "cut", "broke off"),
        ("malformed", "malformed", "broken JSON"),
        ("overflow", "overflow", "larger window"),
        ("invalid", "invalid", "Invalid type for"),
        ("empty", "empty", "answered nothing"),
    ],
)
def test_a_fault_is_one_line_that_says_what_to_do_and_is_not_tried_again(
    wire: Wire, fault: Fault, kind: str, words: str
) -> None:
    with ModelServer([Step(say="a b c d", fault=fault)], models=["scripted", "other"]) as server:
        error = trouble(server.url, wire)
        assert len(server.requests) == 1
    assert error.kind == kind
    assert words in str(error)
    assert "%orchestra retry" in str(error)
    assert server.url in str(error)


@both
@pytest.mark.parametrize("fault", ["429", "500", "drop"])
def test_a_fault_that_may_pass_is_tried_again_and_announced(wire: Wire, fault: Fault) -> None:
    with ModelServer([Step(fault=fault), Step(fault=fault), Step(say="now")]) as server:
        events = ask(server.url, wire)
        assert len(server.requests) == 3
    assert [type(event) for event in events] == [Waiting, Waiting, TextDelta, Reply]
    assert reply_of(events).text == "now"


@pytest.mark.parametrize(("fault", "kind"), [("429", "rate"), ("500", "server"), ("drop", "connection")])
def test_a_fault_that_does_not_pass_ends_after_some_tries(fault: Fault, kind: str) -> None:
    with ModelServer([Step(fault=fault, repeat=True)]) as server:
        error = trouble(server.url)
        assert len(server.requests) == 4
    assert error.kind == kind


def test_what_the_server_asks_to_wait_is_waited() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    with ModelServer([Step(fault="429", retry_after=7.5), Step(say="now")]) as server:
        events = ask(server.url, sleep=sleep)
    assert slept == [7.5]
    assert isinstance(events[0], Waiting)
    assert events[0].seconds == 7.5
    assert events[0].reason == f"429 from {server.url}"


def test_nobody_waits_an_hour() -> None:
    with ModelServer([Step(fault="429", retry_after=3600)]) as server:
        error = trouble(server.url)
    assert "wait 3600 s" in str(error)


def test_a_closed_port_is_no_connection() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        error = trouble(f"http://127.0.0.1:{taken.getsockname()[1]}/v1")
    assert error.kind == "connection"
    assert "start the model server" in str(error)


@both
def test_a_server_that_hangs_is_announced_then_given_up(wire: Wire) -> None:
    seen: list[StreamEvent] = []

    async def main(model: EndpointClient) -> None:
        async for event in model.stream(request()):
            seen.append(event)

    with (
        ModelServer([Step(fault="hang")]) as server,
        pytest.raises(ModelError, match=r"said nothing for 0\.2 s") as caught,
    ):
        with_client(main, server.url, wire, first=0.2, notice=0.05)
    assert caught.value.kind == "hang"
    assert [type(event) for event in seen] == [Waiting]


@both
def test_a_reply_that_stops_in_its_midst_is_given_up(wire: Wire) -> None:
    with ModelServer([Step(say="one two three", gate=threading.Event(), tokens=2)]) as server:
        error = trouble(server.url, wire, silence=0.2)
    assert error.kind == "hang"


@both
def test_leaving_in_the_midst_drops_the_connection_and_the_client_goes_on(wire: Wire) -> None:
    with ModelServer([Step(say="one two three", gate=threading.Event(), tokens=2), Step(say="again")]) as server:

        async def main(model: EndpointClient) -> None:
            begun = asyncio.Event()

            async def read() -> None:
                async for event in model.stream(request()):
                    if isinstance(event, TextDelta):
                        begun.set()

            reading = asyncio.create_task(read())
            await begun.wait()
            reading.cancel()
            before = time.monotonic()
            with pytest.raises(asyncio.CancelledError):
                await reading
            assert time.monotonic() - before < 0.2
            await settle(lambda: server.dropped == 1 and server.open == 0, 5)
            assert reply_of(await events_of(model)).text == "again"

        with_client(main, server.url, wire)


@both
def test_a_request_that_waits_can_be_left(wire: Wire) -> None:
    with ModelServer([Step(say="late"), Step(say="again")]) as server:
        server.hold()

        async def main(model: EndpointClient) -> None:
            reading = asyncio.create_task(events_of(model))
            await settle(lambda: server.open == 1, 5)
            reading.cancel()
            await asyncio.wait({reading})
            await settle(lambda: server.open == 0, 5)
            server.release()
            assert reply_of(await events_of(model)).text == "again"

        with_client(main, server.url, wire)


@both
def test_closing_the_iterator_early_drops_the_connection(wire: Wire) -> None:
    with ModelServer([Step(say="one two three", gate=threading.Event(), tokens=2)]) as server:

        async def main(model: EndpointClient) -> None:
            stream = model.stream(request())
            assert isinstance(await anext(stream), TextDelta)
            await stream.aclose()  # type: ignore[attr-defined]
            await settle(lambda: server.dropped == 1, 5)

        with_client(main, server.url, wire)


@both
def test_two_megabytes_are_cut(wire: Wire) -> None:
    with ModelServer([Step(say="äx" * 700_000)]) as server:
        events = ask(server.url, wire)
    reply = reply_of(events)
    assert reply.cut == "longer than 256 kB"
    assert TEXT_LIMIT - 4 <= len(reply.text.encode()) <= TEXT_LIMIT
    assert reply.items[0]["content"][0]["text"] == reply.text
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == reply.text


@both
def test_five_hundred_calls_are_cut(wire: Wire) -> None:
    with ModelServer([Step(call=[ToolCall("dispatch", {"n": n}) for n in range(500)])]) as server:
        reply = reply_of(ask(server.url, wire))
    assert reply.cut == "more than 64 calls"
    assert len(reply.calls) == MOST_CALLS
    assert reply.calls[-1].arguments == '{"n": 63}'


@both
def test_arguments_without_end_are_cut(wire: Wire) -> None:
    with ModelServer([Step(call=[ToolCall("dispatch", {"x": "y" * 600_000})])]) as server:
        reply = reply_of(ask(server.url, wire))
    assert reply.cut == "arguments longer than 256 kB"
    assert len(reply.calls[0].arguments) <= TEXT_LIMIT


@both
def test_the_key_goes_to_the_server_and_into_no_log(wire: Wire, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with ModelServer([Step(fault="500"), Step(say="now"), Step(fault="401")]) as server:
        ask(server.url, wire)
        assert server.requests[0].headers["authorization"] == "…"
        trouble(server.url, wire)
    assert caplog.text
    assert KEY not in caplog.text
    assert KEY not in repr(client(server.url).endpoint)


def test_thirty_two_streams_run_at_the_same_time() -> None:
    def answer(seen: SeenRequest) -> Step:
        return Step(say=f"answer to {seen.last_user}")

    with ModelServer(answer) as server:
        gate = server.hold()

        async def main(model: EndpointClient) -> list[str]:
            asked = [asyncio.create_task(events_of(model, request(said(f"q{n}")))) for n in range(32)]
            await settle(lambda: server.open == 32, 10)
            gate.set()
            return [reply_of(await task).text for task in asked]

        texts = with_client(main, server.url)
    assert texts == [f"answer to q{n}" for n in range(32)]


def test_a_client_serves_one_loop_after_another() -> None:
    with ModelServer([Step(say="hello", repeat=True)]) as server:
        model = client(server.url)

        async def main() -> str:
            text = reply_of(await events_of(model)).text
            await model.close()
            return text

        assert [asyncio.run(main()), asyncio.run(main())] == ["hello", "hello"]


def test_the_pause_doubles_has_an_end_and_never_falls_short_of_what_was_asked() -> None:
    retries = Retries(tries=10, total=30, first=1, chance=lambda: 0.5)
    assert [retries.seconds(tried, 0, None) for tried in (1, 2, 3, 4, 5, 9, 10)] == [1, 2, 4, 8, 8, 8, None]
    assert retries.seconds(1, 25, None) == 1
    assert retries.seconds(1, 29.5, None) is None
    assert retries.seconds(1, 0, 20) == 20
    assert retries.seconds(1, 0, 31) is None


def test_a_server_that_does_not_stream_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # which leads nowhere, and not to this machine
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        error = trouble(f"http://127.0.0.1:{server.server_port}/v1")
        server.shutdown()
        thread.join()
    assert asked == ["/v1/responses", "/v1/chat/completions"]
    assert error.kind == "malformed"
    assert "does not stream" in str(error)
